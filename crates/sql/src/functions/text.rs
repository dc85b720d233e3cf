//! Functions over texts.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, ListBuilder, StringArray, StringViewArray, StringViewBuilder,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::compute::kernels::regexp::regexp_match;
use datafusion::arrow::datatypes::{DataType, Field, Int64Type};
use datafusion::error::Result;

use super::{Function, Kind, text_at};

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
            &[Kind::Text, Kind::Text, Kind::Whole],
        )
        .named("split_index", |_, _| DataType::Utf8View)
        .body(split_index),
        Function::new(
            "REGEXP_EXTRACT(text, pattern[, group])",
            &[Kind::Text, Kind::Text, Kind::Whole],
        )
        .optional(1)
        .named("regexp_extract", |_, _| DataType::Utf8View)
        .body(regexp_extract),
    ]
}

/// The parts of a text; an empty delimiter gives the whole text.
fn split(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, delimiters) = (columns[0].as_string_view(), columns[1].as_string_view());
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    for row in 0..texts.len() {
        let (Some(text), Some(delimiter)) = (text_at(texts, row), text_at(delimiters, row)) else {
            lists.append_null();
            continue;
        };
        match delimiter.is_empty() {
            true => lists.values().append_value(text),
            false => text.split(delimiter).for_each(|part| lists.values().append_value(part)),
        }
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

/// One part of a text, counted from 0; NULL if there are fewer.
fn split_index(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, delimiters) = (columns[0].as_string_view(), columns[1].as_string_view());
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

/// What a group of a pattern matched first: group 0, the default, is the whole match.
fn regexp_extract(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = cast(&columns[0], &DataType::Utf8)?;
    let patterns = columns[1].as_string_view();
    // Arrow numbers the groups from 1 and leaves the whole match out, so it is made a group.
    let patterns: StringArray =
        patterns.iter().map(|pattern| pattern.map(|pattern| format!("({pattern})"))).collect();
    let matched = regexp_match(texts.as_ref(), &patterns, None)?;
    let matched = matched.as_list::<i32>();
    let groups = columns.get(2).map(|groups| groups.as_primitive::<Int64Type>());
    let found = (0..matched.len()).map(|row| {
        let group = match groups {
            None => 0,
            Some(groups) => groups.is_valid(row).then(|| groups.value(row))?,
        };
        let found = matched.is_valid(row).then(|| matched.value(row))?;
        let group = usize::try_from(group).ok().filter(|group| *group < found.len())?;
        let found = found.as_string::<i32>();
        found.is_valid(group).then(|| found.value(group).to_owned())
    });
    Ok(Arc::new(found.collect::<StringViewArray>()))
}
