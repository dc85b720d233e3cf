//! `ORDER BY` and `LIMIT` over an input that ends.
//!
//! Invariants: with an order, rows are sent at the end of the input only; without one, rows of an
//! append-only input are sent as they come until there are enough. An updating input is collected
//! too, since only its end tells what is left of it; what is sent is append-only in any case. With
//! a limit, the buffer of an append-only input holds at most about twice what can still be first.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt64Type};
use thalweg_plan::node::{SortKey, SortNode};
use thalweg_state::{StateReader, StateWriter, TableSpec};
use thalweg_types::epoch::Ending;
use thalweg_types::{Change, Error, Moment, Result};

use super::batches::{BATCH_ROWS, batch, check_state, next_rows};
use super::ordering::Ordering;
use crate::operator::{Close, Operator, Output, Step};

/// Rows from which on the buffer is cut back to what can still be first.
const COMPACT_ROWS: usize = 64 * 1024;
/// Columns of our own in front of the input's: the number of a row, and its weight.
const OWN: usize = 2;

/// Orders rows, or counts them.
pub struct Sort {
    node: SortNode,
    input: SchemaRef,
    /// The number, the weight and the input's columns.
    kept: SchemaRef,
    ordering: Ordering,
    batches: Vec<RecordBatch>,
    rows: usize,
    /// Rows left by the last compaction.
    compacted: usize,
    /// Does the input take rows back?
    is_updating: bool,
    /// Number of the next row.
    sequence: u64,
    /// Batches from this one on are not in a snapshot yet.
    unsaved_from: usize,
    /// Rows with a number below this are in a snapshot.
    saved_to: u64,
    /// Numbers of rows that are in a snapshot and were dropped since.
    dropped: Vec<u64>,
    /// Rows that passed, without an order.
    passed: u64,
    sorted: Option<Sorted>,
    compact_rows: usize,
}

/// What is being sent: rows, and which of them in which order.
struct Sorted {
    rows: RecordBatch,
    positions: Vec<u32>,
    next: usize,
}

impl Sort {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a column has no order.
    pub fn new(node: SortNode, input: SchemaRef) -> Result<Sort> {
        if let Some(key) = node.order.iter().find(|key| key.column >= input.fields().len()) {
            return Err(Error::internal(format!(
                "an order by column {}, which is missing",
                key.column
            )));
        }
        let own = [
            Field::new("__sequence", DataType::UInt64, false),
            Field::new("__weight", DataType::Int64, false),
        ];
        let fields = input.fields().iter().map(|field| field.as_ref().clone());
        let kept: SchemaRef =
            Arc::new(Schema::new(own.into_iter().chain(fields).collect::<Vec<_>>()));
        let order = node.order.iter().map(|key| SortKey { column: key.column + OWN, ..*key });
        Ok(Sort {
            ordering: Ordering::without(
                &(0..OWN).collect::<Vec<_>>(),
                &order.collect::<Vec<_>>(),
                &kept,
            )?,
            kept,
            node,
            input,
            batches: Vec::new(),
            rows: 0,
            compacted: 0,
            is_updating: false,
            sequence: 0,
            unsaved_from: 0,
            saved_to: 0,
            dropped: Vec::new(),
            passed: 0,
            sorted: None,
            compact_rows: COMPACT_ROWS,
        })
    }

    /// Returns how many rows count from the start, those left out among them.
    fn end(&self) -> usize {
        self.node.limit.map_or(usize::MAX, |limit| limit.saturating_add(self.node.skip))
    }

    /// Passes the rows on that the limit still allows.
    fn pass(&mut self, change: &Change, out: &mut Output) {
        let first = self.passed;
        self.passed += change.len() as u64;
        let (skip, end) = (self.node.skip as u64, self.end() as u64);
        let (from, to) = (first.max(skip), self.passed.min(end));
        if from < to {
            out.send(change.slice((from - first) as usize, (to - from) as usize));
        }
    }

