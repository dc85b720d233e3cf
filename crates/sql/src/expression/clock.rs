//! The wall clock and the watermark in expressions: hidden columns behind the rows' own.
//!
//! Operators hold no clock; what `NOW()` says is the wall clock of the epoch, and
//! `CURRENT_WATERMARK(time)` the watermark that the epoch's rows met, NULL before the first. So each
//! call is replaced by a column that a transform appends, with that one time in every row, before
//! it evaluates.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Cast, Expr, ExprSchemable};
use thalweg_types::{EventTime, Moment, Result};

use crate::functions::{CURRENT_WATERMARK, clock_types};
use crate::text::plan_error;

/// Names of the hidden columns.
const CLOCK: &str = "__proctime";
const WATERMARK: &str = "__watermark";

fn kind() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn fields() -> [Arc<Field>; 2] {
    [Field::new(CLOCK, kind(), false), Field::new(WATERMARK, kind(), true)].map(Arc::new)
}

/// Replaces calls that ask for the time; tells whether there was one.
pub(super) fn replace(expr: &Expr, schema: &DFSchema) -> Result<(Expr, bool)> {
    let replaced = expr.clone().transform(|node| {
        let Some((column, steps)) = hidden(&node, schema)? else {
            return Ok(Transformed::no(node));
        };
        let column = Expr::Column(Column::from_name(column));
        let cast = |expr, kind| Expr::Cast(Cast::new(Box::new(expr), kind));
        Ok(Transformed::yes(steps.into_iter().fold(column, cast)))
    });
    let replaced = replaced.map_err(plan_error)?;
    Ok((replaced.data, replaced.transformed))
}

/// Returns the hidden column that a call reads, and the types through which it becomes what the call
/// returns, if it is such a call.
fn hidden(expr: &Expr, schema: &DFSchema) -> PlanResult<Option<(&'static str, Vec<DataType>)>> {
    let Expr::ScalarFunction(call) = expr else { return Ok(None) };
    Ok(match call.func.name() {
        CURRENT_WATERMARK => Some((WATERMARK, vec![expr.get_type(schema)?])),
        name if call.args.is_empty() => clock_types(name).map(|steps| (CLOCK, steps)),
        _ => None,
    })
}

/// Returns `schema` with the hidden columns behind its own.
pub(super) fn widen(schema: &DFSchema) -> Result<DFSchema> {
    let own = schema.iter().map(|(qualifier, field)| (qualifier.cloned(), field.clone()));
    let fields = own.chain(fields().map(|field| (None, field))).collect();
    DFSchema::new_with_metadata(fields, schema.metadata().clone()).map_err(plan_error)
}

/// Returns `rows` with the hidden columns behind their own.
pub(super) fn append(rows: &RecordBatch, moment: &Moment) -> Result<RecordBatch> {
    let column = |time: Option<EventTime>| {
        let time = time.map(|time| time.to_unit(TimeUnit::Millisecond));
        let times = std::iter::repeat_n(time, rows.num_rows());
        Arc::new(times.collect::<TimestampMillisecondArray>()) as ArrayRef
    };
    let watermark = Some(moment.watermark).filter(|time| *time != EventTime::MIN);
    let hidden = [column(Some(moment.clock)), column(watermark)];
    let schema: Vec<_> = rows.schema_ref().fields().iter().cloned().chain(fields()).collect();
    let columns = rows.columns().iter().cloned().chain(hidden).collect();
    Ok(RecordBatch::try_new(Arc::new(Schema::new(schema)), columns)?)
}
