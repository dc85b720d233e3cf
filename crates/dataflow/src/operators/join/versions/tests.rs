use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};
use arrow::datatypes::{DataType, SchemaRef};
use thalweg_plan::join::{JoinKind, JoinNode};
use thalweg_plan::source::Changes;
use thalweg_types::{KeyGroupRange, KeyGroups};

use super::*;
use crate::operators::testing::{Random, Sent, Turn, drive, millis, planted, schema};

/// A row of either side: key, value, time and weight.
type Line = (i64, i64, Option<i64>, i64);

fn side_schema() -> SchemaRef {
    schema(&[("k", DataType::Int64), ("v", DataType::Int64), ("t", millis())])
}

fn operator(source: VersionSource) -> VersionJoin {
    let node = JoinNode {
        kind: JoinKind::Left,
        keys: vec![(0, 0)],
        is_null_equal: false,
        condition: None,
        output: vec![0, 1, 2, 4],
        bound: None,
        divert_late: false,
        ttl: [None, None],
    };
    let number = DataType::Int64;
    let output =
        schema(&[("k", number.clone()), ("v", number.clone()), ("t", millis()), ("w", number)]);
    let shape = Shape::new(node, [side_schema(), side_schema()], output);
    VersionJoin::new(shape, [2, 2], source).unwrap()
}

fn rows(lines: &[Line]) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(lines.iter().map(|line| Some(line.0)).collect::<Int64Array>()),
        Arc::new(lines.iter().map(|line| Some(line.1)).collect::<Int64Array>()),
        Arc::new(lines.iter().map(|line| line.2).collect::<TimestampMillisecondArray>()),
    ];
    RecordBatch::try_new(side_schema(), columns).unwrap()
}

fn added(lines: &[Line]) -> Change {
    Change::append(rows(lines))
}

fn changed(lines: &[Line]) -> Change {
    Change::weighted(rows(lines), lines.iter().map(|line| line.3).collect()).unwrap()
}

/// Runs epochs of rows and changes of the table; returns what came out in each.
fn run(join: &mut VersionJoin, epochs: &[(i64, Vec<Change>, Vec<Change>)]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (epoch, (time, left, right)) in epochs.iter().enumerate() {
        let mut sent = Sent::default();
        for (side, changes) in [(1, right), (0, left)] {
            for change in changes {
                drive(join, &mut sent, |join, out| join.batch(side, change.clone(), out));
            }
        }
        let turn = Turn::at(*time, vec![]);
        drive(join, &mut sent, |join, out| join.close(&turn.close(epoch), out));
        all.push(sent.sorted());
    }
    all
}

const UPSERT: VersionSource = VersionSource::Changes(Changes::Upsert);
const CHANGELOG: VersionSource = VersionSource::Changes(Changes::Changelog);

/// Rows of key 1 at these times.
fn at(times: &[i64]) -> Vec<Change> {
    vec![added(&times.iter().map(|time| (1, 0, Some(*time), 1)).collect::<Vec<_>>())]
}

/// Would fail if two changes of a key in an epoch counted as one, or one that came late for the wrong
/// time.
#[test]
fn every_change_of_an_epoch_is_a_version_from_its_time_on() {
    let changes = changed(&[(1, 30, Some(30), 1), (1, 10, Some(10), 1), (1, 20, Some(20), 1)]);
    let found = run(&mut operator(UPSERT), &[(50, at(&[5, 10, 19, 20, 35]), vec![changes])]);
    let expected = ["+1 1|0|10|10", "+1 1|0|19|10", "+1 1|0|20|20", "+1 1|0|35|30", "+1 1|0|5|"];
    assert_eq!(found, [expected]);
}

