//! Functions over the rows up to each row, in order of time: `OVER` windows.
//!
//! Invariants: rows of a partition are computed in order of time, ties by the whole row, each once
//! and only when no row before it can come any more; by event time that is when the watermark has
//! reached it, and a row is late if that was so at the close before. What no frame can need any
//! more is dropped. Cuts into epochs, workers and crashes change nothing, by event time.

mod partition;

mod steps;

mod frames;
mod values;

mod reach;

mod runs;

mod updating;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_arrays;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use thalweg_plan::node::{Frame, OverNode};
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_state::{StateReader, StateWriter, TableSpec};
use thalweg_types::epoch::Ending;
use thalweg_types::{Change, Error, Groups, Moment, Result};

use super::batches::{BATCH_ROWS, batch, check_state, next_rows};
use super::coded_rows::CodedRows;
use super::due::{Due, refuse};
use super::group_set::GroupSet;
use super::slices::times;
use crate::operator::{Close, Operator, Output, Step};

use frames::Work;
use partition::{Entry, Partition, Progress, SAVED};
use values::Values;

pub use updating::UpdatingOver;

/// Rows that are computed at once, about.
const WORK_ROWS: usize = 32 * 1024;

/// Keeps rows until their time has come, and as long as frames need them.
pub struct Over {
    node: OverNode,
    /// The column by which rows are ordered, and which time it is.
    time: usize,
    basis: TimeBasis,
    due: Due,
    rows: CodedRows,
    /// By partition.
    partitions: Vec<Partition>,
    /// Partitions with rows that wait: by event time with the time of the first of them, by arrival
    /// for the end of the epoch.
    waiting: BTreeSet<(i64, u32)>,
    values: Values,
    input: SchemaRef,
    output: SchemaRef,
    /// What is saved of each partition beside its rows.
    state: SchemaRef,
    /// Partitions of which that changed since the last snapshot.
    unsaved: GroupSet,
    firing: Firing,
    /// Frames of all rows that are still to come begin at this time or later; what is before it was
    /// dropped from all partitions.
    swept_to: i64,
}

/// What a close has to do.
#[derive(Default)]
struct Firing {
    /// Partitions with rows whose time has come, and the next of them.
    groups: Vec<u32>,
    next: usize,
    /// Rows before this time are there.
    until: i64,
    /// Rows that must be there behind a row.
    ahead: usize,
    /// Results that are being sent, and the next of them.
    results: Option<(RecordBatch, usize)>,
}

impl Over {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a column has no order, or an aggregate does not take its argument.
    pub fn new(node: &OverNode, input: &SchemaRef, output: SchemaRef) -> Result<Over> {
        let &OverNode { ref order, basis: Some(basis), .. } = node else {
            return Err(Error::internal("an OVER window whose result is updated"));
        };
        let [time] = order[..] else {
            return Err(Error::internal("an OVER window in an order that is no time"));
        };
        let (start, end, basis) = (time.column, time.column, basis);
        let spec = WindowSpec { assigner: Assigner::Attached, basis, start, end, zone: None };
        let values = Values::new(node, input)?;
        let keys = node.partition.iter().enumerate();
        let keys = keys.map(|(n, c)| input.field(*c).clone().with_name(format!("__partition_{n}")));
        let numbers = SAVED.map(|name| Field::new(name, DataType::Int64, false));
        let fields = keys.chain(numbers).chain(values.state_fields().iter().cloned());
        Ok(Over {
            due: Due::new(&spec, input)?,
            rows: CodedRows::new(&node.partition, order, input)?,
            time: time.column,
            basis,
            partitions: Vec::new(),
            waiting: BTreeSet::new(),
            state: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            values,
            node: node.clone(),
            input: input.clone(),
            output,
            unsaved: GroupSet::default(),
            firing: Firing::default(),
            swept_to: i64::MIN,
        })
    }

    /// Returns the rows in time; counts the late ones, and those without a time.
    fn admit(&self, change: Change, out: &mut Output) -> Result<Change> {
        let times = times(change.rows.column(self.time))?;
        let is_good = |row: &u32| {
            let row = *row as usize;
            times.is_valid(row) && !self.due.is_late(times.value(row).saturating_add(1))
        };
        let (good, late): (Vec<u32>, Vec<u32>) = (0..change.len() as u32).partition(is_good);
        if late.is_empty() {
            return Ok(change);
        }
        refuse(&change, late, self.node.divert_late, out)?;
        change.take(&good.into())
    }

