//! The running aggregation: one row per key, updated at the end of each epoch.
//!
//! Invariants: at most one retraction and one insert per key and epoch, the retraction directly
//! before the insert; a key whose values did not change sends nothing. What was sent last is not
//! kept: the values a key has before the first change of an epoch are the ones it sent.

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, UInt32Array};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{and, concat, interleave, take};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use thalweg_plan::node::AggregateNode;
use thalweg_state::{StateReader, StateWriter, TableSpec};
use thalweg_types::{Change, Groups, Moment, Result};

use super::batches::{BATCH_ROWS, batch, check_state, next_rows};
use super::group_set::GroupSet;
use super::keyed::{Blueprint, Keyed};
use crate::operator::{Close, Operator, Output, Step};

/// Keeps every key and its aggregates.
pub struct Aggregate {
    keyed: Keyed,
    key_count: usize,
    output: SchemaRef,
    state: SchemaRef,
    /// Is there nothing but keys? Then a key that is known never changes.
    is_distinct: bool,
    /// Groups changed in the open epoch.
    changed: GroupSet,
    /// For each changed group its row in `old`, if there was one before the epoch.
    old_rows: Vec<Option<u32>>,
    /// Values before the open epoch, batch by batch.
    old: Vec<Vec<ArrayRef>>,
    old_count: u32,
    /// Groups there were before the open epoch.
    known: usize,
    /// Groups changed since the last snapshot.
    unsaved: GroupSet,
    pending: Option<Pending>,
    groups: Vec<u32>,
}

/// Changes that wait to be sent.
struct Pending {
    groups: Vec<u32>,
    old_rows: Vec<Option<u32>>,
    /// Columns of old values; without a row if no group had any.
    old: Vec<ArrayRef>,
    next: usize,
}

impl Aggregate {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub fn new(node: &AggregateNode, input: &SchemaRef, output: SchemaRef) -> Result<Aggregate> {
        let blueprint = Blueprint::new(node, input)?;
        Ok(Aggregate {
            keyed: blueprint.keyed()?,
            key_count: blueprint.key_count(),
            output,
            state: blueprint.state_schema(&[]),
            is_distinct: node.calls.is_empty(),
            changed: GroupSet::default(),
            old_rows: Vec::new(),
            old: Vec::new(),
            old_count: 0,
            known: 0,
            unsaved: GroupSet::default(),
            pending: None,
            groups: Vec::new(),
        })
    }

    fn spec(&self) -> TableSpec {
        TableSpec { name: "groups", key: self.key_count, route: (0..self.key_count).collect() }
    }

    /// Notes which groups of the batch change, and what the known ones were before.
    fn note_changes(&mut self) -> Result<()> {
        let mut first = Vec::new();
        for group in &self.groups {
            let is_known = (*group as usize) < self.known;
            if (is_known && self.is_distinct) || !self.changed.insert(*group) {
                continue;
            }
            self.old_rows.push(is_known.then_some(self.old_count));
            if is_known {
                self.old_count += 1;
                first.push(*group);
            }
        }
        if !first.is_empty() {
            self.old.push(self.keyed.values(Groups::At(&first))?);
        }
        Ok(())
    }

    /// Takes what changed in the epoch that closes.
    fn collect(&mut self) -> Result<Pending> {
        let (batches, first_value) = (std::mem::take(&mut self.old), self.key_count);
        let fields = self.output.fields().iter().skip(first_value).enumerate();
        let old = fields.map(|(value, field)| {
            let parts: Vec<&dyn Array> = batches.iter().map(|b| b[value].as_ref()).collect();
            match parts.is_empty() {
                true => Ok(arrow::array::new_empty_array(field.data_type())),
                false => Ok(concat(&parts)?),
            }
        });
        let old = old.collect::<Result<Vec<ArrayRef>>>()?;
        let groups = self.changed.take();
        let old_rows = std::mem::take(&mut self.old_rows);
        self.old_count = 0;
        self.known = self.keyed.len();
        self.unsaved.extend(&groups);
        Ok(Pending { groups, old_rows, old, next: 0 })
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        let Some(mut pending) = self.pending.take() else { return Ok(Step::Done) };
        while pending.next < pending.groups.len() {
            if out.is_full() {
                self.pending = Some(pending);
                return Ok(Step::More);
            }
            // Each group may be two rows.
            let range = next_rows(pending.next, pending.groups.len(), BATCH_ROWS / 2);
            pending.next = range.end;
            let groups = Groups::At(&pending.groups[range.clone()]);
            let (keys, new) = (self.keyed.keys(groups)?, self.keyed.values(groups)?);
            let old_rows: UInt32Array = pending.old_rows[range].iter().copied().collect();
            out.send(pairs(&self.output, keys, new, (&pending.old, &old_rows))?);
        }
        Ok(Step::Done)
    }
}

