//! Rows as text for people and programs.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use thalweg_types::Change;

use super::Style;
use crate::formats::csv::Dialect;
use crate::formats::encode::write_fields;
use crate::formats::text::write_value;

/// Writes rows in a style; `is_first` asks for the header, where the style has one.
pub(super) fn render(style: &Style, change: &Change, is_first: bool, out: &mut String) {
    let is_updating = change.weights.is_some();
    if is_first {
        match style {
            Style::Csv => csv_header(change, is_updating, out),
            Style::Table => table_header(change, is_updating, out),
            Style::Flink(_) | Style::Json => {}
        }
    }
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
                write_fields(&change.rows, row, out);
                out.push('}');
            }
            Style::Csv => {
                if is_updating {
                    out.push_str(operation(change, row));
                    out.push(',');
                }
                Dialect::default().write(&change.rows, row, out);
            }
            Style::Table => table_row(change, row, is_updating, out),
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

fn cell(column: &ArrayRef, row: usize, null: &str) -> String {
    let mut text = String::new();
    match column.is_null(row) {
        true => text.push_str(null),
        false => write_value(column, row, &mut text),
    }
    text
}

fn csv_header(change: &Change, is_updating: bool, out: &mut String) {
    if is_updating {
        out.push_str("op,");
    }
    for (index, field) in change.schema().fields().iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        Dialect::default().write_field(field.name(), out);
    }
    out.push('\n');
}

/// Width of a column, by its type and name, and whether its values stand right.
fn width(name: &str, kind: &DataType) -> (usize, bool) {
    let (width, is_right) = match kind {
        DataType::Boolean => (5, false),
        kind if kind.is_integer() => (20, true),
        kind if kind.is_numeric() => (24, true),
        DataType::Timestamp(_, _) => (23, false),
        DataType::Date32 => (10, false),
        _ => (30, false),
    };
    (width.max(name.chars().count()), is_right)
}

fn pad(text: &str, (width, is_right): (usize, bool), out: &mut String) {
    let length = text.chars().count();
    let fill = width.saturating_sub(length);
    if is_right {
        out.extend(std::iter::repeat_n(' ', fill));
    }
    out.push_str(text);
    if !is_right {
        out.extend(std::iter::repeat_n(' ', fill));
    }
}

fn table_header(change: &Change, is_updating: bool, out: &mut String) {
    let schema = change.schema();
    let mut rule = String::new();
    if is_updating {
        out.push_str("op | ");
        rule.push_str("---+-");
    }
    for (index, field) in schema.fields().iter().enumerate() {
        let width = width(field.name(), field.data_type());
        if index > 0 {
            out.push_str(" | ");
            rule.push_str("-+-");
        }
        pad(field.name(), width, out);
        rule.extend(std::iter::repeat_n('-', width.0));
    }
    out.push('\n');
    out.push_str(&rule);
    out.push('\n');
}

fn table_row(change: &Change, row: usize, is_updating: bool, out: &mut String) {
    if is_updating {
        out.push_str(operation(change, row));
        out.push_str(" | ");
    }
    let schema = change.schema();
    for (index, (column, field)) in change.rows.columns().iter().zip(schema.fields()).enumerate() {
        if index > 0 {
            out.push_str(" | ");
        }
        pad(&cell(column, row, "NULL"), width(field.name(), field.data_type()), out);
    }
}
