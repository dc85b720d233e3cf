//! Aggregations whose input takes rows back, against a recomputation of everything.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{BooleanArray, StringViewArray};
use arrow::datatypes::Schema;
use thalweg_plan::aggregate::{count, max, min, sum};
use thalweg_plan::distinct::state_fields;
use thalweg_plan::function::AggregateFunction;
use thalweg_plan::node::AggregateCall;

use super::*;

/// A row: its key, its value, and whether filters let it through.
pub(super) type Live = (i64, Option<i64>, bool);

pub(super) fn input() -> SchemaRef {
    let (text, number) = (DataType::Utf8View, DataType::Int64);
    schema(&[("key", text), ("value", number), ("flag", DataType::Boolean)])
}

/// COUNT, SUM, MIN, MAX, COUNT(DISTINCT) with and without a filter, SUM(DISTINCT), and the rows.
pub(super) fn calls() -> Vec<AggregateCall> {
    let kind = DataType::Int64;
    let call = |function: Arc<dyn AggregateFunction>, filter, distinct| {
        let function = function.retractable().unwrap_or(function);
        AggregateCall { function, arguments: vec![1], filter, distinct }
    };
    let rows = AggregateCall { arguments: Vec::new(), ..call(count(), None, false) };
    vec![
        call(count(), None, false),
        call(sum(&kind).unwrap(), Some(2), false),
        call(min(&kind).unwrap(), None, false),
        call(max(&kind).unwrap(), Some(2), false),
        call(count(), None, true),
        call(count(), Some(2), true),
        call(sum(&kind).unwrap(), None, true),
        rows,
    ]
}

pub(super) fn output(has_key: bool) -> SchemaRef {
    let names = ["count", "sum", "min", "max", "distinct", "filtered", "total"];
    let values = names.map(|name| (name, DataType::Int64));
    let key = has_key.then_some(("key", DataType::Utf8View));
    let fields = schema(&key.into_iter().chain(values).collect::<Vec<_>>());
    let fields = fields.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn operator(stage: Stage, has_key: bool) -> Box<dyn Operator> {
    let keys = if has_key { vec![0] } else { Vec::new() };
    let (calls, retracts) = (calls(), true);
    let states = keys.iter().map(|key| input().field(*key).clone());
    let states: Vec<_> = states.chain(state_fields(&calls, &input())).collect();
    let partial: SchemaRef = Arc::new(Schema::new(states));
    let node = AggregateNode {
        window: None,
        keys,
        calls,
        stage,
        divert_late: false,
        retracts,
        ttl: None,
        panes: None,
    };
    match stage {
        Stage::Partial => Box::new(PreAggregate::new(&node, &input(), partial).unwrap()),
        Stage::Final => Box::new(Aggregate::new(&node, &partial, output(has_key)).unwrap()),
        Stage::Whole => Box::new(Aggregate::new(&node, &input(), output(has_key)).unwrap()),
    }
}

pub(super) fn changes(rows: &[(Live, i64)]) -> Change {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from_iter_values(rows.iter().map(|r| format!("key {}", r.0.0)))),
        Arc::new(rows.iter().map(|row| row.0.1).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| Some(row.0.2)).collect::<BooleanArray>()),
    ];
    let rows_of = arrow::array::RecordBatch::try_new(input(), columns).unwrap();
    let weights = Int64Array::from_iter_values(rows.iter().map(|(_, weight)| *weight));
    Change::weighted(rows_of, weights).unwrap()
}

/// The value of a group: a line of the result.
pub(super) fn line(rows: &[&Live]) -> String {
    let all = || rows.iter().filter_map(|(_, value, _)| *value);
    let kept = || rows.iter().filter(|row| row.2).filter_map(|(_, value, _)| *value);
    let (distinct, filtered): (BTreeSet<i64>, BTreeSet<i64>) = (all().collect(), kept().collect());
    let number = |value: Option<i64>| value.map_or(String::new(), |value| value.to_string());
    let sum = (kept().count() > 0).then(|| kept().sum::<i64>());
    let total = (!distinct.is_empty()).then(|| distinct.iter().sum::<i64>());
    let numbers = [sum, all().min(), kept().max()].map(number).join("|");
    let (known, passed) = (distinct.len(), filtered.len());
    format!("{}|{numbers}|{known}|{passed}|{}", all().count(), number(total))
}

fn naive(rows: &[Live], has_key: bool) -> BTreeMap<String, String> {
    let mut groups: BTreeMap<String, Vec<&Live>> = BTreeMap::new();
    for row in rows {
        let key = if has_key { format!("key {}|", row.0) } else { String::new() };
        groups.entry(key).or_default().push(row);
    }
    groups.into_iter().map(|(key, rows)| (key.clone(), format!("{key}{}", line(&rows)))).collect()
}

