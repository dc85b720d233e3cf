//! Values as texts, as Flink writes them.
//!
//! | value | text |
//! |---|---|
//! | DOUBLE, FLOAT | the shortest digits that mean it, `1.0E10` from ten millions and below a thousandth |
//! | TIMESTAMP(p) | as many digits behind the seconds as the type has |
//! | INTERVAL | `+1 02:03:04.500`, `+1-02` |
//! | ARRAY, MAP, ROW | `[1, NULL]`, `{a=1}`, `(1, x)` |

use std::fmt::Write;

use chrono::DateTime;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, StringViewArray, StringViewBuilder, StructArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion::error::Result;
use thalweg_types::Error;
use thalweg_types::calendar::push_time;

use super::{Target, tick};
use crate::text::wrap;
use crate::types::{Limit, name};

/// Appends the value of a row, which is not NULL.
type Writer<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// Casts a column to texts.
pub(super) fn texts(column: &ArrayRef, to: &Target) -> Result<ArrayRef> {
    let texts = limited(&self::column(column)?, to.limit);
    Ok(cast(&texts, &to.kind)?)
}

/// Casts bytes to texts; what is no UTF-8 becomes a replacement character.
pub(super) fn decoded(column: &ArrayRef, to: &Target) -> Result<ArrayRef> {
    let bytes = cast(column, &DataType::Binary)?;
    let texts = bytes.as_binary::<i32>().iter();
    let texts: StringViewArray = texts.map(|bytes| bytes.map(String::from_utf8_lossy)).collect();
    Ok(cast(&limited(&texts, to.limit), &to.kind)?)
}

/// Writes a column.
pub(crate) fn column(column: &ArrayRef) -> Result<StringViewArray> {
    let write = writer(column)?;
    let mut texts = StringViewBuilder::with_capacity(column.len());
    let mut text = String::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        write(row, &mut text);
        texts.append_value(&text);
    }
    Ok(texts.finish())
}

/// Cuts texts to their length, or fills them up with spaces.
fn limited(texts: &StringViewArray, limit: Limit) -> StringViewArray {
    let (Limit::Exactly(length) | Limit::Most(length)) = limit else { return texts.clone() };
    let fitted = |text: &str| match text.char_indices().nth(length) {
        Some((end, _)) => text[..end].to_owned(),
        None if matches!(limit, Limit::Exactly(_)) => format!("{text:length$}"),
        None => text.to_owned(),
    };
    texts.iter().map(|text| text.map(fitted)).collect()
}

fn writer(column: &ArrayRef) -> Result<Writer<'_>> {
    use DataType as D;
    Ok(match column.data_type() {
        D::Boolean => {
            let truths = column.as_boolean();
            Box::new(|row, text| text.push_str(if truths.value(row) { "TRUE" } else { "FALSE" }))
        }
        D::Utf8 | D::LargeUtf8 | D::Utf8View => {
            let texts = cast(column, &D::Utf8View)?;
            Box::new(move |row, text| text.push_str(texts.as_string_view().value(row)))
        }
        kind if kind.is_binary() => {
            let bytes = cast(column, &D::Binary)?;
            Box::new(move |row, text| {
                text.push_str(&String::from_utf8_lossy(bytes.as_binary::<i32>().value(row)));
            })
        }
        D::Float32 => {
            let numbers = column.as_primitive::<Float32Type>();
            Box::new(|row, text| single(numbers.value(row), text))
        }
        D::Float64 => {
            let numbers = column.as_primitive::<Float64Type>();
            Box::new(|row, text| double(numbers.value(row), text))
        }
        D::Decimal128(_, _) => {
            let numbers = column.as_primitive::<Decimal128Type>();
            Box::new(|row, text| text.push_str(&numbers.value_as_string(row)))
        }
        D::Date32 | D::Time32(_) | D::Timestamp(_, None) => moments(column)?,
        D::Interval(IntervalUnit::MonthDayNano) => {
            let spans = column.as_primitive::<IntervalMonthDayNanoType>();
            Box::new(|row, text| interval(spans.value(row), text))
        }
        D::List(_) => list(column)?,
        D::Map(_, _) => map(column)?,
        D::Struct(_) => fields(column.as_struct())?,
        D::Null => Box::new(|_, text| text.push_str("NULL")),
        kind if kind.is_integer() => {
            let numbers = cast(column, &D::Int64)?;
            Box::new(move |row, text| push(text, numbers.as_primitive::<Int64Type>().value(row)))
        }
        other => {
            let error = format!("a {} cannot be written as a text", name(other));
            return Err(wrap(Error::invalid(error)));
        }
    })
}

fn push(text: &mut String, value: impl std::fmt::Display) {
    // Writing to a `String` cannot fail.
    let _ = write!(text, "{value}");
}

/// Writes NULL, or what `write` writes.
fn element(column: &dyn Array, write: &Writer<'_>, row: usize, text: &mut String) {
    match column.is_null(row) {
        true => text.push_str("NULL"),
        false => write(row, text),
    }
}

fn list(column: &ArrayRef) -> Result<Writer<'_>> {
    let lists = column.as_list::<i32>();
    let write = writer(lists.values())?;
    Ok(Box::new(move |row, text| {
        let (from, to) = (lists.value_offsets()[row], lists.value_offsets()[row + 1]);
        text.push('[');
        for at in from..to {
            if at > from {
                text.push_str(", ");
            }
            element(lists.values(), &write, at as usize, text);
        }
        text.push(']');
    }))
}

