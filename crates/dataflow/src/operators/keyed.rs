//! Keys and their running aggregates: what an aggregation keeps, whole or for one window.
//!
//! Invariants: the group of a key in the table is its group in every accumulator; a group is
//! there once a row of it came.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::compute::kernels::cmp::{gt, neq};
use arrow::compute::{filter, filter_record_batch, not, or};
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef};
use arrow::util::display::array_value_to_string;
use thalweg_plan::distinct::state_fields;
use thalweg_plan::function::Entries;
use thalweg_plan::layout::entry_table;
use thalweg_plan::node::{AggregateCall, AggregateNode, Stage};
use thalweg_state::{GroupTable, StateWriter, TableSpec};
use thalweg_types::{Change, Error, Groups, Result};

use super::accumulators::{Accumulators, Calls, EntryColumns, entry_columns, numbered};
use super::batches::{batch, check_state};
use super::group_set::GroupSet;

/// What all tables of one node have in common.
pub struct Blueprint {
    calls: Vec<AggregateCall>,
    /// Columns of the key in the input.
    keys: Vec<usize>,
    key_fields: Vec<Field>,
    stage: Stage,
    /// Are rows taken back? Then the last call counts them.
    retracts: bool,
    /// First column of the partial states in the input, in stage `Final`.
    states_at: usize,
    /// The fields of the partial states.
    states: Vec<FieldRef>,
}

impl Blueprint {
    /// Returns the blueprint of `node`, whose input has schema `input`.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported, `Internal` if a column is missing.
    pub fn new(node: &AggregateNode, input: &SchemaRef) -> Result<Arc<Blueprint>> {
        // Behind an exchange, calls read states.
        let calls = node.calls.iter().filter(|_| node.stage != Stage::Final);
        let arguments = calls.flat_map(|call| call.arguments.iter().chain(&call.filter));
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
        let states_at = node.keys.len() + if node.window.is_some() { 2 } else { 0 };
        let states = match node.stage {
            Stage::Final => input.fields().iter().skip(states_at).cloned().collect(),
            _ => state_fields(&node.calls, input).into_iter().map(Arc::new).collect(),
        };
        let blueprint = Blueprint {
            calls: node.calls.clone(),
            keys: node.keys.clone(),
            key_fields: node.keys.iter().map(|key| input.field(*key).clone()).collect(),
            stage: node.stage,
            retracts: node.retracts,
            states_at,
            states,
        };
        let blueprint = Arc::new(blueprint);
        blueprint.keyed()?;
        Ok(blueprint)
    }

    /// Returns the number of key columns.
    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    /// Returns the fields of the key.
    pub fn key_fields(&self) -> &[Field] {
        &self.key_fields
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
        Accumulators::new(&Calls {
            calls: &self.calls,
            states: &self.states,
            retracts: self.retracts,
            has_values: self.stage != Stage::Partial,
        })
    }

    /// Are rows taken back?
    pub fn retracts(&self) -> bool {
        self.retracts
    }

