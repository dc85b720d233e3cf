//! SQL by its answers: each file of `tests/sql` is a sqllogictest, and the program answers it.
//!
//! What always holds: an expected answer stands in its file because the SQL standard or Flink's
//! documentation says so, and in `tests/sql/flink` because Flink itself said so (`bench/peers/answers`),
//! never because the program said it; where it means something else than Flink a line
//! `# differs: …` says why. Every file is run by one worker and by two. Those of `tests/sql/panes` have
//! worked tables of the literature, by three workers too: what is sent, change by change and in its order;
//! those of `tests/sql/patterns` the ones of `MATCH_RECOGNIZE`.
//! A file may hold
//! - `statement ok`: a table, a view or a setting, which stays for the rest of the file;
//! - `query T… rowsort`, or `nosort` behind an ORDER BY: the *content* of the result. Of an updating
//!   result that is what its changes add up to;
//! - `statement error REGEX`: against `message [line:column] remedy` on one line, the place being
//!   that in the statement.
//!
//! Cells are as the program writes them in JSON; a text stands without its quotes, an empty one as
//! `(empty)`. Paths in the files are relative to `tests/sql`.

mod documented;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sqllogictest::{DB, DBOutput, DefaultColumnType, Record, Runner};

/// Why the program refused a script.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// The program, and what the file has declared so far.
struct Program {
    workers: &'static str,
    folder: PathBuf,
    /// Are changes shown one by one? Else what they add up to.
    has_changes: bool,
    /// On one line, so that a statement behind it begins the second.
    declared: String,
}

impl Program {
    /// Runs a statement behind what is declared; returns standard output.
    fn answer(&self, statement: &str) -> Result<String, Refused> {
        let script = format!("{}\n{statement}", self.declared);
        let output = Command::new(env!("CARGO_BIN_EXE_thalweg"))
            .args(["run", "-e", &script, "--workers", self.workers, "--output", "json"])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(Refused(one_line(&String::from_utf8_lossy(&output.stderr)))),
        }
    }
}

impl DB for Program {
    type Error = Refused;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, statement: &str) -> Result<DBOutput<DefaultColumnType>, Refused> {
        let first = statement.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        let shown = self.answer(statement)?;
        if ["CREATE", "SET", "DROP", "RESET"].contains(&first.as_str()) {
            assert!(!statement.contains("--"), "a comment would hide the rest of the script");
            self.declared += &format!("{}; ", statement.replace('\n', " "));
            return Ok(DBOutput::StatementComplete(0));
        }
        let rows = if self.has_changes { changes(&shown) } else { content(&shown) };
        let width = rows.first().map_or(0, Vec::len);
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Any; width], rows })
    }

    fn engine_name(&self) -> &str {
        "thalweg"
    }
}

/// Returns `message [line:column] remedy` of what the program says on standard error.
fn one_line(error: &str) -> String {
    let behind = |prefix: &str| error.lines().find_map(|line| line.trim().strip_prefix(prefix));
    let message = behind("error: ").unwrap_or(error);
    let place = behind("--> command:").and_then(|place| {
        let (line, column) = place.split_once(':')?;
        Some(format!(" [{}:{column}]", line.parse::<usize>().ok()?.checked_sub(1)?))
    });
    let remedy = behind("help: ").map(|remedy| format!(" {remedy}"));
    format!("{message}{}{}", place.unwrap_or_default(), remedy.unwrap_or_default())
}

/// Returns the shown rows; where they are updated, each behind what becomes of it.
fn changes(shown: &str) -> Vec<Vec<String>> {
    let rows = shown.lines().map(fields);
    rows.map(|row| row.into_iter().map(|(_, value)| value).collect()).collect()
}

/// Adds up the shown changes; rows of a result that is not updated keep their order.
fn content(shown: &str) -> Vec<Vec<String>> {
    let (mut rows, mut updated) = (Vec::new(), BTreeMap::<Vec<String>, i64>::new());
    for line in shown.lines() {
        let mut cells = fields(line);
        let weight = match cells.first().map(|(name, value)| (name.as_str(), value.as_str())) {
            Some(("op", "+I" | "+U")) => 1,
            Some(("op", "-U" | "-D")) => -1,
            _ => 0,
        };
        if weight != 0 {
            cells.remove(0);
        }
        let row: Vec<String> = cells.into_iter().map(|(_, value)| value).collect();
        match weight {
            0 => rows.push(row),
            weight => *updated.entry(row).or_default() += weight,
        }
    }
    for (row, weight) in updated {
        let count = usize::try_from(weight).expect("no row is taken back that was not given");
        rows.extend(std::iter::repeat_n(row, count));
    }
    rows
}

