//! Aggregates: our own for the everyday ones, DataFusion's behind the same contract for the rest.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::compute::{SortOptions, take};
use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{AggregateFunction as AggregateExpr, NullTreatment};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::{Column, Literal};
use datafusion::physical_expr::{PhysicalExpr, PhysicalSortExpr};
use thalweg_plan::aggregate::{
    average, count, first_value, last_value, leading, max, min, sum, wrapping_sum,
};
use thalweg_plan::function::{Accumulator, AggregateFunction, Rows};
use thalweg_plan::node::AggregateCall;
use thalweg_types::{Error, Groups, Result};

use crate::text::{data_error, plan_error};

mod gathered;
mod nth;
mod sketched;
mod spread;

/// Aggregates to which it makes no difference how often there is a value.
const INDIFFERENT: [&str; 10] = [
    "min",
    "max",
    "first_value",
    "last_value",
    "bit_and",
    "bit_or",
    "bool_and",
    "bool_or",
    "approx_distinct",
    "approx_count_distinct",
];

/// Returns the call of `expr`, as [`function`] reads it, on the rows that `filter` lets through.
///
/// # Errors
/// As [`function`].
pub(crate) fn call(
    mut expr: AggregateExpr,
    arguments: Vec<usize>,
    filter: Option<usize>,
    schema: &SchemaRef,
) -> Result<AggregateCall> {
    let is_sorted = !expr.params.order_by.is_empty();
    let mut distinct = false;
    if expr.params.distinct && !is_sorted && !gathered::is_one(&expr)? {
        expr.params.distinct = false;
        distinct = !INDIFFERENT.contains(&expr.func.name());
    }
    let function = match (expr.func.name(), distinct) {
        // Of several columns it counts the rows without a NULL, which are those of the set.
        ("count", true) => count(),
        _ => function(&expr, &arguments, schema)?,
    };
    Ok(AggregateCall { function, arguments, filter, distinct })
}

/// Returns the aggregate of `expr`, whose arguments, and after them the columns of its
/// `ORDER BY`, stand in `columns` of rows of `schema`.
///
/// # Errors
/// `Invalid` if the aggregate cannot be kept row by row.
fn function(
    expr: &AggregateExpr,
    columns: &[usize],
    schema: &SchemaRef,
) -> Result<Arc<dyn AggregateFunction>> {
    if expr.func.name() == "nth_value" && !expr.params.order_by.is_empty() {
        return nth::function(expr, columns, schema);
    }
    if let Some(function) = gathered::function(expr, columns, schema)? {
        return Ok(function);
    }
    if let Some(function) = sketched::function(expr, columns, schema)? {
        return Ok(function);
    }
    match own(expr, columns, schema) {
        Some(function) => Ok(function),
        None => wrapped(expr, columns, schema),
    }
}

/// Returns our own aggregate for `expr`, where there is one.
fn own(
    expr: &AggregateExpr,
    columns: &[usize],
    schema: &SchemaRef,
) -> Option<Arc<dyn AggregateFunction>> {
    let params = &expr.params;
    if params.distinct || !params.order_by.is_empty() {
        return None;
    }
    let kinds: Vec<&DataType> = columns.iter().map(|c| schema.field(*c).data_type()).collect();
    let respects_nulls = params.null_treatment == Some(NullTreatment::RespectNulls);
    match (expr.func.name(), kinds.as_slice()) {
        ("count", [] | [_]) => Some(count()),
        ("sum", [DataType::Int64]) => Some(wrapping_sum()),
        ("sum", [kind]) => sum(kind).ok(),
        ("avg", [kind]) => average(kind).ok(),
        ("min", [kind]) => min(kind).ok(),
        ("max", [kind]) => max(kind).ok(),
        // As in Flink, NULLs are left out unless the query says otherwise.
        ("first_value", [kind]) if !respects_nulls => first_value(kind).ok(),
        ("last_value", [kind]) if !respects_nulls => last_value(kind).ok(),
        (name, [kind]) => spread::function(name, kind),
        _ => None,
    }
}

