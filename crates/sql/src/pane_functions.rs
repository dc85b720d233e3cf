//! `PANE_TIMING`, `PANE_INDEX` and `PANE_IS_LAST` as planning sees them: aggregates of a group, since they
//! stand in the select list of a `GROUP BY`.
//!
//! They are columns of what an aggregation with `EMIT` puts out: see [`crate::lower`].

use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Expr, Signature, Volatility,
};
use thalweg_plan::pane::PaneColumn;
use thalweg_types::Error;

use crate::text::wrap;

/// Names of the functions.
pub(crate) const NAMES: [&str; 3] = ["pane_timing", "pane_index", "pane_is_last"];
const COLUMNS: [PaneColumn; 3] = [PaneColumn::Timing, PaneColumn::Index, PaneColumn::IsLast];

/// Returns the functions of this module.
pub(crate) fn all() -> Vec<AggregateUDF> {
    let function = |(name, column)| {
        let signature = Signature::nullary(Volatility::Immutable);
        AggregateUDF::from(OfPane { name, column, signature })
    };
    NAMES.into_iter().zip(COLUMNS).map(function).collect()
}

/// Returns what of a pane `expr` is, if it is such a call.
///
/// # Errors
/// `Invalid` if the call has a clause that means nothing.
pub(crate) fn column_of(expr: &Expr) -> thalweg_types::Result<Option<PaneColumn>> {
    let call = match expr {
        Expr::Alias(alias) => return column_of(&alias.expr),
        Expr::AggregateFunction(call) => call,
        _ => return Ok(None),
    };
    let function = call.func.inner().downcast_ref::<OfPane>();
    let is_plain = call.params.filter.is_none() && !call.params.distinct;
    match function {
        Some(function) if !is_plain || !call.params.order_by.is_empty() => {
            let name = function.name.to_uppercase();
            Err(Error::invalid(format!("{name}() takes no DISTINCT, ORDER BY or FILTER")))
        }
        function => Ok(function.map(|function| function.column)),
    }
}

/// What a pane says of itself.
#[derive(Debug, PartialEq, Eq, Hash)]
struct OfPane {
    name: &'static str,
    column: PaneColumn,
    signature: Signature,
}

impl AggregateUDFImpl for OfPane {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.column.field().data_type().clone())
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Err(wrap(Error::internal(format!("{} is run by an operator", self.name))))
    }
}
