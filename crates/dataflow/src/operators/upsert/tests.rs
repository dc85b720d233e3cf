use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::operators::testing::*;

fn upsert(ttl: Option<Duration>) -> Upsert {
    let node = UpsertNode { table: "t".to_owned(), key: vec![0], ttl, diverts: false };
    Upsert::new(&node, row_schema()).unwrap()
}

fn operator() -> Box<dyn Operator> {
    Box::new(upsert(None))
}

/// What is said of a key: its value now, or that it is gone.
type Said = (i64, Option<i64>);

fn said(said: &[Said]) -> Change {
    let row = |(key, value): &Said| Row { key: key.to_string(), value: *value, start: 0, end: 0 };
    let rows = change(&said.iter().map(row).collect::<Vec<_>>()).rows;
    let weights: Vec<i64> = said.iter().map(|(_, v)| if v.is_some() { 1 } else { -1 }).collect();
    Change::weighted(rows, weights.into()).unwrap()
}

fn epochs(seed: u64, keys: i64) -> Vec<Vec<Vec<Said>>> {
    let mut random = Random::new(seed);
    let batch = |random: &mut Random| {
        let row = |random: &mut Random| {
            let value = random.below(4);
            (random.below(keys), (value > 0).then_some(value))
        };
        (0..random.below(20)).map(|_| row(random)).collect::<Vec<Said>>()
    };
    (0..30).map(|_| (0..random.below(3)).map(|_| batch(&mut random)).collect()).collect()
}

fn turns(epochs: &[Vec<Vec<Said>>]) -> Vec<Turn> {
    let batches = |batches: &Vec<Vec<Said>>| batches.iter().map(|batch| said(batch)).collect();
    let turns = epochs.iter().enumerate();
    turns.map(|(time, epoch)| Turn::at(time as i64, batches(epoch))).collect()
}

/// The changes of each epoch, by comparing the whole table before it and behind it.
fn naive(epochs: &[Vec<Vec<Said>>]) -> Vec<Vec<String>> {
    let mut table: BTreeMap<i64, i64> = BTreeMap::new();
    let mut all = Vec::new();
    for epoch in epochs {
        let before = table.clone();
        for (key, value) in epoch.iter().flatten() {
            match value {
                Some(value) => table.insert(*key, *value),
                None => table.remove(key),
            };
        }
        let gone = before.iter().filter(|(key, old)| table.get(key) != Some(old));
        let come = table.iter().filter(|(key, new)| before.get(key) != Some(new));
        let lines = gone.map(|(key, value)| format!("-1 {key}|{value}|0|0"));
        let mut lines: Vec<String> =
            lines.chain(come.map(|(key, value)| format!("+1 {key}|{value}|0|0"))).collect();
        lines.sort();
        all.push(lines);
    }
    all
}

/// Would fail if a row were taken back that was not there, stayed when its key was gone, or was sent
/// though nothing became of it.
#[test]
fn changes_are_what_became_of_each_key() {
    for seed in 0..20 {
        let epochs = epochs(seed, 12);
        let sent = run_one(operator().as_mut(), &turns(&epochs));
        let found: Vec<Vec<String>> = sent.iter().map(Sent::sorted).collect();
        assert_eq!(found, naive(&epochs), "seed {seed}");
        // Halves of updates stand together, and no other retraction stands before an insert.
        for change in sent.iter().flat_map(|sent| &sent.results) {
            for row in 1..change.len() {
                if change.weight(row - 1) < 0 && change.weight(row) > 0 {
                    let key = |row| text(&change.rows, row).split('|').next().map(str::to_owned);
                    assert_eq!(key(row - 1), key(row), "seed {seed}");
                }
            }
        }
    }
}

/// Would fail if a crash, or another number of workers, lost a row or brought one back.
#[test]
fn crashes_and_workers_change_nothing() {
    for seed in 0..10 {
        let stand = Stand { pre: None, make: &operator, keys: vec![0] };
        stand.check_crashes(&turns(&epochs(seed, 12)), seed);
    }
}

