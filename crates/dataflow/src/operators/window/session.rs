//! Session windows: per key, merged while rows keep coming.
//!
//! Invariants: a row is late only if the session it would be in is complete, so a row that
//! reaches a live session is never late; sessions fire in order of their ends. Rows of one batch
//! are judged together: those that are one session among themselves are late together or not at
//! all.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Field, SchemaRef};
use thalweg_plan::node::{AggregateNode, Stage};
use thalweg_plan::window::WindowSpec;
use thalweg_state::{GroupTable, StateReader, StateWriter, TableSpec};
use thalweg_types::{Change, Error, EventTime, Groups, Moment, Result};

use super::placing::{Placed, place};
use super::session_list::SessionList;
use crate::operator::{Close, Operator, Output, Step};
use crate::operators::accumulators::Accumulators;
use crate::operators::batches::{BATCH_ROWS, batch, groups_of, next_rows};
use crate::operators::due::{Due, refuse};
use crate::operators::keyed::Blueprint;
use crate::operators::slices::{column_of, times};

/// Slots from which on memory of ended sessions is given back.
const PACK_SLOTS: usize = 4096;

/// Aggregates by key and session.
pub(super) struct SessionWindow {
    blueprint: Arc<Blueprint>,
    spec: WindowSpec,
    divert_late: bool,
    due: Due,
    output: SchemaRef,
    /// Shape: keys…, start, end, states….
    state: SchemaRef,
    table: GroupTable,
    list: SessionList,
    /// The aggregates of each slot of the list.
    accumulators: Accumulators,
    /// Slots of ended sessions that are being sent, and how many of them are.
    fired: (Vec<u32>, usize),
    groups: Vec<u32>,
}

impl SessionWindow {
    pub(super) fn new(
        node: &AggregateNode,
        spec: WindowSpec,
        input: &SchemaRef,
        output: SchemaRef,
    ) -> Result<SessionWindow> {
        if node.stage != Stage::Whole {
            return Err(Error::internal("sessions are not aggregated before the exchange"));
        }
        let blueprint = Blueprint::new(node, input)?;
        let window: Vec<Field> = output.fields()[..2].iter().map(|f| f.as_ref().clone()).collect();
        Ok(SessionWindow {
            spec,
            divert_late: node.divert_late,
            due: Due::new(&spec, input)?,
            output,
            state: blueprint.state_schema(&window),
            table: blueprint.table()?,
            list: SessionList::default(),
            accumulators: blueprint.accumulators()?,
            blueprint,
            fired: (Vec::new(), 0),
            groups: Vec::new(),
        })
    }

    fn add(&mut self, change: Change, out: &mut Output) -> Result<()> {
        let keys = self.blueprint.keys_of(&change.rows);
        self.table.intern(&keys, change.len(), &mut self.groups)?;
        self.list.grow(self.table.len());
        let starts = times(change.rows.column(self.spec.start))?;
        let ends = times(change.rows.column(self.spec.end))?;
        let placed = place(&mut self.list, &self.due, &self.groups, (&starts, &ends));
        self.merge_joined(&placed.joined)?;
        self.update(change, placed, out)
    }

    /// Adds rows to the aggregates of their slots, but for the late ones.
    fn update(&mut self, mut change: Change, placed: Placed, out: &mut Output) -> Result<()> {
        let good = placed.good();
        let Placed { mut slots, late, .. } = placed;
        if let Some(good) = good {
            slots = good.iter().map(|row| slots[*row as usize]).collect();
            let rows = change.take(&UInt32Array::from(good))?;
            refuse(&change, late, self.divert_late, out)?;
            change = rows;
        }
        self.accumulators.update(&change, &slots, self.list.slots())
    }

    /// Merges the aggregates of sessions that became one. The slots merged into are not merged
    /// into others, since runs come in order of time: whatever a later run joins is later.
    fn merge_joined(&mut self, joined: &[(u32, u32)]) -> Result<()> {
        let (into, from): (Vec<u32>, Vec<u32>) = joined.iter().copied().unzip();
        debug_assert!(into.iter().all(|slot| !from.contains(slot)));
        self.accumulators.merge_groups(&into, &from, self.list.slots())
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        while self.fired.1 < self.fired.0.len() {
            if out.is_full() {
                return Ok(Step::More);
            }
            let range = next_rows(self.fired.1, self.fired.0.len(), BATCH_ROWS);
            self.fired.1 = range.end;
            let slots = self.fired.0[range].to_vec();
            let [start, end] = self.windows(&slots)?;
            let mut columns = vec![start, end];
            columns.extend(self.keys(&slots)?);
            columns.extend(self.accumulators.evaluate(Groups::At(&slots))?);
            out.send(Change::append(batch(&self.output, columns, slots.len())?));
        }
        self.fired = (Vec::new(), 0);
        // Late rows leave keys without a session behind.
        let (taken, used) = (self.list.slots().max(self.table.len()), self.list.used());
        if taken >= PACK_SLOTS.max(used * 2) {
            self.pack()?;
        }
        Ok(Step::Done)
    }

