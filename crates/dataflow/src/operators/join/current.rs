//! Joins with what a table holds at the moment: processing-time temporal joins, and lookups.
//!
//! Invariants: the changes of an epoch are applied before its rows look; a result is never taken back,
//! whatever becomes of the table. A table that is read once is waited for: rows look when it is whole.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use thalweg_plan::join::Alone;
use thalweg_state::{RowStore, StateReader, StateWriter};
use thalweg_types::epoch::Ending;
use thalweg_types::{Change, Error, EventTime, Moment, Result};

use super::super::batches::{BATCH_ROWS, batch};
use super::TABLES;
use super::keys::{Keys, Split};
use super::pairs::{Probe, Shape};
use super::side::{Needs, Side};
use crate::operator::{Close, Operator, Output, Step};
use crate::operators::netted::Delta;

/// Joins rows with the table as it is.
pub(super) struct CurrentJoin {
    shape: Shape,
    keys: Keys,
    /// The table is the second.
    sides: [Side; 2],
    /// Rows that wait for the table to be whole.
    waiting: RowStore,
    /// Is the table still to be waited for?
    waits: bool,
    came: [Vec<Change>; 2],
    /// Rows that look next, and the search of the first of them.
    looking: VecDeque<RecordBatch>,
    search: Option<(Probe, Vec<bool>)>,
    moment: Moment,
}

impl CurrentJoin {
    /// Returns the operator; `waits` for the end of the table's input.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub(super) fn new(shape: Shape, waits: bool) -> Result<CurrentJoin> {
        let keys = Keys::new(&shape.node, &shape.inputs)?;
        let needs = Needs { removal: true, search: true, counts: false };
        let left = Side::new(shape.inputs[0].clone(), Needs::default())?;
        let right = Side::new(shape.inputs[1].clone(), needs)?;
        Ok(CurrentJoin {
            waiting: RowStore::new(shape.inputs[0].clone())?,
            sides: [left, right],
            waits,
            came: Default::default(),
            looking: VecDeque::new(),
            search: None,
            moment: super::BEFORE_ALL,
            keys,
            shape,
        })
    }

    /// Applies what changed in the table.
    fn apply(&mut self) -> Result<()> {
        let changes = std::mem::take(&mut self.came[1]);
        let delta = Delta::of(&changes, &mut self.sides[1].rows)?;
        let mut groups = Vec::new();
        let matchable = |keys: &Keys, rows: RecordBatch| -> Result<RecordBatch> {
            Ok(keys.split(1, Change::append(rows), &[])?.can_match.rows)
        };
        let gone = matchable(&self.keys, delta.gone)?;
        self.keys.intern(1, &gone, &mut self.sides, &mut groups)?;
        let all: Vec<u32> = (0..gone.num_rows() as u32).collect();
        let encoded = self.sides[1].rows.encode(gone.columns(), &all)?;
        for (row, group) in groups.iter().enumerate() {
            let slot = self.sides[1].find(&encoded, row).ok_or_else(|| {
                Error::data("a row is taken back from a table that never had it")
                    .remedy("a changelog must insert a row before it deletes it")
            })?;
            self.sides[1].remove(slot, *group);
        }
        let new = matchable(&self.keys, delta.new)?;
        self.keys.intern(1, &new, &mut self.sides, &mut groups)?;
        let all: Vec<u32> = (0..new.num_rows() as u32).collect();
        self.sides[1].insert(new.columns(), &all, &groups, &mut Vec::new())
    }

    /// Decides which rows look now.
    fn gather(&mut self, close: &Close) -> Result<()> {
        let is_whole = close.inputs[1] == EventTime::MAX || close.ending == Some(Ending::Finish);
        let came = std::mem::take(&mut self.came[0]);
        if self.waits && !is_whole {
            for change in came {
                let all: Vec<u32> = (0..change.len() as u32).collect();
                self.waiting.insert(change.rows.columns(), &all, &mut Vec::new())?;
            }
            return Ok(());
        }
        self.waits = false;
        let slots: Vec<u32> = (0..self.waiting.slots() as u32).collect();
        for slots in slots.chunks(BATCH_ROWS) {
            let columns = self.waiting.columns(slots)?;
            self.looking.push_back(batch(&self.shape.inputs[0], columns, slots.len())?);
        }
        // None of them waits again, so every slot is of a row.
        slots.into_iter().for_each(|slot| self.waiting.remove(slot));
        self.waiting.clear_if_empty()?;
        self.looking.extend(came.into_iter().map(|change| change.rows));
        Ok(())
    }

    fn work(&mut self, out: &mut Output) -> Result<Step> {
        while let Some(rows) = self.looking.front().cloned() {
            let (mut probe, mut matched) = match self.search.take() {
                Some(search) => search,
                None => {
                    let mut groups = Vec::new();
                    self.keys.intern(0, &rows, &mut self.sides, &mut groups)?;
                    let matched = vec![false; rows.num_rows()];
                    (Probe::new(groups, &self.sides[1], false), matched)
                }
            };
            while let Some(pairs) = probe.next(&self.sides[1]) {
                let kept = &self.sides[1].rows;
                let pairs = self.shape.select((0, &rows), kept, pairs, &self.moment)?;
                pairs.places.iter().for_each(|place| matched[*place as usize] = true);
                out.send(Change::append(self.shape.rows((0, &rows), kept, &pairs)?));
                if out.is_full() {
                    self.search = Some((probe, matched));
                    return Ok(Step::More);
                }
            }
            self.send_unmatched(&rows, &matched, out)?;
            self.looking.pop_front();
        }
        self.keys.forget_dead(&mut self.sides)?;
        Ok(Step::Done)
    }

    fn send_unmatched(&self, rows: &RecordBatch, matched: &[bool], out: &mut Output) -> Result<()> {
        if self.shape.node.kind.left_alone() != Some(Alone::Unmatched) {
            return Ok(());
        }
        let alone = (0..rows.num_rows() as u32).filter(|row| !matched[*row as usize]);
        let alone: Vec<u32> = alone.collect();
        let rows = Change::append(rows.clone()).take(&alone.into())?.rows;
        out.send(Change::append(self.shape.alone(0, rows.columns(), rows.num_rows())?));
        Ok(())
    }
}

impl Operator for CurrentJoin {
    fn batch(&mut self, side: usize, change: Change, out: &mut Output) -> Result<Step> {
        if side == 1 {
            self.came[1].push(change);
            return Ok(Step::Done);
        }
        let Split { can_match, cannot } = self.keys.split(0, change, &[])?;
        if let Some(cannot) = cannot {
            self.send_unmatched(&cannot.rows, &vec![false; cannot.len()], out)?;
        }
        self.came[0].push(can_match);
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.moment = close.moment;
        self.apply()?;
        self.gather(close)?;
        self.work(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.work(out)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.waiting.snapshot(TABLES[0], self.keys.columns(0), to)?;
        self.sides[1].rows.snapshot(TABLES[1], self.keys.columns(1), to)
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.moment = *at;
        self.waiting.restore(TABLES[0], from)?;
        let slots = self.sides[1].rows.restore(TABLES[1], from)?;
        self.keys.link(1, &slots, &mut self.sides)
    }

    fn size(&self) -> (usize, usize) {
        let (bytes, rows) = super::size(&self.keys, &self.sides, None);
        (bytes + self.waiting.bytes(), rows + self.waiting.len())
    }
}
