//! Aggregates of our own: columnar, mergeable, and retractable where the mathematics allow.
//!
//! What it is for: the everyday aggregates, on the hot path of SQL and of the typed API.
//! Invariants: reading a state consumes nothing and costs only the groups asked for; the name of
//! an aggregate, with its argument type, decides the layout of its stored state. Rarer aggregates
//! are wrapped where they come from.

mod count;

mod kept;

mod extreme;
mod first_last;

mod totals;

mod average;
mod sum;

pub mod multisets;

mod leading;

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef};
use thalweg_types::{Error, Result};

use crate::function::{Accumulator, AggregateFunction};
pub use leading::leading;

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
    WrappingSum,
    Average,
    Min,
    Max,
    First,
    Last,
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
        matches!(self.kind, Kind::Count | Kind::Sum | Kind::WrappingSum | Kind::Average)
    }

    fn resumes(&self) -> bool {
        true
    }

    fn retractable(&self) -> Option<Arc<dyn AggregateFunction>> {
        let descending = match self.kind {
            Kind::Min | Kind::First => false,
            Kind::Max | Kind::Last => true,
            Kind::Count | Kind::Sum | Kind::WrappingSum | Kind::Average => return None,
        };
        let order = SortOptions { descending, nulls_first: false };
        leading(self.result.name(), 0, &[(0, self.argument.clone(), order)], false).ok()
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let result = self.result.data_type();
        match self.kind {
            Kind::Count => Ok(Box::new(count::Count::default())),
            Kind::Sum => sum::accumulator(&self.argument, result),
            Kind::WrappingSum => Ok(sum::wrapping_accumulator()),
            Kind::Average => average::accumulator(&self.argument, result),
            Kind::Min => extreme::least(&self.argument),
            Kind::Max => extreme::greatest(&self.argument),
            Kind::First => first_last::first(&self.argument),
            Kind::Last => first_last::last(&self.argument),
        }
    }
}

fn field(name: &str, kind: DataType, is_nullable: bool) -> FieldRef {
    Arc::new(Field::new(name, kind, is_nullable))
}

/// Returns the type in which decimals of `scale` are summed: as wide as there is.
fn widest(scale: i8) -> DataType {
    DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale)
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
/// A sum of DECIMAL(p, s) has ten digits more than its argument, as far as there are.
///
/// # Errors
/// `Invalid` for other types.
pub fn sum(argument: &DataType) -> Result<Arc<dyn AggregateFunction>> {
    let (state, result) = match argument {
        DataType::Int64 | DataType::Float64 => (argument.clone(), argument.clone()),
        DataType::Decimal128(precision, scale) => {
            let precision = precision.saturating_add(10).min(DECIMAL128_MAX_PRECISION);
            (widest(*scale), DataType::Decimal128(precision, *scale))
        }
        other => return Err(Error::invalid(format!("SUM of {other} is not supported"))),
    };
    Ok(Arc::new(Builtin {
        name: format!("sum({argument})"),
        kind: Kind::Sum,
        argument: argument.clone(),
        state: vec![field("sum", state, false), field("sum_count", DataType::Int64, false)],
        result: field("sum", result, true),
    }))
}

/// Returns the sum of an argument of BIGINT, which wraps around where it does not fit; NULL over no
/// values. Its state is that of [`sum`].
pub fn wrapping_sum() -> Arc<dyn AggregateFunction> {
    let (sum, count) = ("sum", "sum_count");
    Arc::new(Builtin {
        name: format!("sum({})", DataType::Int64),
        kind: Kind::WrappingSum,
        argument: DataType::Int64,
        state: vec![field(sum, DataType::Int64, false), field(count, DataType::Int64, false)],
        result: field(sum, DataType::Int64, true),
    })
}

/// Returns the mean of an argument of DOUBLE or DECIMAL; NULL over no values.
///
/// A mean of DECIMAL(p, s) has four digits more behind the point, cut off, as far as there are.
///
/// # Errors
/// `Invalid` for other types.
pub fn average(argument: &DataType) -> Result<Arc<dyn AggregateFunction>> {
    let (state, result) = match argument {
        DataType::Float64 => (DataType::Float64, DataType::Float64),
        DataType::Decimal128(precision, scale) => {
            let precision = precision.saturating_add(4).min(DECIMAL128_MAX_PRECISION);
            let digits = scale.saturating_add(4).min(DECIMAL128_MAX_PRECISION as i8);
            (widest(*scale), DataType::Decimal128(precision, digits))
        }
        other => return Err(Error::invalid(format!("AVG of {other} is not supported"))),
    };
    Ok(Arc::new(Builtin {
        name: format!("avg({argument})"),
        kind: Kind::Average,
        argument: argument.clone(),
        state: vec![field("avg_sum", state, false), field("avg_count", DataType::Int64, false)],
        result: field("avg", result, true),
    }))
}

/// Returns the least value; NULL over no values.
///
/// # Errors
/// `Invalid` for types without an order.
pub fn min(argument: &DataType) -> Result<Arc<dyn AggregateFunction>> {
    kept_value(argument, Kind::Min, "min")
}

/// Returns the greatest value; NULL over no values.
///
/// # Errors
/// `Invalid` for types without an order.
pub fn max(argument: &DataType) -> Result<Arc<dyn AggregateFunction>> {
    kept_value(argument, Kind::Max, "max")
}

/// Returns the value that came first and is not NULL; NULL over no values.
///
/// Which one that is depends on how rows arrive, also from several workers.
///
/// # Errors
/// `Invalid` for nested types.
pub fn first_value(argument: &DataType) -> Result<Arc<dyn AggregateFunction>> {
    kept_value(argument, Kind::First, "first_value")
}

/// Returns the value that came last and is not NULL; NULL over no values.
///
/// Which one that is depends on how rows arrive, also from several workers.
///
/// # Errors
/// `Invalid` for nested types.
pub fn last_value(argument: &DataType) -> Result<Arc<dyn AggregateFunction>> {
    kept_value(argument, Kind::Last, "last_value")
}

/// Returns the aggregate of this module that has this name; `None` if it is none of them.
pub fn named(name: &str) -> Option<Arc<dyn AggregateFunction>> {
    let Some((kind, argument)) = name.split_once('(') else {
        return (name == "count").then(count);
    };
    let argument: DataType = argument.strip_suffix(')')?.parse().ok()?;
    let make = match kind {
        "sum" => sum,
        "avg" => average,
        "min" => min,
        "max" => max,
        "first_value" => first_value,
        "last_value" => last_value,
        _ => return None,
    };
    make(&argument).ok()
}

/// Aggregates whose state is one value of the argument's type.
fn kept_value(argument: &DataType, kind: Kind, name: &str) -> Result<Arc<dyn AggregateFunction>> {
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
