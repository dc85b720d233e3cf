//! Session windows: per key, merged while rows keep coming.
//!
//! Invariants: the open sessions of a key are disjoint and apart by more than touching; a row is
//! late only if the session it would be in is complete, so a row that reaches a live session is
//! never late.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::datatypes::SchemaRef;
use thalweg_plan::function::Accumulator;
use thalweg_plan::node::AggregateNode;
use thalweg_plan::window::WindowSpec;
use thalweg_state::{GroupTable, StateReader, StateWriter, TableSpec};
use thalweg_types::{Change, EventTime, Groups, Moment, Result};

use crate::operator::{Close, Operator, Output, Step};
use crate::operators::accumulators::{BATCH_ROWS, accumulators, batch, update};
use crate::operators::due::{Due, column_of, times};

/// A key's group and a session's start.
type Place = (u32, i64);

#[derive(Clone, Copy, Debug)]
struct Session {
    end: i64,
    /// Group of the accumulators that holds its aggregates.
    slot: u32,
}

/// Aggregates by key and session.
pub(super) struct SessionWindow {
    node: AggregateNode,
    spec: WindowSpec,
    due: Due,
    key_types: Vec<arrow::datatypes::DataType>,
    output: SchemaRef,
    state: SchemaRef,
    table: GroupTable,
    sessions: BTreeMap<Place, Session>,
    by_end: BTreeSet<(i64, u32, i64)>,
    accumulators: Vec<Box<dyn Accumulator>>,
    /// Slots handed out; those of ended sessions stay until the tables are packed.
    slots: u32,
    horizon: i64,
    unsaved: BTreeSet<Place>,
    /// Sessions that are in the last snapshot and were merged into others since.
    merged: BTreeSet<Place>,
    fired: VecDeque<(Place, Session)>,
}

impl SessionWindow {
    pub(super) fn new(
        node: AggregateNode,
        spec: WindowSpec,
        input: &SchemaRef,
        output: SchemaRef,
    ) -> Result<SessionWindow> {
        let key_types: Vec<_> =
            node.keys.iter().map(|key| input.field(*key).data_type().clone()).collect();
        Ok(SessionWindow {
            due: Due::new(&spec, input)?,
            state: state_schema(&node, input, &output),
            table: GroupTable::new(&key_types)?,
            accumulators: accumulators(&node.calls)?,
            key_types,
            node,
            spec,
            output,
            sessions: BTreeMap::new(),
            by_end: BTreeSet::new(),
            slots: 0,
            horizon: i64::MIN,
            unsaved: BTreeSet::new(),
            merged: BTreeSet::new(),
            fired: VecDeque::new(),
        })
    }

    fn add(&mut self, change: Change, out: &mut Output) -> Result<()> {
        let keys: Vec<ArrayRef> =
            self.node.keys.iter().map(|key| change.rows.column(*key).clone()).collect();
        let mut groups = Vec::new();
        self.table.intern(&keys, change.len(), &mut groups)?;
        let starts = times(change.rows.column(self.spec.start))?;
        let ends = times(change.rows.column(self.spec.end))?;
        let mut late: Vec<u32> = Vec::new();
        let mut order: Vec<u32> = Vec::new();
        for row in 0..change.len() as u32 {
            let has_time = starts.is_valid(row as usize) && ends.is_valid(row as usize);
            if has_time { order.push(row) } else { late.push(row) }
        }
        order.sort_by_key(|row| (groups[*row as usize], starts.value(*row as usize)));
        let (mut rows, mut slots) = (Vec::with_capacity(order.len()), Vec::new());
        let mut at = 0;
        while at < order.len() {
            let first = order[at] as usize;
            let (group, start, mut end) = (groups[first], starts.value(first), ends.value(first));
            let mut to = at + 1;
            while to < order.len() {
                let row = order[to] as usize;
                if groups[row] != group || starts.value(row) > end {
                    break;
                }
                end = end.max(ends.value(row));
                to += 1;
            }
            match self.session(group, start, end)? {
                Some(slot) => {
                    rows.extend_from_slice(&order[at..to]);
                    slots.resize(rows.len(), slot);
                }
                None => late.extend_from_slice(&order[at..to]),
            }
            at = to;
        }
        if !late.is_empty() {
            out.count_late(late.len());
            if self.node.divert_late {
                late.sort_unstable();
                out.send_to(1, change.take(&UInt32Array::from(late))?);
            }
        }
        let change = change.take(&UInt32Array::from(rows))?;
        let total = (slots.as_slice(), self.slots as usize);
        update(&mut self.accumulators, &self.node.calls, &change, total)
    }

