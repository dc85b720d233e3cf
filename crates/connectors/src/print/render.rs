//! Rows as text for people and programs.

use arrow::array::{Array, ArrayRef};
use thalweg_types::Change;

use super::Style;
use crate::formats::csv::Dialect;
use crate::formats::encode::write_fields;
use crate::formats::json_dialect::JsonDialect;
use crate::formats::text::write_value;

/// Writes rows in a style other than a table; `is_updating` asks for what each row is.
pub(super) fn render(style: &Style, change: &Change, is_updating: bool, out: &mut String) {
    for row in 0..change.len() {
        match style {
            Style::Flink(prefix) => {
                out.push_str(prefix);
                out.push_str(operation(change, row));
                flink_row(change, row, out);
            }
            Style::Json => {
                out.push('{');
                if is_updating {
                    out.push_str("\"op\":\"");
                    out.push_str(operation(change, row));
                    out.push_str("\",");
                }
                write_fields(&change.rows, row, &JsonDialect::default(), out);
                out.push('}');
            }
            Style::Csv => {
                if is_updating {
                    out.push_str(operation(change, row));
                    out.push(',');
                }
                Dialect::default().write(&change.rows, row, out);
            }
            Style::Table => continue,
        }
        out.push('\n');
    }
}

/// Returns what a row is: a retraction directly before an insert is the old half of an update.
pub(super) fn operation(change: &Change, row: usize) -> &'static str {
    let is_insert = change.weight(row) > 0;
    let is_update = match is_insert {
        true => row > 0 && change.weight(row - 1) < 0,
        false => row + 1 < change.len() && change.weight(row + 1) > 0,
    };
    match (is_insert, is_update) {
        (true, false) => "+I",
        (true, true) => "+U",
        (false, true) => "-U",
        (false, false) => "-D",
    }
}

fn flink_row(change: &Change, row: usize, out: &mut String) {
    out.push('[');
    for (index, column) in change.rows.columns().iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(&cell(column, row, "null"));
    }
    out.push(']');
}

/// Returns a value as text.
pub(super) fn cell(column: &ArrayRef, row: usize, null: &str) -> String {
    let mut text = String::new();
    match column.is_null(row) {
        true => text.push_str(null),
        false => write_value(column, row, &mut text),
    }
    text
}

/// Returns the line before the first one, where a style has one.
pub(super) fn header(style: &Style, change: &Change, is_updating: bool) -> String {
    let mut out = String::new();
    if *style != Style::Csv {
        return out;
    }
    if is_updating {
        out.push_str("op,");
    }
    for (index, field) in change.schema().fields().iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        Dialect::default().write_field(field.name(), &mut out);
    }
    out.push('\n');
    out
}
