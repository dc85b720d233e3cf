//! The first rows of each window and partition.
//!
//! Invariants: a window's rows are sent once, when it is complete; which rows are first does not
//! depend on the order of arrival, since ties are broken by the whole row. A window's buffer holds
//! at most about twice the rows that can still be first.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use thalweg_plan::node::WindowTopNode;
use thalweg_state::{GroupTable, StateReader, StateWriter, TableSpec};
use thalweg_types::{Change, Error, EventTime, Moment, Result};

use super::batches::{BATCH_ROWS, batch, check_state, next_rows};
use super::due::{Due, Gate};
use super::ordering::Ordering;
use super::slices::{Slice, Slices, by_window};
use crate::operator::{Close, Operator, Output, Step};

/// Rows above which a window is cut back to what can still be first.
const PRUNE_ROWS: usize = 16 * 1024;

/// The rows of one window; behind the input's columns each has a number, under which it is saved.
#[derive(Default)]
struct Pane {
    batches: Vec<RecordBatch>,
    rows: usize,
    /// Rows left by the last pruning.
    pruned: usize,
    /// Batches from this one on are not in a snapshot yet.
    unsaved_from: usize,
}

/// Keeps the rows of open windows.
pub struct WindowTop {
    node: WindowTopNode,
    due: Due,
    gate: Gate,
    input: SchemaRef,
    /// The input's columns, then the number.
    numbered: SchemaRef,
    /// The partition, the number, then the input's columns.
    state: SchemaRef,
    output: SchemaRef,
    ordering: Ordering,
    panes: BTreeMap<Slice, Pane>,
    /// Number of the next row.
    sequence: u64,
    /// Rows of a complete window that are being sent, and the next of them.
    firing: Option<(RecordBatch, usize)>,
    prune_rows: usize,
}

impl WindowTop {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a column has no order.
    pub fn new(node: WindowTopNode, input: SchemaRef, output: SchemaRef) -> Result<WindowTop> {
        let (spec, width) = (node.window, input.fields().len());
        let order = node.order.iter().map(|key| &key.column);
        let columns = order.chain(&node.partition).chain([&spec.start, &spec.end]);
        if let Some(column) = columns.into_iter().find(|column| **column >= width) {
            return Err(Error::internal(format!("a window's rows have no column {column}")));
        }
        let due = Due::new(&spec, &input)?;
        let slices = Slices::new(spec.assigner);
        if slices != Slices::Whole {
            return Err(Error::internal("the first rows of a window that is not attached"));
        }
        Ok(WindowTop {
            gate: Gate::new(&spec, slices, false),
            due,
            ordering: Ordering::new(&node.order, &input)?,
            numbered: numbered(&input),
            state: state_schema(&node, &input),
            node,
            input,
            output,
            panes: BTreeMap::new(),
            sequence: 0,
            firing: None,
            prune_rows: PRUNE_ROWS,
        })
    }

    /// Returns the positions of the first rows of each partition, in order, and their ranks.
    fn first(&self, rows: &RecordBatch) -> Result<(Vec<u32>, Vec<i64>)> {
        let keys: Vec<ArrayRef> =
            self.node.partition.iter().map(|column| rows.column(*column).clone()).collect();
        let types: Vec<DataType> = keys.iter().map(|key| key.data_type().clone()).collect();
        let mut groups = Vec::new();
        GroupTable::new(&types)?.intern(&keys, rows.num_rows(), &mut groups)?;
        let ordered = self.ordering.rows(rows)?;
        let mut positions: Vec<u32> = (0..rows.num_rows() as u32).collect();
        positions.sort_unstable_by(|left, right| {
            let (left, right) = (*left as usize, *right as usize);
            let by_row = || ordered.row(left).cmp(&ordered.row(right));
            groups[left].cmp(&groups[right]).then_with(by_row)
        });
        let (mut kept, mut ranks) = (Vec::new(), Vec::new());
        let (mut current, mut rank) = (None, 0);
        for position in positions {
            let group = groups[position as usize];
            rank = if current == Some(group) { rank + 1 } else { 1 };
            current = Some(group);
            if rank <= *self.node.ranks.end() {
                kept.push(position);
                ranks.push(rank as i64);
            }
        }
        Ok((kept, ranks))
    }

    /// Cuts a window back if it grew to twice what the last cut left.
    fn prune(&mut self, slice: Slice) -> Result<()> {
        let Some(pane) = self.panes.get(&slice) else { return Ok(()) };
        if pane.rows <= self.prune_rows.max(pane.pruned * 2) {
            return Ok(());
        }
        // What is left is saved again, under the numbers that it has.
        let rows = concat_batches(&self.numbered, &pane.batches)?;
        let (kept, _) = self.first(&rows)?;
        let rows = take_record_batch(&rows, &UInt32Array::from(kept))?;
        let count = rows.num_rows();
        let pane = Pane { batches: vec![rows], rows: count, pruned: count, unsaved_from: 0 };
        self.panes.insert(slice, pane);
        Ok(())
    }

    /// Sends the first rows of every window that is complete, one window after another.
    fn fire(&mut self, out: &mut Output) -> Result<Step> {
        loop {
            if let Some((rows, next)) = &mut self.firing {
                while *next < rows.num_rows() {
                    if out.is_full() {
                        return Ok(Step::More);
                    }
                    let range = next_rows(*next, rows.num_rows(), BATCH_ROWS);
                    *next = range.end;
                    out.send(Change::append(rows.slice(range.start, range.len())));
                }
            }
            self.firing = self.next_window()?.map(|rows| (rows, 0));
            if self.firing.is_none() {
                return Ok(Step::Done);
            }
        }
    }

