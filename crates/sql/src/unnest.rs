//! Arrays to rows.
//!
//! The everyday case, a text split at one byte, is done in one step: the words are views into
//! the memory of their lines, so no array of words is built and no word is copied.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray,
    UInt32Array,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::SchemaRef;
use thalweg_plan::function::Transform;
use thalweg_types::text::Splitter;
use thalweg_types::{Change, Moment, Result, Zone};

use crate::expression::Expression;

/// Rows that become a column of words at most; a longer input is cut.
const WORDS_MAX: usize = 1 << 20;

/// Splits a text column at a byte; the words are a column of the result.
#[derive(Debug)]
pub(crate) struct SplitWords {
    /// The text.
    pub(crate) text: Expression,
    pub(crate) delimiter: u8,
    /// Input columns that are repeated for each word, by their place in the result; `None` for
    /// the words themselves.
    pub(crate) columns: Vec<Option<Expression>>,
    pub(crate) schema: SchemaRef,
}

impl Transform for SplitWords {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, moment: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let texts = self.text.evaluate(&input.rows, moment)?;
        let texts = texts.as_string_view();
        let repeats = self.columns.iter().any(Option::is_some) || input.weights.is_some();
        let repeated = self
            .columns
            .iter()
            .map(|column| column.as_ref().map(|c| c.evaluate(&input.rows, moment)).transpose());
        let repeated = repeated.collect::<Result<Vec<Option<ArrayRef>>>>()?;
        let mut row = 0;
        while row < texts.len() {
            let mut words = Splitter::new(texts, self.delimiter, texts.len() * 8);
            let mut rows = Vec::new();
            while row < texts.len() && words.len() < WORDS_MAX {
                // As in Flink, an empty text has no words.
                if texts.is_valid(row) && !texts.value(row).is_empty() {
                    words.split(row, |delimiter, text| memchr::memchr_iter(delimiter, text));
                    if repeats {
                        rows.resize(words.len(), row as u32);
                    }
                }
                row += 1;
            }
            out.push(self.finish(input, words.finish(), &repeated, rows)?);
        }
        Ok(())
    }

    fn explain(&self) -> String {
        let delimiter = char::from(self.delimiter);
        format!("unnest words split at '{delimiter}'")
    }

    fn zone(&self) -> Option<Zone> {
        let columns = self.columns.iter().flatten();
        columns.chain([&self.text]).find_map(|column| column.zone())
    }
}

impl SplitWords {
    fn finish(
        &self,
        input: &Change,
        words: StringViewArray,
        repeated: &[Option<ArrayRef>],
        rows: Vec<u32>,
    ) -> Result<Change> {
        let count = words.len();
        let words: ArrayRef = Arc::new(words);
        let rows = UInt32Array::from(rows);
        let columns = repeated.iter().map(|column| match column {
            None => Ok(words.clone()),
            Some(column) => Ok(take(column, &rows, None)?),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(Change { rows: batch, weights: weights_of(input, &rows)? })
    }
}

fn weights_of(input: &Change, rows: &UInt32Array) -> Result<Option<Int64Array>> {
    match &input.weights {
        None => Ok(None),
        Some(weights) => {
            let taken = take(weights, rows, None)?;
            Ok(Some(taken.as_primitive::<datafusion::arrow::datatypes::Int64Type>().clone()))
        }
    }
}

/// Makes a row of each element of a list column; rows without elements vanish.
#[derive(Debug)]
pub(crate) struct Unnest {
    /// The list column of the input; it stands in the same place in the result.
    pub(crate) column: usize,
    pub(crate) schema: SchemaRef,
}

impl Transform for Unnest {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let lists = input.rows.column(self.column).as_list::<i32>();
        let (mut rows, mut elements) = (Vec::new(), Vec::new());
        for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
            let range = lists.value_offsets()[row]..lists.value_offsets()[row + 1];
            elements.extend(range.map(|at| at as u32));
            rows.resize(elements.len(), row as u32);
        }
        let (rows, elements) = (UInt32Array::from(rows), UInt32Array::from(elements));
        let columns = input.rows.columns().iter().enumerate().map(|(index, column)| {
            Ok(match index == self.column {
                true => take(lists.values(), &elements, None)?,
                false => take(column, &rows, None)?,
            })
        });
        let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        out.push(Change { rows: batch, weights: weights_of(input, &rows)? });
        Ok(())
    }

    fn explain(&self) -> String {
        format!("unnest {}", self.schema.field(self.column).name())
    }
}
