//! Whole numbers as smaller ones and as times: what is too large wraps, as in Java.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int8Type, Int16Type, Int32Type};
use datafusion::error::Result;

/// Returns numbers as `kind`, a whole number or a time: what is too large wraps.
pub(crate) fn typed(numbers: Int64Array, kind: &DataType) -> Result<ArrayRef> {
    Ok(match kind {
        DataType::Int8 => Arc::new(numbers.unary::<_, Int8Type>(|number| number as i8)),
        DataType::Int16 => Arc::new(numbers.unary::<_, Int16Type>(|number| number as i16)),
        DataType::Int32 => Arc::new(numbers.unary::<_, Int32Type>(|number| number as i32)),
        DataType::Date32 | DataType::Time32(_) => {
            let numbers = numbers.unary::<_, Int32Type>(|number| number as i32);
            cast(&numbers, kind)?
        }
        DataType::Int64 => Arc::new(numbers),
        _ => cast(&numbers, kind)?,
    })
}
