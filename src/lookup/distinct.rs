//! Values of calls that read each of their arguments once, such as `COUNT(DISTINCT a)`: out of the arguments,
//! which are kept one by one beside the groups.
//!
//! Invariant: an argument counts once in each window and key, however many slices of the window have it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, UInt32Array, new_empty_array};
use arrow::compute::kernels::cmp::gt;
use arrow::compute::{concat_batches, filter_record_batch, take};
use arrow::datatypes::DataType;
use thalweg_plan::function::{AggregateFunction, Rows};
use thalweg_plan::layout::DistinctArguments;
use thalweg_state::{GroupTable, StateReader};
use thalweg_types::{Error, Groups, Result};

use super::{Lookup, rows_of};

/// What a checkpoint has of a key, and the key's values where they are given.
pub(super) struct Kept<'a> {
    pub(super) reader: &'a StateReader,
    pub(super) key: &'a [Option<ArrayRef>],
}

/// Returns the value of a call for each group of `table`.
///
/// # Errors
/// `State` if there are arguments of other groups, or columns are missing.
pub(super) fn value(
    lookup: &Lookup<'_>,
    kept: &Kept<'_>,
    distinct: &DistinctArguments,
    function: &dyn AggregateFunction,
    table: &mut GroupTable,
) -> Result<ArrayRef> {
    let mut accumulator = function.accumulator()?;
    let total = table.len();
    // Groups without arguments have a value, too.
    let none: Vec<ArrayRef> =
        function.state().iter().map(|field| new_empty_array(field.data_type())).collect();
    accumulator.merge(&[], &none, total)?;
    if let Some((groups, arguments)) = once(lookup, kept, distinct, table)? {
        let (filter, weights) = (None, None);
        accumulator.update(Rows {
            groups: &groups,
            arguments: &arguments,
            filter,
            weights,
            total,
        })?;
    }
    accumulator.evaluate(Groups::First(total))
}

/// Returns the arguments that count, each once in a group.
fn once(
    lookup: &Lookup<'_>,
    kept: &Kept<'_>,
    distinct: &DistinctArguments,
    table: &mut GroupTable,
) -> Result<Option<(Vec<u32>, Vec<ArrayRef>)>> {
    let batches = kept.reader.table(&distinct.table)?;
    let Some(first) = batches.first() else { return Ok(None) };
    let rows = lookup.matching(&concat_batches(&first.schema(), &batches)?, kept.key)?;
    let values_at = lookup.layout.values_at;
    let counts = rows.columns().get(values_at + distinct.values + distinct.filter);
    let counts = counts.ok_or_else(|| {
        let table = &distinct.table;
        Error::state(format!("table `{table}` of a state has fewer columns than its layout"))
    })?;
    let is_there = gt(counts, &Int64Array::new_scalar(0))?;
    let rows = filter_record_batch(&rows, &is_there)?;
    let open = lookup.open_windows(&rows, true)?;
    let heads: Vec<ArrayRef> =
        lookup.heads(&rows, &open, true)?.into_iter().map(|(_, head)| head).collect();
    let (mut groups, total) = (Vec::new(), table.len());
    table.intern(&heads, open.len(), &mut groups)?;
    if table.len() > total {
        return Err(Error::state("a state has arguments of groups that it does not have"));
    }
    let column = |at: usize| Ok(take(rows.column(at), &rows_of(&open), None)?);
    let values = (values_at..values_at + distinct.values).map(column);
    let values = values.collect::<Result<Vec<ArrayRef>>>()?;
    let first = first_of_each(&groups, &values)?;
    let groups = first.values().iter().map(|row| groups[*row as usize]).collect();
    let values = values.iter().map(|column| Ok(take(column, &first, None)?));
    Ok(Some((groups, values.collect::<Result<_>>()?)))
}

/// Returns the places at which a group has values for the first time.
fn first_of_each(groups: &[u32], values: &[ArrayRef]) -> Result<UInt32Array> {
    let of_groups = groups.iter().map(|group| i64::from(*group));
    let of_groups: ArrayRef = Arc::new(Int64Array::from_iter_values(of_groups));
    let columns: Vec<ArrayRef> = std::iter::once(of_groups).chain(values.iter().cloned()).collect();
    let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    let (mut table, mut numbers) = (GroupTable::new(&types)?, Vec::new());
    table.intern(&columns, groups.len(), &mut numbers)?;
    let mut next = 0;
    let is_first = |row: &u32| {
        let is_first = numbers[*row as usize] == next;
        next += u32::from(is_first);
        is_first
    };
    Ok((0..groups.len() as u32).filter(is_first).collect::<Vec<_>>().into())
}
