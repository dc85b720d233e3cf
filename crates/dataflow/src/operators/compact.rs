//! What becomes of each key in an epoch: its row, or that it is gone; for whoever writes what each key
//! is.
//!
//! Invariants: at most one row for each key and epoch. The row of a key is the last one that was
//! inserted and not taken back itself: operators may take back a key's old row behind its new one, so
//! the order alone does not tell. Nothing is kept beyond the epoch.

use arrow::array::{Int64Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use thalweg_state::GroupTable;
use thalweg_types::{Change, Result};

use super::batches::{BATCH_ROWS, next_rows};
use crate::operator::{Close, Operator, Output, Step};

/// The last change of each key.
pub struct Compact {
    key: Vec<usize>,
    keys: GroupTable,
    /// What came in the open epoch.
    batches: Vec<RecordBatch>,
    /// The rows of each batch as they are compared; made where rows are taken back.
    compared: Vec<Option<Rows>>,
    /// Columns that are compared: all whose type can be.
    comparable: Vec<usize>,
    converter: RowConverter,
    /// For each key its row, by batch and row, and whether it is there (+1) or was taken back (−1).
    last: Vec<((usize, usize), i64)>,
    /// The next key to be sent.
    next: usize,
    groups: Vec<u32>,
}

impl Compact {
    /// Returns the operator for rows of `schema` with this key.
    ///
    /// # Errors
    /// `Invalid` if a column of the key cannot be one.
    pub fn new(key: Vec<usize>, schema: SchemaRef) -> Result<Compact> {
        let types = key.iter().map(|column| schema.field(*column).data_type().clone());
        let keys = GroupTable::new(&types.collect::<Vec<DataType>>())?;
        let field = |column: &usize| SortField::new(schema.field(*column).data_type().clone());
        let comparable = (0..schema.fields().len())
            .filter(|column| RowConverter::supports_fields(&[field(column)]));
        let comparable: Vec<usize> = comparable.collect();
        let converter = RowConverter::new(comparable.iter().map(field).collect())?;
        let (batches, last, groups) = (Vec::new(), Vec::new(), Vec::new());
        let compared = Vec::new();
        Ok(Compact { key, keys, batches, comparable, compared, converter, last, next: 0, groups })
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        let batches: Vec<&RecordBatch> = self.batches.iter().collect();
        while self.next < self.last.len() {
            if out.is_full() {
                return Ok(Step::More);
            }
            let range = next_rows(self.next, self.last.len(), BATCH_ROWS);
            self.next = range.end;
            let (places, weights): (Vec<_>, Vec<_>) = self.last[range].iter().copied().unzip();
            let rows = interleave_record_batch(&batches, &places)?;
            out.send(Change::weighted(rows, Int64Array::from(weights))?);
        }
        self.next = 0;
        self.last.clear();
        self.batches.clear();
        self.compared.clear();
        self.keys.clear();
        Ok(Step::Done)
    }

    /// Brings the rows of a batch into the form in which they are compared.
    fn compare(&mut self, batch: usize) -> Result<()> {
        if self.compared.len() <= batch {
            self.compared.resize_with(batch + 1, || None);
        }
        if self.compared[batch].is_none() {
            let columns = self.batches[batch].project(&self.comparable)?;
            self.compared[batch] = Some(self.converter.convert_columns(columns.columns())?);
        }
        Ok(())
    }

    /// Are two rows the same?
    fn is_same(&mut self, (batch, row): (usize, usize), other: (usize, usize)) -> Result<bool> {
        self.compare(batch)?;
        self.compare(other.0)?;
        let row_of = |batch: usize, row: usize| self.compared[batch].as_ref().map(|r| r.row(row));
        Ok(row_of(batch, row) == row_of(other.0, other.1))
    }
}

impl Operator for Compact {
    fn batch(&mut self, _: usize, change: Change, _: &mut Output) -> Result<Step> {
        let keys: Vec<_> = self.key.iter().map(|c| change.rows.column(*c).clone()).collect();
        self.keys.intern(&keys, change.len(), &mut self.groups)?;
        let known = self.last.len();
        self.last.resize(self.keys.len(), Default::default());
        let (batch, weights) = (self.batches.len(), change.weights);
        self.batches.push(change.rows);
        for (row, group) in std::mem::take(&mut self.groups).into_iter().enumerate() {
            let weight = weights.as_ref().map_or(1, |weights| weights.value(row));
            let place = (batch, row);
            let (last, is_there) = self.last[group as usize];
            // Behind an insert only the retraction of that very row counts.
            let is_new = group as usize >= known && is_there == 0;
            if is_new || weight > 0 || is_there < 0 || self.is_same(last, place)? {
                self.last[group as usize] = (place, weight);
            }
        }
        Ok(Step::Done)
    }

    fn close(&mut self, _: &Close, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }
}

#[cfg(test)]
mod tests;