/// Wraps an aggregate of DataFusion's.
fn wrapped(
    expr: &AggregateExpr,
    columns: &[usize],
    schema: &SchemaRef,
) -> Result<Arc<dyn AggregateFunction>> {
    let params = &expr.params;
    let column = |column: usize| {
        Arc::new(Column::new(schema.field(column).name(), column)) as Arc<dyn PhysicalExpr>
    };
    // Some aggregates read a constant argument (a percentile, a separator) when they are made.
    let arguments = params.args.iter().zip(columns).map(|(arg, at)| match arg {
        Expr::Literal(value, _) => {
            // A number of Flink's is an INT, of DataFusion's a BIGINT.
            let wide = match value {
                ScalarValue::Int32(Some(number)) => ScalarValue::from(i64::from(*number)),
                other => other.clone(),
            };
            Arc::new(Literal::new(wide)) as Arc<dyn PhysicalExpr>
        }
        _ => column(*at),
    });
    let arguments: Vec<_> = arguments.collect();
    let order = params.order_by.iter().zip(columns.iter().skip(arguments.len()));
    let order = order.map(|(key, at)| PhysicalSortExpr {
        expr: column(*at),
        options: SortOptions { descending: !key.asc, nulls_first: key.nulls_first },
    });
    let ignores_nulls = params.null_treatment == Some(NullTreatment::IgnoreNulls);
    let built = AggregateExprBuilder::new(expr.func.clone(), arguments)
        .schema(schema.clone())
        .alias(expr.func.name())
        .with_distinct(params.distinct)
        .with_ignore_nulls(ignores_nulls)
        .order_by(order.collect())
        .build()
        .map_err(plan_error)?;
    let needs_sorted_rows = built.order_sensitivity() == AggregateOrderSensitivity::HardRequirement
        && !SORTS_BY_ITSELF.contains(&expr.func.name());
    if needs_sorted_rows && !params.order_by.is_empty() {
        return Err(Error::invalid(format!(
            "`{}`: ORDER BY in this aggregate is not supported yet",
            expr.func.name()
        ))
        .remedy("leave the ORDER BY out, or collect with ARRAY_AGG(… ORDER BY …)"));
    }
    let name = name_of(expr, columns, schema);
    let built = Arc::new(built);
    let retractable = leading_value(expr, columns, schema);
    let retractable =
        retractable.or_else(|| gathered::computed_anew(expr, columns, schema, built.clone()).ok());
    Ok(Arc::new(Wrapped { name, expr: built, retractable }))
}

/// Returns `FIRST_VALUE` or `LAST_VALUE` with rows that can be taken back: of all rows, in the order of
/// its `ORDER BY` or of the values.
fn leading_value(
    expr: &AggregateExpr,
    columns: &[usize],
    schema: &SchemaRef,
) -> Option<Arc<dyn AggregateFunction>> {
    let params = &expr.params;
    let is_last = match (expr.func.name(), columns) {
        ("first_value", [_, ..]) => false,
        ("last_value", [_, ..]) => true,
        _ => return None,
    };
    let kind = |at: usize| schema.field(columns[at]).data_type().clone();
    let order = params.order_by.iter().enumerate().map(|(at, key)| {
        let (descending, nulls_first) = (key.asc == is_last, key.nulls_first != is_last);
        (at + 1, kind(at + 1), SortOptions { descending, nulls_first })
    });
    let value = SortOptions { descending: is_last, nulls_first: is_last };
    let order: Vec<_> = order.chain([(0, kind(0), value)]).collect();
    // As without retractions, an order respects NULLs unless the query says otherwise.
    let keeps_nulls = params.null_treatment != Some(NullTreatment::IgnoreNulls);
    leading(expr.func.name(), 0, &order, keeps_nulls).ok()
}

/// Aggregates that ask for sorted rows and yet take any: they collect by `ARRAY_AGG`, which sorts, or
/// only want to know by what to sort.
const SORTS_BY_ITSELF: [&str; 4] = [
    "string_agg",
    "percentile_cont",
    "approx_percentile_cont",
    "approx_percentile_cont_with_weight",
];

