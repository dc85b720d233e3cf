use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Schema};
use thalweg_plan::connector::Options;
use thalweg_plan::source::{SourceBatch, Step};
use thalweg_types::{ErrorKind, EventTime};

use super::*;

/// A script in a file, and its tables.
struct Case {
    folder: tempfile::TempDir,
    tables: BTreeSet<String>,
}

impl Case {
    fn new(text: &str, tables: &[&str]) -> Case {
        let tables = tables.iter().map(|table| (*table).to_owned()).collect();
        let case = Case { folder: tempfile::tempdir().unwrap(), tables };
        case.write(text);
        case
    }

    fn path(&self) -> String {
        self.folder.path().join("script.json").to_str().unwrap().to_owned()
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    fn table(&self, name: &str) -> TableSpec {
        let options =
            [("connector".to_owned(), "script".to_owned()), ("path".to_owned(), self.path())];
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        TableSpec::new(name, schema, Options(BTreeMap::from(options)))
    }

    fn read(&self, table: &str, from: Option<&Offset>) -> Result<Vec<(SourceBatch, Step)>> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let spec = self.table(table);
        Script.validate(&spec)?;
        let source = Script.source(&spec, &[0])?;
        let (read, known) = (self.tables.clone(), self.tables.clone());
        let script = plan::Script { name: self.path(), read, known };
        let source = source.among(&script).unwrap();
        runtime.block_on(async {
            let split = source.enumerate(&[]).await?.splits.remove(0);
            let mut reader = source.reader(&split, from).await?;
            let mut read = Vec::new();
            while let Some(batch) = reader.next().await? {
                read.push((batch, reader.step().unwrap()));
            }
            Ok(read)
        })
    }

    /// Returns what a table makes of the lines, one a line.
    fn shown(&self, table: &str) -> String {
        let shown = |(batch, step): (SourceBatch, Step)| {
            let Step { line, watermark, clock, is_checkpoint } = step;
            let time = |name: &str, time: Option<EventTime>| {
                time.map(|time| format!(" {name} {time}")).unwrap_or_default()
            };
            let (watermark, clock) = (time("watermark", watermark), time("clock", clock));
            let checkpoint = if is_checkpoint { " checkpoint" } else { "" };
            let (rows, bad) = (batch.rows.len(), batch.bad);
            let bad: String = bad.iter().map(|bad| format!(" bad {}", bad.error)).collect();
            format!("{line}: {rows}{watermark}{clock}{checkpoint}{bad}\n")
        };
        self.read(table, None).unwrap().into_iter().map(shown).collect()
    }
}

/// Would fail if a table took another one's rows or watermark, or lost count of the lines.
#[test]
fn every_table_reads_every_line() {
    let text = r#"{"clock": "2015-01-01 12:00:00"}
{"table": "a", "row": {"n": 1}}

{"rows": [{"n": 2}, {"n": "x"}, {"n": 3}], "table": "b"}
{"table": "b", "watermark": "2015-01-01 12:02:00.5"}
{"watermark": "2015-01-01T12:03:00Z"}
{"checkpoint": true}
{"table": "a", "row": {"n": "x"}}
{"end": true}

"#;
    let case = Case::new(text, &["a", "b"]);
    let expected = "1: 0 clock 2015-01-01 12:00:00.000
2: 1
4: 0
5: 0
6: 0 watermark 2015-01-01 12:03:00.000
7: 0 checkpoint
8: 0 bad column `n`: expected a BIGINT, found \"x\"
";
    assert_eq!(case.shown("a"), expected);
    assert_eq!(case.shown("a/*+'bad-records'='skip'*/"), expected);
    let expected = "1: 0 clock 2015-01-01 12:00:00.000
2: 0
4: 2 bad column `n`: expected a BIGINT, found \"x\"
5: 0 watermark 2015-01-01 12:02:00.500
6: 0 watermark 2015-01-01 12:03:00.000
7: 0 checkpoint
8: 0
";
    assert_eq!(case.shown("b"), expected);
}

/// Would fail if a mistake in a script passed for something else, or did not say where it is.
#[test]
fn mistakes_name_their_line() {
    let check = |tables: &[&str], text: &str, line: u64, message: &str| {
        let case = Case::new(text, tables);
        let error = case.read("t", None).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Invalid, message));
        assert_eq!(error.places()[0].to_string(), format!("{}:{line}", case.path()));
    };
    let one = &["t"];
    let row = r#"{"row": {}}"#;
    let unknown = "unknown field `lines`, expected one of `table`, `row`, `rows`, `watermark`, `clock`, \
                   `checkpoint`, `end` at line 1 column 9";
    check(one, &format!("{row}\n\n{{\"lines\": {{}}}}"), 3, unknown);
    let object = "not a JSON object: it does not begin with `{`";
    check(one, r#"["t", {}]"#, 1, object);
    let actions =
        "a line has one of \"row\", \"rows\", \"watermark\", \"clock\", \"checkpoint\" and \"end\"";
    check(one, r#"{"row": {}, "end": true}"#, 1, actions);
    check(one, r#"{"table": "t"}"#, 1, actions);
    check(one, r#"{"end": false}"#, 1, "\"end\" is true, or left out");
    let time = "\"clock\" is no time such as \"2015-01-01 12:02:00\": \"noon\"";
    check(one, r#"{"clock": "noon"}"#, 1, time);
    let of_table = "only rows and a watermark are those of a \"table\"";
    check(one, r#"{"table": "t", "checkpoint": true}"#, 1, of_table);
    check(one, r#"{"table": "s", "row": {}}"#, 1, "there is no table `s`");
    check(&["s", "t"], row, 1, "the row names no table, and the job reads several");
    check(one, &format!("{{\"end\": true}}\n{row}"), 2, "the script goes on behind its \"end\"");
}

/// Would fail if time could go back, or nobody said from where to where.
#[test]
fn time_does_not_go_back() {
    let check = |what: &str, from: &str, to: &str| {
        let text = format!("{{\"{what}\": \"{from}\"}}\n{{\"{what}\": \"{to}\"}}");
        let outcome = Case::new(&text, &["t"]).read("t", None);
        outcome.map(|_| ()).map_err(|error| error.message().to_owned())
    };
    for what in ["clock", "watermark"] {
        assert_eq!(check(what, "2015-01-01 12:00:00", "2015-01-01 12:00:00"), Ok(()));
        let expected = "goes back, from 2015-01-01 12:00:00.000 to 2014-12-31 00:00:00.000";
        let found = check(what, "2015-01-01 12:00:00", "2014-12-31 00:00:00");
        assert_eq!(found, Err(format!("the {what} {expected}")));
    }
}

/// Would fail if a job went on behind lines that it never saw.
#[test]
fn a_script_that_changed_is_refused() {
    let case = Case::new("{\"row\": {\"n\": 1}}\n{\"row\": {\"n\": 2}}\n", &["t"]);
    let next = case.read("t", None).unwrap()[0].0.next.clone();
    case.write("{\"row\": {\"n\": 1}}\n{\"row\": {\"n\": 3}}\n{\"row\": {}}\n");
    assert_eq!(case.read("t", Some(&next)).unwrap().len(), 2);
    for text in ["{\"row\": {\"n\": 9}}\n{\"row\": {}}\n", ""] {
        case.write(text);
        let error = case.read("t", Some(&next)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State, "{error}");
    }
}
