//! Joins with what a table held at the time of a row: event-time temporal joins.
//!
//! Each row of the table is a version of its key, from its time on until the next version's. A row of
//! the left input waits until the watermark passes its time, so that no version of that time is still
//! to come, and then meets the last version that is not later.
//!
//! Invariants: a version is kept while a row that is not late can meet it: of those that the watermark
//! passed only the last. Where two versions of a key have one time, the greater row counts.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use thalweg_plan::join::{Alone, TimeColumn};
use thalweg_plan::window::TimeBasis;
use thalweg_state::{RowStore, StateReader, StateWriter};
use thalweg_types::{Change, Moment, Result};

use super::super::batches::{BATCH_ROWS, batch};
use super::super::due::refuse;
use super::TABLES;
use super::expiry::{Now, times_of};
use super::keys::{Keys, Split};
use super::pairs::{Pairs, Shape};
use super::side::{Needs, Side};
use crate::operator::{Close, Operator, Output, Step};

/// Joins rows with the versions of their time.
pub(super) struct VersionJoin {
    shape: Shape,
    keys: Keys,
    /// Lists of groups are not used; the sides give the keys their room.
    sides: [Side; 2],
    waiting: RowStore,
    /// Slots of waiting rows by their time.
    by_time: BTreeMap<i64, Vec<u32>>,
    table: RowStore,
    /// Versions of each key, the earliest first: time and slot.
    versions: Vec<Vec<(i64, u32)>>,
    times: [TimeColumn; 2],
    now: Now,
    moment: Moment,
    /// Rows whose time has come, and their groups' last versions.
    due: Vec<u32>,
}

impl VersionJoin {
    /// Returns the operator; `times` are the columns of the rows' time, and of the versions'.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub(super) fn new(shape: Shape, times: [usize; 2]) -> Result<VersionJoin> {
        let keys = Keys::new(&shape.node, &shape.inputs)?;
        let [left, right] = &shape.inputs;
        let side = |schema: &SchemaRef| Side::new(schema.clone(), Needs::default());
        Ok(VersionJoin {
            sides: [side(left)?, side(right)?],
            waiting: RowStore::new(left.clone())?,
            by_time: BTreeMap::new(),
            table: RowStore::new(right.clone())?,
            versions: Vec::new(),
            times: times.map(|column| TimeColumn { column, is_end: false }),
            now: Now::new(TimeBasis::Event),
            moment: super::BEFORE_ALL,
            due: Vec::new(),
            keys,
            shape,
        })
    }

    /// Keeps rows until their time has come; late ones are counted.
    fn wait(&mut self, change: Change, out: &mut Output) -> Result<()> {
        let times = times_of(self.times[0], &change.rows)?;
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
    fn keep(&mut self, rows: &RecordBatch) -> Result<()> {
        let all: Vec<u32> = (0..rows.num_rows() as u32).collect();
        let mut slots = Vec::new();
        self.table.insert(rows.columns(), &all, &mut slots)?;
        self.note(rows, &slots)
    }

    /// Puts kept versions in their places.
    fn note(&mut self, rows: &RecordBatch, slots: &[u32]) -> Result<()> {
        let mut groups = Vec::new();
        self.keys.intern(1, rows, &mut self.sides, &mut groups)?;
        let last = groups.iter().max().map_or(0, |group| *group as usize + 1);
        if self.versions.len() < last {
            self.versions.resize(last, Vec::new());
        }
        let times = times_of(self.times[1], rows)?;
        for ((slot, group), time) in slots.iter().zip(&groups).zip(times) {
            let versions = &mut self.versions[*group as usize];
            let mut at = versions.partition_point(|(from, _)| *from < time);
            while at < versions.len()
                && versions[at].0 == time
                && is_less(&self.table, versions[at].1, *slot)?
            {
                at += 1;
            }
            versions.insert(at, (time, *slot));
            forget(versions, &self.now, &mut self.table);
        }
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
        Ok(Step::Done)
    }

    /// Sends what becomes of rows whose time has come.
    fn look(&mut self, rows: &RecordBatch, out: &mut Output) -> Result<()> {
        let mut groups = Vec::new();
        self.keys.intern(0, rows, &mut self.sides, &mut groups)?;
        let mut pairs = Pairs::default();
        for (row, (group, time)) in groups.iter().zip(times_of(self.times[0], rows)?).enumerate() {
            let Some(versions) = self.versions.get(*group as usize) else { continue };
            let later = versions.partition_point(|(from, _)| *from <= time);
            if let Some((_, slot)) = later.checked_sub(1).map(|at| versions[at]) {
                pairs.places.push(row as u32);
                pairs.slots.push(slot);
            }
        }
        let pairs = self.shape.select((0, rows), &self.table, pairs, &self.moment)?;
        out.send(Change::append(self.shape.rows((0, rows), &self.table, &pairs)?));
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

/// Is a row less than another, column by column?
fn is_less(table: &RowStore, row: u32, other: u32) -> Result<bool> {
    let columns = table.columns(&[row, other])?;
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
    let rows = RowConverter::new(fields.collect())?.convert_columns(&columns)?;
    Ok(rows.row(0) < rows.row(1))
}

/// Lets versions go that no row can meet any more.
fn forget(versions: &mut Vec<(i64, u32)>, now: &Now, table: &mut RowStore) {
    let passed = versions.partition_point(|(from, _)| now.is_late(*from));
    versions.drain(..passed.saturating_sub(1)).for_each(|(_, slot)| table.remove(slot));
}

impl Operator for VersionJoin {
    fn batch(&mut self, side: usize, change: Change, out: &mut Output) -> Result<Step> {
        let time = self.times[side].column;
        let Split { can_match, cannot } = self.keys.split(side, change, &[time])?;
        match side {
            0 => {
                if let Some(cannot) = cannot {
                    self.send_unmatched(&cannot.rows, &vec![false; cannot.len()], out)?;
                }
                self.wait(can_match, out)?;
            }
            _ => self.keep(&can_match.rows)?,
        }
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
        self.table.snapshot(TABLES[1], self.keys.columns(1), to)
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.moment = *at;
        self.now.advance(at);
        let slots = self.waiting.restore(TABLES[0], from)?;
        for slots in slots.chunks(BATCH_ROWS) {
            let rows = batch(&self.shape.inputs[0], self.waiting.columns(slots)?, slots.len())?;
            for (slot, time) in slots.iter().zip(times_of(self.times[0], &rows)?) {
                self.by_time.entry(time).or_default().push(*slot);
            }
        }
        let slots = self.table.restore(TABLES[1], from)?;
        for slots in slots.chunks(BATCH_ROWS) {
            let rows = batch(&self.shape.inputs[1], self.table.columns(slots)?, slots.len())?;
            self.note(&rows, slots)?;
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let (bytes, rows) = super::size(&self.keys, &self.sides, None);
        let versions: usize = self.versions.iter().map(|one| one.capacity() * 16 + 24).sum();
        let waiting = self.by_time.len() * 64 + self.waiting.len() * 4;
        let kept = self.waiting.bytes() + self.table.bytes();
        (bytes + versions + waiting + kept, rows + self.waiting.len() + self.table.len())
    }
}
