//! Pairs: which rows of one side meet which of the other, and what comes out of them.
//!
//! Invariant: whoever looks for pairs is a batch of *items* of one side; the rows that they meet are
//! kept by the other. Pairs are made a batch at a time, so that an item may meet millions.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::take;
use arrow::datatypes::{Schema, SchemaRef};
use thalweg_plan::join::JoinNode;
use thalweg_state::RowStore;
use thalweg_types::{Moment, Result};

use super::super::batches::{BATCH_ROWS, batch};
use super::side::{NONE, Side};

/// What all parts of a join know of it.
pub(super) struct Shape {
    /// The join.
    pub(super) node: JoinNode,
    /// The schemas of its inputs.
    pub(super) inputs: [SchemaRef; 2],
    /// The schema of its result.
    pub(super) output: SchemaRef,
    /// The schema of what its condition reads.
    condition: SchemaRef,
}

/// Pairs found at once: items by their place, and slots of the other side.
#[derive(Default)]
pub(super) struct Pairs {
    /// Places of items.
    pub(super) places: Vec<u32>,
    /// Slots of the rows that they meet.
    pub(super) slots: Vec<u32>,
}

/// A search for the pairs of some items.
pub(super) struct Probe {
    /// The group of each item.
    pub(super) groups: Vec<u32>,
    /// The item that is looked at, and the row that it meets next.
    item: usize,
    slot: u32,
    /// Is it enough to know of one row that an item meets?
    first_only: bool,
}

impl Probe {
    /// Returns a search for items of these groups in `side`.
    pub(super) fn new(groups: Vec<u32>, side: &Side, first_only: bool) -> Probe {
        let slot = groups.first().map_or(NONE, |group| side.first(*group));
        Probe { groups, item: 0, slot, first_only }
    }

    /// Returns the next pairs; `None` if there are no more.
    pub(super) fn next(&mut self, side: &Side) -> Option<Pairs> {
        let mut pairs = Pairs::default();
        while self.item < self.groups.len() {
            while self.slot != NONE {
                if pairs.places.len() == BATCH_ROWS {
                    return Some(pairs);
                }
                pairs.places.push(self.item as u32);
                pairs.slots.push(self.slot);
                self.slot = if self.first_only { NONE } else { side.next(self.slot) };
            }
            self.item += 1;
            self.slot = self.groups.get(self.item).map_or(NONE, |group| side.first(*group));
        }
        (!pairs.places.is_empty()).then_some(pairs)
    }
}

impl Shape {
    /// Returns the shape of `node`.
    pub(super) fn new(node: JoinNode, inputs: [SchemaRef; 2], output: SchemaRef) -> Shape {
        let columns = node.condition.as_ref().map(|condition| condition.columns.clone());
        let left = inputs[0].fields().len();
        let fields = columns.into_iter().flatten().map(|column| match column.checked_sub(left) {
            None => inputs[0].field(column).clone(),
            Some(column) => inputs[1].field(column).clone(),
        });
        let condition = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Shape { node, inputs, output, condition }
    }

    /// Returns the side of a column, and its place there.
    fn place(&self, column: usize) -> (usize, usize) {
        match column.checked_sub(self.inputs[0].fields().len()) {
            None => (0, column),
            Some(column) => (1, column),
        }
    }

    /// Returns columns of pairs: those of `side` from its items, the others from the other's rows.
    fn gather(
        &self,
        columns: &[usize],
        (side, items): (usize, &RecordBatch),
        other: &RowStore,
        pairs: &Pairs,
    ) -> Result<Vec<ArrayRef>> {
        let kept = columns.iter().map(|column| self.place(*column));
        let kept: Vec<usize> = kept.filter(|(of, _)| *of != side).map(|(_, at)| at).collect();
        let mut kept = other.project(&kept, &pairs.slots)?.into_iter();
        let places = UInt32Array::from(pairs.places.clone());
        let columns = columns.iter().map(|column| match self.place(*column) {
            (of, at) if of == side => Ok(take(items.column(at), &places, None)?),
            _ => Ok(kept.next().expect("each column of the other side was read")),
        });
        columns.collect()
    }

    /// Leaves only the pairs for which the condition holds.
    ///
    /// # Errors
    /// `Data` if it fails for a pair.
    pub(super) fn select(
        &self,
        items: (usize, &RecordBatch),
        other: &RowStore,
        pairs: Pairs,
        moment: &Moment,
    ) -> Result<Pairs> {
        let Some(condition) = &self.node.condition else { return Ok(pairs) };
        let columns = self.gather(&condition.columns, items, other, &pairs)?;
        let rows = batch(&self.condition, columns, pairs.places.len())?;
        let holds = condition.condition.holds(&rows, moment)?;
        let holds = |row: &usize| holds.is_valid(*row) && holds.value(*row);
        let kept = (0..pairs.places.len()).filter(holds);
        let (places, slots) = kept.map(|row| (pairs.places[row], pairs.slots[row])).unzip();
        Ok(Pairs { places, slots })
    }

    /// Returns what comes out of pairs.
    ///
    /// # Errors
    /// `Internal` if a row cannot be read.
    pub(super) fn rows(
        &self,
        items: (usize, &RecordBatch),
        other: &RowStore,
        pairs: &Pairs,
    ) -> Result<RecordBatch> {
        let columns = self.gather(&self.node.output, items, other, pairs)?;
        batch(&self.output, columns, pairs.places.len())
    }

    /// Returns what comes out of rows of `side` by themselves.
    ///
    /// # Errors
    /// `Internal` if the columns do not fit.
    pub(super) fn alone(
        &self,
        side: usize,
        columns: &[ArrayRef],
        count: usize,
    ) -> Result<RecordBatch> {
        let columns = self.node.output.iter().zip(self.output.fields()).map(|(column, field)| {
            match self.place(*column) {
                (of, at) if of == side => columns[at].clone(),
                _ => new_null_array(field.data_type(), count),
            }
        });
        batch(&self.output, columns.collect(), count)
    }
}
