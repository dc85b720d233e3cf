//! The running aggregation: one row per key, updated at the end of each epoch.
//!
//! Invariants: at most one retraction and one insert per key and epoch, the retraction directly
//! before the insert; a key whose value did not change sends nothing.

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use thalweg_plan::node::AggregateNode;
use thalweg_state::{StateReader, StateWriter, TableSpec};
use thalweg_types::{Change, Groups, Moment, Result};

use super::accumulators::{BATCH_ROWS, Keyed, batch};
use crate::operator::{Close, Operator, Output, Step};

/// A set of groups that remembers the order in which they came.
#[derive(Debug, Default)]
struct GroupSet {
    is_in: Vec<bool>,
    groups: Vec<u32>,
}

impl GroupSet {
    /// Adds a group; was it new?
    #[inline]
    fn insert(&mut self, group: u32) -> bool {
        let index = group as usize;
        if index >= self.is_in.len() {
            self.is_in.resize((index + 1).next_power_of_two(), false);
        }
        !std::mem::replace(&mut self.is_in[index], true) && {
            self.groups.push(group);
            true
        }
    }

    fn take(&mut self) -> Vec<u32> {
        let groups = std::mem::take(&mut self.groups);
        groups.iter().for_each(|group| self.is_in[*group as usize] = false);
        groups
    }
}

/// Keeps every key and its aggregates.
pub struct Aggregate {
    keyed: Keyed,
    key_count: usize,
    output: SchemaRef,
    state: SchemaRef,
    /// Groups changed in the open epoch.
    changed: GroupSet,
    /// Values that groups had before the open epoch changed them: groups, keys and values.
    before: Vec<(Vec<u32>, Vec<ArrayRef>)>,
    /// Groups there were before the open epoch.
    known: usize,
    /// Groups changed since the last snapshot.
    unsaved: GroupSet,
    /// What is left to send: groups, and how many of them are old.
    pending: Option<Pending>,
}

/// Changes that wait to be sent.
struct Pending {
    old: Vec<ArrayRef>,
    new: Vec<ArrayRef>,
    /// For each row of `new`, its row in `old`, if it had a value before.
    old_row: Vec<Option<u32>>,
    next: usize,
}

impl Aggregate {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub fn new(node: AggregateNode, input: &SchemaRef, output: SchemaRef) -> Result<Aggregate> {
        let keyed = Keyed::new(&node, input)?;
        Ok(Aggregate {
            key_count: node.keys.len(),
            state: state_schema(&node, input, &output),
            keyed,
            output,
            changed: GroupSet::default(),
            before: Vec::new(),
            known: 0,
            unsaved: GroupSet::default(),
            pending: None,
        })
    }

    fn spec(&self) -> TableSpec {
        TableSpec { name: "groups", key: self.key_count, route: (0..self.key_count).collect() }
    }

    /// Pairs the values of the changed groups with those they had before.
    fn collect(&mut self) -> Result<Option<Pending>> {
        let groups = self.changed.take();
        let before = std::mem::take(&mut self.before);
        self.known = self.keyed.len();
        if groups.is_empty() {
            return Ok(None);
        }
        groups.iter().for_each(|group| {
            self.unsaved.insert(*group);
        });
        let new = self.keyed.keys_and_values(Groups::At(&groups))?;
        let mut position = vec![0u32; self.keyed.len()];
        groups.iter().enumerate().for_each(|(row, group)| position[*group as usize] = row as u32);
        let mut old_row = vec![None; groups.len()];
        let old_groups = before.iter().flat_map(|(groups, _)| groups);
        old_groups.enumerate().for_each(|(row, group)| {
            old_row[position[*group as usize] as usize] = Some(row as u32);
        });
        let columns = 0..self.output.fields().len();
        let old = columns.map(|column| -> Result<ArrayRef> {
            let parts: Vec<&dyn Array> =
                before.iter().map(|(_, columns)| columns[column].as_ref()).collect();
            match parts.is_empty() {
                true => Ok(arrow::array::new_empty_array(self.output.field(column).data_type())),
                false => Ok(concat(&parts)?),
            }
        });
        let old = old.collect::<Result<Vec<_>>>()?;
        Ok(Some(Pending { old, new, old_row, next: 0 }))
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        let Some(mut pending) = self.pending.take() else { return Ok(Step::Done) };
        while pending.next < pending.old_row.len() {
            if out.is_full() {
                self.pending = Some(pending);
                return Ok(Step::More);
            }
            let from = pending.next;
            pending.next = (from + BATCH_ROWS / 2).min(pending.old_row.len());
            out.send(pending.change(from..pending.next, &self.output)?);
        }
        Ok(Step::Done)
    }
}

