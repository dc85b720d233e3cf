use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use thalweg_types::Change;

use super::*;

fn schema() -> SchemaRef {
    let inner = Fields::from(vec![
        Field::new("x", DataType::Int64, true),
        Field::new("y", DataType::Utf8View, true),
    ]);
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("name", DataType::Utf8View, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("price", DataType::Decimal128(10, 2), true),
        Field::new("in", DataType::Struct(inner), true),
        Field::new("list", DataType::List(item), true),
    ]))
}

fn text(rows: RecordBatch) -> String {
    let mut text = String::new();
    crate::formats::encode::Encoder::Json(JsonDialect::default())
        .encode(&Change::append(rows), &mut text);
    text
}

const GOOD: &str = r#"{"id": 1, "name": "a\"b", "at": "2020-04-15 08:05:00.5", "price": 0.30}
{"skipped": {"deep": [1, {"x": 2}]}, "in": {"y": "z", "x": 7}, "id": 2, "list": [1, null, 3]}
"#;

/// Would fail if a value were lost, changed or put into another row.
#[test]
fn objects_become_rows() {
    let mut decoder =
        JsonDecoder::new(JsonDialect::default(), &schema(), &[0, 1, 2, 3, 4, 5]).unwrap();
    let decoded = decoder.decode(&Buffer::from(GOOD.as_bytes())).unwrap();
    assert_eq!(decoded.bad, []);
    let expected = r#"{"id":1,"name":"a\"b","at":"2020-04-15 08:05:00.500","price":0.30,"in":null,"list":null}
{"id":2,"name":null,"at":null,"price":null,"in":{"x":7,"y":"z"},"list":[1,null,3]}
"#;
    assert_eq!(text(decoded.rows.rows), expected);
}

/// Would fail if one bad record took a neighbour with it, or hid its column.
#[test]
fn a_bad_record_stands_alone() {
    let bad = [
        r#"{"id": "many"}"#,
        r#"{"id": 3000000000}"#,
        r#"{"name": "no id"}"#,
        r#"{"id": 5, "in": {"x": "nine"}}"#,
        r#"{"id": 5, "list": [1, "x"]}"#,
        r#"{"id": 5, "at": "yesterday"}"#,
        r#"{"id": 5, "name": "cut"#,
        r#"[1]"#,
        "\u{0}",
    ];
    let expected = ["`id`", "`id`", "`id`", "`x`", "`list`", "`at`", "JSON", "JSON", "JSON"];
    for (record, expected) in bad.iter().zip(expected) {
        let input = format!("{{\"id\": 1}}\n{record}\n{{\"id\": 2, \"list\": [7]}}\n");
        let mut decoder =
            JsonDecoder::new(JsonDialect::default(), &schema(), &[0, 1, 2, 3, 4, 5]).unwrap();
        let decoded = decoder.decode(&Buffer::from(input.as_bytes())).unwrap();
        assert_eq!((decoded.rows.rows.num_rows(), decoded.bad.len()), (2, 1), "{record}");
        assert_eq!(decoded.bad[0].offset, 10);
        assert!(decoded.bad[0].error.contains(expected), "{record}: {}", decoded.bad[0].error);
        let alone = decoder.decode(&Buffer::from(&b"{\"id\": 1}\n{\"id\": 2, \"list\": [7]}"[..]));
        let alone = alone.unwrap();
        assert_eq!(text(decoded.rows.rows), text(alone.rows.rows), "{record}");
    }
}