fn map(column: &ArrayRef) -> Result<Writer<'_>> {
    let maps = column.as_map();
    let (keys, values) = (writer(maps.keys())?, writer(maps.values())?);
    Ok(Box::new(move |row, text| {
        let (from, to) = (maps.value_offsets()[row], maps.value_offsets()[row + 1]);
        text.push('{');
        for at in from..to {
            if at > from {
                text.push_str(", ");
            }
            element(maps.keys(), &keys, at as usize, text);
            text.push('=');
            element(maps.values(), &values, at as usize, text);
        }
        text.push('}');
    }))
}

fn fields(rows: &StructArray) -> Result<Writer<'_>> {
    let fields = rows.columns().iter().map(|field| Ok((field, writer(field)?)));
    let fields = fields.collect::<Result<Vec<_>>>()?;
    Ok(Box::new(move |row, text| {
        text.push('(');
        for (at, (field, write)) in fields.iter().enumerate() {
            if at > 0 {
                text.push_str(", ");
            }
            element(field, write, row, text);
        }
        text.push(')');
    }))
}

/// How a type of times is written, in the patterns of `chrono`.
fn pattern(kind: &DataType) -> &'static str {
    let digits = match kind {
        DataType::Time32(unit) | DataType::Timestamp(unit, _) => *unit,
        _ => return "%Y-%m-%d",
    };
    match (kind, digits) {
        (DataType::Time32(_), TimeUnit::Second) => "%H:%M:%S",
        (DataType::Time32(_), _) => "%H:%M:%S%.f",
        (_, TimeUnit::Second) => "%Y-%m-%d %H:%M:%S",
        (_, TimeUnit::Millisecond) => "%Y-%m-%d %H:%M:%S%.3f",
        (_, TimeUnit::Microsecond) => "%Y-%m-%d %H:%M:%S%.6f",
        (_, TimeUnit::Nanosecond) => "%Y-%m-%d %H:%M:%S%.9f",
    }
}

fn moments(column: &ArrayRef) -> Result<Writer<'_>> {
    let kind = column.data_type();
    let (tick, pattern) = (tick(kind), pattern(kind));
    let digits = match kind {
        DataType::Timestamp(TimeUnit::Second, _) => Some(0),
        DataType::Timestamp(TimeUnit::Millisecond, _) => Some(3),
        DataType::Timestamp(TimeUnit::Microsecond, _) => Some(6),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => Some(9),
        _ => None,
    };
    let counts = match kind {
        DataType::Timestamp(_, _) => cast(column, &DataType::Int64)?,
        _ => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
    };
    Ok(Box::new(move |row, text| {
        let nanos = i128::from(counts.as_primitive::<Int64Type>().value(row)) * tick;
        let seconds = nanos.div_euclid(1_000_000_000) as i64;
        let rest = nanos.rem_euclid(1_000_000_000) as u32;
        if digits.is_some_and(|digits| push_time(text, seconds, rest, digits)) {
            return;
        }
        if let Some(time) = DateTime::from_timestamp(seconds, rest) {
            push(text, time.naive_utc().format(pattern));
        }
    }))
}

/// Writes months as `+1-02`, days and less as `+1 02:03:04.500`.
fn interval(span: IntervalMonthDayNano, text: &mut String) {
    if span.months != 0 {
        let sign = if span.months < 0 { '-' } else { '+' };
        let months = span.months.unsigned_abs();
        return push(text, format_args!("{sign}{}-{:02}", months / 12, months % 12));
    }
    let millis = i64::from(span.days) * 86_400_000 + span.nanoseconds / 1_000_000;
    let (sign, millis) = (if millis < 0 { '-' } else { '+' }, millis.unsigned_abs());
    let seconds = millis / 1_000;
    let (days, hours) = (seconds / 86_400, seconds / 3_600 % 24);
    let (minutes, rest) = (seconds / 60 % 60, seconds % 60);
    let millis = millis % 1_000;
    push(text, format_args!("{sign}{days} {hours:02}:{minutes:02}:{rest:02}.{millis:03}"));
}

/// Returns a floating number as Java writes it.
pub(crate) fn java(number: f64) -> String {
    let mut text = String::new();
    double(number, &mut text);
    text
}

fn double(number: f64, text: &mut String) {
    floating(number, &format!("{number:e}"), &format!("{number:?}"), text);
}

fn single(number: f32, text: &mut String) {
    floating(f64::from(number), &format!("{number:e}"), &format!("{number:?}"), text);
}

/// Writes a number of which `scientific` and `plain` have the shortest digits.
fn floating(number: f64, scientific: &str, plain: &str, text: &mut String) {
    match number {
        number if number.is_nan() => text.push_str("NaN"),
        f64::INFINITY => text.push_str("Infinity"),
        f64::NEG_INFINITY => text.push_str("-Infinity"),
        number if number == 0.0 || (1e-3..1e7).contains(&number.abs()) => text.push_str(plain),
        _ => {
            let (digits, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
            text.push_str(digits);
            if !digits.contains('.') {
                text.push_str(".0");
            }
            text.push('E');
            text.push_str(exponent);
        }
    }
}
