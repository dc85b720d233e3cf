//! What is to be computed of some partitions: rows, and the frames around them.
//!
//! Pure. Rows of each partition stand one after the other in the list; its steps are those of one group.

use std::ops::Range;

use thalweg_plan::node::{Frame, OverNode};

use super::partition::{Entry, Numbers, Partition, Progress};
use super::steps::{Advance, Steps, shifts};

/// What is to be computed.
pub(super) struct Work<'a> {
    node: &'a OverNode,
    /// Does the list hold frames as a whole, or only what enters and leaves?
    has_frames: bool,
    /// The rows, each with its partition.
    pub(super) rows: Vec<(u32, &'a Entry)>,
    /// How to compute them.
    pub(super) steps: Steps,
    /// How far each partition is when all is done.
    pub(super) progress: Vec<(u32, Progress)>,
    count: usize,
}

/// Where rows of a partition stand in the list: some from `first` on, and all from `second` on.
struct Places {
    base: usize,
    first: Range<usize>,
    second: usize,
}

impl Places {
    fn of(&self, row: usize) -> u32 {
        let place = match row.checked_sub(self.second) {
            Some(behind) => self.base + self.first.len() + behind,
            None => self.base + row - self.first.start,
        };
        place as u32
    }

    fn range(&self, rows: Range<usize>) -> Range<u32> {
        match rows.is_empty() {
            true => 0..0,
            false => self.of(rows.start)..self.of(rows.end - 1) + 1,
        }
    }
}

impl<'a> Work<'a> {
    /// Returns no work.
    pub(super) fn new(node: &'a OverNode, has_frames: bool) -> Work<'a> {
        Work {
            node,
            has_frames,
            rows: Vec::new(),
            steps: Steps::new(node),
            progress: Vec::new(),
            count: 0,
        }
    }

    /// Returns how many rows are computed.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Returns the rows that are computed, in order of time.
    pub(super) fn in_order(&self) -> Vec<u32> {
        let computed = self.steps.advances.iter().flat_map(|advance| advance.rows.clone());
        let mut computed: Vec<u32> = computed.collect();
        computed.sort_by_key(|row| (self.rows[*row as usize].1.time, *row));
        computed
    }

    /// Adds a partition, of which `released` rows are there for good; each needs `ahead` others
    /// behind it.
    pub(super) fn add(
        &mut self,
        group: u32,
        partition: &'a Partition,
        released: usize,
        ahead: usize,
    ) {
        let entries = partition.entries();
        let before = partition.progress();
        let mut ready = released.saturating_sub(ahead);
        if let (Frame::Range(_), Some(next)) = (self.node.frame, entries.get(ready)) {
            // Rows of one time are computed together.
            ready = ready.min(partition.before(next.time));
        }
        if ready <= before.done {
            return;
        }
        let steps = self.steps(partition, ready);
        let start = steps.last().map_or(before.done, |step| step.0.start);
        let second = before.done - self.node.rows_back().min(before.done);
        let end = if self.has_frames { second } else { start.min(second) };
        let first = (before.done - before.framed).min(end)..end;
        let places = Places { base: self.rows.len(), first: first.clone(), second };
        let needed = entries.range(first).chain(entries.range(second..released));
        self.rows.extend(needed.map(|entry| (group, entry)));
        let mut from = before.done - before.framed;
        for (wave, (frame, rows)) in steps.into_iter().enumerate() {
            self.steps.advances.push(Advance {
                group: partition.slot(),
                wave: wave as u32,
                leaving: places.range(from..frame.start),
                entering: places.range(rows.clone()),
                frame: if self.has_frames { places.range(frame.clone()) } else { 0..0 },
                rows: places.range(rows),
            });
            from = frame.start;
        }
        let numbers = self.number(partition, ready, &places);
        self.shift(before.done..ready, released, &places);
        self.count += ready - before.done;
        let framed = if self.is_bounded() { ready - start } else { 0 };
        self.progress.push((group, Progress { done: ready, framed, numbers }));
    }

    fn is_bounded(&self) -> bool {
        self.node.is_bounded() && self.node.calls().next().is_some()
    }

    /// Returns for each step of a partition its frame, and the rows that it computes.
    fn steps(&self, partition: &Partition, ready: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let (entries, before) = (partition.entries(), partition.progress());
        let (mut start, mut at) = (before.done - before.framed, before.done);
        let mut steps = Vec::new();
        while at < ready {
            let time = entries[at].time;
            let end = match self.node.frame {
                Frame::Rows(_) => at + 1,
                Frame::Range(_) => {
                    at + entries.range(at..ready).take_while(|entry| entry.time == time).count()
                }
            };
            match self.node.frame {
                _ if !self.is_bounded() => {}
                Frame::Rows(Some(rows)) => start = start.max(at.saturating_sub(rows)),
                Frame::Range(Some(length)) => {
                    let earliest = time.saturating_sub(length);
                    let old = entries.range(start..end).take_while(|e| e.time < earliest);
                    start += old.count();
                }
                Frame::Rows(None) | Frame::Range(None) => {}
            }
            steps.push((start..end, at..end));
            at = end;
        }
        steps
    }

    /// Numbers the rows of a partition that are computed; returns how far that came.
    fn number(&mut self, partition: &Partition, ready: usize, places: &Places) -> Numbers {
        let before = partition.progress();
        let mut numbers = before.numbers;
        let all = &mut self.steps.numbers;
        all.resize(self.rows.len(), Numbers::default());
        for row in before.done..ready {
            numbers.next(partition.entries()[row].time);
            all[places.of(row) as usize] = numbers;
        }
        numbers
    }

    /// Finds the rows that functions look at beside the frame.
    fn shift(&mut self, done: Range<usize>, released: usize, places: &Places) {
        for (by, shifted) in shifts(self.node).zip(&mut self.steps.shifted) {
            shifted.resize(self.rows.len(), None);
            for row in done.clone() {
                let other = row.checked_add_signed(by).filter(|other| *other < released);
                shifted[places.of(row) as usize] = other.map(|other| places.of(other));
            }
        }
    }
}
