//! `SUM` and `AVG` with Flink's types: of whole numbers they are whole numbers, of decimals they have 38
//! digits.
//!
//! Planning sees these; they are run as DataFusion's, over arguments that are wide enough, and
//! what comes out is cast to the planned type.
//!
//! | argument | `SUM` | `AVG` |
//! |---|---|---|
//! | TINYINT … BIGINT | the same | the same, cut off |
//! | FLOAT, DOUBLE | the same | the same |
//! | DECIMAL(p, s) | DECIMAL(38, s) | DECIMAL(38, max(6, s)) |

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::functions_aggregate::average::avg_udaf;
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::function::AccumulatorArgs;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility,
};
use thalweg_types::Error;

use crate::text::wrap;
use crate::types;

/// Digits of a decimal result.
const DIGITS: u8 = 38;
/// Digits behind the point that a mean has at least.
const MEAN_SCALE_MIN: i8 = 6;

/// Returns both aggregates.
pub(crate) fn all() -> [AggregateUDF; 2] {
    [Sum::new(false), Sum::new(true)].map(AggregateUDF::from)
}

/// Returns what runs an aggregate of this module, and the type that its argument must have there.
pub(crate) fn runs(
    function: &AggregateUDF,
    argument: &DataType,
) -> Option<(Arc<AggregateUDF>, DataType)> {
    let sum = function.inner().downcast_ref::<Sum>()?;
    let wide = match argument {
        kind if kind.is_integer() && !sum.is_mean => DataType::Int64,
        kind if kind.is_integer() => DataType::Decimal128(19, 0),
        DataType::Float32 => DataType::Float64,
        DataType::Decimal128(precision, scale) if sum.is_mean => {
            // A mean has four digits more than its argument, cut off; one more than is wanted
            // rounds right.
            let wider = (*scale).max(MEAN_SCALE_MIN - 3);
            let precision = precision.saturating_add((wider - scale) as u8).min(DIGITS);
            DataType::Decimal128(precision, wider)
        }
        other => other.clone(),
    };
    Some((if sum.is_mean { avg_udaf() } else { sum_udaf() }, wide))
}

/// A sum, or a sum by a count.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sum {
    is_mean: bool,
    signature: Signature,
}

impl Sum {
    fn new(is_mean: bool) -> Sum {
        Sum { is_mean, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for Sum {
    fn name(&self) -> &str {
        if self.is_mean { "avg" } else { "sum" }
    }

    fn aliases(&self) -> &[String] {
        &[]
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, kinds: &[DataType]) -> Result<Vec<DataType>> {
        Ok(kinds
            .iter()
            .map(|kind| match kind {
                DataType::Null => DataType::Int64,
                kind if kind.is_unsigned_integer() => DataType::Int64,
                kind => kind.clone(),
            })
            .collect())
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        let name = self.name().to_ascii_uppercase();
        match kinds {
            [DataType::Decimal128(_, scale)] if self.is_mean => {
                Ok(DataType::Decimal128(DIGITS, (*scale).max(MEAN_SCALE_MIN)))
            }
            [DataType::Decimal128(_, scale)] => Ok(DataType::Decimal128(DIGITS, *scale)),
            [kind] if kind.is_numeric() => Ok(kind.clone()),
            [other] => Err(wrap(
                Error::invalid(format!("{name} of {} is not supported", types::name(other)))
                    .remedy("it takes a number; CAST the argument to one"),
            )),
            _ => Err(wrap(Error::invalid(format!("{name} takes one argument")))),
        }
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Err(wrap(Error::internal("a planned aggregate was run")))
    }
}