/// Names an aggregate by all that decides its state and its value.
fn name_of(expr: &AggregateExpr, columns: &[usize], schema: &SchemaRef) -> String {
    let params = &expr.params;
    let kind = |at: &usize| schema.field(*at).data_type().to_string();
    let arguments = params.args.iter().zip(columns).map(|(arg, at)| match arg {
        Expr::Literal(value, _) => format!("{value}"),
        _ => kind(at),
    });
    let arguments = arguments.collect::<Vec<_>>().join(", ");
    let order = params.order_by.iter().zip(columns.iter().skip(params.args.len()));
    let order = order.map(|(key, at)| {
        let direction = if key.asc { "" } else { " desc" };
        let nulls = if key.nulls_first { " nulls first" } else { "" };
        format!("{}{direction}{nulls}", kind(at))
    });
    let order = order.collect::<Vec<_>>().join(", ");
    let order = if order.is_empty() { order } else { format!(" order by {order}") };
    let distinct = if params.distinct { "distinct " } else { "" };
    let nulls = match params.null_treatment {
        Some(NullTreatment::IgnoreNulls) => " ignore nulls",
        _ => "",
    };
    format!("{}({distinct}{arguments}{order}){nulls}", expr.func.name())
}

/// An aggregate of DataFusion's.
#[derive(Clone)]
struct Wrapped {
    name: String,
    expr: Arc<AggregateFunctionExpr>,
    /// The same with rows that can be taken back, unless it is of a type without an order.
    retractable: Option<Arc<dyn AggregateFunction>>,
}

impl fmt::Debug for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl AggregateFunction for Wrapped {
    fn name(&self) -> &str {
        &self.name
    }

    fn result(&self) -> FieldRef {
        self.expr.field()
    }

    fn state(&self) -> Vec<FieldRef> {
        // Checked when the accumulator is made, before any state is asked for.
        self.expr.state_fields().unwrap_or_default()
    }

    fn is_retractable(&self) -> bool {
        false
    }

    fn retractable(&self) -> Option<Arc<dyn AggregateFunction>> {
        self.retractable.clone()
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        self.expr.state_fields().map_err(plan_error)?;
        self.expr.create_accumulator().map_err(plan_error)?;
        let (groups, live, inner_bytes) = (Vec::new(), 0, 0);
        Ok(Box::new(WrappedGroups { function: self.clone(), groups, live, inner_bytes }))
    }
}

type Inner = Box<dyn datafusion::logical_expr::Accumulator>;

/// One accumulator of DataFusion's for each group that has rows.
///
/// Those consume their state when it is read, so what was read is merged into a fresh one.
struct WrappedGroups {
    function: Wrapped,
    groups: Vec<Option<Inner>>,
    /// Groups that have an accumulator.
    live: usize,
    /// Bytes of one accumulator, about: of the one touched last.
    inner_bytes: usize,
}

impl WrappedGroups {
    fn failed(&self, error: DataFusionError) -> Error {
        data_error(error, &self.function.name)
    }

    fn resize(&mut self, total: usize) {
        self.groups.resize_with(total.max(self.groups.len()), || None);
    }

    /// Changes the accumulator of `group`, which is made if there is none.
    fn change(
        &mut self,
        group: usize,
        f: impl FnOnce(&mut Inner) -> Result<(), DataFusionError>,
    ) -> Result<()> {
        let changed = match &mut self.groups[group] {
            Some(inner) => f(inner).map(|()| inner.size()),
            none => self.function.expr.create_accumulator().and_then(|mut inner| {
                f(&mut inner)?;
                let size = inner.size();
                (*none, self.live) = (Some(inner), self.live + 1);
                Ok(size)
            }),
        };
        self.inner_bytes = changed.map_err(|error| self.failed(error))?;
        Ok(())
    }

    /// Reads the state of a group and puts it back.
    fn read(&mut self, group: usize) -> Result<Vec<ScalarValue>> {
        let expr = &self.function.expr;
        let state = match self.groups.get_mut(group) {
            Some(Some(inner)) => inner.state().and_then(|state| {
                let mut fresh = expr.create_accumulator()?;
                fresh.merge_batch(&arrays(&state)?)?;
                *inner = fresh;
                Ok(state)
            }),
            _ => expr.create_accumulator().and_then(|mut fresh| fresh.state()),
        };
        state.map_err(|error| self.failed(error))
    }

