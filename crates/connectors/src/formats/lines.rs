//! Lines: cutting blocks into them, and the `raw` format, in which a line is a row.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringViewArray, make_view};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
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
        let whole_is_text = std::str::from_utf8(block).is_ok();
        let (mut views, mut bad) = (Vec::new(), Vec::new());
        for (from, to) in lines(block) {
            let line = &block[from..to];
            match if whole_is_text { Ok("") } else { std::str::from_utf8(line) } {
                Ok(_) => views.push(make_view(line, 0, from as u32)),
                Err(error) => bad.push(Malformed {
                    offset: from,
                    record: line.to_vec(),
                    error: format!("the line is not UTF-8: {error}"),
                }),
            }
        }
        let count = views.len();
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let mut columns: Vec<ArrayRef> = Vec::new();
        if let Some(field) = self.schema.fields().first() {
            let views = ScalarBuffer::from(views);
            let lines = StringViewArray::try_new(views, vec![block.clone()], None)?;
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
