use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Field, Schema};
use thalweg_plan::connector::Options;

use super::*;
use crate::formats::encode::write_object;
use crate::formats::{decoder, readable};

/// `id INT`, the key, and `name STRING NOT NULL`, `n BIGINT`.
fn table(options: &[(&str, &str)]) -> TableSpec {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("name", DataType::Utf8View, false),
        Field::new("n", DataType::Int64, true),
    ]);
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let table = TableSpec::new("t", Arc::new(schema), Options(options.collect()));
    TableSpec { primary_key: vec!["id".to_owned()], ..table }
}

/// Returns the rows of some lines with their weights, and what is wrong with the others.
fn decoded(options: &[(&str, &str)], lines: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut decoder = decoder(&table(options), &[0, 1, 2]).unwrap();
    let found = decoder.decode(&Buffer::from(lines.join("\n").as_bytes())).unwrap();
    let rows = (0..found.rows.len()).map(|row| {
        let mut text = format!("{:+} ", found.rows.weight(row));
        write_object(&found.rows.rows, row, &JsonDialect::default(), &mut text);
        text
    });
    let bad = found.bad.iter().map(|bad| {
        let record = String::from_utf8(bad.record.clone()).unwrap();
        assert!(lines.contains(&record.as_str()), "{record} is no line");
        bad.error.clone()
    });
    (rows.collect(), bad.collect())
}

/// Checks what lines of a format become: rows, or errors that hold these words.
fn check(options: &[(&str, &str)], lines: &[&str], rows: &[&str], bad: &[&str]) {
    let found = decoded(options, lines);
    assert_eq!(found.0, rows);
    assert_eq!(found.1.len(), bad.len(), "{:?}", found.1);
    for (error, words) in found.1.iter().zip(bad) {
        assert!(error.contains(words), "`{error}` says nothing of `{words}`");
    }
}

const DEBEZIUM: [(&str, &str); 1] = [("format", "debezium-json")];

/// Would fail if an operation of Debezium's meant something else, or a field of its envelope that
/// nobody reads disturbed it.
#[test]
fn debezium_inserts_updates_and_deletes() {
    let lines = [
        r#"{"before":null,"after":{"id":1,"name":"a","n":1},"op":"c","ts_ms":1,"source":{"db":"x"}}"#,
        r#"{"op":"r","after":{"id":2,"name":"b"}}"#,
        "",
        r#"{"before":{"id":1,"name":"a","n":1},"after":{"id":1,"name":"a","n":2},"op":"u"}"#,
        r#"{"before":{"id":2,"name":"b"},"after":null,"op":"d"}"#,
    ];
    let rows = [
        r#"+1 {"id":1,"name":"a","n":1}"#,
        r#"+1 {"id":2,"name":"b","n":null}"#,
        r#"-1 {"id":1,"name":"a","n":1}"#,
        r#"+1 {"id":1,"name":"a","n":2}"#,
        r#"-1 {"id":2,"name":"b","n":null}"#,
    ];
    check(&DEBEZIUM, &lines, &rows, &[]);
}

/// Would fail if a malformed line left half of its update behind, or changed what becomes of the
/// lines around it.
#[test]
fn a_malformed_line_leaves_nothing_behind() {
    let good = r#"{"after":{"id":9,"name":"z"},"op":"c"}"#;
    let lines = [
        good,
        r#"{"before":null,"after":{"id":1,"name":"a"},"op":"u"}"#,
        r#"{"before":{"id":1,"name":"a"},"after":{"id":"x","name":"a"},"op":"u"}"#,
        good,
        r#"{"before":{"id":1,"name":"a"},"after":null,"op":"u"}"#,
        r#"{"before":null,"after":null,"op":"d"}"#,
        r#"{"after":{"id":1,"name":null},"op":"c"}"#,
        r#"{"after":7,"op":"c"}"#,
        r#"{"after":{"id":1,"name":"a"},"op":"x"}"#,
        r#"{"after":{"id":1,"name":"a"}}"#,
        r#"{"after":{"id":1,"name":"a"},"op":"c""#,
        "null",
        good,
    ];
    let row = r#"+1 {"id":9,"name":"z","n":null}"#;
    let bad = [
        "field `before` is NULL in an update; if this is PostgreSQL, give the table there REPLICA \
         IDENTITY FULL",
        "column `id`",
        "field `after` is NULL",
        "field `before` is NULL in a deletion",
        "column `name`: NULL in a NOT NULL column",
        "not a JSON object",
        "field `op` is none of c, r, u, d: \"x\"",
        "field `op` is missing",
        "not a JSON object",
        "not a JSON object",
    ];
    check(&DEBEZIUM, &lines, &[row, row, row], &bad);
}