    /// Takes out the rows of the next complete window.
    fn next_window(&mut self) -> Result<Option<RecordBatch>> {
        let complete = self.due.complete();
        let entry = self.panes.first_entry().filter(|entry| entry.key().0 <= complete);
        let Some(pane) = entry.map(|entry| entry.remove()) else { return Ok(None) };
        let rows = concat_batches(&self.numbered, &pane.batches)?;
        let (kept, ranks) = self.first(&rows)?;
        let wanted = kept.into_iter().zip(ranks);
        let wanted = wanted.filter(|(_, rank)| *rank >= *self.node.ranks.start() as i64);
        let (kept, ranks): (Vec<u32>, Vec<i64>) = wanted.unzip();
        let rows = take_record_batch(&rows, &UInt32Array::from(kept))?;
        let mut columns = rows.columns()[..self.input.fields().len()].to_vec();
        if self.node.rank {
            columns.push(Arc::new(Int64Array::from(ranks)));
        }
        batch(&self.output, columns, rows.num_rows()).map(Some)
    }

    /// Gives rows their numbers.
    fn number(&mut self, rows: &RecordBatch) -> Result<RecordBatch> {
        let count = rows.num_rows() as u64;
        let numbers = UInt64Array::from_iter_values(self.sequence..self.sequence + count);
        self.sequence += count;
        let columns = rows.columns().iter().cloned();
        let columns = columns.chain([Arc::new(numbers) as ArrayRef]).collect();
        batch(&self.numbered, columns, rows.num_rows())
    }

    /// Adds numbered rows to their windows.
    fn add(&mut self, rows: RecordBatch) -> Result<()> {
        for (slice, part) in by_window(&self.node.window, Change::append(rows))? {
            let pane = self.panes.entry(slice).or_default();
            pane.rows += part.len();
            pane.batches.push(part.rows);
            self.prune(slice)?;
        }
        Ok(())
    }

    fn table(&self) -> TableSpec {
        let partition = self.node.partition.len();
        TableSpec { name: "rows", key: partition + 1, route: (0..partition).collect() }
    }

    /// Returns numbered rows as rows of state.
    fn to_state(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let width = self.input.fields().len();
        let order = self.node.partition.iter().copied().chain([width]).chain(0..width);
        let columns = order.map(|column| rows.column(column).clone()).collect();
        batch(&self.state, columns, rows.num_rows())
    }

    /// Returns rows of state as numbered rows.
    fn to_numbered(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        check_state(rows, &self.state)?;
        let number = self.node.partition.len();
        let mut columns = rows.columns()[number + 1..].to_vec();
        columns.push(rows.column(number).clone());
        batch(&self.numbered, columns, rows.num_rows())
    }
}

impl Operator for WindowTop {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        if change.weights.is_some() {
            return Err(Error::internal("the first rows of a window of an updating input"));
        }
        let change = self.gate.admit(change, &self.due, out)?;
        let rows = self.number(&change.rows)?;
        self.add(rows)?;
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.due.close(close);
        self.fire(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.fire(out)
    }

    fn wake(&self) -> Option<EventTime> {
        self.due.wake(self.panes.first_key_value()?.0.0)
    }

    /// Rows that a pruning dropped stay in older snapshots; a restore drops them again. So do the
    /// rows of windows that fired; a restore sees by the time that those are over.
    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let mut unsaved = Vec::new();
        for pane in self.panes.values_mut() {
            let from = if to.is_full() { 0 } else { pane.unsaved_from };
            unsaved.extend(pane.batches.iter().skip(from).cloned());
            pane.unsaved_from = pane.batches.len();
        }
        let table = self.table();
        unsaved.iter().try_for_each(|rows| to.put(&table, self.to_state(rows)?))
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.due.restore(at);
        for rows in from.table("rows")? {
            let rows = self.to_numbered(&rows)?;
            let numbers = rows.column(self.input.fields().len()).as_primitive::<UInt64Type>();
            let next = numbers.values().iter().max().map_or(0, |number| number + 1);
            self.sequence = self.sequence.max(next);
            self.add(rows)?;
        }
        let complete = self.due.complete();
        self.panes.retain(|slice, _| slice.0 > complete);
        for pane in self.panes.values_mut().filter(|pane| pane.pruned == 0) {
            pane.unsaved_from = pane.batches.len();
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let batches = self.panes.values().flat_map(|pane| &pane.batches);
        let rows = self.panes.values().map(|pane| pane.rows).sum();
        (batches.map(thalweg_types::size::batch_bytes).sum(), rows)
    }
}

fn sequence() -> Field {
    Field::new("__sequence", DataType::UInt64, false)
}

/// Returns the schema of rows with their number behind them.
fn numbered(input: &SchemaRef) -> SchemaRef {
    let fields = input.fields().iter().map(|field| field.as_ref().clone());
    Arc::new(Schema::new(fields.chain([sequence()]).collect::<Vec<_>>()))
}

/// Returns the schema of rows of state.
fn state_schema(node: &WindowTopNode, input: &SchemaRef) -> SchemaRef {
    let partition = node.partition.iter().enumerate();
    let partition =
        partition.map(|(n, c)| input.field(*c).clone().with_name(format!("__partition_{n}")));
    let fields = input.fields().iter().map(|field| field.as_ref().clone());
    Arc::new(Schema::new(partition.chain([sequence()]).chain(fields).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests;
