//! Lines: cutting blocks into them, and the `raw` format, in which a line is a row.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray};
use arrow::buffer::Buffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use thalweg_types::text::cut_block;
use thalweg_types::{Error, Result};

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

/// Makes rows of lines, without copying them: the column points into the block.
#[derive(Debug)]
pub struct RawDecoder {
    schema: SchemaRef,
}

impl RawDecoder {
    /// Returns a decoder for a table of one STRING column, of which all or none is asked for.
    ///
    /// # Errors
    /// `Invalid` if the table has another schema.
    pub fn new(schema: &SchemaRef, columns: &[usize]) -> Result<RawDecoder> {
        let kinds: Vec<&DataType> = schema.fields().iter().map(|field| field.data_type()).collect();
        if !matches!(kinds.as_slice(), [DataType::Utf8View | DataType::Utf8]) {
            return Err(Error::invalid("format 'raw' needs a table of exactly one STRING column"));
        }
        Ok(RawDecoder { schema: Arc::new(schema.project(columns)?) })
    }
}

impl Decoder for RawDecoder {
    fn decode(&mut self, block: &Buffer) -> Result<Decoded> {
        let mut bad = Vec::new();
        let lines = cut_block(block, lines(block)).unwrap_or_else(|| {
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
        Ok(Decoded { rows, bad })
    }
}

#[cfg(test)]
mod tests;
