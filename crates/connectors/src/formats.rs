//! Bytes to rows and rows to bytes.
//!
//! Invariants: a record that cannot be decoded never changes what becomes of its neighbours;
//! every value printed can be read back by the same format.

pub mod lines;
pub mod text;

pub mod json;

pub mod encode;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use thalweg_plan::connector::{Options, nearest};
use thalweg_types::{Error, Result};

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
    /// Good rows, in order.
    pub rows: RecordBatch,
    /// Malformed records, in order.
    pub bad: Vec<Malformed>,
}

/// Decodes blocks of whole lines.
pub trait Decoder: Send {
    /// Decodes the lines of `block`; the last one may lack its line feed.
    ///
    /// # Errors
    /// `Internal` only; what is wrong with records is in the result.
    fn decode(&mut self, block: &Buffer) -> Result<Decoded>;
}

/// Formats that can be read line by line.
const READABLE: [&str; 2] = ["json", "raw"];

/// Makes a decoder for `columns` of rows of `schema`.
///
/// # Errors
/// `Invalid` if the format is unknown or a column's type does not fit it.
pub fn decoder(format: &str, schema: &SchemaRef, columns: &[usize]) -> Result<Box<dyn Decoder>> {
    match format {
        "json" => Ok(Box::new(json::JsonDecoder::new(schema, columns)?)),
        "raw" => Ok(Box::new(lines::RawDecoder::new(schema, columns)?)),
        other => Err(unknown(other, &READABLE, "read")),
    }
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
