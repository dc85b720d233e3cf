//! Functions over numbers.
//!
//! Invariants: a result has the type of its argument, save where Flink says otherwise; a DOUBLE
//! is rounded and cut by the digits it is written with, as Java's BigDecimal does.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array,
};
use datafusion::arrow::compute::kernels::numeric::rem;
use datafusion::arrow::compute::{binary, cast};
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Float64Type, Int64Type,
};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use thalweg_types::Error;

use super::calendar::{check_floor, floor_time};
use super::{Constant, Function, Kind};
use crate::text::wrap;

pub(super) fn all() -> Vec<Function> {
    vec![
        Function::new("MOD(number, divisor)", &[Kind::Number, Kind::Number])
            .named("mod", |kinds, _| remainder_type(kinds))
            .body(remainder),
        Function::new("SIGN(number)", &[Kind::Number])
            .named("sign", |kinds, _| sign_type(&kinds[0]))
            .body(sign),
        Function::new("TRUNCATE(number[, places])", &[Kind::Number, Kind::Whole])
            .optional(1)
            .named("truncate", cut_type)
            .body(|columns| cut(columns, false)),
        Function::new("ROUND(number[, places])", &[Kind::Number, Kind::Whole])
            .optional(1)
            .named("round", cut_type)
            .body(|columns| cut(columns, true)),
        Function::new("FLOOR(number) or FLOOR(time TO unit)", &[Kind::Scalar, Kind::Text])
            .optional(1)
            .checked(check_floor)
            .named("floor", |kinds, _| floor_type(&kinds[0]))
            .body(|columns| floor(columns, false)),
        Function::new("CEIL(number) or CEIL(time TO unit)", &[Kind::Scalar, Kind::Text])
            .optional(1)
            .checked(check_floor)
            .named("ceil", |kinds, _| floor_type(&kinds[0]))
            .alias("ceiling")
            .body(|columns| floor(columns, true)),
        Function::new("SQRT(number)", &[Kind::Number])
            .named("sqrt", |_, _| DataType::Float64)
            .body(|columns| {
                let numbers = cast(&columns[0], &DataType::Float64)?;
                Ok(Arc::new(
                    numbers.as_primitive::<Float64Type>().unary::<_, Float64Type>(f64::sqrt),
                ))
            }),
        Function::new("POWER(number, exponent)", &[Kind::Number, Kind::Number])
            .named("power", |_, _| DataType::Float64)
            .alias("pow")
            .body(power),
        Function::new("E()", &[])
            .optional(0)
            .named("e", |_, _| DataType::Float64)
            .body(|_| Ok(Arc::new(Float64Array::from(vec![std::f64::consts::E])))),
    ]
}

fn power(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let bases = cast(&columns[0], &DataType::Float64)?;
    let exponents = cast(&columns[1], &DataType::Float64)?;
    let (bases, exponents) =
        (bases.as_primitive::<Float64Type>(), exponents.as_primitive::<Float64Type>());
    let powers = binary::<_, _, _, Float64Type>(bases, exponents, f64::powf)?;
    Ok(Arc::new(powers))
}

/// Whole numbers give BIGINT, all others DOUBLE.
fn remainder_type(kinds: &[DataType]) -> DataType {
    match kinds.iter().all(|kind| kind.is_integer() || *kind == DataType::Null) {
        true => DataType::Int64,
        false => DataType::Float64,
    }
}

fn remainder(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let kinds: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    let kind = remainder_type(&kinds);
    let (number, divisor) = (cast(&columns[0], &kind)?, cast(&columns[1], &kind)?);
    Ok(rem(&number, &divisor)?)
}

/// Returns the type of a number; a NULL alone is taken for DOUBLE.
fn number_type(kind: &DataType) -> DataType {
    if *kind == DataType::Null { DataType::Float64 } else { kind.clone() }
}

/// As its argument, with room for 1.
fn sign_type(kind: &DataType) -> DataType {
    match kind {
        DataType::Decimal128(precision, scale) => {
            let least = scale.unsigned_abs().saturating_add(1).min(DECIMAL128_MAX_PRECISION);
            DataType::Decimal128(least.max(*precision), *scale)
        }
        kind => number_type(kind),
    }
}

fn sign(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let column = &columns[0];
    Ok(match column.data_type() {
        DataType::Decimal128(_, scale) if (0..38).contains(scale) => {
            let one = 10_i128.pow(u32::from(scale.unsigned_abs()));
            let numbers = column.as_primitive::<Decimal128Type>();
            let signs: Decimal128Array = numbers.unary(|number| number.signum() * one);
            Arc::new(signs.with_data_type(sign_type(column.data_type())))
        }
        kind if kind.is_integer() => {
            let numbers = cast(column, &DataType::Int64)?;
            let signs: Int64Array = numbers.as_primitive::<Int64Type>().unary(i64::signum);
            cast(&signs, kind)?
        }
        kind => {
            let numbers = cast(column, &DataType::Float64)?;
            let sign = |number: f64| if number == 0.0 { 0.0 } else { number.signum() };
            let signs: Float64Array = numbers.as_primitive::<Float64Type>().unary(sign);
            cast(&signs, kind)?
        }
    })
}

