//! Searches the rows of each partition for a pattern: `MATCH_RECOGNIZE`.
//!
//! Rows wait until the watermark has reached them, and then enter their partitions in order, ties by the
//! whole row. Which variables they can be of is asked for all of them at once (`conditions.rs`); then each
//! partition's search steps over them (`search.rs`), one search at a time: the next one begins when it is
//! known what became of the one before, at rows that are kept until then. Matches come out as columns of
//! operands (`operands.rs`).
//!
//! Invariants: what comes out depends on the rows and their order alone; cuts into epochs, workers and
//! crashes change nothing, by event time. A row is late if the watermark had reached it at the close before.
//! A row is dropped when no match can have it any more: at the latest when the time of `WITHIN` behind it
//! is over.

mod layout;

mod program;

mod trail;

mod search;

mod partition;

mod operands;

mod asked;

mod conditions;

mod agenda;

mod saving;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::min;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_plan::pattern::{MatchNode, RowsPerMatch};
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_state::{GroupTable, RowStore, StateReader, StateWriter};
use thalweg_types::epoch::Ending;
use thalweg_types::{Change, Epoch, Error, EventTime, Moment, Result};

use self::agenda::{Agenda, Entry};
use self::asked::Ask;
use self::conditions::Conditions;
use self::operands::{Book, Operands, Shown, View};
use self::partition::{Found, Partition, Progress, SAVED, Setting};
use self::program::Program;
use self::saving::PACK_PARTITIONS;
use self::search::Taken;
use super::batches::{BATCH_ROWS, Results, batch, groups_of};
use super::due::{Due, refuse};
use super::group_set::GroupSet;
use super::idle::Idle;
use super::ordering::Ordering;
use super::slices::times;
use crate::operator::{Close, Operator, Output, Step};

/// Rows that are looked at, and that come out, at once, about: so few that their partitions stay in the
/// processor's cache from one step to the next.
const WORK_ROWS: usize = 8 * 1024;

/// Searches for a pattern.
pub struct Match {
    node: MatchNode,
    program: Program,
    taken: Taken,
    names: Vec<String>,
    conditions: Conditions,
    operands: Operands,
    /// The column of the time.
    time: usize,
    due: Due,
    ordering: Ordering,
    keys: GroupTable,
    key_types: Vec<DataType>,
    /// All rows that are kept, those that wait among them.
    rows: RowStore,
    /// By partition.
    partitions: Vec<Partition>,
    /// Rows that wait for the watermark.
    waiting: Agenda,
    /// Partitions whose searches wait for an end of their time.
    timers: Agenda,
    input: SchemaRef,
    output: SchemaRef,
    /// What is saved of a partition beside its rows.
    state: SchemaRef,
    /// Partitions that were looked at since the last snapshot.
    unsaved: GroupSet,
    /// Partitions of which rows came, or were reached by the watermark, where there is a time-to-live.
    written: GroupSet,
    /// When rows of partitions came last, where these have a time-to-live.
    idle: Option<Idle>,
    /// Partitions that are to be looked at whatever comes: behind a restore.
    restored: Vec<u32>,
    firing: Firing,
    pack_from: usize,
}

/// What a close has to do.
struct Firing {
    moment: Moment,
    until: i64,
    is_end: bool,
    /// Rows whose time has come, by partition and in order, and the next of them.
    due: Vec<Entry>,
    next_due: usize,
    /// Partitions to look at, in order, and the next of them.
    groups: Vec<u32>,
    next: usize,
    /// Partitions in which the search goes on when what was found has been sent.
    open: Vec<u32>,
    /// Results that are being sent.
    results: Results,
}

impl Firing {
    fn new(moment: Moment, until: i64, is_end: bool) -> Firing {
        let (due, groups, open) = (Vec::new(), Vec::new(), Vec::new());
        let (next_due, next, results) = (0, 0, Results::default());
        Firing { moment, until, is_end, due, next_due, groups, next, open, results }
    }
}

