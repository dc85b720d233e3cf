//! Pairs of differences.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use thalweg_types::{Epoch, EventTime, Moment};

use super::*;

/// A row: its key and its value, and its weight.
type Row = (Option<i64>, i64, i64);

fn schema(names: &[&str]) -> SchemaRef {
    let field = |name: &&str| Field::new(*name, DataType::Int64, true);
    Arc::new(Schema::new(names.iter().map(field).collect::<Vec<_>>()))
}

fn join(nulls_meet: bool) -> Join {
    let side = schema(&["key", "value"]);
    let keys = JoinKeys { columns: vec![(0, 0)], nulls_meet };
    Join::new("1", &keys, [&side, &side], schema(&["a", "b", "c", "d"])).unwrap()
}

/// Hands rows over, and returns what comes out: rounds, both values, weight.
fn meet(
    join: &mut Join,
    input: usize,
    rounds: [u32; 3],
    rows: &[Row],
) -> Vec<([u32; 3], [i64; 3])> {
    let keys = Int64Array::from(rows.iter().map(|row| row.0).collect::<Vec<_>>());
    let values = Int64Array::from(rows.iter().map(|row| row.1).collect::<Vec<_>>());
    let weights = Int64Array::from(rows.iter().map(|row| row.2).collect::<Vec<_>>());
    let batch =
        RecordBatch::try_new(schema(&["key", "value"]), vec![Arc::new(keys), Arc::new(values)]);
    let change = Change::weighted(batch.unwrap(), weights).unwrap();
    let moment = Moment { epoch: Epoch(1), clock: EventTime(0), watermark: EventTime(0) };
    let mut out = Sent::default();
    join.batch(input, Came { rounds: Rounds(rounds), change, moment }, &mut out).unwrap();
    let pairs = out.changes.iter().flat_map(|(rounds, change)| {
        let value = |column: usize, row: usize| {
            change.rows.column(column).as_primitive::<Int64Type>().value(row)
        };
        (0..change.len())
            .map(move |row| (rounds.0, [value(1, row), value(3, row), change.weight(row)]))
    });
    pairs.collect()
}

#[test]
fn a_pair_is_there_from_when_both_of_its_rows_are() {
    let mut join = join(false);
    assert_eq!(meet(&mut join, 0, [3, 0, 0], &[(Some(1), 10, 1)]), []);
    let pairs = meet(&mut join, 1, [1, 5, 0], &[(Some(1), 20, 2), (Some(2), 21, 1)]);
    assert_eq!(pairs, [([3, 5, 0], [10, 20, 2])]);
    // What goes takes back what it was part of, in the same rounds.
    let pairs = meet(&mut join, 0, [3, 0, 0], &[(Some(1), 10, -1)]);
    assert_eq!(pairs, [([3, 5, 0], [10, 20, -2])]);
    assert_eq!(meet(&mut join, 1, [0, 0, 0], &[(Some(1), 22, 1)]), []);
}

#[test]
fn a_row_that_comes_and_goes_meets_nobody() {
    let mut join = join(false);
    meet(&mut join, 1, [0; 3], &[(Some(1), 20, 1)]);
    assert_eq!(meet(&mut join, 0, [0; 3], &[(Some(1), 10, 1), (Some(1), 10, -1)]), []);
    assert_eq!(join.size().1, 1);
}

#[test]
fn nulls_meet_only_where_they_are_asked_to() {
    for (nulls_meet, pairs) in [(false, 0), (true, 1)] {
        let mut join = join(nulls_meet);
        meet(&mut join, 0, [0; 3], &[(None, 10, 1)]);
        assert_eq!(meet(&mut join, 1, [0; 3], &[(None, 20, 1)]).len(), pairs);
    }
}

#[test]
fn more_pairs_than_can_be_counted_are_an_error() {
    let mut join = join(false);
    meet(&mut join, 0, [0; 3], &[(Some(1), 10, i64::MAX)]);
    let rows = vec![(Code::default(), i64::MAX)];
    assert!(netted(rows).is_ok());
    let side = schema(&["key", "value"]);
    let column = || Arc::new(Int64Array::from(vec![1])) as ArrayRef;
    let batch = RecordBatch::try_new(side, vec![column(), column()]).unwrap();
    let change = Change::weighted(batch, Int64Array::from(vec![2])).unwrap();
    let moment = Moment { epoch: Epoch(1), clock: EventTime(0), watermark: EventTime(0) };
    let came = Came { rounds: Rounds::default(), change, moment };
    let error = join.batch(1, came, &mut Sent::default()).unwrap_err();
    assert!(error.to_string().contains("more equal rows"), "{error}");
}
