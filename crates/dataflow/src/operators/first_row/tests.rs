use std::collections::BTreeMap;
use std::time::Duration;

use thalweg_plan::node::{Ranking, SortKey};
use thalweg_types::KeyGroups;

use super::*;
use crate::operators::testing::*;

fn node(partition: Vec<usize>, ttl: Option<Duration>) -> TopNode {
    TopNode {
        partition,
        order: vec![SortKey { column: 2, descending: false, nulls_first: true }],
        ranking: Ranking::RowNumber,
        ranks: 1..=1,
        has_rank: false,
        is_retracted: false,
        final_by: Some(TimeBasis::Event),
        ttl,
    }
}

fn operator(ttl: Option<Duration>) -> FirstRow {
    FirstRow::new(&node(vec![0], ttl), &row_schema(), row_schema()).unwrap()
}

fn row(key: &str, value: i64, time: i64) -> Row {
    Row { key: key.to_owned(), value: Some(value), start: time, end: 0 }
}

fn lines(sent: &[Sent]) -> Vec<Vec<String>> {
    sent.iter().map(Sent::sorted).collect()
}

/// Would fail if a row were sent before an earlier one can still come, or a second time.
#[test]
fn a_row_is_sent_once_when_the_watermark_has_reached_it() {
    let turns = [
        Turn::at(5, vec![change(&[row("a", 1, 9), row("b", 1, 20)])]),
        Turn::at(8, vec![change(&[row("a", 2, 9), row("a", 3, 7)]), change(&[row("a", 0, 7)])]),
        Turn::at(9, vec![change(&[row("a", 4, 10)])]),
        Turn::last(vec![]),
    ];
    let sent = run_one(&mut operator(None), &turns);
    assert_eq!(lines(&sent), [vec![], vec!["+1 a|0|7|0"], vec![], vec!["+1 b|1|20|0"]]);
    assert!(sent.iter().flat_map(|sent| &sent.results).all(|change| change.weights.is_none()));
}

/// Would fail if a row were counted as late too early, or sent behind the watermark.
#[test]
fn a_row_that_the_watermark_had_reached_is_late() {
    let turns = [
        Turn::at(8, vec![]),
        Turn::at(12, vec![change(&[row("a", 1, 8), row("a", 2, 9)])]),
        Turn::at(20, vec![change(&[row("a", 1, 12), row("b", 1, 12), row("b", 1, 13)])]),
    ];
    let sent = run_one(&mut operator(None), &turns);
    assert_eq!(lines(&sent), [vec![], vec!["+1 a|2|9|0"], vec!["+1 b|1|13|0"]]);
    assert_eq!(sent.iter().map(|sent| sent.late).collect::<Vec<_>>(), [0, 1, 2]);
}

/// Random rows, none of them late; in the end the first row of each key, and one in all.
#[test]
fn in_the_end_the_first_row_of_each_partition_was_sent() {
    for seed in 0..10 {
        let mut random = Random::new(seed);
        let (mut rows, mut turns) = (Vec::new(), Vec::new());
        for epoch in 0..20 {
            let batches = (0..random.below(3)).map(|_| {
                let count = random.below(30);
                let one = |_| {
                    let key = format!("key {}", random.below(12 + epoch));
                    row(&key, random.below(3), epoch * 10 + 1 + random.below(25))
                };
                (0..count).map(one).collect::<Vec<Row>>()
            });
            let batches: Vec<Vec<Row>> = batches.collect();
            turns
                .push(Turn::at(epoch * 10 + 10, batches.iter().map(|rows| change(rows)).collect()));
            rows.extend(batches.into_iter().flatten());
        }
        turns.push(Turn::last(vec![]));
        for partition in [vec![0], vec![]] {
            let make = || -> Box<dyn Operator> {
                let node = node(partition.clone(), None);
                Box::new(FirstRow::new(&node, &row_schema(), row_schema()).unwrap())
            };
            let mut first: BTreeMap<Option<&str>, &Row> = BTreeMap::new();
            for row in &rows {
                let key = (!partition.is_empty()).then_some(row.key.as_str());
                let known = first.entry(key).or_insert(row);
                let order = |row: &Row| (row.start, row.key.clone(), row.value);
                if order(row) < order(known) {
                    *known = row;
                }
            }
            let text = |row: &&Row| format!("+1 {}", text(&change(&[(*row).clone()]).rows, 0));
            let mut expected: Vec<String> = first.values().map(text).collect();
            expected.sort();
            let stand = Stand { pre: None, make: &make, keys: partition.clone() };
            let sent = stand.run(&turns);
            let mut found = lines(&sent).concat();
            found.sort();
            assert_eq!(found, expected, "seed {seed}, by {partition:?}");
            stand.check_crashes(&turns, seed);
        }
    }
}

/// Would fail if more than the key were kept of a row that was sent, or if it were saved again.
#[test]
fn of_a_row_that_was_sent_the_key_is_kept() {
    let mut operator = operator(None);
    let groups = KeyGroups { count: 8, workers: 1 };
    for epoch in 0..30 {
        let rows = [row("a", 1, epoch * 10 + 1), row(&epoch.to_string(), 1, epoch * 10 + 1)];
        run_one(&mut operator, &[Turn::at(epoch * 10 + 10, vec![change(&rows)])]);
        assert_eq!(operator.rows.size().1, 0, "rows that were sent stay");
        assert_eq!(operator.size().1 as i64, epoch + 2);
        let mut writer = StateWriter::new(epoch == 0, groups);
        operator.snapshot(&mut writer).unwrap();
        assert_eq!(writer.rows(), if epoch == 0 { 2 } else { 1 });
    }
}

/// Would fail if a partition were kept whose time is over, in memory or in a snapshot, or if its next
/// row were not a first one.
#[test]
fn partitions_with_a_time_to_live_are_forgotten() {
    let make = || operator(Some(Duration::from_millis(16)));
    let (mut operator, mut files) = (make(), Vec::new());
    let groups = KeyGroups { count: 8, workers: 1 };
    let mut sent = 0;
    for time in 0..200 {
        let rows: Vec<Row> =
            (0..200).map(|n| row(&(time * 200 + n).to_string(), 1, time)).collect();
        let again = row("again", 1, time);
        let turn = Turn::at(time, vec![change(&rows), change(&[again])]);
        sent += lines(&run_one(&mut operator, std::slice::from_ref(&turn)))
            .concat()
            .iter()
            .filter(|line| line.contains("again"))
            .count();
        assert!(operator.size().1 <= 18 * 201, "{} partitions at {time}", operator.size().1);
        let mut writer = StateWriter::new(files.is_empty(), groups);
        operator.snapshot(&mut writer).unwrap();
        files.extend(writer.finish().unwrap());
    }
    assert!((10..=12).contains(&sent), "a row every 17 or 18 ms: {sent}");
    assert!(operator.first.len() < 3 * PACK_PARTITIONS, "{} partitions", operator.first.len());
    let state = StateReader::open(files, groups.owned_by(thalweg_types::WorkerId(0))).unwrap();
    let mut other = make();
    other.restore(&state, &Turn::at(199, vec![]).close(0).moment).unwrap();
    assert_eq!(other.size().1, operator.size().1);
}
