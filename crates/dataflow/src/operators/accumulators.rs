//! The accumulators of one aggregation, and the columns that they read and write.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use thalweg_plan::function::{Accumulator, Rows};
use thalweg_plan::node::{AggregateCall, AggregateNode, Stage};
use thalweg_state::GroupTable;
use thalweg_types::{Change, Groups, Result};

/// Rows of one batch of output.
pub const BATCH_ROWS: usize = 8192;

/// Keys and running aggregates.
pub struct Keyed {
    calls: Vec<AggregateCall>,
    keys: Vec<usize>,
    stage: Stage,
    /// First column of the partial states in the input, in stage `Final`.
    states_at: usize,
    table: GroupTable,
    accumulators: Vec<Box<dyn Accumulator>>,
    groups: Vec<u32>,
}

impl Keyed {
    /// Returns an empty table for `node`, whose input has schema `input`.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub fn new(node: &AggregateNode, input: &SchemaRef) -> Result<Keyed> {
        let types: Vec<DataType> =
            node.keys.iter().map(|key| input.field(*key).data_type().clone()).collect();
        let states_at = node.keys.len() + if node.window.is_some() { 2 } else { 0 };
        Ok(Keyed {
            calls: node.calls.clone(),
            keys: node.keys.clone(),
            stage: node.stage,
            states_at,
            table: GroupTable::new(&types)?,
            accumulators: accumulators(&node.calls)?,
            groups: Vec::new(),
        })
    }

    /// Returns the group of each row of `rows`, making new ones.
    ///
    /// # Errors
    /// As [`GroupTable::intern`].
    pub fn intern(&mut self, rows: &RecordBatch) -> Result<Vec<u32>> {
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| rows.column(*key).clone()).collect();
        self.table.intern(&keys, rows.num_rows(), &mut self.groups)?;
        Ok(std::mem::take(&mut self.groups))
    }

    /// Adds rows, or partial states in stage `Final`, to their groups.
    ///
    /// # Errors
    /// `Data` on overflow.
    pub fn add(&mut self, change: &Change, groups: Vec<u32>) -> Result<()> {
        let total = self.table.len();
        match self.stage {
            Stage::Final => {
                let columns = &change.rows.columns()[self.states_at..];
                self.merge_states(columns, &groups)?;
            }
            Stage::Whole | Stage::Partial => {
                update(&mut self.accumulators, &self.calls, change, (&groups, total))?;
            }
        }
        self.groups = groups;
        Ok(())
    }

    /// Merges rows of `[keys…, states…]`, as `keys_and_states` gives them.
    ///
    /// # Errors
    /// As `add`.
    pub fn merge_rows(&mut self, rows: &RecordBatch) -> Result<()> {
        self.merge_columns(rows.columns(), rows.num_rows())
    }

    /// Merges columns of `[keys…, states…]`.
    ///
    /// # Errors
    /// As `add`.
    pub fn merge_columns(&mut self, columns: &[ArrayRef], rows: usize) -> Result<()> {
        let (keys, states) = columns.split_at(self.keys.len());
        let mut groups = std::mem::take(&mut self.groups);
        self.table.intern(keys, rows, &mut groups)?;
        self.merge_states(states, &groups)?;
        self.groups = groups;
        Ok(())
    }

    fn merge_states(&mut self, mut columns: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let total = self.table.len();
        for (call, accumulator) in self.calls.iter().zip(&mut self.accumulators) {
            let (states, rest) = columns.split_at(call.function.state().len());
            accumulator.merge(groups, states, total)?;
            columns = rest;
        }
        Ok(())
    }

    /// Returns the columns `[keys…, values…]` of some groups.
    ///
    /// # Errors
    /// `Data` if a value cannot be represented.
    pub fn keys_and_values(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let mut columns = self.table.keys(groups)?;
        for accumulator in &mut self.accumulators {
            columns.push(accumulator.evaluate(groups)?);
        }
        Ok(columns)
    }

    /// Returns the columns `[keys…, states…]` of some groups.
    ///
    /// # Errors
    /// `Internal` if a state cannot be read.
    pub fn keys_and_states(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let mut columns = self.table.keys(groups)?;
        for accumulator in &mut self.accumulators {
            columns.extend(accumulator.partial(groups)?);
        }
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
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.clear());
    }

    /// Returns about how many bytes keys and states take.
    pub fn bytes(&self) -> usize {
        self.table.bytes() + self.accumulators.iter().map(|a| a.bytes()).sum::<usize>()
    }
}

/// Makes an accumulator for each call.
///
/// # Errors
/// `Invalid` if a type is not supported.
pub fn accumulators(calls: &[AggregateCall]) -> Result<Vec<Box<dyn Accumulator>>> {
    calls.iter().map(|call| call.function.accumulator()).collect()
}

/// Adds the rows of `change` to the accumulators of `calls`.
///
/// # Errors
/// `Data` on overflow.
pub fn update(
    accumulators: &mut [Box<dyn Accumulator>],
    calls: &[AggregateCall],
    change: &Change,
    (groups, total): (&[u32], usize),
) -> Result<()> {
    for (call, accumulator) in calls.iter().zip(accumulators) {
        let arguments: Vec<ArrayRef> =
            call.arguments.iter().map(|column| change.rows.column(*column).clone()).collect();
        let filter = call.filter.map(|column| change.rows.column(column).as_boolean());
        accumulator.update(Rows {
            groups,
            arguments: &arguments,
            filter,
            weights: change.weights.as_ref(),
            total,
        })?;
    }
    Ok(())
}

/// Returns `columns` as rows of `schema`, also when there is none.
///
/// # Errors
/// `Internal` if they do not fit.
pub fn batch(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    debug_assert!(columns.iter().all(|column| column.len() == rows));
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