impl Match {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a column has no order or cannot be kept, or an aggregate does not take its argument.
    pub fn new(node: &MatchNode, input: &SchemaRef, output: SchemaRef) -> Result<Match> {
        let first = node.order.first();
        let time =
            first.ok_or_else(|| Error::internal("a pattern of rows without an order"))?.column;
        let (start, end, basis) = (time, time, node.basis);
        let spec = WindowSpec { assigner: Assigner::Attached, basis, start, end, zone: None };
        let (conditions, layout) = Conditions::new(node, input)?;
        let program = Program::new(node, conditions.dependent, layout);
        let keys: Vec<Field> = node.partition.iter().map(|c| input.field(*c).clone()).collect();
        let key_types: Vec<DataType> = keys.iter().map(|key| key.data_type().clone()).collect();
        let numbers = SAVED.map(|name| Field::new(name, DataType::Int64, false));
        let moment = Moment { epoch: Epoch(0), clock: EventTime::MIN, watermark: EventTime::MIN };
        Ok(Match {
            due: Due::new(&spec, input)?,
            taken: Taken::new(&program),
            program,
            names: node.variables.iter().map(|variable| variable.name.clone()).collect(),
            conditions,
            operands: Operands::new(&node.operands, input)?,
            time,
            ordering: Ordering::new(&node.order, input)?,
            keys: GroupTable::new(&key_types)?,
            key_types,
            rows: RowStore::new(input.clone())?,
            partitions: Vec::new(),
            waiting: Agenda::default(),
            timers: Agenda::default(),
            node: node.clone(),
            input: input.clone(),
            output,
            state: Arc::new(Schema::new(keys.into_iter().chain(numbers).collect::<Vec<_>>())),
            unsaved: GroupSet::default(),
            written: GroupSet::default(),
            idle: node.ttl.map(Idle::new),
            restored: Vec::new(),
            firing: Firing::new(moment, i64::MIN, false),
            pack_from: PACK_PARTITIONS,
        })
    }

    /// Returns the rows in time; counts the late ones, and those without a time.
    fn admit(&self, change: Change, out: &mut Output) -> Result<Change> {
        let times = times(change.rows.column(self.time))?;
        let is_late = |time: i64| self.due.is_late(time.saturating_add(1));
        if times.null_count() == 0 && min(&times).is_none_or(|first| !is_late(first)) {
            return Ok(change);
        }
        let is_good = |row: &u32| {
            let row = *row as usize;
            times.is_valid(row) && !is_late(times.value(row))
        };
        let (good, late): (Vec<u32>, Vec<u32>) = (0..change.len() as u32).partition(is_good);
        refuse(&change, late, self.node.divert_late, out)?;
        change.take(&good.into())
    }