/// Returns names and cells of a JSON object in their order, with numbers as they are written: a
/// parsed object would have neither.
fn fields(object: &str) -> Vec<(String, String)> {
    let inner = object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap();
    let (mut fields, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    let (mut is_text, mut is_escaped) = (false, false);
    for (at, byte) in inner.bytes().chain([b',']).enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            _ if is_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 && at > start => {
                fields.push(field(&inner[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    fields
}

/// Splits `"name":value`.
fn field(text: &str) -> (String, String) {
    let mut ends = text.match_indices("\":").map(|(at, _)| at + 1);
    let end = ends.find(|end| *end > 1 && !text[..end - 1].ends_with('\\')).unwrap();
    let (name, value) = (&text[..end], &text[end + 1..]);
    let cell = match value {
        "null" => "NULL".to_owned(),
        "\"\"" => "(empty)".to_owned(),
        value if value.starts_with('"') => serde_json::from_str(value).unwrap(),
        value => value.to_owned(),
    };
    (serde_json::from_str(name).unwrap(), cell)
}

/// Runs the files of some folders; every record is looked at, so that one mistake does not hide
/// another. Returns how many queries they have.
fn check(workers: &'static str, folders: &[&str], has_changes: bool) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let listed = folders.iter().map(|inner| std::fs::read_dir(folder.join(inner)).unwrap());
    let mut files: Vec<PathBuf> = listed.flatten().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    check_files(workers, &files, has_changes)
}

/// Runs some files.
fn check_files(workers: &'static str, files: &[PathBuf], has_changes: bool) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql");
    let (mut queries, mut failures) = (0, Vec::new());
    for file in files {
        let program =
            || Program { workers, folder: folder.clone(), has_changes, declared: String::new() };
        let mut runner = Runner::new(|| async { Ok(program()) });
        runner.with_column_validator(|given, written| {
            given.is_empty() || given.len() == written.len()
        });
        for record in sqllogictest::parse_file(file).unwrap() {
            queries += usize::from(matches!(record, Record::Query { .. }));
            if let Err(error) = runner.run(record) {
                failures.push(error.display(false).to_string());
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    queries
}

/// Would fail if a query gave other rows than SQL says.
#[test]
fn queries_give_what_sql_says() {
    assert!(check("1", &["", "flink"], false) > 550);
}

/// Would fail if rows met, or were lost, where they change the worker.
#[test]
fn queries_give_the_same_with_two_workers() {
    assert!(check("2", &["", "flink"], false) > 550);
}

/// Would fail if a window sent something else, or at another time, than the literature says.
#[test]
fn worked_tables_of_panes_come_row_by_row() {
    for workers in ["1", "2", "3"] {
        assert!(check(workers, &["panes"], true) > 20);
    }
}

/// Would fail if a search for a pattern found other rows than Flink's documentation shows, or the standard
/// says.
#[test]
fn patterns_are_found_as_documented() {
    for workers in ["1", "2", "3"] {
        assert!(check(workers, &["patterns"], false) > 70);
    }
}

/// Would fail if a row that is copied did not meet those that stay, on some worker.
#[test]
fn copied_rows_meet_all_others() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sql/broadcast.slt");
    for workers in ["1", "2", "3"] {
        assert!(check_files(workers, std::slice::from_ref(&file), false) > 3);
    }
}

/// Would fail if the test above could not see a bug: this one is planted, in other processes, where a row is not
/// copied to all that need it.
#[test]
fn planted_bug_of_a_broadcast_is_found() {
    let name = "sql::copied_rows_meet_all_others";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env("THALWEG_PLANT", "fewer-copies")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "`fewer-copies` was planted and nobody noticed:\n{shown}");
    assert!(shown.contains("BROADCAST"), "another query has failed:\n{shown}");
}
