//! Applies a user's function to the rows and the timers of keys.
//!
//! Invariants: rows are handed over as they come, so those of a key in the order of their channel;
//! timers fire in `close` alone, those by event time before those by the clock, in the order of their
//! times, then of the values of their keys, each of them once. A timer that is set to a time that is
//! over fires at the close. At the end of all input all timers by event time fire, and those by the
//! clock that are due; the others will never be. State with a time-to-live is forgotten at the close at
//! which it was not written for so long; a restore counts as a writing.

mod timers;

mod saved;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_plan::process::{DueTimers, Effects, KeyedRows, ProcessNode, Processor};
use thalweg_plan::window::TimeBasis;
use thalweg_state::{GroupTable, StateReader, StateWriter};
use thalweg_types::epoch::Ending;
use thalweg_types::{Change, Epoch, Error, EventTime, Groups, Moment, Result};

use self::saved::Tables;
use self::timers::Timers;
use super::batches::{BATCH_ROWS, batch, groups_of, next_rows};
use super::idle::Idle;
use super::ordering::Ordering;
use crate::operator::{Close, Operator, Output, Step};

/// Keys from which on the memory of those that have no state any more is given back.
const PACK_KEYS: usize = 4096;
/// Timers that a key may set in one close, while its timers fire, of which it can be that they never
/// end: those of a time that is not later, and at the end of time all.
const AGAIN_MAX: u32 = 1_000_000;

/// Rows that are handed over piece by piece.
struct Waiting {
    input: usize,
    change: Change,
    groups: Vec<u32>,
    next: usize,
}

/// Timers of one time that are fired piece by piece.
struct Firing {
    at: (TimeBasis, i64),
    groups: Vec<u32>,
    next: usize,
}

/// Applies a function to keys.
pub struct Process {
    node: ProcessNode,
    processor: Box<dyn Processor>,
    keys: GroupTable,
    key_types: Vec<DataType>,
    /// The columns of a key alone, and their order.
    key_schema: SchemaRef,
    key_order: Ordering,
    timers: Timers,
    /// When states were written that have a time-to-live.
    idle: Vec<Option<Idle>>,
    tables: Tables,
    /// Is there a watermark? Else event time stands still until the end of the input.
    has_watermark: bool,
    /// Of the rows that come, or of the close.
    moment: Moment,
    waiting: Option<Waiting>,
    firing: Option<Firing>,
    /// Up to when timers are due, by event time and by the clock; set at a close.
    due: (i64, i64),
    /// How many timers keys have set at this close that count for [`AGAIN_MAX`].
    again: BTreeMap<u32, u32>,
    again_max: u32,
    /// Keys from which on it is worth looking for those without state.
    pack_from: usize,
}

impl Process {
    /// Returns the operator of `node`, whose inputs have these schemas.
    ///
    /// # Errors
    /// `Invalid` if a type cannot be a key.
    pub fn new(node: &ProcessNode, inputs: &[SchemaRef], has_watermark: bool) -> Result<Process> {
        let keyed = node.keys.iter().zip(inputs).find(|(keys, _)| !keys.is_empty());
        let (keys, input) =
            keyed.ok_or_else(|| Error::internal("a function over rows without a key"))?;
        let fields: Vec<Field> = keys.iter().map(|key| input.field(*key).clone()).collect();
        let key_types: Vec<DataType> = fields.iter().map(|f| f.data_type().clone()).collect();
        let key_schema: SchemaRef = Arc::new(Schema::new(fields));
        let watermark = EventTime::MIN;
        Ok(Process {
            processor: node.function.processor(),
            keys: GroupTable::new(&key_types)?,
            tables: Tables::new(&key_types, node.function.states()),
            key_order: Ordering::new(&[], &key_schema)?,
            node: node.clone(),
            key_types,
            key_schema,
            timers: Timers::default(),
            idle: node.function.states().iter().map(|state| state.ttl.map(Idle::new)).collect(),
            has_watermark,
            moment: Moment { epoch: Epoch(0), clock: EventTime::MIN, watermark },
            waiting: None,
            firing: None,
            due: (i64::MIN, i64::MIN),
            again: BTreeMap::new(),
            again_max: AGAIN_MAX,
            pack_from: PACK_KEYS,
        })
    }