    /// Returns the slot of the session that a run of rows belongs to, merging sessions that the
    /// run joins; `None` if the run is late.
    fn session(&mut self, group: u32, start: i64, end: i64) -> Result<Option<u32>> {
        let touching = self.touching(group, start, end);
        if touching.is_empty() && end <= self.horizon {
            return Ok(None);
        }
        let mut whole = (start, end);
        let mut slot = None;
        for (place, session) in touching {
            whole = (whole.0.min(place.1), whole.1.max(session.end));
            self.sessions.remove(&place);
            self.by_end.remove(&(session.end, place.0, place.1));
            self.unsaved.remove(&place);
            self.merged.insert(place);
            slot = Some(match slot {
                None => session.slot,
                Some(slot) => {
                    self.merge_slots(slot, session.slot)?;
                    slot
                }
            });
        }
        let slot = slot.unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        });
        let place = (group, whole.0);
        self.merged.remove(&place);
        self.sessions.insert(place, Session { end: whole.1, slot });
        self.by_end.insert((whole.1, group, whole.0));
        self.unsaved.insert(place);
        Ok(Some(slot))
    }

    /// Returns the sessions of a key that a run overlaps or touches, in order of start.
    fn touching(&self, group: u32, start: i64, end: i64) -> Vec<(Place, Session)> {
        let before = self.sessions.range((group, i64::MIN)..=(group, end)).rev();
        let mut found: Vec<_> = before
            .take_while(|(_, session)| session.end >= start)
            .map(|(place, session)| (*place, *session))
            .collect();
        found.reverse();
        found
    }

    fn merge_slots(&mut self, into: u32, from: u32) -> Result<()> {
        for accumulator in &mut self.accumulators {
            let partial = accumulator.partial(Groups::At(&[from]))?;
            accumulator.merge(&[into], &partial, self.slots as usize)?;
        }
        Ok(())
    }

    fn fire(&mut self) {
        while let Some((end, group, start)) = self.by_end.first().copied() {
            if end > self.horizon {
                break;
            }
            self.by_end.pop_first();
            self.unsaved.remove(&(group, start));
            if let Some(session) = self.sessions.remove(&(group, start)) {
                self.fired.push_back(((group, start), session));
            }
        }
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        while !self.fired.is_empty() {
            if out.is_full() {
                return Ok(Step::More);
            }
            let count = self.fired.len().min(BATCH_ROWS);
            let fired: Vec<_> = self.fired.drain(..count).collect();
            let mut columns = self.columns(&fired, 0)?;
            let slots: Vec<u32> = fired.iter().map(|(_, session)| session.slot).collect();
            for accumulator in &mut self.accumulators {
                columns.push(accumulator.evaluate(Groups::At(&slots))?);
            }
            out.send(Change::append(batch(&self.output, columns, fired.len())?));
        }
        self.pack()?;
        Ok(Step::Done)
    }

    /// Returns `[start, end, keys…]` of some sessions, or `[keys…, start, end]` if `keys_first`.
    fn columns(&self, sessions: &[(Place, Session)], keys_first: usize) -> Result<Vec<ArrayRef>> {
        let groups: Vec<u32> = sessions.iter().map(|((group, _), _)| *group).collect();
        let mut keys = self.table.keys(Groups::At(&groups))?;
        let kind = self.output.field(0).data_type();
        let starts = sessions.iter().map(|((_, start), _)| *start).collect();
        let ends = sessions.iter().map(|(_, session)| session.end).collect();
        let mut window = vec![column_of(starts, kind)?, column_of(ends, kind)?];
        if keys_first > 0 {
            keys.append(&mut window);
            return Ok(keys);
        }
        window.append(&mut keys);
        Ok(window)
    }

    /// Gives the memory of ended sessions and their keys back once they are the greater part.
    fn pack(&mut self) -> Result<()> {
        let live = self.sessions.len();
        if !self.fired.is_empty() || (self.slots as usize) < 4096.max(live * 2) {
            return Ok(());
        }
        let old: Vec<(Place, Session)> = std::mem::take(&mut self.sessions).into_iter().collect();
        let slots: Vec<u32> = old.iter().map(|(_, session)| session.slot).collect();
        let groups: Vec<u32> = old.iter().map(|((group, _), _)| *group).collect();
        let merged: Vec<Place> = std::mem::take(&mut self.merged).into_iter().collect();
        let gone: Vec<u32> = merged.iter().map(|(group, _)| *group).collect();
        let keys = self.table.keys(Groups::At(&groups))?;
        let gone = (self.table.keys(Groups::At(&gone))?, gone.len());
        let mut table = GroupTable::new(&self.key_types)?;
        let (mut new_groups, mut gone_groups) = (Vec::new(), Vec::new());
        table.intern(&keys, live, &mut new_groups)?;
        table.intern(&gone.0, gone.1, &mut gone_groups)?;
        let dense: Vec<u32> = (0..live as u32).collect();
        let mut fresh = accumulators(&self.node.calls)?;
        for (old, new) in self.accumulators.iter_mut().zip(&mut fresh) {
            new.merge(&dense, &old.partial(Groups::At(&slots))?, live)?;
        }
        let unsaved = std::mem::take(&mut self.unsaved);
        self.by_end.clear();
        for (slot, ((place, session), group)) in old.into_iter().zip(new_groups).enumerate() {
            let new = (group, place.1);
            self.sessions.insert(new, Session { slot: slot as u32, ..session });
            self.by_end.insert((session.end, group, place.1));
            if unsaved.contains(&place) {
                self.unsaved.insert(new);
            }
        }
        let starts = merged.into_iter().map(|(_, start)| start);
        self.merged = gone_groups.into_iter().zip(starts).collect();
        (self.table, self.accumulators, self.slots) = (table, fresh, live as u32);
        Ok(())
    }

    fn spec_of_state(&self) -> TableSpec {
        let keys = self.node.keys.len();
        TableSpec { name: "sessions", key: keys + 1, route: (0..keys).collect() }
    }
}

