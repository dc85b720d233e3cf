use super::*;

/// Would fail if a time were read as another one, or one were taken that the clock cannot show.
#[test]
fn fixed_clocks_are_read_in_utc() {
    let shown = |text: &str| FixedClock::parse(text).map(|clock| clock.now().to_string());
    for text in [
        "2026-01-01 00:00:00",
        "2026-01-01T00:00:00Z",
        "2026-01-01T02:00:00+02:00",
        "2026-01-01 00:00:00.000",
    ] {
        assert_eq!(shown(text).as_deref(), Some("2026-01-01 00:00:00.000"), "{text}");
    }
    assert_eq!(shown("1970-01-01 00:00:00.25").as_deref(), Some("1970-01-01 00:00:00.250"));
    let refused =
        ["", "now", "2026-01-01", "2026-13-01 00:00:00", "1767225600", "2026-01-01 24:00:00"];
    // The first is in 1969 by UTC.
    let beyond = ["1970-01-01T00:00:00+02:00", "1969-12-31 23:59:59", "2200-01-01 00:00:00"];
    for text in refused.into_iter().chain(beyond) {
        assert_eq!(shown(text), None, "{text}");
    }
}

/// Would fail if a clock moved that is not to, or one that moves passed for one that does not.
#[test]
fn fixed_clocks_stand_still() {
    let clock = FixedClock::parse("2026-01-01 00:00:00").unwrap();
    assert_eq!(clock.now(), clock.now());
    assert!(clock.stands_still() && !SystemClock.stands_still());
    assert_eq!(clock.to_string(), "2026-01-01 00:00:00.000");
}
