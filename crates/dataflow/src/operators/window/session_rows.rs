//! The rows of sessions, each with its session's start and end, once the session is complete: what a
//! join or a ranking of sessions reads.
//!
//! Invariants: as those of sessions that are aggregated. What is saved are the rows alone; which
//! sessions they are follows from their times.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, SchemaRef};
use thalweg_plan::node::SessionRowsNode;
use thalweg_plan::window::WindowSpec;
use thalweg_state::{GroupTable, RowStore, StateReader, StateWriter};
use thalweg_types::{Change, EventTime, Moment, Result};

use super::placing::{Placed, place};
use super::session_list::SessionList;
use crate::operator::{Close, Operator, Output, Step};
use crate::operators::batches::{BATCH_ROWS, batch};
use crate::operators::due::{Due, refuse};
use crate::operators::slices::{column_of, times};

/// Ended sessions from which on their memory is given back.
pub(super) const PACK_SLOTS: usize = 4096;

/// Keeps rows until their sessions are complete.
pub(super) struct SessionRows {
    keys: Vec<usize>,
    spec: WindowSpec,
    divert_late: bool,
    due: Due,
    schema: SchemaRef,
    table: GroupTable,
    list: SessionList,
    rows: RowStore,
    /// The rows of each session, by its slot.
    members: Vec<Vec<u32>>,
    leaving: Leaving,
}

/// Rows of complete sessions on their way out.
pub(super) struct Leaving {
    spec: WindowSpec,
    schema: SchemaRef,
    /// Rows that are sent next, the last one first, and where their sessions start and end.
    rows: Vec<(u32, i64, i64)>,
}

impl Leaving {
    pub(super) fn new(spec: WindowSpec, schema: SchemaRef) -> Leaving {
        Leaving { spec, schema, rows: Vec::new() }
    }

    /// Takes rows that are to be sent in this order, each with the start and end of its session.
    pub(super) fn begin(&mut self, mut rows: Vec<(u32, i64, i64)>) {
        rows.reverse();
        self.rows = rows;
    }

    /// Sends rows of `store`, and removes them there.
    pub(super) fn send(&mut self, store: &mut RowStore, out: &mut Output) -> Result<Step> {
        while !self.rows.is_empty() {
            if out.is_full() {
                return Ok(Step::More);
            }
            let rest = self.rows.len().saturating_sub(BATCH_ROWS);
            let mut fired = self.rows.split_off(rest);
            fired.reverse();
            let slots: Vec<u32> = fired.iter().map(|(slot, _, _)| *slot).collect();
            let mut columns = store.columns(&slots)?;
            let kind = |column: usize| -> &DataType { self.schema.field(column).data_type() };
            let starts = fired.iter().map(|(_, start, _)| *start).collect();
            columns[self.spec.start] = column_of(starts, kind(self.spec.start))?;
            let ends = fired.iter().map(|(_, _, end)| *end).collect();
            columns[self.spec.end] = column_of(ends, kind(self.spec.end))?;
            out.send(Change::append(batch(&self.schema, columns, slots.len())?));
            slots.into_iter().for_each(|slot| store.remove(slot));
        }
        Ok(Step::Done)
    }
}

impl SessionRows {
    /// Returns the operator of `node`, whose input and output have this schema.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub(super) fn new(node: &SessionRowsNode, schema: SchemaRef) -> Result<SessionRows> {
        Ok(SessionRows {
            keys: node.keys.clone(),
            spec: node.window,
            divert_late: node.divert_late,
            due: Due::new(&node.window, &schema)?,
            table: table(&node.keys, &schema)?,
            list: SessionList::default(),
            rows: RowStore::new(schema.clone())?,
            members: Vec::new(),
            leaving: Leaving::new(node.window, schema.clone()),
            schema,
        })
    }

    /// Keeps rows, those in `saved` already or new ones, and returns which are late.
    fn add(&mut self, columns: &[ArrayRef], count: usize, saved: Option<&[u32]>) -> Result<Placed> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| columns[*key].clone()).collect();
        let mut groups = Vec::new();
        self.table.intern(&keys, count, &mut groups)?;
        self.list.grow(self.table.len());
        let (starts, ends) = (times(&columns[self.spec.start])?, times(&columns[self.spec.end])?);
        let placed = place(&mut self.list, &self.due, &groups, (&starts, &ends));
        self.members.resize(self.list.slots(), Vec::new());
        for (into, from) in &placed.joined {
            let moved = std::mem::take(&mut self.members[*from as usize]);
            self.members[*into as usize].extend(moved);
        }
        let good = placed.good().unwrap_or_else(|| (0..count as u32).collect());
        let mut slots = Vec::new();
        match saved {
            Some(saved) => slots.extend(good.iter().map(|row| saved[*row as usize])),
            None => self.rows.insert(columns, &good, &mut slots)?,
        }
        for (slot, row) in slots.iter().zip(&good) {
            self.members[placed.slots[*row as usize] as usize].push(*slot);
        }
        Ok(placed)
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        let step = self.leaving.send(&mut self.rows, out)?;
        if step == Step::Done && self.list.slots() >= PACK_SLOTS.max(self.list.used() * 2) {
            self.pack()?;
        }
        Ok(step)
    }

    /// Gives the memory of ended sessions and of their keys back, by placing the rows anew.
    fn pack(&mut self) -> Result<()> {
        let slots: Vec<u32> =
            (0..self.rows.slots() as u32).filter(|slot| self.rows.is_alive(*slot)).collect();
        self.table = table(&self.keys, &self.schema)?;
        (self.list, self.members) = (SessionList::default(), Vec::new());
        self.place_kept(&slots)
    }

    /// Finds the sessions of rows that are kept.
    fn place_kept(&mut self, slots: &[u32]) -> Result<()> {
        for slots in slots.chunks(BATCH_ROWS) {
            let columns = self.rows.columns(slots)?;
            let placed = self.add(&columns, slots.len(), Some(slots))?;
            // Of a session that is over only rows are left that were sent.
            placed.late.iter().for_each(|row| self.rows.remove(slots[*row as usize]));
        }
        Ok(())
    }
}

pub(super) fn table(keys: &[usize], schema: &SchemaRef) -> Result<GroupTable> {
    let kinds = keys.iter().map(|key| schema.field(*key).data_type().clone());
    GroupTable::new(&kinds.collect::<Vec<_>>())
}

impl Operator for SessionRows {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        let placed = self.add(change.rows.columns(), change.len(), None)?;
        refuse(&change, placed.late, self.divert_late, out)?;
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.due.close(close);
        let mut rows = Vec::new();
        for slot in self.list.end(self.due.complete()) {
            let (session, members) = (self.list.get(slot), &mut self.members[slot as usize]);
            let members = std::mem::take(members).into_iter();
            rows.extend(members.map(|row| (row, session.start, session.end)));
        }
        self.leaving.begin(rows);
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn wake(&self) -> Option<EventTime> {
        self.due.wake(self.list.first_end()?)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.rows.snapshot("rows", &self.keys, to)
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.due.restore(at);
        let slots = self.rows.restore("rows", from)?;
        self.place_kept(&slots)
    }

    fn size(&self) -> (usize, usize) {
        let members: usize = self.members.iter().map(|rows| 24 + rows.capacity() * 4).sum();
        let bytes = self.table.bytes() + self.list.bytes() + self.rows.bytes();
        (bytes + members, self.rows.len())
    }
}

#[cfg(test)]
mod tests;
