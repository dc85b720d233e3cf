//! DataFusion's expressions as functions over batches.
//!
//! Invariants: an expression that fails for a row is an error of kind `Data` that names the
//! expression; a value that does not fit the type it must have is such an error too, never NULL.

mod clock;
mod flink;

pub(crate) use flink::column_name;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, RecordBatchOptions,
};
use datafusion::arrow::compute::{
    CastOptions, cast_with_options, filter, filter_record_batch, max,
};
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, ExprSchemable, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use thalweg_plan::function::{Condition, Transform, Watermarker};
use thalweg_plan::trail::Share;
use thalweg_types::{Change, Error, EventTime, Moment, Result, Zone};

use crate::local_time::zone_of;
use crate::text::{data_error, plan_error};

/// An expression and its text, for errors.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    physical: Arc<dyn PhysicalExpr>,
    text: String,
    /// The same for `EXPLAIN`.
    shown: String,
    /// Is it a column as it is?
    is_column: bool,
    /// The column whose values it keeps apart.
    origin: Option<usize>,
    /// Does it read the wall clock, from the hidden column?
    reads_clock: bool,
    /// The time zone that it depends on.
    zone: Option<Zone>,
}

impl Expression {
    /// Plans `expr` over rows of the schema `given`.
    ///
    /// # Errors
    /// `Invalid` if it cannot be computed row by row.
    pub(crate) fn new(expr: &Expr, given: &DFSchema) -> Result<Expression> {
        flink::check(expr)?;
        let (replaced, reads_clock) = clock::replace(expr, given)?;
        let schema = match reads_clock {
            true => Cow::Owned(clock::widen(given)?),
            false => Cow::Borrowed(given),
        };
        let replaced = flink::casts(replaced, &schema)?;
        let context = PhysicalPlanningContext::default();
        let physical = create_physical_expr(&replaced, &schema, &ExecutionProps::new(), &context);
        let physical = physical.map_err(plan_error)?;
        let (text, shown) = (flink::text(expr), flink::shown(expr));
        let origin = origin(expr, given);
        let is_column = matches!(expr.clone().unalias_nested().data, Expr::Column(_));
        let zone = zone_of(expr);
        Ok(Expression { physical, text, shown, is_column, origin, reads_clock, zone })
    }

    /// Computes the expression for each row.
    ///
    /// # Errors
    /// `Data` if it fails for one of them.
    pub(crate) fn evaluate(&self, rows: &RecordBatch, moment: &Moment) -> Result<ArrayRef> {
        match self.reads_clock {
            true => self.evaluate_plain(&clock::append(rows, moment)?),
            false => self.evaluate_plain(rows),
        }
    }

    /// Returns the time zone that it depends on, if it depends on one.
    pub(crate) fn zone(&self) -> Option<Zone> {
        self.zone
    }

    fn evaluate_plain(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        let value = self.physical.evaluate(rows);
        let value = value.and_then(|value| value.into_array(rows.num_rows()));
        value.map_err(|error| data_error(error, &self.text))
    }

    /// Returns times, and their unit.
    fn times(&self, rows: &RecordBatch) -> Result<(Int64Array, TimeUnit)> {
        let times = self.evaluate_plain(rows)?;
        let DataType::Timestamp(unit, _) = times.data_type() else {
            return Err(Error::internal("a watermark that is no timestamp"));
        };
        let unit = *unit;
        Ok((fitted(times, &DataType::Int64)?.as_primitive::<Int64Type>().clone(), unit))
    }
}

/// Returns the column of `schema` whose values an expression keeps apart: the column itself, or
/// cast to a type that has them all.
fn origin(expr: &Expr, schema: &DFSchema) -> Option<usize> {
    match expr {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        Expr::Alias(alias) => origin(&alias.expr, schema),
        Expr::Cast(cast) => {
            let from = cast.expr.get_type(schema).ok()?;
            has_all(cast.field.data_type(), &from).then(|| origin(&cast.expr, schema)).flatten()
        }
        _ => None,
    }
}

/// Does a type have each value of another one as a value of its own?
fn has_all(wide: &DataType, narrow: &DataType) -> bool {
    let is_text = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::Utf8View);
    let is_wider = wide.primitive_width() >= narrow.primitive_width();
    wide == narrow
        || (is_text(wide) && is_text(narrow))
        || (wide.is_signed_integer() && narrow.is_signed_integer() && is_wider)
}

/// Returns `column` as `kind`.
///
/// # Errors
/// `Data` if a value does not fit.
pub(crate) fn fitted(column: ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    if column.data_type() == kind {
        return Ok(column);
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&column, kind, &options).map_err(|error| Error::data(error.to_string()))
}

/// Makes rows of `schema`.
///
/// # Errors
/// `Data` if a column that is declared NOT NULL holds one.
pub(crate) fn rows_of(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    count: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options);
    rows.map_err(|error| Error::data(error.to_string()))
}