    /// Returns the moment as it is for the function.
    fn seen(&self, at: &Moment) -> Moment {
        let watermark = if self.has_watermark { at.watermark } else { EventTime::MIN };
        Moment { watermark, ..*at }
    }

    /// Hands rows over while there is room for what they become.
    fn hand_over(&mut self, out: &mut Output) -> Result<Step> {
        let Some(mut waiting) = self.waiting.take() else { return Ok(Step::Done) };
        while waiting.next < waiting.change.len() {
            if out.is_full() {
                self.waiting = Some(waiting);
                return Ok(Step::More);
            }
            let range = next_rows(waiting.next, waiting.change.len(), BATCH_ROWS);
            let change = waiting.change.slice(range.start, range.len());
            let groups = waiting.groups.get(range.clone()).unwrap_or_default();
            let rows = KeyedRows { input: waiting.input, change: &change, groups };
            let mut effects = Effects::default();
            self.processor.rows(rows, &self.moment, &mut effects)?;
            self.apply(effects, out);
            waiting.next = range.end;
        }
        Ok(Step::Done)
    }

    /// Does what a function asked for.
    fn apply(&mut self, effects: Effects, out: &mut Output) {
        effects.timers.into_iter().for_each(|timer| self.timers.change(timer));
        for (port, rows) in effects.sent {
            for start in (0..rows.num_rows()).step_by(BATCH_ROWS) {
                let range = next_rows(start, rows.num_rows(), BATCH_ROWS);
                out.send_to(port, Change::append(rows.slice(range.start, range.len())));
            }
        }
    }

    /// Fires timers that are due while there is room for what they become.
    fn fire(&mut self, out: &mut Output) -> Result<Step> {
        loop {
            let mut firing = match self.firing.take() {
                Some(firing) => firing,
                None => match self.timers.due(self.due.0, self.due.1) {
                    Some(at) => {
                        let groups = self.timers.take(at);
                        Firing { at, groups: self.by_key(groups)?, next: 0 }
                    }
                    None => {
                        self.forget_idle(out);
                        return Ok(Step::Done);
                    }
                },
            };
            while firing.next < firing.groups.len() {
                if out.is_full() {
                    self.firing = Some(firing);
                    return Ok(Step::More);
                }
                let range = next_rows(firing.next, firing.groups.len(), BATCH_ROWS);
                firing.next = range.end;
                let groups = &firing.groups[range];
                let keys = self.keys.keys(Groups::At(groups))?;
                let (basis, time) = firing.at;
                let due = DueTimers { basis, time: EventTime(time), groups, keys: &keys };
                let mut effects = Effects::default();
                self.processor.timers(due, &self.moment, &mut effects)?;
                self.check_again(time, &effects)?;
                self.apply(effects, out);
            }
        }
    }

    /// Forgets states whose time is over.
    fn forget_idle(&mut self, out: &mut Output) {
        for (state, idle) in self.idle.iter_mut().enumerate() {
            let Some(idle) = idle else { continue };
            idle.write(&self.processor.take_written(state), self.moment.clock);
            let gone = idle.take(self.moment.clock);
            out.count_forgotten(self.processor.forget(state, &gone));
        }
    }

    /// Returns groups in the order of their keys.
    fn by_key(&self, groups: Vec<u32>) -> Result<Vec<u32>> {
        if groups.len() < 2 {
            return Ok(groups);
        }
        let keys = batch(&self.key_schema, self.keys.keys(Groups::At(&groups))?, groups.len())?;
        let codes = self.key_order.rows(&keys)?;
        let mut order: Vec<usize> = (0..groups.len()).collect();
        order.sort_unstable_by(|left, right| codes.row(*left).cmp(&codes.row(*right)));
        Ok(order.into_iter().map(|place| groups[place]).collect())
    }

    /// Checks that the timers of a time do not set others without end.
    fn check_again(&mut self, fired: i64, effects: &Effects) -> Result<()> {
        for timer in effects.timers.iter().filter(|timer| timer.is_set) {
            let is_end = timer.basis == TimeBasis::Event && self.due.0 == i64::MAX;
            if timer.time.0 > fired && !is_end {
                continue;
            }
            let again = self.again.entry(timer.group).or_default();
            *again += 1;
            if *again > self.again_max {
                let max = self.again_max;
                return Err(Error::failed(format!(
                    "the timers of a key set others that are due at once, more than {max} times"
                ))
                .remedy(
                    "a timer sets none of its own time or an earlier one, and none for ever when the \
                     watermark is at the end of time, which it is at the end of the input",
                ));
            }
        }
        Ok(())
    }

