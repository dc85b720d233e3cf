//! The accumulators of one aggregation's calls, side by side.
//!
//! Invariants: all accumulators have the same groups; columns of partial states stand as
//! [`thalweg_plan::distinct::state_fields`] says: calls in their order, then sets of distinct
//! values. Of what is saved, values that a group has many of are *entries*, apart from the states.
//! Who has which group is not known here.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use thalweg_plan::distinct::distinct_sets;
use thalweg_plan::function::{Accumulator, Entries, Rows};
use thalweg_plan::node::AggregateCall;
use thalweg_types::{Change, Error, Groups, Result};

use super::distinct_values::{DistinctValues, fields_of};

/// Where the value of a call comes from.
enum Value {
    /// Its own accumulator: one of `own`.
    Own(usize),
    /// A set of distinct values, and its place among the calls of it.
    Distinct { set: usize, place: usize },
}

/// The accumulator of a call that is not distinct.
struct Own {
    call: AggregateCall,
    accumulator: Box<dyn Accumulator>,
}

/// One accumulator for each call, or for several distinct ones.
pub struct Accumulators {
    own: Vec<Own>,
    sets: Vec<DistinctValues>,
    values: Vec<Value>,
}

/// What is known of an aggregation's calls before there is a row.
pub struct Calls<'a> {
    /// The calls.
    pub calls: &'a [AggregateCall],
    /// The fields of their partial states.
    pub states: &'a [FieldRef],
    /// Are rows taken back?
    pub retracts: bool,
    /// Are values asked for, or partial states only?
    pub has_values: bool,
}

impl Accumulators {
    /// Makes the accumulators of some calls.
    ///
    /// # Errors
    /// `Invalid` if an argument type is not supported.
    pub fn new(made: &Calls<'_>) -> Result<Accumulators> {
        let (mut own, mut values) = (Vec::new(), Vec::new());
        for call in made.calls {
            values.push(Value::Own(own.len()));
            if !call.distinct {
                own.push(Own { accumulator: call.function.accumulator()?, call: call.clone() });
            }
        }
        let sets = distinct_sets(made.calls);
        let states = &made.states[made.states.len() - sets.len()..];
        let sets = sets.into_iter().zip(states).enumerate().map(|(at, (set, state))| {
            for (place, (call, _)) in set.calls.iter().enumerate() {
                values[*call] = Value::Distinct { set: at, place };
            }
            let calls = set.calls.iter().filter(|_| made.has_values);
            let accumulators = calls.map(|(call, _)| made.calls[*call].function.accumulator());
            let accumulators = accumulators.collect::<Result<_>>()?;
            DistinctValues::new(set, state, accumulators, made.retracts)
        });
        let sets = sets.collect::<Result<_>>()?;
        Ok(Accumulators { own, sets, values })
    }

    /// Adds the rows of `change`, each to its group of `groups`, of which there are `total`.
    ///
    /// # Errors
    /// `Data` on overflow.
    pub fn update(&mut self, change: &Change, groups: &[u32], total: usize) -> Result<()> {
        let column = |index: usize| change.rows.column(index);
        for Own { call, accumulator } in &mut self.own {
            let arguments: Vec<ArrayRef> =
                call.arguments.iter().map(|index| column(*index).clone()).collect();
            let filter = call.filter.map(|index| column(index).as_boolean());
            let weights = change.weights.as_ref();
            accumulator.update(Rows { groups, arguments: &arguments, filter, weights, total })?;
        }
        self.sets.iter_mut().try_for_each(|set| set.update(change, groups, total))
    }

    /// Adds partial states, `groups.len()` rows of the columns of all calls.
    ///
    /// # Errors
    /// `Data` on overflow, `Internal` if columns are missing.
    pub fn merge(&mut self, groups: &[u32], states: &[ArrayRef], total: usize) -> Result<()> {
        let sets = self.merge_own(groups, states, total, |_| true)?;
        for (set, state) in self.sets.iter_mut().zip(sets) {
            set.merge(groups, state, total)?;
        }
        Ok(())
    }

    /// Adds states as [`Accumulators::saved`] returns them.
    ///
    /// # Errors
    /// As `merge`.
    pub fn merge_saved(&mut self, groups: &[u32], states: &[ArrayRef], total: usize) -> Result<()> {
        self.merge_own(groups, states, total, |call| !call.has_entries())?;
        Ok(())
    }

