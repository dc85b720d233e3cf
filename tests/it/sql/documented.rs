//! Scripts in the forms that Flink's own documentation uses, page by page, with only the connector
//! options changed: each runs and gives its answer, or is refused by an error that names what of
//! the roadmap it waits for.
//!
//! What is expected stands at the end of each script, as comments:
//! - `-- 1 | a`: a row of the result, whose content it is all together;
//! - `-- error: this … that`: the message and its remedy hold these pieces, in this order;
//! - `-- shows: text`: standard output holds the text.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{content, one_line};

/// Returns whether `text` holds the pieces of `wanted`, in order.
fn holds(text: &str, wanted: &str) -> bool {
    let mut rest = Some(text);
    for piece in wanted.split(" … ") {
        rest = rest.and_then(|text| text.split_once(piece)).map(|(_, behind)| behind);
    }
    rest.is_some()
}

/// Runs a script; returns what is wrong with its answer.
fn wrong(folder: &Path, script: &Path) -> Option<String> {
    let text = std::fs::read_to_string(script).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_thalweg"))
        .args(["run", "--output", "json"])
        .arg(script)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let refused = one_line(&String::from_utf8_lossy(&output.stderr));
    // The first line says which page it is.
    let mut expected: Vec<&str> =
        text.lines().skip(1).filter_map(|line| line.strip_prefix("-- ")).collect();
    assert!(!expected.is_empty(), "{} expects nothing", script.display());
    if let Some(error) = expected[0].strip_prefix("error: ") {
        let is_refused = output.status.code() == Some(2) && holds(&refused, error);
        return (!is_refused).then(|| format!("wanted `{error}`, got `{refused}`"));
    }
    if !output.status.success() {
        return Some(refused);
    }
    if expected[0].starts_with("shows: ") {
        let mut texts = expected.iter().filter_map(|line| line.strip_prefix("shows: "));
        return texts.find(|text| !shown.contains(text)).map(|text| format!("`{text}` in {shown}"));
    }
    let mut rows: Vec<String> = content(&shown).iter().map(|row| row.join(" | ")).collect();
    rows.sort_unstable();
    expected.sort_unstable();
    (rows != expected).then(|| format!("got\n{}", rows.join("\n")))
}

/// Would fail if a script as Flink's documentation writes it did not run, ran to another answer,
/// or were refused without a word on when it will run.
#[test]
fn scripts_as_flinks_documentation_writes_them_run_or_say_when() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let listed = std::fs::read_dir(folder.join("documented")).unwrap();
    let mut scripts: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    scripts.sort();
    let wrong: Vec<String> = scripts
        .iter()
        .filter_map(|script| Some(format!("{}: {}", script.display(), wrong(&folder, script)?)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(scripts.len() >= 20, "only {} scripts", scripts.len());
}
