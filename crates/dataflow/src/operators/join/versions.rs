//! Joins with what a table held at the time of a row: event-time temporal joins.
//!
//! Each row of the table is a version of its key, from its time on until the next version's. A row of
//! the left input waits until the watermark passes its time, so that no version of that time is still
//! to come, and then meets the last version that is not later.
//!
//! Invariants: a version is kept while a row that is not late can meet it: of those that the watermark
//! passed only the last. Which row meets which version depends neither on epochs nor on workers.

mod table;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use thalweg_plan::join::{Alone, TimeColumn, VersionSource};
use thalweg_plan::window::TimeBasis;
use thalweg_state::{RowStore, StateReader, StateWriter};
use thalweg_types::{Change, Moment, Result};

use self::table::VersionTable;
use super::super::batches::{BATCH_ROWS, batch};
use super::super::due::refuse;
use super::TABLES;
use super::expiry::{Now, times_of};
use super::keys::{Keys, Split};
use super::pairs::{Pairs, Shape};
use crate::operator::{Close, Operator, Output, Step};

/// Joins rows with the versions of their time.
pub(super) struct VersionJoin {
    shape: Shape,
    keys: Keys,
    waiting: RowStore,
    /// Slots of waiting rows by their time.
    by_time: BTreeMap<i64, Vec<u32>>,
    table: VersionTable,
    /// The rows' time.
    time: TimeColumn,
    now: Now,
    moment: Moment,
    /// Rows whose time has come, the next one last.
    due: Vec<u32>,
}

impl VersionJoin {
    /// Returns the operator; `times` are the columns of the rows' time, and of the versions'.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub(super) fn new(
        shape: Shape,
        times: [usize; 2],
        source: VersionSource,
    ) -> Result<VersionJoin> {
        let keys = Keys::new(&shape.node, &shape.inputs)?;
        let [time, versions] = times.map(|column| TimeColumn { column, is_end: false });
        let [left, right] = &shape.inputs;
        Ok(VersionJoin {
            waiting: RowStore::new(left.clone())?,
            by_time: BTreeMap::new(),
            table: VersionTable::new(right, source, versions)?,
            time,
            now: Now::new(TimeBasis::Event),
            moment: super::BEFORE_ALL,
            due: Vec::new(),
            keys,
            shape,
        })
    }

    /// Keeps rows until their time has come; late ones are counted.
    fn wait(&mut self, change: Change, out: &mut Output) -> Result<()> {
        let times = times_of(self.time, &change.rows)?;
        let all = 0..change.len() as u32;
        let (late, good): (Vec<u32>, Vec<u32>) =
            all.partition(|row| self.now.is_late(times[*row as usize]));
        refuse(&change, late, false, out)?;
        let mut slots = Vec::new();
        self.waiting.insert(change.rows.columns(), &good, &mut slots)?;
        for (slot, row) in slots.iter().zip(&good) {
            self.by_time.entry(times[*row as usize]).or_default().push(*slot);
        }
        Ok(())
    }

    /// Keeps versions.
    fn keep(&mut self, change: &Change, out: &mut Output) -> Result<()> {
        let mut groups = Vec::new();
        let total = self.keys.number(1, &change.rows, &mut groups)?;
        out.count_late(self.table.change(change, &groups, total)?);
        Ok(())
    }

    fn work(&mut self, out: &mut Output) -> Result<Step> {
        while !self.due.is_empty() {
            let rest = self.due.len().saturating_sub(BATCH_ROWS);
            let slots = self.due.split_off(rest);
            let rows = batch(&self.shape.inputs[0], self.waiting.columns(&slots)?, slots.len())?;
            self.look(&rows, out)?;
            slots.into_iter().for_each(|slot| self.waiting.remove(slot));
            if out.is_full() {
                return Ok(Step::More);
            }
        }
        self.table.forget(&self.now);
        self.table.forget_dead(&mut self.keys)?;
        Ok(Step::Done)
    }

    /// Sends what becomes of rows whose time has come.
    fn look(&mut self, rows: &RecordBatch, out: &mut Output) -> Result<()> {
        let mut groups = Vec::new();
        self.keys.number(0, rows, &mut groups)?;
        let mut pairs = Pairs::default();
        for (row, (group, time)) in groups.iter().zip(times_of(self.time, rows)?).enumerate() {
            if let Some(slot) = self.table.at(*group, time) {
                pairs.places.push(row as u32);
                pairs.slots.push(slot);
            }
        }
        let pairs = self.shape.select((0, rows), &self.table.rows, pairs, &self.moment)?;
        out.send(Change::append(self.shape.rows((0, rows), &self.table.rows, &pairs)?));
        let mut matched = vec![false; rows.num_rows()];
        pairs.places.iter().for_each(|place| matched[*place as usize] = true);
        self.send_unmatched(rows, &matched, out)
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

impl Operator for VersionJoin {
    fn batch(&mut self, side: usize, change: Change, out: &mut Output) -> Result<Step> {
        if side == 1 {
            let Split { can_match, .. } = self.keys.split(1, change, &[])?;
            self.keep(&can_match, out)?;
            return Ok(Step::Done);
        }
        let Split { can_match, cannot } = self.keys.split(0, change, &[self.time.column])?;
        if let Some(cannot) = cannot {
            self.send_unmatched(&cannot.rows, &vec![false; cannot.len()], out)?;
        }
        self.wait(can_match, out)?;
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.moment = close.moment;
        self.now.close(close);
        let later = match self.now.time().checked_add(1) {
            Some(next) => self.by_time.split_off(&next),
            None => BTreeMap::new(),
        };
        let due = std::mem::replace(&mut self.by_time, later);
        // The last ones are taken first.
        self.due = due.into_values().rev().flatten().collect();
        self.work(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.work(out)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.waiting.snapshot(TABLES[0], self.keys.columns(0), to)?;
        self.table.snapshot(self.keys.columns(1), to)
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.moment = *at;
        self.now.advance(at);
        let slots = self.waiting.restore(TABLES[0], from)?;
        for slots in slots.chunks(BATCH_ROWS) {
            let rows = batch(&self.shape.inputs[0], self.waiting.columns(slots)?, slots.len())?;
            for (slot, time) in slots.iter().zip(times_of(self.time, &rows)?) {
                self.by_time.entry(time).or_default().push(*slot);
            }
        }
        self.table.restore(from, &mut self.keys)
    }

    fn size(&self) -> (usize, usize) {
        let (versions, rows) = self.table.size();
        let waiting = self.by_time.len() * 64 + self.waiting.len() * 4 + self.waiting.bytes();
        (self.keys.bytes() + versions + waiting, rows + self.waiting.len())
    }
}

#[cfg(test)]
mod tests;