/// Would fail if a deletion of nothing were taken for one of something, or for nothing at all.
#[test]
fn a_deletion_of_an_unknown_key_is_counted() {
    let mut operator = operator();
    let mut out = Output::default();
    let rows = said(&[(1, None), (2, Some(5)), (2, None), (2, None), (3, Some(1))]);
    operator.batch(0, rows, &mut out).unwrap();
    operator.close(&Turn::at(0, vec![]).close(0), &mut out).unwrap();
    assert_eq!(out.counted(), (0, 2));
    let sent = out.take();
    assert_eq!(texts(&sent[0].1), ["3|1|0|0"]);
}

/// Would fail if keys that are gone took memory for ever, or if giving it back lost a row.
#[test]
fn keys_that_are_gone_give_their_memory_back() {
    let mut operator = upsert(None);
    let mut epochs = vec![vec![vec![(-1, Some(1))]]];
    for epoch in 0..20i64 {
        let keys = epoch * 1000..(epoch + 1) * 1000;
        epochs.push(vec![keys.clone().map(|key| (key, Some(1))).collect()]);
        epochs.push(vec![keys.map(|key| (key, None)).collect()]);
    }
    epochs.push(vec![vec![(-1, Some(2)), (5, Some(3))]]);
    let sent = run_one(&mut operator, &turns(&epochs));
    let found: Vec<Vec<String>> = sent.iter().map(Sent::sorted).collect();
    assert_eq!(found, naive(&epochs));
    assert!(operator.known.len() < 2 * KEYS_MIN, "{} keys are known", operator.known.len());
    assert_eq!(operator.size().1, 2);
}

/// Would fail if a key that nothing is said of were kept, retracted, or still deleted later.
#[test]
fn keys_with_a_time_to_live_are_forgotten_unsaid() {
    let mut operator = upsert(Some(Duration::from_millis(16)));
    let turn = |time, rows: &[Said]| Turn::at(time, vec![said(rows)]);
    let turns = [
        turn(0, &[(1, Some(1)), (2, Some(2))]),
        turn(10, &[(2, Some(2))]),
        turn(20, &[]),
        turn(21, &[(1, Some(5)), (2, Some(3))]),
    ];
    let sent: Vec<_> = run_one(&mut operator, &turns).iter().map(Sent::sorted).collect();
    let first = vec!["+1 1|1|0|0", "+1 2|2|0|0"];
    let last = vec!["+1 1|5|0|0", "+1 2|3|0|0", "-1 2|2|0|0"];
    assert_eq!(sent, [first, vec![], vec![], last]);
    run_one(&mut operator, &[turn(50, &[])]);
    assert_eq!(operator.size().1, 0);
    let mut out = Output::default();
    operator.batch(0, said(&[(1, None)]), &mut out).unwrap();
    operator.close(&Turn::at(51, vec![]).close(0), &mut out).unwrap();
    assert_eq!((out.counted(), out.forgotten(), out.take().len()), ((0, 0), 1, 0));
}

/// Would fail if what is forgotten came back with a restore, or if memory were not given back.
#[test]
fn an_endless_stream_of_new_keys_takes_bounded_memory() {
    let make = || upsert(Some(Duration::from_millis(16)));
    let (mut operator, mut saved) = (make(), Vec::new());
    let groups = thalweg_types::KeyGroups { count: 8, workers: 1 };
    for time in 0..200 {
        let keys: Vec<Said> = (0..100).map(|key| (time * 100 + key, Some(1))).collect();
        let turn = Turn::at(time, vec![said(&keys)]);
        run_one(&mut operator, std::slice::from_ref(&turn));
        // Behind a restore, what was there counts as written then.
        let bound = if (101..=117).contains(&time) { 3600 } else { 1800 };
        assert!(operator.size().1 <= bound, "{} rows at {time}", operator.size().1);
        let mut writer = StateWriter::new(saved.is_empty(), groups);
        operator.snapshot(&mut writer).unwrap();
        saved.extend(writer.finish().unwrap());
        if time == 100 {
            let before = operator.size().1;
            let owned = groups.owned_by(thalweg_types::WorkerId(0));
            let state = StateReader::open(std::mem::take(&mut saved), owned).unwrap();
            operator = make();
            operator.restore(&state, &turn.close(0).moment).unwrap();
            assert_eq!(operator.size().1, before);
        }
    }
    assert!(operator.known.len() < 2 * KEYS_MIN, "{} keys are known", operator.known.len());
}
