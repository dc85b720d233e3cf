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
    assert_eq!(text(decoded.rows), expected);
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
        assert_eq!((decoded.rows.num_rows(), decoded.bad.len()), (2, 1), "{record}");
        assert_eq!(decoded.bad[0].offset, 10);
        assert!(decoded.bad[0].error.contains(expected), "{record}: {}", decoded.bad[0].error);
        let alone = decoder.decode(&Buffer::from(&b"{\"id\": 1}\n{\"id\": 2, \"list\": [7]}"[..]));
        let alone = alone.unwrap();
        assert_eq!(text(decoded.rows), text(alone.rows), "{record}");
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
    assert_eq!(text(decoded.rows), expected);
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
    assert_eq!(text(decoded.rows), good);
}
