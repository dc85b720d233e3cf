//! Rows that changes reach, as they were and as they are: what is computed of each, and what that
//! changes.
//!
//! Invariants: a run is a part of a partition's order, before the changes or after them, with the rows
//! around it at which functions look; runs come in pairs, first what was, then what is.

use std::cmp::Ordering as Order;
use std::ops::Range;

use arrow::array::{Array, Int64Array, RecordBatch};
use arrow::row::Rows;
use thalweg_plan::node::{Frame, OverFunction, OverNode, Ranking};
use thalweg_types::Result;

use super::partition::Numbers;
use super::reach::{Net, Reach, Stretch, numbers};
use super::steps::{Advance, FrameSteps, Steps, shifts};
use super::values::Values;
use crate::operators::kept::Kept;
use crate::operators::ordering::Ordering;

/// Rows of one list that follow each other in their partition.
#[derive(Debug)]
struct Run {
    group: u32,
    /// The rows of the list.
    all: Range<usize>,
    /// Those of them that are computed.
    computed: Range<usize>,
    /// The numbers of the row before the first that is computed.
    before: Numbers,
}

/// Pairs of runs, over one list of rows.
#[derive(Debug)]
pub(super) struct Runs<'a> {
    node: &'a OverNode,
    reach: &'a Reach,
    ordering: &'a Ordering,
    /// The rows, each with its partition.
    pub(super) rows: Vec<(u32, &'a [u8])>,
    runs: Vec<Run>,
}