/// Random epochs, in which rows come and go in any order, and what becomes of the result in each.
fn epochs(seed: u64, has_key: bool) -> (Vec<Turn>, Vec<Vec<String>>) {
    let mut random = Random::new(seed);
    let (mut live, mut turns, mut expected) = (Vec::<Live>::new(), Vec::new(), Vec::new());
    for time in 0..40 {
        let before = naive(&live, has_key);
        let mut rows = Vec::new();
        for _ in 0..random.below(30) {
            // Now more come, now more go, so that groups die.
            if random.below(10) < if time % 10 < 5 { 7 } else { 2 } || live.is_empty() {
                let value = random.below(6);
                let row = (random.below(8), (value > 0).then_some(value), random.below(2) == 0);
                live.push(row);
                rows.push((row, 1));
            } else {
                let gone = live.swap_remove(random.below(live.len() as i64) as usize);
                rows.push((gone, -1));
            }
        }
        for at in (1..rows.len()).rev() {
            rows.swap(at, random.below(at as i64 + 1) as usize);
        }
        let cut = random.below(rows.len() as i64 + 1) as usize;
        turns.push(Turn::at(time, vec![changes(&rows[..cut]), changes(&rows[cut..])]));
        let after = naive(&live, has_key);
        let gone = before.iter().filter(|(key, old)| after.get(*key) != Some(old));
        let new = after.iter().filter(|(key, new)| before.get(*key) != Some(new));
        let gone = gone.map(|(_, old)| format!("-1 {old}"));
        let mut lines: Vec<_> = gone.chain(new.map(|(_, new)| format!("+1 {new}"))).collect();
        lines.sort();
        expected.push(lines);
    }
    (turns, expected)
}

/// Would fail if anything of a row stayed behind, a group outlived its last row, or what is saved of
/// a group's values were not what changed of them.
#[test]
fn rows_that_are_taken_back_leave_nothing() {
    for has_key in [true, false] {
        let keys = if has_key { vec![0] } else { Vec::new() };
        let (pre, last) =
            (|| operator(Stage::Partial, has_key), || operator(Stage::Final, has_key));
        let whole = || operator(Stage::Whole, has_key);
        let stands = [
            Stand { pre: None, make: &whole, keys: keys.clone() },
            Stand { pre: Some(&pre), make: &last, keys },
        ];
        for (seed, stand) in (0..4).flat_map(|seed| stands.iter().map(move |stand| (seed, stand))) {
            let (turns, expected) = epochs(seed, has_key);
            let found: Vec<_> = stand.run(&turns).iter().map(Sent::sorted).collect();
            assert_eq!(found, expected, "seed {seed}");
            stand.check_crashes(&turns, seed);
        }
    }
}

fn snapshot(operator: &mut dyn Operator, is_full: bool) -> (usize, Option<bytes::Bytes>) {
    let mut writer = StateWriter::new(is_full, thalweg_types::KeyGroups { count: 8, workers: 1 });
    operator.snapshot(&mut writer).unwrap();
    (writer.rows(), writer.finish().unwrap())
}

/// Would fail if a group with many values were written again as a whole because one came.
#[test]
fn what_is_saved_is_what_changed() {
    let mut operator = operator(Stage::Whole, true);
    let many: Vec<_> = (0..10_000).map(|value| ((1, Some(value), true), 1)).collect();
    run_one(operator.as_mut(), &[Turn::at(0, vec![changes(&many)])]);
    // A group, and each value in MIN, in MAX and in the set of distinct values.
    assert_eq!(snapshot(operator.as_mut(), false).0, 30_001);
    let one = [((1, Some(7), true), 1), ((1, Some(9), true), -1)];
    run_one(operator.as_mut(), &[Turn::at(1, vec![changes(&one)])]);
    assert_eq!(snapshot(operator.as_mut(), false).0, 7);
    assert_eq!(snapshot(operator.as_mut(), false).0, 0);
}

/// Would fail if groups whose rows are all gone were kept.
#[test]
fn memory_of_dead_groups_is_given_back() {
    let mut operator = operator(Stage::Whole, true);
    let rows = |weight| -> Vec<_> {
        (0..20_000).map(|key| ((key, Some(key), key % 2 == 0), weight)).collect()
    };
    run_one(operator.as_mut(), &[Turn::at(0, vec![changes(&rows(1))])]);
    let _ = snapshot(operator.as_mut(), false);
    let (full, groups) = operator.size();
    assert_eq!(groups, 20_000);
    run_one(operator.as_mut(), &[Turn::at(1, vec![changes(&rows(-1)[100..])])]);
    let _ = snapshot(operator.as_mut(), false);
    let (left, groups) = operator.size();
    assert_eq!(groups, 100);
    assert!(left * 20 < full, "{left} of {full} bytes");
    let sent = run_one(operator.as_mut(), &[Turn::at(2, vec![changes(&rows(-1)[..100])])]);
    assert_eq!(sent[0].sorted().len(), 100, "groups that stay keep their values");
}

/// Would fail if a row that never came could be taken back unnoticed.
#[test]
fn a_row_that_never_came_cannot_be_taken_back() {
    let mut operator = operator(Stage::Whole, true);
    let close = Turn::at(0, Vec::new()).close(0);
    let mut out = Output::new(0);
    operator.batch(0, changes(&[((3, None, true), -1)]), &mut out).unwrap();
    let error = operator.close(&close, &mut out).unwrap_err();
    assert_eq!(error.kind(), thalweg_types::ErrorKind::Data);
    assert!(error.message().contains("key 3"), "{error}");
}

/// The same where only a value was never there, which costs a look at all of them.
#[test]
#[cfg(debug_assertions)]
fn a_value_that_never_came_cannot_be_taken_back() {
    let close = Turn::at(0, Vec::new()).close(0);
    let (mut operator, mut out) = (operator(Stage::Whole, true), Output::new(0));
    let rows = [((3, Some(1), true), 1), ((3, Some(2), true), -1)];
    operator.batch(0, changes(&rows), &mut out).unwrap();
    let error = operator.close(&close, &mut out).unwrap_err();
    assert!(error.message().contains("key 3"), "{error}");
}
