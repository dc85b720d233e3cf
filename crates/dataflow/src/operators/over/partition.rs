//! The rows of one partition, in order of time.
//!
//! Invariants: first stand rows that were computed and are needed by later ones, then rows that wait;
//! each part is in order of time, ties by the whole row. For each frame of the functions, the last
//! `framed` of the computed ones are those that its running aggregates hold.

use std::collections::VecDeque;

use thalweg_plan::node::Ranking;
use thalweg_types::{Error, Result};

use crate::operators::coded_rows::Numbered;

/// Returns the names of the numbers that are saved of a partition, given how many frames there are.
pub(super) fn saved_names(frames: usize) -> Vec<String> {
    let names = ["done", "framed", "rows", "rank", "dense_rank", "last_time"];
    let names = names.into_iter().map(str::to_owned);
    // What one frame needs has no number, as it had none before there were several.
    names.chain((1..frames).map(|frame| format!("framed_{frame}"))).collect()
}

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
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Rows that are computed, from the first kept one on.
    pub(super) done: usize,
    /// How many of the last of them running aggregates hold, by frame.
    pub(super) framed: Box<[usize]>,
    pub(super) numbers: Numbers,
}

/// The rows of one partition.
#[derive(Debug)]
pub(super) struct Partition {
    /// The group of its aggregates.
    slot: u32,
    entries: VecDeque<Entry>,
    done: usize,
    /// By frame; none stands for 0 of each.
    framed: Box<[usize]>,
    numbers: Numbers,
}

impl Partition {
    /// Returns no rows, with this group of aggregates.
    pub(super) fn new(slot: u32) -> Partition {
        let (entries, numbers) = (VecDeque::new(), Numbers::default());
        Partition { slot, entries, done: 0, framed: Box::default(), numbers }
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

    /// Returns how many rows are computed, from the first kept one on.
    pub(super) fn done(&self) -> usize {
        self.done
    }

    /// Returns how many of the last of them the running aggregates of a frame hold.
    pub(super) fn framed(&self, frame: usize) -> usize {
        self.framed.get(frame).copied().unwrap_or(0)
    }

    /// Returns how the last of them is numbered.
    pub(super) fn numbers(&self) -> Numbers {
        self.numbers
    }

    /// Returns how many rows are there before `until`.
    pub(super) fn before(&self, until: i64) -> usize {
        self.entries.partition_point(|entry| entry.time < until)
    }

    /// Returns the time of the first row from `until` on.
    pub(super) fn next_time(&self, until: i64) -> Option<i64> {
        self.entries.get(self.before(until)).map(|entry| entry.time)
    }

    /// Returns the rows that the running aggregates of a frame hold, and that are further back than
    /// `length` from all rows that are still to be computed: those that wait, and those to come from
    /// `until` on.
    pub(super) fn outdated(
        &self,
        frame: usize,
        until: i64,
        length: i64,
    ) -> impl ExactSizeIterator<Item = &Entry> {
        let next = self.entries.get(self.done).map_or(until, |entry| entry.time.min(until));
        let from = self.done - self.framed(frame);
        self.entries.range(from..self.before(next.saturating_sub(length)).clamp(from, self.done))
    }

    /// Goes on to `progress`; takes out the rows that neither running aggregates hold nor one of the
    /// next `back` rows looks back to.
    pub(super) fn advance(&mut self, progress: Progress, back: usize) -> Vec<Entry> {
        let framed = progress.framed.iter().copied().max().unwrap_or(0);
        let kept = framed.max(back).min(progress.done);
        (self.framed, self.numbers, self.done) = (progress.framed, progress.numbers, kept);
        self.entries.drain(..progress.done - kept).collect()
    }

    /// Returns the numbers and codes of the rows.
    pub(super) fn numbered(&self) -> impl Iterator<Item = Numbered<'_>> {
        self.entries.iter().map(|entry| (entry.number, &*entry.code))
    }

    /// Returns the numbers of [`saved_names`].
    pub(super) fn saved(&self, frames: usize) -> Vec<i64> {
        let Numbers { rows, rank, dense_rank, time } = self.numbers;
        let framed = |frame| self.framed(frame) as i64;
        let saved = [self.done as i64, framed(0), rows, rank, dense_rank, time];
        saved.into_iter().chain((1..frames).map(framed)).collect()
    }

    /// Takes the numbers of [`saved_names`] back, when the rows are there.
    ///
    /// # Errors
    /// `State` if there are fewer.
    pub(super) fn restore(&mut self, frames: usize, saved: &[i64]) -> Result<()> {
        let &[done, framed, rows, rank, dense_rank, time, ref others @ ..] = saved else {
            return Err(Error::state("a partition of an OVER window lacks numbers"));
        };
        let count = |saved: i64| usize::try_from(saved).unwrap_or(0);
        self.done = count(done).min(self.entries.len());
        let framed = std::iter::once(framed).chain(others.iter().copied()).take(frames);
        self.framed = framed.map(|framed| count(framed).min(self.done)).collect();
        self.numbers = Numbers { rows, rank, dense_rank, time };
        Ok(())
    }
}
