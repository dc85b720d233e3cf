//! The first row of each partition by event time, sent once and never taken back.
//!
//! Invariants: a row is sent at the close at which the watermark has reached its time, when no row of
//! its partition can come that is earlier; ties are broken by the whole row, so which row it is depends
//! neither on the order of arrival nor on epochs, workers and crashes. From then on only the partition
//! is kept. A row is late if the watermark had reached it at the close before.
//!
//! With a time-to-live, a partition is forgotten so long after its row was sent: its next row is a first
//! one again.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use thalweg_plan::node::TopNode;
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_state::{StateReader, StateWriter, TableSpec};
use thalweg_types::{Change, Error, EventTime, Groups, Moment, Result};

use super::batches::{BATCH_ROWS, batch, check_state};
use super::coded_rows::CodedRows;
use super::due::{Due, refuse};
use super::group_set::GroupSet;
use super::idle::Idle;
use super::slices::times;
use crate::operator::{Close, Operator, Output, Step};

/// The table of partitions whose row was sent.
const SENT: &str = "sent";
/// Partitions from which on the memory of forgotten ones is given back.
const PACK_PARTITIONS: usize = 4096;

/// Keeps the first row of each partition until its time has come.
pub struct FirstRow {
    partition: Vec<usize>,
    /// Column of the time.
    time: usize,
    due: Due,
    rows: CodedRows,
    /// By partition.
    first: Vec<First>,
    /// How many partitions there are whose row was sent.
    sent: usize,
    /// Partitions whose row waits, by its time.
    waiting: BTreeSet<(i64, u32)>,
    /// Partitions whose row is to be sent, the next one last.
    sending: Vec<u32>,
    output: SchemaRef,
    /// What is saved of a partition whose row was sent: its key, and the row's time.
    state: SchemaRef,
    /// Partitions whose row was sent since the last snapshot, and ones that were forgotten.
    unsaved: GroupSet,
    forgotten: Vec<u32>,
    /// When rows were sent, if partitions have a time-to-live; the clock at the last close.
    idle: Option<Idle>,
    clock: EventTime,
}

/// What is known of a partition.
#[derive(Debug, Default)]
enum First {
    /// Nothing.
    #[default]
    None,
    /// Its first row so far.
    Waiting(Box<Entry>),
    /// The time of its first row.
    Sent(i64),
}

#[derive(Debug)]
struct Entry {
    time: i64,
    number: u64,
    code: Box<[u8]>,
}