    /// Lets rows wait for their time.
    fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        let (mut groups, mut slots) = (Vec::new(), Vec::new());
        self.intern(rows.columns(), rows.num_rows(), &mut groups)?;
        if self.idle.is_some() {
            self.written.extend(&groups);
        }
        let all: Vec<u32> = (0..rows.num_rows() as u32).collect();
        self.rows.insert(rows.columns(), &all, &mut slots)?;
        self.wait(rows.columns(), &groups, &slots)
    }

    /// Finds the partitions of rows, of whose columns these are all.
    fn intern(&mut self, columns: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        let keys: Vec<ArrayRef> = self.node.partition.iter().map(|c| columns[*c].clone()).collect();
        self.keys.intern(&keys, rows, groups)?;
        self.partitions.resize_with(self.keys.len(), Partition::default);
        Ok(())
    }

    fn wait(&mut self, columns: &[ArrayRef], groups: &[u32], slots: &[u32]) -> Result<()> {
        let times = times(&columns[self.time])?;
        for ((group, slot), time) in groups.iter().zip(slots).zip(times.values()) {
            self.waiting.push(Entry { time: *time, group: *group, slot: *slot });
        }
        Ok(())
    }

    /// Lets the rows whose time has come into their partitions, and notes which partitions to look at.
    fn begin(&mut self, close: &Close) -> Result<()> {
        self.due.close(close);
        let is_end = close.ending == Some(Ending::Finish);
        let until = self.due.complete();
        let due = self.take_due()?;
        if self.idle.is_some() {
            // A row that waited for longer than partitions live has just come to its own.
            let groups: Vec<u32> = due.iter().map(|entry| entry.group).collect();
            self.written.extend(&groups);
        }
        let timers = self.timers.take(until.saturating_add(1));
        for timer in &timers {
            self.partitions[timer.group as usize].has_timer = false;
        }
        let groups = match is_end {
            true => groups_of(0..self.partitions.len()),
            false => {
                let timed = timers.iter().chain(&due).map(|entry| entry.group);
                let mut groups: Vec<u32> = timed.chain(self.restored.drain(..)).collect();
                groups.sort_unstable();
                groups.dedup();
                groups
            }
        };
        self.unsaved.extend(&groups);
        self.firing = Firing { due, groups, ..Firing::new(close.moment, until, is_end) };
        Ok(())
    }

    /// Takes the rows whose time has come, by partition and in order.
    fn take_due(&mut self) -> Result<Vec<Entry>> {
        let reached = match self.node.basis {
            TimeBasis::Event => self.due.complete(),
            TimeBasis::Processing => i64::MAX,
        };
        let mut due = self.waiting.take(reached);
        due.sort_unstable_by_key(|entry| (entry.group, entry.time));
        self.break_ties(&mut due)?;
        Ok(due)
    }

    /// Orders rows of one partition and time.
    fn break_ties(&self, due: &mut [Entry]) -> Result<()> {
        let is_tie =
            |left: &Entry, right: &Entry| (left.group, left.time) == (right.group, right.time);
        for tie in due.chunk_by_mut(is_tie).filter(|tie| tie.len() > 1) {
            let slots: Vec<u32> = tie.iter().map(|entry| entry.slot).collect();
            let rows = batch(&self.input, self.rows.columns(&slots)?, slots.len())?;
            let codes = self.ordering.rows(&rows)?;
            let mut order: Vec<usize> = (0..slots.len()).collect();
            order.sort_by(|left, right| codes.row(*left).cmp(&codes.row(*right)));
            for (entry, place) in tie.iter_mut().zip(order) {
                entry.slot = slots[place];
            }
        }
        Ok(())
    }

    fn fire(&mut self, out: &mut Output) -> Result<Step> {
        loop {
            if !self.firing.results.send(out) {
                return Ok(Step::More);
            }
            let Some(rows) = self.compute()? else {
                self.forget_idle(out);
                return Ok(Step::Done);
            };
            self.firing.results = Results::new(rows);
        }
    }

    /// Searches the next partitions; `None` if all are done.
    fn compute(&mut self) -> Result<Option<RecordBatch>> {
        let mut open = std::mem::take(&mut self.firing.open);
        if open.is_empty() {
            open = self.next_groups();
            self.look(&open)?;
        }
        if open.is_empty() {
            return Ok(None);
        }
        let groups = open.clone();
        let found = self.search(&mut open)?;
        let results = self.results(found)?;
        for group in groups {
            self.tidy(group);
        }
        self.firing.open = open;
        Ok(Some(results))
    }

    /// Returns the next partitions to look at, with the rows whose time has come.
    fn next_groups(&mut self) -> Vec<u32> {
        let Firing { due, next_due, groups, next, .. } = &mut self.firing;
        let (from, mut rows) = (*next, 0);
        while let Some(group) = groups.get(*next).filter(|_| rows < WORK_ROWS) {
            let partition = &mut self.partitions[*group as usize];
            while let Some(row) = due.get(*next_due).filter(|row| row.group == *group) {
                partition.push(row.time, row.slot);
                *next_due += 1;
            }
            rows += partition.rows.len() - partition.known + 1;
            *next += 1;
        }
        groups[from..*next].to_vec()
    }

    /// Finds the variables that the rows of some partitions can be of which are new.
    fn look(&mut self, groups: &[u32]) -> Result<()> {
        let setting = setting(&self.node, &self.program, &self.conditions, &self.firing);
        let mut rows = Vec::new();
        for group in groups {
            let partition = &mut self.partitions[*group as usize];
            let available = partition.available(&setting).max(partition.known);
            rows.extend((partition.known..available).map(|row| (*group, row)));
            partition.known = available;
        }
        let book = Book { rows: &self.rows, program: &self.program, names: &self.names };
        self.conditions.look(&mut self.partitions, &rows, book, &self.firing.moment)
    }

    /// Searches partitions until much was found; leaves those in which there may be more.
    fn search(&mut self, open: &mut Vec<u32>) -> Result<Vec<Found>> {
        let (mut found, mut rows) = (Vec::new(), 0);
        let mut refused: Vec<Option<Vec<usize>>> = vec![None; open.len()];
        while !open.is_empty() && rows < WORK_ROWS {
            let mut asks: Vec<(u32, Vec<(usize, u32)>)> = Vec::new();
            let setting = setting(&self.node, &self.program, &self.conditions, &self.firing);
            let mut left = open.iter().zip(refused);
            for (group, mut refused) in left.by_ref() {
                let partition = &mut self.partitions[*group as usize];
                let asked = loop {
                    if rows >= WORK_ROWS {
                        break Some(Vec::new());
                    }
                    match partition.advance(*group, &setting, refused.take(), &mut self.taken)? {
                        Progress::Waits => break None,
                        Progress::Asks(threads) => break Some(threads),
                        Progress::Found(one) => {
                            rows += one.places.len() + 1;
                            found.push(one);
                        }
                    }
                };
                asks.extend(asked.map(|threads| (*group, threads)));
            }
            refused = match rows < WORK_ROWS {
                true => self.answer(&asks)?,
                false => Vec::new(),
            };
            *open = asks.into_iter().map(|(group, _)| group).collect();
        }
        Ok(found)
    }

    /// Returns which of the threads that ask do not take the row they ask about, by partition.
    fn answer(&mut self, asks: &[(u32, Vec<(usize, u32)>)]) -> Result<Vec<Option<Vec<usize>>>> {
        let Match { partitions, program, conditions, rows, names, .. } = self;
        let questions = asks.iter().flat_map(|(group, threads)| {
            let partition = &partitions[*group as usize];
            let doubts = partition.rows[partition.next()].doubts;
            threads
                .iter()
                .map(move |(thread, place)| (partition, (*group, doubts), *thread, *place))
        });
        let questions = questions.map(|(partition, (group, doubts), thread, place)| {
            let variable = program.places[place as usize].variable;
            let is_in_doubt = doubts & variable.bit() != 0;
            Ask { variable, group, link: partition.link(thread), place, is_in_doubt }
        });
        let questions: Vec<Ask> = questions.collect();
        let book = Book { rows, program, names };
        let moment = &self.firing.moment;
        let mut answers = conditions.answer(&questions, partitions, book, moment)?.into_iter();
        conditions.compact(partitions, book)?;
        let refused = asks.iter().map(|(_, threads)| {
            let answered = threads.iter().zip(answers.by_ref());
            Some(answered.filter(|(_, holds)| !holds).map(|((thread, _), _)| *thread).collect())
        });
        Ok(refused.collect())
    }

    /// Returns what comes out of what was found.
    fn results(&mut self, found: Vec<Found>) -> Result<RecordBatch> {
        let Match { partitions, program, rows, names, node, .. } = self;
        let views = found.into_iter().map(|found| View {
            partition: &partitions[found.group as usize],
            first: found.first,
            places: found.places,
            number: found.number,
        });
        let views: Vec<View<'_>> = views.collect();
        let (mut shown, mut slots) = (Vec::new(), Vec::new());
        for (number, view) in views.iter().enumerate() {
            for seen in shown_rows(view, node.rows, program) {
                let row = view.first + seen.saturating_sub(1);
                slots.push(view.partition.rows.get(row).map(|row| row.slot));
                shown.push(Shown { view: number, rows: seen });
            }
        }
        let book = Book { rows, program, names };
        let mut columns = book.project(&node.columns, &slots)?;
        columns.extend(self.operands.columns(book, &views, &shown)?);
        batch(&self.output, columns, shown.len())
    }

    /// Drops the rows of a partition that are not needed any more, and sets its timer.
    fn tidy(&mut self, group: u32) {
        let partition = &mut self.partitions[group as usize];
        for slot in partition.trim(self.node.rows_back()) {
            self.rows.remove(slot);
        }
        let setting = setting(&self.node, &self.program, &self.conditions, &self.firing);
        let is_waiting = !partition.has_timer && partition.next() >= partition.rows.len();
        let deadline = partition.deadline(&setting).filter(|time| *time > setting.until);
        if let Some(time) = deadline.filter(|_| is_waiting) {
            self.timers.push(Entry { time, group, slot: 0 });
            partition.has_timer = true;
        }
    }
}

