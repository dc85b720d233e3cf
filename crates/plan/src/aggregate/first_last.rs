//! `FIRST_VALUE` and `LAST_VALUE` in the order of arrival, NULLs left out as in Flink; rows
//! cannot be taken back.

use arrow::array::ArrowNativeTypeOp;
use arrow::datatypes::DataType;
use thalweg_types::Result;

use super::kept::{self, Rule};
use crate::function::Accumulator;

/// Keeps what came first.
#[derive(Debug)]
struct First;

impl Rule for First {
    const NAME: &str = "FIRST_VALUE";

    #[inline]
    fn replaces<N: ArrowNativeTypeOp>(_: N, _: N) -> bool {
        false
    }

    #[inline]
    fn replaces_text(_: &str, _: &str) -> bool {
        false
    }
}

/// Keeps what came last.
#[derive(Debug)]
struct Last;

impl Rule for Last {
    const NAME: &str = "LAST_VALUE";

    #[inline]
    fn replaces<N: ArrowNativeTypeOp>(_: N, _: N) -> bool {
        true
    }

    #[inline]
    fn replaces_text(_: &str, _: &str) -> bool {
        true
    }
}

pub(super) fn first(argument: &DataType) -> Result<Box<dyn Accumulator>> {
    kept::accumulator::<First>(argument)
}

pub(super) fn last(argument: &DataType) -> Result<Box<dyn Accumulator>> {
    kept::accumulator::<Last>(argument)
}
