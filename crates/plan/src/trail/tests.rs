use super::*;

fn share(text: &str) -> Share {
    text.parse().unwrap()
}

/// Returns the watermark behind times in seconds, in seconds.
fn watermark(trail: &mut Trail, times: &[i64], at: &str) -> Option<i64> {
    let nanos = times.iter().map(|time| time * 1_000_000_000);
    let watermark = trail.take(&Int64Array::from_iter_values(nanos), share(at));
    watermark.map(|time| time.0.div_euclid(1_000_000_000))
}

/// Would fail if the watermark trailed by another delay, or the order of rows did not count.
#[test]
fn the_watermark_trails_the_newest_by_a_percentile_of_the_delays() {
    let mut trail = Trail::behind([]);
    assert_eq!(trail.take(&Int64Array::from(vec![None::<i64>]), share("0.5")), None);
    // Delays of 0, 0, 10, 5 and 0 seconds.
    let times = [100, 110, 100, 105, 120];
    assert_eq!(watermark(&mut trail, &times, "0.6"), Some(120));
    assert_eq!(watermark(&mut trail.clone(), &[], "0.61"), Some(114));
    assert_eq!(watermark(&mut trail.clone(), &[], "0.8"), Some(114));
    assert_eq!(watermark(&mut trail.clone(), &[], "1"), Some(109));
    assert_eq!(watermark(&mut trail, &[130], "0"), Some(130));
}

/// Would fail if a bucket were wider than it may be, or a delay stood in another one.
#[test]
fn a_bucket_ends_at_or_behind_its_delays_by_a_128th() {
    let mut last = None;
    for power in 0..63 {
        for part in 0..300 {
            let nanos = (1_u64 << power) + ((1_u64 << power) / 300) * part;
            let end = end_of(bucket_of(nanos));
            assert!(end >= nanos && end - nanos <= nanos >> DETAIL, "{nanos}: {end}");
            assert!(bucket_of(end) == bucket_of(nanos) && bucket_of(end + 1) == bucket_of(end) + 1);
            assert!(last.is_none_or(|last| last <= end));
            last = Some(end);
        }
    }
    assert_eq!(end_of(bucket_of(0)), 0);
}

/// Would fail if the cut of rows into batches, a stop between them, or the order of splits showed.
#[test]
fn trails_go_on_and_merge() {
    let (mut whole, mut parts) = (Trail::behind([]), Trail::behind([]));
    let times: Vec<i64> = (0..500).map(|n| n + n * 7919 % 83).collect();
    let expected = watermark(&mut whole, &times, "0.9");
    let mut found = None;
    for part in times.chunks(7) {
        found = watermark(&mut parts, part, "0.9");
        parts = Trail::restore(&parts.store()).unwrap();
    }
    assert_eq!((found, &parts), (expected, &whole));
    let mut next = Trail::behind([&whole, &parts]);
    assert_eq!((next.count(), watermark(&mut next, &[], "0.9")), (1000, None));
    // What is known of delays counts from the first row of a split on.
    let first = watermark(&mut next, &[1000], "0.9").unwrap();
    assert!((1000 - 83..1000 - 60).contains(&first), "{first}");
    let mut both = whole.clone();
    both.absorb(&parts);
    assert_eq!(both.followed().before, Trail::behind([&parts, &whole]).before);
}

#[test]
fn shares_are_numbers_from_0_to_1() {
    for (text, shown) in [("0.95", "0.95"), (".5", "0.5"), ("1", "1"), ("1.0", "1"), ("0", "0")] {
        assert_eq!(share(text).to_string(), shown);
    }
    for text in ["", ".", "2", "1.1", "-0.5", "0.1234567", "95", "0.9x"] {
        assert!(text.parse::<Share>().is_err(), "{text}");
    }
}

/// Would fail if this version could not go on with what version 1 stored.
#[test]
fn the_fixture_of_version_1_opens() {
    let stored =
        r#"{"version": 1, "newest": 7000000000, "own": {"0": 3, "3060": 1}, "before": {"128": 2}}"#;
    let trail = Trail::restore(&serde_json::from_str(stored).unwrap()).unwrap();
    assert_eq!((trail.count(), trail.newest), (6, Some(7_000_000_000)));
    assert_eq!(trail.percentile(share("0.5")), 0);
    assert_eq!(trail.percentile(share("0.6")), 128);
    let later = serde_json::from_str(&stored.replace(": 1,", ": 2,")).unwrap();
    assert!(Trail::restore(&later).unwrap_err().message().contains("version 2"));
}
