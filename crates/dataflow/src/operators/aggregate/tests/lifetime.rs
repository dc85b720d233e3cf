//! Groups with a time-to-live, against a recomputation that forgets by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use thalweg_types::{KeyGroups, WorkerId};

use super::taken_back::{Live, calls, changes, input, line, output};
use super::*;

/// In milliseconds; the operator tells sixteen parts of it.
const TTL: i64 = 16;

fn operator(is_distinct: bool, retracts: bool) -> Box<dyn Operator> {
    let mut node = node(Stage::Whole, is_distinct);
    node.ttl = Some(Duration::from_millis(TTL as u64));
    if !retracts {
        return Box::new(Aggregate::new(&node, &row_schema(), super::output(is_distinct)).unwrap());
    }
    (node.calls, node.retracts) = (calls(), true);
    Box::new(Aggregate::new(&node, &input(), output(true)).unwrap())
}

fn rows(keys: &[i64]) -> Change {
    change(&keys.iter().map(|key| row(*key, Some(1))).collect::<Vec<_>>())
}

/// Would fail if a group went that rows came to, one stayed to which none came, or if one that comes
/// again were not a new one.
#[test]
fn a_group_without_rows_is_forgotten_and_begins_anew() {
    let turns = [
        Turn::at(0, vec![rows(&[1, 2])]),
        Turn::at(10, vec![rows(&[2])]),
        Turn::at(18, vec![]),
        Turn::at(20, vec![rows(&[1, 2])]),
    ];
    let sent = run_one(operator(false, false).as_mut(), &turns);
    let last = ["+1 key 1|1|1|1", "+1 key 2|3|3|1", "-1 key 2|2|2|1"];
    assert_eq!(sent[2].sorted(), [""; 0]);
    assert_eq!(sent[3].sorted(), last);
    let sent = run_one(operator(true, false).as_mut(), &turns);
    assert_eq!(sent[3].sorted(), ["+1 key 1"], "a value that comes again stays known");
}

/// Would fail if a row of a forgotten group could be taken back, or if that were not counted.
#[test]
fn what_takes_back_forgotten_rows_is_left_out_and_counted() {
    let mut operator = operator(false, true);
    let (old, new) = ((1, Some(4), true), (1, Some(7), true));
    run_one(operator.as_mut(), &[Turn::at(0, vec![changes(&[(old, 1)])]), Turn::at(30, vec![])]);
    assert_eq!(operator.size().1, 0);
    let mut out = Output::default();
    let update = changes(&[(old, -1), (new, 1), ((2, Some(1), true), -1)]);
    operator.batch(0, update, &mut out).unwrap();
    operator.close(&Turn::at(31, vec![]).close(0), &mut out).unwrap();
    assert_eq!(out.forgotten(), 2);
    let sent = Sent { results: vec![out.take().remove(0).1], ..Sent::default() };
    assert_eq!(sent.sorted(), [format!("+1 key 1|{}", line(&[&new]))]);
}

/// The rows of a group, and when one came or went last.
type Kept = (Vec<Live>, i64);

fn lines(groups: &BTreeMap<i64, Kept>) -> BTreeMap<i64, String> {
    let there = groups.iter().filter(|(_, kept)| !kept.0.is_empty());
    let line = |kept: &Kept| line(&kept.0.iter().collect::<Vec<_>>());
    there.map(|(key, kept)| (*key, format!("key {key}|{}", line(kept)))).collect()
}

