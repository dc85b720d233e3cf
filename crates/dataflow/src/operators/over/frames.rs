//! What is to be computed of some partitions: rows, and the frames around them.
//!
//! Pure. Rows of each partition stand one after the other in the list; over each frame, its steps are
//! those of one group. The rows before those that are computed are the ones that the widest frame needs.

use std::ops::Range;

use thalweg_plan::node::{Frame, OverNode};

use super::partition::{Entry, Numbers, Partition, Progress};
use super::steps::{Advance, Steps, shifts};

/// What is to be computed.
pub(super) struct Work<'a> {
    node: &'a OverNode,
    /// The frames of its functions.
    frames: Vec<Frame>,
    /// Does the list hold frames as a whole, or only what enters and leaves?
    has_frames: bool,
    /// The rows, each with its partition.
    pub(super) rows: Vec<(u32, &'a Entry)>,
    /// How to compute them.
    pub(super) steps: Steps,
    /// How far each partition is when all is done.
    pub(super) progress: Vec<(u32, Progress)>,
    /// The rows of the list that are computed.
    computed: Vec<u32>,
}

/// A step of a partition over a frame: the rows of the frame, and those that it computes.
type Step = (Range<usize>, Range<usize>);

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
    /// Returns no work; `groups` are there.
    pub(super) fn new(node: &'a OverNode, has_frames: bool, groups: usize) -> Work<'a> {
        let mut steps = Steps::new(node);
        steps.frames.iter_mut().for_each(|steps| steps.groups = groups);
        let (frames, rows, progress) = (node.frames(), Vec::new(), Vec::new());
        Work { node, frames, has_frames, rows, steps, progress, computed: Vec::new() }
    }

    /// Returns how many rows are computed.
    pub(super) fn count(&self) -> usize {
        self.computed.len()
    }

    /// Returns the rows that are computed, in order of time.
    pub(super) fn in_order(&self) -> Vec<u32> {
        let mut computed = self.computed.clone();
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
        let (entries, done) = (partition.entries(), partition.done());
        let mut ready = released.saturating_sub(ahead);
        let together = self.has_ranges() || self.node.has_copies();
        if let Some(next) = entries.get(ready).filter(|_| together) {
            // Rows of one time are computed together.
            ready = ready.min(partition.before(next.time));
        }
        if ready <= done {
            return;
        }
        let frames = 0..self.frames.len();
        let steps = frames.map(|frame| self.steps(partition, frame, ready)).collect::<Vec<_>>();
        let starts = steps.iter().map(|steps| steps.last().map_or(done, |step| step.0.start));
        let starts: Vec<usize> = starts.collect();
        let second = done - self.node.rows_back().min(done);
        // What leaves a frame is before the one of its last step.
        let bounded = std::iter::zip(&self.frames, &starts).filter(|(frame, _)| frame.is_bounded());
        let left = bounded.map(|(_, start)| *start).max().unwrap_or(0);
        let end = if self.has_frames { second } else { left.min(second) };
        let framed = (0..self.frames.len()).map(|frame| partition.framed(frame)).max();
        let first = (done - framed.unwrap_or(0)).min(end)..end;
        let places = Places { base: self.rows.len(), first: first.clone(), second };
        let needed = entries.range(first).chain(entries.range(second..released));
        self.rows.extend(needed.map(|entry| (group, entry)));
        for (frame, steps) in steps.into_iter().enumerate() {
            self.advance(partition, frame, steps, &places);
        }
        let numbers = self.number(partition, ready, &places);
        if self.node.has_copies() {
            self.number_copies(partition, ready, &places);
        }
        self.shift(done..ready, released, &places);
        self.computed.extend(places.range(done..ready));
        let framed = std::iter::zip(&self.frames, starts);
        let framed =
            framed.map(|(frame, start)| if frame.is_bounded() { ready - start } else { 0 });
        let framed = framed.collect::<Box<[usize]>>();
        self.progress.push((group, Progress { done: ready, framed, numbers }));
    }

    /// Are there frames of a time, or up to one?
    fn has_ranges(&self) -> bool {
        self.frames.iter().any(|frame| matches!(frame, Frame::Range(_)))
    }

    /// Adds the steps of a partition over a frame.
    fn advance(&mut self, partition: &Partition, frame: usize, steps: Vec<Step>, places: &Places) {
        let mut from = partition.done() - partition.framed(frame);
        for (wave, (frame_rows, rows)) in steps.into_iter().enumerate() {
            let leaving = places.range(from..frame_rows.start);
            from = frame_rows.start;
            self.steps.frames[frame].advances.push(Advance {
                group: partition.slot(),
                wave: wave as u32,
                leaving,
                entering: places.range(rows.clone()),
                frame: if self.has_frames { places.range(frame_rows) } else { 0..0 },
                rows: places.range(rows),
            });
        }
    }

    /// Returns the steps of a partition over a frame.
    fn steps(&self, partition: &Partition, frame: usize, ready: usize) -> Vec<Step> {
        let entries = partition.entries();
        let mut at = partition.done();
        let mut start = at - partition.framed(frame);
        let mut steps = Vec::new();
        while at < ready {
            let time = entries[at].time;
            let end = match self.frames[frame] {
                Frame::Rows(_) => at + 1,
                Frame::Range(_) => {
                    at + entries.range(at..ready).take_while(|entry| entry.time == time).count()
                }
            };
            match self.frames[frame] {
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
        let mut numbers = partition.numbers();
        let all = &mut self.steps.numbers;
        all.resize(self.rows.len(), Numbers::default());
        for row in partition.done()..ready {
            numbers.next(partition.entries()[row].time);
            all[places.of(row) as usize] = numbers;
        }
        numbers
    }

    /// Numbers the equal ones among the rows of a partition that are computed.
    fn number_copies(&mut self, partition: &Partition, ready: usize, places: &Places) {
        let (entries, done) = (partition.entries(), partition.done());
        let all = &mut self.steps.copies;
        all.resize(self.rows.len(), 0);
        let mut copy = 0;
        for row in done..ready {
            // Equal rows are of one time, and so none of them was computed before.
            let is_copy = row > done && entries[row - 1].code == entries[row].code;
            copy = if is_copy { copy + 1 } else { 1 };
            all[places.of(row) as usize] = copy;
        }
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