/// A DECIMAL is left with as many places as are asked for; all others keep their type.
fn cut_type(kinds: &[DataType], constants: &[Constant]) -> DataType {
    let DataType::Decimal128(precision, scale) = kinds[0] else { return number_type(&kinds[0]) };
    let places = match (kinds.get(1), constants.get(1).copied().flatten()) {
        (None, _) => 0,
        (Some(_), Some(value)) => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(places))) => places,
            _ => i64::from(scale),
        },
        (Some(_), None) => i64::from(scale),
    };
    let places = i8::try_from(places.clamp(0, i64::from(scale.max(0)))).unwrap_or(scale);
    if places == scale {
        return kinds[0].clone();
    }
    let whole = i16::from(precision) - i16::from(scale) + i16::from(places) + 1;
    let precision = u8::try_from(whole).unwrap_or(precision).min(DECIMAL128_MAX_PRECISION);
    DataType::Decimal128(precision, places)
}

/// Rounds half away from zero, or cuts, to a number of places behind the point.
fn cut(columns: &[ArrayRef], rounds: bool) -> Result<ArrayRef> {
    let column = &columns[0];
    let places = columns.get(1).map(|places| places.as_primitive::<Int64Type>());
    let at = |row: usize| match places {
        None => Some(0),
        Some(places) => places.is_valid(row).then(|| places.value(row)),
    };
    let rows = 0..column.len();
    let too_large = || wrap(Error::data("the rounded number does not fit its type"));
    Ok(match column.data_type() {
        DataType::Decimal128(precision, scale) => {
            let numbers = column.as_primitive::<Decimal128Type>();
            let cut = rows.map(|row| {
                let number = numbers.is_valid(row).then(|| numbers.value(row))?;
                Some(cut_whole(number, i64::from(*scale) - at(row)?, rounds))
            });
            let cut: Decimal128Array = cut.collect();
            // One digit more, for what is rounded up; the caller has the places cut off.
            let precision = precision.saturating_add(1).min(DECIMAL128_MAX_PRECISION);
            Arc::new(cut.with_precision_and_scale(precision, *scale)?)
        }
        kind if kind.is_integer() => {
            let numbers = cast(column, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            let mut cut = Vec::with_capacity(numbers.len());
            for row in rows {
                let number = numbers.is_valid(row).then(|| numbers.value(row));
                let number = number.zip(at(row));
                let number = number.map(|(n, places)| cut_whole(i128::from(n), -places, rounds));
                let number = number.map(|n| i64::try_from(n).map_err(|_| too_large()));
                cut.push(number.transpose()?);
            }
            cast(&Int64Array::from(cut), kind)?
        }
        kind => {
            let numbers = cast(column, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            let cut = rows.map(|row| {
                let number = numbers.is_valid(row).then(|| numbers.value(row))?;
                Some(cut_double(number, at(row)?, rounds))
            });
            cast(&cut.collect::<Float64Array>(), kind)?
        }
    })
}

/// Makes the last `digits` digits of a number zeros.
fn cut_whole(number: i128, digits: i64, rounds: bool) -> i128 {
    let digits = match u32::try_from(digits) {
        Ok(digits) if digits > 0 => digits,
        _ if digits > 0 => return 0,
        _ => return number,
    };
    let Some(unit) = 10_i128.checked_pow(digits) else { return 0 };
    let rest = number % unit;
    let up = if rounds && rest.abs() >= unit / 2 { unit * number.signum() } else { 0 };
    number - rest + up
}

/// Rounds or cuts the digits that a number is written with.
fn cut_double(number: f64, places: i64, rounds: bool) -> f64 {
    let text = number.abs().to_string();
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let scale = i64::try_from(part.len()).unwrap_or(i64::MAX);
    if !number.is_finite() || places >= scale && scale > 0 {
        return number;
    }
    // More digits than fit are exact whole numbers far beyond what is asked for.
    let Ok(digits) = format!("{whole}{part}").parse::<i128>() else { return number };
    let cut = cut_whole(digits, scale.saturating_sub(places), rounds);
    let cut: f64 = format!("{cut}e-{scale}").parse().unwrap_or(number);
    cut.copysign(number)
}

fn floor_type(kind: &DataType) -> DataType {
    match kind {
        DataType::Decimal128(precision, scale) if *scale > 0 => DataType::Decimal128(*precision, 0),
        kind => number_type(kind),
    }
}

fn floor(columns: &[ArrayRef], is_up: bool) -> Result<ArrayRef> {
    let column = &columns[0];
    if columns.len() == 2 {
        return match column.data_type().is_numeric() {
            false => floor_time(columns, is_up),
            true => Err(wrap(Error::invalid("only a time has a unit to be rounded to"))),
        };
    }
    Ok(match column.data_type() {
        DataType::Decimal128(precision, scale @ 1..) => {
            let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
            let numbers = column.as_primitive::<Decimal128Type>();
            let whole: Decimal128Array = numbers.unary(|number| {
                let floor = number.div_euclid(unit);
                floor + i128::from(is_up && floor * unit < number)
            });
            Arc::new(whole.with_precision_and_scale(*precision, 0)?)
        }
        kind if kind.is_floating() => {
            let numbers = cast(column, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            let whole: Float64Array = numbers.unary(if is_up { f64::ceil } else { f64::floor });
            cast(&whole, kind)?
        }
        kind if kind.is_numeric() => column.clone(),
        _ => return Err(wrap(Error::invalid("write FLOOR(time TO unit) or CEIL(time TO unit)"))),
    })
}
