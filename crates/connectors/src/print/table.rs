//! Rows as a table whose columns are as wide as the first rows need.
//!
//! What must always hold: widths are fitted once and kept, so columns stay where they are; a value
//! is cut only where the width of a line is known, and then ends with `…`; a row is one line.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_types::Change;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::render::{cell, operation};

/// Rows that widths are fitted over at most.
pub(super) const FITTED_ROWS_MAX: usize = 1000;
/// Narrower than this no column is made, so that something is left to see.
const WIDTH_MIN: usize = 4;
/// Between two columns.
const GAP: &str = " | ";

/// A column's name, and whether its values stand right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heading {
    name: String,
    is_right: bool,
}

/// Returns the headings of rows; numbers stand right.
pub(super) fn headings(schema: &SchemaRef, has_operation: bool) -> Vec<Heading> {
    let operation = has_operation.then(|| Heading { name: "op".to_owned(), is_right: false });
    let columns = schema.fields().iter().map(|field| Heading {
        name: plain(field.name()),
        is_right: field.data_type().is_numeric(),
    });
    operation.into_iter().chain(columns).collect()
}

/// Returns the values of a row as texts of one line each.
pub(super) fn cells(change: &Change, row: usize, has_operation: bool) -> Vec<String> {
    let operation = has_operation.then(|| operation(change, row).to_owned());
    let columns = change.rows.columns().iter().map(|column| plain(&cell(column, row, "NULL")));
    operation.into_iter().chain(columns).collect()
}

/// Escapes what would end or bend a line.
fn plain(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    let mut out = String::new();
    text.chars().for_each(|c| match c.is_control() {
        true => out.extend(c.escape_default()),
        false => out.push(c),
    });
    out
}

/// Returns how many columns of a terminal a text takes: two for a wide character, none for one that
/// is drawn over the last.
fn width(text: &str) -> usize {
    text.width()
}

/// Returns how wide each column must be, and with `line` how wide it may be in a line so long.
pub(super) fn fit<'a>(
    headings: &[Heading],
    rows: impl Iterator<Item = &'a Vec<String>>,
    line: Option<usize>,
) -> Vec<usize> {
    let mut widths: Vec<usize> = headings.iter().map(|heading| width(&heading.name)).collect();
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(cell));
        }
    }
    if let Some(line) = line {
        shrink(&mut widths, line);
    }
    widths
}

/// Makes the widest columns narrower until all fit into a line.
fn shrink(widths: &mut [usize], line: usize) {
    let room = line.saturating_sub(gaps(widths.len()));
    while widths.iter().sum::<usize>() > room {
        let excess = widths.iter().sum::<usize>() - room;
        let widest = widths.iter().copied().max().unwrap_or(0);
        if widest <= WIDTH_MIN {
            return;
        }
        let next = widths.iter().copied().filter(|width| *width < widest).max().unwrap_or(0);
        let count = widths.iter().filter(|width| **width == widest).count();
        // The widest ones become as narrow as the next, or share what is too much; the first ones
        // give what is left over.
        let step = (widest - next.max(WIDTH_MIN)).min(excess / count).max(1);
        let widest = widths.iter_mut().filter(|width| **width == widest);
        widest.take(excess).for_each(|width| *width -= step);
    }
}

fn gaps(count: usize) -> usize {
    count.saturating_sub(1) * GAP.len()
}

/// Writes the names of columns and a rule below them.
pub(super) fn write_head(
    headings: &[Heading],
    widths: &[usize],
    line: Option<usize>,
    out: &mut String,
) {
    let names: Vec<String> = headings.iter().map(|heading| heading.name.clone()).collect();
    write_row(headings, widths, &names, line, out);
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let rule = rule.join("-+-");
    out.push_str(&cut(&rule, line.unwrap_or(usize::MAX)));
    out.push('\n');
}

/// Writes a row. What is longer than its column is cut where a line has no room for it.
pub(super) fn write_row(
    headings: &[Heading],
    widths: &[usize],
    row: &[String],
    line: Option<usize>,
    out: &mut String,
) {
    let used = widths.iter().sum::<usize>() + gaps(widths.len());
    let mut spare = line.map_or(usize::MAX, |line| line.saturating_sub(used));
    let mut text = String::new();
    for (index, (cell, heading)) in row.iter().zip(headings).enumerate() {
        let room = widths.get(index).copied().unwrap_or(0);
        let cell = cut(cell, room.saturating_add(spare));
        let taken = width(&cell);
        let fill = room.saturating_sub(taken);
        spare = spare.saturating_sub(taken.saturating_sub(room));
        if index > 0 {
            text.push_str(GAP);
        }
        let blanks = std::iter::repeat_n(' ', fill);
        if heading.is_right {
            text.extend(blanks);
            text.push_str(&cell);
        } else {
            text.push_str(&cell);
            text.extend(blanks);
        }
    }
    out.push_str(&cut(text.trim_end(), line.unwrap_or(usize::MAX)));
    out.push('\n');
}

/// Cuts a text that is wider than `columns`, and says so by `…`.
fn cut(text: &str, columns: usize) -> String {
    if text.len() <= columns || width(text) <= columns {
        return text.to_owned();
    }
    let (mut kept, mut taken) = (0, 0);
    for (at, c) in text.char_indices() {
        taken += c.width().unwrap_or(0);
        if taken >= columns {
            break;
        }
        kept = at + c.len_utf8();
    }
    text[..kept].to_owned() + "…"
}

/// A table that is written from top to bottom.
#[derive(Debug, Default)]
pub(super) struct Grid {
    headings: Arc<[Heading]>,
    /// Once they are fitted.
    widths: Option<Vec<usize>>,
    held: Vec<Vec<String>>,
}

impl Grid {
    /// Takes rows.
    pub(super) fn push(&mut self, change: &Change, is_updating: bool) {
        if self.headings.is_empty() {
            self.headings = headings(&change.schema(), is_updating).into();
        }
        self.held.extend((0..change.len()).map(|row| cells(change, row, is_updating)));
    }

    /// Returns how many rows wait.
    pub(super) fn waiting(&self) -> usize {
        self.held.len()
    }

    /// Are the widths fitted, so that waiting gains nothing?
    pub(super) fn is_fitted(&self) -> bool {
        self.widths.is_some()
    }

    /// Writes what waits, below a header the first time.
    pub(super) fn write(&mut self, line: Option<usize>, out: &mut String) {
        if self.held.is_empty() {
            return;
        }
        if self.widths.is_none() {
            let widths = fit(&self.headings, self.held.iter(), line);
            write_head(&self.headings, &widths, line, out);
            self.widths = Some(widths);
        }
        let widths = self.widths.as_deref().unwrap_or_default();
        for row in self.held.drain(..) {
            write_row(&self.headings, widths, &row, line, out);
        }
    }
}