    /// Makes an empty table with accumulators.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub fn keyed(self: &Arc<Blueprint>) -> Result<Keyed> {
        let (table, accumulators) = (self.table()?, self.accumulators()?);
        Ok(Keyed { blueprint: self.clone(), table, accumulators, groups: Vec::new() })
    }

    /// Returns the schema of state rows that hold whole states: `keys…`, `middle…`, `states…`.
    pub fn state_schema(&self, middle: &[Field]) -> SchemaRef {
        let keys = self.key_fields.iter().cloned();
        let fields = keys.chain(middle.iter().cloned()).chain(numbered(self.states.clone()));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Returns the schema of state rows beside which entries are saved: `window…, keys…, states…`.
    pub fn saved_schema(&self, window: &[Field]) -> SchemaRef {
        let calls = self.calls.iter().filter(|call| !call.has_entries());
        let states = numbered(calls.flat_map(|call| call.function.state()));
        let fields = window.iter().chain(&self.key_fields).cloned().chain(states);
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Returns restored rows of `schema`, whose states begin at column `first`: what an earlier version of
    /// a function saved becomes what this one keeps.
    ///
    /// # Errors
    /// `State` if they are not rows of it, or cannot become some.
    pub fn restored(
        &self,
        mut rows: RecordBatch,
        schema: &SchemaRef,
        first: usize,
    ) -> Result<RecordBatch> {
        let has_entries = schema.fields().len() - first < self.states.len();
        let is_there = |call: &&AggregateCall| match has_entries {
            true => !call.has_entries(),
            false => !call.distinct,
        };
        let states = self.calls.iter().filter(is_there).flat_map(|call| {
            let columns = call.function.state().len();
            std::iter::repeat_n(&call.function, columns)
        });
        for (place, function) in (first..rows.num_columns()).zip(states) {
            let saved = rows.schema();
            let migrated = function.migrated(saved.field(place), rows.column(place))?;
            if let Some(column) = migrated {
                rows = with_column(&rows, place, column)?;
            }
        }
        check_state(&rows, schema)?;
        Ok(rows)
    }

    /// Returns a column of values of a call as its function has them now, where an earlier version of it sent
    /// them: the one whose state has these fields in rows of `saved`, from column `first` on.
    ///
    /// # Errors
    /// `State` if they cannot become such values.
    pub fn migrated_value(
        &self,
        (saved, first): (&Schema, usize),
        call: usize,
        values: &ArrayRef,
    ) -> Result<Option<ArrayRef>> {
        let Some(asked) = self.calls.get(call).filter(|call| !call.distinct) else {
            return Ok(None);
        };
        let before = self.calls[..call].iter().filter(|call| !call.distinct);
        let place = first + before.map(|call| call.function.state().len()).sum::<usize>();
        let field = saved.fields().get(place);
        field.map_or(Ok(None), |field| asked.function.migrated_value(field, values))
    }

    /// Returns the tables of entries, in the order of [`Keyed::take_entries`]: `window…, keys…`, what
    /// entries are told apart by, and how often there is each.
    ///
    /// # Errors
    /// `Internal` if the states in the input are not those of the calls.
    pub fn entry_tables(&self, window: &[Field]) -> Result<Vec<EntryTable>> {
        let (first, keys) = (window.len(), self.keys.len());
        let tables = entry_columns(&self.calls, &self.states)?.into_iter().enumerate();
        let table = |(place, columns): (usize, EntryColumns)| {
            let heads = window.iter().chain(&self.key_fields).cloned();
            let fields = heads.chain(numbered(columns.fields));
            EntryTable {
                spec: TableSpec {
                    name: entry_table(place),
                    key: first + keys + columns.key,
                    route: (first..first + keys).collect(),
                },
                schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            }
        };
        Ok(tables.map(table).collect())
    }
}

/// Returns rows with another column at `place`.
fn with_column(rows: &RecordBatch, place: usize, column: ArrayRef) -> Result<RecordBatch> {
    let field = rows.schema().field(place).clone().with_data_type(column.data_type().clone());
    let (mut fields, mut columns) = (rows.schema().fields().to_vec(), rows.columns().to_vec());
    (fields[place], columns[place]) = (Arc::new(field), column);
    batch(&Arc::new(Schema::new(fields)), columns, rows.num_rows())
}

/// A table of saved entries.
pub struct EntryTable {
    /// What identifies an entry.
    pub spec: TableSpec<String>,
    /// All columns.
    pub schema: SchemaRef,
}

/// What of a table of the state is put, and the keys that are deleted.
pub struct Saved {
    /// All columns.
    pub put: RecordBatch,
    /// Columns of the key.
    pub delete: RecordBatch,
}

impl Saved {
    /// Hands changes of some tables over.
    ///
    /// # Errors
    /// `Internal` if they do not fit their tables.
    pub fn write(all: Vec<Saved>, tables: &[EntryTable], to: &mut StateWriter) -> Result<()> {
        for (table, Saved { put, delete }) in tables.iter().zip(all) {
            to.put(&table.spec, put)?;
            to.delete(&table.spec, delete)?;
        }
        Ok(())
    }

    /// Returns about how many bytes it takes.
    pub fn bytes(&self) -> usize {
        self.put.get_array_memory_size() + self.delete.get_array_memory_size()
    }
}

/// A table of keys, and the running aggregates of each.
pub struct Keyed {
    /// What is known before there is a group.
    pub blueprint: Arc<Blueprint>,
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

    /// Merges columns `[keys…, states…]`, as [`Keyed::keys_and_saved`] gives them.
    ///
    /// # Errors
    /// As `add`.
    pub fn merge_saved(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let (keys, states) = columns.split_at(self.blueprint.key_count());
        self.table.intern(keys, rows, &mut self.groups)?;
        self.accumulators.merge_saved(&self.groups, states, self.table.len())
    }

    /// Merges entries of table `place`: columns `[keys…, entry…]`.
    ///
    /// # Errors
    /// As `add`.
    pub fn merge_entries(&mut self, place: usize, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let (keys, entry) = columns.split_at(self.blueprint.key_count());
        self.table.intern(keys, rows, &mut self.groups)?;
        let entries = Entries { groups: self.groups.clone(), columns: entry.to_vec() };
        self.accumulators.merge_entries(place, &entries, self.table.len())
    }

    /// Keeps some groups, which get new numbers, and gives the memory of the others back.
    ///
    /// # Errors
    /// As `add`.
    pub fn retain(&mut self, groups: &[u32]) -> Result<()> {
        let mut kept = self.blueprint.keyed()?;
        kept.merge(&self.keys_and_states(Groups::At(groups))?, groups.len())?;
        kept.track();
        *self = kept;
        Ok(())
    }

    /// Notes from now on which entries change.
    pub fn track(&mut self) {
        self.accumulators.track();
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

    /// Returns the values of some groups; behind them, where rows are taken back, how many are left.
    ///
    /// # Errors
    /// `Data` if a value cannot be represented.
    pub fn values(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        self.accumulators.evaluate(groups)
    }

    /// Returns how many rows are left of some groups; all of them were written before.
    ///
    /// # Errors
    /// `Internal` if nobody counts them.
    pub fn rows_left(&mut self, groups: Groups<'_>) -> Result<Vec<i64>> {
        let rows = self.accumulators.evaluate_last(groups)?;
        Ok(rows.as_primitive::<Int64Type>().values().to_vec())
    }

    /// Returns the columns `[keys…, values…]` of those of some groups that have rows, and how many
    /// groups these are.
    ///
    /// # Errors
    /// `Data` if a value cannot be represented.
    pub fn keys_and_values(&mut self, groups: Groups<'_>) -> Result<(Vec<ArrayRef>, usize)> {
        let mut columns = self.table.keys(groups)?;
        columns.extend(self.accumulators.evaluate(groups)?);
        let rows = columns.pop_if(|_| self.blueprint.retracts);
        let Some(rows) = rows else { return Ok((columns, groups.len())) };
        let is_there = gt(&rows, &Int64Array::new_scalar(0))?;
        let columns = columns.iter().map(|column| Ok(filter(column, &is_there)?));
        Ok((columns.collect::<Result<_>>()?, is_there.true_count()))
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

    /// Returns the columns `[keys…, states…]` of some groups, without what entries hold.
    ///
    /// # Errors
    /// `Internal` if a state cannot be read.
    pub fn keys_and_saved(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let mut columns = self.table.keys(groups)?;
        columns.extend(self.accumulators.saved(groups)?);
        Ok(columns)
    }

    /// Returns the entries that changed since the last time, or all, by table; `window` stands before
    /// the keys.
    ///
    /// # Errors
    /// `Internal` if the state cannot be read.
    pub fn take_entries(
        &mut self,
        tables: &[EntryTable],
        window: &dyn Fn(usize) -> Result<Vec<ArrayRef>>,
        all: bool,
    ) -> Result<Vec<Saved>> {
        let entries = self.accumulators.take_entries(all)?;
        let entries = tables.iter().zip(entries).map(|(EntryTable { spec, schema }, entries)| {
            let rows = entries.groups.len();
            let mut columns = window(rows)?;
            columns.extend(self.table.keys(Groups::At(&entries.groups))?);
            columns.extend(entries.columns);
            let changed = batch(schema, columns, rows)?;
            let is_there = is_any(&changed.columns()[spec.key..], rows)?;
            let keys = changed.project(&(0..spec.key).collect::<Vec<_>>())?;
            Ok(Saved {
                put: filter_record_batch(&changed, &is_there)?,
                delete: filter_record_batch(&keys, &not(&is_there)?)?,
            })
        });
        entries.collect()
    }

    /// Returns what deletes all entries of some groups, by table.
    ///
    /// # Errors
    /// `Internal` if the state cannot be read.
    pub fn drop_entries(&mut self, tables: &[EntryTable], groups: &GroupSet) -> Result<Vec<Saved>> {
        let entries = self.accumulators.take_entries(true)?;
        let entries = tables.iter().zip(entries).map(|(EntryTable { spec, schema }, entries)| {
            let is_of = entries.groups.iter().map(|group| Some(groups.contains(*group)));
            let is_of = is_of.collect::<BooleanArray>();
            let mut columns = self.table.keys(Groups::At(&entries.groups))?;
            columns.extend(entries.columns);
            let all = batch(schema, columns, entries.groups.len())?;
            let keys = all.project(&(0..spec.key).collect::<Vec<_>>())?;
            let put = RecordBatch::new_empty(schema.clone());
            Ok(Saved { put, delete: filter_record_batch(&keys, &is_of)? })
        });
        entries.collect()
    }

    /// Checks that no more was taken back from a group than it had.
    ///
    /// # Errors
    /// `Data` that names the key.
    pub fn check(&self) -> Result<()> {
        let Some(group) = self.accumulators.overdrawn()? else { return Ok(()) };
        Err(self.taken_back(group))
    }

    /// Returns the error of a group from which more was taken back than it had.
    pub fn taken_back(&self, group: u32) -> Error {
        let keys = self.table.keys(Groups::At(&[group])).unwrap_or_default();
        let key = keys.iter().map(|key| array_value_to_string(key, 0).unwrap_or_default());
        let key = key.collect::<Vec<_>>().join(", ");
        Error::data(format!("more rows were taken back from key ({key}) than it had"))
            .remedy("a changelog must insert a row before it deletes it")
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

/// Tells the rows in which some count is not 0.
fn is_any(counts: &[ArrayRef], rows: usize) -> Result<BooleanArray> {
    let none = BooleanArray::from(vec![false; rows]);
    counts
        .iter()
        .try_fold(none, |any, counts| Ok(or(&any, &neq(counts, &Int64Array::new_scalar(0))?)?))
}

#[cfg(test)]
mod tests;
