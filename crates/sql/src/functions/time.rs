//! Functions between times, texts and numbers. Instants are shown in UTC here, and local times
//! taken as such: [`crate::local_time`] puts the session's time zone around them.

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
use thalweg_types::zone::Overlap;
use thalweg_types::{Error, Zone};

use super::clock::UNIX_TIMESTAMP;
use super::pattern::Pattern;
use super::{Function, Kind, constant_text, text_at};
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
            .named("to_timestamp", |_, _| millis())
            .body(|columns| Ok(Arc::new(read(columns)?))),
        Function::new("TO_DATE(text[, pattern])", &[Kind::Text, Kind::Text])
            .optional(1)
            .pattern(1)
            .named("to_date", |_, _| DataType::Date32)
            .body(to_date),
        to_timestamp_ltz_function(),
        Function::new("UNIX_TIMESTAMP([text[, pattern]])", &[Kind::Text, Kind::Text])
            .optional(2)
            .pattern(1)
            .named(UNIX_TIMESTAMP, |_, _| DataType::Int64)
            .volatile()
            .body(unix_timestamp),
        Function::new("FROM_UNIXTIME(seconds[, pattern])", &[Kind::Whole, Kind::Text])
            .optional(1)
            .pattern(1)
            .named("from_unixtime", |_, _| DataType::Utf8View)
            .body(from_unixtime),
        Function::new("CONVERT_TZ(text, zone, zone)", &[Kind::Text, Kind::Text, Kind::Text])
            .checked(|constants| {
                let zones = [1, 2].into_iter().filter_map(|at| constant_text(constants, at));
                zones.map(zone).try_for_each(|zone| zone.map(|_| ()))
            })
            .named("convert_tz", |_, _| DataType::Utf8View)
            .body(convert_tz),
    ]
}

fn to_timestamp_ltz_function() -> Function {
    Function::new(
        "TO_TIMESTAMP_LTZ(number[, precision]) or TO_TIMESTAMP_LTZ(text[, pattern[, zone]])",
        &[Kind::WholeOrText, Kind::WholeOrText, Kind::Text],
    )
    .optional(2)
    .pattern(1)
    .checked(|constants| constant_text(constants, 2).map_or(Ok(()), |z| zone(z).map(|_| ())))
    .named("to_timestamp_ltz", |_, _| local_millis())
    .body(instants)
}

/// Returns `TO_TIMESTAMP_LTZ`.
pub(crate) fn to_timestamp_ltz() -> ScalarUDF {
    ScalarUDF::from(to_timestamp_ltz_function())
}

fn date_format_function() -> Function {
    Function::new("DATE_FORMAT(time, pattern)", &[Kind::Time, Kind::Text])
        .pattern(1)
        .named("date_format", |_, _| DataType::Utf8View)
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
    let is_given = |row: usize| columns.iter().all(|column| column.is_valid(row));
    let seconds = times.iter().enumerate().map(|(row, millis)| match millis {
        Some(millis) => Some(millis.div_euclid(1_000)),
        // What Flink gives for a text that does not fit its pattern.
        None => is_given(row).then_some(i64::MIN),
    });
    Ok(Arc::new(seconds.collect::<Int64Array>()))
}

/// A count of seconds (precision 0) or milliseconds (3, the default) as a time.
fn instants(columns: &[ArrayRef]) -> Result<ArrayRef> {
    if *columns[0].data_type() == DataType::Utf8View {
        return read_local(columns);
    }
    let numbers = columns[0].as_primitive::<Int64Type>();
    let precisions = columns.get(1).map(|column| cast(column, &DataType::Int64)).transpose()?;
    let precisions = precisions.as_ref().map(|column| column.as_primitive::<Int64Type>());
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

/// A text, by its pattern and in its zone, as a time.
fn read_local(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let times = match columns {
        [texts, patterns, ..] => read(&[texts.clone(), cast(patterns, &DataType::Utf8View)?])?,
        _ => read(columns)?,
    };
    let Some(zones) = columns.get(2).map(|column| column.as_string_view()) else {
        return Ok(Arc::new(times.with_timezone("UTC")));
    };
    let moved = times.iter().enumerate().map(|(row, local)| {
        let Some((local, name)) = local.zip(text_at(zones, row)) else { return Ok(None) };
        Ok(Some(zone(name)?.in_unit(TimeUnit::Millisecond).instant(local, Overlap::Earlier)))
    });
    let moved = moved.collect::<thalweg_types::Result<Vec<_>>>().map_err(wrap)?;
    Ok(Arc::new(TimestampMillisecondArray::from(moved).with_timezone("UTC")))
}

/// Returns the zone called `name`.
fn zone(name: &str) -> thalweg_types::Result<Zone> {
    Zone::named(name).ok_or_else(|| {
        Error::invalid(format!("there is no time zone '{name}'"))
            .remedy("write 'UTC', 'Europe/Berlin' or '+02:00'")
    })
}

/// A text as clocks show it in one zone, as they show it in another.
fn convert_tz(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let times = read(&columns[..1])?;
    let (sources, targets) = (columns[1].as_string_view(), columns[2].as_string_view());
    let moved = times.iter().enumerate().map(|(row, local)| {
        let zones = text_at(sources, row).zip(text_at(targets, row));
        let Some((local, (source, target))) = local.zip(zones) else { return Ok(None) };
        let [source, target] =
            [zone(source)?, zone(target)?].map(|z| z.in_unit(TimeUnit::Millisecond));
        // As Java's `SimpleDateFormat` has it.
        let instant = source.instant(local, Overlap::Later);
        Ok(DateTime::from_timestamp_millis(target.local(instant)).map(|time| time.naive_utc()))
    });
    let moved = moved.collect::<thalweg_types::Result<Vec<_>>>().map_err(wrap)?;
    written(moved.len(), Patterns::new(None), |row| moved[row])
}
