//! Batches of an operator's output and of its state.

use std::ops::Range;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;
use thalweg_types::{Change, Error, Result};

use crate::operator::Output;

/// Rows of one batch of results.
pub const BATCH_ROWS: usize = 8192;

/// Returns `columns` as `rows` rows of `schema`, also when there is no column.
///
/// # Errors
/// `Internal` if they do not fit.
pub fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    debug_assert!(columns.iter().all(|column| column.len() == rows));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.clone(), columns, &options).map_err(|error| {
        Error::internal("an operator's columns do not fit its schema").caused_by(error)
    })
}

/// Returns the next rows of `total` to send behind `from`, at most `most`.
pub fn next_rows(from: usize, total: usize, most: usize) -> Range<usize> {
    from..(from + most).min(total)
}

/// Rows that are sent in pieces, as far as the output takes them.
#[derive(Debug, Default)]
pub struct Results(Option<(RecordBatch, usize)>);

impl Results {
    /// Returns rows of which nothing is sent.
    pub fn new(rows: RecordBatch) -> Results {
        Results(Some((rows, 0)))
    }

    /// Sends what is left, as far as the output takes it; returns whether all of it is sent.
    pub fn send(&mut self, out: &mut Output) -> bool {
        let Some((rows, next)) = &mut self.0 else { return true };
        while *next < rows.num_rows() {
            if out.is_full() {
                return false;
            }
            let range = next_rows(*next, rows.num_rows(), BATCH_ROWS);
            *next = range.end;
            out.send(Change::append(rows.slice(range.start, range.len())));
        }
        self.0 = None;
        true
    }
}

/// Returns the numbers of a range of groups.
pub fn groups_of(range: Range<usize>) -> Vec<u32> {
    (range.start as u32..range.end as u32).collect()
}

/// Returns the columns of a row for people, each with its name.
pub fn described(rows: &RecordBatch, row: usize) -> String {
    let names = rows.schema();
    let values = rows.columns().iter().zip(names.fields()).map(|(column, field)| {
        let value = array_value_to_string(column, row);
        format!("{} {}", field.name(), value.unwrap_or_else(|error| error.to_string()))
    });
    values.collect::<Vec<_>>().join(", ")
}

/// Returns the error of a row that is taken back and never came.
pub fn never_came(rows: &RecordBatch, row: usize) -> Error {
    Error::data(format!("a row is taken back that never came: {}", described(rows, row)))
        .remedy("a changelog must insert a row before it deletes it")
}

/// Checks that restored rows are rows of `schema`.
///
/// # Errors
/// `State` if they are not: another operator wrote them.
pub fn check_state(rows: &RecordBatch, schema: &SchemaRef) -> Result<()> {
    let found = rows.schema();
    let found = found.fields().iter().map(|field| field.data_type());
    if found.eq(schema.fields().iter().map(|field| field.data_type())) {
        return Ok(());
    }
    Err(Error::state("saved state has other columns than the operator")
        .remedy("begin anew, or go back to the job that the state was saved with"))
}
