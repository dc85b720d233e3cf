use std::collections::BTreeMap;

use thalweg_plan::window::TimeBasis;

use super::*;
use crate::operators::testing::*;

const GAP: i64 = 10;
/// By how much the watermark trails the newest time.
const DELAY: i64 = 25;

fn operator() -> Box<dyn Operator> {
    let assigner = Assigner::Session { gap: GAP };
    let window = WindowSpec { assigner, basis: TimeBasis::Event, start: 2, end: 3, zone: None };
    let node = SessionRowsNode { window, keys: vec![0], divert_late: true, retracts: true };
    Box::new(SessionChanges::new(&node, row_schema()).unwrap())
}

fn row(key: i64, value: i64, start: i64) -> Row {
    Row { key: format!("key {key}"), value: Some(value), start, end: start + GAP }
}

fn weighted(rows: &[(Row, i64)]) -> Change {
    let all: Vec<Row> = rows.iter().map(|(row, _)| row.clone()).collect();
    let weights: Vec<i64> = rows.iter().map(|(_, weight)| *weight).collect();
    Change::weighted(change(&all).rows, weights.into()).unwrap()
}

/// Returns epochs of rows that come and go, none of them late, each with the rows that there are at its end
/// and its watermark. The rows of an epoch come in any order, so that some go before they came.
fn turns(seed: u64) -> (Vec<Turn>, Vec<(Vec<Row>, i64)>) {
    let mut random = Random::new(seed);
    let (mut turns, mut all) = (Vec::new(), Vec::new());
    let mut there: Vec<Row> = Vec::new();
    let mut watermark = i64::MIN;
    for epoch in 0..60 {
        let mut changed: Vec<(Row, i64)> = Vec::new();
        for _ in 0..random.below(9) {
            let in_time: Vec<usize> =
                (0..there.len()).filter(|at| there[*at].start > watermark).collect();
            if !in_time.is_empty() && random.below(5) < 2 {
                let at = in_time[random.below(in_time.len() as i64) as usize];
                changed.push((there.swap_remove(at), -1));
                continue;
            }
            // Few values, so that some rows are equal.
            let start = (epoch * 5 + 1 + random.below(25)).max(watermark.saturating_add(1));
            let new = row(random.below(3), random.below(2), start);
            there.push(new.clone());
            changed.push((new, 1));
        }
        for at in (1..changed.len()).rev() {
            changed.swap(at, random.below(at as i64 + 1) as usize);
        }
        let cut = random.below(changed.len() as i64 + 1) as usize;
        let batches = [&changed[..cut], &changed[cut..]].map(weighted);
        watermark = watermark.max(epoch * 5 + 26 - DELAY);
        turns.push(Turn::at(watermark, batches.into()));
        all.push((there.clone(), watermark));
    }
    turns.push(Turn::last(Vec::new()));
    all.push((there, i64::MAX));
    (turns, all)
}

/// The rows of complete sessions, found by sorting everything.
fn naive(rows: &[Row], watermark: i64) -> Vec<String> {
    let mut by_key: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    rows.iter().for_each(|row| by_key.entry(&row.key).or_default().push(row));
    let mut lines = Vec::new();
    for (key, mut rows) in by_key {
        rows.sort_by_key(|row| row.start);
        for session in rows.chunk_by(|a, b| b.start <= a.start + GAP) {
            let (start, end) = (session[0].start, session[session.len() - 1].start + GAP);
            if end - 1 <= watermark {
                lines.extend(
                    session
                        .iter()
                        .map(|row| format!("+1 {key}|{}|{start}|{end}", row.value.unwrap())),
                );
            }
        }
    }
    lines.sort();
    lines
}

/// Would fail if a session were not the one of the rows that are left: shorter where one went at an end,
/// two where one went between; after any epoch, and also across crashes.
#[test]
fn sessions_are_those_of_the_rows_that_are_left() {
    for seed in 0..20 {
        let (turns, all) = turns(seed);
        let make = || operator();
        let stand = Stand { pre: None, make: &make, keys: vec![0] };
        let mut lines = Vec::new();
        for (epoch, (sent, (rows, watermark))) in stand.run(&turns).iter().zip(&all).enumerate() {
            assert_eq!(sent.late, 0, "seed {seed}");
            lines.extend(sent.sorted());
            lines.sort();
            assert_eq!(lines, naive(rows, *watermark), "seed {seed}, epoch {epoch}");
        }
        assert!(lines.len() > 30, "seed {seed}: {} rows", lines.len());
        stand.check_crashes(&turns, seed);
    }
}

/// Would fail if a row taken back behind its session's end were an error, or one that never came were none.
#[test]
fn what_goes_late_is_counted_and_what_never_came_is_an_error() {
    let turns = |last: Row| {
        vec![
            Turn::at(1, vec![weighted(&[(row(1, 1, 5), 1), (row(1, 2, 40), 1)])]),
            Turn::at(20, Vec::new()),
            Turn::at(21, vec![weighted(&[(last, -1)])]),
        ]
    };
    let sent = run_one(operator().as_mut(), &turns(row(1, 1, 5)));
    let late: Vec<usize> = sent.iter().map(|sent| sent.late as usize).collect();
    assert_eq!(late, [0, 0, 1]);
    let mut unknown = operator();
    let mut out = Output::default();
    unknown.batch(0, weighted(&[(row(1, 7, 40), -1)]), &mut out).unwrap();
    let error = unknown.close(&turns(row(1, 1, 5))[0].close(0), &mut out).unwrap_err();
    assert!(error.to_string().contains("taken back that never came"), "{error}");
}

/// Would fail if keys of the past took memory for ever, or what is left got lost when they are given back.
#[test]
fn keys_of_the_past_are_given_back() {
    let mut turns = Vec::new();
    for epoch in 0..5 {
        let rows: Vec<_> =
            (0..2000).map(|key| (row(epoch * 2000 + key, 1, epoch * 100 + 1), 1)).collect();
        turns.push(Turn::at(epoch * 100, vec![weighted(&rows)]));
    }
    let mut operator = operator();
    let sent = run_one(operator.as_mut(), &turns);
    let rows: usize = sent.iter().map(|sent| sent.sorted().len()).sum();
    assert_eq!(rows, 8000);
    let (bytes, left) = operator.size();
    assert_eq!(left, 2000);
    assert!(bytes < 3_000_000, "{bytes} bytes for {left} rows");
}
