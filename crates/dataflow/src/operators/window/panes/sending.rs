//! The rows of panes, and where panes are taken back, the rows that were sent last.
//!
//! Invariant: the retraction of a row is exactly the row that was sent, since it is kept.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, StringViewArray, UInt32Array};
use arrow::compute::{interleave, take};
use arrow::datatypes::{Int64Type, SchemaRef};
use thalweg_plan::node::AggregateNode;
use thalweg_plan::pane::{PaneColumn, Panes};
use thalweg_state::{RowStore, StateReader, StateWriter};
use thalweg_types::fault::is_planted;
use thalweg_types::{Change, Result};

use super::Fired;
use super::cells::Cells;
use crate::operators::batches::{batch, groups_of};
use crate::operators::slices::{column_of, times};

/// The table of the rows that were sent last.
const SENT: &str = "sent";

/// Makes the rows of panes.
pub(super) struct Sending {
    output: SchemaRef,
    columns: Vec<PaneColumn>,
    has_bounds: bool,
    keys: usize,
    /// Are rows taken back from aggregates? Then behind the values stands how many are left.
    retracts: bool,
    /// Rows that a next pane takes back; `None` where none is.
    sent: Option<RowStore>,
}

/// Restored rows, and what tells whose they are.
pub(super) struct Kept {
    pub(super) slots: Vec<u32>,
    pub(super) keys: Vec<ArrayRef>,
    /// Starts and ends.
    pub(super) bounds: Option<[Int64Array; 2]>,
}

impl Sending {
    pub(super) fn new(node: &AggregateNode, panes: &Panes, output: SchemaRef) -> Result<Sending> {
        let sent = panes.is_updating().then(|| RowStore::new(output.clone())).transpose()?;
        Ok(Sending {
            columns: panes.columns.clone(),
            has_bounds: node.window.is_some(),
            keys: node.keys.len(),
            retracts: node.retracts,
            sent,
            output,
        })
    }

    /// Returns the rows of some panes, whose keys and values these are, each behind what it takes back.
    pub(super) fn panes(
        &mut self,
        cells: &mut Cells,
        fired: &[Fired],
        (keys, mut values): (Vec<ArrayRef>, Vec<ArrayRef>),
    ) -> Result<Change> {
        let left = values.pop_if(|_| self.retracts);
        let left = left.as_ref().map(|left| left.as_primitive::<Int64Type>());
        let is_there = |pane: usize| left.is_none_or(|left| left.value(pane) > 0);
        let there: Vec<u32> =
            (0..fired.len()).filter(|at| is_there(*at)).map(|at| at as u32).collect();
        let mut columns = Vec::with_capacity(self.output.fields().len());
        if self.has_bounds {
            let kind = self.output.field(0).data_type();
            let bounds = fired.iter().map(|fired| cells.get(fired.cell));
            let (starts, ends) = bounds.map(|cell| (cell.start, cell.end)).unzip();
            columns.extend([column_of(starts, kind)?, column_of(ends, kind)?]);
        }
        columns.extend(keys.into_iter().chain(values));
        for column in &self.columns {
            columns.push(pane_column(*column, cells, fired));
        }
        let changed = match self.sent {
            None => self.inserts(&columns, &there),
            Some(_) => self.updates(cells, fired, (&columns, &there)),
        };
        there.iter().for_each(|pane| cells.get_mut(fired[*pane as usize].cell).panes += 1);
        changed
    }

    fn inserts(&self, columns: &[ArrayRef], there: &[u32]) -> Result<Change> {
        let rows = UInt32Array::from(there.to_vec());
        let columns = columns.iter().map(|column| Ok(take(column, &rows, None)?));
        Ok(Change::append(batch(&self.output, columns.collect::<Result<_>>()?, there.len())?))
    }

