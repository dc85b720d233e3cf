//! The wall clock in expressions: a hidden column behind the rows' own.
//!
//! Operators hold no clock; what `NOW()` says is the wall clock of the epoch. So each call is
//! replaced by a column that a transform appends, with that one time in every row, before it
//! evaluates.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::{Cast, Expr};
use thalweg_types::{Moment, Result};

use crate::functions::clock_types;
use crate::text::plan_error;

/// Name of the hidden column.
const COLUMN: &str = "__proctime";

fn kind() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// Replaces calls that ask for the time; tells whether there was one.
pub(super) fn replace(expr: &Expr) -> Result<(Expr, bool)> {
    let replaced = expr.clone().transform(|node| {
        let Some(steps) = clock_of(&node) else { return Ok(Transformed::no(node)) };
        let column = Expr::Column(Column::from_name(COLUMN));
        let cast = |expr, kind| Expr::Cast(Cast::new(Box::new(expr), kind));
        Ok(Transformed::yes(steps.into_iter().fold(column, cast)))
    });
    let replaced = replaced.map_err(plan_error)?;
    Ok((replaced.data, replaced.transformed))
}

/// Returns the types through which the clock becomes what a call returns, if it is such a call.
fn clock_of(expr: &Expr) -> Option<Vec<DataType>> {
    match expr {
        Expr::ScalarFunction(call) if call.args.is_empty() => clock_types(call.func.name()),
        _ => None,
    }
}

/// Returns `schema` with the hidden column behind its own.
pub(super) fn widen(schema: &DFSchema) -> Result<DFSchema> {
    let hidden = (None, Arc::new(Field::new(COLUMN, kind(), false)));
    let own = schema.iter().map(|(qualifier, field)| (qualifier.cloned(), field.clone()));
    let fields = own.chain([hidden]).collect();
    DFSchema::new_with_metadata(fields, schema.metadata().clone()).map_err(plan_error)
}

/// Returns `rows` with the hidden column behind their own.
pub(super) fn append(rows: &RecordBatch, moment: &Moment) -> Result<RecordBatch> {
    let now = moment.clock.to_unit(TimeUnit::Millisecond);
    let times: ArrayRef = Arc::new(TimestampMillisecondArray::from_value(now, rows.num_rows()));
    let fields = rows.schema_ref().fields().iter().cloned();
    let fields = fields.chain([Arc::new(Field::new(COLUMN, kind(), false))]);
    let columns = rows.columns().iter().cloned().chain([times]).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns)?)
}
