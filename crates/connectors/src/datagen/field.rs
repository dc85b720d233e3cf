//! One made-up column.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, StringViewBuilder, TimestampMillisecondArray,
};
use arrow::compute::{CastOptions, cast, cast_with_options, nullif};
use arrow::datatypes::{DataType, FieldRef};
use thalweg_plan::connector::Options;
use thalweg_types::{Error, Result};

use crate::random::{bits, unit};

const KEYS: [&str; 8] = ["kind", "min", "max", "length", "max-past", "null-rate", "start", "end"];
/// Characters of a random text, as in Flink.
const LENGTH: u64 = 100;

/// Returns the options that a column has.
pub(super) fn options_of(name: &str) -> impl Iterator<Item = String> {
    KEYS.iter().map(move |key| format!("fields.{name}.{key}"))
}

/// A column and how its values are made.
#[derive(Clone, Debug)]
pub(super) struct Field {
    kind: DataType,
    values: Values,
    null_rate: f64,
    /// Which random numbers it draws: values, and with one added whether they are there.
    stream: u64,
}

#[derive(Clone, Debug)]
enum Values {
    Flag,
    Whole { min: i64, max: i64 },
    Real { min: f64, max: f64 },
    Text { length: usize },
    Time { past_ms: u64 },
    Sequence { start: i64, end: i64 },
}

impl Field {
    /// Reads the options of the column `field`, which is at `place` in its table.
    ///
    /// # Errors
    /// `Invalid` if one is no such value, or the type cannot be made up.
    pub(super) fn new(options: &Options, field: &FieldRef, place: usize) -> Result<Field> {
        let name = field.name();
        let key = |key: &str| format!("fields.{name}.{key}");
        let null_rate = parsed(options, &key("null-rate"), "a share from 0 to 1")?.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&null_rate) {
            return Err(Error::invalid(format!(
                "option '{}' is not from 0 to 1",
                key("null-rate")
            )));
        }
        let values = match options.get(&key("kind")).unwrap_or("random") {
            "random" => random(options, name, field.data_type())?,
            "sequence" => sequence(options, name, field.data_type())?,
            other => {
                return Err(Error::invalid(format!("option '{}' is '{other}'", key("kind")))
                    .remedy("it can be random or sequence"));
            }
        };
        let kind = field.data_type().clone();
        Ok(Field { kind, values, null_rate, stream: (place as u64 * 2) % 32 })
    }

    /// Returns the number of rows after which the column ends.
    pub(super) fn rows(&self) -> Option<u64> {
        match self.values {
            Values::Sequence { start, end } => Some(end.abs_diff(start).saturating_add(1)),
            _ => None,
        }
    }

    /// Makes the values of some rows, for a job that began at `began_ms` since 1970.
    ///
    /// # Errors
    /// `Invalid` if a value of a sequence does not fit the type.
    pub(super) fn make(&self, rows: Range<u64>, began_ms: i64) -> Result<ArrayRef> {
        let draw = |row| bits(row, self.stream);
        let made: ArrayRef = match self.values {
            Values::Flag => {
                Arc::new(rows.clone().map(|row| Some(draw(row) & 1 == 1)).collect::<BooleanArray>())
            }
            Values::Whole { min, max } => {
                // In 128 bits: the span of all numbers is one more than 64 bits hold.
                let span = (i128::from(max) - i128::from(min) + 1) as u128;
                let value =
                    |row| (i128::from(min) + ((u128::from(draw(row)) * span) >> 64) as i128) as i64;
                Arc::new(Int64Array::from_iter_values(rows.clone().map(value)))
            }
            Values::Real { min, max } => {
                let value = |row| {
                    let share = unit(row, self.stream);
                    max * share + min * (1.0 - share)
                };
                Arc::new(Float64Array::from_iter_values(rows.clone().map(value)))
            }
            Values::Text { length } => Arc::new(self.texts(rows.clone(), length)),
            Values::Time { past_ms } => {
                let ago = |row| ((u128::from(draw(row)) * (u128::from(past_ms) + 1)) >> 64) as i64;
                let times = rows.clone().map(|row| began_ms - ago(row));
                Arc::new(TimestampMillisecondArray::from_iter_values(times))
            }
            Values::Sequence { start, .. } => {
                let value = |row| start.wrapping_add(row as i64);
                Arc::new(Int64Array::from_iter_values(rows.clone().map(value)))
            }
        };
        let made = match made.data_type() == &self.kind {
            true => made,
            false => {
                let options = CastOptions { safe: false, ..CastOptions::default() };
                cast_with_options(&made, &self.kind, &options)?
            }
        };
        if self.null_rate == 0.0 {
            return Ok(made);
        }
        let is_null = rows.map(|row| Some(unit(row, self.stream + 1) < self.null_rate));
        Ok(nullif(&made, &is_null.collect::<BooleanArray>())?)
    }

    /// Makes texts of hexadecimal digits, as Flink does.
    fn texts(&self, rows: Range<u64>, length: usize) -> arrow::array::StringViewArray {
        let (mut made, mut text) = (StringViewBuilder::new(), String::with_capacity(length + 16));
        for row in rows {
            text.clear();
            let mut word = bits(row, self.stream);
            while text.len() < length {
                text += &format!("{word:016x}");
                word = bits(word, self.stream);
            }
            text.truncate(length);
            made.append_value(&text);
        }
        made.finish()
    }
}