/// Would fail if the schema of Kafka Connect were taken for a row, or its absence for nothing.
#[test]
fn debezium_may_come_with_its_schema() {
    let options = [("format", "debezium-json"), ("debezium-json.schema-include", "true")];
    let wrapped =
        r#"{"schema":{"type":"struct"},"payload":{"after":{"id":1,"name":"a"},"op":"c"}}"#;
    let plain = r#"{"after":{"id":1,"name":"a"},"op":"c"}"#;
    let rows = [r#"+1 {"id":1,"name":"a","n":null}"#];
    check(&options, &[wrapped, plain], &rows, &["field `payload` is missing"]);
    check(&DEBEZIUM, &[wrapped, plain], &rows, &["field `op` is missing"]);
}

/// Would fail if `ignore-parse-errors` lost a record of which a field is wrong that can be NULL.
#[test]
fn a_field_that_is_ignored_is_null() {
    let options = [("format", "debezium-json"), ("debezium-json.ignore-parse-errors", "true")];
    let lines = [r#"{"after":{"id":1,"name":"a","n":"many"},"op":"c"}"#];
    check(&options, &lines, &[r#"+1 {"id":1,"name":"a","n":null}"#], &[]);
}

/// Would fail if an update of Canal's, whose old rows have the changed fields alone, took back
/// another row than there was; or if rows of another table were read.
#[test]
fn canal_says_what_an_update_changed() {
    let lines = [
        r#"{"data":[{"id":"1","name":"a","n":"5"},{"id":"2","name":"b","n":null}],"type":"INSERT","table":"t1"}"#,
        r#"{"data":[{"id":"1","name":"c","n":"6"},{"id":"2","name":"b","n":"7"}],"old":[{"name":"a","n":"5"},{"n":null}],"type":"UPDATE","table":"t1"}"#,
        r#"{"data":[{"id":"2","name":"b","n":"7"}],"type":"DELETE","table":"t2"}"#,
        r#"{"data":[{"id":"2","name":"b","n":"7"}],"type":"DELETE","table":"other"}"#,
        r#"{"data":null,"isDdl":true,"type":"CREATE","table":"t1"}"#,
        r#"{"data":null,"type":"ALTER","table":"t1"}"#,
        r#"{"data":[{"id":"1","name":"x"}],"type":"TRUNCATE","table":"t1"}"#,
        r#"{"data":[{"id":"1","name":"x"}],"old":[],"type":"UPDATE","table":"t1"}"#,
    ];
    let rows = [
        r#"+1 {"id":1,"name":"a","n":5}"#,
        r#"+1 {"id":2,"name":"b","n":null}"#,
        r#"-1 {"id":1,"name":"a","n":5}"#,
        r#"+1 {"id":1,"name":"c","n":6}"#,
        r#"-1 {"id":2,"name":"b","n":null}"#,
        r#"+1 {"id":2,"name":"b","n":7}"#,
        r#"-1 {"id":2,"name":"b","n":7}"#,
    ];
    let bad = ["field `data` is NULL", "an unknown one: `TRUNCATE`", "`old` has 0 rows"];
    let options = [("format", "canal-json"), ("canal-json.table.include", "t.")];
    check(&options, &lines, &rows, &bad);
}

/// Would fail if a line of Maxwell's meant something else.
#[test]
fn maxwell_says_what_an_update_changed() {
    let lines = [
        r#"{"database":"d","table":"t","type":"insert","data":{"id":1,"name":"a","n":5}}"#,
        r#"{"type":"update","data":{"id":1,"name":"b","n":5},"old":{"name":"a"}}"#,
        r#"{"type":"delete","data":{"id":1,"name":"b","n":5}}"#,
        r#"{"type":"bootstrap-start","data":{}}"#,
    ];
    let rows = [
        r#"+1 {"id":1,"name":"a","n":5}"#,
        r#"-1 {"id":1,"name":"a","n":5}"#,
        r#"+1 {"id":1,"name":"b","n":5}"#,
        r#"-1 {"id":1,"name":"b","n":5}"#,
    ];
    check(&[("format", "maxwell-json")], &lines, &rows, &["`bootstrap-start`"]);
}

/// Would fail if the key of a record were not that of its row, or what a deleted key has no value
/// for were refused, or a missing value taken for a deletion.
#[test]
fn records_with_a_key_say_what_its_row_is() {
    let lines = [
        r#"{"key":{"id":1},"value":{"id":1,"name":"a","n":5}}"#,
        r#"{"key":{"id":2},"value":{"name":"b"}}"#,
        r#"{"key":{"id":1},"value":null}"#,
        r#"{"key":{"id":3}}"#,
        r#"{"key":null,"value":{"id":3,"name":"c"}}"#,
        r#"{"key":{"id":3},"value":{"n":1}}"#,
        r#"{"key":{},"value":{"name":"c"}}"#,
        r#"{"key":{},"value":null}"#,
    ];
    let rows = [
        r#"+1 {"id":1,"name":"a","n":5}"#,
        r#"+1 {"id":2,"name":"b","n":null}"#,
        r#"-1 {"id":1,"name":null,"n":null}"#,
    ];
    let bad = [
        "field `value` is missing",
        "field `key` is NULL",
        "column `name`: NULL in a NOT NULL column",
        "column `id`: NULL in a NOT NULL column",
        "column `id`: NULL in a NOT NULL column",
    ];
    let options = [("format", "upsert-json")];
    check(&options, &lines, &rows, &bad);
    let readable = readable(&table(&options)).unwrap();
    let nullable: Vec<bool> = readable.fields().iter().map(|field| field.is_nullable()).collect();
    assert_eq!(nullable, [false, true, true]);
}

/// Would fail if what a table writes could not be read again, in any of the formats.
#[test]
fn what_is_written_is_read_again() {
    let formats = ["debezium-json", "canal-json", "maxwell-json", "upsert-json"];
    let lines = [
        r#"{"after":{"id":1,"name":"a","n":5},"op":"c"}"#,
        r#"{"before":{"id":1,"name":"a","n":5},"op":"d"}"#,
    ];
    let mut decoder = decoder(&table(&DEBEZIUM), &[0, 1, 2]).unwrap();
    let change = decoder.decode(&Buffer::from(lines.join("\n").as_bytes())).unwrap().rows;
    for format in formats {
        let options = [("format", format)];
        let encoder = crate::formats::encode::Encoder::of(&table(&options)).unwrap();
        let mut text = String::new();
        encoder.encode(&change, &mut text);
        let gone = match format {
            "upsert-json" => r#"-1 {"id":1,"name":null,"n":null}"#,
            _ => r#"-1 {"id":1,"name":"a","n":5}"#,
        };
        let rows = [r#"+1 {"id":1,"name":"a","n":5}"#, gone];
        check(&options, &text.lines().collect::<Vec<_>>(), &rows, &[]);
    }
}

/// Would fail if a fact stood in another row than those of its line, or a line with an odd one left a row behind.
#[test]
fn facts_stand_in_the_rows_of_their_lines() {
    let fact = |name: &str, key: &str, options: &[(&str, &str)]| {
        let known = crate::formats::metadata(&table(options).options);
        let field = known.iter().find(|field| field.name() == key).unwrap();
        thalweg_plan::connector::Metadata {
            key: key.to_owned(),
            field: field.clone().with_name(name),
        }
    };
    let read = |options: &[(&str, &str)], keys: [&str; 2], lines: &[&str]| {
        let metadata = vec![fact("x", keys[0], options), fact("y", keys[1], options)];
        let table = TableSpec { metadata, ..table(options) };
        let mut decoder = decoder(&table, &[3, 0, 4]).unwrap();
        let found = decoder.decode(&Buffer::from(lines.join("\n").as_bytes())).unwrap();
        let rows = (0..found.rows.len()).map(|row| {
            let mut text = format!("{:+} ", found.rows.weight(row));
            write_object(&found.rows.rows, row, &JsonDialect::default(), &mut text);
            text
        });
        let bad = found.bad.iter().map(|bad| bad.error.clone());
        (rows.collect::<Vec<_>>(), bad.collect::<Vec<_>>())
    };
    let lines = [
        r#"{"op":"c","after":{"id":1,"name":"a"},"ts_ms":1000,"source":{"db":"shop"}}"#,
        r#"{"op":"c","after":{"id":9,"name":"a"},"ts_ms":"soon","source":{"db":"shop"}}"#,
        r#"{"op":"u","before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"},"source":null,"ts_ms":2500}"#,
    ];
    let keys = ["value.source.database", "value.ingestion-timestamp"];
    let (rows, bad) = read(&DEBEZIUM, keys, &lines);
    let row = |weight: &str, x: &str, y: &str| {
        format!(r#"{weight} {{"x":{x},"id":1,"y":"1970-01-01 00:00:{y}Z"}}"#)
    };
    let expected =
        [row("+1", "\"shop\"", "01.000"), row("-1", "null", "02.500"), row("+1", "null", "02.500")];
    assert_eq!(rows, expected);
    assert_eq!(bad, ["metadata `value.ingestion-timestamp`: found \"soon\""]);
    let line = r#"{"type":"insert","data":{"id":1,"name":"a"},"table":"stock","ts":3}"#;
    let (rows, _) =
        read(&[("format", "maxwell-json")], ["value.table", "value.ingestion-timestamp"], &[line]);
    assert_eq!(rows, [row("+1", "\"stock\"", "03.000")]);
    let line = line
        .replace("insert", "INSERT")
        .replace(r#""data":{"id":1,"name":"a"}"#, r#""data":[{"id":1,"name":"a"}],"es":40"#);
    let (rows, _) =
        read(&[("format", "canal-json")], ["value.table", "value.event-timestamp"], &[&line]);
    assert_eq!(rows, [row("+1", "\"stock\"", "00.040")]);
    let wrapped = [("format", "debezium-json"), ("debezium-json.schema-include", "true")];
    let line = format!(r#"{{"schema":{{}},"payload":{}}}"#, lines[0]);
    let (rows, _) = read(&wrapped, keys, &[&line]);
    assert_eq!(rows, expected[..1]);
}

/// Would fail if a deletion were taken for half of an update since its key comes again, a row that moves to
/// another key for a version that goes on, or a bad line moved the marks.
#[test]
fn old_halves_are_told_from_deletions() {
    let field = Field::new(OLD_HALF, DataType::Boolean, false);
    let metadata = vec![thalweg_plan::connector::Metadata { key: OLD_HALF.to_owned(), field }];
    let marks = |options: &[(&str, &str)], lines: &[&str]| {
        let table = TableSpec { metadata: metadata.clone(), ..table(options) };
        let mut decoder = decoder(&table, &[3, 0]).unwrap();
        let text = lines.join("\n");
        let halves = (0..2).map(|_| {
            let found = decoder.decode(&Buffer::from(text.as_bytes())).unwrap().rows;
            let mark = found.rows.column(0).as_boolean().clone();
            let marks = (0..found.len()).map(|row| (found.weight(row), mark.value(row)));
            marks.collect::<Vec<_>>()
        });
        let halves: Vec<_> = halves.collect();
        assert_eq!(halves[0], halves[1], "blocks say nothing of each other");
        halves[0].clone()
    };
    let a = r#"{"id":1,"name":"a"}"#;
    let (again, other) = (a.replace('a', "b"), a.replace('1', "2"));
    let lines = [
        format!(r#"{{"op":"c","after":{a}}}"#),
        format!(r#"{{"op":"u","before":{a},"after":{{"id":"x"}}}}"#),
        format!(r#"{{"op":"u","before":{a},"after":{a}}}"#),
        format!(r#"{{"op":"d","before":{a}}}"#),
        format!(r#"{{"op":"c","after":{a}}}"#),
        format!(r#"{{"op":"u","before":{a},"after":{other}}}"#),
    ];
    let lines = lines.each_ref().map(String::as_str);
    let expected = [(1, false), (-1, true), (1, false), (-1, false), (1, false), (-1, false)];
    assert_eq!(marks(&DEBEZIUM, &lines), [&expected[..], &[(1, false)]].concat());
    let line = format!(r#"{{"type":"UPDATE","data":[{again},{other}],"old":[{{}},{{"id":1}}]}}"#);
    let gone = format!(r#"{{"type":"DELETE","data":[{again},{again}]}}"#);
    let expected = [(-1, true), (1, false), (-1, false), (1, false), (-1, false), (-1, false)];
    assert_eq!(marks(&[("format", "canal-json")], &[&line, &gone]), expected);
    let line = format!(r#"{{"type":"update","data":{again},"old":{{"name":"a"}}}}"#);
    assert_eq!(marks(&[("format", "maxwell-json")], &[&line]), [(-1, true), (1, false)]);
}