/// Computes columns.
#[derive(Debug)]
pub(crate) struct Projection {
    expressions: Vec<Expression>,
    schema: SchemaRef,
}

impl Projection {
    pub(crate) fn new(expressions: Vec<Expression>, schema: SchemaRef) -> Projection {
        Projection { expressions, schema }
    }
}

impl Transform for Projection {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, moment: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let columns = self.expressions.iter().zip(self.schema.fields());
        let columns = columns.map(|(expression, field)| {
            fitted(expression.evaluate(&input.rows, moment)?, field.data_type())
        });
        let rows = rows_of(&self.schema, columns.collect::<Result<_>>()?, input.len())?;
        out.push(Change { rows, weights: input.weights.clone() });
        Ok(())
    }

    fn explain(&self) -> String {
        let texts: Vec<&str> = self.expressions.iter().map(|e| e.text.as_str()).collect();
        format!("project {}", texts.join(", "))
    }

    fn describe(&self) -> Option<String> {
        let columns = self.expressions.iter().zip(self.schema.fields());
        let computed = columns.filter(|(expression, _)| !expression.is_column);
        let computed = computed.map(|(expression, field)| {
            let (shown, name) = (&expression.shown, flink::name_shown(field.name()));
            if *shown == name { name } else { format!("{shown} AS {name}") }
        });
        let computed: Vec<String> = computed.collect();
        (!computed.is_empty()).then(|| format!("computes {}", computed.join(", ")))
    }

    fn is_row_by_row(&self) -> bool {
        true
    }

    fn origin(&self, column: usize) -> Option<usize> {
        self.expressions.get(column)?.origin
    }

    fn is_processing_time(&self) -> bool {
        self.expressions.iter().any(|expression| expression.reads_clock)
    }

    fn zone(&self) -> Option<Zone> {
        self.expressions.iter().find_map(|expression| expression.zone)
    }
}

/// Keeps the rows for which a condition is true, and the columns that are read behind it.
#[derive(Debug)]
pub(crate) struct Filter {
    condition: Expression,
    /// Columns that are kept; `None` for all.
    columns: Option<Vec<usize>>,
    schema: SchemaRef,
}

impl Filter {
    /// Returns a filter of rows of `schema`, all of whose columns are kept.
    pub(crate) fn new(condition: Expression, schema: SchemaRef) -> Filter {
        Filter { condition, columns: None, schema }
    }

    /// Returns a filter that keeps some columns of its input; `schema` is theirs.
    pub(crate) fn keeping(condition: Expression, columns: Vec<usize>, schema: SchemaRef) -> Filter {
        Filter { condition, columns: Some(columns), schema }
    }
}

impl Transform for Filter {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, moment: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let keep = self.condition.evaluate(&input.rows, moment)?;
        let keep: &BooleanArray = keep.as_boolean();
        let count = keep.true_count();
        if count == 0 {
            return Ok(());
        }
        let rows = match &self.columns {
            None => Cow::Borrowed(&input.rows),
            Some(columns) => Cow::Owned(input.rows.project(columns)?),
        };
        if count == input.len() {
            out.push(Change { rows: rows.into_owned(), weights: input.weights.clone() });
            return Ok(());
        }
        let rows = filter_record_batch(&rows, keep)?;
        let weights = match &input.weights {
            None => None,
            Some(weights) => Some(filter(weights, keep)?.as_primitive::<Int64Type>().clone()),
        };
        out.push(Change { rows, weights });
        Ok(())
    }

    fn explain(&self) -> String {
        format!("filter {}", self.condition.text)
    }

    fn describe(&self) -> Option<String> {
        Some(format!("keeps rows where {}", self.condition.shown))
    }

    fn origin(&self, column: usize) -> Option<usize> {
        match &self.columns {
            None => Some(column),
            Some(columns) => columns.get(column).copied(),
        }
    }

    fn is_processing_time(&self) -> bool {
        self.condition.reads_clock
    }

    fn zone(&self) -> Option<Zone> {
        self.condition.zone
    }
}

/// A condition over pairs of rows, or over rows of a match.
#[derive(Debug)]
pub(crate) struct Test(Expression);

impl Test {
    /// Returns the test, which is of `what`.
    ///
    /// # Errors
    /// `Invalid` if it asks for the wall clock, which would let rows match now and not later.
    pub(crate) fn new(condition: Expression, what: &str) -> Result<Test> {
        match condition.reads_clock {
            true => {
                let text = &condition.text;
                Err(Error::invalid(format!("{what}, `{text}`, reads the clock"))
                    .remedy("compare times of the rows"))
            }
            false => Ok(Test(condition)),
        }
    }
}

impl Condition for Test {
    fn holds(&self, rows: &RecordBatch, _: &Moment) -> Result<BooleanArray> {
        Ok(self.0.evaluate_plain(rows)?.as_boolean().clone())
    }

