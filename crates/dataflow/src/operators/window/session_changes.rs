//! The rows of sessions over an input that takes rows back: they are kept until their session is
//! complete, since a row that goes shortens a session, or makes two of it.
//!
//! Invariants: what leaves is final. What came in an epoch is netted first, so nothing depends on the
//! order within; a session is looked for among the rows there are at a close, so nothing depends on those
//! that were there before. A row is late if it reaches no live session and its own is complete; one that
//! is taken back is late if its own is complete, and it is not there any more. What is saved are the rows.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use thalweg_plan::node::SessionRowsNode;
use thalweg_plan::window::{Assigner, WindowSpec};
use thalweg_state::row_store::RowIndex;
use thalweg_state::{GroupTable, RowStore, StateReader, StateWriter};
use thalweg_types::{Change, Error, Moment, Result};

use super::session_rows::{Leaving, PACK_SLOTS, table};
use crate::operator::{Close, Operator, Output, Step};
use crate::operators::batches::{BATCH_ROWS, never_came};
use crate::operators::due::{Due, refuse};
use crate::operators::netted::Delta;
use crate::operators::slices::times;

/// Keeps rows, some of which go again, until their sessions are complete.
pub(crate) struct SessionChanges {
    keys: Vec<usize>,
    spec: WindowSpec,
    gap: i64,
    divert_late: bool,
    due: Due,
    schema: SchemaRef,
    table: GroupTable,
    rows: RowStore,
    index: RowIndex,
    /// The rows of each key, by time and slot.
    members: Vec<BTreeSet<(i64, u32)>>,
    /// For each key with rows a time that its first session does not end before, and the keys by it.
    earliest: BTreeMap<u32, i64>,
    timers: BTreeSet<(i64, u32)>,
    /// What came in this epoch.
    came: Vec<Change>,
    leaving: Leaving,
}

/// Rows of one key that are one session among themselves, as places in a batch.
struct Run {
    group: u32,
    first: i64,
    last: i64,
    rows: Vec<(i64, u32)>,
}

impl SessionChanges {
    /// Returns the operator of `node`, whose input and output have this schema.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported, `Internal` if the windows are no sessions.
    pub(crate) fn new(node: &SessionRowsNode, schema: SchemaRef) -> Result<SessionChanges> {
        let Assigner::Session { gap } = node.window.assigner else {
            return Err(Error::internal("rows wait for a session in windows that are none"));
        };
        Ok(SessionChanges {
            keys: node.keys.clone(),
            spec: node.window,
            gap,
            divert_late: node.divert_late,
            due: Due::new(&node.window, &schema)?,
            table: table(&node.keys, &schema)?,
            rows: RowStore::new(schema.clone())?,
            index: RowIndex::default(),
            members: Vec::new(),
            earliest: BTreeMap::new(),
            timers: BTreeSet::new(),
            came: Vec::new(),
            leaving: Leaving::new(node.window, schema.clone()),
            schema,
        })
    }

    fn end_of(&self, start: i64) -> i64 {
        start.saturating_add(self.gap)
    }

