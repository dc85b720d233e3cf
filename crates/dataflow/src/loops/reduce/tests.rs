//! Reductions and picks against what they are at each of the rounds.

use std::collections::BTreeMap;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use thalweg_types::{Change, Epoch, EventTime, Moment};

use super::super::pick::Pick;
use super::*;

fn schema() -> SchemaRef {
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    Arc::new(Schema::new(vec![field("key"), field("value")]))
}

fn change(rows: &[(i64, i64, i64)]) -> Change {
    let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as _;
    let columns = vec![
        column(rows.iter().map(|row| row.0).collect()),
        column(rows.iter().map(|row| row.1).collect()),
    ];
    let weights = Int64Array::from(rows.iter().map(|row| row.2).collect::<Vec<_>>());
    Change::weighted(RecordBatch::try_new(schema(), columns).unwrap(), weights).unwrap()
}

/// Differences by their rounds: key, value and weight.
type Differences = BTreeMap<Rounds, Vec<(i64, i64, i64)>>;

/// Hands an epoch's differences over and closes all rounds that are waited for; adds what comes out.
fn run(reduce: &mut dyn Logic, epoch: &Differences, sent: &mut Differences) {
    let mut waits = BTreeSet::new();
    let mut take = |out: Sent, waits: &mut BTreeSet<Rounds>| {
        waits.extend(out.waits);
        for (rounds, change) in out.changes {
            let value = |column: usize, row: usize| {
                change.rows.column(column).as_primitive::<Int64Type>().value(row)
            };
            let rows =
                (0..change.len()).map(|row| (value(0, row), value(1, row), change.weight(row)));
            sent.entry(rounds).or_default().extend(rows);
        }
    };
    for (rounds, rows) in epoch {
        let moment = Moment { epoch: Epoch(1), clock: EventTime(0), watermark: EventTime(0) };
        let (mut out, came) =
            (Sent::default(), Came { rounds: *rounds, change: change(rows), moment });
        reduce.batch(0, came, &mut out).unwrap();
        take(out, &mut waits);
    }
    while let Some(rounds) = waits.pop_first() {
        let mut out = Sent::default();
        reduce.close(rounds, &mut out).unwrap();
        assert!(out.waits.iter().all(|later| *later > rounds));
        take(out, &mut waits);
    }
}

/// Returns what there is of each key at some rounds.
fn at(differences: &Differences, rounds: &Rounds) -> BTreeMap<(i64, i64), i64> {
    let mut rows = BTreeMap::new();
    for (_, changes) in differences.iter().filter(|(at, _)| at.is_within(rounds)) {
        changes
            .iter()
            .for_each(|(key, value, weight)| *rows.entry((*key, *value)).or_default() += weight);
    }
    rows.retain(|_, weight| *weight != 0);
    rows
}

fn least_of(rows: &BTreeMap<(i64, i64), i64>) -> BTreeMap<(i64, i64), i64> {
    let mut least = BTreeMap::new();
    for (key, value) in rows.keys() {
        least.entry(*key).or_insert(*value);
    }
    least.into_iter().map(|row| (row, 1)).collect()
}

/// Compares after each of some random epochs, in each of the rounds up to `end` at each level.
fn check(new: impl Fn() -> Box<dyn Logic>, end: [u32; 2]) {
    let places = (0..=end[0]).flat_map(|outer| (0..=end[1]).map(move |inner| [outer, inner, 0]));
    let all: Vec<Rounds> = places.map(Rounds).collect();
    let end = Rounds([end[0], end[1], 0]);
    let mut random = 7_u64;
    let mut below = |end: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % end
    };
    for _ in 0..200 {
        let mut reduce = new();
        let (mut came, mut sent) = (Differences::new(), Differences::new());
        for _ in 0..4 {
            let mut epoch = Differences::new();
            for _ in 0..below(6) {
                let rounds = all[below(all.len() as u64) as usize];
                let (key, value) = (below(2) as i64, below(4) as i64);
                // A row goes only where it is there, in these rounds and all behind them.
                let there =
                    |rounds: &Rounds| at(&came, rounds).get(&(key, value)).copied() > Some(0);
                let mut later = all.iter().filter(|at| rounds.is_within(at));
                let can_go = rounds.is_within(&end) && later.all(there) && below(2) == 0;
                let row = (key, value, if can_go { -1 } else { 1 });
                came.entry(rounds).or_default().push(row);
                epoch.entry(rounds).or_default().push(row);
            }
            run(reduce.as_mut(), &epoch, &mut sent);
            for rounds in &all {
                assert_eq!(at(&sent, rounds), least_of(&at(&came, rounds)), "{rounds:?}: {came:?}");
            }
        }
    }
}

#[test]
fn in_all_rounds_the_result_is_that_of_what_came_until_then() {
    // Rounds of two levels are not in one order, so differences meet where none of them is.
    check(|| Box::new(Reduce::new("1", (1, &Reducing::Least), [&schema(); 2]).unwrap()), [2, 2]);
}

#[test]
fn a_picked_row_is_right_in_all_rounds() {
    // A key waits for the first rounds in which it is wrong; those behind must not be forgotten.
    check(|| Box::new(Pick::new("1", (1, Which::Least), [&schema(); 2]).unwrap()), [8, 0]);
}

#[test]
fn a_key_waits_only_if_what_it_sent_is_wrong() {
    // A difference that changes nothing would else cost a round of all workers.
    let mut pick = Pick::new("1", (1, Which::Least), [&schema(); 2]).unwrap();
    let round = |round: u32| Rounds([round, 0, 0]);
    let mut sent = Differences::new();
    run(&mut pick, &[(round(2), vec![(1, 5, 1)])].into(), &mut sent);
    let mut waits = |rounds: u32, rows: &[(i64, i64, i64)]| {
        let moment = Moment { epoch: Epoch(1), clock: EventTime(0), watermark: EventTime(0) };
        let mut out = Sent::default();
        pick.batch(0, Came { rounds: round(rounds), change: change(rows), moment }, &mut out)
            .unwrap();
        out.waits
    };
    assert_eq!(waits(3, &[(1, 7, 1)]), []);
    assert_eq!(waits(4, &[(1, 5, 1)]), []);
    assert_eq!(waits(2, &[(1, 5, -1)]), [round(2)]);
}

#[test]
fn a_key_without_rows_keeps_nothing() {
    let mut reduce = Reduce::new("1", (1, &Reducing::Greatest), [&schema(); 2]).unwrap();
    let (first, second) = (Rounds::default(), Rounds([1, 0, 0]));
    let mut sent = Differences::new();
    run(&mut reduce, &[(first, vec![(1, 5, 1)]), (second, vec![(1, 9, 1)])].into(), &mut sent);
    assert_eq!(at(&sent, &second), [((1, 9), 1)].into());
    run(&mut reduce, &[(first, vec![(1, 5, -1)]), (second, vec![(1, 9, -1)])].into(), &mut sent);
    assert_eq!(at(&sent, &second), BTreeMap::new());
    let groups = thalweg_types::KeyGroups { count: 16, workers: 1 };
    reduce.snapshot(&mut StateWriter::discarded(groups)).unwrap();
    assert_eq!(reduce.size(), (0, 0));
}