impl<'a> Runs<'a> {
    /// Returns no runs.
    pub(super) fn new(node: &'a OverNode, reach: &'a Reach, ordering: &'a Ordering) -> Runs<'a> {
        Runs { node, reach, ordering, rows: Vec::new(), runs: Vec::new() }
    }

    /// Returns how many rows the list has.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns how many runs there are.
    pub(super) fn count(&self) -> usize {
        self.runs.len()
    }

    /// Adds what changes reach in a partition, which is as it is after them.
    ///
    /// # Errors
    /// `Internal` if a code cannot be read.
    pub(super) fn add(&mut self, group: u32, kept: &'a Kept, nets: &'a [Net]) -> Result<()> {
        for stretch in self.reach.stretches(kept, nets, self.ordering)? {
            let rows = kept.range(&stretch.start, stretch.end.as_deref());
            let new: Vec<&[u8]> = rows.map(|row| &*row.code).collect();
            let old = undone(&new, nets.iter().filter(|net| stretch.contains(&net.code)));
            let first = old.first().into_iter().chain(new.first()).min();
            let first = first.copied().unwrap_or_default();
            let before = self.reach.before(kept, (&stretch, first), self.ordering)?;
            let behind = self.reach.behind(kept, &stretch);
            let numbers = self.numbers(kept, &stretch, new.len())?;
            for computed in [old, new] {
                let start = self.rows.len();
                let from = start + before.len();
                let to = from + computed.len();
                let rows = before.iter().chain(&computed).chain(&behind);
                self.rows.extend(rows.map(|code| (group, *code)));
                let all = start..self.rows.len();
                self.runs.push(Run { group, all, computed: from..to, before: numbers });
            }
        }
        Ok(())
    }

    /// Returns the numbers of the row before a stretch of `rows` rows.
    fn numbers(&self, kept: &Kept, stretch: &Stretch, rows: usize) -> Result<Numbers> {
        if stretch.end.is_some() {
            // Where rows are numbered, a change reaches all behind it.
            return Ok(Numbers::default());
        }
        let is_dense =
            |function: &OverFunction| matches!(function, OverFunction::Number(Ranking::DenseRank));
        let (mut keys, mut last) = (0, None);
        if self.node.functions.iter().any(is_dense) {
            for row in kept.range(&[], Some(&stretch.start)) {
                let key = Some(self.ordering.key_of(&row.code)?);
                keys += usize::from(std::mem::replace(&mut last, key) != key);
            }
        }
        Ok(Numbers::before(kept.len() - rows, keys))
    }

    /// Returns the rows of the list that are computed, run by run.
    pub(super) fn computed(&self) -> Vec<u32> {
        self.runs
            .iter()
            .flat_map(|run| run.computed.start as u32..run.computed.end as u32)
            .collect()
    }

    /// Returns the steps; `rows` is the list. Over frames of which `values` keeps totals by partition, of
    /// which there are `partitions`, both runs of a pair are of the group of theirs, whose totals hold the
    /// rows of the first one.
    ///
    /// # Errors
    /// `Internal` if a code cannot be read.
    pub(super) fn steps(
        &self,
        rows: &RecordBatch,
        values: &Values,
        partitions: usize,
    ) -> Result<Steps> {
        let mut steps = Steps::new(self.node);
        for (at, frame) in self.node.frames().into_iter().enumerate() {
            let goes_back = values.stays(at);
            steps.frames[at] = FrameSteps {
                advances: self.frame_steps(frame, rows, goes_back)?,
                groups: if goes_back { partitions } else { self.count() },
            };
        }
        for run in &self.runs {
            self.number(run, &mut steps)?;
            self.number_copies(run, &mut steps);
            self.shift(run, &mut steps);
        }
        Ok(steps)
    }

    /// Returns the steps over a frame.
    fn frame_steps(
        &self,
        frame: Frame,
        rows: &RecordBatch,
        goes_back: bool,
    ) -> Result<Vec<Advance>> {
        let keys = match frame {
            Frame::Range(Some(_)) => Some(numbers(rows.column(self.node.order[0].column))?),
            _ => None,
        };
        let mut all = Vec::new();
        for (pair, runs) in self.runs.chunks_exact(2).enumerate() {
            for (is_new, run) in [false, true].into_iter().zip(runs) {
                let mut advances = self.advances(run, (frame, keys.as_ref()), goes_back)?;
                let number = pair * 2 + usize::from(is_new);
                advances.iter_mut().for_each(|advance| advance.group = number as u32);
                if goes_back {
                    // What was leaves before what is enters, and both leave before that.
                    let first = if is_new { runs[0].computed.len() as u32 + 1 } else { 0 };
                    go_from(&mut advances, run.group, first, &runs[0].computed);
                }
                all.extend(advances);
            }
        }
        Ok(all)
    }

    /// Returns the steps of a run over a frame. In the first one all of it enters, unless aggregates go
    /// back: then what is before the run is in them.
    fn advances(
        &self,
        run: &Run,
        (frame, keys): (Frame, Option<&Int64Array>),
        goes_back: bool,
    ) -> Result<Vec<Advance>> {
        let mut advances: Vec<Advance> = Vec::new();
        let (mut at, mut start) = (run.computed.start, run.all.start);
        while at < run.computed.end {
            let end = match frame {
                Frame::Rows(_) => at + 1,
                Frame::Range(_) => self.peers_end(at, run)?,
            };
            let from = match (frame, keys) {
                (Frame::Rows(Some(rows)), _) => start.max(at.saturating_sub(rows)),
                (Frame::Range(Some(length)), Some(keys)) => {
                    (start..at).find(|other| self.is_near(keys, *other, at, length)).unwrap_or(at)
                }
                _ => start,
            };
            let is_first = advances.is_empty();
            advances.push(Advance {
                group: 0,
                wave: advances.len() as u32,
                leaving: if is_first { 0..0 } else { range(start..from) },
                entering: range(if is_first && !goes_back { from..end } else { at..end }),
                frame: range(from..end),
                rows: range(at..end),
            });
            (at, start) = (end, from);
        }
        Ok(advances)
    }

    /// Returns where the rows end whose sort keys are that of a row.
    fn peers_end(&self, at: usize, run: &Run) -> Result<usize> {
        let mut end = at + 1;
        while end < run.computed.end && self.is_peer(at, end)? {
            end += 1;
        }
        Ok(end)
    }

    fn is_peer(&self, row: usize, other: usize) -> Result<bool> {
        let key = |row: usize| self.ordering.key_of(self.rows[row].1);
        Ok(key(row)? == key(other)?)
    }

    /// Is a row before another one in its frame? Without a sort key those are that have none either.
    fn is_near(&self, keys: &Int64Array, row: usize, of: usize, length: i64) -> bool {
        match (keys.is_valid(row), keys.is_valid(of)) {
            (true, true) if self.node.order[0].descending => {
                keys.value(row) <= keys.value(of).saturating_add(length)
            }
            (true, true) => keys.value(row) >= keys.value(of).saturating_sub(length),
            (row, of) => row == of,
        }
    }

    /// Numbers the rows of a run.
    fn number(&self, run: &Run, steps: &mut Steps) -> Result<()> {
        let rankings = self.node.functions.iter().filter_map(|function| match function {
            OverFunction::Number(ranking) => Some(*ranking),
            OverFunction::Aggregate { .. } | OverFunction::Copy | OverFunction::Shift { .. } => {
                None
            }
        });
        let by_peers = rankings.clone().any(|ranking| ranking != Ranking::RowNumber);
        if rankings.count() == 0 {
            return Ok(());
        }
        let mut numbers = run.before;
        steps.numbers.resize(self.rows.len(), numbers);
        for row in run.computed.clone() {
            numbers.step(by_peers && row > run.computed.start && self.is_peer(row - 1, row)?);
            steps.numbers[row] = numbers;
        }
        Ok(())
    }

    /// Numbers the equal ones among the rows of a run: all that are there of any are in it.
    fn number_copies(&self, run: &Run, steps: &mut Steps) {
        if !self.node.has_copies() {
            return;
        }
        let mut copy = 0;
        steps.copies.resize(self.rows.len(), 0);
        for row in run.computed.clone() {
            let is_copy = row > run.computed.start && self.rows[row - 1].1 == self.rows[row].1;
            copy = if is_copy { copy + 1 } else { 1 };
            steps.copies[row] = copy;
        }
    }

    /// Finds the rows that functions look at beside the frame.
    fn shift(&self, run: &Run, steps: &mut Steps) {
        for (by, shifted) in shifts(self.node).zip(&mut steps.shifted) {
            shifted.resize(self.rows.len(), None);
            for row in run.computed.clone() {
                let other = row.checked_add_signed(by).filter(|other| run.all.contains(other));
                shifted[row] = other.map(|other| other as u32);
            }
        }
    }

    /// Returns what the values of the rows that are computed change: which of them are taken back
    /// (weight −1), and behind those which come (+1).
    pub(super) fn differ(&self, values: &Rows) -> (Vec<u32>, Vec<i64>) {
        let (mut gone, mut new, mut from) = (Vec::new(), Vec::new(), 0);
        for runs in self.runs.chunks_exact(2) {
            let mut place = 0..;
            let mut rows = |run: &Run| -> Vec<(&[u8], &[u8], u32)> {
                let places = place.by_ref().take(run.computed.len());
                let rows = self.rows[run.computed.clone()].iter().zip(places);
                let rows = rows.map(|((_, code), place)| {
                    let place = from + place;
                    (*code, values.row(place).data(), place as u32)
                });
                let mut rows: Vec<_> = rows.collect();
                // Rows that are equal may have changed places.
                rows.sort_unstable();
                rows
            };
            let (before, after) = (rows(&runs[0]), rows(&runs[1]));
            from += before.len() + after.len();
            differ(&before, &after, &mut gone, &mut new);
        }
        let weights = std::iter::repeat_n(-1, gone.len()).chain(std::iter::repeat_n(1, new.len()));
        let weights = weights.collect();
        gone.extend(new);
        (gone, weights)
    }
}

fn range(rows: Range<usize>) -> Range<u32> {
    rows.start as u32..rows.end as u32
}

/// Gives steps to a group, from the wave `first` on; with the first of them `gone` leaves.
fn go_from(advances: &mut Vec<Advance>, group: u32, first: u32, gone: &Range<usize>) {
    if advances.is_empty() && !gone.is_empty() {
        let (wave, none) = (0, 0..0);
        let (leaving, entering, frame) = (none.clone(), none.clone(), none.clone());
        advances.push(Advance { group, wave, leaving, entering, frame, rows: none });
    }
    for advance in advances.iter_mut() {
        (advance.group, advance.wave) = (group, advance.wave + first);
    }
    if let Some(advance) = advances.first_mut() {
        advance.leaving = range(gone.clone());
    }
}

/// Returns rows as they were before changes, all in order.
fn undone<'a>(rows: &[&'a [u8]], nets: impl Iterator<Item = &'a Net>) -> Vec<&'a [u8]> {
    let (mut before, mut at) = (Vec::new(), 0);
    for net in nets {
        let less = rows[at..].partition_point(|code| **code < *net.code);
        before.extend_from_slice(&rows[at..at + less]);
        at += less;
        let there = rows[at..].iter().take_while(|code| ***code == *net.code).count();
        at += there;
        let count = there as i64 - net.weight;
        before.extend((0..count).map(|_| &*net.code));
    }
    before.extend_from_slice(&rows[at..]);
    before
}

/// Adds the places of rows that are only in `before` to `gone`, of those that are only in `after` to
/// `new`; both are in order of row and value.
fn differ(
    before: &[(&[u8], &[u8], u32)],
    after: &[(&[u8], &[u8], u32)],
    gone: &mut Vec<u32>,
    new: &mut Vec<u32>,
) {
    let (mut old, mut now) = (before.iter().peekable(), after.iter().peekable());
    loop {
        let order = match (old.peek(), now.peek()) {
            (None, None) => return,
            (Some(_), None) => Order::Less,
            (None, Some(_)) => Order::Greater,
            (Some(old), Some(now)) => (old.0, old.1).cmp(&(now.0, now.1)),
        };
        if order.is_le() {
            gone.extend(old.next().filter(|_| order.is_lt()).map(|row| row.2));
        }
        if order.is_ge() {
            new.extend(now.next().filter(|_| order.is_gt()).map(|row| row.2));
        }
    }
}
