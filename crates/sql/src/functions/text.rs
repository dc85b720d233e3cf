//! Functions over texts.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, Int64Array, ListBuilder, StringViewArray,
    StringViewBuilder,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::comparison as kernels;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use thalweg_types::Error;

use super::{Function, Kind, text_at};
use crate::text::wrap;

/// Name of `SPLIT`, which the fused unnest looks for.
pub(crate) const SPLIT: &str = "split";

pub(super) fn all() -> Vec<Function> {
    vec![
        Function::new("SPLIT(text, delimiter)", &[Kind::Text, Kind::Text])
            .named(SPLIT, |_, _| {
                DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)))
            })
            .body(split),
        Function::new(
            "SPLIT_INDEX(text, delimiter, index)",
            &[Kind::Text, Kind::WholeOrText, Kind::Whole],
        )
        .named("split_index", |_, _| DataType::Utf8View)
        .body(split_index),
        Function::new("LOCATE(part, text[, from])", &[Kind::Text, Kind::Text, Kind::Whole])
            .optional(1)
            .named("locate", |_, _| DataType::Int32)
            .body(locate),
        Function::new("STARTSWITH(text, start)", &[Kind::TextOrBytes, Kind::TextOrBytes])
            .named("startswith", |_, _| DataType::Boolean)
            .body(|columns| Ok(Arc::new(kernels::starts_with(&columns[0], &columns[1])?))),
        Function::new("ENDSWITH(text, end)", &[Kind::TextOrBytes, Kind::TextOrBytes])
            .named("endswith", |_, _| DataType::Boolean)
            .body(|columns| Ok(Arc::new(kernels::ends_with(&columns[0], &columns[1])?))),
        Function::new("CHR(number)", &[Kind::Whole])
            .named("chr", |_, _| DataType::Utf8View)
            .body(chr),
        Function::new("ASCII(text)", &[Kind::Text]).named("ascii", |_, _| DataType::Int32).body(
            |columns| {
                let first =
                    |text: &str| text.bytes().next().map_or(0, |byte| i32::from(byte as i8));
                let codes = columns[0].as_string_view().iter().map(|text| text.map(first));
                Ok(Arc::new(codes.collect::<Int32Array>()))
            },
        ),
        Function::new("COUNT_CHAR(text, letter)", &[Kind::Text, Kind::Text])
            .named("count_char", |_, _| DataType::Int64)
            .body(count_char),
        overlay_function(),
        Function::new("ELT(index, text[, …])", &[Kind::Whole, Kind::Text])
            .repeated()
            .named("elt", |_, _| DataType::Utf8View)
            .body(elt),
        Function::new("LPAD(text, length, with)", &[Kind::Text, Kind::Whole, Kind::Text])
            .named("lpad", |_, _| DataType::Utf8View)
            .body(|columns| pad(columns, true)),
        Function::new("RPAD(text, length, with)", &[Kind::Text, Kind::Whole, Kind::Text])
            .named("rpad", |_, _| DataType::Utf8View)
            .body(|columns| pad(columns, false)),
        Function::new("REPEAT(text, count)", &[Kind::Text, Kind::Whole])
            .named("repeat", |_, _| DataType::Utf8View)
            .body(repeat),
        Function::new("REPLACE(text, part, by)", &[Kind::Text, Kind::Text, Kind::Text])
            .named("replace", |_, _| DataType::Utf8View)
            .body(replace),
        test("IS_ALPHA(text)", "is_alpha", |columns| {
            all_letters(columns, |text| text.chars().all(char::is_alphabetic))
        }),
        test("IS_DIGIT(text)", "is_digit", |columns| {
            all_letters(columns, |text| text.chars().all(|letter| letter.is_numeric()))
        }),
        test("IS_DECIMAL(text)", "is_decimal", |columns| {
            all_letters(columns, |text| text.trim().parse::<f64>().is_ok_and(f64::is_finite))
        }),
    ]
}

/// Counts how often the first letter of the second argument stands in the first, as the user function of
/// Nexmark does.
fn count_char(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, letters) = (columns[0].as_string_view(), columns[1].as_string_view());
    let counts = texts.iter().zip(letters).map(|(text, letter)| {
        let letter = letter?.chars().next();
        let count = text?.chars().filter(|other| Some(*other) == letter).count();
        i64::try_from(count).ok()
    });
    Ok(Arc::new(counts.collect::<Int64Array>()))
}

fn overlay_function() -> Function {
    Function::new(
        "OVERLAY(text PLACING part FROM start [FOR length])",
        &[Kind::Text, Kind::Text, Kind::Whole, Kind::Whole],
    )
    .optional(1)
    .named("overlay", |_, _| DataType::Utf8View)
    .body(overlaid)
}