    /// Returns starts and ends of some sessions.
    fn windows(&self, slots: &[u32]) -> Result<[ArrayRef; 2]> {
        let kind = self.output.field(0).data_type();
        let starts = slots.iter().map(|slot| self.list.get(*slot).start);
        let ends = slots.iter().map(|slot| self.list.get(*slot).end);
        Ok([column_of(starts.collect(), kind)?, column_of(ends.collect(), kind)?])
    }

    /// Returns the key columns of some sessions.
    fn keys(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let groups: Vec<u32> = slots.iter().map(|slot| self.list.get(*slot).group).collect();
        self.table.keys(Groups::At(&groups))
    }

    /// Gives the memory of ended sessions and of their keys back.
    fn pack(&mut self) -> Result<()> {
        let slots = self.list.live_slots();
        let gone = self.list.take_gone();
        let gone_groups: Vec<u32> = gone.iter().map(|(group, _)| *group).collect();
        let (keys, gone_keys) = (self.keys(&slots)?, self.table.keys(Groups::At(&gone_groups))?);
        let mut table = self.blueprint.table()?;
        let (mut groups, mut new_gone) = (Vec::new(), Vec::new());
        table.intern(&keys, slots.len(), &mut groups)?;
        table.intern(&gone_keys, gone.len(), &mut new_gone)?;
        let mut accumulators = self.blueprint.accumulators()?;
        if !slots.is_empty() {
            let states = self.accumulators.partial(Groups::At(&slots))?;
            accumulators.merge(&groups_of(0..slots.len()), &states, slots.len())?;
        }
        let gone = new_gone.into_iter().zip(gone).map(|(group, (_, start))| (group, start));
        self.list.renumber(&groups, gone.collect(), table.len());
        (self.table, self.accumulators) = (table, accumulators);
        Ok(())
    }

    fn saved_table(&self) -> TableSpec {
        let keys = self.blueprint.key_count();
        TableSpec { name: "sessions", key: keys + 1, route: (0..keys).collect() }
    }

    /// Says that sessions which became part of others are no more.
    fn delete_gone(&mut self, to: &mut StateWriter) -> Result<()> {
        let gone = self.list.take_gone();
        if to.is_full() || gone.is_empty() {
            return Ok(());
        }
        let table = self.saved_table();
        let (groups, starts): (Vec<u32>, Vec<i64>) = gone.into_iter().unzip();
        let mut columns = self.table.keys(Groups::At(&groups))?;
        columns.push(column_of(starts, self.output.field(0).data_type())?);
        let schema = self.state.project(&(0..table.key).collect::<Vec<_>>())?;
        to.delete(&table, batch(&Arc::new(schema), columns, groups.len())?)
    }

    /// Takes one batch of restored rows, but for sessions that are over.
    fn restore_rows(&mut self, rows: RecordBatch) -> Result<()> {
        let keys = self.blueprint.key_count();
        let rows = self.blueprint.restored(rows, &self.state, keys + 2)?;
        let ends = times(rows.column(keys + 1))?;
        let is_live = |row: &u32| ends.value(*row as usize) > self.due.complete();
        let live: Vec<u32> = (0..rows.num_rows() as u32).filter(is_live).collect();
        let rows = take_record_batch(&rows, &UInt32Array::from(live))?;
        let (starts, ends) = (times(rows.column(keys))?, times(rows.column(keys + 1))?);
        self.table.intern(&rows.columns()[..keys], rows.num_rows(), &mut self.groups)?;
        self.list.grow(self.table.len());
        let windows = starts.values().iter().zip(ends.values());
        let slots = self.groups.iter().zip(windows);
        let slots: Vec<u32> =
            slots.map(|(group, (start, end))| self.list.restore(*group, *start, *end)).collect();
        self.accumulators.merge(&slots, &rows.columns()[keys + 2..], self.list.slots())
    }
}

impl Operator for SessionWindow {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        self.add(change, out)?;
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.due.close(close);
        self.fired = (self.list.end(self.due.complete()), 0);
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn wake(&self) -> Option<EventTime> {
        self.due.wake(self.list.first_end()?)
    }

    /// What fired stays in older snapshots; a restore sees by the time that it is over.
    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.delete_gone(to)?;
        let slots = self.list.save(to.is_full());
        if slots.is_empty() {
            return Ok(());
        }
        let mut columns = self.keys(&slots)?;
        columns.extend(self.windows(&slots)?);
        columns.extend(self.accumulators.partial(Groups::At(&slots))?);
        to.put(&self.saved_table(), batch(&self.state, columns, slots.len())?)
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.due.restore(at);
        for rows in from.table("sessions")? {
            self.restore_rows(rows)?;
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let bytes = self.table.bytes() + self.accumulators.bytes() + self.list.bytes();
        (bytes, self.list.live())
    }
}

#[cfg(test)]
mod tests;