    /// Adds rows to their partitions.
    fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let groups = self.rows.intern(rows)?;
        let codes = self.rows.ordering.rows(rows)?;
        let times = times(rows.column(self.time))?;
        self.partitions.resize_with(self.rows.partitions.len(), Partition::default);
        let (is_due, reached) = (self.basis == TimeBasis::Processing, self.due.complete());
        for (row, group) in groups.into_iter().enumerate() {
            let (code, time) = (codes.row(row).data(), times.value(row));
            let number = self.rows.keep(group, code);
            let partition = &mut self.partitions[group as usize];
            let waited = partition.next_time(reached);
            partition.insert(Entry { time, code: code.into(), number });
            match (is_due, waited) {
                (true, _) => {
                    self.waiting.insert((i64::MIN, group));
                }
                (false, Some(waited)) if waited <= time => {}
                (false, waited) => {
                    waited.map(|waited| self.waiting.remove(&(waited, group)));
                    self.waiting.insert((time, group));
                }
            }
        }
        Ok(())
    }

    /// Notes the partitions of which rows are due.
    fn begin(&mut self, close: &Close) {
        self.due.close(close);
        let is_last = close.ending == Some(Ending::Finish);
        let until = match self.basis {
            TimeBasis::Event => self.due.complete(),
            TimeBasis::Processing => i64::MAX,
        };
        let later = self.waiting.split_off(&(until, 0));
        let now = std::mem::replace(&mut self.waiting, later);
        let groups = match is_last && self.node.rows_ahead() > 0 {
            // Rows that waited for others wait no longer.
            true => (0..self.partitions.len() as u32).collect(),
            false => now.into_iter().map(|(_, group)| group).collect(),
        };
        let ahead = if is_last { 0 } else { self.node.rows_ahead() };
        self.firing = Firing { groups, next: 0, until, ahead, results: None };
    }

    fn fire(&mut self, out: &mut Output) -> Result<Step> {
        loop {
            if let Some((rows, next)) = &mut self.firing.results {
                while *next < rows.num_rows() {
                    if out.is_full() {
                        return Ok(Step::More);
                    }
                    let range = next_rows(*next, rows.num_rows(), BATCH_ROWS);
                    *next = range.end;
                    out.send(Change::append(rows.slice(range.start, range.len())));
                }
            }
            self.firing.results = self.compute()?.map(|rows| (rows, 0));
            if self.firing.results.is_none() {
                self.sweep()?;
                return Ok(Step::Done);
            }
        }
    }

    /// Computes the rows of the next partitions; `None` if all are done.
    fn compute(&mut self) -> Result<Option<RecordBatch>> {
        let mut work = Work::new(&self.node, self.values.needs_frames());
        let from = self.firing.next;
        while let Some(group) = self.firing.groups.get(self.firing.next)
            && work.count() < WORK_ROWS
        {
            let partition = &self.partitions[*group as usize];
            work.add(*group, partition, partition.before(self.firing.until), self.firing.ahead);
            self.firing.next += 1;
        }
        if from == self.firing.next {
            return Ok(None);
        }
        let mut results = RecordBatch::new_empty(self.output.clone());
        if work.count() > 0 {
            let groups: Vec<u32> = work.rows.iter().map(|(group, _)| *group).collect();
            let codes = work.rows.iter().map(|(_, entry)| &*entry.code);
            let rows = batch(&self.input, self.rows.columns(&groups, codes)?, groups.len())?;
            let at = work.in_order();
            let places = UInt32Array::from(at.clone());
            let mut columns = take_arrays(rows.columns(), &places, None)?;
            let total = self.partitions.len();
            columns.extend(self.values.compute(&mut work.steps, &at, &rows, total)?);
            results = batch(&self.output, columns, work.count())?;
        }
        for (group, progress) in work.progress {
            self.advance(group, progress);
        }
        for group in &self.firing.groups[from..self.firing.next] {
            let next = self.partitions[*group as usize].next_time(self.firing.until);
            self.waiting.extend(next.map(|time| (time, *group)));
        }
        Ok(Some(results))
    }

    /// Goes behind the rows that were computed, and drops what is not needed any more.
    fn advance(&mut self, group: u32, progress: Progress) {
        self.unsaved.insert(group);
        let gone = self.partitions[group as usize].advance(progress, self.node.rows_back());
        for gone in gone {
            self.rows.forget(group, (gone.number, &gone.code));
        }
    }

    /// Drops rows that no frame can need any more from partitions to which no row came: whenever the
    /// watermark has gone on by the length of a frame.
    fn sweep(&mut self) -> Result<()> {
        let (Frame::Range(Some(length)), TimeBasis::Event) = (self.node.frame, self.basis)
        else {
            return Ok(());
        };
        let until = self.firing.until;
        if until == i64::MAX || until.saturating_sub(length) <= self.swept_to {
            return Ok(());
        }
        self.swept_to = until;
        for group in 0..self.partitions.len() as u32 {
            let partition = &self.partitions[group as usize];
            let old = partition.outdated(until, length);
            let count = old.len();
            if count > 0 {
                let old = self.rows.columns(&vec![group; count], old.map(|entry| &*entry.code))?;
                let old = batch(&self.input, old, count)?;
                self.values.take_back(&old, group, self.partitions.len())?;
                let progress = partition.progress();
                self.advance(group, Progress { framed: progress.framed - count, ..progress });
            }
        }
        Ok(())
    }

    /// Returns what is saved of some partitions beside their rows.
    fn saved(&mut self, groups: &[u32]) -> Result<RecordBatch> {
        let mut columns = self.rows.partitions.keys(Groups::At(groups))?;
        let saved = groups.iter().map(|group| self.partitions[*group as usize].saved());
        let saved: Vec<[i64; SAVED.len()]> = saved.collect();
        columns.extend((0..SAVED.len()).map(|at| -> ArrayRef {
            Arc::new(saved.iter().map(|row| row[at]).collect::<Int64Array>())
        }));
        columns.extend(self.values.states(groups)?);
        batch(&self.state, columns, groups.len())
    }

    /// Takes back what was saved of some partitions, whose rows are there.
    fn restore_partitions(&mut self, rows: &RecordBatch) -> Result<()> {
        let keys = self.node.partition.len();
        let (keys, saved) = rows.columns().split_at(keys);
        let (saved, states) = saved.split_at(SAVED.len());
        let groups = self.rows.intern_keys(keys, rows.num_rows())?;
        self.partitions.resize_with(self.rows.partitions.len(), Partition::default);
        for (row, group) in groups.iter().enumerate() {
            let number = |at: usize| saved[at].as_primitive::<Int64Type>().value(row);
            self.partitions[*group as usize].restore(std::array::from_fn(number));
        }
        self.values.merge(&groups, states, self.partitions.len())
    }

    fn table(&self) -> TableSpec {
        let keys = self.node.partition.len();
        TableSpec { name: "partitions", key: keys, route: (0..keys).collect() }
    }
}