/// Returns retractions and inserts of some keys, without those whose values are the same.
fn pairs(
    schema: &SchemaRef,
    keys: Vec<ArrayRef>,
    new: Vec<ArrayRef>,
    (old, old_rows): (&[ArrayRef], &UInt32Array),
) -> Result<Change> {
    let count = old_rows.len();
    if old_rows.null_count() == count {
        let columns = keys.into_iter().chain(new).collect();
        return Change::weighted(batch(schema, columns, count)?, vec![1; count].into());
    }
    let old = old.iter().map(|column| Ok(take(column, old_rows, None)?));
    let old = old.collect::<Result<Vec<ArrayRef>>>()?;
    let is_same = same_rows(&new, &old, count)?;
    let (mut places, mut weights) = (Vec::with_capacity(count * 2), Vec::with_capacity(count * 2));
    for row in 0..count {
        if old_rows.is_valid(row) {
            if is_same.value(row) {
                continue;
            }
            places.push((1, row));
            weights.push(-1);
        }
        places.push((0, row));
        weights.push(1);
    }
    let rows: UInt32Array = places.iter().map(|(_, row)| *row as u32).collect::<Vec<_>>().into();
    let keys = keys.iter().map(|column| Ok(take(column, &rows, None)?));
    let values = new.iter().zip(&old).map(|(new, old)| Ok(interleave(&[new, old], &places)?));
    let columns = keys.chain(values).collect::<Result<Vec<ArrayRef>>>()?;
    Change::weighted(batch(schema, columns, weights.len())?, Int64Array::from(weights))
}

/// Compares columns row by row; NULL equals NULL.
fn same_rows(left: &[ArrayRef], right: &[ArrayRef], count: usize) -> Result<BooleanArray> {
    let mut is_same = BooleanArray::from(vec![true; count]);
    for (left, right) in left.iter().zip(right) {
        let kind = left.data_type();
        let own = match kind.is_nested() {
            false => not_distinct(left, right)?,
            true => {
                let converter = RowConverter::new(vec![SortField::new(kind.clone())])?;
                let left = converter.convert_columns(std::slice::from_ref(left))?;
                let right = converter.convert_columns(std::slice::from_ref(right))?;
                left.iter().zip(&right).map(|(left, right)| Some(left == right)).collect()
            }
        };
        is_same = and(&is_same, &own)?;
    }
    Ok(is_same)
}

impl Operator for Aggregate {
    fn batch(&mut self, _: usize, change: Change, _: &mut Output) -> Result<Step> {
        self.keyed.intern(&change.rows, &mut self.groups)?;
        self.note_changes()?;
        self.keyed.add(&change, &self.groups)?;
        Ok(Step::Done)
    }

    fn close(&mut self, _: &Close, out: &mut Output) -> Result<Step> {
        self.pending = Some(self.collect()?);
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let unsaved = self.unsaved.take();
        let groups = match to.is_full() {
            true => Groups::First(self.keyed.len()),
            false => Groups::At(&unsaved),
        };
        if groups.is_empty() {
            return Ok(());
        }
        let columns = self.keyed.keys_and_states(groups)?;
        to.put(&self.spec(), batch(&self.state, columns, groups.len())?)
    }

    fn restore(&mut self, from: &StateReader, _: &Moment) -> Result<()> {
        for rows in from.table("groups")? {
            check_state(&rows, &self.state)?;
            self.keyed.merge(rows.columns(), rows.num_rows())?;
        }
        self.known = self.keyed.len();
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let sets = self.changed.bytes() + self.unsaved.bytes();
        (self.keyed.bytes() + sets, self.keyed.len())
    }
}

#[cfg(test)]
mod tests;
