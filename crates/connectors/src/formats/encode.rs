//! Rows to lines: JSON objects, CSV, plain text, and Debezium's envelope for updating results.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, SchemaRef};
use thalweg_plan::connector::Options;
use thalweg_plan::sink::Accepts;
use thalweg_types::{Change, Error, Result};

use super::csv::Dialect;
use super::{text, unknown};

/// Formats that can be written line by line.
const WRITABLE: [&str; 4] = ["json", "csv", "raw", "debezium-json"];

/// Turns rows into lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// One object a line.
    Json,
    /// RFC 4180, in this dialect.
    Csv(Dialect),
    /// The one text column as it is.
    Raw,
    /// `{"before":…,"after":…,"op":"c"|"d"}`, as Flink writes it.
    Debezium,
}

impl Encoder {
    /// Returns the encoder that a table asks for.
    ///
    /// # Errors
    /// `Invalid` if the format is unknown or does not fit the schema.
    pub fn of(options: &Options, schema: &SchemaRef) -> Result<Encoder> {
        match super::of(options)? {
            "json" => Ok(Encoder::Json),
            "csv" => Ok(Encoder::Csv(Dialect::of(options)?)),
            "raw" if schema.fields().len() == 1 => Ok(Encoder::Raw),
            "raw" => Err(Error::invalid("format 'raw' needs a table of exactly one STRING column")),
            "debezium-json" => Ok(Encoder::Debezium),
            other => Err(unknown(other, &WRITABLE, "written")),
        }
    }

    /// Returns which results the format can carry.
    pub fn accepts(&self) -> Accepts {
        match self {
            Encoder::Debezium => Accepts::Changelog,
            _ => Accepts::Append,
        }
    }

    /// Returns the ending of files in this format.
    pub fn extension(&self) -> &'static str {
        match self {
            Encoder::Json | Encoder::Debezium => "json",
            Encoder::Csv(_) => "csv",
            Encoder::Raw => "txt",
        }
    }

    /// Appends a line for each row to `out`.
    pub fn encode(&self, change: &Change, out: &mut String) {
        for row in 0..change.len() {
            match self {
                Encoder::Json => write_object(&change.rows, row, out),
                Encoder::Csv(dialect) => dialect.write(&change.rows, row, out),
                Encoder::Raw => write_plain(change.rows.column(0), row, out),
                Encoder::Debezium => write_envelope(change, row, out),
            }
            out.push('\n');
        }
    }
}

fn write_plain(column: &ArrayRef, row: usize, out: &mut String) {
    if column.is_valid(row) {
        text::write_value(column, row, out);
    }
}

fn write_envelope(change: &Change, row: usize, out: &mut String) {
    let is_delete = change.weight(row) < 0;
    out.push_str("{\"before\":");
    if is_delete {
        write_object(&change.rows, row, out);
        out.push_str(",\"after\":null,\"op\":\"d\"}");
    } else {
        out.push_str("null,\"after\":");
        write_object(&change.rows, row, out);
        out.push_str(",\"op\":\"c\"}");
    }
}

/// Writes a row as a JSON object in column order.
pub fn write_object(rows: &RecordBatch, row: usize, out: &mut String) {
    out.push('{');
    write_fields(rows, row, out);
    out.push('}');
}

/// Writes the fields of a row without the braces.
pub fn write_fields(rows: &RecordBatch, row: usize, out: &mut String) {
    for (index, field) in rows.schema_ref().fields().iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(field.name(), out);
        out.push(':');
        write_json(rows.column(index), row, out);
    }
}

/// Writes a value as JSON.
pub fn write_json(array: &ArrayRef, row: usize, out: &mut String) {
    if array.is_null(row) {
        out.push_str("null");
        return;
    }
    match array.data_type() {
        DataType::Utf8 => write_string(array.as_string::<i32>().value(row), out),
        DataType::Utf8View => write_string(array.as_string_view().value(row), out),
        DataType::Struct(fields) => {
            let columns = array.as_struct().columns();
            for (index, (field, column)) in fields.iter().zip(columns).enumerate() {
                out.push(if index == 0 { '{' } else { ',' });
                write_string(field.name(), out);
                out.push(':');
                write_json(column, row, out);
            }
            out.push('}');
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for item in 0..items.len() {
                if item > 0 {
                    out.push(',');
                }
                write_json(&items, item, out);
            }
            out.push(']');
        }
        DataType::Map(..) => write_map(&array.as_map().value(row), out),
        DataType::Float64 | DataType::Float32 => {
            let mut number = String::new();
            text::write_value(array, row, &mut number);
            // JSON has no NaN and no infinity.
            match number.parse::<f64>().is_ok_and(f64::is_finite) {
                true => out.push_str(&number),
                false => write_string(&number, out),
            }
        }
        kind if kind.is_numeric() || *kind == DataType::Boolean => {
            text::write_value(array, row, out);
        }
        _ => {
            out.push('"');
            text::write_value(array, row, out);
            out.push('"');
        }
    }
}

/// Writes the entries of a map as an object; keys are texts in JSON.
fn write_map(entries: &StructArray, out: &mut String) {
    let (keys, values) = (entries.column(0), entries.column(1));
    out.push('{');
    for entry in 0..entries.len() {
        if entry > 0 {
            out.push(',');
        }
        let mut key = String::new();
        text::write_value(keys, entry, &mut key);
        write_string(&key, out);
        out.push(':');
        write_json(values, entry, out);
    }
    out.push('}');
}

fn write_string(text: &str, out: &mut String) {
    out.push('"');
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[plain..at]);
        plain = at + 1;
        match escape {
            "" => {
                // Writing to a string cannot fail.
                let _ = std::fmt::Write::write_fmt(out, format_args!("\\u{byte:04x}"));
            }
            escape => out.push_str(escape),
        }
    }
    out.push_str(&text[plain..]);
    out.push('"');
}

#[cfg(test)]
mod tests;