impl Operator for Over {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        if change.weights.is_some() {
            return Err(Error::internal("an OVER window of an updating input"));
        }
        let change = self.admit(change, out)?;
        self.add(&change.rows)?;
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.begin(close);
        self.fire(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.fire(out)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let partitions = &self.partitions;
        self.rows.snapshot(to, |group| partitions[group as usize].numbered())?;
        let unsaved = self.unsaved.take();
        let all = 0..self.partitions.len() as u32;
        let groups: Vec<u32> = if to.is_full() { all.collect() } else { unsaved };
        let table = self.table();
        groups.chunks(BATCH_ROWS).try_for_each(|groups| to.put(&table, self.saved(groups)?))
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.due.restore(at);
        let partitions = &mut self.partitions;
        self.rows.restore(from, |row| {
            let group = row.group as usize;
            partitions.resize_with(partitions.len().max(group + 1), Partition::default);
            let time = times(&row.columns[0].slice(row.row, 1))?.value(0);
            partitions[group].insert(Entry { time, code: row.code.into(), number: row.number });
            Ok(())
        })?;
        for rows in from.table("partitions")? {
            check_state(&rows, &self.state)?;
            self.restore_partitions(&rows)?;
        }
        if self.basis == TimeBasis::Event {
            let waiting = self.partitions.iter().zip(0..).filter_map(|(partition, group)| {
                Some((partition.next_time(self.due.complete())?, group))
            });
            self.waiting = waiting.collect();
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let (bytes, rows) = self.rows.size();
        let partitions = self.partitions.capacity() * size_of::<Partition>();
        (bytes + partitions + self.values.bytes(), rows)
    }
}

#[cfg(test)]
mod tests;
