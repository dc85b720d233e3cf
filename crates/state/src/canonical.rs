//! Values that count as equal, made equal.
//!
//! Invariant: what is equal here is what the hash of keys (`thalweg_types::hash`) takes for equal.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, ListArray, StructArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use thalweg_types::Result;

/// Gives floating-point numbers one zero and one NaN.
///
/// # Errors
/// Whatever Arrow refuses to put together again.
pub fn canonical(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Float64 => {
            let fix = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(fix))
        }
        DataType::Float32 => {
            let fix = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(fix))
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let (fields, columns, nulls) = column.as_struct().clone().into_parts();
            let columns = columns.iter().map(canonical).collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new(fields, columns, nulls)?)
        }
        DataType::List(_) => {
            let (field, offsets, values, nulls) = column.as_list::<i32>().clone().into_parts();
            Arc::new(ListArray::try_new(field, offsets, canonical(&values)?, nulls)?)
        }
        _ => column.clone(),
    })
}
