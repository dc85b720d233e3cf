use std::collections::BTreeMap;

use thalweg_plan::window::{Assigner, TimeBasis};

use super::*;
use crate::operators::testing::*;

const GAP: i64 = 10;

fn operator(basis: TimeBasis) -> SessionWindow {
    let spec = WindowSpec {
        assigner: Assigner::Session { gap: GAP },
        basis,
        start: 2,
        end: 3,
        zone: None,
    };
    let node = AggregateNode {
        window: Some(spec),
        keys: vec![0],
        calls: calls().0,
        stage: Stage::Whole,
        divert_late: true,
        retracts: false,
        ttl: None,
        panes: None,
    };
    SessionWindow::new(&node, spec, &row_schema(), result_schema(true)).unwrap()
}

fn row(key: i64, value: Option<i64>, time: i64) -> Row {
    Row { key: format!("key {key}"), value, start: time, end: time + GAP }
}

fn turns(seed: u64) -> Vec<Turn> {
    let mut random = Random::new(seed);
    let (mut watermark, mut turns) = (-50, Vec::new());
    for _ in 0..40 {
        let batches = (0..random.below(3)).map(|_| {
            let rows = (0..random.below(10)).map(|_| {
                let value = random.below(9);
                let value = (value > 0).then_some(value);
                row(random.below(5), value, watermark - 25 + random.below(60))
            });
            change(&rows.collect::<Vec<_>>())
        });
        let batches = batches.collect();
        watermark += if random.below(8) == 0 { random.below(100) } else { random.below(9) };
        turns.push(Turn::at(watermark, batches));
    }
    turns.push(Turn::last(Vec::new()));
    turns
}

/// Joins what overlaps or touches: windows of one key, and whether one of them was there before.
fn joined(mut windows: Vec<(i64, i64, bool, usize, Naive)>) -> Vec<(i64, i64, bool, usize, Naive)> {
    windows.sort_by_key(|window| window.0);
    let mut all: Vec<(i64, i64, bool, usize, Naive)> = Vec::new();
    for window in windows {
        match all.last_mut() {
            Some(last) if window.0 <= last.1 => {
                (last.1, last.2) = (last.1.max(window.1), last.2 || window.2);
                last.3 += window.3;
                last.4.join(window.4);
            }
            _ => all.push(window),
        }
    }
    all
}

/// A session in the making: start, end, whether it is live, rows, and its aggregates.
type OpenNaive = (i64, i64, bool, usize, Naive);

/// Results and late rows of each epoch, from all windows of all rows.
fn naive(turns: &[Turn]) -> Vec<(Vec<String>, u64)> {
    let mut open: BTreeMap<String, Vec<OpenNaive>> = BTreeMap::new();
    let (mut all, mut complete) = (Vec::new(), i64::MIN);
    for turn in turns {
        let (mut late, mut due) = (0, Vec::new());
        for batch in &turn.batches {
            for line in texts(batch) {
                let values: Vec<&str> = line.split('|').collect();
                let mut own = Naive::default();
                own.add(values[1].parse().ok());
                let (start, end) = (values[2].parse().unwrap(), values[3].parse().unwrap());
                open.entry(values[0].to_owned()).or_default().push((start, end, false, 1, own));
            }
            for windows in open.values_mut() {
                *windows = joined(std::mem::take(windows));
                windows.retain(|window| {
                    let is_late = !window.2 && window.1 <= complete;
                    late += if is_late { window.3 as u64 } else { 0 };
                    !is_late
                });
                windows.iter_mut().for_each(|window| window.2 = true);
            }
        }
        complete = match turn.is_last {
            true => i64::MAX,
            false => turn.watermark.to_unit(arrow::datatypes::TimeUnit::Millisecond) + 1,
        };
        for (key, windows) in &mut open {
            windows.retain(|(start, end, _, _, values)| {
                if *end <= complete {
                    due.push(format!("+1 {start}|{end}|{key}|{}", values.text()));
                }
                *end > complete
            });
        }
        due.sort();
        all.push((due, late));
    }
    all
}

