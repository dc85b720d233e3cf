//! How far event time has come for each key, where windows go by the rows of their key alone.
//!
//! Invariants: a key's watermark is so much behind its newest row; it counts from the close of the epoch
//! in which that row came, so a row is late by what came in epochs before; it never goes back. A key is
//! forgotten only where there is a time-to-live, if its watermark did not go on for so long; its windows are
//! complete then. What it has seen decides what is late. Times of rows are instants; windows may lie in the
//! local time of a zone, and are complete as `due.rs` says.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use thalweg_plan::pane::Panes;
use thalweg_plan::window::WindowSpec;
use thalweg_state::{GroupTable, StateReader, StateWriter, TableSpec};
use thalweg_types::time::nanos_per;
use thalweg_types::zone::ZonedUnit;
use thalweg_types::{Error, EventTime, Groups, Result};

use crate::operators::batches::{batch, check_state};
use crate::operators::idle::Idle;
use crate::operators::slices::times;

/// What is known of a key, in the unit of its windows.
#[derive(Clone, Copy, Debug)]
struct Key {
    /// Its newest row, an instant; the least number if there is none.
    newest: i64,
    /// Windows that end at or before this were complete at the last close.
    complete: i64,
    /// The same of the close before.
    before: i64,
    /// Windows that end at or before this take no more rows.
    over: i64,
}

const UNKNOWN: Key = Key { newest: i64::MIN, complete: i64::MIN, before: i64::MIN, over: i64::MIN };

/// The event time of all keys.
pub(super) struct OwnTime {
    /// Column of the time of rows.
    column: usize,
    behind: i64,
    lateness: i64,
    /// Where windows lie in local time: what turns instants into it.
    zone: Option<ZonedUnit>,
    /// By group.
    keys: Vec<Key>,
    /// Keys with rows in the open epoch.
    touched: BTreeSet<u32>,
    /// Keys whose watermark rose at the last close.
    risen: Vec<u32>,
    unsaved: BTreeSet<u32>,
    /// When watermarks went on last, where keys are forgotten.
    idle: Option<Idle>,
    /// Keys that are silent for so long that the last close ended them.
    ended: Vec<u32>,
    /// Keys that were forgotten since the last snapshot.
    gone: BTreeSet<u32>,
    /// How many keys there are that are not forgotten.
    known: usize,
    is_finished: bool,
    /// Shape: keys…, newest.
    state: SchemaRef,
}

impl OwnTime {
    /// Returns the event time of keys with these fields, if windows go by it.
    ///
    /// # Errors
    /// `Internal` if the time of rows is no timestamp.
    pub(super) fn new(
        (panes, window): (&Panes, Option<&WindowSpec>),
        keys: &[Field],
        input: &SchemaRef,
    ) -> Result<Option<OwnTime>> {
        let Some(own) = &panes.own_time else { return Ok(None) };
        let DataType::Timestamp(unit, _) = input.field(own.column).data_type() else {
            return Err(Error::internal("the time of rows is no timestamp"));
        };
        let units = |span: std::time::Duration| {
            i64::try_from(span.as_nanos() / nanos_per(*unit) as u128).unwrap_or(i64::MAX)
        };
        let newest = Field::new("newest", DataType::Int64, false);
        let fields: Vec<Field> = keys.iter().cloned().chain([newest]).collect();
        Ok(Some(OwnTime {
            column: own.column,
            behind: units(own.behind),
            lateness: units(panes.lateness),
            zone: window.and_then(|window| window.zone).map(|zone| zone.in_unit(*unit)),
            keys: Vec::new(),
            touched: BTreeSet::new(),
            risen: Vec::new(),
            unsaved: BTreeSet::new(),
            idle: own.ttl.map(Idle::new),
            ended: Vec::new(),
            gone: BTreeSet::new(),
            known: 0,
            is_finished: false,
            state: Arc::new(Schema::new(fields)),
        }))
    }

    fn key(&self, group: u32) -> Key {
        let key = self.keys.get(group as usize).copied().unwrap_or(UNKNOWN);
        match self.is_finished {
            true => Key { complete: i64::MAX, over: i64::MAX, ..key },
            false => key,
        }
    }

    /// Returns the greatest end of a window of a key that is complete.
    pub(super) fn complete(&self, group: u32) -> i64 {
        self.key(group).complete
    }

    /// Returns what was complete at the close before.
    pub(super) fn before(&self, group: u32) -> i64 {
        self.key(group).before
    }

    /// Returns the greatest end of a window of a key that takes no more rows.
    pub(super) fn over(&self, group: u32) -> i64 {
        self.key(group).over
    }

    /// Goes on to the watermark of a key.
    fn advance(&mut self, group: u32) {
        let (behind, lateness, zone) = (self.behind, self.lateness, self.zone);
        let key = self.key_mut(group);
        // As for all watermarks: no row at or before it is still to come.
        let next = key.newest.saturating_sub(behind).saturating_add(1);
        let local = |instant: i64| zone.map_or(instant, |zone| zone.least_from(instant));
        (key.complete, key.over) = (local(next), local(next.saturating_sub(lateness)));
    }

    /// Takes the times of rows of these groups.
    pub(super) fn note(&mut self, rows: &RecordBatch, groups: &[u32]) -> Result<()> {
        let times = times(rows.column(self.column))?;
        for (group, time) in groups.iter().zip(times.iter()) {
            let Some(time) = time else { continue };
            if self.key_mut(*group).newest < time {
                self.raise(*group, time);
                self.touched.insert(*group);
            }
        }
        Ok(())
    }

