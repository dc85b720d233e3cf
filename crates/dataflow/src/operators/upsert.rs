//! Makes changes of what a source says of keys: the row of a key is now this, or the key is gone.
//!
//! Invariants: for each key there is one row or none, the last that came, in the order of the
//! channel; at the close what became of a key goes out, at most one retraction and one insert, the
//! retraction directly before the insert, and nothing if the row is what it was. A key that is gone
//! and was not there is a bad record and changes nothing. With a time-to-live a key is
//! forgotten that nothing was said of for so long: it is as if it had never been there, and nothing goes
//! out. Deleting such a one is no bad record: it is counted as forgotten.

use arrow::array::Int64Array;
use arrow::datatypes::{DataType, SchemaRef};
use thalweg_plan::node::UpsertNode;
use thalweg_state::{GroupTable, RowStore, StateReader, StateWriter};
use thalweg_types::{Change, Error, EventTime, Moment, Result};

use super::bad_rows::Unfounded;
use super::batches::{BATCH_ROWS, batch, groups_of, next_rows};
use super::group_set::GroupSet;
use super::idle::Idle;
use crate::operator::{Close, Operator, Output, Step};

/// The table of the state.
const ROWS: &str = "rows";
/// Keys below which the memory of those that are gone is not worth taking back.
const KEYS_MIN: usize = 4096;

/// What is known of a key.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Slot of its row.
    row: Option<u32>,
    /// Did the row come in the open epoch?
    is_new: bool,
}

/// Keeps the row of each key.
pub struct Upsert {
    unfounded: Unfounded,
    key: Vec<usize>,
    output: SchemaRef,
    keys: GroupTable,
    /// For each key that there is, or was.
    known: Vec<Known>,
    rows: RowStore,
    /// Keys of which something was said in the open epoch.
    changed: GroupSet,
    /// For each of them the row that it had before.
    before: Vec<Option<u32>>,
    /// Slots to be sent, each with its weight, and the next of them.
    pending: (Vec<(u32, i64)>, usize),
    groups: Vec<u32>,
    /// When something was said of keys, if they have a time-to-live, and the clock at the last close.
    idle: Option<Idle>,
    clock: EventTime,
}

impl Upsert {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a column of the key cannot be one, or a column cannot be kept.
    pub fn new(node: &UpsertNode, output: SchemaRef) -> Result<Upsert> {
        Ok(Upsert {
            unfounded: Unfounded::new(&node.table, node.diverts),
            keys: table(&node.key, &output)?,
            rows: RowStore::new(output.clone())?,
            key: node.key.clone(),
            output,
            known: Vec::new(),
            changed: GroupSet::default(),
            before: Vec::new(),
            pending: (Vec::new(), 0),
            groups: Vec::new(),
            idle: node.ttl.map(Idle::new),
            clock: EventTime::MIN,
        })
    }

    /// Forgets the row of a key, which stays in the store if it was there before the epoch.
    fn forget(&mut self, group: u32) {
        let known = std::mem::take(&mut self.known[group as usize]);
        if let Known { row: Some(row), is_new: true } = known {
            self.rows.remove(row);
        }
    }

    /// Decides what goes out: updates, then inserts, then deletions, so that no retraction stands
    /// before an insert of another key.
    fn collect(&mut self) {
        let (mut changes, mut inserts, mut deletions) = (Vec::new(), Vec::new(), Vec::new());
        let (before, changed) = (std::mem::take(&mut self.before), self.changed.take());
        if let Some(idle) = &mut self.idle {
            idle.write(&changed, self.clock);
        }
        for (group, before) in changed.into_iter().zip(before) {
            let known = &mut self.known[group as usize];
            known.is_new = false;
            match (before, known.row) {
                (None, None) => {}
                (None, Some(new)) => inserts.push((new, 1)),
                (Some(old), None) => deletions.push((old, -1)),
                (Some(old), Some(new)) if self.rows.row(old) == self.rows.row(new) => {
                    known.row = Some(old);
                    self.rows.remove(new);
                }
                (Some(old), Some(new)) => changes.extend([(old, -1), (new, 1)]),
            }
        }
        changes.extend(inserts);
        changes.extend(deletions);
        self.pending = (changes, 0);
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        let (changes, next) = &mut self.pending;
        while *next < changes.len() {
            if out.is_full() {
                return Ok(Step::More);
            }
            // An even number, and updates stand first: no two halves are parted.
            let range = next_rows(*next, changes.len(), BATCH_ROWS);
            *next = range.end;
            let (slots, weights): (Vec<u32>, Vec<i64>) = changes[range].iter().copied().unzip();
            let rows = batch(&self.output, self.rows.columns(&slots)?, slots.len())?;
            let gone = slots.iter().zip(&weights).filter(|(_, weight)| **weight < 0);
            gone.for_each(|(slot, _)| self.rows.remove(*slot));
            out.send(Change::weighted(rows, Int64Array::from(weights))?);
        }
        self.pending = (Vec::new(), 0);
        self.forget_idle(out);
        self.give_back()?;
        Ok(Step::Done)
    }

