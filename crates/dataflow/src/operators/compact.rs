//! Of the changes of each key in an epoch the last one, for whoever writes what each key is.
//!
//! Invariants: at most one row for each key and epoch; what comes first of a key is forgotten, in
//! the order in which its rows came. Nothing is kept beyond the epoch.

use arrow::array::{Int64Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, SchemaRef};
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
    /// For each key its last row, by batch and row, and the weight.
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
        let (batches, last, groups) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Compact { key, keys, batches, last, next: 0, groups })
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
        self.keys.clear();
        Ok(Step::Done)
    }
}

impl Operator for Compact {
    fn batch(&mut self, _: usize, change: Change, _: &mut Output) -> Result<Step> {
        let keys: Vec<_> = self.key.iter().map(|c| change.rows.column(*c).clone()).collect();
        self.keys.intern(&keys, change.len(), &mut self.groups)?;
        self.last.resize(self.keys.len(), Default::default());
        for (row, group) in self.groups.iter().enumerate() {
            self.last[*group as usize] = ((self.batches.len(), row), change.weight(row));
        }
        self.batches.push(change.rows);
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
