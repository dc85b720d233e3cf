//! The first rows of each window and partition.
//!
//! Invariants: a window's rows are sent once, when it is complete; which rows are first does not
//! depend on the order of arrival, since ties are broken by the whole row.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use thalweg_plan::node::{AggregateNode, Stage, WindowTopNode};
use thalweg_state::{GroupTable, StateReader, StateWriter, TableSpec};
use thalweg_types::{Change, EventTime, Moment, Result};

use super::accumulators::{BATCH_ROWS, batch};
use super::due::Due;
use super::ordering::Ordering;
use super::pre_aggregate::{by_window, without_late};
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
    /// What lateness is judged by: the window part of an aggregation.
    window: AggregateNode,
    due: Due,
    input: SchemaRef,
    /// The input's columns and the number.
    numbered: SchemaRef,
    output: SchemaRef,
    ordering: Ordering,
    panes: BTreeMap<(i64, i64), Pane>,
    horizon: i64,
    /// Number of the next row put into a snapshot.
    sequence: u64,
    fired: VecDeque<RecordBatch>,
}

impl WindowTop {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a column has no order.
    pub fn new(node: WindowTopNode, input: SchemaRef, output: SchemaRef) -> Result<WindowTop> {
        let window = AggregateNode {
            window: Some(node.window),
            keys: Vec::new(),
            calls: Vec::new(),
            stage: Stage::Whole,
            divert_late: false,
        };
        Ok(WindowTop {
            due: Due::new(&node.window, &input)?,
            ordering: Ordering::new(&node.order, &input)?,
            numbered: numbered(&input),
            window,
            node,
            input,
            output,
            panes: BTreeMap::new(),
            horizon: i64::MIN,
            sequence: 0,
            fired: VecDeque::new(),
        })
    }

    /// Returns the positions of the first rows of each partition, in order, and their ranks.
    fn first(&self, rows: &RecordBatch) -> Result<(Vec<u32>, Vec<i64>)> {
        let keys: Vec<ArrayRef> =
            self.node.partition.iter().map(|c| rows.column(*c).clone()).collect();
        let types: Vec<DataType> = keys.iter().map(|key| key.data_type().clone()).collect();
        let mut groups = Vec::new();
        GroupTable::new(&types)?.intern(&keys, rows.num_rows(), &mut groups)?;
        let ordered = self.ordering.rows(rows)?;
        let mut positions: Vec<u32> = (0..rows.num_rows() as u32).collect();
        positions.sort_unstable_by(|left, right| {
            let (left, right) = (*left as usize, *right as usize);
            groups[left]
                .cmp(&groups[right])
                .then_with(|| ordered.row(left).cmp(&ordered.row(right)))
        });
        let (mut kept, mut ranks) = (Vec::new(), Vec::new());
        let mut current = (u32::MAX, 0);
        for position in positions {
            let group = groups[position as usize];
            current = if current.0 == group { (group, current.1 + 1) } else { (group, 1) };
            if current.1 <= self.node.limit as i64 {
                kept.push(position);
                ranks.push(current.1);
            }
        }
        Ok((kept, ranks))
    }

    fn prune(&mut self, place: (i64, i64)) -> Result<()> {
        let Some(mut pane) = self.panes.remove(&place) else { return Ok(()) };
        if pane.rows > PRUNE_ROWS.max(pane.pruned * 2) {
            // The survivors are saved again, under the numbers that they have.
            let rows = concat_batches(&self.numbered, &pane.batches)?;
            let (kept, _) = self.first(&rows)?;
            let rows = take_record_batch(&rows, &UInt32Array::from(kept))?;
            let (count, unsaved_from) = (rows.num_rows(), 0);
            pane = Pane { batches: vec![rows], rows: count, pruned: count, unsaved_from };
        }
        self.panes.insert(place, pane);
        Ok(())
    }

