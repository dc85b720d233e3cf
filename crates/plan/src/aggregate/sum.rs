//! `SUM` of whole numbers, floating-point numbers and decimals; NULL over no values.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use thalweg_types::{Error, Groups, Result};

use super::totals::{Summand, Totals, typed};
use super::widest;
use crate::function::{Accumulator, Rows};

pub(super) fn accumulator(argument: &DataType, result: &DataType) -> Result<Box<dyn Accumulator>> {
    let result = result.clone();
    Ok(match argument {
        DataType::Int64 => {
            Box::new(Sum { totals: Totals::<Int64Type>::new(result.clone()), result })
        }
        DataType::Float64 => {
            Box::new(Sum { totals: Totals::<Float64Type>::new(result.clone()), result })
        }
        DataType::Decimal128(_, scale) => {
            Box::new(Sum { totals: Totals::<Decimal128Type>::new(widest(*scale)), result })
        }
        other => return Err(Error::invalid(format!("SUM of {other} is not supported"))),
    })
}

pub(super) fn wrapping_accumulator() -> Box<dyn Accumulator> {
    let totals = Totals::<Int64Type>::new(DataType::Int64).wrapping();
    Box::new(Sum { totals, result: DataType::Int64 })
}

#[derive(Debug)]
struct Sum<T: Summand> {
    totals: Totals<T>,
    result: DataType,
}

impl<T: Summand> Accumulator for Sum<T> {
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
        typed(self.totals.values(groups, |sum, _| Some(sum))?, &self.result)
    }

    fn clear(&mut self) {
        self.totals.clear();
    }

    fn bytes(&self) -> usize {
        self.totals.bytes()
    }
}
