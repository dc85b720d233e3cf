//! Functions between times, texts and numbers. The session's time zone is UTC.

use std::sync::Arc;

use chrono::{DateTime, NaiveDateTime};
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, StringViewArray, StringViewBuilder,
    TimestampMillisecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use thalweg_types::Error;

use super::clock::UNIX_TIMESTAMP;
use super::pattern::Pattern;
use super::{Function, Kind, text_at};
use crate::text::wrap;

/// How Flink writes a time unless it is told otherwise.
const STANDARD: &str = "yyyy-MM-dd HH:mm:ss";

fn millis() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

fn local_millis() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

pub(super) fn all() -> Vec<Function> {
    vec![
        date_format_function(),
        Function::new("TO_TIMESTAMP(text[, pattern])", &[Kind::Text, Kind::Text])
            .optional(1)
            .pattern(1)
            .named("to_timestamp", |_| millis())
            .body(|columns| Ok(Arc::new(read(columns)?))),
        Function::new("TO_DATE(text[, pattern])", &[Kind::Text, Kind::Text])
            .optional(1)
            .pattern(1)
            .named("to_date", |_| DataType::Date32)
            .body(to_date),
        Function::new("TO_TIMESTAMP_LTZ(number[, precision])", &[Kind::Whole, Kind::Whole])
            .optional(1)
            .named("to_timestamp_ltz", |_| local_millis())
            .body(to_timestamp_ltz),
        Function::new("UNIX_TIMESTAMP([text[, pattern]])", &[Kind::Text, Kind::Text])
            .optional(2)
            .pattern(1)
            .named(UNIX_TIMESTAMP, |_| DataType::Int64)
            .volatile()
            .body(unix_timestamp),
        Function::new("FROM_UNIXTIME(seconds[, pattern])", &[Kind::Whole, Kind::Text])
            .optional(1)
            .pattern(1)
            .named("from_unixtime", |_| DataType::Utf8View)
            .body(from_unixtime),
    ]
}

fn date_format_function() -> Function {
    Function::new("DATE_FORMAT(time, pattern)", &[Kind::Time, Kind::Text])
        .pattern(1)
        .named("date_format", |_| DataType::Utf8View)
        .body(format_times)
}

/// Returns `DATE_FORMAT`.
pub(crate) fn date_format() -> ScalarUDF {
    ScalarUDF::from(date_format_function())
}

/// The pattern of each row; the same text is read once.
struct Patterns<'a> {
    texts: Option<&'a StringViewArray>,
    last: Option<(String, Pattern)>,
}

impl<'a> Patterns<'a> {
    fn new(column: Option<&'a ArrayRef>) -> Patterns<'a> {
        Patterns { texts: column.map(|column| column.as_string_view()), last: None }
    }

    /// Returns the pattern of `row`; `None` if it is NULL.
    fn at(&mut self, row: usize) -> Result<Option<&Pattern>> {
        let text = match self.texts {
            None => STANDARD,
            Some(texts) => match text_at(texts, row) {
                None => return Ok(None),
                Some(text) => text,
            },
        };
        if self.last.as_ref().is_none_or(|(last, _)| last != text) {
            self.last = Some((text.to_owned(), Pattern::new(text).map_err(wrap)?));
        }
        Ok(self.last.as_ref().map(|(_, pattern)| pattern))
    }
}

/// Writes each time, if there is one, by the pattern of its row.
fn written(
    rows: usize,
    mut patterns: Patterns<'_>,
    time: impl Fn(usize) -> Option<NaiveDateTime>,
) -> Result<ArrayRef> {
    let mut texts = StringViewBuilder::with_capacity(rows);
    let mut text = String::new();
    for row in 0..rows {
        match (time(row), patterns.at(row)?) {
            (Some(time), Some(pattern)) => {
                text.clear();
                pattern.format(time, &mut text);
                texts.append_value(&text);
            }
            _ => texts.append_null(),
        }
    }
    Ok(Arc::new(texts.finish()))
}

fn format_times(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let times = columns[0].as_primitive::<TimestampMicrosecondType>();
    written(times.len(), Patterns::new(columns.get(1)), |row| {
        let micros = times.is_valid(row).then(|| times.value(row))?;
        Some(DateTime::from_timestamp_micros(micros)?.naive_utc())
    })
}

fn from_unixtime(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let seconds = columns[0].as_primitive::<Int64Type>();
    written(seconds.len(), Patterns::new(columns.get(1)), |row| {
        let seconds = seconds.is_valid(row).then(|| seconds.value(row))?;
        Some(DateTime::from_timestamp(seconds, 0)?.naive_utc())
    })
}

/// Reads texts as times; what does not fit its pattern is NULL.
fn read(columns: &[ArrayRef]) -> Result<TimestampMillisecondArray> {
    if columns.len() == 1 {
        let times = cast(&columns[0], &millis())?;
        return Ok(times.as_primitive::<TimestampMillisecondType>().clone());
    }
    let texts = columns[0].as_string_view();
    let mut patterns = Patterns::new(columns.get(1));
    let mut times = Vec::with_capacity(texts.len());
    for row in 0..texts.len() {
        let pattern = patterns.at(row)?;
        let time = text_at(texts, row).zip(pattern).and_then(|(text, p)| p.parse(text));
        times.push(time.map(|time| time.and_utc().timestamp_millis()));
    }
    Ok(TimestampMillisecondArray::from(times))
}

/// As times, without the time of day; `2024-05-01` unless the pattern says otherwise.
fn to_date(columns: &[ArrayRef]) -> Result<ArrayRef> {
    Ok(match columns {
        [texts] => cast(texts, &DataType::Date32)?,
        _ => cast(&read(columns)?, &DataType::Date32)?,
    })
}

fn unix_timestamp(columns: &[ArrayRef]) -> Result<ArrayRef> {
    if columns.is_empty() {
        return Err(wrap(Error::internal("the clock was asked outside of a stream")));
    }
    let times = read(columns)?;
    let seconds: Int64Array = times.unary(|millis| millis.div_euclid(1_000));
    Ok(Arc::new(seconds))
}

/// A count of seconds (precision 0) or milliseconds (3, the default) as a time.
fn to_timestamp_ltz(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let numbers = columns[0].as_primitive::<Int64Type>();
    let precisions = columns.get(1).map(|column| column.as_primitive::<Int64Type>());
    let mut times = Vec::with_capacity(numbers.len());
    for row in 0..numbers.len() {
        let factor = match precisions.map(|p| p.is_valid(row).then(|| p.value(row))) {
            None | Some(Some(3)) => Some(1),
            Some(Some(0)) => Some(1_000),
            Some(None) => None,
            Some(Some(other)) => {
                let error = format!("TO_TIMESTAMP_LTZ has no precision {other}");
                return Err(wrap(Error::invalid(error).remedy("the precision is 0 or 3")));
            }
        };
        let number = numbers.is_valid(row).then(|| numbers.value(row));
        times.push(number.zip(factor).and_then(|(number, factor)| number.checked_mul(factor)));
    }
    Ok(Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC")))
}
