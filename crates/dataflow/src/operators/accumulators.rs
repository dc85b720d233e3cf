//! The accumulators of one aggregation's calls, side by side.
//!
//! Invariants: columns of states stand in the order of the calls, each call's state fields in
//! theirs; all accumulators have the same groups. Who has which group is not known here.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::Field;
use thalweg_plan::function::{Accumulator, Rows};
use thalweg_plan::node::AggregateCall;
use thalweg_types::{Change, Error, Groups, Result};

/// One accumulator for each call.
pub struct Accumulators {
    calls: Vec<AggregateCall>,
    accumulators: Vec<Box<dyn Accumulator>>,
}

impl Accumulators {
    /// Makes an accumulator for each call.
    ///
    /// # Errors
    /// `Invalid` if an argument type is not supported.
    pub fn new(calls: &[AggregateCall]) -> Result<Accumulators> {
        let accumulators = calls.iter().map(|call| call.function.accumulator());
        Ok(Accumulators { accumulators: accumulators.collect::<Result<_>>()?, calls: calls.into() })
    }

    /// Adds the rows of `change`, each to its group of `groups`, of which there are `total`.
    ///
    /// # Errors
    /// `Data` on overflow.
    pub fn update(&mut self, change: &Change, groups: &[u32], total: usize) -> Result<()> {
        let column = |index: usize| change.rows.column(index);
        for (call, accumulator) in self.calls.iter().zip(&mut self.accumulators) {
            let arguments: Vec<ArrayRef> =
                call.arguments.iter().map(|index| column(*index).clone()).collect();
            let filter = call.filter.map(|index| column(index).as_boolean());
            let weights = change.weights.as_ref();
            accumulator.update(Rows { groups, arguments: &arguments, filter, weights, total })?;
        }
        Ok(())
    }

    /// Adds partial states, `groups.len()` rows of the columns of all calls.
    ///
    /// # Errors
    /// `Data` on overflow, `Internal` if columns are missing.
    pub fn merge(&mut self, groups: &[u32], mut states: &[ArrayRef], total: usize) -> Result<()> {
        for (call, accumulator) in self.calls.iter().zip(&mut self.accumulators) {
            let (own, rest) =
                states.split_at_checked(call.function.state().len()).ok_or_else(|| {
                    Error::internal(format!("no state of `{}`", call.function.name()))
                })?;
            accumulator.merge(groups, own, total)?;
            states = rest;
        }
        Ok(())
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
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.partial(groups)?);
        }
        Ok(columns)
    }

    /// Returns the values of some groups, a column for each call.
    ///
    /// # Errors
    /// `Data` if a value cannot be represented.
    pub fn evaluate(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        self.accumulators.iter_mut().map(|accumulator| accumulator.evaluate(groups)).collect()
    }

    /// Forgets every group.
    pub fn clear(&mut self) {
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.clear());
    }

    /// Returns about how many bytes the states take.
    pub fn bytes(&self) -> usize {
        self.accumulators.iter().map(|accumulator| accumulator.bytes()).sum()
    }
}

/// Returns the fields of the partial states of `calls`, with names that differ.
pub fn state_fields(calls: &[AggregateCall]) -> Vec<Field> {
    let fields = calls.iter().flat_map(|call| call.function.state()).enumerate();
    fields
        .map(|(n, field)| field.as_ref().clone().with_name(format!("{n} {}", field.name())))
        .collect()
}
