//! `AVG` of floating-point numbers and decimals; NULL over no values.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type};
use thalweg_types::{Error, Groups, Result};

use super::totals::{Summand, Totals, typed};
use super::widest;
use crate::function::{Accumulator, Rows};

pub(super) fn accumulator(argument: &DataType, result: &DataType) -> Result<Box<dyn Accumulator>> {
    let kind = result.clone();
    match (argument, result) {
        (DataType::Float64, _) => Ok(Box::new(Average {
            totals: Totals::<Float64Type>::new(kind.clone()),
            kind,
            mean: |sum, count| Some(sum / count as f64),
        })),
        (DataType::Decimal128(_, scale), DataType::Decimal128(_, digits)) => {
            let more = digits.saturating_sub(*scale).max(0).unsigned_abs();
            let factor = 10_i128.pow(u32::from(more));
            Ok(Box::new(Average {
                totals: Totals::<Decimal128Type>::new(widest(*scale)),
                kind,
                mean: move |sum: i128, count| {
                    sum.checked_mul(factor).map(|sum| sum / i128::from(count))
                },
            }))
        }
        _ => Err(Error::invalid(format!("AVG of {argument} is not supported"))),
    }
}

/// Sums, their counts, and how a mean is made of both.
struct Average<T: Summand, F> {
    totals: Totals<T>,
    kind: DataType,
    mean: F,
}

impl<T: Summand, F: Fn(T::Native, i64) -> Option<T::Native> + Send> Accumulator for Average<T, F> {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.totals.update(rows)
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.totals.merge(groups, partial, total)
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        Ok(self.totals.partial(groups))
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        typed(self.totals.values(groups, &self.mean)?, &self.kind)
    }

    fn clear(&mut self) {
        self.totals.clear();
    }

    fn bytes(&self) -> usize {
        self.totals.bytes()
    }
}
