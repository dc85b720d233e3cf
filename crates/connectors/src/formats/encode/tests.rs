use std::sync::Arc;

use arrow::array::{
    Decimal128Array, Float64Array, Int64Array, StringViewArray, TimestampMillisecondArray,
};

use super::*;

fn rows() -> Change {
    let price =
        Decimal128Array::from(vec![Some(130), None]).with_precision_and_scale(9, 2).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("name", Arc::new(StringViewArray::from(vec![Some("a \"b\",\n"), Some("")]))),
        ("price", Arc::new(price)),
        ("ratio", Arc::new(Float64Array::from(vec![0.1, f64::NAN]))),
        ("at", Arc::new(TimestampMillisecondArray::from(vec![Some(1_586_937_900_000), None]))),
    ];
    let weights = Int64Array::from(vec![-1, 1]);
    Change::weighted(RecordBatch::try_from_iter(columns).unwrap(), weights).unwrap()
}

fn encoded(encoder: Encoder) -> String {
    let mut out = String::new();
    encoder.encode(&rows(), &mut out);
    out
}

/// Would fail if a value were printed that its format cannot read back.
#[test]
fn values_are_printed_as_their_format_has_them() {
    let json = "{\"name\":\"a \\\"b\\\",\\n\",\"price\":1.30,\"ratio\":0.1,\
                \"at\":\"2020-04-15 08:05:00.000\"}\n\
                {\"name\":\"\",\"price\":null,\"ratio\":\"NaN\",\"at\":null}\n";
    assert_eq!(encoded(Encoder::Json(JsonDialect::default())), json);
    let csv = "\"a \"\"b\"\",\n\",1.30,0.1,2020-04-15 08:05:00.000\n\"\",,NaN,\n";
    assert_eq!(encoded(Encoder::Csv(Dialect::default())), csv);
}

/// Would fail if a retraction looked like an insert.
#[test]
fn debezium_tells_inserts_from_deletes() {
    let text = encoded(Encoder::Changes(Envelope::Debezium, JsonDialect::default()));
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("{\"before\":{") && lines[0].ends_with("\"after\":null,\"op\":\"d\"}")
    );
    assert!(
        lines[1].starts_with("{\"before\":null,\"after\":{") && lines[1].ends_with("\"op\":\"c\"}")
    );
}

/// Would fail if the value of a key that is gone were written, or the key were missing.
#[test]
fn records_with_a_key_say_nothing_of_a_value_that_is_gone() {
    let dialect = JsonDialect::default();
    let text = encoded(Encoder::Upsert { dialect, key: vec![0], value: vec![1, 2] });
    let expected = "{\"key\":{\"name\":\"a \\\"b\\\",\\n\"},\"value\":null}\n\
                    {\"key\":{\"name\":\"\"},\"value\":{\"price\":null,\"ratio\":\"NaN\"}}\n";
    assert_eq!(text, expected);
}

/// Would fail if bytes were shown as hexadecimal digits, or a number could not be read back.
#[test]
fn bytes_are_base64_and_numbers_the_shortest_that_read_back() {
    let bytes: Vec<&[u8]> = vec![b"\x00\xff", b""];
    let rows = RecordBatch::try_from_iter([
        ("b", Arc::new(arrow::array::BinaryArray::from_vec(bytes.clone())) as ArrayRef),
        ("v", Arc::new(arrow::array::BinaryViewArray::from_iter_values(bytes.clone()))),
        ("l", Arc::new(arrow::array::LargeBinaryArray::from_vec(bytes))),
        ("x", Arc::new(Float64Array::from(vec![1e300, 0.1 + 0.2]))),
        ("y", Arc::new(arrow::array::Float32Array::from(vec![0.1, 16_777_216.0]))),
    ]);
    let change = Change::append(rows.unwrap());
    let mut out = String::new();
    Encoder::Json(JsonDialect::default()).encode(&change, &mut out);
    let expected = "{\"b\":\"AP8=\",\"v\":\"AP8=\",\"l\":\"AP8=\",\"x\":1e300,\"y\":0.1}\n\
                    {\"b\":\"\",\"v\":\"\",\"l\":\"\",\"x\":0.30000000000000004,\"y\":16777216.0}\n";
    assert_eq!(out, expected);
    out.clear();
    Encoder::Csv(Dialect::default()).encode(&change, &mut out);
    assert!(out.starts_with("AP8=,AP8=,AP8=,1e300,0.1\n"), "{out}");
}
