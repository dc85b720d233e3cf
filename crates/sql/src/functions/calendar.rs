//! Arithmetic of the calendar by units: `TIMESTAMPADD`, `TIMESTAMPDIFF`, `FLOOR(t TO unit)`.
//!
//! Invariants: a column keeps the unit it counts in; a week begins on Sunday, as in Flink; a
//! difference counts whole units only.

use std::sync::Arc;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveDateTime};
use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array};
use datafusion::arrow::compute::{CastOptions, cast, cast_with_options};
use datafusion::arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use datafusion::error::Result;
use thalweg_types::Error;

use super::{Constant, Function, Kind, constant_text, text_at};
use crate::text::wrap;

const DAY_SECONDS: i64 = 86_400;

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// So many of a thousandth of a second.
    Millis(i64),
    /// So many months.
    Months(i32),
}

impl Unit {
    fn of(name: &str) -> thalweg_types::Result<Unit> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "MILLISECOND" => Unit::Millis(1),
            "SECOND" => Unit::Millis(1_000),
            "MINUTE" => Unit::Millis(60_000),
            "HOUR" => Unit::Millis(3_600_000),
            "DAY" => Unit::Millis(DAY_SECONDS * 1_000),
            "WEEK" => Unit::Millis(7 * DAY_SECONDS * 1_000),
            "MONTH" => Unit::Months(1),
            "QUARTER" => Unit::Months(3),
            "YEAR" => Unit::Months(12),
            "DECADE" => Unit::Months(120),
            _ => {
                let error = Error::invalid(format!("there is no unit of time `{name}`"));
                return Err(error.remedy(
                    "write SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER or YEAR, without quotes",
                ));
            }
        })
    }

    fn is_below_day(self) -> bool {
        matches!(self, Unit::Millis(millis) if millis < DAY_SECONDS * 1_000)
    }
}

fn check_unit(constants: &[Constant], at: usize) -> thalweg_types::Result<()> {
    constant_text(constants, at).map_or(Ok(()), |name| Unit::of(name).map(|_| ()))
}

/// Returns the unit in a column, which is the same in all rows.
fn unit_in(column: &ArrayRef) -> Result<Option<Unit>> {
    let name = (!column.is_empty()).then(|| text_at(column.as_string_view(), 0)).flatten();
    name.map(|name| Unit::of(name).map_err(wrap)).transpose()
}

pub(super) fn all() -> Vec<Function> {
    vec![
        Function::new("TIMESTAMPADD(unit, count, time)", &[Kind::Text, Kind::Whole, Kind::Moment])
            .checked(|constants| check_unit(constants, 0))
            .named("timestampadd", |kinds, constants| {
                sum_type(&kinds[2], constant_text(constants, 0))
            })
            .body(timestampadd),
        Function::new("TIMESTAMPDIFF(unit, time, time)", &[Kind::Text, Kind::Time, Kind::Time])
            .checked(|constants| check_unit(constants, 0))
            .named("timestampdiff", |_, _| DataType::Int32)
            .body(timestampdiff),
    ]
}

/// A date stays one unless a part of a day is added.
fn sum_type(kind: &DataType, unit: Option<&str>) -> DataType {
    let unit = unit.and_then(|name| Unit::of(name).ok());
    match kind {
        DataType::Date32 if unit.is_some_and(Unit::is_below_day) => millis(),
        DataType::Null => millis(),
        kind => kind.clone(),
    }
}

fn millis() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// Returns how many values of `kind` make a day.
fn ticks_of_day(kind: &DataType) -> i64 {
    match kind {
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
            DAY_SECONDS
                * match unit {
                    TimeUnit::Second => 1,
                    TimeUnit::Millisecond => 1_000,
                    TimeUnit::Microsecond => 1_000_000,
                    TimeUnit::Nanosecond => 1_000_000_000,
                }
        }
        _ => 1,
    }
}

