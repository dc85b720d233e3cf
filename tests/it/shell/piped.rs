//! The shell without a terminal: scripts that come through a pipe.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::support::Place;

fn piped(place: &Place, arguments: &[&str], script: &str) -> Output {
    let mut command = place.command(&[&["sql"], arguments].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

const TABLE: &str =
    "CREATE TABLE t (a BIGINT) WITH ('connector'='filesystem','path'='t.json','format'='json');\n";

fn place() -> Place {
    let place = Place::new();
    place.write("t.json", "{\"a\":1}\n{\"a\":2}\n");
    place
}

/// Would fail if statements did not run one after the other, each over what those before it left.
#[test]
fn statements_run_in_order() {
    let place = place();
    let script = format!(
        "{TABLE}CREATE TABLE copy (a BIGINT) WITH ('connector'='filesystem','path'='copy','format'='json');
         INSERT INTO copy SELECT a + 1 FROM t;
         -- what was written is read
         SELECT SUM(a) AS s FROM copy;\n\\format csv\nSELECT a FROM t; DROP TABLE t;\n\\d\nSELECT 'last' AS w"
    );
    let output = piped(&place, &["--output", "json", "-q"], &script);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let shown = String::from_utf8(output.stdout).unwrap();
    let last = shown.lines().find(|line| line.contains("\"s\":5"));
    assert!(last.is_some(), "{shown}");
    assert!(shown.ends_with("a\n1\n2\ncopy  table\nw\nlast\n"), "{shown}");
    assert!(error.is_empty(), "{error}");
}

/// Would fail if a script went on behind an error, hid its code, or pointed at another line.
#[test]
fn a_script_ends_at_its_first_error() {
    let place = place();
    let output = piped(&place, &[], &format!("{TABLE}\nSELECT b\nFROM t;\nSELECT a FROM t;\n"));
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("--> standard input:3:8\n3 | SELECT b\n           ^\n"), "{error}");
    assert!(output.stdout.is_empty());
    for (script, hint) in [
        ("\\dd\n", "did you mean `\\d`?"),
        ("\\i nowhere.sql\n", "cannot read script `nowhere.sql`"),
        ("\\format xml\n", "the formats are table, csv and json"),
        ("\\explain\n", "no query ran yet"),
        ("SELECT 'open", "nterminated string"),
    ] {
        let output = piped(&place, &[], script);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{script}: {error}");
        assert!(error.contains(hint), "{script}: {error}");
    }
}

/// Would fail if files could not be run, or ran each other for ever.
#[test]
fn files_are_run() {
    let place = place();
    place.write("init.sql", &format!("{TABLE}SET 'parallelism.default' = '1';"));
    place.write("again.sql", "\\i again.sql\n");
    let arguments = ["--init", "init.sql", "--output", "csv", "-e", "SELECT a FROM t; SET;"];
    let output = piped(&place, &arguments, "");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert_eq!(shown, "a\n1\n2\n'parallelism.default' = '1'\n");
    let output = piped(&place, &[], "\\i again.sql\n");
    assert!(String::from_utf8_lossy(&output.stderr).contains("run each other already"));
    assert_eq!(output.status.code(), Some(2));
}

/// Would fail if results did not go where `\o` says, or did not come back.
#[test]
fn results_go_to_a_file() {
    let place = place();
    let script = format!("{TABLE}\\o out.txt\nSELECT a FROM t;\n\\d\n\\o\nDESCRIBE t;\n");
    let output = piped(&place, &["-q"], &script);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a BIGINT\n");
    let written = std::fs::read_to_string(place.path("out.txt")).unwrap();
    assert_eq!(written, "a\n-\n1\n2\nt  table\n");
}

/// Would fail if a job that writes a table forgot where it was, or a query used its state.
#[test]
fn state_is_kept_by_table() {
    let place = place();
    let script = format!(
        "{TABLE}CREATE TABLE copy (a BIGINT) WITH ('connector'='filesystem','path'='copy','format'='json');
         INSERT INTO copy SELECT a FROM t; SELECT a FROM t; SELECT a + 1 AS b FROM t;"
    );
    for _ in 0..2 {
        let output = piped(&place, &["--state-dir", "state"], &script);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
    }
    assert_eq!(place.published("copy").values().sum::<usize>(), 2);
    assert!(place.path("state/copy").is_dir());
}

/// Would fail if a command whose reader went away said more than nothing.
#[test]
fn a_closed_pipe_ends_quietly() {
    let place = place();
    let explain = format!("{TABLE} SELECT a FROM t");
    let many = format!("{TABLE}{}", "DESCRIBE t;\n".repeat(50));
    let commands: [&[&str]; 6] = [
        &["explain", "-e", &explain],
        &["check", "-q", "-e", &explain],
        &["config"],
        &["schema", "t.json"],
        &["completions", "bash"],
        &["sql", "-e", &many],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = place.command(arguments).stdout(writer).stderr(Stdio::piped()).output();
        let output = output.unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*error), (Some(0), ""), "{arguments:?}");
    }
}
