//! Texts to numbers, truth values and times.

use std::sync::Arc;

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime};
use datafusion::arrow::array::{
    ArrayRef, AsArray, BooleanArray, Decimal128Array, Float32Array, Float64Array, Int64Array,
    StringViewArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use thalweg_types::Error;

use super::{Target, tick, wrapping};
use crate::text::wrap;

/// Reads a column of texts.
pub(super) fn column(column: &ArrayRef, to: &Target) -> Result<ArrayRef> {
    use DataType as D;
    let texts = cast(column, &D::Utf8View)?;
    let texts = texts.as_string_view();
    Ok(match to.kind {
        D::Boolean => Arc::new(BooleanArray::from(each(texts, to, truth)?)),
        D::Float64 => Arc::new(Float64Array::from(each(texts, to, floating)?)),
        D::Float32 => Arc::new(Float32Array::from(each(texts, to, floating)?)),
        D::Decimal128(precision, scale) => {
            let numbers = each(texts, to, |text| decimal(text, precision, scale))?;
            let numbers = Decimal128Array::from(numbers);
            Arc::new(numbers.with_precision_and_scale(precision, scale)?)
        }
        ref kind => {
            let numbers = each(texts, to, |text| counted(text, to))?;
            wrapping::typed(Int64Array::from(numbers), kind)?
        }
    })
}

/// Reads each text; one that cannot be read fails, or is NULL if the cast only tries.
fn each<T>(
    texts: &StringViewArray,
    to: &Target,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Vec<Option<T>>> {
    let read = |text: Option<&str>| {
        let Some(text) = text else { return Ok(None) };
        match read(text) {
            None if !to.tries => {
                let kind = to.limit.written(&to.kind);
                let error = Error::data(format!("`{text}` is no {kind}, or does not fit"));
                Err(wrap(error.remedy("TRY_CAST makes NULL of what cannot be cast")))
            }
            value => Ok(value),
        }
    };
    texts.iter().map(read).collect()
}

fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Takes the sign off a number.
fn unsigned(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

fn are_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reads a floating number as Java does.
fn floating<T: std::str::FromStr>(text: &str) -> Option<T> {
    let text = text.trim();
    let (_, rest) = unsigned(text);
    if matches!(rest, "NaN" | "Infinity") {
        return text.parse().ok();
    }
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let is_number = rest.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    is_number.then(|| digits.parse().ok()).flatten()
}

/// Reads a decimal, rounded half up; `None` if it has more digits than there may be.
pub(super) fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (is_negative, rest) = unsigned(text.trim());
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.len() + fraction.len() == 0 || !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    let digits = &digits[zeros..];
    // So many digits stand before the last one that is kept.
    let kept = whole.len() as i64 - zeros as i64 + i64::from(exponent) + i64::from(scale);
    if digits.is_empty() || kept < 0 {
        return Some(0);
    }
    if kept > i64::from(precision) {
        return None;
    }
    let kept = usize::try_from(kept).ok()?;
    let digit = |at: usize| digits.get(at).map_or(0, |digit| i128::from(digit - b'0'));
    let number = (0..kept).fold(0, |number, at| number * 10 + digit(at));
    let number = number + i128::from(digit(kept) >= 5);
    let fits = number < 10_i128.pow(u32::from(precision));
    fits.then_some(if is_negative { -number } else { number })
}

/// Reads a whole number or a time, as its type counts.
fn counted(text: &str, to: &Target) -> Option<i64> {
    let kept = to.limit.tick();
    match &to.kind {
        DataType::Date32 => Some(i64::from(date(text)?.to_epoch_days())),
        DataType::Time32(_) => {
            let nanos = time(text)?.signed_duration_since(NaiveTime::MIN).num_nanoseconds()?;
            i64::try_from(i128::from(nanos) / kept * kept / tick(&to.kind)).ok()
        }
        DataType::Timestamp(_, _) => {
            let time = timestamp(text)?.and_utc();
            let nanos = i128::from(time.timestamp()) * 1_000_000_000;
            let nanos = nanos + i128::from(time.timestamp_subsec_nanos());
            let kept = kept.max(tick(&to.kind));
            i64::try_from(nanos.div_euclid(kept) * kept / tick(&to.kind)).ok()
        }
        kind => whole(text, kind),
    }
}

/// Reads a whole number; digits behind a point do not count.
fn whole(text: &str, kind: &DataType) -> Option<i64> {
    let (is_negative, rest) = unsigned(text.trim());
    let (digits, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    if rest.is_empty() || rest == "." || !are_digits(digits) || !are_digits(fraction) {
        return None;
    }
    let number = match digits {
        "" => 0,
        digits => format!("{}{digits}", if is_negative { "-" } else { "" }).parse::<i64>().ok()?,
    };
    let fits = match kind {
        DataType::Int8 => i8::try_from(number).is_ok(),
        DataType::Int16 => i16::try_from(number).is_ok(),
        DataType::Int32 => i32::try_from(number).is_ok(),
        _ => true,
    };
    fits.then_some(number)
}

/// Reads a number of so many digits.
fn part(text: &str, digits: std::ops::RangeInclusive<usize>) -> Option<u32> {
    (digits.contains(&text.len()) && are_digits(text)).then(|| text.parse().ok()).flatten()
}

/// Reads `2024-05-01`, `2024-5-1`, `2024-05` or `2024`; what stands behind a space does not count.
fn date(text: &str) -> Option<NaiveDate> {
    let text = text.trim();
    let text = text.split_once(' ').map_or(text, |(date, _)| date);
    let mut parts = text.split('-');
    let year = part(parts.next()?, 1..=4)?;
    let month = parts.next().map_or(Some(1), |month| part(month, 1..=2))?;
    let day = parts.next().map_or(Some(1), |day| part(day, 1..=2))?;
    match parts.next() {
        None => NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day),
        Some(_) => None,
    }
}

/// Reads `10:20:30.123`, `1:2:3`, `10:20` or `10`.
fn time(text: &str) -> Option<NaiveTime> {
    let mut parts = text.trim().split(':');
    let hour = part(parts.next()?, 1..=2)?;
    let minute = parts.next().map_or(Some(0), |minute| part(minute, 1..=2))?;
    let (second, nanos) = parts.next().map_or(Some((0, 0)), seconds)?;
    match parts.next() {
        None => NaiveTime::from_hms_nano_opt(hour, minute, second, nanos),
        Some(_) => None,
    }
}

/// Reads seconds and up to nine digits behind them.
fn seconds(text: &str) -> Option<(u32, u32)> {
    let (second, fraction) = match text.split_once('.') {
        None => (text, "0"),
        Some(parts) => parts,
    };
    let digits = u32::try_from(fraction.len()).ok()?;
    let nanos = part(fraction, 1..=9)? * 10_u32.pow(9 - digits);
    Some((part(second, 1..=2)?, nanos))
}

/// Reads `2024-05-01 10:20:30.123`, or a date; a day too many is the last of its month, and 24 o'clock
/// the next day's beginning.
fn timestamp(text: &str) -> Option<NaiveDateTime> {
    let (day, clock) = text.split_once(' ').unwrap_or((text, "00:00:00"));
    let [year, month, day] = <[&str; 3]>::try_from(day.split('-').collect::<Vec<_>>()).ok()?;
    let (year, month) = (i32::try_from(part(year, 4..=4)?).ok()?, part(month, 1..=2)?);
    let wanted = part(day, 1..=2).filter(|day| (1..=31).contains(day))?;
    let day = (0..=3).find_map(|less| NaiveDate::from_ymd_opt(year, month, wanted - less))?;
    let [hour, minute, rest] = <[&str; 3]>::try_from(clock.split(':').collect::<Vec<_>>()).ok()?;
    let (hour, minute, rest) = (part(hour, 1..=2)?, part(minute, 1..=2)?, seconds(rest)?);
    if (hour, minute, rest) == (24, 0, (0, 0)) {
        return Some(day.checked_add_days(Days::new(1))?.and_time(NaiveTime::MIN));
    }
    day.and_hms_nano_opt(hour, minute, rest.0, rest.1)
}
