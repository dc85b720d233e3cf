//! Rows to lines: JSON objects, CSV, plain text, and Debezium's envelope for updating results.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use thalweg_plan::connector::Options;
use thalweg_plan::sink::Accepts;
use thalweg_types::{Change, Error, Result};

use super::csv::Dialect;
use super::json_dialect::{JsonDialect, Standard};
use super::lines::Charset;
use super::{text, unknown};

/// Formats that can be written line by line.
const WRITABLE: [&str; 4] = ["json", "csv", "raw", "debezium-json"];

/// Turns rows into lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// One object a line.
    Json(JsonDialect),
    /// RFC 4180, in this dialect.
    Csv(Dialect),
    /// The one text column as it is.
    Raw(Charset),
    /// `{"before":…,"after":…,"op":"c"|"d"}`, as Flink writes it.
    Debezium(JsonDialect),
}

impl Encoder {
    /// Returns the encoder that a table asks for.
    ///
    /// # Errors
    /// `Invalid` if the format is unknown or does not fit the schema.
    pub fn of(options: &Options, schema: &SchemaRef) -> Result<Encoder> {
        match super::of(options)? {
            "json" => Ok(Encoder::Json(JsonDialect::of(options, "json")?)),
            "csv" => Ok(Encoder::Csv(Dialect::of(options)?)),
            "raw" if schema.fields().len() == 1 => Ok(Encoder::Raw(Charset::of(options)?)),
            "raw" => Err(Error::invalid("format 'raw' needs a table of exactly one STRING column")),
            format @ "debezium-json" => Ok(Encoder::Debezium(JsonDialect::of(options, format)?)),
            other => Err(unknown(other, &WRITABLE, "written")),
        }
    }

    /// Returns which results the format can carry.
    pub fn accepts(&self) -> Accepts {
        match self {
            Encoder::Debezium(_) => Accepts::Changelog,
            _ => Accepts::Append,
        }
    }

    /// Returns the ending of files in this format.
    pub fn extension(&self) -> &'static str {
        match self {
            Encoder::Json(_) | Encoder::Debezium(_) => "json",
            Encoder::Csv(_) => "csv",
            Encoder::Raw(_) => "txt",
        }
    }

    /// Returns text as the bytes of a file.
    pub fn bytes(&self, text: String) -> Vec<u8> {
        match self {
            Encoder::Raw(charset) => charset.encode(text),
            _ => text.into_bytes(),
        }
    }

    /// Appends a line for each row to `out`.
    pub fn encode(&self, change: &Change, out: &mut String) {
        for row in 0..change.len() {
            match self {
                Encoder::Json(dialect) => write_object(&change.rows, row, dialect, out),
                Encoder::Csv(dialect) => dialect.write(&change.rows, row, out),
                Encoder::Raw(_) => write_plain(change.rows.column(0), row, out),
                Encoder::Debezium(dialect) => write_envelope(change, row, dialect, out),
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

fn write_envelope(change: &Change, row: usize, dialect: &JsonDialect, out: &mut String) {
    let is_delete = change.weight(row) < 0;
    out.push_str("{\"before\":");
    if is_delete {
        write_object(&change.rows, row, dialect, out);
        out.push_str(",\"after\":null,\"op\":\"d\"}");
    } else {
        out.push_str("null,\"after\":");
        write_object(&change.rows, row, dialect, out);
        out.push_str(",\"op\":\"c\"}");
    }
}

/// Writes a row as a JSON object in column order.
pub fn write_object(rows: &RecordBatch, row: usize, dialect: &JsonDialect, out: &mut String) {
    out.push('{');
    write_fields(rows, row, dialect, out);
    out.push('}');
}

/// Writes the fields of a row without the braces.
pub fn write_fields(rows: &RecordBatch, row: usize, dialect: &JsonDialect, out: &mut String) {
    write_members(rows.schema_ref().fields(), (rows.columns(), row), dialect, out);
}

/// Writes names and values, with commas between.
fn write_members(
    fields: &Fields,
    (columns, row): (&[ArrayRef], usize),
    dialect: &JsonDialect,
    out: &mut String,
) {
    let mut is_first = true;
    for (field, column) in fields.iter().zip(columns) {
        if dialect.leaves_out_null && column.is_null(row) {
            continue;
        }
        if !is_first {
            out.push(',');
        }
        is_first = false;
        write_string(field.name(), out);
        out.push(':');
        write_json(column, row, dialect, out);
    }
}

/// Writes a value as JSON.
pub fn write_json(array: &ArrayRef, row: usize, dialect: &JsonDialect, out: &mut String) {
    if array.is_null(row) {
        out.push_str("null");
        return;
    }
    match array.data_type() {
        DataType::Utf8 => write_string(array.as_string::<i32>().value(row), out),
        DataType::Utf8View => write_string(array.as_string_view().value(row), out),
        DataType::Struct(fields) => {
            out.push('{');
            write_members(fields, (array.as_struct().columns(), row), dialect, out);
            out.push('}');
        }
        DataType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            out.push('[');
            for item in 0..items.len() {
                if item > 0 {
                    out.push(',');
                }
                write_json(&items, item, dialect, out);
            }
            out.push(']');
        }
        DataType::Map(..) => write_map(&array.as_map().value(row), dialect, out),
        DataType::Float64 | DataType::Float32 => {
            let mut number = String::new();
            text::write_value(array, row, &mut number);
            // JSON has no NaN and no infinity.
            match number.parse::<f64>().is_ok_and(f64::is_finite) {
                true => out.push_str(&number),
                false => write_string(&number, out),
            }
        }
        DataType::Decimal128(..) if dialect.is_scientific => {
            let mut number = String::new();
            text::write_value(array, row, &mut number);
            out.push_str(&text::scientific(&number));
        }
        kind if kind.is_numeric() || *kind == DataType::Boolean => {
            text::write_value(array, row, out);
        }
        DataType::Timestamp(..) if dialect.times == Standard::Iso => {
            let mut time = String::new();
            text::write_value(array, row, &mut time);
            write_string(&time.replacen(' ', "T", 1), out);
        }
        _ => {
            out.push('"');
            text::write_value(array, row, out);
            out.push('"');
        }
    }
}

/// Writes the entries of a map as an object; keys are texts in JSON.
fn write_map(entries: &StructArray, dialect: &JsonDialect, out: &mut String) {
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
        write_json(values, entry, dialect, out);
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