/// Random rows that come and go, an epoch in 3 ms, and what comes out if groups are forgotten when
/// their time is over. Rows of a group that began anew are not those that are taken back.
fn turns(seed: u64) -> (Vec<Turn>, Vec<Vec<String>>) {
    let mut random = Random::new(seed);
    let mut groups: BTreeMap<i64, Kept> = BTreeMap::new();
    let (mut turns, mut expected, mut known) = (Vec::new(), Vec::new(), Vec::<Live>::new());
    for time in (0..150).step_by(3) {
        let (before, mut said) = (lines(&groups), Vec::new());
        for _ in 0..random.below(5) {
            if known.is_empty() || random.below(3) > 0 {
                let row = (random.below(12), Some(random.below(6)), random.below(2) == 0);
                let kept = groups.entry(row.0).or_default();
                kept.0.push(row);
                kept.1 = time;
                known.push(row);
                said.push((row, 1));
                continue;
            }
            let row = known.swap_remove(random.below(known.len() as i64) as usize);
            let kept = groups.entry(row.0).or_default();
            let at = kept.0.iter().position(|other| *other == row);
            if at.is_some() || kept.0.is_empty() {
                at.map(|at| kept.0.swap_remove(at));
                kept.1 = time;
                said.push((row, -1));
            }
        }
        let after = lines(&groups);
        let gone = before.iter().filter(|(key, line)| after.get(key) != Some(line));
        let come = after.iter().filter(|(key, line)| before.get(key) != Some(line));
        let gone = gone.map(|(_, line)| format!("-1 {line}"));
        let mut lines: Vec<_> = gone.chain(come.map(|(_, line)| format!("+1 {line}"))).collect();
        lines.sort();
        expected.push(lines);
        groups.retain(|_, kept| time <= kept.1 + TTL);
        turns.push(Turn::at(time, vec![changes(&said)]));
    }
    (turns, expected)
}

/// Would fail if anything of a forgotten group stayed.
#[test]
fn forgotten_groups_leave_nothing() {
    for seed in 0..20 {
        let (turns, expected) = turns(seed);
        let sent = run_one(operator(false, true).as_mut(), &turns);
        let sent: Vec<_> = sent.iter().map(Sent::sorted).collect();
        assert_eq!(sent, expected, "seed {seed}");
    }
}

const GROUPS: KeyGroups = KeyGroups { count: 8, workers: 1 };

fn restored(files: &[bytes::Bytes]) -> StateReader {
    StateReader::open(files.to_vec(), GROUPS.owned_by(WorkerId(0))).unwrap()
}

fn snapshot(operator: &mut dyn Operator, is_full: bool) -> Option<bytes::Bytes> {
    let mut writer = StateWriter::new(is_full, GROUPS);
    operator.snapshot(&mut writer).unwrap();
    writer.finish().unwrap()
}

/// Would fail if a restore brought something back that was forgotten, or lost something else.
#[test]
fn what_is_saved_is_what_is_there() {
    for seed in 0..10 {
        let (turns, _) = turns(seed);
        let (mut operator, mut files) = (operator(false, true), Vec::new());
        for (epoch, turn) in turns.iter().enumerate() {
            run_one(operator.as_mut(), std::slice::from_ref(turn));
            if epoch % 3 == 0 {
                files.extend(snapshot(operator.as_mut(), files.is_empty()));
            }
        }
        files.extend(snapshot(operator.as_mut(), false));
        let whole = snapshot(operator.as_mut(), true).unwrap();
        assert_eq!(texts_of(&restored(&files)), texts_of(&restored(&[whole])), "seed {seed}");
    }
}

/// Returns all rows of a state, as text.
fn texts_of(state: &StateReader) -> Vec<String> {
    let tables = (0..6).map(|entries| format!("entries {entries}"));
    let mut rows = Vec::new();
    for table in tables.chain(["groups".to_owned()]) {
        for batch in state.table(&table).unwrap() {
            rows.extend((0..batch.num_rows()).map(|at| format!("{table}: {}", text(&batch, at))));
        }
    }
    rows.sort();
    rows
}

/// Would fail if state grew with an endless stream of new keys, or if one kept its time over a restore.
#[test]
fn new_keys_without_end_take_bounded_state() {
    let mut aggregate = operator(false, false);
    for time in 0..200 {
        let keys: Vec<i64> = (time * 100..(time + 1) * 100).collect();
        let turn = Turn::at(time, vec![rows(&keys)]);
        run_one(aggregate.as_mut(), std::slice::from_ref(&turn));
        assert!(aggregate.size().1 <= 1800, "{} groups at {time}", aggregate.size().1);
        if time == 100 {
            let file = snapshot(aggregate.as_mut(), true).unwrap();
            let before = aggregate.size().1;
            aggregate = operator(false, false);
            aggregate.restore(&restored(&[file]), &turn.close(0).moment).unwrap();
            assert_eq!(aggregate.size().1, before);
            run_one(aggregate.as_mut(), &[Turn::at(116, vec![])]);
            assert_eq!(aggregate.size().1, before, "all count as written at the restore");
            run_one(aggregate.as_mut(), &[Turn::at(118, vec![])]);
            assert_eq!(aggregate.size().1, 0);
        }
    }
}