/// Would fail if a time of day or a map had no form in JSON, or took the entries of a bad one.
#[test]
fn times_and_maps_are_read_and_written() {
    let entry = vec![
        Field::new("key", DataType::Utf8View, false),
        Field::new("value", DataType::Int64, true),
    ];
    let entries = Arc::new(Field::new("entries", DataType::Struct(entry.into()), false));
    let schema = Arc::new(Schema::new(vec![
        Field::new("at", DataType::Time32(TimeUnit::Millisecond), true),
        Field::new("m", DataType::Map(entries, false), true),
    ]));
    let lines = r#"{"at": "08:05:00", "m": {"a": 1, "b": null}}
{"at": "25:00:00"}
{"m": {"c": 3, "d": "x"}}
{"m": {}, "at": "23:59:59.123"}
{"m": null}
"#;
    let mut decoder = JsonDecoder::new(JsonDialect::default(), &schema, &[0, 1]).unwrap();
    let decoded = decoder.decode(&Buffer::from(lines.as_bytes())).unwrap();
    let errors: Vec<&str> = decoded.bad.iter().map(|bad| bad.error.as_str()).collect();
    let expected = [
        "column `at`: expected a TIME such as 08:05:00, found \"25:00:00\"",
        "column `m`: value of `d`: expected a BIGINT, found \"x\"",
    ];
    assert_eq!(errors, expected);
    let expected = r#"{"at":"08:05:00","m":{"a":1,"b":null}}
{"at":"23:59:59.123","m":{}}
{"at":null,"m":null}
"#;
    assert_eq!(text(decoded.rows.rows), expected);
}

/// Would fail if a NULL within a value were a panic, or let a wrong row through.
#[test]
fn not_null_holds_within_values_too() {
    let required = |name: &str| Field::new(name, DataType::Int32, false);
    let entry = vec![Field::new("key", DataType::Utf8View, false), required("value")];
    let entries = Arc::new(Field::new("entries", DataType::Struct(entry.into()), false));
    let schema = Arc::new(Schema::new(vec![
        Field::new("r", DataType::Struct(vec![required("a")].into()), true),
        Field::new("l", DataType::List(Arc::new(required("item"))), true),
        Field::new("m", DataType::Map(entries, false), true),
    ]));
    let good = r#"{"r":{"a":1},"l":[1,2],"m":{"x":1}}
{"r":null,"l":null,"m":null}
"#;
    let bad = r#"{"r":{"b":1},"l":[1,2],"m":{"x":1}}
{"r":{"a":1},"l":[1,null],"m":{"x":1}}
{"r":{"a":1},"l":[1],"m":{"x":null}}
"#;
    let lines = format!("{bad}{good}");
    let mut decoder = JsonDecoder::new(JsonDialect::default(), &schema, &[0, 1, 2]).unwrap();
    let decoded = decoder.decode(&Buffer::from(lines.as_bytes())).unwrap();
    let errors: Vec<&str> = decoded.bad.iter().map(|bad| bad.error.as_str()).collect();
    let expected = [
        "column `r`: field `a` is NULL and declared NOT NULL",
        "column `l`: an element of the array is NULL and declared NOT NULL",
        "column `m`: value of `x`: it is NULL and declared NOT NULL",
    ];
    assert_eq!(errors, expected);
    assert_eq!(text(decoded.rows.rows), good);
}

fn dialect(options: &[(&str, &str)]) -> Result<JsonDialect> {
    let options = options.iter().map(|(key, value)| (format!("json.{key}"), (*value).to_owned()));
    JsonDialect::of(&thalweg_plan::connector::Options(options.collect()), "json")
}

/// Decodes lines; returns the rows as JSON of the same dialect, and what is wrong with the others.
fn told(options: &[(&str, &str)], lines: &str) -> (String, Vec<String>) {
    let dialect = dialect(options).unwrap();
    let mut decoder = JsonDecoder::new(dialect, &schema(), &[0, 2, 3, 4, 5]).unwrap();
    let decoded = decoder.decode(&Buffer::from(lines.as_bytes())).unwrap();
    let mut text = String::new();
    let encoder = crate::formats::encode::Encoder::Json(dialect);
    encoder.encode(&decoded.rows, &mut text);
    (text, decoded.bad.into_iter().map(|bad| bad.error).collect())
}