    /// Returns the rows that panes change, and keeps those that are there now.
    fn updates(
        &mut self,
        cells: &mut Cells,
        fired: &[Fired],
        (columns, there): (&[ArrayRef], &[u32]),
    ) -> Result<Change> {
        let Some(sent) = &mut self.sent else { return self.inserts(columns, there) };
        let rows = groups_of(0..fired.len());
        let encoded = sent.encode(columns, &rows)?;
        let (mut old, mut places, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let mut there = there.iter().copied().peekable();
        for (row, pane) in rows.into_iter().zip(fired) {
            let is_there = there.next_if_eq(&row).is_some();
            let cell = cells.get_mut(pane.cell);
            let same = |slot: u32| sent.row(slot) == encoded.row(row as usize);
            if is_there && matches!(cell.sent.as_slice(), [slot] if same(*slot)) {
                continue;
            }
            let keeps = is_planted("kept-sent");
            for slot in cell.sent.drain(..).filter(|_| !keeps) {
                places.push((1, old.len()));
                weights.push(-1);
                old.push(slot);
            }
            if is_there {
                places.push((0, row as usize));
                weights.push(1);
                cell.sent.push(sent.insert_row(&encoded, row as usize)?);
            }
        }
        let gone = old;
        let old = sent.columns(&gone)?;
        gone.into_iter().for_each(|slot| sent.remove(slot));
        let columns = columns.iter().zip(&old);
        let columns = columns.map(|(new, old)| Ok(interleave(&[new, old], &places)?));
        let rows = batch(&self.output, columns.collect::<Result<_>>()?, places.len())?;
        Change::weighted(rows, weights.into())
    }

    /// Forgets rows that are never taken back.
    pub(super) fn forget(&mut self, slots: Vec<u32>) {
        if let Some(sent) = &mut self.sent {
            slots.into_iter().for_each(|slot| sent.remove(slot));
        }
    }

    fn key_columns(&self) -> Vec<usize> {
        let first = if self.has_bounds { 2 } else { 0 };
        (first..first + self.keys).collect()
    }

    pub(super) fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let keys = self.key_columns();
        self.sent.as_mut().map_or(Ok(()), |sent| sent.snapshot(SENT, &keys, to))
    }

    /// Takes restored rows, and returns whose they are.
    /// `migrated` returns what the value of a call has become, by its number, that an earlier version of
    /// the job sent.
    pub(super) fn restore(
        &mut self,
        from: &StateReader,
        migrated: impl Fn(usize, &ArrayRef) -> Result<Option<ArrayRef>>,
    ) -> Result<Option<Kept>> {
        let key_columns = self.key_columns();
        let first = self.keys + if self.has_bounds { 2 } else { 0 };
        let Some(sent) = &mut self.sent else { return Ok(None) };
        let slots = sent.restore_as(SENT, from, |column, values| {
            column.checked_sub(first).map_or(Ok(None), |call| migrated(call, values))
        })?;
        let keys = sent.project(&key_columns, &slots)?;
        let bounds = match self.has_bounds {
            false => None,
            true => {
                let columns = sent.project(&[0, 1], &slots)?;
                Some([times(&columns[0])?, times(&columns[1])?])
            }
        };
        Ok(Some(Kept { slots, keys, bounds }))
    }

    pub(super) fn bytes(&self) -> usize {
        self.sent.as_ref().map_or(0, RowStore::bytes)
    }
}

/// Returns what some panes say of themselves.
fn pane_column(column: PaneColumn, cells: &Cells, fired: &[Fired]) -> ArrayRef {
    match column {
        PaneColumn::Timing => {
            let names = fired.iter().map(|fired| fired.timing.name());
            Arc::new(StringViewArray::from_iter_values(names))
        }
        PaneColumn::Index => {
            let panes = fired.iter().map(|fired| cells.get(fired.cell).panes);
            Arc::new(Int64Array::from_iter_values(panes))
        }
        PaneColumn::IsLast => {
            Arc::new(fired.iter().map(|fired| Some(fired.is_last)).collect::<BooleanArray>())
        }
    }
}
