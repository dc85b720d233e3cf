use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::operators::testing::*;

fn check(ttl: Option<Duration>, diverts: bool) -> Check {
    let node = CheckNode { table: "t".to_owned(), key: None, ttl, diverts };
    Check::new(&node, &row_schema()).unwrap()
}

/// Checks versions of the key.
fn keyed() -> Box<dyn Operator> {
    let node = CheckNode { table: "t".to_owned(), key: Some(vec![0]), ttl: None, diverts: true };
    Box::new(Check::new(&node, &row_schema()).unwrap())
}

fn operator() -> Box<dyn Operator> {
    Box::new(check(None, false))
}

/// A row and its weight.
type Line = (i64, i64);

fn changed(lines: &[Line]) -> Change {
    let row =
        |(value, _): &Line| Row { key: "k".to_owned(), value: Some(*value), start: 0, end: 0 };
    let rows = change(&lines.iter().map(row).collect::<Vec<_>>()).rows;
    Change::weighted(rows, lines.iter().map(|(_, weight)| *weight).collect::<Vec<_>>().into())
        .unwrap()
}

/// Random changes of few rows, so that many take back what is not there.
fn epochs(seed: u64) -> Vec<Vec<Line>> {
    let mut random = Random::new(seed);
    let mut line = || (random.below(9), random.below(2) * 2 - 1);
    (0..30).map(|_| (0..12).map(|_| line()).collect()).collect()
}

fn turns(epochs: &[Vec<Line>]) -> Vec<Turn> {
    let turn = |(time, lines): (usize, &Vec<Line>)| Turn::at(time as i64, vec![changed(lines)]);
    epochs.iter().enumerate().map(turn).collect()
}

/// What passes in each epoch.
fn naive(epochs: &[Vec<Line>]) -> Vec<Vec<String>> {
    let mut counts: BTreeMap<i64, i64> = BTreeMap::new();
    let passes = |(value, weight): &Line| {
        let count = counts.entry(*value).or_default();
        let passes = *count + weight >= 0;
        *count += if passes { *weight } else { 0 };
        passes.then(|| format!("{weight:+} k|{value}|0|0"))
    };
    let mut passes = passes;
    let sorted = |lines: &Vec<Line>| {
        let mut lines: Vec<String> = lines.iter().filter_map(&mut passes).collect();
        lines.sort();
        lines
    };
    epochs.iter().map(sorted).collect()
}

/// Would fail if a row could be taken back that is not there, or not as often as it came.
#[test]
fn what_passes_never_goes_below_zero() {
    for seed in 0..20 {
        let epochs = epochs(seed);
        let sent = run_one(operator().as_mut(), &turns(&epochs));
        let found: Vec<Vec<String>> = sent.iter().map(Sent::sorted).collect();
        assert_eq!(found, naive(&epochs), "seed {seed}");
    }
}

/// Would fail if a crash, or another number of workers, forgot a row or a count.
#[test]
fn crashes_and_workers_change_nothing() {
    for seed in 0..10 {
        let stand = Stand { pre: None, make: &operator, keys: vec![0, 1, 2, 3] };
        stand.check_crashes(&turns(&epochs(seed)), seed);
    }
}

/// Would fail if a version had to be named to be deleted, if a version did not take the place of the one before,
/// or if a key that is gone could be deleted again.
#[test]
fn a_version_is_there_until_its_key_is_deleted() {
    let (mut operator, mut out) = (keyed(), Output::default());
    let rows = [(1, -1), (1, 1), (2, 1), (1, -1), (2, -1), (3, 1), (3, -1)];
    operator.batch(0, changed(&rows), &mut out).unwrap();
    assert_eq!(out.counted(), (0, 2));
    let sent = out.take();
    assert_eq!((sent[0].0, sent[1].0), (1, 0));
    assert_eq!(texts(&sent[1].1), ["k|1|0|0", "k|2|0|0", "k|1|0|0", "k|3|0|0", "k|3|0|0"]);
    for seed in 0..10 {
        let stand = Stand { pre: None, make: &keyed, keys: vec![0] };
        stand.check_crashes(&turns(&epochs(seed)), seed);
    }
}

/// Would fail if what is left out were not counted, or did not say which row it is.
#[test]
fn what_is_left_out_is_a_bad_record() {
    let (mut operator, mut out) = (check(None, true), Output::default());
    let rows = [(1, 1), (1, -1), (1, -1), (2, 1), (3, -1)];
    operator.batch(0, changed(&rows), &mut out).unwrap();
    assert_eq!(out.counted(), (0, 2));
    let sent = out.take();
    assert_eq!(
        sent.iter().map(|(port, change)| (*port, change.len())).collect::<Vec<_>>(),
        [(1, 2), (0, 3)]
    );
    let error = sent[0].1.rows.column(2).as_string::<i32>().value(1).to_owned();
    assert!(error.starts_with("a row is taken back that never came: key k, value 3"), "{error}");
}

/// Would fail if rows that are gone took memory for ever, or if giving it back lost a row.
#[test]
fn rows_that_are_gone_give_their_memory_back() {
    let (mut operator, groups) =
        (check(None, false), thalweg_types::KeyGroups { count: 8, workers: 1 });
    run_one(&mut operator, &turns(&[vec![(-1, 1), (-1, 1)]]));
    for epoch in 0..20 {
        let lines =
            |weight: i64| (0..1000).map(|row| (epoch * 1000 + row, weight)).collect::<Vec<_>>();
        run_one(&mut operator, &turns(&[lines(1), lines(-1)]));
        let mut writer = StateWriter::new(false, groups);
        operator.snapshot(&mut writer).unwrap();
    }
    assert!(operator.counts.len() < 2 * ROWS_MIN, "{} rows are known", operator.counts.len());
    assert_eq!(operator.size().1, 1);
    let sent = run_one(&mut operator, &turns(&[vec![(-1, -1), (5, -1), (-1, -1), (-1, -1)]]));
    assert_eq!(sent[0].sorted(), ["-1 k|-1|0|0", "-1 k|-1|0|0"]);
}

/// Would fail if a time-to-live did not bound the rows, or what was forgotten were a bad record.
#[test]
fn rows_with_a_time_to_live_are_forgotten() {
    let mut operator = check(Some(Duration::from_millis(16)), true);
    let turn = |time, lines: &[Line]| Turn::at(time, vec![changed(lines)]);
    run_one(&mut operator, &[turn(0, &[(1, 1), (2, 1)]), turn(10, &[(2, 1)]), turn(20, &[])]);
    assert_eq!(operator.size().1, 1);
    let mut out = Output::default();
    operator.batch(0, changed(&[(1, -1), (2, -1)]), &mut out).unwrap();
    assert_eq!((out.counted(), out.forgotten()), ((0, 0), 1));
    assert_eq!(texts(&out.take()[0].1), ["k|2|0|0"]);
}
