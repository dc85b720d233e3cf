//! What leaves a loop.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use thalweg_types::{Epoch, EventTime};

use super::*;

fn exit(is_updating: bool) -> Exit {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
    Exit::new(schema, is_updating, Vec::new(), Gate::default()).unwrap()
}

fn come(exit: &mut Exit, rows: &[(i64, i64)]) {
    let column = Arc::new(Int64Array::from(rows.iter().map(|row| row.0).collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(exit.schema.clone(), vec![column as ArrayRef]).unwrap();
    let weights = Int64Array::from(rows.iter().map(|row| row.1).collect::<Vec<_>>());
    let change = Change::weighted(batch, weights).unwrap();
    exit.batch(0, change, &mut Output::default()).unwrap();
}

fn close(exit: &mut Exit, epoch: u64) -> Result<Vec<(i64, i64)>> {
    let moment = Moment { epoch: Epoch(epoch), clock: EventTime(0), watermark: EventTime(0) };
    let inputs = [EventTime(0); 2];
    let close = Close { moment, inputs, is_checkpoint: false, ending: None };
    let mut out = Output::default();
    assert_eq!(exit.close(&close, &mut out)?, Step::Done);
    let sent = out.take().into_iter().flat_map(|(_, change)| {
        let rows = change.rows.column(0).as_primitive::<Int64Type>().clone();
        (0..change.len()).map(move |row| (rows.value(row), change.weight(row))).collect::<Vec<_>>()
    });
    Ok(sent.collect())
}

#[test]
fn what_came_and_went_in_rounds_is_no_change_of_the_epoch() {
    let mut exit = exit(true);
    come(&mut exit, &[(3, 1), (1, 2), (4, -1)]);
    come(&mut exit, &[(3, -1), (2, -2)]);
    // What is taken back comes first, and each row as often as it counts.
    assert_eq!(close(&mut exit, 1).unwrap(), [(2, -1), (2, -1), (4, -1), (1, 1), (1, 1)]);
    assert_eq!(exit.gate.open(), 2);
    assert_eq!(close(&mut exit, 2).unwrap(), []);
}

#[test]
fn a_result_that_only_grows_has_no_weights() {
    let mut exit = exit(false);
    come(&mut exit, &[(1, 1), (2, 1), (1, -1)]);
    assert_eq!(close(&mut exit, 1).unwrap(), [(2, 1)]);
    come(&mut exit, &[(2, -1)]);
    assert!(close(&mut exit, 2).is_err());
}