    fn groups(&mut self, columns: &[ArrayRef], count: usize) -> Result<Vec<u32>> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| columns[*key].clone()).collect();
        let mut groups = Vec::new();
        self.table.intern(&keys, count, &mut groups)?;
        self.members.resize(self.table.len().max(self.members.len()), BTreeSet::new());
        Ok(groups)
    }

    /// Applies what came in this epoch.
    fn apply(&mut self, out: &mut Output) -> Result<()> {
        let Delta { gone, new } = Delta::of(&self.came, &mut self.rows)?;
        self.came.clear();
        if new.num_rows() > 0 {
            self.insert(new, out)?;
        }
        if gone.num_rows() > 0 {
            self.remove(gone, out)?;
        }
        Ok(())
    }

    /// Keeps the rows that are in time.
    fn insert(&mut self, new: RecordBatch, out: &mut Output) -> Result<()> {
        let groups = self.groups(new.columns(), new.num_rows())?;
        let starts = times(new.column(self.spec.start))?;
        let (runs, mut late) = self.runs(&groups, &starts);
        let (mut good, mut places) = (Vec::new(), Vec::new());
        for run in runs {
            match self.is_late(&run) {
                true => late.extend(run.rows.iter().map(|(_, row)| *row)),
                false => {
                    good.extend(run.rows.iter().map(|(_, row)| *row));
                    places.extend(run.rows.iter().map(|(start, _)| (run.group, *start)));
                }
            }
        }
        late.sort_unstable();
        let mut slots = Vec::new();
        self.rows.insert(new.columns(), &good, &mut slots)?;
        for (slot, (group, start)) in slots.into_iter().zip(places) {
            self.index.insert(&self.rows, slot);
            self.link(slot, group, start);
        }
        refuse(&Change::append(new), late, self.divert_late, out)
    }

    /// Returns the runs of rows, in order of time, and the rows without one.
    fn runs(&self, groups: &[u32], starts: &Int64Array) -> (Vec<Run>, Vec<u32>) {
        let (timed, late): (Vec<u32>, Vec<u32>) =
            (0..groups.len() as u32).partition(|row| starts.is_valid(*row as usize));
        let timed =
            timed.into_iter().map(|row| (groups[row as usize], starts.value(row as usize), row));
        let mut timed: Vec<(u32, i64, u32)> = timed.collect();
        timed.sort_unstable();
        let runs = timed.chunk_by(|a, b| a.0 == b.0 && b.1 <= self.end_of(a.1)).map(|run| Run {
            group: run[0].0,
            first: run[0].1,
            last: run[run.len() - 1].1,
            rows: run.iter().map(|(_, start, row)| (*start, *row)).collect(),
        });
        (runs.collect(), late)
    }

    /// Is a session of these rows alone complete, and is there no other one that they reach?
    fn is_late(&self, run: &Run) -> bool {
        let end = self.end_of(run.last);
        let reached = (run.first.saturating_sub(self.gap), 0)..=(end, u32::MAX);
        let is_alone = || self.members[run.group as usize].range(reached).next().is_none();
        self.due.is_late(end) && is_alone()
    }

    fn link(&mut self, slot: u32, group: u32, start: i64) {
        self.members[group as usize].insert((start, slot));
        let end = self.end_of(start);
        if self.earliest.get(&group).is_none_or(|known| *known > end) {
            self.set_timer(group, Some(end));
        }
    }

    /// Says when to look at a key again.
    fn set_timer(&mut self, group: u32, end: Option<i64>) {
        let known = match end {
            Some(end) => self.earliest.insert(group, end),
            None => self.earliest.remove(&group),
        };
        if let Some(known) = known {
            self.timers.remove(&(known, group));
        }
        self.timers.extend(end.map(|end| (end, group)));
    }

    /// Removes rows that are taken back.
    fn remove(&mut self, gone: RecordBatch, out: &mut Output) -> Result<()> {
        let count = gone.num_rows() as u32;
        let groups = self.groups(gone.columns(), count as usize)?;
        let starts = times(gone.column(self.spec.start))?;
        let encoded = self.rows.encode(gone.columns(), &(0..count).collect::<Vec<_>>())?;
        let mut late = Vec::new();
        for row in 0..count {
            let at = row as usize;
            let start = starts.is_valid(at).then(|| starts.value(at));
            match (self.index.find(&self.rows, &encoded, at), start) {
                (Some(slot), Some(start)) => self.unlink(slot, groups[at], start),
                (None, Some(start)) if !self.due.is_late(self.end_of(start)) => {
                    return Err(never_came(&gone, at));
                }
                _ => late.push(row),
            }
        }
        let weights = vec![-1; count as usize];
        refuse(&Change::weighted(gone, weights.into())?, late, self.divert_late, out)
    }

    fn unlink(&mut self, slot: u32, group: u32, start: i64) {
        self.index.remove(&self.rows, slot);
        self.rows.remove(slot);
        self.members[group as usize].remove(&(start, slot));
        // The first session may end earlier now.
        let first = self.members[group as usize].first().map(|(start, _)| self.end_of(*start));
        self.set_timer(group, first);
    }

    /// Takes the sessions out that are complete, in order of their ends.
    fn complete(&mut self) -> Vec<(u32, i64, i64)> {
        let mut sessions: Vec<(i64, i64, Vec<u32>)> = Vec::new();
        while let Some((_, group)) =
            self.timers.first().copied().filter(|(end, _)| *end <= self.due.complete())
        {
            let Some((start, end)) = self.first_session(group) else {
                self.set_timer(group, None);
                continue;
            };
            if end > self.due.complete() {
                self.set_timer(group, Some(end));
                continue;
            }
            let later = self.members[group as usize].split_off(&(end.saturating_add(1), 0));
            let session = std::mem::replace(&mut self.members[group as usize], later);
            let slots: Vec<u32> = session.into_iter().map(|(_, slot)| slot).collect();
            slots.iter().for_each(|slot| self.index.remove(&self.rows, *slot));
            sessions.push((end, start, slots));
            let next = self.members[group as usize].first().map(|(start, _)| self.end_of(*start));
            self.set_timer(group, next);
        }
        sessions.sort_unstable();
        let rows = sessions
            .into_iter()
            .flat_map(|(end, start, slots)| slots.into_iter().map(move |slot| (slot, start, end)));
        rows.collect()
    }

    /// Returns where the first session of a key starts and ends.
    fn first_session(&self, group: u32) -> Option<(i64, i64)> {
        let mut rows = self.members[group as usize].iter();
        let (start, _) = rows.next()?;
        let mut end = self.end_of(*start);
        for (next, _) in rows {
            if *next > end {
                break;
            }
            end = self.end_of(*next);
        }
        Some((*start, end))
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        let step = self.leaving.send(&mut self.rows, out)?;
        if step == Step::Done && self.table.len() >= PACK_SLOTS.max(self.earliest.len() * 2) {
            self.table = table(&self.keys, &self.schema)?;
            self.place_kept()?;
        }
        Ok(step)
    }

    /// Finds the keys of the rows that are kept.
    fn place_kept(&mut self) -> Result<()> {
        (self.members, self.index) = (Vec::new(), RowIndex::default());
        self.earliest.clear();
        self.timers.clear();
        let slots = (0..self.rows.slots() as u32).filter(|slot| self.rows.is_alive(*slot));
        for slots in slots.collect::<Vec<_>>().chunks(BATCH_ROWS) {
            let columns = self.rows.columns(slots)?;
            let groups = self.groups(&columns, slots.len())?;
            let starts = times(&columns[self.spec.start])?;
            for ((slot, group), start) in slots.iter().zip(groups).zip(starts.values()) {
                self.index.insert(&self.rows, *slot);
                self.link(*slot, group, *start);
            }
        }
        Ok(())
    }
}

impl Operator for SessionChanges {
    fn batch(&mut self, _: usize, change: Change, _: &mut Output) -> Result<Step> {
        self.came.push(change);
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.apply(out)?;
        self.due.close(close);
        let rows = self.complete();
        self.leaving.begin(rows);
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.rows.snapshot("rows", &self.keys, to)
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.due.restore(at);
        self.rows.restore("rows", from)?;
        self.place_kept()?;
        // They were sent.
        self.complete().into_iter().for_each(|(slot, _, _)| self.rows.remove(slot));
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let by_row = self.rows.len() * 24;
        let by_key = self.members.capacity() * 24 + self.earliest.len() * 64;
        let bytes = self.table.bytes() + self.rows.bytes() + self.index.bytes();
        (bytes + by_row + by_key, self.rows.len())
    }
}

#[cfg(test)]
mod tests;