    /// Keeps rows with their weights, each under a number.
    fn keep(&mut self, change: &Change) -> Result<()> {
        let count = change.len();
        let numbers = self.sequence..self.sequence + count as u64;
        self.sequence = numbers.end;
        let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(numbers));
        let weights = change.weights.clone().unwrap_or_else(|| vec![1; count].into());
        let own = [numbers, Arc::new(weights) as ArrayRef].into_iter();
        let columns = own.chain(change.rows.columns().iter().cloned()).collect();
        self.batches.push(batch(&self.kept, columns, count)?);
        self.rows += count;
        match self.rows > self.compact_rows.max(self.compacted * 2) {
            true => self.compact(),
            false => Ok(()),
        }
    }

    /// Returns the kept rows, and the positions of different ones in order, with their weights.
    fn in_order(&self) -> Result<(RecordBatch, Vec<(u32, i64)>)> {
        let rows = concat_batches(&self.kept, &self.batches)?;
        let ordered = self.ordering.rows(&rows)?;
        let mut positions: Vec<u32> = (0..rows.num_rows() as u32).collect();
        positions.sort_unstable_by(|left, right| {
            ordered.row(*left as usize).cmp(&ordered.row(*right as usize))
        });
        let weights = rows.column(1).as_primitive::<Int64Type>();
        let mut folded: Vec<(u32, i64)> = Vec::new();
        for position in positions {
            let (row, weight) = (ordered.row(position as usize), weights.value(position as usize));
            match folded.last_mut() {
                Some((last, sum)) if ordered.row(*last as usize) == row => *sum += weight,
                _ => folded.push((position, weight)),
            }
        }
        folded.retain(|(_, weight)| *weight != 0);
        Ok((rows, folded))
    }

    /// Folds equal rows, and drops those that cannot be among the first any more.
    fn compact(&mut self) -> Result<()> {
        let (rows, mut folded) = self.in_order()?;
        if !self.is_updating {
            let end = i64::try_from(self.end()).unwrap_or(i64::MAX);
            let mut before = 0i64;
            folded.retain(|(_, weight)| {
                before = before.saturating_add(*weight);
                before.saturating_sub(*weight) < end
            });
        }
        let numbers = rows.column(0).as_primitive::<UInt64Type>().values();
        let mut is_dropped = vec![true; rows.num_rows()];
        folded.iter().for_each(|(position, _)| is_dropped[*position as usize] = false);
        let dropped = numbers.iter().zip(is_dropped).filter(|(_, is_dropped)| *is_dropped);
        let saved_to = self.saved_to;
        self.dropped.extend(dropped.map(|(number, _)| *number).filter(|number| *number < saved_to));
        let (positions, weights): (Vec<u32>, Vec<i64>) = folded.into_iter().unzip();
        let mut columns =
            take_record_batch(&rows, &UInt32Array::from(positions))?.columns().to_vec();
        columns[1] = Arc::new(Int64Array::from(weights));
        let rows = columns[0].len();
        // What is left is saved again, under the numbers that it has.
        self.batches = vec![batch(&self.kept, columns, rows)?];
        (self.rows, self.compacted, self.unsaved_from) = (rows, rows, 0);
        Ok(())
    }

    /// Puts the rows that are asked for in order, at the end of the input.
    fn finish(&mut self) -> Result<()> {
        let (rows, folded) = self.in_order()?;
        let repeated = folded.into_iter().flat_map(|(position, weight)| {
            std::iter::repeat_n(position, usize::try_from(weight).unwrap_or(0))
        });
        let positions = repeated.take(self.end()).skip(self.node.skip).collect();
        let rows = batch(&self.input, rows.columns()[OWN..].to_vec(), rows.num_rows())?;
        self.sorted = Some(Sorted { rows, positions, next: 0 });
        let numbers =
            self.batches.iter().flat_map(|b| b.column(0).as_primitive::<UInt64Type>().values());
        let saved_to = self.saved_to;
        self.dropped.extend(numbers.copied().filter(|number| *number < saved_to));
        self.batches.clear();
        (self.rows, self.compacted, self.unsaved_from) = (0, 0, 0);
        Ok(())
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        let Some(sorted) = &mut self.sorted else { return Ok(Step::Done) };
        while sorted.next < sorted.positions.len() {
            if out.is_full() {
                return Ok(Step::More);
            }
            let range = next_rows(sorted.next, sorted.positions.len(), BATCH_ROWS);
            sorted.next = range.end;
            let positions = UInt32Array::from(sorted.positions[range].to_vec());
            out.send(Change::append(take_record_batch(&sorted.rows, &positions)?));
        }
        self.sorted = None;
        Ok(Step::Done)
    }
}

/// Kept rows, by their numbers.
fn rows_table() -> TableSpec {
    TableSpec { name: "rows", key: 1, route: Vec::new() }
}

/// How many rows passed: one row.
fn passed_table() -> TableSpec {
    TableSpec { name: "passed", key: 0, route: Vec::new() }
}

fn passed_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("passed", DataType::UInt64, false)]))
}

impl Operator for Sort {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        self.is_updating |= change.weights.is_some();
        if self.node.order.is_empty() && !self.is_updating {
            self.pass(&change, out);
        } else {
            self.keep(&change)?;
        }
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        if close.ending == Some(Ending::Finish) {
            self.finish()?;
        }
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let dropped = std::mem::take(&mut self.dropped);
        if !to.is_full() && !dropped.is_empty() {
            let schema: SchemaRef = Arc::new(self.kept.project(&[0])?);
            let numbers = UInt64Array::from(dropped);
            let count = numbers.len();
            to.delete(&rows_table(), batch(&schema, vec![Arc::new(numbers)], count)?)?;
        }
        let from = if to.is_full() { 0 } else { self.unsaved_from };
        for rows in self.batches.iter().skip(from) {
            to.put(&rows_table(), rows.clone())?;
        }
        (self.unsaved_from, self.saved_to) = (self.batches.len(), self.sequence);
        if self.passed > 0 {
            let passed = Arc::new(UInt64Array::from(vec![self.passed]));
            to.put(&passed_table(), batch(&passed_schema(), vec![passed], 1)?)?;
        }
        Ok(())
    }

    fn restore(&mut self, from: &StateReader, _: &Moment) -> Result<()> {
        for rows in from.table("rows")? {
            check_state(&rows, &self.kept)?;
            let numbers = rows.column(0).as_primitive::<UInt64Type>();
            let next = numbers.values().iter().max().map_or(0, |number| number + 1);
            self.sequence = self.sequence.max(next);
            self.rows += rows.num_rows();
            self.batches.push(rows);
        }
        (self.unsaved_from, self.saved_to) = (self.batches.len(), self.sequence);
        for rows in from.table("passed")?.iter().filter(|rows| rows.num_rows() > 0) {
            check_state(rows, &passed_schema())?;
            self.passed = rows.column(0).as_primitive::<UInt64Type>().value(0);
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        (self.batches.iter().map(thalweg_types::size::batch_bytes).sum(), self.rows)
    }
}

#[cfg(test)]
mod tests;