    /// Returns the value of a group, leaving its state as it is.
    fn value(&mut self, group: usize) -> Result<ScalarValue> {
        let has_rows = matches!(self.groups.get(group), Some(Some(_)));
        let state = if has_rows { Some(self.read(group)?) } else { None };
        let value = self.function.expr.create_accumulator().and_then(|mut fresh| {
            if let Some(state) = &state {
                fresh.merge_batch(&arrays(state)?)?;
            }
            fresh.evaluate()
        });
        value.map_err(|error| self.failed(error))
    }

    fn column(&self, values: Vec<ScalarValue>, kind: &DataType) -> Result<ArrayRef> {
        if values.is_empty() {
            return Ok(datafusion::arrow::array::new_empty_array(kind));
        }
        ScalarValue::iter_to_array(values).map_err(|error| self.failed(error))
    }
}

fn arrays(state: &[ScalarValue]) -> Result<Vec<ArrayRef>, DataFusionError> {
    state.iter().map(|value| value.to_array()).collect()
}

/// Returns the rows of each group, in order of the groups.
fn rows_by_group(groups: &[u32], keep: impl Fn(usize) -> bool) -> Vec<(u32, UInt32Array)> {
    let mut rows: Vec<u32> = (0..groups.len() as u32).filter(|row| keep(*row as usize)).collect();
    rows.sort_by_key(|row| groups[*row as usize]);
    rows.chunk_by(|left, right| groups[*left as usize] == groups[*right as usize])
        .map(|rows| (groups[rows[0] as usize], UInt32Array::from(rows.to_vec())))
        .collect()
}

/// Calls `f` with each group, until one fails.
fn each_group(groups: Groups<'_>, mut f: impl FnMut(usize) -> Result<()>) -> Result<()> {
    let mut outcome = Ok(());
    groups.for_each(|group| {
        if outcome.is_ok() {
            outcome = f(group);
        }
    });
    outcome
}

impl Accumulator for WrappedGroups {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.resize(rows.total);
        if rows.weights.is_some_and(|weights| weights.values().iter().any(|weight| *weight < 0)) {
            let name = &self.function.name;
            return Err(Error::internal(format!("a row was taken back from {name}")));
        }
        for (group, positions) in rows_by_group(rows.groups, |row| rows.weight(row) > 0) {
            let arguments =
                rows.arguments.iter().map(|argument| Ok(take(argument, &positions, None)?));
            let arguments = arguments.collect::<Result<Vec<_>>>()?;
            self.change(group as usize, |inner| inner.update_batch(&arguments))?;
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.resize(total);
        for (group, positions) in rows_by_group(groups, |_| true) {
            let states = partial.iter().map(|state| Ok(take(state, &positions, None)?));
            let states = states.collect::<Result<Vec<_>>>()?;
            self.change(group as usize, |inner| inner.merge_batch(&states))?;
        }
        Ok(())
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let fields = self.function.state();
        let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::new(); fields.len()];
        each_group(groups, |group| {
            let state = self.read(group)?;
            columns.iter_mut().zip(state).for_each(|(column, value)| column.push(value));
            Ok(())
        })?;
        let columns = columns.into_iter().zip(&fields);
        columns.map(|(values, field)| self.column(values, field.data_type())).collect()
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut values = Vec::with_capacity(groups.len());
        each_group(groups, |group| {
            values.push(self.value(group)?);
            Ok(())
        })?;
        self.column(values, self.function.result().data_type())
    }

    fn clear(&mut self) {
        (self.groups, self.live) = (Vec::new(), 0);
    }

    fn bytes(&self) -> usize {
        // Asking each would cost more than the answer is worth.
        self.live * self.inner_bytes + self.groups.capacity() * size_of::<Option<Inner>>()
    }
}

#[cfg(test)]
mod tests;
