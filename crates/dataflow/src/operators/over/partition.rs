//! The rows of one partition, in order of time.
//!
//! Invariants: first stand rows that were computed and are needed by later ones, then rows that wait;
//! each part is in order of time, ties by the whole row. The last `framed` of the computed ones are
//! those that running aggregates hold.

use std::collections::VecDeque;

use thalweg_plan::node::Ranking;

use crate::operators::coded_rows::Numbered;

/// Names of the numbers that are saved of a partition.
pub(super) const SAVED: [&str; 6] = ["done", "framed", "rows", "rank", "dense_rank", "last_time"];

/// A row by its time and code, and the number under which it is saved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) time: i64,
    pub(super) code: Box<[u8]>,
    pub(super) number: u64,
}

/// How rows of a partition are numbered so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// The number of the last row.
    rows: i64,
    /// Its rank.
    rank: i64,
    /// Its rank if none is left out.
    dense_rank: i64,
    /// Its time.
    time: i64,
}

impl Numbers {
    /// Returns the numbers of the last row before some others.
    pub(super) fn before(rows: usize, dense_rank: usize) -> Numbers {
        Numbers { rows: rows as i64, dense_rank: dense_rank as i64, ..Numbers::default() }
    }

    /// Goes on to a row of this time.
    pub(super) fn next(&mut self, time: i64) {
        self.step(self.rows > 0 && time == self.time);
        self.time = time;
    }

    /// Returns the number that a ranking gives the row.
    pub(super) fn of(&self, ranking: Ranking) -> i64 {
        match ranking {
            Ranking::RowNumber => self.rows,
            Ranking::Rank => self.rank,
            Ranking::DenseRank => self.dense_rank,
        }
    }

    /// Goes on to a row; does it share its place in the order with the one before?
    pub(super) fn step(&mut self, is_peer: bool) {
        self.rows += 1;
        if !is_peer {
            self.rank = self.rows;
            self.dense_rank += 1;
        }
    }
}

/// How far a partition was computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Rows that are computed, from the first kept one on.
    pub(super) done: usize,
    /// How many of the last of them running aggregates hold.
    pub(super) framed: usize,
    pub(super) numbers: Numbers,
}

/// The rows of one partition.
#[derive(Debug)]
pub(super) struct Partition {
    /// The group of its aggregates.
    slot: u32,
    entries: VecDeque<Entry>,
    done: usize,
    framed: usize,
    numbers: Numbers,
}

impl Partition {
    /// Returns no rows, with this group of aggregates.
    pub(super) fn new(slot: u32) -> Partition {
        let (entries, numbers) = (VecDeque::new(), Numbers::default());
        Partition { slot, entries, done: 0, framed: 0, numbers }
    }

    /// Returns the group of its aggregates.
    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    /// Returns the same rows with another group of aggregates.
    pub(super) fn with_slot(self, slot: u32) -> Partition {
        Partition { slot, ..self }
    }

    /// Are there rows that wait?
    pub(super) fn waits(&self) -> bool {
        self.done < self.entries.len()
    }

    /// Was no row computed yet?
    pub(super) fn is_new(&self) -> bool {
        self.numbers == Numbers::default()
    }

    /// Adds a row that waits.
    pub(super) fn insert(&mut self, entry: Entry) {
        let waiting = self.entries.range(self.done..);
        // Most rows come in order.
        let behind = waiting.rev().take_while(|known| **known > entry).count();
        self.entries.insert(self.entries.len() - behind, entry);
    }

    /// Returns the rows that are kept.
    pub(super) fn entries(&self) -> &VecDeque<Entry> {
        &self.entries
    }

    /// Returns how far the partition was computed.
    pub(super) fn progress(&self) -> Progress {
        Progress { done: self.done, framed: self.framed, numbers: self.numbers }
    }

    /// Returns how many rows are there before `until`.
    pub(super) fn before(&self, until: i64) -> usize {
        self.entries.partition_point(|entry| entry.time < until)
    }

    /// Returns the time of the first row from `until` on.
    pub(super) fn next_time(&self, until: i64) -> Option<i64> {
        self.entries.get(self.before(until)).map(|entry| entry.time)
    }

    /// Returns the rows that running aggregates hold, and that are further back than `length` from
    /// all rows that are still to be computed: those that wait, and those to come from `until` on.
    pub(super) fn outdated(
        &self,
        until: i64,
        length: i64,
    ) -> impl ExactSizeIterator<Item = &Entry> {
        let next = self.entries.get(self.done).map_or(until, |entry| entry.time.min(until));
        let from = self.done - self.framed;
        self.entries.range(from..self.before(next.saturating_sub(length)).clamp(from, self.done))
    }

    /// Goes on to `progress`; takes out the rows that neither running aggregates hold nor one of the
    /// next `back` rows looks back to.
    pub(super) fn advance(&mut self, progress: Progress, back: usize) -> Vec<Entry> {
        let kept = progress.framed.max(back).min(progress.done);
        (self.framed, self.numbers, self.done) = (progress.framed, progress.numbers, kept);
        self.entries.drain(..progress.done - kept).collect()
    }

    /// Returns the numbers and codes of the rows.
    pub(super) fn numbered(&self) -> impl Iterator<Item = Numbered<'_>> {
        self.entries.iter().map(|entry| (entry.number, &*entry.code))
    }

    /// Returns the numbers of [`SAVED`].
    pub(super) fn saved(&self) -> [i64; SAVED.len()] {
        let Numbers { rows, rank, dense_rank, time } = self.numbers;
        [self.done as i64, self.framed as i64, rows, rank, dense_rank, time]
    }

    /// Takes the numbers of [`SAVED`] back, when the rows are there.
    pub(super) fn restore(&mut self, saved: [i64; SAVED.len()]) {
        let [done, framed, rows, rank, dense_rank, time] = saved;
        self.done = usize::try_from(done).unwrap_or(0).min(self.entries.len());
        self.framed = usize::try_from(framed).unwrap_or(0).min(self.done);
        self.numbers = Numbers { rows, rank, dense_rank, time };
    }
}
