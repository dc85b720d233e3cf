//! Values as text, and text as values: one way for all formats.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::*;
use arrow::util::display::array_value_to_string;
use thalweg_types::calendar::{days_since_1970, push_time};
use thalweg_types::time::nanos_per;

/// Writes the value at `row`, which is not NULL, the way SQL prints it.
pub fn write_value(array: &ArrayRef, row: usize, out: &mut String) {
    match array.data_type() {
        DataType::Utf8 => out.push_str(array.as_string::<i32>().value(row)),
        DataType::Utf8View => out.push_str(array.as_string_view().value(row)),
        DataType::Int64 => push(out, array.as_primitive::<Int64Type>().value(row)),
        DataType::Int32 => push(out, array.as_primitive::<Int32Type>().value(row)),
        DataType::Float64 => push_float(out, array.as_primitive::<Float64Type>().value(row)),
        DataType::Float32 => push_float(out, array.as_primitive::<Float32Type>().value(row)),
        DataType::Timestamp(unit, zone) => {
            write_timestamp(array, *unit, row, out);
            // An instant, in UTC.
            if zone.is_some() {
                out.push('Z');
            }
        }
        DataType::Binary => push_base64(array.as_binary::<i32>().value(row), out),
        DataType::LargeBinary => push_base64(array.as_binary::<i64>().value(row), out),
        DataType::BinaryView => push_base64(array.as_binary_view().value(row), out),
        DataType::FixedSizeBinary(_) => {
            push_base64(array.as_fixed_size_binary().value(row), out);
        }
        _ => out.push_str(&array_value_to_string(array, row).unwrap_or_default()),
    }
}

fn push(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

/// Returns a decimal number as Java writes one without trailing zeros: with an exponent where it is
/// shorter, as in `1E+5`.
pub fn scientific(plain: &str) -> String {
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    let digits = all.trim_end_matches('0');
    let scale = fraction.len() as i64 - (all.len() - digits.len()) as i64;
    let digits = digits.trim_start_matches('0');
    let exponent = digits.len() as i64 - 1 - scale;
    if digits.is_empty() {
        return "0".to_owned();
    }
    if scale >= 0 && exponent >= -6 {
        let padded = format!("{digits:0>width$}", width = scale as usize + 1);
        let (whole, fraction) = padded.split_at(padded.len() - scale as usize);
        let point = if fraction.is_empty() { "" } else { "." };
        return format!("{sign}{whole}{point}{fraction}");
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{first}{point}{rest}E{exponent:+}")
}

/// Shortest text that reads back as the same number, always with a point or an exponent.
fn push_float(out: &mut String, value: impl std::fmt::Debug) {
    let _ = write!(out, "{value:?}");
}

fn write_timestamp(array: &ArrayRef, unit: TimeUnit, row: usize, out: &mut String) {
    let (count, digits) = match unit {
        TimeUnit::Second => (array.as_primitive::<TimestampSecondType>().value(row), 0),
        TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().value(row), 3),
        TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().value(row), 6),
        TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().value(row), 9),
    };
    let second = 1_000_000_000 / nanos_per(unit);
    let seconds = count.div_euclid(second);
    let nanos = (count.rem_euclid(second) * nanos_per(unit)) as u32;
    if push_time(out, seconds, nanos, digits) {
        return;
    }
    // Years that are not of four digits.
    if let Some(time) = chrono::DateTime::from_timestamp(seconds, nanos) {
        push(out, time.naive_utc().format(&format!("%Y-%m-%d %H:%M:%S{}", FRACTIONS[digits / 3])));
    }
}

/// Patterns of 0, 3, 6 and 9 digits behind the second.
const FRACTIONS: [&str; 4] = ["", "%.3f", "%.6f", "%.9f"];

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Appends bytes as base 64 text.
pub fn push_base64(bytes: &[u8], out: &mut String) {
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let is_padding = digit > chunk.len();
            let index = word >> (18 - 6 * digit) & 63;
            out.push(if is_padding { '=' } else { char::from(BASE64[index as usize]) });
        }
    }
}

/// Reads base 64 with padding.
pub fn read_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut word, mut bits) = (0u32, 0);
    for c in text.bytes() {
        let digit = BASE64.iter().position(|known| *known == c)? as u32;
        word = word << 6 | digit;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    Some(bytes)
}

/// Reads an instant: a timestamp as [`read_timestamp`] does, behind it `Z`, an offset such as
/// `+02:00`, or nothing, which is UTC.
pub fn read_instant(text: &str, unit: TimeUnit) -> Option<i64> {
    let sign = text.rfind(['+', '-']).filter(|at| *at >= MINUTES_END);
    let Some((local, offset)) = sign.and_then(|at| text.split_at_checked(at)) else {
        return read_timestamp(text, unit);
    };
    let ahead = offset_seconds(offset)?.checked_mul(1_000_000_000 / nanos_per(unit))?;
    read_timestamp(local, unit).filter(|_| !local.ends_with('Z'))?.checked_sub(ahead)
}

/// Where the minutes of a timestamp end.
const MINUTES_END: usize = "2020-04-15 08:05".len();