    fn describe(&self) -> String {
        self.0.shown.clone()
    }
}

/// The watermark of a table: the greatest value of an expression so far.
pub(crate) struct GreatestWatermark {
    expression: Expression,
    /// The column that it rises with: then its greatest value tells all.
    risen: Option<usize>,
}

impl GreatestWatermark {
    /// Returns the strategy.
    ///
    /// # Errors
    /// `Invalid` if the expression asks for the wall clock.
    pub(crate) fn new(expression: Expression) -> Result<GreatestWatermark> {
        match expression.reads_clock {
            true => {
                Err(Error::invalid(format!("the watermark `{}` reads the clock", expression.text))
                    .remedy("a watermark is made of the columns of its row"))
            }
            false => Ok(GreatestWatermark { risen: rises_with(&expression), expression }),
        }
    }
}

/// Returns the time column that an expression rises with, if it is that column or one more or less a
/// constant length of time. (Months are of many lengths.)
fn rises_with(expression: &Expression) -> Option<usize> {
    let column = |expr: &Arc<dyn PhysicalExpr>| Some(expr.downcast_ref::<Column>()?.index());
    let Some(sum) = expression.physical.downcast_ref::<BinaryExpr>() else {
        return column(&expression.physical);
    };
    let ScalarValue::IntervalMonthDayNano(Some(length)) =
        sum.right().downcast_ref::<Literal>()?.value()
    else {
        return None;
    };
    let is_sum = matches!(sum.op(), Operator::Plus | Operator::Minus);
    (is_sum && length.months == 0 && length.days == 0).then(|| column(sum.left())).flatten()
}

/// Returns the row in which a time column is greatest, as a batch; all rows if it is no such column.
fn greatest(rows: &RecordBatch, column: usize) -> Result<RecordBatch> {
    let DataType::Timestamp(..) = rows.column(column).data_type() else { return Ok(rows.clone()) };
    let times = fitted(rows.column(column).clone(), &DataType::Int64)?;
    let times = times.as_primitive::<Int64Type>();
    let greatest = max(times);
    let row =
        (0..times.len()).find(|row| times.is_valid(*row) && Some(times.value(*row)) == greatest);
    Ok(rows.slice(row.unwrap_or(0), 1))
}

impl fmt::Debug for GreatestWatermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GreatestWatermark({})", self.expression.text)
    }
}

impl Watermarker for GreatestWatermark {
    fn watermark(&self, rows: &RecordBatch) -> Result<Option<EventTime>> {
        if rows.num_rows() == 0 {
            return Ok(None);
        }
        let (times, unit) = match self.risen {
            Some(column) => self.expression.times(&greatest(rows, column)?)?,
            None => self.expression.times(rows)?,
        };
        Ok(max(&times).map(|time| EventTime::from_unit(time, unit)))
    }

    fn explain(&self) -> String {
        self.expression.shown.clone()
    }
}

/// The watermark that trails the newest row by a percentile of the delays seen so far.
pub(crate) struct PercentileWatermark {
    times: GreatestWatermark,
    share: Share,
}

impl PercentileWatermark {
    /// Returns the strategy for event time `times`.
    ///
    /// # Errors
    /// `Invalid` if the expression asks for the wall clock.
    pub(crate) fn new(times: Expression, share: Share) -> Result<PercentileWatermark> {
        Ok(PercentileWatermark { times: GreatestWatermark::new(times)?, share })
    }
}

impl fmt::Debug for PercentileWatermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PercentileWatermark({:?}, {})", self.times, self.share)
    }
}

impl Watermarker for PercentileWatermark {
    fn watermark(&self, rows: &RecordBatch) -> Result<Option<EventTime>> {
        self.times.watermark(rows)
    }

    fn trailing(&self, rows: &RecordBatch) -> Result<Option<(Int64Array, Share)>> {
        let (times, unit) = self.times.expression.times(rows)?;
        let nanos = times.unary(|time| EventTime::from_unit(time, unit).0);
        Ok(Some((nanos, self.share)))
    }

    fn explain(&self) -> String {
        format!("{} at percentile {} of the delays", self.times.explain(), self.share)
    }
}

/// The watermark that a source claims itself.
#[derive(Debug)]
pub(crate) struct OfSource;

impl Watermarker for OfSource {
    fn watermark(&self, _: &RecordBatch) -> Result<Option<EventTime>> {
        Ok(None)
    }

    fn explain(&self) -> String {
        "SOURCE_WATERMARK()".to_owned()
    }
}

/// The watermark of a table without times: it comes at the end of the table.
#[derive(Debug)]
pub(crate) struct AtTheEnd;

impl Watermarker for AtTheEnd {
    fn watermark(&self, _: &RecordBatch) -> Result<Option<EventTime>> {
        Ok(None)
    }

    fn explain(&self) -> String {
        "its end".to_owned()
    }
}

#[cfg(test)]
mod tests;
