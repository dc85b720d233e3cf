mod lifetime;
mod taken_back;

use std::collections::BTreeMap;

use thalweg_plan::node::Stage;

use super::*;
use crate::operators::pre_aggregate::PreAggregate;
use crate::operators::testing::*;

fn node(stage: Stage, is_distinct: bool) -> AggregateNode {
    let mut calls = if is_distinct { Vec::new() } else { calls().0 };
    if stage == Stage::Final {
        calls.iter_mut().for_each(|call| call.arguments.clear());
    }
    AggregateNode {
        window: None,
        keys: vec![0],
        calls,
        stage,
        divert_late: false,
        retracts: false,
        ttl: None,
        panes: None,
    }
}

fn output(is_distinct: bool) -> SchemaRef {
    let whole = result_schema(false);
    if is_distinct { whole.project(&[0]).unwrap().into() } else { whole }
}

fn operator(stage: Stage, is_distinct: bool) -> Box<dyn Operator> {
    let output = output(is_distinct);
    let input = if stage == Stage::Final { output.clone() } else { row_schema() };
    match stage {
        Stage::Partial => {
            Box::new(PreAggregate::new(&node(stage, is_distinct), &input, output).unwrap())
        }
        _ => Box::new(Aggregate::new(&node(stage, is_distinct), &input, output).unwrap()),
    }
}

fn row(key: i64, value: Option<i64>) -> Row {
    Row { key: format!("key {key}"), value, start: 0, end: 0 }
}

fn turns(seed: u64) -> Vec<Turn> {
    let mut random = Random::new(seed);
    let mut turns = Vec::new();
    for time in 0..30 {
        let batches = (0..random.below(3)).map(|_| {
            let rows = (0..random.below(20)).map(|_| {
                let value = random.below(5);
                row(random.below(15), (value > 0).then_some(value))
            });
            change(&rows.collect::<Vec<_>>())
        });
        turns.push(Turn::at(time, batches.collect()));
    }
    turns.push(Turn::last(Vec::new()));
    turns
}

/// The changes of each epoch, by recomputation of everything.
fn naive(turns: &[Turn], is_distinct: bool) -> Vec<Vec<String>> {
    let mut state: BTreeMap<String, Naive> = BTreeMap::new();
    let text = |(key, values): (&String, &Naive)| match is_distinct {
        true => (key.clone(), key.clone()),
        false => (key.clone(), format!("{key}|{}", values.text())),
    };
    let mut all = Vec::new();
    for turn in turns {
        let before: BTreeMap<String, String> = state.iter().map(text).collect();
        for change in &turn.batches {
            for line in texts(change) {
                let mut values = line.split('|');
                let key = values.next().unwrap().to_owned();
                state.entry(key).or_default().add(values.next().unwrap().parse().ok());
            }
        }
        let mut lines = Vec::new();
        for (key, new) in state.iter().map(text) {
            let old = before.get(&key);
            if old != Some(&new) {
                lines.extend(old.map(|old| format!("-1 {old}")));
                lines.push(format!("+1 {new}"));
            }
        }
        lines.sort();
        all.push(lines);
    }
    all
}

fn check(stand: &Stand<'_>, is_distinct: bool) {
    for seed in 0..15 {
        let turns = turns(seed);
        let found: Vec<_> = stand.run(&turns).iter().map(Sent::sorted).collect();
        assert_eq!(found, naive(&turns, is_distinct), "seed {seed}");
        stand.check_crashes(&turns, seed);
    }
}

/// Would fail if a change were missing, doubled, or made of another epoch's values.
#[test]
fn changes_equal_those_of_a_naive_recomputation() {
    for is_distinct in [false, true] {
        let make = || operator(Stage::Whole, is_distinct);
        check(&Stand { pre: None, make: &make, keys: vec![0] }, is_distinct);
    }
}

/// Would fail if partial states were made or merged wrongly.
#[test]
fn a_pre_aggregation_changes_nothing() {
    for is_distinct in [false, true] {
        let pre = || operator(Stage::Partial, is_distinct);
        let make = || operator(Stage::Final, is_distinct);
        check(&Stand { pre: Some(&pre), make: &make, keys: vec![0] }, is_distinct);
    }
}

/// Would fail if a retraction came after its insert, or if batches were too large.
#[test]
fn a_retraction_stands_directly_before_its_insert() {
    let rows: Vec<Row> = (0..20_000).map(|key| row(key, Some(1))).collect();
    let turns = [Turn::at(1, vec![change(&rows)]), Turn::at(2, vec![change(&rows)])];
    let sent = run_one(operator(Stage::Whole, false).as_mut(), &turns);
    let first: usize = sent[0].results.iter().map(Change::len).sum();
    assert_eq!(first, 20_000);
    assert!(sent[1].results.len() > 3, "sent in several steps");
    for change in &sent[1].results {
        assert!(change.len() <= BATCH_ROWS);
        for pair in (0..change.len()).step_by(2) {
            assert_eq!((change.weight(pair), change.weight(pair + 1)), (-1, 1));
            let keys = [pair, pair + 1].map(|row| text(&change.rows, row));
            assert_eq!(keys[0].split('|').next(), keys[1].split('|').next());
        }
    }
}

/// Would fail if an aggregation without keys had no group, or more than one.
#[test]
fn without_keys_there_is_one_row() {
    let node = AggregateNode { keys: Vec::new(), ..node(Stage::Whole, false) };
    let output = result_schema(false).project(&[1, 2, 3]).unwrap().into();
    let mut operator = Aggregate::new(&node, &row_schema(), output).unwrap();
    let batch = |value| vec![change(&[row(1, Some(value))])];
    let turns = [Turn::at(1, Vec::new()), Turn::at(2, batch(3)), Turn::at(3, batch(4))];
    let sent: Vec<_> = run_one(&mut operator, &turns).iter().map(Sent::sorted).collect();
    assert_eq!(sent, [vec![], vec!["+1 3|1|3"], vec!["+1 7|2|4", "-1 3|1|3"]]);
}

/// Would fail if state of another operator were taken for one's own.
#[test]
fn state_of_other_columns_is_refused() {
    let mut operator = operator(Stage::Whole, true);
    run_one(operator.as_mut(), &[Turn::at(1, vec![change(&[row(1, None)])])]);
    let groups = thalweg_types::KeyGroups { count: 1, workers: 1 };
    let mut writer = StateWriter::new(true, groups);
    operator.snapshot(&mut writer).unwrap();
    let owned = groups.owned_by(thalweg_types::WorkerId(0));
    let state = StateReader::open(vec![writer.finish().unwrap().unwrap()], owned).unwrap();
    let at = Turn::at(1, Vec::new()).close(0).moment;
    let error = super::tests::operator(Stage::Whole, false).restore(&state, &at).unwrap_err();
    assert_eq!(error.kind(), thalweg_types::ErrorKind::State);
}