/// Returns `OVERLAY`, for which the parser's form takes DataFusion's.
pub(crate) fn overlay() -> ScalarUDF {
    ScalarUDF::from(overlay_function())
}

/// Returns a function that tests one value.
fn test(
    usage: &'static str,
    name: &'static str,
    body: fn(&[ArrayRef]) -> Result<ArrayRef>,
) -> Function {
    Function::new(usage, &[Kind::Any]).named(name, |_, _| DataType::Boolean).body(body)
}

/// Tests texts as a whole: a NULL or an empty one fails, a number is one.
fn all_letters(columns: &[ArrayRef], is_fine: fn(&str) -> bool) -> Result<ArrayRef> {
    let texts = cast(&columns[0], &DataType::Utf8View)?;
    let texts = texts.as_string_view();
    let fine = texts.iter().map(|text| text.is_some_and(|text| !text.is_empty() && is_fine(text)));
    Ok(Arc::new(BooleanArray::from(fine.collect::<Vec<bool>>())))
}

/// Where a part begins, counted in characters from 1, at or behind a place; 0 if nowhere.
fn locate(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (parts, texts) = (columns[0].as_string_view(), columns[1].as_string_view());
    let starts = columns.get(2).map(|starts| starts.as_primitive::<Int64Type>());
    let places = (0..texts.len()).map(|row| {
        let (part, text) = (text_at(parts, row)?, text_at(texts, row)?);
        let start = match starts {
            None => 1,
            Some(starts) => starts.is_valid(row).then(|| starts.value(row))?,
        };
        let Some(skipped) = start.checked_sub(1).and_then(|skipped| usize::try_from(skipped).ok())
        else {
            return Some(0);
        };
        let from = match text.char_indices().nth(skipped) {
            Some((from, _)) => from,
            None if skipped == 0 => 0,
            None => return Some(0),
        };
        let place = text[from..].find(part).map(|at| text[..from + at].chars().count() + 1);
        i32::try_from(place.unwrap_or(0)).ok()
    });
    Ok(Arc::new(places.collect::<Int32Array>()))
}

/// The character of the last byte of a number; none for a negative one.
fn chr(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let numbers = columns[0].as_primitive::<Int64Type>();
    let letters = numbers.iter().map(|number| {
        number.map(|number| match number {
            ..0 => String::new(),
            _ => char::from(number.to_le_bytes()[0]).to_string(),
        })
    });
    Ok(Arc::new(letters.collect::<StringViewArray>()))
}

/// The text at an index, counted from 1; NULL if there is none.
fn elt(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let indexes = columns[0].as_primitive::<Int64Type>();
    let texts: Vec<&StringViewArray> = columns[1..].iter().map(|c| c.as_string_view()).collect();
    let chosen = (0..indexes.len()).map(|row| {
        let index = indexes.is_valid(row).then(|| indexes.value(row))?;
        let index = usize::try_from(index).ok()?.checked_sub(1)?;
        text_at(texts.get(index)?, row)
    });
    Ok(Arc::new(chosen.collect::<StringViewArray>()))
}

/// Most characters that a text is padded to, and most bytes of one that is repeated or replaced: a row
/// that asks for more fails.
pub(super) const PADDED_MAX: i64 = 1 << 24;

/// A text with another one in the place of some letters; as it is if there are none at that place.
fn overlaid(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, parts) = (columns[0].as_string_view(), columns[1].as_string_view());
    let starts = columns[2].as_primitive::<Int64Type>();
    let lengths = columns.get(3).map(|lengths| lengths.as_primitive::<Int64Type>());
    let overlaid = (0..texts.len()).map(|row| {
        let (text, part) = (text_at(texts, row)?, text_at(parts, row)?);
        let start = starts.is_valid(row).then(|| starts.value(row))?;
        let length = match lengths {
            None => part.chars().count() as i64,
            Some(lengths) => lengths.is_valid(row).then(|| lengths.value(row))?,
        };
        let letters = text.chars().count() as i64;
        if !(1..=letters).contains(&start) {
            return Some(text.to_owned());
        }
        let place = |letters: i64| {
            let letters = usize::try_from(letters).unwrap_or(0);
            text.char_indices().nth(letters).map_or(text.len(), |(at, _)| at)
        };
        let (from, to) = (place(start - 1), place((start - 1).saturating_add(length)));
        Some(format!("{}{part}{}", &text[..from], &text[to..]))
    });
    Ok(Arc::new(overlaid.collect::<StringViewArray>()))
}