/// Returns the numbers that stand for moments.
fn counts(column: &ArrayRef) -> Result<Int64Array> {
    let column = match column.data_type() {
        DataType::Date32 | DataType::Time32(_) => cast(column, &DataType::Int32)?,
        _ => column.clone(),
    };
    Ok(cast(&column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// Turns numbers into moments.
fn moments(numbers: Int64Array, kind: &DataType) -> Result<ArrayRef> {
    let numbers: ArrayRef = Arc::new(numbers);
    let numbers = match kind {
        DataType::Date32 | DataType::Time32(_) => {
            let options = CastOptions { safe: false, ..CastOptions::default() };
            cast_with_options(&numbers, &DataType::Int32, &options)?
        }
        _ => numbers,
    };
    Ok(cast(&numbers, kind)?)
}

/// Returns the date `days` behind that of the epoch.
fn date_of(days: i64) -> Option<NaiveDate> {
    NaiveDate::from_epoch_days(i32::try_from(days).ok()?)
}

fn days_of(date: NaiveDate) -> i64 {
    i64::from(date.to_epoch_days())
}

fn timestampadd(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let Some(unit) = unit_in(&columns[0])? else {
        return Ok(cast(&Int64Array::new_null(columns[2].len()), &millis())?);
    };
    let added = columns[1].as_primitive::<Int64Type>();
    let column = match columns[2].data_type() {
        DataType::Date32 if unit.is_below_day() => cast(&columns[2], &millis())?,
        _ => columns[2].clone(),
    };
    let (day, numbers) = (ticks_of_day(column.data_type()), counts(&column)?);
    let is_clock = matches!(column.data_type(), DataType::Time32(_) | DataType::Time64(_));
    let mut sums = Vec::with_capacity(numbers.len());
    for row in 0..numbers.len() {
        if numbers.is_null(row) || added.is_null(row) {
            sums.push(None);
            continue;
        }
        let sum = plus(numbers.value(row), added.value(row), unit, day);
        let sum = sum.ok_or_else(|| wrap(Error::data("the time is out of range")))?;
        sums.push(Some(if is_clock { sum.rem_euclid(day) } else { sum }));
    }
    moments(Int64Array::from(sums), column.data_type())
}

/// Adds to a number that stands for a moment; a day that its month lacks becomes the last one.
fn plus(number: i64, count: i64, unit: Unit, day: i64) -> Option<i64> {
    match unit {
        Unit::Millis(millis) => {
            let ticks = i128::from(millis) * i128::from(day) / i128::from(DAY_SECONDS * 1_000);
            i64::try_from(i128::from(number) + ticks * i128::from(count)).ok()
        }
        Unit::Months(months) => {
            let months = i64::from(months).checked_mul(count)?;
            let size = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
            let date = date_of(number.div_euclid(day))?;
            let date = match months >= 0 {
                true => date.checked_add_months(size)?,
                false => date.checked_sub_months(size)?,
            };
            days_of(date).checked_mul(day)?.checked_add(number.rem_euclid(day))
        }
    }
}

fn timestampdiff(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let starts = columns[1].as_primitive::<TimestampMicrosecondType>();
    let ends = columns[2].as_primitive::<TimestampMicrosecondType>();
    let Some(unit) = unit_in(&columns[0])? else {
        return Ok(Arc::new(Int32Array::new_null(starts.len())));
    };
    let mut counts = Vec::with_capacity(starts.len());
    for row in 0..starts.len() {
        if starts.is_null(row) || ends.is_null(row) {
            counts.push(None);
            continue;
        }
        let count = between(starts.value(row), ends.value(row), unit);
        let count = count.and_then(|count| i32::try_from(count).ok());
        let error = || wrap(Error::data("the difference does not fit INT"));
        counts.push(Some(count.ok_or_else(error)?));
    }
    Ok(Arc::new(Int32Array::from(counts)))
}

/// Counts the whole units from one time, in microseconds, to another.
fn between(start: i64, end: i64, unit: Unit) -> Option<i64> {
    let months = match unit {
        Unit::Millis(millis) => return Some(end.checked_sub(start)? / (millis * 1_000)),
        Unit::Months(months) => i64::from(months),
    };
    let time = |micros| Some(DateTime::from_timestamp_micros(micros)?.naive_utc());
    let (start, end) = (time(start)?, time(end)?);
    let month = |time: &NaiveDateTime| i64::from(time.year()) * 12 + i64::from(time.month0());
    let within = |time: &NaiveDateTime| (time.day(), time.time());
    let whole = month(&end) - month(&start);
    let whole = match whole {
        _ if whole > 0 && within(&end) < within(&start) => whole - 1,
        _ if whole < 0 && within(&end) > within(&start) => whole + 1,
        _ => whole,
    };
    Some(whole / months)
}

/// Checks the unit in `FLOOR(t TO unit)`.
pub(super) fn check_floor(constants: &[Constant]) -> thalweg_types::Result<()> {
    check_unit(constants, 1)
}

/// Moves moments to where their unit begins, or for `is_up` where the next one does.
pub(super) fn floor_time(columns: &[ArrayRef], is_up: bool) -> Result<ArrayRef> {
    let kind = columns[0].data_type();
    let Some(unit) = unit_in(&columns[1])? else {
        return Ok(cast(&Int64Array::new_null(columns[0].len()), kind)?);
    };
    let (day, numbers) = (ticks_of_day(kind), counts(&columns[0])?);
    let is_clock = matches!(kind, DataType::Time32(_) | DataType::Time64(_));
    let moved: Int64Array = numbers.unary_opt(|number| {
        let floor = floor_of(number, unit, day)?;
        match is_up && floor < number {
            false => Some(floor),
            true if is_clock => Some(plus(floor, 1, unit, day)?.rem_euclid(day)),
            true => plus(floor, 1, unit, day),
        }
    });
    moments(moved, kind)
}

fn floor_of(number: i64, unit: Unit, day: i64) -> Option<i64> {
    let days = number.div_euclid(day);
    match unit {
        Unit::Millis(millis) if unit.is_below_day() => {
            // A column that counts days, or whole seconds, is as fine as it gets.
            let ticks = i128::from(day) * i128::from(millis) / i128::from(DAY_SECONDS * 1_000);
            let ticks = i64::try_from(ticks).ok()?;
            Some(if ticks <= 1 { number } else { number - number.rem_euclid(ticks) })
        }
        Unit::Millis(millis) if millis == DAY_SECONDS * 1_000 => days.checked_mul(day),
        // The epoch began on a Thursday, four days behind a Sunday.
        Unit::Millis(_) => (days - (days + 4).rem_euclid(7)).checked_mul(day),
        Unit::Months(months) => {
            let date = date_of(days)?;
            let month = date.year() * 12 + i32::try_from(date.month0()).ok()?;
            let month = month - month.rem_euclid(months);
            let first = u32::try_from(month.rem_euclid(12)).ok()? + 1;
            days_of(NaiveDate::from_ymd_opt(month.div_euclid(12), first, 1)?).checked_mul(day)
        }
    }
}
