//! Functions with regular expressions.
//!
//! Invariants: a constant that is no regular expression is refused while planning, another one
//! fails its row; positions count characters from 1. The syntax is that of the `regex` crate,
//! which has neither look-around nor back-references, and takes linear time.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Int32Builder, ListBuilder, StringViewArray,
    StringViewBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::error::Result;
use regex::{NoExpand, Regex};
use thalweg_types::Error;

use super::{Constant, Function, Kind, constant_text, text_at};
use crate::text::wrap;

pub(super) fn all() -> Vec<Function> {
    const TWO: &[Kind] = &[Kind::Text, Kind::Text];
    const GROUP: &[Kind] = &[Kind::Text, Kind::Text, Kind::Whole];
    let functions = [
        Function::new("REGEXP(text, pattern)", TWO)
            .named("regexp", |_, _| DataType::Boolean)
            .alias("regexp_like")
            .body(regexp),
        Function::new("REGEXP_COUNT(text, pattern)", TWO)
            .named("regexp_count", |_, _| DataType::Int32)
            .body(regexp_count),
        Function::new("REGEXP_INSTR(text, pattern)", TWO)
            .named("regexp_instr", |_, _| DataType::Int32)
            .body(regexp_instr),
        Function::new("REGEXP_SUBSTR(text, pattern)", TWO)
            .named("regexp_substr", |_, _| DataType::Utf8View)
            .body(regexp_extract),
        Function::new("REGEXP_EXTRACT(text, pattern[, group])", GROUP)
            .optional(1)
            .named("regexp_extract", |_, _| DataType::Utf8View)
            .body(regexp_extract),
        Function::new("REGEXP_EXTRACT_ALL(text, pattern[, group])", GROUP)
            .optional(1)
            .named("regexp_extract_all", |_, _| {
                DataType::List(Arc::new(Field::new("item", DataType::Utf8View, true)))
            })
            .body(regexp_extract_all),
        Function::new("REGEXP_REPLACE(text, pattern, by)", &[Kind::Text, Kind::Text, Kind::Text])
            .named("regexp_replace", |_, _| DataType::Utf8View)
            .body(regexp_replace),
    ];
    functions.into_iter().map(|function| function.checked(check)).collect()
}

fn check(constants: &[Constant]) -> thalweg_types::Result<()> {
    check_pattern(constants, 1)
}

/// Refuses the argument `at` if it is constant and no regular expression.
pub(super) fn check_pattern(constants: &[Constant], at: usize) -> thalweg_types::Result<()> {
    match constant_text(constants, at).map(Regex::new) {
        Some(Err(error)) => Err(Error::invalid(reason(&error))
            .remedy("look-around and back-references are not supported")),
        _ => Ok(()),
    }
}

/// Says what is wrong with a pattern: the library draws a picture, and the last line says it.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("this is not a regular expression: {line}")
}

/// The expression of each row; the same text is read once.
pub(super) struct Expressions<'a> {
    texts: &'a StringViewArray,
    last: Option<(String, Regex)>,
}

impl<'a> Expressions<'a> {
    pub(super) fn new(column: &'a ArrayRef) -> Expressions<'a> {
        Expressions { texts: column.as_string_view(), last: None }
    }

    /// Returns the expression of `row`; `None` if it is NULL.
    pub(super) fn at(&mut self, row: usize) -> Result<Option<&Regex>> {
        let Some(text) = text_at(self.texts, row) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(last, _)| last != text) {
            let regex = Regex::new(text).map_err(|error| wrap(Error::data(reason(&error))))?;
            self.last = Some((text.to_owned(), regex));
        }
        Ok(self.last.as_ref().map(|(_, regex)| regex))
    }
}

/// Calls `body` for each row with a text and an expression, or with nothing where one is NULL.
fn each_row(
    columns: &[ArrayRef],
    mut body: impl FnMut(usize, Option<(&str, &Regex)>),
) -> Result<()> {
    let texts = columns[0].as_string_view();
    let mut expressions = Expressions::new(&columns[1]);
    for row in 0..texts.len() {
        let expression = expressions.at(row)?;
        body(row, text_at(texts, row).zip(expression));
    }
    Ok(())
}

fn regexp(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut found = BooleanBuilder::with_capacity(columns[0].len());
    each_row(columns, |_, given| {
        found.append_option(given.map(|(text, regex)| regex.is_match(text)));
    })?;
    Ok(Arc::new(found.finish()))
}

fn regexp_count(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut counts = Int32Builder::with_capacity(columns[0].len());
    each_row(columns, |_, given| {
        let count = given.map(|(text, regex)| regex.find_iter(text).count());
        counts.append_option(count.and_then(|count| i32::try_from(count).ok()));
    })?;
    Ok(Arc::new(counts.finish()))
}

fn regexp_instr(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut places = Int32Builder::with_capacity(columns[0].len());
    each_row(columns, |_, given| {
        let place = given.map(|(text, regex)| {
            regex.find(text).map_or(0, |found| text[..found.start()].chars().count() + 1)
        });
        places.append_option(place.and_then(|place| i32::try_from(place).ok()));
    })?;
    Ok(Arc::new(places.finish()))
}

/// Returns the group that a row asks for, `otherwise` if none is given; `None` for NULL and for
/// negative numbers.
fn group_at(columns: &[ArrayRef], row: usize, otherwise: usize) -> Option<usize> {
    let Some(groups) = columns.get(2) else { return Some(otherwise) };
    let groups = groups.as_primitive::<Int64Type>();
    let group = groups.is_valid(row).then(|| groups.value(row))?;
    usize::try_from(group).ok()
}

/// What a group matched first: group 0, the default, is the whole match.
fn regexp_extract(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut parts = StringViewBuilder::with_capacity(columns[0].len());
    each_row(columns, |row, given| {
        let part = given.zip(group_at(columns, row, 0)).and_then(|((text, regex), group)| {
            match group {
                // Finding is cheaper than telling groups apart.
                0 => regex.find(text),
                _ => regex.captures(text)?.get(group),
            }
        });
        parts.append_option(part.map(|part| part.as_str()));
    })?;
    Ok(Arc::new(parts.finish()))
}

/// All that a group matched: group 1 is the default.
fn regexp_extract_all(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    each_row(columns, |row, given| {
        let given = given.zip(group_at(columns, row, 1));
        let Some(((text, regex), group)) =
            given.filter(|((_, regex), group)| *group < regex.captures_len())
        else {
            lists.append_null();
            return;
        };
        for found in regex.captures_iter(text) {
            lists.values().append_option(found.get(group).map(|part| part.as_str()));
        }
        lists.append(true);
    })?;
    Ok(Arc::new(lists.finish()))
}

/// What takes the place of a match is taken as it is: `$1` is a dollar and a one.
fn regexp_replace(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let replacements = columns[2].as_string_view();
    let mut texts = StringViewBuilder::with_capacity(columns[0].len());
    each_row(columns, |row, given| {
        let Some(((text, regex), by)) = given.zip(text_at(replacements, row)) else {
            texts.append_null();
            return;
        };
        texts.append_value(regex.replace_all(text, NoExpand(by)));
    })?;
    Ok(Arc::new(texts.finish()))
}
