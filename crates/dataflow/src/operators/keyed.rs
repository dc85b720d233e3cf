//! Keys and their running aggregates: what an aggregation keeps, whole or for one window.
//!
//! Invariants: the group of a key in the table is its group in every accumulator; a group is
//! there once a row of it came.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_plan::node::{AggregateCall, AggregateNode, Stage};
use thalweg_state::GroupTable;
use thalweg_types::{Change, Error, Groups, Result};

use super::accumulators::{Accumulators, state_fields};

/// What all tables of one node have in common.
pub struct Blueprint {
    calls: Vec<AggregateCall>,
    /// Columns of the key in the input.
    keys: Vec<usize>,
    key_fields: Vec<Field>,
    stage: Stage,
    /// First column of the partial states in the input, in stage `Final`.
    states_at: usize,
}

impl Blueprint {
    /// Returns the blueprint of `node`, whose input has schema `input`.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported, `Internal` if a column is missing.
    pub fn new(node: &AggregateNode, input: &SchemaRef) -> Result<Arc<Blueprint>> {
        let arguments =
            node.calls.iter().flat_map(|call| call.arguments.iter().chain(&call.filter));
        let window = node.window.iter().flat_map(|spec| [&spec.start, &spec.end]);
        let missing = node
            .keys
            .iter()
            .chain(arguments)
            .chain(window)
            .find(|column| **column >= input.fields().len());
        if let Some(column) = missing {
            return Err(Error::internal(format!(
                "an aggregation of column {column}, which is missing"
            )));
        }
        let blueprint = Blueprint {
            calls: node.calls.clone(),
            keys: node.keys.clone(),
            key_fields: node.keys.iter().map(|key| input.field(*key).clone()).collect(),
            stage: node.stage,
            states_at: node.keys.len() + if node.window.is_some() { 2 } else { 0 },
        };
        let blueprint = Arc::new(blueprint);
        blueprint.keyed()?;
        Ok(blueprint)
    }

    /// Returns the number of key columns.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Returns the key columns of some input rows.
    pub fn keys_of(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.keys.iter().map(|key| rows.column(*key).clone()).collect()
    }

    /// Makes a table of keys.
    ///
    /// # Errors
    /// `Invalid` if a type cannot be a key.
    pub fn table(&self) -> Result<GroupTable> {
        let types = self.key_fields.iter().map(|field| field.data_type().clone());
        GroupTable::new(&types.collect::<Vec<DataType>>())
    }

    /// Makes accumulators.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub fn accumulators(&self) -> Result<Accumulators> {
        Accumulators::new(&self.calls)
    }

    /// Makes an empty table with accumulators.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub fn keyed(self: &Arc<Blueprint>) -> Result<Keyed> {
        let (table, accumulators) = (self.table()?, self.accumulators()?);
        Ok(Keyed { blueprint: self.clone(), table, accumulators, groups: Vec::new() })
    }

    /// Returns the schema of state rows: `keys…`, then `middle`, then `states…`.
    pub fn state_schema(&self, middle: &[Field]) -> SchemaRef {
        let keys = self.key_fields.iter().cloned();
        let fields = keys.chain(middle.iter().cloned()).chain(state_fields(&self.calls));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// A table of keys, and the running aggregates of each.
pub struct Keyed {
    blueprint: Arc<Blueprint>,
    table: GroupTable,
    accumulators: Accumulators,
    /// Room for group numbers, kept between batches.
    groups: Vec<u32>,
}

impl Keyed {
    /// Writes the group of each input row to `groups`, making new ones.
    ///
    /// # Errors
    /// As [`GroupTable::intern`].
    pub fn intern(&mut self, rows: &RecordBatch, groups: &mut Vec<u32>) -> Result<()> {
        self.table.intern(&self.blueprint.keys_of(rows), rows.num_rows(), groups)
    }

    /// Adds input rows, which are partial states in stage `Final`, to their groups.
    ///
    /// # Errors
    /// `Data` on overflow.
    pub fn add(&mut self, change: &Change, groups: &[u32]) -> Result<()> {
        let total = self.table.len();
        match self.blueprint.stage {
            Stage::Final => {
                let states = change.rows.columns().get(self.blueprint.states_at..);
                self.accumulators.merge(groups, states.unwrap_or_default(), total)
            }
            Stage::Whole | Stage::Partial => self.accumulators.update(change, groups, total),
        }
    }

    /// Merges columns `[keys…, states…]`, as [`Keyed::keys_and_states`] gives them.
    ///
    /// # Errors
    /// As `add`.
    pub fn merge(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let (keys, states) = columns.split_at(self.blueprint.key_count());
        self.table.intern(keys, rows, &mut self.groups)?;
        self.accumulators.merge(&self.groups, states, self.table.len())
    }

    /// Merges all groups of `other`.
    ///
    /// # Errors
    /// As `add`.
    pub fn merge_all(&mut self, other: &mut Keyed) -> Result<()> {
        let rows = other.len();
        self.merge(&other.keys_and_states(Groups::First(rows))?, rows)
    }

    /// Returns the key columns of some groups.
    ///
    /// # Errors
    /// As [`GroupTable::keys`].
    pub fn keys(&self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        self.table.keys(groups)
    }

    /// Returns the values of some groups.
    ///
    /// # Errors
    /// `Data` if a value cannot be represented.
    pub fn values(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        self.accumulators.evaluate(groups)
    }

    /// Returns the columns `[keys…, values…]` of some groups.
    ///
    /// # Errors
    /// `Data` if a value cannot be represented.
    pub fn keys_and_values(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let mut columns = self.table.keys(groups)?;
        columns.extend(self.accumulators.evaluate(groups)?);
        Ok(columns)
    }

    /// Returns the columns `[keys…, states…]` of some groups.
    ///
    /// # Errors
    /// `Internal` if a state cannot be read.
    pub fn keys_and_states(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let mut columns = self.table.keys(groups)?;
        columns.extend(self.accumulators.partial(groups)?);
        Ok(columns)
    }

    /// Returns the number of groups.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Is there no group?
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.table.clear();
        self.accumulators.clear();
    }

    /// Returns about how many bytes keys and states take.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.accumulators.bytes()
    }
}
