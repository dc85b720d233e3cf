//! `PRINTF`: values written by a format of Java's, as far as the values of SQL need it.
//!
//! `%[number$][flags][width][.precision]` and one of `d x o f e s c b n %`, in capitals where that makes a
//! difference. A format that Java refuses gives NULL.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::error::Result;
use thalweg_types::Error;

use super::text::PADDED_MAX;
use super::{Function, Kind, text_at};
use crate::casting::text_of;
use crate::text::wrap;

pub(super) fn all() -> Vec<Function> {
    vec![
        Function::new("PRINTF(format[, value, …])", &[Kind::Text, Kind::Any])
            .optional(1)
            .repeated()
            .named("printf", |_, _| DataType::Utf8View)
            .body(printf),
    ]
}

/// A value to be written.
enum Value {
    Null,
    Whole(i64),
    Floating(f64),
    /// Digits, and how many of them stand behind the point.
    Decimal(i128, usize),
    Truth(bool),
    Text(String),
}

/// One `%…` of a format.
#[derive(Debug, Default)]
struct Place {
    /// Which value, from 1; the next one unless it is said.
    number: Option<usize>,
    flags: String,
    width: usize,
    precision: Option<usize>,
    conversion: char,
}

impl Place {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }
}

fn printf(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let formats = columns[0].as_string_view();
    let texts = columns[1..].iter().map(text_of).collect::<Result<Vec<_>>>()?;
    let mut out = StringViewBuilder::with_capacity(formats.len());
    for row in 0..formats.len() {
        let Some(format) = text_at(formats, row) else {
            out.append_null();
            continue;
        };
        let values = columns[1..].iter().zip(&texts);
        let values = values.map(|(column, texts)| {
            value(column, row, || text_at(texts, row).unwrap_or_default().to_owned())
        });
        let values = values.collect::<Result<Vec<_>>>()?;
        out.append_option(written(format, &values)?);
    }
    Ok(Arc::new(out.finish()))
}

fn value(column: &ArrayRef, row: usize, text: impl Fn() -> String) -> Result<Value> {
    let column = column.slice(row, 1);
    if column.is_null(0) || *column.data_type() == DataType::Null {
        return Ok(Value::Null);
    }
    Ok(match column.data_type() {
        DataType::Boolean => Value::Truth(column.as_boolean().value(0)),
        DataType::Decimal128(_, scale) => {
            let digits = column.as_primitive::<Decimal128Type>().value(0);
            Value::Decimal(digits, usize::from(scale.unsigned_abs()))
        }
        kind if kind.is_integer() => {
            Value::Whole(cast(&column, &DataType::Int64)?.as_primitive::<Int64Type>().value(0))
        }
        kind if kind.is_floating() => {
            let number = cast(&column, &DataType::Float64)?;
            Value::Floating(number.as_primitive::<Float64Type>().value(0))
        }
        _ => Value::Text(text()),
    })
}

/// Writes values by a format; `None` if it does not fit them.
fn written(format: &str, values: &[Value]) -> Result<Option<String>> {
    let mut out = String::new();
    let mut next = 0;
    let mut rest = format;
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        let Some((place, left)) = place(behind) else { return Ok(None) };
        rest = left;
        match place.conversion {
            'n' => out.push('\n'),
            '%' => pad("%".to_owned(), &place, &mut out)?,
            _ => {
                let number = place.number.unwrap_or_else(|| {
                    next += 1;
                    next
                });
                let value = number.checked_sub(1).and_then(|at| values.get(at));
                let Some(text) = value.and_then(|value| converted(value, &place)) else {
                    return Ok(None);
                };
                pad(text, &place, &mut out)?;
            }
        }
    }
    out.push_str(rest);
    Ok(Some(out))
}

/// Takes digits from the front of a text.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Reads what stands behind a `%`.
fn place(text: &str) -> Option<(Place, &str)> {
    let mut place = Place::default();
    let mut rest = text;
    let (number, behind) = digits(rest);
    if let Some(behind) = behind.strip_prefix('$') {
        (place.number, rest) = (number.parse().ok(), behind);
    }
    let flags = rest.bytes().take_while(|byte| b"-+ 0,(#".contains(byte)).count();
    let (flags, behind) = rest.split_at(flags);
    place.flags = flags.to_owned();
    let (width, behind) = digits(behind);
    place.width = width.parse().unwrap_or(0);
    rest = behind;
    if let Some(behind) = rest.strip_prefix('.') {
        let (precision, behind) = digits(behind);
        (place.precision, rest) = (precision.parse().ok(), behind);
    }
    let mut letters = rest.chars();
    place.conversion = letters.next().filter(|letter| "dxXofeEsScCbBn%".contains(*letter))?;
    Some((place, letters.as_str()))
}

