//! Lines: cutting blocks into them, and the `raw` format, in which a line is a row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use thalweg_plan::connector::Options;
use thalweg_types::text::cut_block;
use thalweg_types::{Change, Error, Result};

use super::{Decoded, Decoder, Malformed};

/// Returns the lines of `block` as ranges, without line feeds and carriage returns before them.
pub fn lines(block: &[u8]) -> impl Iterator<Item = (usize, usize)> + '_ {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', block).chain([block.len()]);
    ends.filter_map(move |end| {
        let from = start;
        start = end + 1;
        // Behind the last line feed there is no line.
        if from >= block.len() {
            return None;
        }
        let has_return = end > from && block[end - 1] == b'\r';
        Some((from, end - usize::from(has_return)))
    })
}

/// Options of the `raw` format; all its values are texts, so the order of bytes has no meaning.
pub const OPTIONS: [&str; 2] = ["raw.charset", ENDIANNESS];
const ENDIANNESS: &str = "raw.endianness";

/// How the characters of `raw` lines are written; a line feed is one byte in each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8.
    #[default]
    Utf8,
    /// US-ASCII.
    Ascii,
    /// ISO 8859-1: one byte a character.
    Latin1,
}

impl Charset {
    /// Returns what a table asks for.
    ///
    /// # Errors
    /// `Invalid` if it is unknown.
    pub fn of(options: &Options) -> Result<Charset> {
        match options.get(ENDIANNESS) {
            None | Some("big-endian" | "little-endian") => {}
            Some(other) => {
                let message = format!("option '{ENDIANNESS}' cannot be '{other}'");
                return Err(Error::invalid(message).remedy("known: big-endian, little-endian"));
            }
        }
        let name = options.get(OPTIONS[0]).unwrap_or("UTF-8");
        match name.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Ok(Charset::Utf8),
            "US-ASCII" | "ASCII" => Ok(Charset::Ascii),
            "ISO-8859-1" | "LATIN1" => Ok(Charset::Latin1),
            _ => Err(Error::invalid(format!("option '{}' cannot be '{name}'", OPTIONS[0]))
                .remedy("known: UTF-8, US-ASCII, ISO-8859-1")),
        }
    }

    /// Returns text as bytes; a character that there is not becomes `?`, as in Java.
    pub fn encode(self, text: String) -> Vec<u8> {
        let last = match self {
            Charset::Utf8 => return text.into_bytes(),
            Charset::Ascii => 0x7f,
            Charset::Latin1 => 0xff,
        };
        let byte = |c: char| u8::try_from(u32::from(c)).ok().filter(|byte| *byte <= last);
        text.chars().map(|c| byte(c).unwrap_or(b'?')).collect()
    }

    /// Returns bytes as bytes of UTF-8; those that are no characters stay, and are found there.
    fn decode(self, block: &Buffer) -> Buffer {
        match self {
            Charset::Latin1 if !block.is_ascii() => {
                let text: String = block.iter().map(|byte| char::from(*byte)).collect();
                Buffer::from_vec(text.into_bytes())
            }
            Charset::Utf8 | Charset::Ascii | Charset::Latin1 => block.clone(),
        }
    }
}

/// Makes rows of lines, without copying them: the column points into the block.
#[derive(Debug)]
pub struct RawDecoder {
    charset: Charset,
    schema: SchemaRef,
}

impl RawDecoder {
    /// Returns a decoder for a table of one STRING column, of which all or none is asked for.
    ///
    /// # Errors
    /// `Invalid` if the table has another schema.
    pub fn new(options: &Options, schema: &SchemaRef, columns: &[usize]) -> Result<RawDecoder> {
        let kinds: Vec<&DataType> = schema.fields().iter().map(|field| field.data_type()).collect();
        if !matches!(kinds.as_slice(), [DataType::Utf8View | DataType::Utf8]) {
            return Err(Error::invalid("format 'raw' needs a table of exactly one STRING column"));
        }
        let charset = Charset::of(options)?;
        Ok(RawDecoder { charset, schema: Arc::new(schema.project(columns)?) })
    }
}

impl Decoder for RawDecoder {
    fn decode(&mut self, block: &Buffer) -> Result<Decoded> {
        let block = &self.charset.decode(block);
        let mut bad = Vec::new();
        let lines = cut_block(block, lines(block), None).unwrap_or_else(|| {
            let good = lines(block).filter_map(|(from, to)| {
                let line = std::str::from_utf8(&block[from..to]);
                let error = match line {
                    Ok(line) => return Some(line),
                    Err(error) => format!("the line is not UTF-8: {error}"),
                };
                bad.push(Malformed { offset: from, record: block[from..to].to_vec(), error });
                None
            });
            StringViewArray::from_iter_values(good)
        });
        let count = lines.len();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let mut columns: Vec<ArrayRef> = Vec::new();
        if let Some(field) = self.schema.fields().first() {
            let lines: ArrayRef = Arc::new(lines);
            columns.push(match field.data_type() {
                DataType::Utf8View => lines,
                kind => cast(&lines, kind)?,
            });
        }
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(Decoded { rows: Change::append(rows), bad })
    }
}

#[cfg(test)]
mod tests;
