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
    crate::formats::encode::Encoder::Json.encode(&Change::append(rows), &mut text);
    text
}

const GOOD: &str = r#"{"id": 1, "name": "a\"b", "at": "2020-04-15 08:05:00.5", "price": 0.30}
{"skipped": {"deep": [1, {"x": 2}]}, "in": {"y": "z", "x": 7}, "id": 2, "list": [1, null, 3]}
"#;

/// Would fail if a value were lost, changed or put into another row.
#[test]
fn objects_become_rows() {
    let mut decoder = JsonDecoder::new(&schema(), &[0, 1, 2, 3, 4, 5]).unwrap();
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
        let mut decoder = JsonDecoder::new(&schema(), &[0, 1, 2, 3, 4, 5]).unwrap();
        let decoded = decoder.decode(&Buffer::from(input.as_bytes())).unwrap();
        assert_eq!((decoded.rows.num_rows(), decoded.bad.len()), (2, 1), "{record}");
        assert_eq!(decoded.bad[0].offset, 10);
        assert!(decoded.bad[0].error.contains(expected), "{record}: {}", decoded.bad[0].error);
        let alone = decoder.decode(&Buffer::from(&b"{\"id\": 1}\n{\"id\": 2, \"list\": [7]}"[..]));
        let alone = alone.unwrap();
        assert_eq!(text(decoded.rows), text(alone.rows), "{record}");
    }
}
