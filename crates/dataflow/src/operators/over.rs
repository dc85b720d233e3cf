//! Functions over the rows up to each row, in order of time: `OVER` windows.
//!
//! Invariants: rows of a partition are computed in order of time, ties by the whole row, each once
//! and only when no row before it can come any more; by event time that is when the watermark has
//! reached it, and a row is late if that was so at the close before. What no frame can need any
//! more is dropped, and a partition of which nothing is left. Cuts into epochs, workers and crashes
//! change nothing, by event time.
//!
//! With a time-to-live, a partition to which no row came for so long begins anew with the next one; as
//! in Flink, not while rows of it still wait.

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
use thalweg_plan::node::{Frame, OverFunction, OverNode};
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_state::{StateReader, StateWriter, TableSpec};
use thalweg_types::epoch::Ending;
use thalweg_types::{Change, Error, EventTime, Groups, Moment, Result};

use super::batches::{BATCH_ROWS, Results, batch, check_state, groups_of};
use super::coded_rows::{CodedRows, PACK_PARTITIONS};
use super::due::{Due, refuse};
use super::group_set::GroupSet;
use super::idle::Idle;
use super::slices::times;
use crate::operator::{Close, Operator, Output, Step};

use frames::Work;
use partition::{Entry, Partition, Progress, saved_names};
use values::Values;

pub use updating::UpdatingOver;

/// Rows that are computed at once, about.
const WORK_ROWS: usize = 32 * 1024;

