//! Joins whose result is updated: an input takes rows back, or a row is put out by itself until it
//! matches something.
//!
//! An epoch's changes are collected and netted, and applied at its close in an order that nets the
//! result, too: with L = kept + gone and L' = kept + new, and the same for R,
//!
//! ```text
//! L'⋈R' − L⋈R = − gone(L)⋈R − kept(L)⋈gone(R) + kept(L)⋈new(R) + new(L)⋈R'
//! ```
//!
//! has no pair twice, since no row both goes and comes. A row that is put out by itself depends on
//! how many rows it matches: counted for each row if there is a condition, else by its key. Such a row
//! goes before its first pair comes; those that match nothing any more come out at the end.
//!
//! Invariants: everything is sent in `close`; each retraction is of a row that was sent before, and
//! nothing that takes the place of a row is sent before the row is taken back.

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use thalweg_plan::join::Alone;
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::fault::is_planted;
use thalweg_types::{Change, EventTime, Moment, Result};

use super::super::batches::{BATCH_ROWS, batch, never_came};
use super::super::group_set::GroupSet;
use super::TABLES;
use super::keys::{Keys, Split};
use super::lifetime::Lifetimes;
use super::pairs::{Pairs, Probe, Shape};
use super::side::{NONE, Needs, Side};
use crate::operator::{Close, Operator, Output, Step};
use crate::operators::netted::Delta;

/// The four passes of a close: a side, and whether its rows come or go.
const PASSES: [(usize, i64); 4] = [(0, -1), (1, -1), (1, 1), (0, 1)];

/// Joins the changes of an epoch when it closes.
pub(super) struct UpdatingJoin {
    shape: Shape,
    keys: Keys,
    sides: [Side; 2],
    /// When rows of a side are put out by themselves.
    alone: [Option<Alone>; 2],
    matches: [Matches; 2],
    lifetimes: Lifetimes,
    /// What came in the open epoch.
    came: [Vec<Change>; 2],
    moment: Moment,
    closing: Option<Closing>,
}

/// How many rows of the other side those of a side match, where that decides something.
#[derive(Default)]
struct Matches {
    /// By slot, if there is a condition.
    by_row: Vec<u32>,
    /// Slots whose number changed in this close, and what it was.
    touched: GroupSet,
    before: Vec<(u32, u32)>,
    /// Slots of rows that came in this close.
    fresh: GroupSet,
}

/// A close under way.
struct Closing {
    deltas: [Delta; 2],
    groups: [[Vec<u32>; 2]; 2],
    /// Slots of the rows that go.
    gone: [Vec<u32>; 2],
    /// Of the rows that go, those that were out by themselves.
    was_alone: [Vec<u32>; 2],
    /// Groups that changed, in order, and how many rows each side had.
    groups_before: Vec<(u32, [u32; 2])>,
    /// Slots of the rows that came, and their groups.
    fresh: [Vec<(u32, u32)>; 2],
    pass: usize,
    search: Option<Search>,
    /// Rows that come out by themselves or go, with their weights.
    alone: [Vec<(u32, i64)>; 2],
    /// Rows that came, can match nothing and come out by themselves.
    unmatchable: [Option<RecordBatch>; 2],
}

/// Items of a pass look for the rows of the other side.
struct Search {
    probe: Probe,
    /// Matches of each item.
    counts: Vec<u32>,
    /// Where items that come are kept.
    slots: Vec<u32>,
}