/// Reads `+02:00`, `+0200` or `+02`, in seconds.
fn offset_seconds(offset: &str) -> Option<i64> {
    let (sign, digits) = offset.split_at_checked(1)?;
    let digits = digits.replacen(':', "", usize::from(digits.len() == 5));
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) || ![2, 4].contains(&digits.len()) {
        return None;
    }
    let hours: i64 = digits.get(..2)?.parse().ok()?;
    let minutes: i64 =
        digits.get(2..).filter(|m| !m.is_empty()).map_or(Some(0), |m| m.parse().ok())?;
    let seconds = hours * 3_600 + minutes * 60;
    let fits = minutes < 60 && seconds <= 18 * 3_600;
    fits.then_some(if sign == "-" { -seconds } else { seconds })
}

/// Reads a timestamp, `2020-04-15 08:05:00.123` or ISO 8601 with `T` and `Z`, in `unit`; seconds may
/// be left out.
pub fn read_timestamp(text: &str, unit: TimeUnit) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text).as_bytes();
    let number = |digits: &[u8]| -> Option<i64> {
        digits
            .iter()
            .try_fold(0i64, |value, c| c.is_ascii_digit().then(|| value * 10 + i64::from(c - b'0')))
    };
    let to_minutes = digits_to_minutes(text.first_chunk()?)?;
    let two = |at: usize| i64::from(to_minutes[at]) * 10 + i64::from(to_minutes[at + 1]);
    let days = days_since_1970(two(0) * 100 + two(2), two(5), two(8))?;
    let (hour, minute) = (two(11), two(14));
    let second = match text.get(MINUTES_END..) {
        None | Some([]) => 0,
        Some([b':', tens, ones, ..]) => number(&[*tens, *ones])?,
        Some(_) => return None,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match text.len() {
        MINUTES_END | 19 => 0,
        length if text[19] == b'.' && (21..=29).contains(&length) => {
            number(&text[20..])? * 10i64.pow(29 - length as u32)
        }
        _ => return None,
    };
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    Some(match unit {
        TimeUnit::Second => seconds,
        TimeUnit::Millisecond => seconds * 1_000 + fraction / 1_000_000,
        TimeUnit::Microsecond => seconds * 1_000_000 + fraction / 1_000,
        TimeUnit::Nanosecond => seconds.checked_mul(1_000_000_000)?.checked_add(fraction)?,
    })
}

/// Returns the digits of `2020-04-15 08:05`, each in its place, if it is written so; all of them are looked at
/// at once. (Lamport, "Multiple byte processing with full-word instructions", CACM 18, 1975.)
fn digits_to_minutes(text: &[u8; MINUTES_END]) -> Option<[u8; MINUTES_END]> {
    const FORM: [u8; MINUTES_END] = *b"0000-00-00 00:00";
    /// Of digits the upper half, of what stands between them all bits; a `T` is looked at by itself.
    const OTHERS: [u8; MINUTES_END] = {
        let (mut others, mut at) = ([0; MINUTES_END], 0);
        while at < MINUTES_END {
            others[at] = if FORM[at] == b'0' { 0xf0 } else { 0xff };
            at += 1;
        }
        others[10] = 0;
        others
    };
    const SIXES: u128 = u128::from_le_bytes([6; MINUTES_END]);
    const UPPER: u128 = u128::from_le_bytes([0xf0; MINUTES_END]);
    if !matches!(text[10], b' ' | b'T') {
        return None;
    }
    let values = u128::from_le_bytes(*text) ^ u128::from_le_bytes(FORM);
    // With six more, 10 and above reach the upper half; a carry comes only from what is wrong already.
    let wrong = (values | values.wrapping_add(SIXES) & UPPER) & u128::from_le_bytes(OTHERS);
    (wrong == 0).then(|| values.to_le_bytes())
}

/// Reads a time of day, `08:05:00.123`, in milliseconds.
pub fn read_time(text: &str) -> Option<i32> {
    let time = chrono::NaiveTime::parse_from_str(text, "%H:%M:%S%.f").ok()?;
    let since = time.signed_duration_since(chrono::NaiveTime::MIN);
    i32::try_from(since.num_milliseconds()).ok()
}

/// Reads a decimal number exactly, with `scale` digits behind the point, rounding half up.
pub fn read_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (text, exponent) = match text.split_once(['e', 'E']) {
        Some((text, exponent)) => (text, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut value: i128 = 0;
    for c in whole.bytes().chain(fraction.bytes()) {
        if !c.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(c - b'0'))?;
    }
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let shift = i32::from(scale) - fraction.len() as i32 + exponent;
    value = match shift {
        0.. => value.checked_mul(10i128.checked_pow(shift as u32)?)?,
        _ => match 10i128.checked_pow(shift.unsigned_abs()) {
            Some(divisor) => (value + divisor / 2) / divisor,
            None => 0,
        },
    };
    let bound = 10i128.checked_pow(u32::from(precision))?;
    (value < bound).then_some(if is_negative { -value } else { value })
}

#[cfg(test)]
mod tests;
