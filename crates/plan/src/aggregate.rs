//! Aggregates of our own: columnar, mergeable, and retractable where the mathematics allow.
//!
//! What it is for: the everyday aggregates, on the hot path of SQL and of the typed API.
//! Invariants: reading a state consumes nothing and costs only the groups asked for; the name of
//! an aggregate, with its argument type, decides the layout of its stored state. Rarer aggregates
//! are wrapped where they come from.

mod average;
mod count;
mod extreme;
mod sum;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use thalweg_types::{Error, Result};

use crate::function::{Accumulator, AggregateFunction};

/// An aggregate of this module: a kind and the type of its argument.
#[derive(Clone, Debug)]
struct Builtin {
    name: String,
    kind: Kind,
    argument: DataType,
    result: FieldRef,
    state: Vec<FieldRef>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Count,
    Sum,
    Average,
    Min,
    Max,
}

impl AggregateFunction for Builtin {
    fn name(&self) -> &str {
        &self.name
    }

    fn result(&self) -> FieldRef {
        self.result.clone()
    }

    fn state(&self) -> Vec<FieldRef> {
        self.state.clone()
    }

    fn is_retractable(&self) -> bool {
        matches!(self.kind, Kind::Count | Kind::Sum | Kind::Average)
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        match self.kind {
            Kind::Count => Ok(Box::new(count::Count::default())),
            Kind::Sum => sum::accumulator(&self.argument, self.result.data_type()),
            Kind::Average => Ok(Box::new(average::Average::default())),
            Kind::Min => extreme::accumulator(&self.argument, false),
            Kind::Max => extreme::accumulator(&self.argument, true),
        }
    }
}

fn field(name: &str, kind: DataType, is_nullable: bool) -> FieldRef {
    Arc::new(Field::new(name, kind, is_nullable))
}

/// Returns the number of rows, or of rows in which the argument is not NULL.
pub fn count() -> Arc<dyn AggregateFunction> {
    let result = field("count", DataType::Int64, false);
    Arc::new(Builtin {
        name: "count".to_owned(),
        kind: Kind::Count,
        argument: DataType::Null,
        state: vec![result.clone()],
        result,
    })
}

/// Returns the sum of an argument of BIGINT, DOUBLE or DECIMAL; NULL over no values.
///
/// # Errors
/// `Invalid` for other types.
pub fn sum(argument: &DataType) -> Result<Arc<dyn AggregateFunction>> {
    let result = match argument {
        DataType::Int64 | DataType::Float64 => argument.clone(),
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
        other => return Err(Error::invalid(format!("SUM of {other} is not supported"))),
    };
    Ok(Arc::new(Builtin {
        name: format!("sum({argument})"),
        kind: Kind::Sum,
        argument: argument.clone(),
        state: vec![
            field("sum", result.clone(), false),
            field("sum_count", DataType::Int64, false),
        ],
        result: field("sum", result, true),
    }))
}

/// Returns the mean of a DOUBLE argument; NULL over no values.
pub fn average() -> Arc<dyn AggregateFunction> {
    Arc::new(Builtin {
        name: "avg(Float64)".to_owned(),
        kind: Kind::Average,
        argument: DataType::Float64,
        state: vec![
            field("avg_sum", DataType::Float64, false),
            field("avg_count", DataType::Int64, false),
        ],
        result: field("avg", DataType::Float64, true),
    })
}

/// Returns the least value; NULL over no values.
///
/// # Errors
/// `Invalid` for types without an order.
pub fn min(argument: &DataType) -> Result<Arc<dyn AggregateFunction>> {
    extreme(argument, Kind::Min, "min")
}

/// Returns the greatest value; NULL over no values.
///
/// # Errors
/// `Invalid` for types without an order.
pub fn max(argument: &DataType) -> Result<Arc<dyn AggregateFunction>> {
    extreme(argument, Kind::Max, "max")
}

fn extreme(argument: &DataType, kind: Kind, name: &str) -> Result<Arc<dyn AggregateFunction>> {
    let function = Builtin {
        name: format!("{name}({argument})"),
        kind,
        argument: argument.clone(),
        state: vec![field(name, argument.clone(), true)],
        result: field(name, argument.clone(), true),
    };
    function.accumulator()?;
    Ok(Arc::new(function))
}

#[cfg(test)]
mod tests;
