//! How long a running aggregation keeps groups to which no row comes: their time-to-live.
//!
//! Invariants: a group goes without a retraction, and from the state at the next snapshot; a row that
//! comes later begins it anew. What takes back rows that a group has no more is left out and counted.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{Int64Array, UInt32Array};
use thalweg_state::StateWriter;
use thalweg_types::{Change, EventTime, Groups, Result};

use crate::operator::Output;
use crate::operators::group_set::GroupSet;
use crate::operators::idle::Idle;
use crate::operators::keyed::{EntryTable, Keyed, Saved};

/// When groups were written, and what of those that are forgotten is not saved yet.
pub(super) struct Lifetime {
    idle: Idle,
    /// Groups to which rows came in the open epoch.
    written: GroupSet,
    /// The clock at the last close.
    clock: EventTime,
    /// What changed before groups got new numbers, oldest first: for each table of the state.
    held: Vec<Vec<Saved>>,
}

impl Lifetime {
    pub(super) fn new(ttl: Duration) -> Lifetime {
        let (written, held) = Default::default();
        Lifetime { idle: Idle::new(ttl), written, clock: EventTime::MIN, held }
    }

    /// Leaves out what takes back more rows than groups have; of `groups`, those of the rows that are
    /// left stay. Groups from `total` on are new.
    pub(super) fn known(
        &mut self,
        (keyed, total): (&mut Keyed, usize),
        change: Change,
        groups: &mut Vec<u32>,
        out: &mut Output,
    ) -> Result<Change> {
        self.written.extend(groups);
        if change.weights.is_none() {
            return Ok(change);
        }
        let mut left: BTreeMap<u32, i64> = groups.iter().map(|group| (*group, 0)).collect();
        let known: Vec<u32> = left.keys().copied().filter(|at| (*at as usize) < total).collect();
        left.extend(known.iter().copied().zip(keyed.rows_left(Groups::At(&known))?));
        let (mut rows, mut weights, mut forgotten) = (Vec::new(), Vec::new(), 0);
        for (row, group) in groups.iter().enumerate() {
            let left = left.entry(*group).or_default();
            let weight = change.weight(row).max(-*left);
            forgotten += weight - change.weight(row);
            *left += weight;
            if weight != 0 {
                rows.push(row as u32);
                weights.push(weight);
            }
        }
        if forgotten == 0 {
            return Ok(change);
        }
        out.count_forgotten(forgotten as usize);
        *groups = rows.iter().map(|row| groups[*row as usize]).collect();
        Change::weighted(change.take(&UInt32Array::from(rows))?.rows, Int64Array::from(weights))
    }

    /// Notes at a close which groups were written.
    pub(super) fn close(&mut self, clock: EventTime) {
        self.clock = clock;
        self.idle.write(&self.written.take(), clock);
    }

    /// Notes that all groups were restored.
    pub(super) fn restore(&mut self, groups: &[u32], clock: EventTime) {
        self.idle.write(groups, clock);
    }

    /// Returns the groups whose time is over.
    pub(super) fn over(&mut self) -> Vec<u32> {
        self.idle.take(self.clock)
    }

    /// Keeps what is to be saved, in the order of the calls.
    pub(super) fn hold(&mut self, saved: [Vec<Saved>; 2]) {
        self.held.extend(saved);
    }

    /// Hands over what was kept; a whole state says it all anyway.
    pub(super) fn save(&mut self, tables: &[EntryTable], to: &mut StateWriter) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        match to.is_full() {
            true => Ok(()),
            false => held.into_iter().try_for_each(|saved| Saved::write(saved, tables, to)),
        }
    }

    /// Gives groups new numbers: `old[new]` is what one was called.
    pub(super) fn renumber(&mut self, old: &[u32]) {
        self.idle.renumber(old);
    }

    /// Returns when a group is forgotten next.
    pub(super) fn wake(&self) -> Option<EventTime> {
        self.idle.wake()
    }

    /// Returns about how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        let held = self.held.iter().flatten().map(Saved::bytes);
        self.idle.bytes() + self.written.bytes() + held.sum::<usize>()
    }
}