impl UpdatingJoin {
    /// Returns the operator of a join.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub(super) fn new(shape: Shape) -> Result<UpdatingJoin> {
        let keys = Keys::new(&shape.node, &shape.inputs)?;
        let kind = shape.node.kind;
        let needs = Needs { removal: true, search: true, counts: true };
        let side = |at: usize| Side::new(shape.inputs[at].clone(), needs);
        Ok(UpdatingJoin {
            sides: [side(0)?, side(1)?],
            alone: [kind.left_alone(), kind.right_alone()],
            matches: Default::default(),
            lifetimes: Lifetimes::new(shape.node.ttl),
            came: Default::default(),
            moment: super::BEFORE_ALL,
            closing: None,
            keys,
            shape,
        })
    }

    /// Are the matches of each row of a side counted by themselves?
    fn counts_rows(&self, side: usize) -> bool {
        self.alone[side].is_some() && self.shape.node.condition.is_some()
    }

    /// Returns how many rows the row in `slot` of `side`, of this group, matches now; of one that was
    /// forgotten, how many it may match.
    fn matched(&self, side: usize, slot: u32, group: u32) -> u32 {
        match self.counts_rows(side) && slot != NONE {
            true => self.matches[side].by_row[slot as usize],
            false => self.sides[1 - side].count(group),
        }
    }

    /// Nets what came, and looks up what goes, before anything changes.
    fn begin(&mut self, out: &mut Output) -> Result<Closing> {
        let came = std::mem::take(&mut self.came);
        let mut delta = |side: usize| Delta::of(&came[side], &mut self.sides[side].rows);
        let (left, right) = (delta(0)?, delta(1)?);
        let ((left, left_alone), (right, right_alone)) =
            (self.matchable(0, left, out)?, self.matchable(1, right, out)?);
        let deltas = [left, right];
        let mut groups: [[Vec<u32>; 2]; 2] = Default::default();
        for (side, delta) in deltas.iter().enumerate() {
            for (at, rows) in [&delta.gone, &delta.new].into_iter().enumerate() {
                self.keys.intern(side, rows, &mut self.sides, &mut groups[side][at])?;
            }
        }
        let mut seen = GroupSet::default();
        groups.iter().flatten().for_each(|groups| seen.extend(groups));
        let count = |group: u32| [0, 1].map(|side| self.sides[side].count(group));
        let mut seen = seen.take();
        seen.sort_unstable();
        let groups_before = seen.into_iter().map(|group| (group, count(group))).collect();
        let (mut gone, mut was_alone) = <([Vec<u32>; 2], [Vec<u32>; 2])>::default();
        for side in 0..2 {
            let slots = self.find(side, &deltas[side].gone)?;
            if let Some(alone) = self.alone[side].filter(|_| !is_planted("kept-alone")) {
                let rows = slots.iter().zip(&groups[side][0]).enumerate();
                let was = rows
                    .filter(|(_, (slot, group))| alone.is_out(self.matched(side, **slot, **group)));
                was_alone[side] = was.map(|(row, _)| row as u32).collect();
            }
            gone[side] = slots;
        }
        Ok(Closing {
            deltas,
            groups,
            gone,
            was_alone,
            groups_before,
            fresh: Default::default(),
            pass: 0,
            search: None,
            alone: Default::default(),
            unmatchable: [left_alone, right_alone],
        })
    }

    /// Leaves what can match something. Of the rest, rows that were out by themselves are taken back,
    /// and those that are to come out are returned.
    fn matchable(
        &self,
        side: usize,
        delta: Delta,
        out: &mut Output,
    ) -> Result<(Delta, Option<RecordBatch>)> {
        let split = |rows: RecordBatch| -> Result<(RecordBatch, Option<RecordBatch>)> {
            let Split { can_match, cannot } = self.keys.split(side, Change::append(rows), &[])?;
            let comes_out = self.alone[side] == Some(Alone::Unmatched);
            Ok((can_match.rows, cannot.filter(|_| comes_out).map(|cannot| cannot.rows)))
        };
        let ((gone, gone_alone), (new, new_alone)) = (split(delta.gone)?, split(delta.new)?);
        if let Some(rows) = gone_alone {
            self.send_alone(side, rows.columns(), &vec![-1; rows.num_rows()], out)?;
        }
        Ok((Delta { gone, new }, new_alone))
    }

    /// Finds the slots of rows; equal rows have different slots, and those whose time was over none.
    fn find(&mut self, side: usize, rows: &RecordBatch) -> Result<Vec<u32>> {
        let all: Vec<u32> = (0..rows.num_rows() as u32).collect();
        let encoded = self.sides[side].rows.encode(rows.columns(), &all)?;
        let mut slots = Vec::with_capacity(all.len());
        for row in 0..all.len() {
            match self.sides[side].find(&encoded, row) {
                Some(slot) => {
                    // It is found once: what equals it has another slot.
                    self.sides[side].hide(slot);
                    slots.push(slot);
                }
                None if self.lifetimes.ends(side) => slots.push(NONE),
                None => return Err(never_came(rows, row)),
            }
        }
        Ok(slots)
    }

    fn work(&mut self, out: &mut Output) -> Result<Step> {
        let Some(mut closing) = self.closing.take() else { return Ok(Step::Done) };
        while closing.pass < PASSES.len() {
            if closing.search.is_none() {
                closing.search = Some(self.begin_pass(&mut closing, out)?);
            }
            if self.send_changed(&mut closing, out)? == Step::More
                || self.search(&mut closing, out)? == Step::More
            {
                self.closing = Some(closing);
                return Ok(Step::More);
            }
            self.end_pass(&mut closing);
        }
        if self.send_changed(&mut closing, out)? == Step::More {
            self.closing = Some(closing);
            return Ok(Step::More);
        }
        for (side, rows) in closing.unmatchable.iter().enumerate() {
            if let Some(rows) = rows {
                self.send_alone(side, rows.columns(), &vec![1; rows.num_rows()], out)?;
            }
        }
        self.end(out)?;
        Ok(Step::Done)
    }

    /// Gives back what is needed no more.
    fn end(&mut self, out: &mut Output) -> Result<()> {
        out.count_forgotten(self.lifetimes.close(&mut self.sides, self.moment.clock));
        self.keys.forget_dead(&mut self.sides)
    }

    /// Takes the items of a pass out of their side, or puts them in.
    fn begin_pass(&mut self, closing: &mut Closing, out: &mut Output) -> Result<Search> {
        let (side, sign) = PASSES[closing.pass];
        let at = usize::from(sign > 0);
        let groups = std::mem::take(&mut closing.groups[side][at]);
        let mut slots = Vec::new();
        if sign < 0 {
            for (slot, group) in closing.gone[side].iter().zip(&groups) {
                match *slot {
                    NONE => self.sides[side].uncount(*group),
                    slot => self.sides[side].remove(slot, *group),
                }
            }
            let places = std::mem::take(&mut closing.was_alone[side]);
            if !places.is_empty() {
                let rows = Change::append(closing.deltas[side].gone.clone());
                let rows = rows.take(&places.into())?.rows;
                let weights = vec![-1; rows.num_rows()];
                self.send_alone(side, rows.columns(), &weights, out)?;
            }
        } else {
            let rows = &closing.deltas[side].new;
            let all: Vec<u32> = (0..rows.num_rows() as u32).collect();
            self.sides[side].insert(rows.columns(), &all, &groups, &mut slots)?;
            self.lifetimes.write(side, &slots);
            if self.alone[side].is_some() {
                self.matches[side].fresh.extend(&slots);
                closing.fresh[side] = slots.iter().copied().zip(groups.iter().copied()).collect();
            }
            if self.counts_rows(side) {
                self.matches[side].by_row.resize(self.sides[side].rows.slots(), 0);
                slots.iter().for_each(|slot| self.matches[side].by_row[*slot as usize] = 0);
            }
        }
        if sign > 0 {
            self.withdraw(1 - side, &groups, closing);
        }
        let counts = vec![0; groups.len()];
        // Where nothing depends on single pairs nobody needs to look for them.
        let needs_pairs = self.shape.node.kind.has_pairs() || self.shape.node.condition.is_some();
        let groups = if needs_pairs { groups } else { Vec::new() };
        Ok(Search { probe: Probe::new(groups, &self.sides[1 - side], false), counts, slots })
    }

    /// Are rows that come out by themselves taken back before the first of their pairs? Else nobody would
    /// see them beside each other.
    fn withdraws_first(&self) -> bool {
        self.shape.node.kind.has_pairs() && !is_planted("late-withdrawal")
    }

    /// Takes the rows of `side` back that were out by themselves and whose groups now match something,
    /// where that is known without their pairs.
    fn withdraw(&self, side: usize, groups: &[u32], closing: &mut Closing) {
        if !self.withdraws_first() || self.alone[side].is_none() || self.counts_rows(side) {
            return;
        }
        let mut seen = GroupSet::default();
        seen.extend(groups);
        for group in seen.take() {
            let before = closing.groups_before.binary_search_by_key(&group, |(group, _)| *group);
            if before.is_ok_and(|at| closing.groups_before[at].1[1 - side] == 0) {
                let kept = self.sides[side].list(group);
                let kept = kept.filter(|slot| !self.matches[side].fresh.contains(*slot));
                closing.alone[side].extend(kept.map(|slot| (slot, -1)));
            }
        }
    }

    /// Sends the pairs of a pass, and counts them.
    fn search(&mut self, closing: &mut Closing, out: &mut Output) -> Result<Step> {
        let (side, sign) = PASSES[closing.pass];
        let other = 1 - side;
        let delta = &closing.deltas[side];
        let items = (side, if sign < 0 { &delta.gone } else { &delta.new });
        let search = closing.search.as_mut().expect("a pass has begun");
        while let Some(pairs) = search.probe.next(&self.sides[other]) {
            let kept = &self.sides[other].rows;
            let pairs = self.shape.select(items, kept, pairs, &self.moment)?;
            let has_pairs = self.shape.node.kind.has_pairs();
            if self.counts_rows(other) {
                let matched = self.matches[other].count(&pairs, sign);
                if self.withdraws_first() && !matched.is_empty() {
                    let columns = self.sides[other].rows.columns(&matched)?;
                    self.send_alone(other, &columns, &vec![-1; matched.len()], out)?;
                }
            }
            if has_pairs {
                let rows = self.shape.rows(items, &self.sides[other].rows, &pairs)?;
                let weights = Int64Array::from(vec![sign; rows.num_rows()]);
                out.send(Change::weighted(rows, weights)?);
            }
            pairs.places.iter().for_each(|place| search.counts[*place as usize] += 1);
            if out.is_full() {
                return Ok(Step::More);
            }
        }
        Ok(Step::Done)
    }

    fn end_pass(&mut self, closing: &mut Closing) {
        let (side, sign) = PASSES[closing.pass];
        let search = closing.search.take().expect("a pass has begun");
        if sign > 0 && self.counts_rows(side) {
            for (slot, count) in search.slots.iter().zip(&search.counts) {
                self.matches[side].by_row[*slot as usize] += count;
            }
        }
        closing.pass += 1;
        if closing.pass == PASSES.len() {
            for side in 0..2 {
                closing.alone[side] = self.changed(side, closing);
            }
        }
    }

    /// Returns the rows of a side that now come out by themselves, or no longer do.
    fn changed(&mut self, side: usize, closing: &Closing) -> Vec<(u32, i64)> {
        let Some(alone) = self.alone[side] else { return Vec::new() };
        let weight = |was: bool, is: bool| i64::from(is) - i64::from(was);
        let mut changed = Vec::new();
        if self.counts_rows(side) {
            let matches = &mut self.matches[side];
            matches.touched.take();
            for (slot, before) in std::mem::take(&mut matches.before) {
                if self.sides[side].rows.is_alive(slot) && !matches.fresh.contains(slot) {
                    let now = matches.by_row[slot as usize];
                    changed.push((slot, weight(alone.is_out(before), alone.is_out(now))));
                }
            }
        } else {
            for (group, before) in &closing.groups_before {
                let (was, now) = (before[1 - side], self.sides[1 - side].count(*group));
                let weight = weight(alone.is_out(was), alone.is_out(now));
                if weight != 0 {
                    let kept = self.sides[side].list(*group);
                    let kept = kept.filter(|slot| !self.matches[side].fresh.contains(*slot));
                    changed.extend(kept.map(|slot| (slot, weight)));
                }
            }
        }
        self.matches[side].fresh.take();
        for (slot, group) in &closing.fresh[side] {
            changed.push((*slot, i64::from(alone.is_out(self.matched(side, *slot, *group)))));
        }
        // With pairs, what is out no more was taken back before the first of them.
        let least = if self.withdraws_first() { 0 } else { -1 };
        changed.retain(|(_, weight)| *weight != 0 && *weight >= least);
        // They are sent from the back.
        changed.sort_by_key(|(_, weight)| -*weight);
        changed
    }

    /// Sends rows that come out by themselves, or no longer do.
    fn send_changed(&mut self, closing: &mut Closing, out: &mut Output) -> Result<Step> {
        for side in 0..2 {
            while !closing.alone[side].is_empty() {
                let rest = closing.alone[side].len().saturating_sub(BATCH_ROWS);
                let (slots, weights): (Vec<u32>, Vec<i64>) =
                    closing.alone[side].split_off(rest).into_iter().unzip();
                let columns = self.sides[side].rows.columns(&slots)?;
                self.send_alone(side, &columns, &weights, out)?;
                if out.is_full() {
                    return Ok(Step::More);
                }
            }
        }
        Ok(Step::Done)
    }

    fn send_alone(
        &self,
        side: usize,
        columns: &[ArrayRef],
        weights: &[i64],
        out: &mut Output,
    ) -> Result<()> {
        let rows = self.shape.alone(side, columns, weights.len())?;
        out.send(Change::weighted(rows, Int64Array::from(weights.to_vec()))?);
        Ok(())
    }
}