/// Returns what holds for all partitions at a close.
fn setting<'a>(
    node: &MatchNode,
    program: &'a Program,
    conditions: &Conditions,
    firing: &Firing,
) -> Setting<'a> {
    Setting {
        program,
        skip: node.skip,
        too_long: node.within.map(|within| within.saturating_add(1)),
        shows_unmatched: matches!(node.rows, RowsPerMatch::All { shows_unmatched: true, .. }),
        ahead: node.rows_ahead(),
        dependent: conditions.dependent,
        until: firing.until,
        is_end: firing.is_end,
    }
}

/// Returns how many rows of a match are seen in each row that comes out.
fn shown_rows(view: &View<'_>, rows: RowsPerMatch, program: &Program) -> Vec<usize> {
    match rows {
        RowsPerMatch::One => vec![view.places.len()],
        RowsPerMatch::All { shows_empty, .. } if view.places.is_empty() => {
            let is_out = view.number.is_none() || shows_empty;
            if is_out { vec![0] } else { Vec::new() }
        }
        RowsPerMatch::All { .. } => {
            let places = view.places.iter().enumerate();
            let seen = places.filter(|(_, place)| !program.places[**place as usize].is_hidden);
            seen.map(|(row, _)| row + 1).collect()
        }
    }
}

impl Operator for Match {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        if change.weights.is_some() {
            return Err(Error::internal("a pattern of rows in an updating input"));
        }
        let change = self.admit(change, out)?;
        self.add(&change.rows)?;
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.begin(close)?;
        self.fire(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.fire(out)
    }