/// Would fail if a row met the version behind whose deletion it is.
#[test]
fn a_deletion_ends_the_version_at_its_time() {
    for source in [UPSERT, CHANGELOG] {
        let changes = vec![changed(&[(1, 10, Some(10), 1), (1, 10, Some(20), -1)])];
        let later = vec![changed(&[(1, 40, Some(40), 1)])];
        let epochs = [(15, vec![], changes), (50, at(&[19, 20, 39, 40]), later)];
        let found = run(&mut operator(source), &epochs);
        assert_eq!(found[1], ["+1 1|0|19|10", "+1 1|0|20|", "+1 1|0|39|", "+1 1|0|40|40"]);
    }
}

/// As in Flink: of a key that is gone nothing but the key may be known.
#[test]
fn a_deletion_without_a_time_ends_the_last_version_as_if_it_had_not_begun() {
    let changes = [
        (1, 10, Some(10), 1),
        (1, 20, Some(20), 1),
        (1, 0, None, -1),
        (2, 0, None, -1),
        (1, 40, Some(40), 1),
    ];
    let found = run(&mut operator(UPSERT), &[(50, at(&[19, 20, 39, 40]), vec![changed(&changes)])]);
    assert_eq!(found, [["+1 1|0|19|10", "+1 1|0|20|", "+1 1|0|39|", "+1 1|0|40|40"]]);
}

/// Would fail if it made a difference where a changelog is cut, as when a deletion directly before an
/// insertion of its key was taken for the old half of an update in one batch, and not in two.
#[test]
fn each_cut_into_batches_and_epochs_gives_the_same_answer() {
    let changes = [
        (1, 10, Some(10), 1),
        (2, 11, Some(10), 1),
        (1, 10, Some(10), -1),
        (1, 20, Some(20), 1),
        (2, 11, Some(15), -1),
        (2, 30, Some(30), 1),
        (1, 40, Some(40), 1),
    ];
    let asked =
        [(1, 0, Some(15), 1), (1, 0, Some(39), 1), (2, 0, Some(14), 1), (2, 0, Some(29), 1)];
    let expected = ["+1 1|0|15|", "+1 1|0|39|20", "+1 2|0|14|11", "+1 2|0|29|"];
    // Of each change but the first: does it stand with the one before, in the next batch, in the next epoch?
    for cut in 0..3_usize.pow(changes.len() as u32 - 1) {
        let mut epochs = vec![vec![vec![changes[0]]]];
        let mut rest = cut;
        for change in &changes[1..] {
            match rest % 3 {
                0 => epochs.last_mut().unwrap().last_mut().unwrap().push(*change),
                1 => epochs.last_mut().unwrap().push(vec![*change]),
                _ => epochs.push(vec![vec![*change]]),
            }
            rest /= 3;
        }
        let last = epochs.len() - 1;
        let epochs = epochs.iter().enumerate().map(|(epoch, batches)| {
            let batches = batches.iter().map(|lines| changed(lines)).collect();
            let left = if epoch == 0 { vec![added(&asked)] } else { vec![] };
            (if epoch == last { 50 } else { 1 }, left, batches)
        });
        let found = run(&mut operator(CHANGELOG), &epochs.collect::<Vec<_>>());
        assert_eq!(found.concat(), expected, "cut {cut}");
    }
}

#[test]
fn of_two_versions_of_one_time_one_counts() {
    let two = [(1, 7, Some(10), 1), (1, 5, Some(10), 1)];
    for (source, change, wanted) in [
        (VersionSource::Rows, added(&two), 7),
        (VersionSource::Deduplicated, added(&two), 5),
        (UPSERT, changed(&two), 5),
    ] {
        let mut join = operator(source);
        let found = run(&mut join, &[(20, at(&[12]), vec![change])]);
        assert_eq!(found, [[format!("+1 1|0|12|{wanted}")]], "{source:?}");
        assert_eq!(join.table.rows.len(), 1, "{source:?}: the other one goes");
    }
}

