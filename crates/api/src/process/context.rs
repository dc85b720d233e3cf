//! What a function sees of the moment and the key, and what it can do.

use std::any::Any;
use std::cell::OnceCell;
use std::marker::PhantomData;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use thalweg_plan::process::{EPOCH_END, Effects, TimerChange};
use thalweg_plan::window::TimeBasis;
use thalweg_types::{EventTime, Moment, Result};

use super::cells::Slot;
use crate::record::{ReadRows, Record, WriteRows, batch};
use crate::scalar::Timestamp;
use crate::value::Key;

/// A timer of a key: there is one at most of each time and kind, however often it is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Due when the watermark has reached this time.
    Event(Timestamp),
    /// Due when the clock has reached this time.
    Clock(Timestamp),
}

impl Timer {
    /// Returns the time that it was set to.
    pub fn time(self) -> Timestamp {
        match self {
            Timer::Event(time) | Timer::Clock(time) => time,
        }
    }
}

/// A side output: where a function sends rows of another type than those of its result.
pub struct Side<V> {
    pub(crate) port: usize,
    pub(crate) rows: PhantomData<fn(V)>,
}

impl<V> Clone for Side<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Side<V> {}

/// Rows on their way out.
pub(crate) struct Rows<V: Record> {
    columns: V::Columns,
    count: usize,
}

impl<V: Record> Rows<V> {
    /// Returns no rows.
    pub(crate) fn new() -> Rows<V> {
        Rows { columns: V::Columns::with_capacity(0), count: 0 }
    }

    fn push(&mut self, row: &V) {
        self.columns.push(row);
        self.count += 1;
    }

    fn take(&mut self) -> Result<Option<RecordBatch>> {
        match std::mem::take(&mut self.count) {
            0 => Ok(None),
            count => {
                let columns = std::mem::replace(&mut self.columns, V::Columns::with_capacity(0));
                batch::<V>(columns, count).map(Some)
            }
        }
    }
}

/// The rows of a side output.
pub(crate) trait SideRows: Any {
    /// Takes the rows as a batch; `None` if there are none.
    fn take(&mut self) -> Result<Option<RecordBatch>>;
}

impl<V: Record> SideRows for Rows<V> {
    fn take(&mut self) -> Result<Option<RecordBatch>> {
        Rows::take(self)
    }
}

/// What a function does to others, while it runs.
pub(crate) struct Outbox<U: Record> {
    pub(crate) rows: Rows<U>,
    pub(crate) sides: Vec<Box<dyn SideRows>>,
    pub(crate) timers: Vec<TimerChange>,
}

impl<U: Record> Outbox<U> {
    /// Hands everything over.
    pub(crate) fn empty(&mut self, effects: &mut Effects) -> Result<()> {
        effects.timers.append(&mut self.timers);
        effects.sent.extend(self.rows.take()?.map(|rows| (0, rows)));
        for (port, side) in (1..).zip(&mut self.sides) {
            effects.sent.extend(side.take()?.map(|rows| (port, rows)));
        }
        Ok(())
    }

    fn send_to<V: Record>(&mut self, side: Side<V>, row: V) {
        let rows: &mut dyn Any = self.sides[side.port - 1].as_mut();
        let rows = rows.downcast_mut::<Rows<V>>();
        rows.expect("set up: the side output has this type").push(&row);
    }
}

/// The keys of some rows, which are read when somebody asks.
pub(crate) struct Keys<'a, K> {
    columns: &'a [ArrayRef],
    keys: OnceCell<Vec<K>>,
}

impl<'a, K: Key> Keys<'a, K> {
    pub(crate) fn new(columns: &'a [ArrayRef]) -> Keys<'a, K> {
        Keys { columns, keys: OnceCell::new() }
    }

    fn get(&self, row: usize) -> &K {
        let read =
            || K::of_columns(self.columns).expect("written: these columns were made of keys");
        &self.keys.get_or_init(read)[row]
    }
}

/// Where a function runs: some rows of some keys, or some keys of which a timer is due.
pub(crate) struct Site<'a, K, U: Record> {
    pub(crate) keys: Keys<'a, K>,
    /// The group of each row; none for rows without a key.
    pub(crate) groups: &'a [u32],
    pub(crate) weights: Option<&'a Int64Array>,
    pub(crate) at: &'a Moment,
    pub(crate) slots: &'a mut [Box<dyn Slot>],
    pub(crate) outbox: &'a mut Outbox<U>,
}