    fn wake(&self) -> Option<EventTime> {
        let timer = self.timers.next().and_then(|next| self.due.wake(next));
        let idle = self.idle.as_ref().and_then(Idle::wake);
        timer.into_iter().chain(idle).min()
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.rows.snapshot("rows", &self.node.partition, to)?;
        let unsaved = self.unsaved.take();
        let groups = if to.is_full() { groups_of(0..self.partitions.len()) } else { unsaved };
        for groups in groups.chunks(BATCH_ROWS) {
            self.save(groups, to)?;
        }
        self.pack()
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.due.restore(at);
        let slots = self.rows.restore("rows", from)?;
        self.restore_rows(&slots)?;
        self.restore_partitions(from)?;
        if let Some(idle) = &mut self.idle {
            idle.write(&groups_of(0..self.partitions.len()), at.clock);
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let partitions = self.partitions.capacity() * size_of::<Partition>();
        let kept: usize = self.partitions.iter().map(Partition::bytes).sum();
        let agendas = self.waiting.bytes() + self.timers.bytes();
        let bytes = self.rows.bytes() + self.keys.bytes() + self.conditions.bytes();
        let bytes = bytes + self.idle.as_ref().map_or(0, Idle::bytes);
        (bytes + partitions + kept + agendas, self.rows.len())
    }
}

#[cfg(test)]
mod tests;
