//! The leading one of all values that a group has: `MIN`, `MAX`, `FIRST_VALUE` and `LAST_VALUE` where
//! rows can be taken back, so that the next value must be known.
//!
//! `FIRST_VALUE` and `LAST_VALUE` go by their `ORDER BY`, and without one by the values: an order of
//! arrival that outlives retractions would depend on workers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt32Array};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use thalweg_types::{Groups, Result};

use super::multisets::{Keeper, KeptColumns, Multisets, OverRows};
use crate::function::{Accumulator, AggregateFunction, Rows};

/// Returns the aggregate called `name` whose value is the argument `value` of the first row in the
/// order of `columns`: which argument, of which type, and how it is sorted. `value` is one of them;
/// where it is NULL the row does not count, unless `keeps_nulls`.
///
/// # Errors
/// `Invalid` if a type has no order.
pub fn leading(
    name: &str,
    value: usize,
    columns: &[(usize, DataType, SortOptions)],
    keeps_nulls: bool,
) -> Result<Arc<dyn AggregateFunction>> {
    let kept = columns.iter().map(|(_, kind, options)| (kind.clone(), *options));
    let place = columns.iter().position(|(argument, _, _)| *argument == value);
    let place = place.expect("the value is one of the columns");
    let order = columns.iter().map(|(argument, kind, options)| {
        let direction = if options.descending { " desc" } else { "" };
        let nulls = if options.nulls_first { " nulls first" } else { "" };
        format!("{argument} {kind}{direction}{nulls}")
    });
    let order = order.collect::<Vec<_>>().join(", ");
    let nulls = if keeps_nulls { " respect nulls" } else { "" };
    let function = Leading {
        name: format!("{name}(all by {order}{nulls})"),
        result: Arc::new(Field::new(name, columns[place].1.clone(), true)),
        kept: KeptColumns::new(kept),
        arguments: columns.iter().map(|(argument, _, _)| *argument).collect(),
        place,
        keeps_nulls,
    };
    function.accumulator()?;
    Ok(Arc::new(function))
}

#[derive(Clone, Debug)]
struct Leading {
    name: String,
    result: FieldRef,
    kept: KeptColumns,
    /// The argument of each kept column.
    arguments: Vec<usize>,
    /// The kept column that is the value.
    place: usize,
    keeps_nulls: bool,
}

impl AggregateFunction for Leading {
    fn name(&self) -> &str {
        &self.name
    }

    fn result(&self) -> FieldRef {
        self.result.clone()
    }

    fn state(&self) -> Vec<FieldRef> {
        vec![self.kept.state()]
    }

    fn entries(&self) -> Vec<FieldRef> {
        self.kept.fields()
    }

    fn is_retractable(&self) -> bool {
        true
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Keeper::new(self.clone(), self.kept.clone())?))
    }
}

impl OverRows for Leading {
    fn arguments(&self) -> &[usize] {
        &self.arguments
    }

    fn times(&self, _: &Rows<'_>, columns: &[ArrayRef], row: usize) -> i64 {
        i64::from(self.keeps_nulls || columns[self.place].is_valid(row))
    }

    fn value(&self, rows: &Multisets, groups: Groups<'_>) -> Result<ArrayRef> {
        let (first, is_there) = rows.first(groups)?;
        let mut next = 0..;
        let places = is_there.into_iter().map(|there| there.then(|| next.next()).flatten());
        let places: UInt32Array = places.collect();
        Ok(take(&first[self.place], &places, None)?)
    }
}
