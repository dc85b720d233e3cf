//! `ORDER BY` and `LIMIT` over an input that ends.
//!
//! Invariants: with an order, rows are sent at the end of the input only; without one they are
//! sent as they come until there are enough.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use thalweg_plan::node::{SortKey, SortNode};
use thalweg_state::{StateReader, StateWriter, TableSpec};
use thalweg_types::epoch::Ending;
use thalweg_types::{Change, Moment, Result};

use super::accumulators::{BATCH_ROWS, batch};
use super::ordering::Ordering;
use crate::operator::{Close, Operator, Output, Step};

/// Rows beyond the limit above which the buffer is cut back to what can still be first.
const PRUNE_ROWS: usize = 64 * 1024;

/// Orders rows, or counts them.
pub struct Sort {
    node: SortNode,
    input: SchemaRef,
    /// The number and the input's columns.
    numbered: SchemaRef,
    ordering: Ordering,
    batches: Vec<RecordBatch>,
    rows: usize,
    unsaved_from: usize,
    sequence: u64,
    /// Rows seen, without an order.
    seen: usize,
    sorted: Option<RecordBatch>,
}

impl Sort {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a column has no order.
    pub fn new(node: SortNode, input: SchemaRef) -> Result<Sort> {
        let mut fields = vec![Arc::new(Field::new("__sequence", DataType::UInt64, false))];
        fields.extend(input.fields().iter().cloned());
        let numbered: SchemaRef = Arc::new(Schema::new(fields));
        let order: Vec<SortKey> =
            node.order.iter().map(|key| SortKey { column: key.column + 1, ..*key }).collect();
        Ok(Sort {
            ordering: Ordering::after(1, &order, &numbered)?,
            numbered,
            node,
            input,
            batches: Vec::new(),
            rows: 0,
            unsaved_from: 0,
            sequence: 0,
            seen: 0,
            sorted: None,
        })
    }

    fn is_ordered(&self) -> bool {
        !self.node.order.is_empty()
    }

    /// Returns the rows that are asked for, in order; `skip` leaves the first ones out.
    fn sort(&self, skip: usize) -> Result<RecordBatch> {
        let rows = concat_batches(&self.numbered, &self.batches)?;
        let ordered = self.ordering.rows(&rows)?;
        let mut positions: Vec<u32> = (0..rows.num_rows() as u32).collect();
        positions.sort_unstable_by(|left, right| {
            ordered.row(*left as usize).cmp(&ordered.row(*right as usize))
        });
        let end = self.node.limit.map_or(usize::MAX, |limit| limit + self.node.skip);
        let positions: Vec<u32> = positions.into_iter().take(end).skip(skip).collect();
        Ok(take_record_batch(&rows, &UInt32Array::from(positions))?)
    }

    /// Gives rows their numbers, in front: they are saved under them.
    fn number(&mut self, rows: RecordBatch) -> Result<RecordBatch> {
        let count = rows.num_rows() as u64;
        let numbers = UInt64Array::from_iter_values(self.sequence..self.sequence + count);
        self.sequence += count;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(numbers)];
        columns.extend(rows.columns().iter().cloned());
        batch(&self.numbered, columns, rows.num_rows())
    }

    fn prune(&mut self) -> Result<()> {
        let Some(limit) = self.node.limit else { return Ok(()) };
        let kept = limit.saturating_add(self.node.skip);
        if self.rows > kept.saturating_mul(2).saturating_add(PRUNE_ROWS) {
            let rows = self.sort(0)?;
            self.rows = rows.num_rows();
            self.batches = vec![rows];
            self.unsaved_from = 0;
        }
        Ok(())
    }

    /// Passes the rows on that the limit still allows.
    fn pass(&mut self, change: Change, out: &mut Output) {
        let end = self.node.limit.map_or(usize::MAX, |limit| limit + self.node.skip);
        let (first, last) = (self.seen, self.seen + change.len());
        self.seen = last;
        let (from, to) = (first.max(self.node.skip), last.min(end));
        if from < to {
            out.send(change.slice(from - first, to - from));
        }
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        while let Some(rows) = self.sorted.take() {
            let head = rows.num_rows().min(BATCH_ROWS);
            if head < rows.num_rows() {
                self.sorted = Some(rows.slice(head, rows.num_rows() - head));
            }
            out.send(Change::append(rows.slice(0, head)));
            if out.is_full() && self.sorted.is_some() {
                return Ok(Step::More);
            }
        }
        Ok(Step::Done)
    }

    fn spec() -> TableSpec {
        TableSpec { name: "rows", key: 1, route: Vec::new() }
    }

    fn seen_spec() -> TableSpec {
        TableSpec { name: "seen", key: 0, route: Vec::new() }
    }
}

impl Operator for Sort {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        if self.is_ordered() {
            self.rows += change.len();
            let rows = self.number(change.rows)?;
            self.batches.push(rows);
            self.prune()?;
        } else {
            self.pass(change, out);
        }
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        if close.ending == Some(Ending::Finish) && self.is_ordered() {
            let sorted = self.sort(self.node.skip)?;
            let columns = sorted.columns()[1..].to_vec();
            self.sorted = Some(batch(&self.input, columns, sorted.num_rows())?);
            self.batches.clear();
            self.rows = 0;
            self.unsaved_from = 0;
        }
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let from = if to.is_full() { 0 } else { self.unsaved_from };
        for rows in &self.batches[from..] {
            to.put(&Sort::spec(), rows.clone())?;
        }
        self.unsaved_from = self.batches.len();
        let seen: ArrayRef = Arc::new(UInt64Array::from(vec![self.seen as u64]));
        to.put(&Sort::seen_spec(), RecordBatch::try_from_iter([("seen", seen)])?)
    }

    fn restore(&mut self, from: &StateReader, _: &Moment) -> Result<()> {
        for rows in from.table("rows")? {
            let numbers = rows.column(0).as_primitive::<UInt64Type>();
            let next = numbers.values().iter().max().map_or(0, |number| number + 1);
            self.sequence = self.sequence.max(next);
            self.rows += rows.num_rows();
            self.batches.push(rows);
        }
        for rows in from.table("seen")? {
            self.seen = rows.column(0).as_primitive::<UInt64Type>().value(0) as usize;
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        (self.batches.iter().map(thalweg_types::size::batch_bytes).sum(), self.rows)
    }
}
