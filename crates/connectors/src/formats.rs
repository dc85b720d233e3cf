//! Bytes to rows and rows to bytes.
//!
//! Invariants: a record that cannot be decoded never changes what becomes of its neighbours;
//! every value printed can be read back by the same format.

pub mod lines;
pub mod text;

pub mod json_dialect;

pub mod envelope;

mod not_null;

mod column;

pub mod csv;
pub mod json;

mod facts;
mod halves;

mod changelog;

pub mod infer;

pub mod encode;

mod parquet;

pub mod file;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::buffer::Buffer;
use arrow::datatypes::{Field, Schema, SchemaRef};
use thalweg_plan::connector::{Options, TableSpec, nearest};
use thalweg_plan::source::Changes;
use thalweg_types::{Change, Error, Result};

use self::column::{Column, ELEMENTS};
use self::envelope::UPSERT;
use self::json_dialect::JsonDialect;

pub use self::envelope::{accepts, changes};
pub use self::facts::metadata;

/// A record of a block that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Where it begins in the block.
    pub offset: usize,
    /// The bytes as they came.
    pub record: Vec<u8>,
    /// Column and reason.
    pub error: String,
}

/// What a block of records became.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// Good rows, in order; with weights where lines say how rows changed.
    pub rows: Change,
    /// Malformed records, in order.
    pub bad: Vec<Malformed>,
}

/// Decodes blocks of whole records.
pub trait Decoder: Send {
    /// Decodes the records of `block`; the last one may lack its line feed.
    ///
    /// # Errors
    /// `Internal` only; what is wrong with records is in the result.
    fn decode(&mut self, block: &Buffer) -> Result<Decoded>;

    /// Returns where the last whole record of `block` ends; `None` if none does.
    fn end_of_last(&self, block: &[u8]) -> Option<usize> {
        memchr::memrchr(b'\n', block).map(|end| end + 1)
    }

    /// Returns the bytes at the beginning of a file that are no record.
    fn header(&self, _: &[u8]) -> usize {
        0
    }
}

/// Turns rows into the bytes of one file.
///
/// # Contract
/// The bytes taken, in order, are the file so far. After `cut` all rows are in them, and followed
/// by what it returned they are a whole file: so a file can be ended at any cut, also by somebody
/// who has nothing but these bytes.
pub trait FileEncoder: Send {
    /// Adds rows.
    ///
    /// # Errors
    /// `Internal` if they cannot be written in this format.
    fn write(&mut self, change: &Change) -> Result<()>;

    /// Returns how many bytes wait to be taken.
    fn waiting(&self) -> usize;

    /// Returns the bytes that were not taken yet.
    fn take(&mut self) -> Vec<u8>;

    /// Makes bytes of all rows so far; returns what would end the file here.
    ///
    /// # Errors
    /// As `write`.
    fn cut(&mut self) -> Result<Vec<u8>>;
}

/// Returns a value that is written as a field of CSV is, in an array of its own; NULL for `None`.
///
/// # Errors
/// What is wrong with the text.
pub fn value(field: &Field, text: Option<&str>) -> Result<ArrayRef, String> {
    let mut column = Column::new(field).map_err(|error| error.message().to_owned())?;
    match text {
        Some(text) => column.push_field(text, &ELEMENTS)?,
        None if field.is_nullable() => column.push_null(),
        None => return Err("NULL in a NOT NULL column".to_owned()),
    }
    Ok(column.finish())
}

/// Formats that can be read line by line.
const READABLE: [&str; 7] =
    ["json", "csv", "raw", "debezium-json", "canal-json", "maxwell-json", UPSERT];

/// Returns the columns of a table that can be read, as they are handed over: where the row of a key
/// can be gone, all that is not part of the key can be NULL.
///
/// # Errors
/// `Invalid` if the format needs a key and the table has none.
pub fn readable(table: &TableSpec) -> Result<SchemaRef> {
    let declared = table.readable();
    if envelope::changes(&table.options) != Changes::Upsert {
        return Ok(declared);
    }
    let key = envelope::key(table)?;
    let fields = declared.fields().iter().enumerate().map(|(column, field)| {
        let is_nullable = field.is_nullable() || !key.contains(&column);
        field.as_ref().clone().with_nullable(is_nullable)
    });
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

/// Makes a decoder for `columns` of a table.
///
/// # Errors
/// `Invalid` if the format is unknown or a column's type does not fit it.
pub fn decoder(table: &TableSpec, columns: &[usize]) -> Result<Box<dyn Decoder>> {
    let TableSpec { options, schema, .. } = table;
    match of(options)? {
        "json" => Ok(Box::new(json::JsonDecoder::new(
            JsonDialect::of(options, "json")?,
            schema,
            columns,
        )?)),
        "csv" => Ok(Box::new(csv::CsvDecoder::new(options, schema, columns)?)),
        "raw" => Ok(Box::new(lines::RawDecoder::new(options, schema, columns)?)),
        UPSERT | "debezium-json" | "canal-json" | "maxwell-json" => {
            let delivered = Arc::new(readable(table)?.project(columns)?);
            Ok(Box::new(changelog::ChangelogDecoder::new(table, columns, delivered)?))
        }
        other => Err(unknown(other, &READABLE, "read")),
    }
}

/// May a line feed stand within a record, so that a file cannot be cut anywhere?
///
/// # Errors
/// `Invalid` if the options of the format are wrong.
pub fn is_multi_line(options: &Options) -> Result<bool> {
    Ok(of(options)? == "csv" && csv::Dialect::of(options)?.is_multi_line())
}

/// Formats, and the options that belong to them.
const OPTIONS: [(&str, &[&str]); 8] = [
    ("json", &json_dialect::JSON),
    ("debezium-json", &envelope::DEBEZIUM_OPTIONS),
    ("canal-json", &envelope::CANAL_OPTIONS),
    ("maxwell-json", &envelope::MAXWELL_OPTIONS),
    (UPSERT, &envelope::UPSERT_OPTIONS),
    ("csv", &csv::OPTIONS),
    ("raw", &lines::OPTIONS),
    ("parquet", &parquet::OPTIONS),
];

/// Returns `own` options of a connector, and those of all formats.
pub fn with_options(own: &[&'static str]) -> Vec<&'static str> {
    let formats = OPTIONS.iter().flat_map(|(_, keys)| keys.iter());
    own.iter().chain(formats).copied().collect()
}

/// Refuses options that are neither a connector's own nor those of the table's format.
///
/// # Errors
/// `Invalid` with the name.
pub fn check_options(options: &Options, own: &[&str]) -> Result<()> {
    let format = of(options)?;
    for (other, keys) in OPTIONS {
        let foreign = keys.iter().find(|key| other != format && options.get(key).is_some());
        if let Some(key) = foreign {
            let message = format!("option '{key}' is for format '{other}'");
            return Err(Error::invalid(message).remedy(format!("this table has '{format}'")));
        }
    }
    let mut known = own.to_vec();
    known.extend(OPTIONS.iter().filter(|(name, _)| *name == format).flat_map(|(_, keys)| *keys));
    options.only(&known)?;
    envelope::check(options)
}

fn unknown(format: &str, known: &[&str], what: &str) -> Error {
    let error = Error::invalid(format!("format '{format}' cannot be {what}"));
    match nearest(format, known) {
        Some(near) => error.remedy(format!("did you mean '{near}'?")),
        None => error.remedy(format!("known formats: {}", known.join(", "))),
    }
}

/// Returns the format that a table names.
///
/// # Errors
/// `Invalid` if it names none.
pub fn of(options: &Options) -> Result<&str> {
    options.required("format")
}
