//! Joins of append-only inputs whose result is append-only: inner and semi joins, and outer and anti
//! joins with a time bound.
//!
//! Invariants: rows come out as soon as they are known, in `batch`; a row that matches nothing when
//! nothing can match it any more, in `close`. What nobody needs any more is not kept: rows beyond the
//! time bound, and of a semi or anti join the rows that matched.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;
use thalweg_plan::join::Alone;
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::{Change, EventTime, Moment, Result};

use super::super::batches::{BATCH_ROWS, batch};
use super::TABLES;
use super::expiry::{Expiry, Now};
use super::keys::{Keys, Split};
use super::lifetime::Lifetimes;
use super::pairs::{Pairs, Probe, Shape};
use super::side::{NONE, Needs, Side};
use crate::operator::{Close, Operator, Output, Step};

/// Joins rows as they come.
pub(super) struct AppendJoin {
    shape: Shape,
    keys: Keys,
    sides: [Side; 2],
    /// When rows of a side are put out by themselves.
    alone: [Option<Alone>; 2],
    bound: Option<(Now, [Expiry; 2])>,
    lifetimes: Lifetimes,
    /// The moment of the last close.
    moment: Moment,
    pending: Option<Pending>,
}

/// What is not finished.
enum Pending {
    /// Items of a side look for rows of the other.
    Batch(Items),
    /// Rows of each side go.
    Due([Vec<u32>; 2]),
}

struct Items {
    side: usize,
    rows: RecordBatch,
    probe: Probe,
    /// Which items matched something.
    matched: Vec<bool>,
    /// Kept rows that matched for the first time and need not stay.
    leaving: Vec<u32>,
}