/// Writes one value, without the width; `None` if the conversion is not for it.
fn converted(value: &Value, place: &Place) -> Option<String> {
    let conversion = place.conversion.to_ascii_lowercase();
    let precision = place.precision.unwrap_or(6).min(PADDED_MAX as usize);
    let text = match (conversion, value) {
        ('b', Value::Truth(truth)) => cut(truth.to_string(), place),
        ('b', value) => cut((!matches!(value, Value::Null)).to_string(), place),
        ('s', value) => cut(plain(value), place),
        (_, Value::Null) => "null".to_owned(),
        ('d', Value::Whole(number)) => {
            signed(number.unsigned_abs().to_string(), *number < 0, place)
        }
        ('x', Value::Whole(number)) => format!("{number:x}"),
        ('o', Value::Whole(number)) => format!("{number:o}"),
        ('f', Value::Floating(number)) if number.is_finite() => {
            signed(format!("{:.precision$}", number.abs()), number.is_sign_negative(), place)
        }
        ('f', Value::Decimal(digits, scale)) => {
            signed(decimal(digits.unsigned_abs(), *scale, precision), *digits < 0, place)
        }
        ('e', Value::Floating(number)) if number.is_finite() => {
            signed(scientific(number.abs(), precision), number.is_sign_negative(), place)
        }
        ('f' | 'e', Value::Floating(_)) => plain(value),
        ('c', Value::Text(text)) if text.chars().count() == 1 => text.clone(),
        ('c', Value::Whole(number)) => {
            u32::try_from(*number).ok().and_then(char::from_u32)?.to_string()
        }
        _ => return None,
    };
    Some(if place.conversion.is_ascii_uppercase() { text.to_uppercase() } else { text })
}

/// Writes a value as Java's `toString`.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Whole(number) => number.to_string(),
        Value::Floating(number) => crate::casting::double(*number),
        Value::Decimal(digits, scale) => {
            let sign = if *digits < 0 { "-" } else { "" };
            format!("{sign}{}", decimal(digits.unsigned_abs(), *scale, *scale))
        }
        Value::Truth(truth) => truth.to_string(),
        Value::Text(text) => text.clone(),
    }
}

/// Cuts a text to the precision, if there is one.
fn cut(text: String, place: &Place) -> String {
    match place.precision {
        None => text,
        Some(precision) => text.chars().take(precision).collect(),
    }
}

/// Writes a decimal with so many digits behind the point, half up.
fn decimal(digits: u128, scale: usize, precision: usize) -> String {
    let dropped = u32::try_from(scale.saturating_sub(precision)).unwrap_or(0);
    let unit = 10_u128.pow(dropped);
    let rounded = digits / unit + u128::from(digits % unit >= unit.div_ceil(2) && unit > 1);
    let kept = scale.min(precision);
    let text = format!("{rounded:0>width$}", width = kept + 1);
    let (whole, fraction) = text.split_at(text.len() - kept);
    if precision == 0 {
        return whole.to_owned();
    }
    format!("{whole}.{fraction:0<precision$}")
}

/// Writes a number as `1.234568e+04`.
fn scientific(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// Adds a sign, thousands and zeros to digits.
fn signed(digits: String, is_negative: bool, place: &Place) -> String {
    let digits = if place.has(',') { grouped(&digits) } else { digits };
    let (sign, end) = match is_negative {
        true if place.has('(') => ("(", ")"),
        true => ("-", ""),
        false if place.has('+') => ("+", ""),
        false if place.has(' ') => (" ", ""),
        false => ("", ""),
    };
    let used = sign.len() + end.len() + digits.len();
    let zeros =
        if place.has('0') { place.width.min(PADDED_MAX as usize).saturating_sub(used) } else { 0 };
    format!("{sign}{}{digits}{end}", "0".repeat(zeros))
}

/// Puts a comma before each three digits of a whole part.
fn grouped(digits: &str) -> String {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// Appends a text in its width.
fn pad(text: String, place: &Place, out: &mut String) -> Result<()> {
    let width = place.width;
    if width > PADDED_MAX as usize {
        let error = format!("PRINTF: a width of more than {PADDED_MAX} is too much");
        return Err(wrap(Error::data(error)));
    }
    match place.has('-') {
        true => out.push_str(&format!("{text:<width$}")),
        false => out.push_str(&format!("{text:>width$}")),
    }
    Ok(())
}