impl Pending {
    /// Returns retractions and inserts of some rows, without those that did not change.
    fn change(&self, range: std::ops::Range<usize>, schema: &SchemaRef) -> Result<Change> {
        let new: Vec<ArrayRef> =
            self.new.iter().map(|column| column.slice(range.start, range.len())).collect();
        let old_rows: UInt32Array = self.old_row[range.clone()].iter().copied().collect();
        let old = self.old.iter().map(|column| Ok(take(column, &old_rows, None)?));
        let old = old.collect::<Result<Vec<ArrayRef>>>()?;
        let is_same = same_rows(&new, &old)?;
        let count = range.len();
        // Old rows stand behind the new ones; each retraction goes directly before its insert.
        let both = new.iter().zip(&old).map(|(new, old)| Ok(concat(&[new, old])?));
        let both = both.collect::<Result<Vec<ArrayRef>>>()?;
        let (mut order, mut weights) = (Vec::new(), Vec::new());
        for (row, is_same) in is_same.into_iter().enumerate() {
            let had_value = old_rows.is_valid(row);
            if had_value && is_same {
                continue;
            }
            if had_value {
                order.push((count + row) as u32);
                weights.push(-1);
            }
            order.push(row as u32);
            weights.push(1);
        }
        // New keys have no old row, so NULLs stand in its place until the rows are picked.
        let order = UInt32Array::from(order);
        let picked = both.iter().map(|column| Ok(take(column, &order, None)?));
        let picked = picked.collect::<Result<Vec<ArrayRef>>>()?;
        let rows = batch(schema, picked, order.len())?;
        Change::weighted(rows, Int64Array::from(weights))
    }
}

/// Compares two batches row by row; NULL equals NULL.
fn same_rows(left: &[ArrayRef], right: &[ArrayRef]) -> Result<Vec<bool>> {
    let fields = left.iter().map(|column| SortField::new(column.data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let (left, right) = (converter.convert_columns(left)?, converter.convert_columns(right)?);
    Ok((0..left.num_rows()).map(|row| left.row(row) == right.row(row)).collect())
}

/// Returns the schema of `[keys…, states…]`.
fn state_schema(node: &AggregateNode, input: &SchemaRef, output: &SchemaRef) -> SchemaRef {
    let keys = node.keys.iter().map(|key| input.field(*key).clone());
    let states = node.calls.iter().flat_map(|call| call.function.state());
    let states = states.enumerate().map(|(index, field)| {
        field.as_ref().clone().with_name(format!("{index} {}", field.name()))
    });
    debug_assert!(output.fields().len() >= node.keys.len());
    std::sync::Arc::new(arrow::datatypes::Schema::new(keys.chain(states).collect::<Vec<_>>()))
}

impl Operator for Aggregate {
    fn batch(&mut self, _: usize, change: Change, _: &mut Output) -> Result<Step> {
        let groups = self.keyed.intern(&change.rows)?;
        let mut first = Vec::new();
        for group in &groups {
            if self.changed.insert(*group) && (*group as usize) < self.known {
                first.push(*group);
            }
        }
        if !first.is_empty() {
            let values = self.keyed.keys_and_values(Groups::At(&first))?;
            self.before.push((first, values));
        }
        self.keyed.add(&change, groups)?;
        Ok(Step::Done)
    }

    fn close(&mut self, _: &Close, out: &mut Output) -> Result<Step> {
        self.pending = self.collect()?;
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let unsaved = self.unsaved.take();
        let all = Groups::First(self.keyed.len());
        let groups = if to.is_full() { all } else { Groups::At(&unsaved) };
        if groups.is_empty() {
            return Ok(());
        }
        let columns = self.keyed.keys_and_states(groups)?;
        to.put(&self.spec(), batch(&self.state, columns, groups.len())?)
    }

    fn restore(&mut self, from: &StateReader, _: &Moment) -> Result<()> {
        for rows in from.table("groups")? {
            let rows: RecordBatch = rows;
            self.keyed.merge_rows(&rows)?;
        }
        self.known = self.keyed.len();
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        (self.keyed.bytes(), self.keyed.len())
    }
}