/// Would fail if versions were kept that no row can meet, or keys of which there is none.
#[test]
fn only_versions_that_a_row_can_meet_are_kept() {
    let mut join = operator(UPSERT);
    let version = |key: i64, time: i64| (key, time, Some(time), 1);
    let changes = changed(&[version(1, 10), version(1, 20), version(1, 30), version(2, 10)]);
    run(&mut join, &[(25, vec![], vec![changes])]);
    assert_eq!(join.size().1, 3, "of key 1 those of 20 and 30");
    run(&mut join, &[(35, vec![], vec![changed(&[(2, 0, Some(33), -1)])])]);
    assert_eq!(join.size().1, 1, "of key 2 nothing");
    for epoch in 0..100 {
        let time = 100 + epoch * 100;
        let keys = 1000 + epoch * 100..1100 + epoch * 100;
        let came: Vec<Line> = keys.clone().map(|key| version(key, time)).collect();
        let gone: Vec<Line> = keys.map(|key| (key, 0, Some(time + 1), -1)).collect();
        run(&mut join, &[(time + 50, vec![], vec![changed(&came), changed(&gone)])]);
    }
    assert_eq!(join.size().1, 1);
    assert!(join.keys.bytes() < 1 << 20, "{} bytes of keys", join.keys.bytes());
    assert_eq!(run(&mut join, &[(20_000, at(&[15_000]), vec![])]), [["+1 1|0|15000|30"]]);
}

/// What a table holds at a time, after all of its changes.
fn naive(changes: &[Line], key: i64, time: i64) -> Option<i64> {
    let mut best: Option<(i64, Option<i64>)> = None;
    for (_, value, from, weight) in changes.iter().filter(|line| line.0 == key) {
        let from = from.unwrap();
        if from <= time && best.is_none_or(|(known, _)| known <= from) {
            best = Some((from, (*weight > 0).then_some(*value)));
        }
    }
    best.and_then(|(_, value)| value)
}

/// Random changes and rows that come out of order, through restores: any cut into epochs gives what a
/// naive search of all changes gives.
#[test]
fn rows_meet_what_a_naive_search_finds_through_restores() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let groups = KeyGroups { count: 32, workers: 1 };
        let (mut join, mut files) = (operator(UPSERT), Vec::new());
        let (mut all, mut asked, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for epoch in 0..40 {
            let mut lines = |weights: i64, count: i64| -> Vec<Line> {
                let mut line = |value: i64| {
                    let time = epoch * 10 + 1 + random.below(40);
                    let weight = if random.below(4) < weights { -1 } else { 1 };
                    (random.below(5), epoch * 100 + value, Some(time), weight)
                };
                (0..count).map(&mut line).collect()
            };
            let (changes, rows) = (lines(1, 4), lines(0, 6));
            let turn = (epoch * 10 + 10, vec![added(&rows)], vec![changed(&changes)]);
            found.extend(run(&mut join, &[turn]).concat());
            all.extend(changes);
            asked.extend(rows);
            let mut writer = StateWriter::new(files.is_empty(), groups);
            join.snapshot(&mut writer).unwrap();
            files.extend(writer.finish().unwrap());
            if random.below(4) == 0 {
                let range = KeyGroupRange { start: 0, end: 32 };
                let state = StateReader::open(std::mem::take(&mut files), range).unwrap();
                join = operator(UPSERT);
                let moment = Turn::at(epoch * 10 + 10, vec![]).close(0).moment;
                join.restore(&state, &moment).unwrap();
            }
        }
        found.extend(run(&mut join, &[(1000, vec![], vec![])]).concat());
        let expected = asked.iter().map(|(key, value, time, _)| {
            let time = time.unwrap();
            let met = naive(&all, *key, time).map_or(String::new(), |value| value.to_string());
            format!("+1 {key}|{value}|{time}|{met}")
        });
        let mut expected: Vec<String> = expected.collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "seed {seed}");
    }
}

/// Would fail if the tests above saw no wrong version: here each row meets the newest one that is known.
#[test]
fn the_newest_version_instead_of_that_of_the_time_is_found() {
    let tests = [
        "rows_meet_what_a_naive_search_finds_through_restores",
        "every_change_of_an_epoch_is_a_version_from_its_time_on",
    ];
    for test in tests {
        planted(&format!("operators::join::versions::tests::{test}"), "newest-version");
    }
}
