//! DataFusion's expressions as functions over batches.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions,
};
use datafusion::arrow::compute::{cast, filter, filter_record_batch, max};
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::execution::context::ExecutionProps;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use thalweg_plan::function::{Transform, Watermarker};
use thalweg_types::{Change, Error, EventTime, Moment, Result};

use crate::text::{data_error, plan_error};

/// An expression and its text, for errors.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    physical: Arc<dyn PhysicalExpr>,
    text: String,
}

impl Expression {
    /// Plans `expr` over rows of `schema`.
    pub(crate) fn new(expr: &Expr, schema: &DFSchema) -> Result<Expression> {
        let context = PhysicalPlanningContext::default();
        let physical = create_physical_expr(expr, schema, &ExecutionProps::new(), &context);
        let physical = physical.map_err(plan_error)?;
        Ok(Expression { physical, text: expr.to_string() })
    }

    /// Computes the expression for each row.
    pub(crate) fn evaluate(&self, rows: &RecordBatch) -> Result<ArrayRef> {
        let value = self.physical.evaluate(rows);
        let value = value.and_then(|value| value.into_array(rows.num_rows()));
        value.map_err(|error| data_error(error, &self.text))
    }
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

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let columns =
            self.expressions.iter().zip(self.schema.fields()).map(|(expression, field)| {
                let column = expression.evaluate(&input.rows)?;
                match column.data_type() == field.data_type() {
                    true => Ok(column),
                    false => Ok(cast(&column, field.data_type())?),
                }
            });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(input.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        let rows = rows.map_err(|error| Error::data(error.to_string()))?;
        out.push(Change { rows, weights: input.weights.clone() });
        Ok(())
    }

    fn explain(&self) -> String {
        let texts: Vec<&str> = self.expressions.iter().map(|e| e.text.as_str()).collect();
        format!("project {}", texts.join(", "))
    }
}

/// Keeps the rows for which a condition is true.
#[derive(Debug)]
pub(crate) struct Filter {
    condition: Expression,
    schema: SchemaRef,
}

impl Filter {
    pub(crate) fn new(condition: Expression, schema: SchemaRef) -> Filter {
        Filter { condition, schema }
    }
}

impl Transform for Filter {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let keep = self.condition.evaluate(&input.rows)?;
        let keep: &BooleanArray = keep.as_boolean();
        let rows = filter_record_batch(&input.rows, keep)?;
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
}

/// The watermark of a table: the greatest value of an expression so far.
pub(crate) struct GreatestWatermark {
    expression: Expression,
}

impl GreatestWatermark {
    pub(crate) fn new(expression: Expression) -> GreatestWatermark {
        GreatestWatermark { expression }
    }
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
        let times = self.expression.evaluate(rows)?;
        let DataType::Timestamp(unit, _) = times.data_type() else {
            return Err(Error::internal("a watermark that is no timestamp"));
        };
        let unit = *unit;
        let values = cast(&times, &DataType::Int64)?;
        let greatest = max(values.as_primitive::<Int64Type>());
        Ok(greatest.map(|time| EventTime::from_unit(time, unit)))
    }

    fn explain(&self) -> String {
        self.expression.text.clone()
    }
}