/// Would fail if sessions merged wrongly, fired early or late, or if late rows, crashes or
/// workers changed what fires.
#[test]
fn sessions_equal_a_naive_recomputation() {
    let make = || Box::new(operator(TimeBasis::Event)) as Box<dyn Operator>;
    let stand = Stand { pre: None, make: &make, keys: vec![0] };
    for seed in 0..25 {
        let turns = turns(seed);
        let expected = naive(&turns);
        assert!(expected.iter().any(|(_, late)| *late > 0), "the rows test lateness");
        let found: Vec<_> = stand.run(&turns).iter().map(|s| (s.sorted(), s.late)).collect();
        assert_eq!(found, expected, "seed {seed}");
        stand.check_crashes(&turns, seed);
    }
}

/// Would fail if a row that bridges two sessions left one of them, or counted a row twice.
#[test]
fn a_row_between_two_sessions_makes_them_one() {
    let turns = [
        Turn::at(-1, vec![change(&[row(1, Some(1), 0), row(1, Some(2), 15)])]),
        Turn::at(-1, vec![change(&[row(1, Some(4), 8)])]),
        Turn::at(24, Vec::new()),
    ];
    let sent = run_one(&mut operator(TimeBasis::Event), &turns);
    assert_eq!(sent[2].sorted(), ["+1 0|25|key 1|7|3|4"]);
}

/// Would fail if a row were judged alone, though a live session takes it in.
#[test]
fn a_row_that_reaches_a_live_session_is_not_late() {
    let turns = [
        Turn::at(14, vec![change(&[row(1, Some(1), 8), row(2, Some(1), 8)])]),
        Turn::at(14, vec![change(&[row(1, Some(2), 2), row(3, Some(2), 2)])]),
        Turn::last(Vec::new()),
    ];
    let sent = run_one(&mut operator(TimeBasis::Event), &turns);
    assert_eq!(sent[1].late, 1);
    assert_eq!(sent[1].diverted.iter().flat_map(texts).collect::<Vec<_>>(), ["key 3|2|2|12"]);
    assert_eq!(sent[2].sorted(), ["+1 2|18|key 1|3|2|2", "+1 8|18|key 2|1|1|1"]);
}

/// Would fail if ended sessions and their keys stayed in memory, or packing mixed them up.
#[test]
fn memory_of_ended_sessions_is_given_back() {
    let mut operator = operator(TimeBasis::Event);
    let mut turns: Vec<Turn> = (0..50)
        .map(|turn| {
            let rows = (0..1000).map(|n| row(turn * 1000 + n, Some(n), turn * 5));
            let stays = row(-1, Some(1), turn * 5);
            Turn::at(turn * 5, vec![change(&rows.chain([stays]).collect::<Vec<_>>())])
        })
        .collect();
    let sent = run_one(&mut operator, &turns);
    let fired: usize = sent.iter().flat_map(|sent| &sent.results).map(Change::len).sum();
    assert_eq!(fired, 48_000);
    assert!(operator.list.slots() < 12_000, "{} slots", operator.list.slots());
    assert!(operator.table.len() < 12_000, "{} keys", operator.table.len());
    turns.push(Turn::last(Vec::new()));
    let last = run_one(&mut operator, &turns[50..]);
    assert!(last[0].sorted().contains(&"+1 0|255|key -1|50|50|1".to_owned()));
    assert_eq!(last[0].sorted().len(), 2001);
    assert!(last[0].results.iter().all(|change| change.len() <= BATCH_ROWS));
}

/// Would fail if sessions of the wall clock fired by the watermark, or asked for no epoch.
#[test]
fn sessions_of_the_wall_clock_fire_by_the_clock() {
    let mut operator = operator(TimeBasis::Processing);
    let turn = |clock: i64, batches| Turn { watermark: EventTime::MAX, ..Turn::at(clock, batches) };
    let first = run_one(&mut operator, &[turn(3, vec![change(&[row(1, Some(1), 3)])])]);
    assert!(first[0].results.is_empty());
    assert_eq!(operator.wake(), Some(EventTime(13_000_000)));
    let turns = [turn(5, vec![change(&[row(1, Some(1), 5)])]), turn(13, Vec::new())];
    assert!(run_one(&mut operator, &turns).iter().all(|sent| sent.results.is_empty()));
    assert_eq!(operator.wake(), Some(EventTime(15_000_000)));
    let last = run_one(&mut operator, &[turn(15, Vec::new())]);
    assert_eq!(last[0].sorted(), ["+1 3|15|key 1|2|2|1"]);
    assert_eq!(operator.wake(), None);
}