/// Keeps rows until their time has come, and as long as frames need them.
pub struct Over {
    node: OverNode,
    /// The frames of its functions.
    frames: Vec<Frame>,
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
    /// How many groups of aggregates were given to partitions.
    slots: u32,
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
    /// Partitions with something to keep, when that was last counted.
    live: usize,
    /// When rows came to partitions, if these have a time-to-live; those of the open epoch.
    idle: Option<Idle>,
    written: GroupSet,
    /// The clock at the last close.
    clock: EventTime,
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
    /// Results that are being sent.
    results: Results,
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
        let frames = node.frames();
        let numbers = saved_names(frames.len()).into_iter();
        let numbers = numbers.map(|name| Field::new(name, DataType::Int64, false));
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
            frames,
            input: input.clone(),
            output,
            unsaved: GroupSet::default(),
            firing: Firing::default(),
            swept_to: i64::MIN,
            slots: 0,
            live: 0,
            idle: node.ttl.map(Idle::new),
            written: GroupSet::default(),
            clock: EventTime::MIN,
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
        resize(&mut self.partitions, &mut self.slots, self.rows.partitions.len());
        if self.idle.is_some() {
            self.written.extend(&groups);
        }
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
        self.firing = Firing { groups, next: 0, until, ahead, results: Results::default() };
    }

    fn fire(&mut self, out: &mut Output) -> Result<Step> {
        loop {
            if !self.firing.results.send(out) {
                return Ok(Step::More);
            }
            let Some(rows) = self.compute()? else {
                self.sweep()?;
                self.forget_idle(out);
                return Ok(Step::Done);
            };
            self.firing.results = Results::new(rows);
        }
    }

    /// Computes the rows of the next partitions; `None` if all are done.
    fn compute(&mut self) -> Result<Option<RecordBatch>> {
        let mut work = Work::new(&self.node, self.values.needs_frames(), self.slots as usize);
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
            columns.extend(self.values.compute(&mut work.steps, &at, &rows)?);
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
    /// watermark has gone on by the length of the longest frame.
    fn sweep(&mut self) -> Result<()> {
        let lengths = self.frames.iter().map(|frame| match frame {
            Frame::Range(length) => *length,
            Frame::Rows(_) => None,
        });
        let lengths: Vec<Option<i64>> = lengths.collect();
        let (Some(longest), TimeBasis::Event) = (lengths.iter().flatten().max(), self.basis) else {
            return Ok(());
        };
        let until = self.firing.until;
        if until == i64::MAX || until.saturating_sub(*longest) <= self.swept_to {
            return Ok(());
        }
        self.swept_to = until;
        for group in 0..self.partitions.len() as u32 {
            self.sweep_partition(group, &lengths, until)?;
        }
        Ok(())
    }

    /// Drops such rows from a partition; frames have these lengths.
    fn sweep_partition(&mut self, group: u32, lengths: &[Option<i64>], until: i64) -> Result<()> {
        let partition = &self.partitions[group as usize];
        let mut framed: Vec<usize> =
            (0..lengths.len()).map(|frame| partition.framed(frame)).collect();
        let mut has_old = false;
        for (frame, length) in lengths.iter().enumerate() {
            let Some(length) = length else { continue };
            let old = partition.outdated(frame, until, *length);
            let count = old.len();
            if count > 0 {
                let old = self.rows.columns(&vec![group; count], old.map(|entry| &*entry.code))?;
                let old = batch(&self.input, old, count)?;
                let to = (partition.slot(), self.slots as usize);
                self.values.take_back(frame, &old, to)?;
                framed[frame] -= count;
                has_old = true;
            }
        }
        if has_old {
            let (done, numbers, framed) = (partition.done(), partition.numbers(), framed.into());
            self.advance(group, Progress { done, framed, numbers });
        }
        Ok(())
    }

    /// Lets partitions begin anew whose time is over.
    fn forget_idle(&mut self, out: &mut Output) {
        let written = self.written.take();
        let Some(idle) = &mut self.idle else { return };
        idle.write(&written, self.clock);
        for group in idle.take(self.clock) {
            let partition = &mut self.partitions[group as usize];
            if partition.waits() {
                idle.write(&[group], self.clock);
                continue;
            }
            let gone = std::mem::replace(partition, Partition::new(self.slots));
            self.slots += 1;
            gone.numbered().for_each(|gone| self.rows.forget(group, gone));
            out.count_forgotten(gone.entries().len().max(1));
            self.unsaved.insert(group);
        }
    }

    /// Is nothing of a partition needed any more?
    fn is_blank(&self, partition: &Partition) -> bool {
        let only_frames = self.node.functions.iter().all(|function| match function {
            OverFunction::Aggregate { frame, .. } => frame.is_bounded(),
            OverFunction::Number(_) => false,
            OverFunction::Copy | OverFunction::Shift { .. } => true,
        });
        partition.entries().is_empty() && (only_frames || partition.is_new())
    }

    /// Gives the memory of partitions of which nothing is needed back, if they are most; all is saved.
    fn pack(&mut self) -> Result<()> {
        let total = self.partitions.len();
        if total < PACK_PARTITIONS.max(2 * self.live) {
            return Ok(());
        }
        let groups = 0..total as u32;
        let live = groups.filter(|group| !self.is_blank(&self.partitions[*group as usize]));
        let live: Vec<u32> = live.collect();
        self.live = live.len();
        if total < 2 * self.live {
            return Ok(());
        }
        self.rows.retain(&live)?;
        let slots: Vec<u32> =
            live.iter().map(|group| self.partitions[*group as usize].slot()).collect();
        self.values.retain(&slots)?;
        let partitions = live.iter().zip(0..).map(|(group, slot)| {
            let partition = &mut self.partitions[*group as usize];
            std::mem::replace(partition, Partition::new(0)).with_slot(slot)
        });
        (self.partitions, self.slots) = (partitions.collect(), live.len() as u32);
        let new = |group| live.binary_search(&group).map_or(0, |new| new as u32);
        self.waiting = self.waiting.iter().map(|(time, group)| (*time, new(*group))).collect();
        if let Some(idle) = &mut self.idle {
            idle.renumber(&live);
        }
        Ok(())
    }

    /// Returns what is saved of some partitions beside their rows.
    fn saved(&mut self, groups: &[u32]) -> Result<RecordBatch> {
        let mut columns = self.rows.partitions.keys(Groups::At(groups))?;
        let frames = self.frames.len();
        let saved = groups.iter().map(|group| self.partitions[*group as usize].saved(frames));
        let saved: Vec<Vec<i64>> = saved.collect();
        columns.extend((0..saved_names(frames).len()).map(|at| -> ArrayRef {
            Arc::new(saved.iter().map(|row| row[at]).collect::<Int64Array>())
        }));
        let slots: Vec<u32> =
            groups.iter().map(|group| self.partitions[*group as usize].slot()).collect();
        columns.extend(self.values.states(&slots)?);
        batch(&self.state, columns, groups.len())
    }

    /// Takes back what was saved of some partitions, whose rows are there.
    fn restore_partitions(&mut self, rows: &RecordBatch) -> Result<()> {
        let keys = self.node.partition.len();
        let (keys, saved) = rows.columns().split_at(keys);
        let frames = self.frames.len();
        let (saved, states) = saved.split_at(saved_names(frames).len());
        let groups = self.rows.intern_keys(keys, rows.num_rows())?;
        resize(&mut self.partitions, &mut self.slots, self.rows.partitions.len());
        for (row, group) in groups.iter().enumerate() {
            let numbers = saved.iter().map(|saved| saved.as_primitive::<Int64Type>().value(row));
            let numbers: Vec<i64> = numbers.collect();
            self.partitions[*group as usize].restore(frames, &numbers)?;
        }
        let slots: Vec<u32> =
            groups.iter().map(|group| self.partitions[*group as usize].slot()).collect();
        self.values.merge(&slots, states, self.slots as usize)
    }

    fn table(&self) -> TableSpec {
        let keys = self.node.partition.len();
        TableSpec { name: "partitions", key: keys, route: (0..keys).collect() }
    }
}

