//! What is saved of a function's keys: entries of their states, and timers.
//!
//! Stored format, version 1: one table for each state, called by its kind and name, with columns
//! `key…, entry, version, value`, and a table `timers` with `key…, is_event, time`. Each entry has the
//! version of its value beside it, so that a snapshot may have values of several.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, is_not_null, is_null};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use thalweg_plan::process::{SavedState, StateChanges, StateKind, StateSpec};
use thalweg_plan::window::TimeBasis;
use thalweg_state::{GroupTable, StateReader, StateWriter, TableSpec};
use thalweg_types::{Error, Groups, Result};

use super::super::batches::{batch, check_state};
use super::timers::Timer;

const TIMERS: &str = "timers";

/// The tables of a function's state.
pub(super) struct Tables {
    keys: Vec<Field>,
    states: Vec<StateSpec>,
}

impl Tables {
    pub(super) fn new(keys: &[DataType], states: &[StateSpec]) -> Tables {
        let keys = keys.iter().enumerate();
        let keys = keys.map(|(n, kind)| Field::new(format!("key {n}"), kind.clone(), true));
        Tables { keys: keys.collect(), states: states.to_vec() }
    }

    fn keys_of(&self, state: &StateSpec) -> &[Field] {
        if state.kind.is_shared() { &[] } else { &self.keys }
    }

    fn schema(&self, state: &StateSpec) -> SchemaRef {
        let own = [
            Field::new("entry", DataType::Binary, false),
            Field::new("version", DataType::UInt32, false),
            Field::new("value", DataType::Binary, true),
        ];
        Arc::new(Schema::new([self.keys_of(state), &own].concat()))
    }

    fn table(&self, state: &StateSpec) -> TableSpec<String> {
        let keys = self.keys_of(state).len();
        TableSpec { name: state.kind.table(&state.name), key: keys + 1, route: (0..keys).collect() }
    }

    /// Hands over what changed of state `place`.
    ///
    /// # Errors
    /// `Internal` if it does not fit the table.
    pub(super) fn save(
        &self,
        place: usize,
        changes: StateChanges,
        table: &GroupTable,
        to: &mut StateWriter,
    ) -> Result<()> {
        let (state, rows) = (&self.states[place], changes.entries.len());
        let mut columns = match state.kind.is_shared() {
            true => Vec::new(),
            false => table.keys(Groups::At(&changes.groups))?,
        };
        let versions = UInt32Array::from_value(state.version, rows);
        columns.extend([Arc::new(changes.entries) as ArrayRef, Arc::new(versions)]);
        columns.push(Arc::new(changes.values.clone()));
        let all = batch(&self.schema(state), columns, rows)?;
        let spec = self.table(state);
        let there = filter_record_batch(&all, &is_not_null(&changes.values)?)?;
        let gone = filter_record_batch(&all, &is_null(&changes.values)?)?;
        let gone = gone.project(&(0..spec.key).collect::<Vec<_>>())?;
        let gone = if to.is_full() { gone.slice(0, 0) } else { gone };
        match state.kind.is_shared() {
            true => {
                to.put_shared(&spec, there)?;
                to.delete_shared(&spec, gone)
            }
            false => {
                to.put(&spec, there)?;
                to.delete(&spec, gone)
            }
        }
    }

    /// Reads what was saved of all states; keys get their groups in `table`.
    ///
    /// # Errors
    /// `State` if a state was of another kind, and what `take` says.
    pub(super) fn restore(
        &self,
        from: &StateReader,
        table: &mut GroupTable,
        take: &mut dyn FnMut(SavedState<'_>) -> Result<()>,
    ) -> Result<()> {
        for (place, state) in self.states.iter().enumerate() {
            check_kind(state, from)?;
            let (schema, keys) = (self.schema(state), self.keys_of(state).len());
            for rows in from.table(&state.kind.table(&state.name))? {
                check_state(&rows, &schema)?;
                let (key, own) = rows.columns().split_at(keys);
                let groups = match state.kind.is_shared() {
                    true => Vec::new(),
                    false => intern(table, key, rows.num_rows())?,
                };
                let saved = SavedState {
                    state: place,
                    groups: &groups,
                    entries: own[0].as_binary::<i32>(),
                    versions: own[1].as_primitive::<UInt32Type>(),
                    values: own[2].as_binary::<i32>(),
                };
                take(saved)?;
            }
        }
        Ok(())
    }

    fn timer_schema(&self) -> SchemaRef {
        let own = [
            Field::new("is_event", DataType::Boolean, false),
            Field::new("time", DataType::Int64, false),
        ];
        Arc::new(Schema::new([self.keys.as_slice(), &own].concat()))
    }

    fn timer_rows(&self, timers: &[Timer], table: &GroupTable) -> Result<RecordBatch> {
        let groups: Vec<u32> = timers.iter().map(|(_, _, group)| *group).collect();
        let mut columns = table.keys(Groups::At(&groups))?;
        let is_event = timers.iter().map(|(basis, _, _)| Some(*basis == TimeBasis::Event));
        columns.push(Arc::new(is_event.collect::<BooleanArray>()));
        let times = timers.iter().map(|(_, time, _)| *time);
        columns.push(Arc::new(Int64Array::from_iter_values(times)));
        batch(&self.timer_schema(), columns, timers.len())
    }

    /// Hands over timers that there are, and ones that are gone.
    ///
    /// # Errors
    /// `Internal` if a key cannot be read.
    pub(super) fn save_timers(
        &self,
        (there, gone): (&[Timer], &[Timer]),
        table: &GroupTable,
        to: &mut StateWriter,
    ) -> Result<()> {
        let keys = self.keys.len();
        let spec = TableSpec { name: TIMERS, key: keys + 2, route: (0..keys).collect() };
        to.put(&spec, self.timer_rows(there, table)?)?;
        to.delete(&spec, self.timer_rows(gone, table)?)
    }

    /// Returns the timers that were saved.
    ///
    /// # Errors
    /// `State` if they are not of these keys.
    pub(super) fn timers(&self, from: &StateReader, table: &mut GroupTable) -> Result<Vec<Timer>> {
        let mut timers = Vec::new();
        for rows in from.table(TIMERS)? {
            check_state(&rows, &self.timer_schema())?;
            let (key, own) = rows.columns().split_at(self.keys.len());
            let (is_event, times) = (own[0].as_boolean(), own[1].as_primitive::<Int64Type>());
            for (row, group) in intern(table, key, rows.num_rows())?.into_iter().enumerate() {
                let basis =
                    if is_event.value(row) { TimeBasis::Event } else { TimeBasis::Processing };
                timers.push((basis, times.value(row), group));
            }
        }
        Ok(timers)
    }
}

/// Returns the groups of keys.
fn intern(table: &mut GroupTable, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
    let mut groups = Vec::new();
    table.intern(keys, rows, &mut groups)?;
    Ok(groups)
}

/// Checks that a state was not saved as one of another kind.
fn check_kind(state: &StateSpec, from: &StateReader) -> Result<()> {
    let others = StateKind::ALL.into_iter().filter(|kind| *kind != state.kind);
    for kind in others {
        if !from.table(&kind.table(&state.name))?.is_empty() {
            let (name, own) = (&state.name, state.kind);
            return Err(Error::state(format!(
                "state `{name}` was saved as a {kind} state, and the program has a {own} state"
            ))
            .remedy("give the new state another name, or begin anew"));
        }
    }
    Ok(())
}
