//! What waits for its time: rows for the watermark, partitions for the end of a search.
//!
//! Invariants: a run is in order; each run is more than twice as long as the next one, so that there are
//! few and an entry is merged a few times at most.

use std::collections::VecDeque;

/// Something of a group that waits for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) time: i64,
    pub(super) group: u32,
    /// The row that waits; 0 for a partition.
    pub(super) slot: u32,
}

/// Entries by their time.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    runs: Vec<VecDeque<Entry>>,
    /// What came since the last look.
    fresh: Vec<Entry>,
}

impl Agenda {
    /// Adds an entry.
    pub(super) fn push(&mut self, entry: Entry) {
        self.fresh.push(entry);
    }

    /// Takes out all entries before a time, in no order.
    pub(super) fn take(&mut self, until: i64) -> Vec<Entry> {
        self.settle();
        let mut taken = Vec::new();
        for run in &mut self.runs {
            let due = run.partition_point(|entry| entry.time < until);
            taken.extend(run.drain(..due));
        }
        self.runs.retain(|run| !run.is_empty());
        taken
    }

    /// Returns the earliest time.
    pub(super) fn next(&self) -> Option<i64> {
        let fronts = self.runs.iter().filter_map(|run| run.front());
        fronts.chain(&self.fresh).map(|entry| entry.time).min()
    }

    /// Puts what is fresh into the runs.
    fn settle(&mut self) {
        if self.fresh.is_empty() {
            return;
        }
        let mut run = std::mem::take(&mut self.fresh);
        // Most come in order, and runs are: a stable sort merges them.
        run.sort();
        while let Some(before) = self.runs.pop_if(|before| before.len() <= 2 * run.len()) {
            let mut merged: Vec<Entry> = before.into();
            merged.append(&mut run);
            merged.sort();
            run = merged;
        }
        self.runs.push(run.into());
    }

    /// Returns the group of each entry.
    pub(super) fn groups(&self) -> impl Iterator<Item = u32> + '_ {
        self.runs.iter().flatten().chain(&self.fresh).map(|entry| entry.group)
    }

    /// Gives groups new numbers, which are in the order of the old ones.
    pub(super) fn renumber(&mut self, new: impl Fn(u32) -> u32) {
        let entries = self.runs.iter_mut().flatten().chain(&mut self.fresh);
        entries.for_each(|entry| entry.group = new(entry.group));
    }

    /// Returns about how many bytes there are.
    pub(super) fn bytes(&self) -> usize {
        let runs = self.runs.iter().map(VecDeque::capacity).sum::<usize>();
        (runs + self.fresh.capacity()) * size_of::<Entry>()
    }
}