impl AppendJoin {
    /// Returns the operator of a join.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub(super) fn new(shape: Shape) -> Result<AppendJoin> {
        let keys = Keys::new(&shape.node, &shape.inputs)?;
        let kind = shape.node.kind;
        let alone = [kind.left_alone(), kind.right_alone()];
        let lifetimes = Lifetimes::new(shape.node.ttl);
        let ends = (0..2).any(|side| lifetimes.ends(side));
        let removal = shape.node.bound.is_some() || !kind.has_pairs() || ends;
        let needs = Needs { removal, ..Needs::default() };
        let side = |at: usize| -> Result<Side> {
            let mut side = Side::new(shape.inputs[at].clone(), needs)?;
            if alone[at].is_some() {
                side.rows = side.rows.with_marks();
            }
            Ok(side)
        };
        let sides = [side(0)?, side(1)?];
        let bound = shape.node.bound.map(|bound| (Now::of(&bound), Expiry::of(&bound)));
        let moment = super::BEFORE_ALL;
        Ok(AppendJoin { shape, keys, sides, alone, bound, lifetimes, moment, pending: None })
    }

    /// Leaves out late rows: counts them, and sends them to the output of their side, if asked.
    fn in_time(&self, side: usize, change: Change, out: &mut Output) -> Result<Change> {
        let Some((now, expiry)) = &self.bound else { return Ok(change) };
        let times = expiry[side].times(&change.rows)?;
        let all = 0..change.len() as u32;
        let (late, good): (Vec<u32>, Vec<u32>) =
            all.partition(|row| now.is_late(times[*row as usize]));
        if late.is_empty() {
            return Ok(change);
        }
        out.count_late(late.len());
        if self.shape.node.divert_late {
            out.send_to(1 + side, change.take(&late.into())?);
        }
        change.take(&good.into())
    }

    fn work(&mut self, out: &mut Output) -> Result<Step> {
        loop {
            let step = match self.pending.take() {
                None => return Ok(Step::Done),
                Some(Pending::Batch(items)) => self.pairs(items, out)?,
                Some(Pending::Due(due)) => self.expire(due, out)?,
            };
            if step == Step::More {
                return Ok(step);
            }
        }
    }

    /// Looks for the pairs of a batch, and keeps it.
    fn pairs(&mut self, mut items: Items, out: &mut Output) -> Result<Step> {
        let other = 1 - items.side;
        while let Some(pairs) = items.probe.next(&self.sides[other]) {
            let found = (items.side, &items.rows);
            let kept = &self.sides[other].rows;
            let pairs = self.shape.select(found, kept, pairs, &self.moment)?;
            if self.shape.node.kind.has_pairs() {
                let rows = self.shape.rows(found, &self.sides[other].rows, &pairs)?;
                out.send(Change::append(rows));
            }
            self.note_matches(&mut items, &pairs, out)?;
            if out.is_full() {
                self.pending = Some(Pending::Batch(items));
                return Ok(Step::More);
            }
        }
        self.keep(items)?;
        Ok(Step::Done)
    }

    /// Notes who matched something; in a semi join that is when a row of the left input comes out.
    fn note_matches(&mut self, items: &mut Items, pairs: &Pairs, out: &mut Output) -> Result<()> {
        let (side, other) = (items.side, 1 - items.side);
        let comes_out = |side: usize| self.alone[side] == Some(Alone::Matched);
        if self.alone[side].is_some() {
            let mut first = Vec::new();
            for place in &pairs.places {
                if !std::mem::replace(&mut items.matched[*place as usize], true) {
                    first.push(*place);
                }
            }
            if comes_out(side) && !first.is_empty() {
                let rows = Change::append(items.rows.clone()).take(&first.into())?.rows;
                let rows = self.shape.alone(side, rows.columns(), rows.num_rows())?;
                out.send(Change::append(rows));
            }
        }
        if self.alone[other].is_some() {
            let kept = &mut self.sides[other].rows;
            let first = pairs.slots.iter().copied().filter(|slot| kept.mark(*slot));
            let first: Vec<u32> = first.collect();
            if comes_out(other) && !first.is_empty() {
                let rows = self.shape.alone(other, &kept.columns(&first)?, first.len())?;
                out.send(Change::append(rows));
            }
            if !self.shape.node.kind.has_pairs() {
                items.leaving.extend(first);
            }
        }
        Ok(())
    }

    /// Keeps the items that somebody may still need.
    fn keep(&mut self, items: Items) -> Result<()> {
        let Items { side, rows, probe, matched, leaving } = items;
        for slot in leaving {
            self.sides[1 - side].forget(slot);
        }
        let has_pairs = self.shape.node.kind.has_pairs();
        // Without a condition or a bound one row of a key says as much as many.
        let is_test =
            !has_pairs && side == 1 && self.bound.is_none() && self.shape.node.condition.is_none();
        let mut kept = Vec::new();
        for (row, is_matched) in matched.iter().enumerate() {
            let is_over = !has_pairs && side == 0 && *is_matched;
            if !is_over && !is_test {
                kept.push(row as u32);
            }
        }
        if is_test {
            let (own, mut seen) = (&self.sides[1], BTreeSet::new());
            let groups = probe.groups.iter().enumerate();
            let new = groups.filter(|(_, g)| own.first(**g) == NONE && seen.insert(**g));
            kept = new.map(|(row, _)| row as u32).collect();
            let known = probe.groups.iter().map(|group| own.first(*group));
            let known: Vec<u32> = known.filter(|slot| *slot != NONE).collect();
            self.lifetimes.write(1, &known);
        }
        let mut slots = Vec::new();
        self.sides[side].insert(rows.columns(), &kept, &probe.groups, &mut slots)?;
        self.lifetimes.write(side, &slots);
        if self.alone[side].is_some() {
            for (slot, row) in slots.iter().zip(&kept).filter(|(_, row)| matched[**row as usize]) {
                debug_assert!(has_pairs, "row {row} matched and is kept");
                self.sides[side].rows.mark(*slot);
            }
        }
        if let Some((_, expiry)) = &mut self.bound {
            let times = expiry[side].times(&rows)?;
            for (slot, row) in slots.iter().zip(&kept) {
                expiry[side].add(*slot, times[*row as usize]);
            }
        }
        Ok(())
    }

    /// Lets rows go that nobody needs any more; those that matched nothing come out by themselves.
    fn expire(&mut self, mut due: [Vec<u32>; 2], out: &mut Output) -> Result<Step> {
        for side in 0..2 {
            while !due[side].is_empty() {
                let rest = due[side].len().saturating_sub(BATCH_ROWS);
                let slots = due[side].split_off(rest);
                if self.alone[side] == Some(Alone::Unmatched) {
                    let kept = &self.sides[side].rows;
                    let alone = slots.iter().copied().filter(|slot| !kept.is_marked(*slot));
                    let alone: Vec<u32> = alone.collect();
                    let rows = self.shape.alone(side, &kept.columns(&alone)?, alone.len())?;
                    out.send(Change::append(rows));
                }
                slots.into_iter().for_each(|slot| self.sides[side].forget(slot));
                if out.is_full() {
                    self.pending = Some(Pending::Due(due));
                    return Ok(Step::More);
                }
            }
        }
        self.keys.forget_dead(&mut self.sides)?;
        Ok(Step::Done)
    }
}

