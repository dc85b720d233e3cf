//! A total order of rows: by sort keys, ties by the whole row, column by column.
//!
//! Invariant: the code of a row begins with the code of its sort keys, and no code is the beginning
//! of another one; so codes, and codes of sort keys with them, compare as bytes.

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::SortOptions;
use arrow::datatypes::DataType::Boolean;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use thalweg_plan::node::SortKey;
use thalweg_types::{Error, Result};

/// Turns rows into bytes that compare as the rows do.
#[derive(Debug)]
pub struct Ordering {
    /// Columns in the code, those of the sort keys first.
    columns: Vec<usize>,
    converter: RowConverter,
    /// Of the sort keys alone, where there are any.
    keys: Option<RowConverter>,
    key_count: usize,
    /// Bytes of the code of the sort keys, where it is the same in all rows.
    key_width: Option<usize>,
}

impl Ordering {
    /// Returns the order by `keys`, then by all columns.
    ///
    /// # Errors
    /// `Invalid` if a column has no order.
    pub fn new(keys: &[SortKey], schema: &SchemaRef) -> Result<Ordering> {
        Ordering::without(&[], keys, schema)
    }

    /// Returns the order by `keys`, then by all columns but `others`.
    ///
    /// # Errors
    /// `Invalid` if a column has no order.
    pub fn without(others: &[usize], keys: &[SortKey], schema: &SchemaRef) -> Result<Ordering> {
        let is_free = |column: &usize| keys.iter().all(|key| key.column != *column);
        let whole = (0..schema.fields().len()).filter(|c| !others.contains(c) && is_free(c));
        let whole = whole.map(|column| SortKey { column, descending: false, nulls_first: true });
        let all: Vec<SortKey> = keys.iter().copied().chain(whole).collect();
        let key_count = keys.len();
        Ok(Ordering {
            columns: all.iter().map(|key| key.column).collect(),
            converter: converter(&all, schema)?,
            keys: (key_count > 0).then(|| converter(keys, schema)).transpose()?,
            key_count,
            key_width: key_width(keys, schema)?,
        })
    }

    /// Returns the columns of a code, in their order there.
    pub fn columns(&self) -> &[usize] {
        &self.columns
    }

    /// Returns rows that compare as those of `batch`.
    ///
    /// # Errors
    /// `Internal` if the batch is of another schema.
    pub fn rows(&self, batch: &RecordBatch) -> Result<Rows> {
        self.encode(&picked(batch, &self.columns))
    }

    /// Returns what the rows of `batch` begin with: their sort keys; `None` if there are none.
    ///
    /// # Errors
    /// `Internal` if the batch is of another schema.
    pub fn keys(&self, batch: &RecordBatch) -> Result<Option<Rows>> {
        let Some(keys) = &self.keys else { return Ok(None) };
        Ok(Some(keys.convert_columns(&picked(batch, &self.columns[..self.key_count]))?))
    }

    /// Returns the codes of rows, given their columns in the order of a code.
    ///
    /// # Errors
    /// `Internal` if these are other columns.
    pub fn encode(&self, columns: &[ArrayRef]) -> Result<Rows> {
        Ok(self.converter.convert_columns(columns)?)
    }

    /// Returns the part of a code that is of the sort keys.
    ///
    /// Cost: nothing where the keys are of fixed width; else the row is decoded.
    ///
    /// # Errors
    /// `Internal` if this is no code of this order.
    pub fn key_of<'a>(&self, code: &'a [u8]) -> Result<&'a [u8]> {
        let width = match (self.key_width, &self.keys) {
            (Some(width), _) => width,
            (None, None) => 0,
            (None, Some(keys)) => {
                let columns = self.decode(std::iter::once(code))?;
                keys.convert_columns(&columns[..self.key_count])?.row_len(0)
            }
        };
        Ok(&code[..width])
    }

    /// Returns the code of one sort key, of an order that has no other.
    ///
    /// # Errors
    /// `Internal` if the order has other keys.
    pub fn encode_key(&self, key: ArrayRef) -> Result<Vec<u8>> {
        let keys = self.keys.as_ref().ok_or_else(|| Error::internal("an order without a key"))?;
        Ok(keys.convert_columns(&[key])?.row(0).data().to_vec())
    }

    /// Returns the columns of rows, from their codes.
    ///
    /// # Errors
    /// `Internal` if these are no codes of this order.
    pub fn decode<'a>(&self, codes: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        Ok(self.converter.convert_rows(codes.map(|code| parser.parse(code)))?)
    }
}

fn picked(batch: &RecordBatch, columns: &[usize]) -> Vec<ArrayRef> {
    columns.iter().map(|column| batch.column(*column).clone()).collect()
}

fn converter(keys: &[SortKey], schema: &SchemaRef) -> Result<RowConverter> {
    let fields = keys.iter().map(|key| {
        let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
        SortField::new_with_options(schema.field(key.column).data_type().clone(), options)
    });
    RowConverter::new(fields.collect()).map_err(|error| {
        Error::invalid("rows of these types cannot be ordered")
            .remedy("leave columns of nested types out")
            .caused_by(error)
    })
}

/// Returns how many bytes the code of `keys` takes, if it always takes as many.
fn key_width(keys: &[SortKey], schema: &SchemaRef) -> Result<Option<usize>> {
    let kinds = keys.iter().map(|key| schema.field(key.column).data_type());
    if keys.is_empty() || !kinds.clone().all(|kind| kind.is_primitive() || *kind == Boolean) {
        return Ok(None);
    }
    let nulls: Vec<ArrayRef> = kinds.map(|kind| new_null_array(kind, 1)).collect();
    Ok(Some(converter(keys, schema)?.convert_columns(&nulls)?.row_len(0)))
}
