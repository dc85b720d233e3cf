//! The running aggregation: one row per key, updated at the end of each epoch.
//!
//! Invariants: at most one retraction and one insert per key and epoch, the retraction directly
//! before the insert; a key whose values did not change sends nothing; a key whose last row was taken
//! back is retracted and forgotten, also the one group of an aggregation without keys, as in Flink:
//! else the result would tell whether rows that are gone were ever seen, which epochs decide. What was
//! sent last is not kept: the values a key has before the first change of an epoch are the ones it sent.

mod lifetime;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, UInt32Array};
use arrow::buffer::NullBuffer;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{and, concat, interleave, take};
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use arrow::row::{RowConverter, SortField};
use thalweg_plan::node::AggregateNode;
use thalweg_state::{StateReader, StateWriter, TableSpec};
use thalweg_types::fault::is_planted;
use thalweg_types::{Change, EventTime, Groups, Moment, Result};

use self::lifetime::Lifetime;
use super::batches::{BATCH_ROWS, batch, check_state, groups_of, next_rows};
use super::group_set::GroupSet;
use super::keyed::{Blueprint, EntryTable, Keyed, Saved};
use crate::operator::{Close, Operator, Output, Step};

/// Groups from which on the memory of those without rows is given back.
const PACK_GROUPS: usize = 4096;
/// The table of the groups.
const GROUPS: &str = "groups";

