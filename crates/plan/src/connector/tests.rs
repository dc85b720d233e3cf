use super::*;

/// Would fail if a slip of the pen were refused without a hint.
#[test]
fn unknown_options_name_the_nearest() {
    let options = Options(BTreeMap::from([("formt".to_owned(), "json".to_owned())]));
    let error = options.only(&["format", "path"]).unwrap_err();
    assert_eq!(error.message(), "unknown option 'formt'");
    assert_eq!(error.remedy_text(), Some("did you mean 'format'?"));
}

/// Would fail if Flink's ways to write spans and sizes were misread.
#[test]
fn spans_and_sizes_are_read_as_flink_writes_them() {
    for (text, expected) in [("5s", 5_000), ("500 ms", 500), ("1 min", 60_000), ("10", 10)] {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(expected)), "{text}");
    }
    assert_eq!(parse_bytes("2 kb"), Some(2048));
    assert_eq!(parse_duration("soon"), None);
}