impl Operator for AppendJoin {
    fn batch(&mut self, side: usize, change: Change, out: &mut Output) -> Result<Step> {
        let time: Vec<usize> = self.bound.iter().map(|(_, expiry)| expiry[side].column()).collect();
        let Split { can_match, cannot } = self.keys.split(side, change, &time)?;
        if let Some(cannot) = cannot
            && self.alone[side] == Some(Alone::Unmatched)
        {
            let rows = self.shape.alone(side, cannot.rows.columns(), cannot.len())?;
            out.send(Change::append(rows));
        }
        let rows = self.in_time(side, can_match, out)?.rows;
        let mut groups = Vec::new();
        self.keys.intern(side, &rows, &mut self.sides, &mut groups)?;
        let first_only =
            side == 0 && !self.shape.node.kind.has_pairs() && self.shape.node.condition.is_none();
        let probe = Probe::new(groups, &self.sides[1 - side], first_only);
        let matched = vec![false; rows.num_rows()];
        let items = Items { side, rows, probe, matched, leaving: Vec::new() };
        self.pending = Some(Pending::Batch(items));
        self.work(out)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.moment = close.moment;
        out.count_forgotten(self.lifetimes.close(&mut self.sides, close.moment.clock));
        if let Some((now, expiry)) = &mut self.bound {
            now.close(close);
            let due = [0, 1].map(|side| {
                let mut due = expiry[side].due(now);
                due.sort_unstable();
                due.dedup();
                due.retain(|slot| self.sides[side].rows.is_alive(*slot));
                due
            });
            self.pending = Some(Pending::Due(due));
        } else {
            self.keys.forget_dead(&mut self.sides)?;
        }
        self.work(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.work(out)
    }

    fn wake(&self) -> Option<EventTime> {
        let bound = self.bound.as_ref();
        let due = bound.and_then(|(now, expiry)| expiry.iter().filter_map(|e| e.wake(now)).min());
        due.into_iter().chain(self.lifetimes.wake()).min()
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        for (side, table) in TABLES.into_iter().enumerate() {
            self.sides[side].rows.snapshot(table, self.keys.columns(side), to)?;
        }
        Ok(())
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.moment = *at;
        if let Some((now, _)) = &mut self.bound {
            now.advance(at);
        }
        for (side, table) in TABLES.into_iter().enumerate() {
            let slots = self.sides[side].rows.restore(table, from)?;
            self.keys.link(side, &slots, &mut self.sides)?;
            self.lifetimes.restore(side, &slots, at.clock);
            let Some((_, expiry)) = &mut self.bound else { continue };
            let expiry = &mut expiry[side];
            for slots in slots.chunks(BATCH_ROWS) {
                let rows = self.sides[side].rows.columns(slots)?;
                let rows = batch(&self.shape.inputs[side], rows, slots.len())?;
                for (slot, time) in slots.iter().zip(expiry.times(&rows)?) {
                    expiry.add(*slot, time);
                }
            }
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let expiry = self.bound.as_ref().map(|(_, expiry)| expiry);
        let (bytes, rows) = super::size(&self.keys, &self.sides, expiry);
        (bytes + self.lifetimes.bytes(), rows)
    }
}
