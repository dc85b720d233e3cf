//! Aggregates: our own for the everyday ones, DataFusion's behind the same contract for the rest.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, UInt32Array};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, FieldRef, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::AggregateFunction as AggregateExpr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::{AggregateExprBuilder, AggregateFunctionExpr};
use datafusion::physical_expr::expressions::Column;
use thalweg_plan::aggregate::{average, count, max, min, sum};
use thalweg_plan::function::{Accumulator, AggregateFunction, Rows};
use thalweg_types::{Error, Groups, Result};

use crate::text::{data_error, plan_error};

/// Returns the aggregate of `expr`, whose arguments stand in `columns` of rows of `schema`.
pub(crate) fn function(
    expr: &AggregateExpr,
    columns: &[usize],
    schema: &SchemaRef,
) -> Result<Arc<dyn AggregateFunction>> {
    if !expr.params.order_by.is_empty() {
        return Err(Error::invalid(format!(
            "`{}`: ORDER BY in an aggregate is not supported yet",
            expr.func.name()
        ))
        .remedy("leave the ORDER BY out, or aggregate over a sub-query"));
    }
    let kinds: Vec<&DataType> = columns.iter().map(|c| schema.field(*c).data_type()).collect();
    if !expr.params.distinct {
        let own = match (expr.func.name(), kinds.as_slice()) {
            ("count", _) => Some(Ok(count())),
            ("sum", [kind]) => sum(kind).ok().map(Ok),
            ("avg", [kind @ DataType::Float64]) => average(kind).ok().map(Ok),
            ("min", [kind]) => min(kind).ok().map(Ok),
            ("max", [kind]) => max(kind).ok().map(Ok),
            _ => None,
        };
        if let Some(own) = own {
            return own;
        }
    }
    let arguments = columns.iter().map(|column| {
        let name = schema.field(*column).name();
        Arc::new(Column::new(name, *column)) as Arc<dyn PhysicalExpr>
    });
    let built = AggregateExprBuilder::new(expr.func.clone(), arguments.collect())
        .schema(schema.clone())
        .alias(expr.func.name())
        .with_distinct(expr.params.distinct)
        .build()
        .map_err(plan_error)?;
    let distinct = if expr.params.distinct { "DISTINCT " } else { "" };
    let kinds: Vec<String> = kinds.iter().map(ToString::to_string).collect();
    let name = format!("{}({distinct}{})", expr.func.name(), kinds.join(", "));
    Ok(Arc::new(Wrapped { name, expr: Arc::new(built) }))
}

/// An aggregate of DataFusion's.
#[derive(Clone)]
struct Wrapped {
    name: String,
    expr: Arc<AggregateFunctionExpr>,
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

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        self.expr.state_fields().map_err(plan_error)?;
        self.expr.create_accumulator().map_err(plan_error)?;
        Ok(Box::new(WrappedGroups { function: self.clone(), groups: Vec::new() }))
    }
}

type Inner = Box<dyn datafusion::logical_expr::Accumulator>;

/// One accumulator of DataFusion's for each group.
///
/// Those consume their state when it is read, so what was read is merged into a fresh one.
struct WrappedGroups {
    function: Wrapped,
    groups: Vec<Option<Inner>>,
}

impl WrappedGroups {
    fn failed(&self, error: datafusion::error::DataFusionError) -> Error {
        data_error(error, &self.function.name)
    }

    fn group(&mut self, group: usize) -> Result<&mut Inner> {
        if self.groups[group].is_none() {
            let made = self.function.expr.create_accumulator();
            self.groups[group] = Some(made.map_err(|error| self.failed(error))?);
        }
        Ok(self.groups[group].as_mut().expect("made above"))
    }

    /// Reads the state of a group and puts it back.
    fn read(&mut self, group: usize) -> Result<Vec<ScalarValue>> {
        if group >= self.groups.len() {
            self.groups.resize_with(group + 1, || None);
        }
        let state = self.group(group)?.state();
        let state = state.map_err(|error| self.failed(error))?;
        self.groups[group] = None;
        let arrays = arrays(&state).map_err(|error| self.failed(error))?;
        let merged = self.group(group)?.merge_batch(&arrays);
        merged.map_err(|error| self.failed(error))?;
        Ok(state)
    }
}

fn arrays(state: &[ScalarValue]) -> Result<Vec<ArrayRef>, datafusion::error::DataFusionError> {
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

impl Accumulator for WrappedGroups {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.groups.resize_with(rows.total.max(self.groups.len()), || None);
        if rows.weights.is_some_and(|weights| weights.values().iter().any(|weight| *weight < 0)) {
            let name = &self.function.name;
            return Err(Error::internal(format!("a row was taken back from {name}")));
        }
        for (group, positions) in rows_by_group(rows.groups, |row| rows.weight(row) > 0) {
            let arguments =
                rows.arguments.iter().map(|argument| Ok(take(argument, &positions, None)?));
            let arguments = arguments.collect::<Result<Vec<_>>>()?;
            let updated = self.group(group as usize)?.update_batch(&arguments);
            updated.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.groups.resize_with(total.max(self.groups.len()), || None);
        for (group, positions) in rows_by_group(groups, |_| true) {
            let states = partial.iter().map(|state| Ok(take(state, &positions, None)?));
            let states = states.collect::<Result<Vec<_>>>()?;
            let merged = self.group(group as usize)?.merge_batch(&states);
            merged.map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let fields = self.function.state();
        let mut columns: Vec<Vec<ScalarValue>> = vec![Vec::new(); fields.len()];
        let mut failed = Ok(());
        groups.for_each(|group| {
            if failed.is_ok() {
                match self.read(group) {
                    Ok(state) => columns.iter_mut().zip(state).for_each(|(c, v)| c.push(v)),
                    Err(error) => failed = Err(error),
                }
            }
        });
        failed?;
        let columns = columns.into_iter().zip(&fields);
        columns.map(|(values, field)| self.column(values, field.data_type())).collect()
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut values = Vec::with_capacity(groups.len());
        let mut failed = Ok(());
        groups.for_each(|group| {
            let value = self.read(group).and_then(|state| {
                let fresh = self.function.expr.create_accumulator();
                let value = fresh.and_then(|mut fresh| {
                    fresh.merge_batch(&arrays(&state)?)?;
                    fresh.evaluate()
                });
                value.map_err(|error| self.failed(error))
            });
            match value {
                Ok(value) => values.push(value),
                Err(error) => failed = Err(error),
            }
        });
        failed?;
        self.column(values, self.function.result().data_type())
    }

    fn clear(&mut self) {
        self.groups = Vec::new();
    }

    fn bytes(&self) -> usize {
        self.groups.iter().flatten().map(|inner| inner.size()).sum()
    }
}

impl WrappedGroups {
    fn column(&self, values: Vec<ScalarValue>, kind: &DataType) -> Result<ArrayRef> {
        if values.is_empty() {
            return Ok(datafusion::arrow::array::new_empty_array(kind));
        }
        ScalarValue::iter_to_array(values).map_err(|error| self.failed(error))
    }
}

#[cfg(test)]
mod tests;
