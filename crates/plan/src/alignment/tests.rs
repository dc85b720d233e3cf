use super::*;

/// Would fail if the slowest split waited for itself, or one that is just within the drift.
#[test]
fn who_is_too_far_ahead_waits() {
    let drift = Alignment { group: "g".to_owned(), max_drift: Duration::from_nanos(10) };
    let holds = |slowest: i64, reached: i64| {
        drift.holds(Some(EventTime(slowest)), (EventTime(reached), false))
    };
    assert!(!holds(5, 5));
    assert!(!holds(5, 15));
    assert!(holds(5, 16));
    // Nobody knows yet where a split is that was just opened.
    assert!(drift.holds(Some(EventTime::MIN), (EventTime(0), false)));
    assert!(!drift.holds(Some(EventTime::MIN), (EventTime::MIN, false)));
    assert!(!drift.holds(Some(EventTime::MAX), (EventTime::MAX, false)));
    // Where all are idle, none is told of, and none waits.
    assert!(drift.holds(None, (EventTime(0), false)));
    assert!(!drift.holds(None, (EventTime(0), true)));
    assert!(!drift.holds(None, (EventTime::MIN, false)));
}