/// Keeps every key and its aggregates.
pub struct Aggregate {
    keyed: Keyed,
    key_count: usize,
    output: SchemaRef,
    /// Tables of the state: of the groups, and of their entries.
    tables: Vec<EntryTable>,
    /// Is there nothing but keys? Then a key that is known never changes.
    is_distinct: bool,
    /// Are rows taken back? Then behind the values stands how many rows are left.
    retracts: bool,
    /// Groups that have rows.
    live: usize,
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
    /// Present if groups have a time-to-live.
    lifetime: Option<Lifetime>,
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
        let mut keyed = blueprint.keyed()?;
        keyed.track();
        Ok(Aggregate {
            keyed,
            key_count: blueprint.key_count(),
            output,
            tables: tables(&blueprint)?,
            is_distinct: node.calls.is_empty(),
            retracts: node.retracts,
            live: 0,
            changed: GroupSet::default(),
            old_rows: Vec::new(),
            old: Vec::new(),
            old_count: 0,
            known: 0,
            unsaved: GroupSet::default(),
            pending: None,
            lifetime: node.ttl.map(Lifetime::new),
            groups: Vec::new(),
        })
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
        let batches = std::mem::take(&mut self.old);
        let kinds = self.output.fields().iter().skip(self.key_count).map(|f| f.data_type().clone());
        let kinds = kinds.chain(self.retracts.then_some(DataType::Int64)).enumerate();
        let old = kinds.map(|(value, kind)| {
            let parts: Vec<&dyn Array> = batches.iter().map(|b| b[value].as_ref()).collect();
            match parts.is_empty() {
                true => Ok(arrow::array::new_empty_array(&kind)),
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
            let groups = &pending.groups[range.clone()];
            let old_rows: UInt32Array = pending.old_rows[range].iter().copied().collect();
            let old = pending.old.iter().map(|column| Ok(take(column, &old_rows, None)?));
            let old = self.there(old.collect::<Result<_>>()?, groups, old_rows.nulls())?;
            let new = self.current(groups)?;
            self.live = self.live + new.count() - old.count();
            out.send(pairs(&self.output, self.keyed.keys(Groups::At(groups))?, (&old, &new))?);
        }
        self.forget(out)?;
        Ok(Step::Done)
    }

    /// Returns the values of some groups as they are now.
    fn current(&mut self, groups: &[u32]) -> Result<There> {
        let values = self.keyed.values(Groups::At(groups))?;
        self.there(values, groups, None)
    }

    /// Tells which of some groups have a row in the result; `known` are those that have values.
    fn there(
        &self,
        mut values: Vec<ArrayRef>,
        groups: &[u32],
        known: Option<&NullBuffer>,
    ) -> Result<There> {
        let rows = values.pop_if(|_| self.retracts);
        let rows = rows.as_ref().map(|rows| rows.as_primitive::<Int64Type>());
        let mut is_there = Vec::with_capacity(groups.len());
        for (at, group) in groups.iter().enumerate() {
            let is_known = known.is_none_or(|known| known.is_valid(at));
            let left = rows.filter(|_| is_known).map(|rows| rows.value(at));
            if left.is_some_and(|left| left < 0) {
                return Err(self.keyed.taken_back(*group));
            }
            is_there.push(is_known && left.is_none_or(|left| left > 0));
        }
        Ok(There { values, is_there })
    }

    /// Forgets the groups whose time is over; what changed so far is kept until it is saved, since the
    /// others get new numbers.
    fn forget(&mut self, out: &mut Output) -> Result<()> {
        let over = self.lifetime.as_mut().map(Lifetime::over).unwrap_or_default();
        if over.is_empty() {
            return Ok(());
        }
        let gone = self.current(&over)?.count();
        self.live -= gone;
        out.count_forgotten(gone);
        let changed = self.changes(false)?;
        let mut dropped = vec![self.saved(&[], &over)?];
        let mut is_over = GroupSet::default();
        is_over.extend(&over);
        dropped.extend(self.keyed.drop_entries(&self.tables[1..], &is_over)?);
        if let Some(lifetime) = &mut self.lifetime {
            lifetime.hold([changed, dropped]);
        }
        let all = groups_of(0..self.keyed.len()).into_iter();
        self.retain(&all.filter(|group| !is_over.contains(*group)).collect::<Vec<u32>>())
    }

    /// Gives the memory of groups without rows back, if they are most.
    fn pack(&mut self) -> Result<()> {
        if !self.retracts || self.keyed.len() < PACK_GROUPS.max(self.live * 2) {
            return Ok(());
        }
        let all = groups_of(0..self.keyed.len());
        let is_there = self.current(&all)?.is_there;
        let live: Vec<u32> = all.into_iter().filter(|at| is_there[*at as usize]).collect();
        self.retain(&live)
    }

    /// Keeps some groups, which get new numbers.
    fn retain(&mut self, groups: &[u32]) -> Result<()> {
        self.keyed.retain(groups)?;
        (self.known, self.unsaved, self.changed) =
            (self.keyed.len(), GroupSet::default(), GroupSet::default());
        if let Some(lifetime) = &mut self.lifetime {
            lifetime.renumber(groups);
        }
        Ok(())
    }

    /// Returns what changed of each table of the state since this was asked last, or all of it.
    fn changes(&mut self, all: bool) -> Result<Vec<Saved>> {
        let mut groups = self.unsaved.take();
        if all {
            groups = groups_of(0..self.keyed.len());
        }
        let there = match self.retracts {
            true => self.current(&groups)?.is_there,
            false => vec![true; groups.len()],
        };
        let of = |is_there: bool| {
            let groups = groups.iter().zip(&there).filter(|(_, there)| **there == is_there);
            groups.map(|(group, _)| *group).collect::<Vec<u32>>()
        };
        let mut changes = vec![self.saved(&of(true), &of(false))?];
        let entries = &self.tables[1..];
        changes.extend(self.keyed.take_entries(entries, &|_| Ok(Vec::new()), all)?);
        Ok(changes)
    }

    /// Returns the state of groups that have rows, and the keys of others.
    fn saved(&mut self, live: &[u32], gone: &[u32]) -> Result<Saved> {
        let state = &self.tables[0].schema;
        let columns = self.keyed.keys_and_saved(Groups::At(live))?;
        let keys = Arc::new(state.project(&(0..self.key_count).collect::<Vec<_>>())?);
        Ok(Saved {
            put: batch(state, columns, live.len())?,
            delete: batch(&keys, self.keyed.keys(Groups::At(gone))?, gone.len())?,
        })
    }
}

/// Returns the tables of the state.
fn tables(blueprint: &Blueprint) -> Result<Vec<EntryTable>> {
    let route: Vec<usize> = (0..blueprint.key_count()).collect();
    let spec = TableSpec { name: GROUPS.to_owned(), key: route.len(), route };
    let groups = EntryTable { spec, schema: blueprint.saved_schema(&[]) };
    Ok([groups].into_iter().chain(blueprint.entry_tables(&[])?).collect())
}

/// Values of some groups, and which of these have a row in the result.
struct There {
    values: Vec<ArrayRef>,
    is_there: Vec<bool>,
}

impl There {
    fn count(&self) -> usize {
        self.is_there.iter().filter(|is_there| **is_there).count()
    }
}

/// Returns retractions and inserts of some keys, without those whose values are the same.
fn pairs(schema: &SchemaRef, keys: Vec<ArrayRef>, (old, new): (&There, &There)) -> Result<Change> {
    let count = new.is_there.len();
    if old.count() == 0 && new.count() == count {
        let columns = keys.into_iter().chain(new.values.iter().cloned()).collect();
        return Change::weighted(batch(schema, columns, count)?, vec![1; count].into());
    }
    let is_same = same_rows(&new.values, &old.values, count)?;
    let (mut places, mut weights) = (Vec::with_capacity(count * 2), Vec::with_capacity(count * 2));
    for row in 0..count {
        let (was_there, is_there) = (old.is_there[row], new.is_there[row]);
        if was_there && is_there && is_same.value(row) {
            continue;
        }
        if was_there {
            let times = if is_planted("retracted-twice") { 2 } else { 1 };
            places.extend(vec![(1, row); times]);
            weights.extend(vec![-1; times]);
        }
        if is_there {
            places.push((0, row));
            weights.push(1);
        }
    }
    let rows: UInt32Array = places.iter().map(|(_, row)| *row as u32).collect::<Vec<_>>().into();
    let keys = keys.iter().map(|column| Ok(take(column, &rows, None)?));
    let values = new.values.iter().zip(&old.values);
    let values = values.map(|(new, old)| Ok(interleave(&[new, old], &places)?));
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
    fn batch(&mut self, _: usize, mut change: Change, out: &mut Output) -> Result<Step> {
        let total = self.keyed.len();
        self.keyed.intern(&change.rows, &mut self.groups)?;
        if let Some(lifetime) = &mut self.lifetime {
            let keyed = (&mut self.keyed, total);
            change = lifetime.known(keyed, change, &mut self.groups, out)?;
        }
        self.note_changes()?;
        self.keyed.add(&change, &self.groups)?;
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        match &mut self.lifetime {
            Some(lifetime) => lifetime.close(close.moment.clock),
            // A group that begins anew may lose values that it had before.
            None if cfg!(debug_assertions) => self.keyed.check()?,
            None => {}
        }
        self.pending = Some(self.collect()?);
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn wake(&self) -> Option<EventTime> {
        self.lifetime.as_ref().and_then(Lifetime::wake)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        if let Some(lifetime) = &mut self.lifetime {
            lifetime.save(&self.tables, to)?;
        }
        Saved::write(self.changes(to.is_full())?, &self.tables, to)?;
        self.pack()
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        let (groups, entries) = self.tables.split_at(1);
        for rows in from.table(GROUPS)? {
            let blueprint = &self.keyed.blueprint;
            let rows = blueprint.restored(rows, &groups[0].schema, blueprint.key_count())?;
            self.keyed.merge_saved(rows.columns(), rows.num_rows())?;
        }
        for (place, table) in entries.iter().enumerate() {
            for rows in from.table(&table.spec.name)? {
                check_state(&rows, &table.schema)?;
                self.keyed.merge_entries(place, rows.columns(), rows.num_rows())?;
            }
        }
        (self.known, self.live) = (self.keyed.len(), self.keyed.len());
        if let Some(lifetime) = &mut self.lifetime {
            lifetime.restore(&groups_of(0..self.known), at.clock);
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let sets = self.changed.bytes() + self.unsaved.bytes();
        let lifetime = self.lifetime.as_ref().map_or(0, Lifetime::bytes);
        (self.keyed.bytes() + sets + lifetime, self.keyed.len())
    }
}

#[cfg(test)]
mod tests;