/// Makes room for partitions, each with a group of aggregates of its own.
fn resize(partitions: &mut Vec<Partition>, slots: &mut u32, total: usize) {
    while partitions.len() < total {
        partitions.push(Partition::new(*slots));
        *slots += 1;
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
        self.clock = close.moment.clock;
        self.begin(close);
        self.fire(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.fire(out)
    }

    fn wake(&self) -> Option<EventTime> {
        self.idle.as_ref().and_then(Idle::wake)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let partitions = &self.partitions;
        self.rows.snapshot(to, |group| partitions[group as usize].numbered())?;
        let unsaved = self.unsaved.take();
        let all = 0..self.partitions.len() as u32;
        let groups: Vec<u32> = if to.is_full() { all.collect() } else { unsaved };
        let is_blank = |group: &u32| self.is_blank(&self.partitions[*group as usize]);
        let (blank, groups): (Vec<u32>, Vec<u32>) = groups.into_iter().partition(is_blank);
        let table = self.table();
        if !to.is_full() && !blank.is_empty() {
            let keys = self.rows.partitions.keys(Groups::At(&blank))?;
            let schema = self.state.project(&(0..keys.len()).collect::<Vec<_>>())?;
            to.delete(&table, batch(&Arc::new(schema), keys, blank.len())?)?;
        }
        for groups in groups.chunks(BATCH_ROWS) {
            to.put(&table, self.saved(groups)?)?;
        }
        self.pack()
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.due.restore(at);
        let (partitions, slots) = (&mut self.partitions, &mut self.slots);
        self.rows.restore(from, |row| {
            let group = row.group as usize;
            resize(partitions, slots, group + 1);
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
        if let Some(idle) = &mut self.idle {
            idle.write(&groups_of(0..self.partitions.len()), at.clock);
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let (bytes, rows) = self.rows.size();
        let partitions = self.partitions.capacity() * size_of::<Partition>();
        let idle = self.idle.as_ref().map_or(0, Idle::bytes);
        (bytes + partitions + self.values.bytes() + idle, rows)
    }
}

#[cfg(test)]
mod tests;