    /// Forgets keys without state and timers, if they are most; all is saved.
    fn pack(&mut self) -> Result<()> {
        if self.keys.len() < self.pack_from {
            return Ok(());
        }
        let mut is_live: Vec<bool> =
            (0..self.keys.len() as u32).map(|group| self.processor.is_live(group)).collect();
        self.timers.all().for_each(|(_, _, group)| is_live[group as usize] = true);
        let live: Vec<u32> =
            (0..self.keys.len() as u32).filter(|group| is_live[*group as usize]).collect();
        if live.len() * 2 > self.keys.len() {
            self.pack_from = self.keys.len() * 2;
            return Ok(());
        }
        let mut keys = GroupTable::new(&self.key_types)?;
        keys.intern(&self.keys.keys(Groups::At(&live))?, live.len(), &mut Vec::new())?;
        let mut new = vec![None; self.keys.len()];
        (0..).zip(&live).for_each(|(number, group)| new[*group as usize] = Some(number));
        self.timers.renumber(&new);
        self.processor.retain(&live);
        self.idle.iter_mut().flatten().for_each(|idle| idle.renumber(&live));
        self.keys = keys;
        self.pack_from = PACK_KEYS.max(live.len() * 2);
        Ok(())
    }
}

impl Operator for Process {
    fn open(&mut self, at: &Moment) {
        self.moment = self.seen(at);
    }

    fn batch(&mut self, input: usize, change: Change, out: &mut Output) -> Result<Step> {
        if change.weights.is_some() && !self.node.function.takes_updates() {
            return Err(Error::internal("rows are taken back of a function that takes none back"));
        }
        let columns = self.node.keys.get(input).map(Vec::as_slice).unwrap_or_default();
        let mut groups = Vec::new();
        if !columns.is_empty() {
            let keys: Vec<_> = columns.iter().map(|c| change.rows.column(*c).clone()).collect();
            self.keys.intern(&keys, change.len(), &mut groups)?;
            self.processor.grow(self.keys.len());
        }
        self.waiting = Some(Waiting { input, change, groups, next: 0 });
        self.hand_over(out)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        let is_finished = close.ending == Some(Ending::Finish);
        self.moment = self.seen(&close.moment);
        if is_finished {
            self.moment.watermark = EventTime::MAX;
        }
        self.due = (self.moment.watermark.0, self.moment.clock.0);
        self.again.clear();
        self.fire(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        match self.hand_over(out)? {
            Step::More => Ok(Step::More),
            Step::Done if self.firing.is_some() => self.fire(out),
            Step::Done => Ok(Step::Done),
        }
    }

    fn wake(&self) -> Option<EventTime> {
        let idle = self.idle.iter().flatten().filter_map(Idle::wake);
        self.timers.wake().into_iter().chain(idle).min()
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let changes = self.processor.take_changes(to.is_full())?;
        for (place, changes) in changes.into_iter().enumerate() {
            self.tables.save(place, changes, &self.keys, to)?;
        }
        let (there, gone) = self.timers.take_changed();
        match to.is_full() {
            true => {
                let all: Vec<_> = self.timers.all().collect();
                self.tables.save_timers((&all, &[]), &self.keys, to)?;
            }
            false => self.tables.save_timers((&there, &gone), &self.keys, to)?,
        }
        self.pack()
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.moment = self.seen(at);
        let processor = &mut self.processor;
        self.tables.restore(from, &mut self.keys, &mut |saved| {
            let total = saved.groups.iter().max().map_or(0, |last| *last as usize + 1);
            processor.grow(total);
            processor.restore(saved)
        })?;
        for timer in self.tables.timers(from, &mut self.keys)? {
            self.timers.restore(timer);
        }
        self.processor.grow(self.keys.len());
        self.processor.restored();
        for idle in self.idle.iter_mut().flatten() {
            idle.write(&groups_of(0..self.keys.len()), at.clock);
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let idle: usize = self.idle.iter().flatten().map(Idle::bytes).sum();
        let timers = self.timers.len() * 32 + idle;
        (self.keys.bytes() + self.processor.bytes() + timers, self.keys.len())
    }
}

#[cfg(test)]
mod tests;
