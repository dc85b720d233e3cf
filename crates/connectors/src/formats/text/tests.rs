use super::*;

/// Would fail if a timestamp lost its fraction, or an impossible one were taken.
#[test]
fn timestamps_are_read_in_both_ways() {
    let millis = |text| read_timestamp(text, TimeUnit::Millisecond);
    assert_eq!(millis("1970-01-01 00:00:01"), Some(1_000));
    assert_eq!(millis("2020-04-15T08:05:00.123Z"), Some(1_586_937_900_123));
    assert_eq!(millis("1969-12-31 23:59:59.5"), Some(-500));
    assert_eq!(millis("2020-04-15 08:05"), Some(1_586_937_900_000));
    for wrong in ["2020-02-30 00:00:00", "2020-01-01", "2020-01-01 24:00:00", "soon", ""] {
        assert_eq!(millis(wrong), None, "{wrong}");
    }
}

/// Would fail if any byte in place of another one were taken for a digit, or for what stands between digits.
#[test]
fn each_byte_of_a_timestamp_is_looked_at() {
    let right = "2011-11-11 11:11:11.111";
    let is_read = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).ok();
        text.is_some_and(|text| read_timestamp(text, TimeUnit::Millisecond).is_some())
    };
    for at in 0..right.len() {
        for byte in 0..0x80 {
            let mut text = right.as_bytes().to_vec();
            text[at] = byte;
            let is_right = match right.as_bytes()[at] {
                b' ' => b" T".contains(&byte),
                b'0'..=b'9' => byte.is_ascii_digit() || (at + 1 == right.len() && byte == b'Z'),
                between => byte == between,
            };
            // No month 13, no day or hour 31, and no minute or second 61.
            let limits: [(usize, &[u8]); 6] = [
                (5, b"01"),
                (6, b"012"),
                (8, b"012"),
                (11, b"012"),
                (14, b"012345"),
                (17, b"012345"),
            ];
            let limit = limits.iter().find(|(place, _)| *place == at);
            let is_right = is_right && limit.is_none_or(|(_, digits)| digits.contains(&byte));
            assert_eq!(is_read(&text), is_right, "{}", String::from_utf8_lossy(&text));
        }
    }
}

/// Would fail if an offset were dropped, taken the wrong way round, or a date's hyphen for its sign.
#[test]
fn instants_are_read_with_their_offset() {
    let seconds = |text| read_instant(text, TimeUnit::Second);
    let noon = seconds("2024-03-31 12:00:00Z");
    assert_eq!(noon, Some(1_711_886_400));
    let same = [
        "2024-03-31T12:00:00",
        "2024-03-31T12:00",
        "2024-03-31T12:00Z",
        "2024-03-31T14:00:00.999+02:00",
        "2024-03-31 14:00:00+0200",
        "2024-03-31T14:00+02",
        "2024-03-31T08:30:00-03:30",
    ];
    same.iter().for_each(|text| assert_eq!(seconds(text), noon, "{text}"));
    let wrong =
        ["2024-03-31T12:00:00+19:00", "2024-03-31T12:00:00+2:00", "2024-03-31T12:00:00Z+02:00"];
    wrong.iter().for_each(|text| assert_eq!(seconds(text), None, "{text}"));
    for wrong in
        ["2024-03-31", "2024-03-31T12:00:00+é1", "2024-03-31T12:0", "2024-03-31T12:00:", "+"]
    {
        assert_eq!(seconds(wrong), None, "{wrong}");
    }
    assert_eq!(read_timestamp("2024-03-31T12:00:00+02:00", TimeUnit::Second), None);
    assert_eq!(
        read_instant("2024-03-31 12:00:00.123Z", TimeUnit::Millisecond),
        Some(1_711_886_400_123)
    );
}

/// Would fail if a price went through binary floating point.
#[test]
fn decimals_are_exact() {
    assert_eq!(read_decimal("0.1", 10, 2), Some(10));
    assert_eq!(read_decimal("-12.345", 10, 2), Some(-1235));
    assert_eq!(read_decimal("1e2", 10, 2), Some(10_000));
    assert_eq!(read_decimal("123456", 5, 2), None);
    assert_eq!(read_decimal("12a", 10, 2), None);
}

/// Would fail if bytes changed on their way through text.
#[test]
fn base64_reads_back() {
    for bytes in [&b""[..], b"a", b"ab", b"abc", &[0, 255, 17, 3]] {
        let mut text = String::new();
        push_base64(bytes, &mut text);
        assert_eq!(read_base64(&text).unwrap(), bytes, "{text}");
    }
}

/// Would fail if a number were another one than Java's `BigDecimal` writes for it.
#[test]
fn decimals_have_exponents_as_in_java() {
    let cases = [
        ("100000", "1E+5"),
        ("100.00", "1E+2"),
        ("-1230.00", "-1.23E+3"),
        ("1.50", "1.5"),
        ("-0.000001", "-0.000001"),
        ("0.000000027", "2.7E-8"),
        ("0.00", "0"),
        ("12", "12"),
        ("0.5", "0.5"),
    ];
    for (plain, expected) in cases {
        assert_eq!(scientific(plain), expected, "{plain}");
    }
}
