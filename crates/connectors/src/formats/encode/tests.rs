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
    let text = encoded(Encoder::Debezium(JsonDialect::default()));
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("{\"before\":{") && lines[0].ends_with("\"after\":null,\"op\":\"d\"}")
    );
    assert!(
        lines[1].starts_with("{\"before\":null,\"after\":{") && lines[1].ends_with("\"op\":\"c\"}")
    );
}