    /// Adds the states of the calls that are `there`; returns the columns behind them.
    fn merge_own<'s>(
        &mut self,
        groups: &[u32],
        mut states: &'s [ArrayRef],
        total: usize,
        is_there: impl Fn(&AggregateCall) -> bool,
    ) -> Result<&'s [ArrayRef]> {
        for Own { call, accumulator } in self.own.iter_mut().filter(|own| is_there(&own.call)) {
            let (own, rest) =
                states.split_at_checked(call.function.state().len()).ok_or_else(|| {
                    Error::internal(format!("no state of `{}`", call.function.name()))
                })?;
            accumulator.merge(groups, own, total)?;
            states = rest;
        }
        Ok(states)
    }

    /// Merges the states of groups into others: each of `from` into that of `into` beside it.
    ///
    /// # Errors
    /// As `merge`.
    pub fn merge_groups(&mut self, into: &[u32], from: &[u32], total: usize) -> Result<()> {
        debug_assert_eq!(into.len(), from.len());
        if into.is_empty() {
            return Ok(());
        }
        let states = self.partial(Groups::At(from))?;
        self.merge(into, &states, total)
    }

    /// Returns the partial states of some groups.
    ///
    /// # Errors
    /// `Internal` if a state cannot be read.
    pub fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::new();
        for own in &mut self.own {
            columns.extend(own.accumulator.partial(groups)?);
        }
        for set in &self.sets {
            columns.push(set.partial(groups)?);
        }
        Ok(columns)
    }

    /// Returns the states of some groups as they are saved: of calls without entries.
    ///
    /// # Errors
    /// `Internal` if a state cannot be read.
    pub fn saved(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let mut columns = Vec::new();
        for own in self.own.iter_mut().filter(|own| !own.call.has_entries()) {
            columns.extend(own.accumulator.partial(groups)?);
        }
        Ok(columns)
    }

    /// Returns the values of some groups, a column for each call.
    ///
    /// # Errors
    /// `Data` if a value cannot be represented.
    pub fn evaluate(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        (0..self.values.len()).map(|call| self.evaluate_one(call, groups)).collect()
    }

    /// Returns the values of the last call for some groups.
    ///
    /// # Errors
    /// As `evaluate`; `Internal` if there is no call.
    pub fn evaluate_last(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        let last = self.values.len().checked_sub(1);
        self.evaluate_one(last.ok_or_else(|| Error::internal("an aggregation of nothing"))?, groups)
    }

    fn evaluate_one(&mut self, call: usize, groups: Groups<'_>) -> Result<ArrayRef> {
        match self.values[call] {
            Value::Own(place) => self.own[place].accumulator.evaluate(groups),
            Value::Distinct { set, place } => self.sets[set].evaluate(place, groups),
        }
    }

    /// Notes from now on which entries change.
    pub fn track(&mut self) {
        self.own.iter_mut().for_each(|own| own.accumulator.track());
        self.sets.iter_mut().for_each(DistinctValues::track);
    }

    /// Returns the entries that changed since this was asked last, or `all`: for each call that has
    /// some, then for each set of distinct values.
    ///
    /// # Errors
    /// `Internal` if the state cannot be read.
    pub fn take_entries(&mut self, all: bool) -> Result<Vec<Entries>> {
        let own = self.own.iter_mut().filter(|own| own.call.has_entries());
        let own = own.map(|own| own.accumulator.take_entries(all));
        own.chain(self.sets.iter_mut().map(|set| set.take_entries(all))).collect()
    }

    /// Adds saved entries, those of place `place` of [`Accumulators::take_entries`].
    ///
    /// # Errors
    /// `Internal` if columns are missing.
    pub fn merge_entries(&mut self, place: usize, entries: &Entries, total: usize) -> Result<()> {
        let mut own = self.own.iter_mut().filter(|own| own.call.has_entries());
        if let Some(own) = own.nth(place) {
            return own.accumulator.merge_entries(entries, total);
        }
        let own = self.own.iter().filter(|own| own.call.has_entries()).count();
        let set = self.sets.get_mut(place - own);
        set.ok_or_else(|| Error::internal("entries of no call"))?.merge_entries(entries, total)
    }

    /// Returns a group from which more was taken back than it had, if there is one.
    ///
    /// # Errors
    /// `Internal` if the state cannot be read.
    pub fn overdrawn(&self) -> Result<Option<u32>> {
        if let Some(group) = self.own.iter().find_map(|own| own.accumulator.overdrawn()) {
            return Ok(Some(group));
        }
        for set in &self.sets {
            if let Some(group) = set.overdrawn()? {
                return Ok(Some(group));
            }
        }
        Ok(None)
    }

    /// Forgets every group.
    pub fn clear(&mut self) {
        self.own.iter_mut().for_each(|own| own.accumulator.clear());
        self.sets.iter_mut().for_each(DistinctValues::clear);
    }

    /// Returns about how many bytes the states take.
    pub fn bytes(&self) -> usize {
        let own = self.own.iter().map(|own| own.accumulator.bytes());
        own.sum::<usize>() + self.sets.iter().map(DistinctValues::bytes).sum::<usize>()
    }
}

/// Returns fields of states with names that differ.
pub fn numbered(fields: impl IntoIterator<Item = FieldRef>) -> Vec<Field> {
    let fields = fields.into_iter().enumerate();
    fields
        .map(|(n, field)| field.as_ref().clone().with_name(format!("{n} {}", field.name())))
        .collect()
}

/// The columns of saved entries.
pub struct EntryColumns {
    /// What they are told apart by, and how often there is each.
    pub fields: Vec<FieldRef>,
    /// How many of them are the first.
    pub key: usize,
}

/// Returns the columns of entries, in the order of [`Accumulators::take_entries`].
///
/// # Errors
/// `Internal` if `states` are not those of the calls.
pub fn entry_columns(calls: &[AggregateCall], states: &[FieldRef]) -> Result<Vec<EntryColumns>> {
    let own = calls.iter().filter(|call| !call.distinct && call.has_entries()).map(|call| {
        let key = call.function.entries();
        let count = Arc::new(Field::new("count", DataType::Int64, false));
        Ok(EntryColumns { key: key.len(), fields: key.into_iter().chain([count]).collect() })
    });
    let sets = distinct_sets(calls);
    let lists = &states[states.len() - sets.len()..];
    let sets = sets.into_iter().zip(lists).map(|(set, state)| {
        Ok(EntryColumns { key: set.arguments.len(), fields: fields_of(state)?.to_vec() })
    });
    own.chain(sets).collect()
}
