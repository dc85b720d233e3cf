//! Numbers to numbers and truth values, and back.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array,
};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::error::Result;
use thalweg_types::Error;

use super::read::decimal;
use super::wrapping::typed;
use super::{Target, write};
use crate::text::wrap;
use crate::types::name;

/// Digits that a DOUBLE holds, whatever they are.
const EXACT: i128 = 1 << 53;
/// The greatest power of ten that a DOUBLE holds.
const POWER_MAX: i8 = 22;

/// Casts numbers and truth values.
pub(super) fn column(column: &ArrayRef, to: &Target) -> Result<ArrayRef> {
    match (column.data_type(), &to.kind) {
        (DataType::Boolean, DataType::Decimal128(_, _)) => {
            decimals(&cast(column, &DataType::Int32)?, &to.kind)
        }
        (_, DataType::Boolean) => truths(column),
        (_, kind @ DataType::Decimal128(_, _)) => decimals(column, kind),
        (_, DataType::Float64) => Ok(Arc::new(doubles(column)?)),
        (DataType::Decimal128(_, _), DataType::Float32) => {
            let singles = doubles(column)?.unary(|number| number as f32);
            Ok(Arc::<Float32Array>::new(singles))
        }
        (_, kind) if kind.is_integer() => typed(whole(column, kind)?, kind),
        (_, kind) => Ok(cast(column, kind)?),
    }
}

fn truths(column: &ArrayRef) -> Result<ArrayRef> {
    let numbers: BooleanArray = match column.data_type() {
        DataType::Decimal128(_, _) => {
            let numbers = column.as_primitive::<Decimal128Type>();
            numbers.iter().map(|number| number.map(|number| number != 0)).collect()
        }
        _ => {
            let numbers = cast(column, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            numbers.iter().map(|number| number.map(|number| number != 0.0)).collect()
        }
    };
    Ok(Arc::new(numbers))
}

/// Returns the whole part of each number, as much of it as Java keeps on its way to `kind`.
fn whole(column: &ArrayRef, kind: &DataType) -> Result<Int64Array> {
    Ok(match column.data_type() {
        DataType::Float32 | DataType::Float64 => {
            let numbers = cast(column, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            match kind {
                DataType::Int64 => numbers.unary(|number| number as i64),
                // A byte is made of an INT, so it wraps behind the ends of INT.
                _ => numbers.unary(|number| i64::from(number as i32)),
            }
        }
        DataType::Decimal128(_, scale) => {
            let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
            column.as_primitive::<Decimal128Type>().unary(|number| (number / unit) as i64)
        }
        _ => cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone(),
    })
}

fn doubles(column: &ArrayRef) -> Result<Float64Array> {
    let DataType::Decimal128(_, scale) = column.data_type() else {
        return Ok(cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().clone());
    };
    let numbers = column.as_primitive::<Decimal128Type>();
    let nearest = |number: i128| match number.checked_abs() {
        Some(..EXACT) if *scale <= POWER_MAX => number as f64 / 10_f64.powi(i32::from(*scale)),
        // Two roundings would not be the nearest.
        _ => format!("{number}e-{scale}").parse().unwrap_or(f64::NAN),
    };
    Ok(numbers.unary(nearest))
}

/// Casts to a decimal, half up; what does not fit is NULL.
fn decimals(column: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = *kind else {
        return Err(wrap(Error::internal("a decimal that is none")));
    };
    if matches!(column.data_type(), DataType::Float32 | DataType::Float64) {
        let texts = write::column(column)?;
        let read = |text: Option<&str>| match text {
            Some("NaN" | "Infinity" | "-Infinity") => {
                let text = text.unwrap_or_default();
                Err(wrap(Error::data(format!("{text} is no {}", name(kind)))))
            }
            text => Ok(text.and_then(|text| decimal(text, precision, scale))),
        };
        let numbers = texts.iter().map(read);
        let numbers = numbers.collect::<Result<Decimal128Array>>()?;
        return Ok(Arc::new(numbers.with_precision_and_scale(precision, scale)?));
    }
    let safe = CastOptions { safe: true, ..CastOptions::default() };
    Ok(cast_with_options(column, kind, &safe)?)
}