impl FirstRow {
    /// Returns the operator of `node`, whose order is one column of event time.
    ///
    /// # Errors
    /// `Invalid` if a column has no order, `Internal` if the order is another one.
    pub fn new(node: &TopNode, input: &SchemaRef, output: SchemaRef) -> Result<FirstRow> {
        let [order] = node.order.as_slice() else {
            return Err(Error::internal("a first row by event time in another order"));
        };
        let (start, end, basis) = (order.column, order.column, TimeBasis::Event);
        let spec = WindowSpec { assigner: Assigner::Attached, basis, start, end, zone: None };
        let keys = node.partition.iter().enumerate();
        let keys = keys.map(|(n, c)| input.field(*c).clone().with_name(format!("__partition_{n}")));
        let time = Field::new("__time", DataType::Int64, false);
        Ok(FirstRow {
            partition: node.partition.clone(),
            time: order.column,
            due: Due::new(&spec, input)?,
            rows: CodedRows::new(&node.partition, &node.order, input)?,
            first: Vec::new(),
            sent: 0,
            waiting: BTreeSet::new(),
            sending: Vec::new(),
            output,
            state: Arc::new(Schema::new(keys.chain([time]).collect::<Vec<_>>())),
            unsaved: GroupSet::default(),
            forgotten: Vec::new(),
            idle: node.ttl.map(Idle::new),
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
        refuse(&change, late, false, out)?;
        change.take(&good.into())
    }

    /// Keeps the rows that are before those of their partitions.
    fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let groups = self.rows.intern(rows)?;
        let codes = self.rows.ordering.rows(rows)?;
        let times = times(rows.column(self.time))?;
        self.first.resize_with(self.rows.partitions.len(), First::default);
        for (row, group) in groups.into_iter().enumerate() {
            let (code, time) = (codes.row(row).data(), times.value(row));
            match &self.first[group as usize] {
                First::Sent(_) => continue,
                First::Waiting(entry) if *entry.code <= *code => continue,
                First::Waiting(entry) => {
                    self.waiting.remove(&(entry.time, group));
                    self.rows.forget(group, (entry.number, &entry.code));
                }
                First::None => {}
            }
            let number = self.rows.keep(group, code);
            let entry = Entry { time, number, code: code.into() };
            self.first[group as usize] = First::Waiting(Box::new(entry));
            self.waiting.insert((time, group));
        }
        Ok(())
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        while !self.sending.is_empty() {
            if out.is_full() {
                return Ok(Step::More);
            }
            let rest = self.sending.len().saturating_sub(BATCH_ROWS);
            let mut groups = self.sending.split_off(rest);
            groups.reverse();
            out.send(Change::append(self.take(&groups)?));
        }
        self.forget_idle(out);
        Ok(Step::Done)
    }

    /// Takes the rows of partitions, of which only the time is kept.
    fn take(&mut self, groups: &[u32]) -> Result<RecordBatch> {
        let mut entries = Vec::with_capacity(groups.len());
        for group in groups {
            let First::Waiting(entry) = std::mem::take(&mut self.first[*group as usize]) else {
                return Err(Error::internal("a first row is to be sent that is not there"));
            };
            self.first[*group as usize] = First::Sent(entry.time);
            self.rows.forget(*group, (entry.number, &entry.code));
            self.unsaved.insert(*group);
            entries.push(entry);
        }
        self.sent += groups.len();
        if let Some(idle) = &mut self.idle {
            idle.write(groups, self.clock);
        }
        let columns = self.rows.columns(groups, entries.iter().map(|entry| &*entry.code))?;
        batch(&self.output, columns, groups.len())
    }

    /// Forgets the partitions whose time is over.
    fn forget_idle(&mut self, out: &mut Output) {
        let Some(idle) = &mut self.idle else { return };
        let gone = idle.take(self.clock);
        gone.iter().for_each(|group| self.first[*group as usize] = First::None);
        out.count_forgotten(gone.len());
        self.sent -= gone.len();
        self.forgotten.extend(gone);
    }

    /// Gives the memory of forgotten partitions back, if they are most; all is saved.
    fn pack(&mut self) -> Result<()> {
        let is_live = |group: &u32| !matches!(self.first[*group as usize], First::None);
        let live: Vec<u32> = (0..self.first.len() as u32).filter(is_live).collect();
        if self.first.len() < PACK_PARTITIONS.max(live.len() * 2) {
            return Ok(());
        }
        self.rows.retain(&live)?;
        let first = live.iter().map(|group| std::mem::take(&mut self.first[*group as usize]));
        self.first = first.collect();
        if let Some(idle) = &mut self.idle {
            idle.renumber(&live);
        }
        self.unsaved = GroupSet::default();
        self.index();
        Ok(())
    }

    /// Notes which rows wait.
    fn index(&mut self) {
        let waiting = self.first.iter().zip(0..).filter_map(|(first, group)| match first {
            First::Waiting(entry) => Some((entry.time, group)),
            First::None | First::Sent(_) => None,
        });
        self.waiting = waiting.collect();
    }

    fn table(&self) -> TableSpec {
        let keys = self.partition.len();
        TableSpec { name: SENT, key: keys, route: (0..keys).collect() }
    }

    /// Saves partitions whose row was sent.
    fn save(&self, groups: &[u32], to: &mut StateWriter) -> Result<()> {
        let sent = groups.iter().filter_map(|group| match self.first[*group as usize] {
            First::Sent(time) => Some((*group, time)),
            First::None | First::Waiting(_) => None,
        });
        let (groups, times): (Vec<u32>, Vec<i64>) = sent.unzip();
        let mut columns = self.rows.partitions.keys(Groups::At(&groups))?;
        columns.push(Arc::new(Int64Array::from(times)) as ArrayRef);
        to.put(&self.table(), batch(&self.state, columns, groups.len())?)
    }
}

impl Operator for FirstRow {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        if change.weights.is_some() {
            return Err(Error::internal("first rows for good of an updating input"));
        }
        let change = self.admit(change, out)?;
        self.add(&change.rows)?;
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.clock = close.moment.clock;
        self.due.close(close);
        let later = self.waiting.split_off(&(self.due.complete(), 0));
        let due = std::mem::replace(&mut self.waiting, later);
        self.sending = due.into_iter().rev().map(|(_, group)| group).collect();
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn wake(&self) -> Option<EventTime> {
        self.idle.as_ref().and_then(Idle::wake)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let first = &self.first;
        self.rows.snapshot(to, |group| match &first[group as usize] {
            First::Waiting(entry) => Some((entry.number, &*entry.code)).into_iter(),
            First::None | First::Sent(_) => None.into_iter(),
        })?;
        let (forgotten, unsaved) = (std::mem::take(&mut self.forgotten), self.unsaved.take());
        if !to.is_full() && !forgotten.is_empty() {
            let keys = self.state.project(&(0..self.partition.len()).collect::<Vec<_>>())?;
            let columns = self.rows.partitions.keys(Groups::At(&forgotten))?;
            to.delete(&self.table(), batch(&Arc::new(keys), columns, forgotten.len())?)?;
        }
        let all = 0..self.first.len() as u32;
        let groups: Vec<u32> = if to.is_full() { all.collect() } else { unsaved };
        groups.chunks(BATCH_ROWS).try_for_each(|groups| self.save(groups, to))?;
        self.pack()
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.due.restore(at);
        self.clock = at.clock;
        let first = &mut self.first;
        self.rows.restore(from, |row| {
            let group = row.group as usize;
            first.resize_with(first.len().max(group + 1), First::default);
            let time = times(&row.columns[0].slice(row.row, 1))?.value(0);
            let entry = Entry { time, number: row.number, code: row.code.into() };
            first[group] = First::Waiting(Box::new(entry));
            Ok(())
        })?;
        for rows in from.table(SENT)? {
            check_state(&rows, &self.state)?;
            let (time, keys) = rows.columns().split_last().expect("checked: the time is a column");
            let groups = self.rows.intern_keys(keys, rows.num_rows())?;
            self.first.resize_with(self.rows.partitions.len(), First::default);
            for (group, time) in groups.iter().zip(time.as_primitive::<Int64Type>().values()) {
                self.first[*group as usize] = First::Sent(*time);
            }
            self.sent += groups.len();
            if let Some(idle) = &mut self.idle {
                idle.write(&groups, at.clock);
            }
        }
        self.index();
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let (bytes, waiting) = self.rows.size();
        let idle = self.idle.as_ref().map_or(0, Idle::bytes);
        let partitions = self.first.capacity() * size_of::<First>() + self.waiting.len() * 32;
        (bytes + partitions + idle, waiting + self.sent)
    }
}

#[cfg(test)]
mod tests;
