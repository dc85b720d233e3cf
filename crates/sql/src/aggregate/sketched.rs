//! Aggregates that approximate, by the sketches of [`thalweg_plan::sketch`].

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::AggregateFunction as AggregateExpr;
use thalweg_plan::function::AggregateFunction;
use thalweg_plan::sketch::distinct::approx_count_distinct;
use thalweg_plan::sketch::frequent::{K_MAX, approx_top_k};
use thalweg_plan::sketch::moment::approx_f2;
use thalweg_plan::sketch::percentile::{Shares, approx_percentile};
use thalweg_types::{Error, Result};

use super::gathered;

/// Returns the aggregate of `expr`, if it is one of these; `columns` are those of its arguments.
///
/// # Errors
/// `Invalid` for a type that cannot be sketched, a share or a number that is no constant, and for
/// `ORDER BY`, which would have no meaning.
pub(super) fn function(
    expr: &AggregateExpr,
    columns: &[usize],
    schema: &SchemaRef,
) -> Result<Option<Arc<dyn AggregateFunction>>> {
    let arguments = expr.params.args.as_slice();
    let kind = columns.first().map(|column| schema.field(*column).data_type());
    let made = match (expr.func.name(), arguments, kind) {
        ("approx_count_distinct", [_], Some(kind)) => approx_count_distinct(kind),
        ("approx_percentile", [_, share], Some(kind)) => approx_percentile(kind, shares(share)?),
        ("approx_top_k", [_, k], Some(kind)) => approx_top_k(kind, number(k)?),
        ("approx_f2", [_], Some(kind)) => approx_f2(kind),
        _ => return Ok(None),
    };
    if !expr.params.order_by.is_empty() {
        let name = expr.func.name().to_ascii_uppercase();
        return Err(Error::invalid(format!("{name} does not take ORDER BY"))
            .remedy("leave it out, the order of rows makes no difference"));
    }
    made.map(Some)
}

fn shares(expr: &Expr) -> Result<Shares> {
    let Some((shares, is_array)) = gathered::shares(expr) else {
        return Err(Error::invalid("the share of APPROX_PERCENTILE is a constant from 0 to 1")
            .remedy("write APPROX_PERCENTILE(number, 0.5)"));
    };
    match shares.as_slice() {
        [share] if !is_array => Ok(Shares::One(*share)),
        _ => Ok(Shares::Each(shares)),
    }
}

/// Reads how many values `APPROX_TOP_K` is asked for.
fn number(expr: &Expr) -> Result<usize> {
    let number = match expr {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(number))) => usize::try_from(number).ok(),
            _ => None,
        },
        _ => None,
    };
    number.ok_or_else(|| {
        Error::invalid("the number of APPROX_TOP_K is a constant from 1")
            .remedy(format!("write APPROX_TOP_K(value, 10), with a number up to {K_MAX}"))
    })
}
