//! Rows to lines: JSON objects, CSV, plain text, and what wraps changes of rows.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, FieldRef};
use thalweg_plan::connector::TableSpec;
use thalweg_types::{Change, Error, Result};

use super::csv::Dialect;
use super::envelope::{self, Envelope, UPSERT};
use super::json_dialect::{JsonDialect, Standard};
use super::lines::Charset;
use super::{text, unknown};

/// Formats that can be written line by line.
const WRITABLE: [&str; 7] =
    ["json", "csv", "raw", "debezium-json", "canal-json", "maxwell-json", UPSERT];

/// Turns rows into lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encoder {
    /// One object a line.
    Json(JsonDialect),
    /// RFC 4180, in this dialect.
    Csv(Dialect),
    /// The one text column as it is.
    Raw(Charset),
    /// An insert or a deletion, as Flink writes it.
    Changes(Envelope, JsonDialect),
    /// `{"key":…,"value":…}`, with NULL for the value of a key that is gone.
    Upsert {
        /// How values are written.
        dialect: JsonDialect,
        /// Columns of the key.
        key: Vec<usize>,
        /// Columns of the value.
        value: Vec<usize>,
    },
}

impl Encoder {
    /// Returns the encoder that a table asks for.
    ///
    /// # Errors
    /// `Invalid` if the format is unknown or does not fit the schema.
    pub fn of(table: &TableSpec) -> Result<Encoder> {
        let TableSpec { options, schema, .. } = table;
        let format = super::of(options)?;
        if let Some(envelope) = Envelope::of(format) {
            if envelope::has_schema(options)? {
                let message = "format 'debezium-json' writes no schema";
                return Err(Error::invalid(message).remedy("leave out its option 'schema-include'"));
            }
            return Ok(Encoder::Changes(envelope, JsonDialect::of(options, format)?));
        }
        match format {
            "json" => Ok(Encoder::Json(JsonDialect::of(options, "json")?)),
            "csv" => Ok(Encoder::Csv(Dialect::of(options)?)),
            "raw" if schema.fields().len() == 1 => Ok(Encoder::Raw(Charset::of(options)?)),
            "raw" => Err(Error::invalid("format 'raw' needs a table of exactly one STRING column")),
            UPSERT => {
                let key = envelope::key(table)?;
                let has_key = envelope::value_has_key(options)?;
                let columns = 0..schema.fields().len();
                let value = columns.filter(|column| has_key || !key.contains(column)).collect();
                Ok(Encoder::Upsert { dialect: JsonDialect::of(options, UPSERT)?, key, value })
            }
            other => Err(unknown(other, &WRITABLE, "written")),
        }
    }

    /// Returns the ending of files in this format.
    pub fn extension(&self) -> &'static str {
        match self {
            Encoder::Json(_) | Encoder::Changes(..) | Encoder::Upsert { .. } => "json",
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
                Encoder::Changes(envelope, dialect) => {
                    let (before, behind) = envelope.around(change.weight(row) < 0);
                    out.push_str(before);
                    write_object(&change.rows, row, dialect, out);
                    out.push_str(behind);
                }
                Encoder::Upsert { dialect, key, value } => {
                    out.push_str("{\"key\":");
                    write_picked(&change.rows, (row, key), dialect, out);
                    out.push_str(",\"value\":");
                    match change.weight(row) < 0 {
                        true => out.push_str("null"),
                        false => write_picked(&change.rows, (row, value), dialect, out),
                    }
                    out.push('}');
                }
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

/// Writes a row as a JSON object in column order.
pub fn write_object(rows: &RecordBatch, row: usize, dialect: &JsonDialect, out: &mut String) {
    out.push('{');
    write_fields(rows, row, dialect, out);
    out.push('}');
}

/// Writes the fields of a row without the braces.
pub fn write_fields(rows: &RecordBatch, row: usize, dialect: &JsonDialect, out: &mut String) {
    let members = rows.schema_ref().fields().iter().zip(rows.columns());
    write_members(members, row, dialect, out);
}

/// Writes some columns of a row as a JSON object.
fn write_picked(
    rows: &RecordBatch,
    (row, columns): (usize, &[usize]),
    dialect: &JsonDialect,
    out: &mut String,
) {
    let fields = rows.schema_ref().fields();
    let members = columns.iter().map(|column| (&fields[*column], rows.column(*column)));
    out.push('{');
    write_members(members, row, dialect, out);
    out.push('}');
}

/// Writes names and values, with commas between.
fn write_members<'a>(
    members: impl Iterator<Item = (&'a FieldRef, &'a ArrayRef)>,
    row: usize,
    dialect: &JsonDialect,
    out: &mut String,
) {
    let mut is_first = true;
    for (field, column) in members {
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
            let members = fields.iter().zip(array.as_struct().columns());
            write_members(members, row, dialect, out);
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
