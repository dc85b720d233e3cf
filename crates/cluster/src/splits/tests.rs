use arrow::array::Int64Array;

use super::*;

fn split(id: &str, sequence: &str) -> Split {
    Split { id: id.into(), sequence: sequence.to_owned(), payload: String::new() }
}

fn progress(id: &str, offset: &str, is_finished: bool) -> SplitProgress {
    let offset = Some(Offset(offset.to_owned()));
    SplitProgress { split: id.into(), offset, is_finished, watermark: EventTime(7), trail: None }
}

fn next(splits: &mut Splits) -> Option<(String, Option<String>)> {
    match splits.assign() {
        Answer::Read(one) => Some((one.split.id.0, one.offset.map(|offset| offset.0))),
        _ => None,
    }
}

/// Would fail if a restart skipped a split, read one twice, or forgot an offset.
#[test]
fn a_restart_goes_on_where_the_cut_was() {
    let mut splits = Splits::default();
    let found = vec![split("a0", "a"), split("a1", "a"), split("b0", "b"), split("c0", "c")];
    assert_eq!(splits.discovered(found.clone(), true), ["a", "b", "c"]);
    assert_eq!(next(&mut splits), Some(("a0".to_owned(), None)));
    assert_eq!(next(&mut splits), Some(("a1".to_owned(), None)));
    // b0 is given out but its source has not seen it when the checkpoint is cut.
    assert_eq!(next(&mut splits), Some(("b0".to_owned(), None)));
    splits.cut(&[progress("a0", "9", true), progress("a1", "4", false)]);

    let mut restored = Splits::restored(&splits.state()).unwrap();
    assert_eq!(restored.holds(), ["sequence b", "sequence c", "split a1"]);
    assert!(restored.discovered(found, true).is_empty());
    assert_eq!(next(&mut restored), Some(("a1".to_owned(), Some("4".to_owned()))));
    assert_eq!(next(&mut restored), Some(("b0".to_owned(), None)));
    assert_eq!(next(&mut restored), Some(("c0".to_owned(), None)));
    assert_eq!(restored.assign(), Answer::End);
}

/// Would fail if a reader of a watched directory ended while files may still come.
#[test]
fn an_unbounded_source_waits() {
    let mut splits = Splits::default();
    splits.discovered(vec![], false);
    assert_eq!(splits.assign(), Answer::Wait);
}

/// Would fail if a range that was given out and not begun let the watermark run ahead of it.
#[test]
fn a_range_before_a_begun_one_holds_the_watermark() {
    let mut splits = Splits::default();
    splits.discovered(vec![split("a0", "a"), split("a1", "a"), split("a2", "a")], true);
    splits.cut(&[progress("a1", "4", false)]);
    assert_eq!(splits.holds(), ["split a0", "split a1"]);
}

/// Would fail if a file that grows made manifests grow with it, or if a split that is not finished
/// were forgotten.
#[test]
fn what_a_later_split_tells_is_forgotten() {
    let mut splits = Splits::default();
    let found = (0..5).map(|n| split(&format!("a{n}"), "a")).chain([split("b0", "b")]);
    splits.discovered(found.collect(), false);
    for _ in 0..6 {
        next(&mut splits);
    }
    let finished = |id: &str| progress(id, "9", true);
    splits.cut(&[finished("a0"), finished("a1"), progress("a2", "5", false), finished("a3")]);
    splits.cut(&[finished("b0")]);
    let left: Vec<String> = splits.known().into_iter().map(|split| split.id.0).collect();
    assert_eq!(left, ["a2", "a3", "a4", "b0"]);
    splits.discovered(vec![split("a5", "a")], false);
    let Answer::Read(last) = splits.assign() else { panic!("a split waits") };
    assert_eq!((last.split.id.0.as_str(), last.number), ("a5", 6));
}

/// Would fail if what is known of delays were lost with a split that is forgotten, counted twice, or not
/// told to a split that nobody began.
#[test]
fn delays_are_known_of_all_splits_once() {
    let trail = |rows: i64| {
        let mut trail = Trail::default();
        trail.take(&Int64Array::from_iter_values(0..rows), "0.5".parse().unwrap());
        trail
    };
    let mut splits = Splits::default();
    let found = ["a0", "a1", "a2", "b0", "b1"].map(|id| split(id, &id[..1]));
    splits.discovered(found.to_vec(), true);
    let cut = |id: &str, is_finished, rows| SplitProgress {
        trail: Some(trail(rows)),
        ..progress(id, "9", is_finished)
    };
    splits.cut(&[cut("a0", true, 1), cut("a1", true, 2), cut("b0", false, 4)]);
    let mut restored = Splits::restored(&splits.state()).unwrap();
    let mut given = Vec::new();
    while let Answer::Read(one) = restored.assign() {
        given.push((one.split.id.0, one.trail.is_begun(), one.trail.count()));
    }
    let expected = [("b0", true, 4), ("a2", false, 7), ("b1", false, 7)];
    assert_eq!(given, expected.map(|(id, is_begun, rows)| (id.to_owned(), is_begun, rows)));
    splits.cut(&[cut("b0", false, 8)]);
    assert_eq!(Trail::behind(splits.trails.values()).count(), 11);
}