    /// Forgets the keys whose time is over.
    fn forget_idle(&mut self, out: &mut Output) {
        let Some(idle) = &mut self.idle else { return };
        for group in idle.take(self.clock) {
            if let Some(row) = self.known[group as usize].row.take() {
                self.rows.remove(row);
                out.count_forgotten(1);
            }
        }
    }

    /// Takes back the memory of keys that are gone, once they are most.
    fn give_back(&mut self) -> Result<()> {
        if self.known.len() < KEYS_MIN.max(2 * self.rows.len()) {
            return Ok(());
        }
        let known = self.known.iter().enumerate();
        let rows = known.filter_map(|(group, known)| Some((group as u32, known.row?)));
        let (groups, slots): (Vec<u32>, Vec<u32>) = rows.unzip();
        if let Some(idle) = &mut self.idle {
            idle.renumber(&groups);
        }
        self.changed = GroupSet::default();
        self.find(&slots)
    }

    /// Makes the table of keys of the rows in `slots` alone.
    fn find(&mut self, slots: &[u32]) -> Result<()> {
        (self.keys, self.known) = (table(&self.key, &self.output)?, Vec::new());
        for slots in slots.chunks(BATCH_ROWS) {
            let keys = self.rows.project(&self.key, slots)?;
            self.keys.intern(&keys, slots.len(), &mut self.groups)?;
            self.known.resize(self.keys.len(), Known::default());
            for (group, slot) in self.groups.iter().zip(slots) {
                self.known[*group as usize].row = Some(*slot);
            }
        }
        if self.keys.len() == slots.len() {
            return Ok(());
        }
        Err(Error::state("saved state has two rows of one key").remedy("begin anew with --fresh"))
    }
}

fn table(key: &[usize], schema: &SchemaRef) -> Result<GroupTable> {
    let types = key.iter().map(|column| schema.field(*column).data_type().clone());
    GroupTable::new(&types.collect::<Vec<DataType>>())
}

impl Operator for Upsert {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        let keys: Vec<_> = self.key.iter().map(|c| change.rows.column(*c).clone()).collect();
        self.keys.intern(&keys, change.len(), &mut self.groups)?;
        self.known.resize(self.keys.len(), Known::default());
        let is_row = |row: &u32| change.weight(*row as usize) > 0;
        let rows: Vec<u32> = (0..change.len() as u32).filter(is_row).collect();
        let encoded = self.rows.encode(change.rows.columns(), &rows)?;
        let (mut next, mut unknown) = (0, Vec::new());
        for (row, group) in std::mem::take(&mut self.groups).into_iter().enumerate() {
            let known = self.known[group as usize].row;
            if self.changed.insert(group) {
                self.before.push(known);
            }
            self.forget(group);
            if change.weight(row) > 0 {
                let slot = self.rows.insert_row(&encoded, next)?;
                self.known[group as usize] = Known { row: Some(slot), is_new: true };
                next += 1;
            } else if known.is_none() {
                unknown.push(row as u32);
            }
        }
        match self.idle {
            Some(_) => out.count_forgotten(unknown.len()),
            None => self.unfounded.refuse(&change, &unknown, out)?,
        }
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.clock = close.moment.clock;
        self.collect();
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn wake(&self) -> Option<EventTime> {
        self.idle.as_ref().and_then(Idle::wake)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.rows.snapshot(ROWS, &self.key, to)
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        let slots = self.rows.restore(ROWS, from)?;
        self.find(&slots)?;
        if let Some(idle) = &mut self.idle {
            idle.write(&groups_of(0..self.known.len()), at.clock);
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let known = self.known.capacity() * std::mem::size_of::<Known>();
        let idle = self.idle.as_ref().map_or(0, Idle::bytes);
        let bytes = self.rows.bytes() + self.keys.bytes() + known + self.changed.bytes() + idle;
        (bytes, self.rows.len())
    }
}

#[cfg(test)]
mod tests;