/// Would fail if a wrong field took its record along, or a NULL stood where none may.
#[test]
fn wrong_fields_are_null_where_errors_are_ignored() {
    let lines = r#"{"id":1,"at":"soon","price":"x","in":{"x":"y","y":"z"},"list":[1,"a",3]}
{"id":"many","price":1}
{"id":2,"in":5,"list":{"a":1}}
nothing
{"id":3,"price":2.5,"list":[[1]]}
"#;
    let (rows, bad) = told(&[("ignore-parse-errors", "true")], lines);
    let expected = r#"{"id":1,"at":null,"price":null,"in":{"x":null,"y":"z"},"list":[1,null,3]}
{"id":2,"at":null,"price":null,"in":null,"list":null}
{"id":3,"at":null,"price":2.50,"in":null,"list":[null]}
"#;
    assert_eq!(rows, expected);
    assert_eq!(bad.len(), 2, "{bad:?}");
    assert_eq!(bad[0], "column `id`: NULL in a NOT NULL column");
    assert_eq!(told(&[], lines).1.len(), 5, "without the option each is bad");
}

/// Would fail if a field that is there and NULL were taken for a missing one.
#[test]
fn missing_fields_are_errors_where_they_must_be_there() {
    let whole = r#"{"id":1,"at":null,"price":null,"in":{"x":null,"y":null},"list":null}"#;
    let lines = format!("{whole}\n{{\"id\":1}}\n{}\n", whole.replace(",\"y\":null", ""));
    let (rows, bad) = told(&[("fail-on-missing-field", "true")], &lines);
    assert_eq!(rows, format!("{whole}\n"));
    let expected =
        ["column `at`: the record has no such field", "column `in`: field `y` is missing"];
    assert_eq!(bad, expected);
    assert_eq!(told(&[], &lines).1.len(), 0);
}

/// Would fail if times had another form than the table says, or the other one were read.
#[test]
fn times_have_the_form_that_the_table_says() {
    let lines = "{\"id\":1,\"at\":\"2020-04-15 08:05:00.5\"}\n{\"id\":2,\"at\":\"2020-04-15T08:05:00.5\"}\n";
    let times = |standard: &str| {
        let options =
            [("timestamp-format.standard", standard), ("encode.ignore-null-fields", "true")];
        told(&options, lines)
    };
    let (sql, bad) = times("SQL");
    assert_eq!(sql, "{\"id\":1,\"at\":\"2020-04-15 08:05:00.500\"}\n");
    assert!(bad[0].contains("a time as SQL writes it"), "{bad:?}");
    let (iso, bad) = times("iso-8601");
    assert_eq!(iso, "{\"id\":2,\"at\":\"2020-04-15T08:05:00.500\"}\n");
    assert!(bad[0].contains("a time as ISO 8601 has it"), "{bad:?}");
    assert_eq!(told(&[], lines).1.len(), 0, "either is read if the table says nothing");
}

#[test]
fn fields_are_written_as_the_table_says() {
    let line = "{\"id\":1,\"price\":100,\"in\":{\"x\":2}}\n";
    let written = |options: &[(&str, &str)]| told(options, line).0;
    let sparse = ("encode.ignore-null-fields", "true");
    assert_eq!(written(&[sparse]), "{\"id\":1,\"price\":100.00,\"in\":{\"x\":2}}\n");
    let short = ("encode.decimal-as-plain-number", "false");
    assert_eq!(written(&[sparse, short]), "{\"id\":1,\"price\":1E+2,\"in\":{\"x\":2}}\n");
    assert!(written(&[]).contains("\"in\":{\"x\":2,\"y\":null},\"list\":null"));
}

#[test]
fn wrong_options_are_refused() {
    let refused = |options: &[(&str, &str)]| dialect(options).unwrap_err().to_string();
    let both = [("fail-on-missing-field", "true"), ("ignore-parse-errors", "true")];
    assert!(refused(&both).contains("exclude each other"));
    for (key, value) in [
        ("timestamp-format.standard", "RFC"),
        ("map-null-key.mode", "KEEP"),
        ("decode.json-parser.enabled", "yes"),
        ("encode.decimal-as-plain-number", "1"),
    ] {
        assert!(refused(&[(key, value)]).contains(&format!("option 'json.{key}'")), "{key}");
    }
    dialect(&[("map-null-key.mode", "literal"), ("map-null-key.literal", "none")]).unwrap();
}
