use std::collections::BTreeMap;

use thalweg_plan::window::{Assigner, TimeBasis};

use super::*;
use crate::operators::testing::*;

const GAP: i64 = 10;

fn operator() -> Box<dyn Operator> {
    let assigner = Assigner::Session { gap: GAP };
    let window = WindowSpec { assigner, basis: TimeBasis::Event, start: 2, end: 3, zone: None };
    let node = SessionRowsNode { window, keys: vec![0], divert_late: true, retracts: false };
    Box::new(SessionRows::new(&node, row_schema()).unwrap())
}

fn turns(seed: u64) -> (Vec<Turn>, Vec<Row>) {
    let mut random = Random::new(seed);
    let (mut turns, mut all) = (Vec::new(), Vec::new());
    for epoch in 0..40 {
        let rows: Vec<Row> = (0..random.below(8))
            .map(|_| {
                let start = epoch * 10 + 1 + random.below(25);
                let key = format!("key {}", random.below(4));
                Row { key, value: Some(random.below(100)), start, end: start + GAP }
            })
            .collect();
        all.extend(rows.iter().cloned());
        turns.push(Turn::at(epoch * 10, vec![change(&rows)]));
    }
    turns.push(Turn::last(Vec::new()));
    (turns, all)
}

/// The rows with their sessions, found by sorting everything.
fn naive(rows: &[Row]) -> Vec<String> {
    let mut by_key: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    rows.iter().for_each(|row| by_key.entry(&row.key).or_default().push(row));
    let mut lines = Vec::new();
    for (key, mut rows) in by_key {
        rows.sort_by_key(|row| row.start);
        let is_apart = |a: &&Row, b: &&Row| b.start <= a.start + GAP;
        for session in rows.chunk_by(is_apart) {
            let (start, end) = (session[0].start, session[session.len() - 1].start + GAP);
            lines.extend(
                session.iter().map(|row| format!("+1 {key}|{}|{start}|{end}", row.value.unwrap())),
            );
        }
    }
    lines.sort();
    lines
}

/// Would fail if a row got another session than its own, or was lost, also across crashes.
#[test]
fn each_row_gets_the_session_that_it_is_in() {
    for seed in 0..10 {
        let (turns, rows) = turns(seed);
        let make = || operator();
        let stand = Stand { pre: None, make: &make, keys: vec![0] };
        let sent = stand.run(&turns);
        let mut lines: Vec<String> = sent.iter().flat_map(Sent::sorted).collect();
        lines.sort();
        assert_eq!(lines, naive(&rows), "seed {seed}");
        stand.check_crashes(&turns, seed);
    }
}
