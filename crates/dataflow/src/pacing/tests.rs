use super::*;

const QUIET: Situation = Situation {
    in_flight: 0,
    waiting_bytes: 0,
    has_reason: false,
    is_urgent: false,
    since_last: Duration::from_secs(1),
    empty_cost: Duration::from_micros(10),
};

/// Would fail if an idle job opened epochs, or a burst had to wait.
#[test]
fn an_epoch_is_opened_for_a_reason_only() {
    assert_eq!(decide(&QUIET), Decision::Wait);
    assert_eq!(decide(&Situation { has_reason: true, ..QUIET }), Decision::Open);
}

/// Would fail if small epochs took more than a tenth of a core.
#[test]
fn small_epochs_keep_their_distance() {
    let soon = Situation { has_reason: true, since_last: Duration::from_micros(30), ..QUIET };
    assert_eq!(decide(&soon), Decision::Later(Duration::from_micros(70)));
    let much = Situation { waiting_bytes: TARGET_BYTES, ..soon };
    assert_eq!(decide(&much), Decision::Open);
    let costly = Situation { empty_cost: Duration::from_micros(100), ..soon };
    assert_eq!(decide(&costly), Decision::Later(Duration::from_micros(970)));
}

/// Would fail if sources could run ahead of a slow sink without bound.
#[test]
fn epochs_in_flight_are_bounded() {
    let full = Situation {
        in_flight: IN_FLIGHT_MAX,
        waiting_bytes: 1 << 30,
        has_reason: true,
        is_urgent: true,
        ..QUIET
    };
    assert_eq!(decide(&full), Decision::Wait);
}

/// Would fail if an unread file, or a worker that lags, did not hold the watermark back.
#[test]
fn the_watermark_is_that_of_the_slowest() {
    let mut progress = SourceProgress::default();
    progress.watermarks.insert(0, vec![EventTime(5)]);
    progress.watermarks.insert(1, vec![EventTime(3)]);
    assert_eq!(progress.watermark(EventTime::MIN, Share::ALL, 2), EventTime(3));
    progress.watermarks.insert(1, Vec::new());
    assert_eq!(progress.watermark(EventTime(3), Share::ALL, 2), EventTime(5));
    assert_eq!(progress.watermark(EventTime(9), Share::ALL, 2), EventTime(9));
    progress.hold(vec!["b.json".to_owned()]);
    assert_eq!(progress.watermark(EventTime::MIN, Share::ALL, 2), EventTime::MIN);
    progress.open(vec!["b.json".to_owned(), "c.json".to_owned()]);
    progress.hold(vec!["c.json".to_owned()]);
    assert_eq!(progress.watermark(EventTime::MIN, Share::ALL, 2), EventTime(5));
    progress.hold_behind("d.json, from 9".to_owned(), Some(0));
    assert_eq!(progress.watermark(EventTime(5), Share::ALL, 2), EventTime(5));
    progress.watermarks.insert(0, vec![EventTime(7)]);
    assert_eq!(progress.watermark(EventTime(5), Share::ALL, 2), EventTime(7));
    progress.watermarks.insert(0, Vec::new());
    progress.watermarks.insert(1, vec![EventTime(9)]);
    assert_eq!(progress.watermark(EventTime(7), Share::ALL, 2), EventTime(7));
    progress.finished.extend([0, 1]);
    assert_eq!(progress.watermark(EventTime(3), Share::ALL, 2), EventTime::MAX);
}

/// Would fail if a split that lags held a watermark back that is to go on without it, if one that is not
/// begun did not count, or if the watermark went back when more of them were opened.
#[test]
fn the_watermark_goes_on_with_a_share_of_the_splits() {
    let share = |text: &str| text.parse::<Share>().unwrap();
    let mut progress = SourceProgress::default();
    progress.watermarks.insert(0, vec![EventTime(9), EventTime(7), EventTime(2)]);
    progress.watermarks.insert(1, vec![EventTime(8)]);
    let at =
        |progress: &SourceProgress, text: &str| progress.watermark(EventTime(1), share(text), 2).0;
    let all = ["0", "0.25", "0.5", "0.51", "0.75", "0.76", "1"];
    assert_eq!(all.map(|text| at(&progress, text)), [9, 9, 8, 7, 7, 2, 2]);
    progress.hold(vec!["unread".to_owned()]);
    assert_eq!(all.map(|text| at(&progress, text)), [9, 8, 7, 7, 2, 2, 1]);
    // It is opened and idle: it does not count. Neither does what is at its end.
    progress.open(vec!["unread".to_owned()]);
    progress.watermarks.insert(0, vec![EventTime(9)]);
    assert_eq!(all.map(|text| at(&progress, text)), [9, 9, 9, 8, 8, 8, 8]);
    assert_eq!(progress.watermark(EventTime(10), share("0.5"), 2), EventTime(10));
}