impl Matches {
    /// Counts pairs for the kept rows in them; returns those that matched nothing before this close.
    fn count(&mut self, pairs: &Pairs, sign: i64) -> Vec<u32> {
        let mut matched = Vec::new();
        for slot in &pairs.slots {
            let matches = &mut self.by_row[*slot as usize];
            if !self.fresh.contains(*slot) && self.touched.insert(*slot) {
                self.before.push((*slot, *matches));
                if *matches == 0 && sign > 0 {
                    matched.push(*slot);
                }
            }
            match sign {
                1 => *matches += 1,
                // What was forgotten may not have been counted.
                _ => *matches = matches.saturating_sub(1),
            }
        }
        matched
    }
}

impl Operator for UpdatingJoin {
    fn batch(&mut self, side: usize, change: Change, _: &mut Output) -> Result<Step> {
        self.came[side].push(change);
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.moment = close.moment;
        if self.came.iter().all(Vec::is_empty) {
            self.end(out)?;
            return Ok(Step::Done);
        }
        self.closing = Some(self.begin(out)?);
        self.work(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.work(out)
    }

    fn wake(&self) -> Option<EventTime> {
        self.lifetimes.wake()
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        for (side, table) in TABLES.into_iter().enumerate() {
            self.sides[side].rows.snapshot(table, self.keys.columns(side), to)?;
        }
        Ok(())
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.moment = *at;
        for (side, table) in TABLES.into_iter().enumerate() {
            let slots = self.sides[side].rows.restore(table, from)?;
            self.keys.link(side, &slots, &mut self.sides)?;
            self.lifetimes.restore(side, &slots, at.clock);
        }
        if self.counts_rows(0) || self.counts_rows(1) {
            self.count_all()?;
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let (bytes, rows) = super::size(&self.keys, &self.sides, None);
        let matches: usize = self.matches.iter().map(|m| m.by_row.capacity() * 4).sum();
        (bytes + matches + self.lifetimes.bytes(), rows)
    }
}

impl UpdatingJoin {
    /// Counts the matches of all rows anew: they are not stored, since rows say them.
    fn count_all(&mut self) -> Result<()> {
        for side in 0..2 {
            self.matches[side].by_row.resize(self.sides[side].rows.slots(), 0);
        }
        let slots: Vec<u32> = (0..self.sides[0].rows.slots() as u32).collect();
        for slots in slots.chunks(BATCH_ROWS) {
            let columns = self.sides[0].rows.columns(slots)?;
            let rows = batch(&self.shape.inputs[0], columns, slots.len())?;
            let mut groups = Vec::new();
            self.keys.intern(0, &rows, &mut self.sides, &mut groups)?;
            let mut probe = Probe::new(groups, &self.sides[1], false);
            while let Some(pairs) = probe.next(&self.sides[1]) {
                let kept = &self.sides[1].rows;
                let pairs = self.shape.select((0, &rows), kept, pairs, &self.moment)?;
                for (place, slot) in pairs.places.iter().zip(&pairs.slots) {
                    self.matches[0].by_row[slots[*place as usize] as usize] += 1;
                    self.matches[1].by_row[*slot as usize] += 1;
                }
            }
        }
        Ok(())
    }
}