fn parsed<T: std::str::FromStr>(options: &Options, key: &str, what: &str) -> Result<Option<T>> {
    let Some(text) = options.get(key) else { return Ok(None) };
    let value = text.trim().parse().map(Some);
    value.map_err(|_| Error::invalid(format!("option '{key}' is not {what}: '{text}'")))
}

fn random(options: &Options, name: &str, kind: &DataType) -> Result<Values> {
    let key = |key: &str| format!("fields.{name}.{key}");
    let ordered = |is_ordered: bool| match is_ordered {
        true => Ok(()),
        false => Err(Error::invalid(format!("option '{}' is above '{}'", key("min"), key("max")))),
    };
    let whole = |least: i64, most: i64| {
        let min: Option<i64> = parsed(options, &key("min"), "a whole number")?;
        let max: Option<i64> = parsed(options, &key("max"), "a whole number")?;
        let (min, max) = (min.unwrap_or(least), max.unwrap_or(most));
        ordered(min <= max)?;
        match min < least || max > most {
            true => Err(Error::invalid(format!("the bounds of column `{name}` exceed its type"))),
            false => Ok(Values::Whole { min, max }),
        }
    };
    let real = |most: f64| {
        let min: Option<f64> = parsed(options, &key("min"), "a number")?;
        let max: Option<f64> = parsed(options, &key("max"), "a number")?;
        let (min, max) = (min.unwrap_or(-most), max.unwrap_or(most));
        ordered(min <= max)?;
        Ok(Values::Real { min, max })
    };
    match kind {
        DataType::Boolean => Ok(Values::Flag),
        DataType::Int8 => whole(i64::from(i8::MIN), i64::from(i8::MAX)),
        DataType::Int16 => whole(i64::from(i16::MIN), i64::from(i16::MAX)),
        DataType::Int32 => whole(i64::from(i32::MIN), i64::from(i32::MAX)),
        DataType::Int64 => whole(i64::MIN, i64::MAX),
        DataType::Float32 => real(f64::from(f32::MAX)),
        DataType::Float64 => real(f64::MAX),
        DataType::Decimal128(precision, scale) => {
            real(10_f64.powi(i32::from(*precision) - i32::from(*scale)) - 1.0)
        }
        DataType::Utf8 | DataType::Utf8View => {
            let length = options.number(&key("length"))?.unwrap_or(LENGTH);
            let length = usize::try_from(length).ok().filter(|length| *length <= 1 << 20);
            let length = length.ok_or_else(|| {
                Error::invalid(format!("option '{}' is above 1048576", key("length")))
            })?;
            Ok(Values::Text { length })
        }
        DataType::Date32 | DataType::Timestamp(..) => {
            let past = options.duration(&key("max-past"))?.unwrap_or_default();
            Ok(Values::Time { past_ms: u64::try_from(past.as_millis()).unwrap_or(u64::MAX) })
        }
        other => Err(Error::invalid(format!("'datagen' cannot make column `{name}`, a {other}"))),
    }
}

fn sequence(options: &Options, name: &str, kind: &DataType) -> Result<Values> {
    let bound = |key: &str| {
        let key = format!("fields.{name}.{key}");
        let value: Option<i64> = parsed(options, &key, "a whole number")?;
        value.ok_or_else(|| Error::invalid(format!("option '{key}' is missing: a sequence has it")))
    };
    let (start, end) = (bound("start")?, bound("end")?);
    if start > end {
        return Err(Error::invalid(format!(
            "the sequence of column `{name}` ends before it starts"
        )));
    }
    let ends: ArrayRef = Arc::new(Int64Array::from(vec![start, end]));
    let fits = !matches!(kind, DataType::Boolean | DataType::Timestamp(..) | DataType::Date32)
        && cast(&ends, kind).is_ok_and(|ends| ends.null_count() == 0);
    match fits {
        true => Ok(Values::Sequence { start, end }),
        false => Err(Error::invalid(format!("column `{name}`, a {kind}, cannot be this sequence"))),
    }
}