    fn fire(&mut self) -> Result<()> {
        let open = self.panes.split_off(&(self.horizon.saturating_add(1), i64::MIN));
        for (_, pane) in std::mem::replace(&mut self.panes, open) {
            let rows = concat_batches(&self.numbered, &pane.batches)?;
            let (kept, ranks) = self.first(&rows)?;
            let rows = take_record_batch(&rows, &UInt32Array::from(kept))?;
            let mut columns = rows.columns()[..self.input.fields().len()].to_vec();
            if self.node.rank {
                columns.push(Arc::new(Int64Array::from(ranks)));
            }
            self.fired.push_back(batch(&self.output, columns, rows.num_rows())?);
        }
        Ok(())
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        while let Some(rows) = self.fired.pop_front() {
            if out.is_full() {
                self.fired.push_front(rows);
                return Ok(Step::More);
            }
            let head = rows.num_rows().min(BATCH_ROWS);
            out.send(Change::append(rows.slice(0, head)));
            if head < rows.num_rows() {
                self.fired.push_front(rows.slice(head, rows.num_rows() - head));
            }
        }
        Ok(Step::Done)
    }

    /// A row of state: partition columns, and the row itself with its number in front.
    fn state_rows(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let width = self.input.fields().len();
        let partition = self.node.partition.iter().enumerate();
        let mut fields: Vec<Field> = partition
            .map(|(n, c)| self.input.field(*c).clone().with_name(format!("__partition_{n}")))
            .collect();
        let mut order: Vec<usize> = self.node.partition.clone();
        order.extend(std::iter::once(width).chain(0..width));
        fields.push(self.numbered.field(width).clone());
        fields.extend(self.input.fields().iter().map(|field| field.as_ref().clone()));
        let columns = order.iter().map(|column| rows.column(*column).clone()).collect();
        batch(&Arc::new(Schema::new(fields)), columns, rows.num_rows())
    }

    /// Gives rows their numbers.
    fn number(&mut self, rows: RecordBatch) -> Result<RecordBatch> {
        let count = rows.num_rows() as u64;
        let numbers = UInt64Array::from_iter_values(self.sequence..self.sequence + count);
        self.sequence += count;
        let mut columns = rows.columns().to_vec();
        columns.push(Arc::new(numbers));
        batch(&self.numbered, columns, rows.num_rows())
    }

    fn add(&mut self, change: &Change) -> Result<()> {
        for (place, part) in by_window(&self.node.window, change)? {
            let pane = self.panes.entry(place).or_default();
            pane.rows += part.len();
            pane.batches.push(part.rows);
            self.prune(place)?;
        }
        Ok(())
    }
}

impl Operator for WindowTop {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        let spec = self.node.window;
        let change = without_late(&self.window, &spec, change, self.horizon, out)?;
        let rows = self.number(change.rows)?;
        self.add(&Change::append(rows))?;
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.horizon = self.due.horizon(&close.moment);
        self.fire()?;
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn wake(&self) -> Option<EventTime> {
        self.due.wake(self.panes.keys().next()?.0)
    }

    /// Rows that a pruning dropped stay in older snapshots; a restore drops them again.
    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let partitions = self.node.partition.len();
        let spec =
            TableSpec { name: "rows", key: partitions + 1, route: (0..partitions).collect() };
        let mut unsaved = Vec::new();
        for pane in self.panes.values_mut() {
            let from = if to.is_full() { 0 } else { pane.unsaved_from };
            unsaved.extend(pane.batches[from..].iter().cloned());
            pane.unsaved_from = pane.batches.len();
        }
        for rows in unsaved {
            let rows = self.state_rows(&rows)?;
            to.put(&spec, rows)?;
        }
        Ok(())
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.horizon = self.due.horizon(at);
        let first = self.node.partition.len();
        for rows in from.table("rows")? {
            let mut columns = rows.columns()[first + 1..].to_vec();
            columns.push(rows.column(first).clone());
            let numbers = rows.column(first).as_primitive::<UInt64Type>();
            let next = numbers.values().iter().max().map_or(0, |number| number + 1);
            self.sequence = self.sequence.max(next);
            let rows = batch(&self.numbered, columns, rows.num_rows())?;
            self.add(&Change::append(rows))?;
        }
        self.panes.retain(|(end, _), _| *end > self.horizon);
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let rows = self.panes.values().map(|pane| pane.rows).sum();
        let batches = self.panes.values().flat_map(|pane| &pane.batches);
        (batches.map(thalweg_types::size::batch_bytes).sum(), rows)
    }
}

/// Returns the schema of rows with their number behind them.
fn numbered(input: &SchemaRef) -> SchemaRef {
    let mut fields = input.fields().to_vec();
    fields.push(Arc::new(Field::new("__sequence", DataType::UInt64, false)));
    Arc::new(Schema::new(fields))
}