fn too_long() -> datafusion::error::DataFusionError {
    wrap(Error::data(format!("the text would have more than {PADDED_MAX} bytes")))
}

/// A text so many times; empty for a negative count.
fn repeat(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = columns[0].as_string_view();
    let counts = columns[1].as_primitive::<Int64Type>();
    let repeated = texts.iter().zip(counts).map(|(text, count)| {
        let Some((text, count)) = text.zip(count) else { return Ok(None) };
        let count = count.max(0);
        let bytes = (text.len() as i64).checked_mul(count);
        if bytes.is_none_or(|bytes| bytes > PADDED_MAX) {
            return Err(too_long());
        }
        let count = if text.is_empty() { 0 } else { count as usize };
        Ok(Some(text.repeat(count)))
    });
    Ok(Arc::new(repeated.collect::<Result<StringViewArray>>()?))
}

/// A text with another one in the place of each part.
fn replace(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let [texts, parts, others] = [0, 1, 2].map(|at| columns[at].as_string_view());
    let replaced = (0..texts.len()).map(|row| {
        let all = (text_at(texts, row), text_at(parts, row), text_at(others, row));
        let (Some(text), Some(part), Some(other)) = all else { return Ok(None) };
        let bytes = text.matches(part).count().checked_mul(other.len());
        if bytes.is_none_or(|bytes| bytes + text.len() > PADDED_MAX as usize) {
            return Err(too_long());
        }
        Ok(Some(text.replace(part, other)))
    });
    Ok(Arc::new(replaced.collect::<Result<StringViewArray>>()?))
}

/// A text of so many characters, cut or filled up; NULL for a negative length and nothing to
/// fill with.
fn pad(columns: &[ArrayRef], is_left: bool) -> Result<ArrayRef> {
    let (texts, fills) = (columns[0].as_string_view(), columns[2].as_string_view());
    let lengths = columns[1].as_primitive::<Int64Type>();
    let mut padded = StringViewBuilder::with_capacity(texts.len());
    let mut fill = String::new();
    for row in 0..texts.len() {
        let length = lengths.is_valid(row).then(|| lengths.value(row));
        let given = text_at(texts, row).zip(text_at(fills, row)).zip(length);
        let Some(((text, with), length)) = given.filter(|((_, w), n)| *n >= 0 && !w.is_empty())
        else {
            padded.append_null();
            continue;
        };
        if length > PADDED_MAX {
            return Err(wrap(Error::data(format!("a text cannot be padded to {length} letters"))));
        }
        let length = usize::try_from(length).unwrap_or(0);
        let missing = length.saturating_sub(text.chars().count());
        fill.clear();
        fill.extend(with.chars().cycle().take(missing));
        let kept = text.char_indices().nth(length).map_or(text, |(end, _)| &text[..end]);
        match is_left {
            true => fill.push_str(kept),
            false => fill.insert_str(0, kept),
        }
        padded.append_value(&fill);
    }
    Ok(Arc::new(padded.finish()))
}

/// The parts of a text, none of an empty one; an empty delimiter gives the whole text.
fn split(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, delimiters) = (columns[0].as_string_view(), columns[1].as_string_view());
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    for row in 0..texts.len() {
        let (Some(text), Some(delimiter)) = (text_at(texts, row), text_at(delimiters, row)) else {
            lists.append_null();
            continue;
        };
        match delimiter.is_empty() {
            _ if text.is_empty() => {}
            true => lists.values().append_value(text),
            false => text.split(delimiter).for_each(|part| lists.values().append_value(part)),
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

/// One part of a text, counted from 0; NULL if there are fewer.
fn split_index(columns: &[ArrayRef]) -> Result<ArrayRef> {
    // A delimiter may be said by its code.
    let delimiters = match columns[1].as_primitive_opt::<Int64Type>() {
        Some(_) => &chr(&columns[1..2])?,
        None => &columns[1],
    };
    let (texts, delimiters) = (columns[0].as_string_view(), delimiters.as_string_view());
    let indexes = columns[2].as_primitive::<Int64Type>();
    let parts = (0..texts.len()).map(|row| {
        let (text, delimiter) = (text_at(texts, row)?, text_at(delimiters, row)?);
        let index = indexes.is_valid(row).then(|| indexes.value(row))?;
        let index = usize::try_from(index).ok()?;
        match delimiter.is_empty() {
            true => (index == 0).then_some(text),
            false => text.split(delimiter).nth(index),
        }
    });
    Ok(Arc::new(parts.collect::<StringViewArray>()))
}