/// Returns the schema of `[keys…, start, end, states…]`.
fn state_schema(node: &AggregateNode, input: &SchemaRef, output: &SchemaRef) -> SchemaRef {
    let whole = super::state_schema(node, input, output);
    let keys = node.keys.len();
    let order: Vec<usize> =
        (2..2 + keys).chain([0, 1]).chain(2 + keys..whole.fields().len()).collect();
    std::sync::Arc::new(whole.project(&order).expect("the columns are a permutation"))
}

impl Operator for SessionWindow {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        self.add(change, out)?;
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.horizon = self.due.horizon(&close.moment);
        self.fire();
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn wake(&self) -> Option<EventTime> {
        self.due.wake(self.by_end.first()?.0)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let spec = self.spec_of_state();
        let merged = std::mem::take(&mut self.merged);
        let unsaved = std::mem::take(&mut self.unsaved);
        if !to.is_full() && !merged.is_empty() {
            let none = Session { end: 0, slot: 0 };
            let gone: Vec<_> = merged.into_iter().map(|place| (place, none)).collect();
            let mut columns = self.columns(&gone, 1)?;
            columns.truncate(spec.key);
            let schema = self.state.project(&(0..spec.key).collect::<Vec<_>>())?;
            to.delete(&spec, batch(&schema.into(), columns, gone.len())?)?;
        }
        let is_full = to.is_full();
        let sessions = self.sessions.iter().filter(|(place, _)| is_full || unsaved.contains(place));
        let sessions: Vec<(Place, Session)> = sessions.map(|(p, s)| (*p, *s)).collect();
        if sessions.is_empty() {
            return Ok(());
        }
        let mut columns = self.columns(&sessions, 1)?;
        let slots: Vec<u32> = sessions.iter().map(|(_, session)| session.slot).collect();
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.partial(Groups::At(&slots))?);
        }
        to.put(&spec, batch(&self.state, columns, sessions.len())?)
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.horizon = self.due.horizon(at);
        let keys = self.node.keys.len();
        for rows in from.table("sessions")? {
            let (starts, ends) = (times(rows.column(keys))?, times(rows.column(keys + 1))?);
            let live: Vec<u32> = (0..rows.num_rows() as u32)
                .filter(|row| ends.value(*row as usize) > self.horizon)
                .collect();
            let rows = arrow::compute::take_record_batch(&rows, &UInt32Array::from(live.clone()))?;
            let mut groups = Vec::new();
            self.table.intern(&rows.columns()[..keys], rows.num_rows(), &mut groups)?;
            let first = self.slots;
            for (row, group) in live.iter().zip(&groups) {
                let (start, end) = (starts.value(*row as usize), ends.value(*row as usize));
                self.sessions.insert((*group, start), Session { end, slot: self.slots });
                self.by_end.insert((end, *group, start));
                self.slots += 1;
            }
            let slots: Vec<u32> = (first..self.slots).collect();
            let mut states = &rows.columns()[keys + 2..];
            for (call, accumulator) in self.node.calls.iter().zip(&mut self.accumulators) {
                let (own, rest) = states.split_at(call.function.state().len());
                accumulator.merge(&slots, own, self.slots as usize)?;
                states = rest;
            }
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let states = self.accumulators.iter().map(|a| a.bytes()).sum::<usize>();
        (self.table.bytes() + states + self.sessions.len() * 64, self.sessions.len())
    }
}