    fn raise(&mut self, group: u32, newest: i64) {
        let key = self.key_mut(group);
        let is_new = key.newest == i64::MIN;
        key.newest = newest;
        self.known += usize::from(is_new);
    }

    fn key_mut(&mut self, group: u32) -> &mut Key {
        let needed = (group as usize + 1).max(self.keys.len());
        self.keys.resize(needed, UNKNOWN);
        &mut self.keys[group as usize]
    }

    /// Goes on to a close; returns the groups whose watermark rose, all of them at the end of the input.
    pub(super) fn close(&mut self, (is_finished, clock): (bool, i64), groups: usize) -> Vec<u32> {
        for group in std::mem::take(&mut self.risen) {
            let key = self.key_mut(group);
            key.before = key.complete;
        }
        let touched = std::mem::take(&mut self.touched);
        for group in &touched {
            self.advance(*group);
            self.unsaved.insert(*group);
        }
        self.risen = touched.into_iter().collect();
        if let Some(idle) = &mut self.idle {
            idle.write(&self.risen, EventTime(clock));
            self.ended = idle.take(EventTime(clock));
        }
        // Nothing of these is to come: their windows are complete.
        for number in 0..self.ended.len() {
            let group = self.ended[number];
            let key = self.key_mut(group);
            (key.complete, key.over) = (i64::MAX, i64::MAX);
            self.risen.push(group);
        }
        self.is_finished = is_finished;
        match is_finished {
            true => (0..groups as u32).collect(),
            false => self.risen.clone(),
        }
    }

    /// Forgets the keys that the last close ended, once their windows are sent; returns how many they were.
    pub(super) fn forget(&mut self) -> usize {
        let ended = std::mem::take(&mut self.ended);
        for group in &ended {
            *self.key_mut(*group) = UNKNOWN;
            self.unsaved.remove(group);
            self.gone.insert(*group);
        }
        self.known -= ended.len();
        ended.len()
    }

    /// Returns when a key may be forgotten next, by the clock.
    pub(super) fn wake(&self) -> Option<EventTime> {
        self.idle.as_ref().and_then(Idle::wake)
    }

    /// Returns how many keys must be kept at most.
    pub(super) fn used(&self) -> usize {
        self.known + self.gone.len()
    }

    /// Gives the keys new numbers that must be kept; returns their old ones, in the order of the new ones. Only
    /// between a close and the rows behind it.
    pub(super) fn renumber(&mut self) -> Vec<u32> {
        let is_kept = |group: &u32| self.key(*group).newest > i64::MIN || self.gone.contains(group);
        let old: Vec<u32> = (0..self.keys.len() as u32).filter(is_kept).collect();
        let new = |group: &u32| old.binary_search(group).ok().map(|number| number as u32);
        self.keys = old.iter().map(|group| self.keys[*group as usize]).collect();
        self.risen = self.risen.iter().filter_map(new).collect();
        self.unsaved = self.unsaved.iter().filter_map(new).collect();
        self.gone = self.gone.iter().filter_map(new).collect();
        if let Some(idle) = &mut self.idle {
            idle.renumber(&old);
        }
        old
    }

    fn table(&self) -> TableSpec {
        let keys = self.state.fields().len() - 1;
        TableSpec { name: "times", key: keys, route: (0..keys).collect() }
    }

    pub(super) fn snapshot(&mut self, keys: &GroupTable, to: &mut StateWriter) -> Result<()> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let mut gone = std::mem::take(&mut self.gone);
        gone.retain(|group| self.key(*group).newest == i64::MIN);
        if !to.is_full() && !gone.is_empty() {
            let gone: Vec<u32> = gone.into_iter().collect();
            let table = self.table();
            let schema = Arc::new(self.state.project(&(0..table.key).collect::<Vec<_>>())?);
            to.delete(&table, batch(&schema, keys.keys(Groups::At(&gone))?, gone.len())?)?;
        }
        let groups: Vec<u32> = match to.is_full() {
            true => {
                (0..self.keys.len() as u32).filter(|g| self.key(*g).newest > i64::MIN).collect()
            }
            false => unsaved.into_iter().collect(),
        };
        let mut columns: Vec<ArrayRef> = keys.keys(Groups::At(&groups))?;
        let newest = groups.iter().map(|group| self.keys[*group as usize].newest);
        columns.push(Arc::new(Int64Array::from_iter_values(newest)));
        to.put(&self.table(), batch(&self.state, columns, groups.len())?)
    }

    /// Takes what was saved; it counts as if it had gone on at `clock`.
    pub(super) fn restore(
        &mut self,
        keys: &mut GroupTable,
        from: &StateReader,
        clock: EventTime,
    ) -> Result<()> {
        for rows in from.table("times")? {
            check_state(&rows, &self.state)?;
            let last = rows.num_columns() - 1;
            let mut groups = Vec::new();
            keys.intern(&rows.columns()[..last], rows.num_rows(), &mut groups)?;
            let newest = rows.column(last).as_primitive::<Int64Type>();
            if let Some(idle) = &mut self.idle {
                idle.write(&groups, clock);
            }
            for (group, newest) in groups.into_iter().zip(newest.values()) {
                self.raise(group, *newest);
                self.advance(group);
                let key = self.key_mut(group);
                key.before = key.complete;
            }
        }
        Ok(())
    }

    /// Returns about how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        let lists = self.touched.len() + self.unsaved.len() + self.gone.len();
        let idle = self.idle.as_ref().map_or(0, Idle::bytes);
        self.keys.capacity() * size_of::<Key>() + lists * 16 + idle
    }
}
