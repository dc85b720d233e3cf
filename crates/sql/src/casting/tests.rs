use datafusion::arrow::array::{Float64Array, Int64Array, StringViewArray};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;

fn cells(column: &ArrayRef) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).unwrap();
    (0..column.len()).map(|row| formatter.value(row).to_string()).collect()
}

fn target(kind: &DataType, limit: Limit, tries: bool) -> Target {
    Target { kind: kind.clone(), limit, tries }
}

/// Would fail if a text were read as another value than Flink's, or TRY_CAST failed.
#[test]
fn texts_are_read_as_flink_reads_them() {
    let decimal = DataType::Decimal128(5, 2);
    let cases = [
        (DataType::Int32, "12.7", Some("12")),
        (DataType::Int32, " -0.9 ", Some("0")),
        (DataType::Int32, ".", None),
        (DataType::Int32, "1e3", None),
        (DataType::Int8, "128", None),
        (DataType::Int64, "9223372036854775808", None),
        (DataType::Boolean, "Yes", Some("true")),
        (DataType::Boolean, " true", None),
        (DataType::Float64, "1.5d", Some("1.5")),
        (DataType::Float64, "inf", None),
        (DataType::Float64, "-Infinity", Some("-inf")),
        (decimal.clone(), "1.235", Some("1.24")),
        (decimal.clone(), "-.004", Some("0.00")),
        (decimal.clone(), "999.995", None),
        (decimal.clone(), "1e999999999", None),
        (decimal.clone(), "0e999999999", Some("0.00")),
        (decimal, "1e-999999999", Some("0.00")),
        (DataType::Date32, "2024-5", Some("2024-05-01")),
        (DataType::Date32, "2024-02-30", None),
        (
            DataType::Timestamp(TimeUnit::Second, None),
            "2024-02-30 1:2:3",
            Some("2024-02-29T01:02:03"),
        ),
        (DataType::Timestamp(TimeUnit::Second, None), "2024-01-01T00:00:00", None),
        (DataType::Time32(TimeUnit::Millisecond), "1:2:3.5", Some("01:02:03.500")),
        (DataType::Time32(TimeUnit::Millisecond), "24:00:00", None),
    ];
    for (kind, text, expected) in cases {
        let column: ArrayRef = Arc::new(StringViewArray::from(vec![Some(text), None]));
        let tried = converted(&column, &target(&kind, Limit::None, true)).unwrap();
        assert_eq!(cells(&tried), [expected.unwrap_or("NULL"), "NULL"], "{text} as {kind}");
        let strict = converted(&column, &target(&kind, Limit::None, false));
        assert_eq!(strict.is_ok(), expected.is_some(), "{text} as {kind}");
    }
}

/// Would fail if a number were written as Rust writes it.
#[test]
fn floating_numbers_are_written_as_java_does() {
    let cases = [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1e-3, "0.001"),
        (9.999e-4, "9.999E-4"),
        (9_999_999.0, "9999999.0"),
        (1e7, "1.0E7"),
        (-1.5e300, "-1.5E300"),
        (f64::NAN, "NaN"),
        (f64::NEG_INFINITY, "-Infinity"),
    ];
    for (number, expected) in cases {
        assert_eq!(double(number), expected);
    }
}

/// Would fail if numbers behind the ends of a type became other ones than Java's.
#[test]
fn numbers_wrap_or_stop_at_the_end() {
    let doubles: ArrayRef = Arc::new(Float64Array::from(vec![300.7, 1e10, -1e10, f64::NAN]));
    let wholes: ArrayRef = Arc::new(Int64Array::from(vec![300, -129, 5_000_000_000]));
    let cases = [
        (&doubles, DataType::Int32, vec!["300", "2147483647", "-2147483648", "0"]),
        (&doubles, DataType::Int8, vec!["44", "-1", "0", "0"]),
        (&wholes, DataType::Int8, vec!["44", "127", "0"]),
        (&wholes, DataType::Int32, vec!["300", "-129", "705032704"]),
        (&wholes, DataType::Decimal128(3, 0), vec!["300", "-129", "NULL"]),
        (&wholes, DataType::Boolean, vec!["true", "true", "true"]),
    ];
    for (column, kind, expected) in cases {
        let cast = converted(column, &target(&kind, Limit::None, false)).unwrap();
        assert_eq!(cells(&cast), expected, "{kind}");
    }
}

/// Would fail if a length were counted in bytes, or a text longer than its type.
#[test]
fn lengths_cut_and_fill_up() {
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["äöü€", "a", ""]));
    let cut =
        |limit| cells(&converted(&texts, &target(&DataType::Utf8View, limit, false)).unwrap());
    assert_eq!(cut(Limit::Exactly(3)), ["äöü", "a  ", "   "]);
    assert_eq!(cut(Limit::Most(3)), ["äöü", "a", ""]);
    let bytes = converted(&texts, &target(&DataType::Binary, Limit::Exactly(2), false)).unwrap();
    assert_eq!(cells(&bytes), ["c3a4", "6100", "0000"]);
}
