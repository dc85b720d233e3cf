//! `MIN` and `MAX` of everything that has an order; rows cannot be taken back.

use arrow::array::ArrowNativeTypeOp;
use arrow::datatypes::DataType;
use thalweg_types::Result;

use super::kept::{self, Rule};
use crate::function::Accumulator;

/// Keeps the least value, by the total order of the type (texts by bytes).
#[derive(Debug)]
struct Least;

impl Rule for Least {
    const NAME: &str = "MIN";

    #[inline]
    fn replaces<N: ArrowNativeTypeOp>(new: N, kept: N) -> bool {
        new.is_lt(kept)
    }

    #[inline]
    fn replaces_text(new: &str, kept: &str) -> bool {
        new < kept
    }
}

/// Keeps the greatest value, by the total order of the type (texts by bytes).
#[derive(Debug)]
struct Greatest;

impl Rule for Greatest {
    const NAME: &str = "MAX";

    #[inline]
    fn replaces<N: ArrowNativeTypeOp>(new: N, kept: N) -> bool {
        new.is_gt(kept)
    }

    #[inline]
    fn replaces_text(new: &str, kept: &str) -> bool {
        new > kept
    }
}

pub(super) fn least(argument: &DataType) -> Result<Box<dyn Accumulator>> {
    kept::accumulator::<Least>(argument)
}

pub(super) fn greatest(argument: &DataType) -> Result<Box<dyn Accumulator>> {
    kept::accumulator::<Greatest>(argument)
}