impl<K: Key, U: Record> Site<'_, K, U> {
    /// Returns what there is for a row, or a timer.
    pub(crate) fn context(&mut self, row: usize) -> Context<'_, K, U> {
        Context {
            keys: &self.keys,
            row,
            group: self.groups[row],
            weight: self.weights.map_or(1, |weights| weights.value(row)),
            at: self.at,
            slots: self.slots,
            outbox: self.outbox,
        }
    }

    /// Calls `function` for each row.
    pub(crate) fn each<T: Record>(
        &mut self,
        rows: &RecordBatch,
        mut function: impl FnMut(T, &mut Context<'_, K, U>) -> Result<()>,
    ) -> Result<()> {
        let records = T::rows(rows)?;
        (0..rows.num_rows()).try_for_each(|row| function(records.get(row), &mut self.context(row)))
    }

    /// Calls `function` for each row of no key.
    pub(crate) fn each_shared<T: Record>(
        &mut self,
        rows: &RecordBatch,
        mut function: impl FnMut(T, &mut BroadcastContext<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut context = BroadcastContext { at: self.at, slots: self.slots };
        T::read(rows)?.into_iter().try_for_each(|row| function(row, &mut context))
    }
}

/// What a function has while it looks at a row, or a timer, of a key: the key, its state by the
/// handles that [`Setup`](crate::Setup) gave, time, and outputs.
pub struct Context<'a, K, U: Record> {
    keys: &'a Keys<'a, K>,
    row: usize,
    pub(crate) group: u32,
    weight: i64,
    at: &'a Moment,
    pub(crate) slots: &'a mut [Box<dyn Slot>],
    outbox: &'a mut Outbox<U>,
}

impl<K: Key, U: Record> Context<'_, K, U> {
    /// Returns the key.
    pub fn key(&self) -> &K {
        self.keys.get(self.row)
    }

    /// Returns what the row counts: 1, and of an updating stream −1 if it is taken back. At a timer 1.
    pub fn weight(&self) -> i64 {
        self.weight
    }

    /// Returns the watermark: no row at or before it is still to come, but for late ones.
    /// [`Timestamp::MIN`] before there is one, [`Timestamp::MAX`] at the end of all input.
    pub fn watermark(&self) -> Timestamp {
        Timestamp::of(self.at.watermark)
    }

    /// Returns the clock: one reading for all rows of an epoch, the same on all workers.
    pub fn clock(&self) -> Timestamp {
        Timestamp::of(self.at.clock)
    }

    /// Sends a row of the result.
    pub fn send(&mut self, row: U) {
        self.outbox.rows.push(&row);
    }

    /// Sends a row to a side output.
    pub fn send_to<V: Record>(&mut self, side: Side<V>, row: V) {
        self.outbox.send_to(side, row);
    }

    /// Sets a timer of this key. One whose time is over is due at the end of this epoch.
    pub fn set_timer(&mut self, timer: Timer) {
        self.change(timer, true);
    }

    /// Deletes a timer of this key; one that was not set is no error.
    pub fn delete_timer(&mut self, timer: Timer) {
        self.change(timer, false);
    }

    /// Asks for a call of `epoch_end` with this key, when no row of this epoch is still to come: neither
    /// from a source nor from any step that could make one, on any worker. There is one call for each key
    /// and epoch, however often it is asked for; what `epoch_end` asks for comes in the same epoch again.
    pub fn notify_at_epoch_end(&mut self) {
        let (group, basis, time) = (self.group, TimeBasis::Processing, EPOCH_END);
        self.outbox.timers.push(TimerChange { group, basis, time, is_set: true });
    }

    fn change(&mut self, timer: Timer, is_set: bool) {
        let time = timer.time().instant();
        let (basis, time) = match timer {
            Timer::Event(_) => (TimeBasis::Event, time),
            // What is long over is due at the end of the epoch, and is no notification of it.
            Timer::Clock(_) => (TimeBasis::Processing, time.max(EventTime(EPOCH_END.0 + 1))),
        };
        let group = self.group;
        self.outbox.timers.push(TimerChange { group, basis, time, is_set });
    }
}

/// What a function has while it looks at a row of a stream that all workers get: time, and the state
/// that all keys see. It has no outputs, since each worker would send the same.
pub struct BroadcastContext<'a> {
    at: &'a Moment,
    pub(crate) slots: &'a mut [Box<dyn Slot>],
}

impl BroadcastContext<'_> {
    /// Returns the watermark, as [`Context::watermark`] does.
    pub fn watermark(&self) -> Timestamp {
        Timestamp::of(self.at.watermark)
    }

    /// Returns the clock, as [`Context::clock`] does.
    pub fn clock(&self) -> Timestamp {
        Timestamp::of(self.at.clock)
    }
}
