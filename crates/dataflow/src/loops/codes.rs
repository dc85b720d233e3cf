//! Rows as bytes that are equal where the rows are, and compare as the rows do.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::row::{RowConverter, SortField};
use thalweg_state::canonical::canonical;
use thalweg_types::{Error, Result};

/// A row, or a part of one.
pub type Code = Box<[u8]>;

/// Makes codes of some columns of a schema, and columns of codes.
#[derive(Debug)]
pub struct Codec {
    columns: Vec<usize>,
    /// `None` without columns: Arrow would not count such rows.
    converter: Option<RowConverter>,
}

impl Codec {
    /// Returns a codec of some columns of `schema`.
    ///
    /// # Errors
    /// `Invalid` if values of a type cannot be compared.
    pub fn new(schema: &SchemaRef, columns: Vec<usize>) -> Result<Codec> {
        let kind = |column: &usize| schema.field(*column).data_type().clone();
        let kinds: Vec<DataType> = columns.iter().map(kind).collect();
        let converter = match kinds.is_empty() {
            true => None,
            false => Some(converter(kinds)?),
        };
        Ok(Codec { columns, converter })
    }

    /// Returns the code of each row.
    ///
    /// # Errors
    /// `Internal` if these are rows of another schema.
    pub fn encode(&self, rows: &RecordBatch) -> Result<Vec<Code>> {
        let columns: Vec<ArrayRef> =
            self.columns.iter().map(|column| rows.column(*column).clone()).collect();
        self.encode_columns(&columns, rows.num_rows())
    }

    /// Returns the code of each of `rows` rows, given the columns of the codec alone.
    ///
    /// # Errors
    /// As [`Codec::encode`].
    pub fn encode_columns(&self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Code>> {
        let Some(converter) = &self.converter else { return Ok(vec![Code::default(); rows]) };
        let columns = columns.iter().map(canonical);
        let codes = converter.convert_columns(&columns.collect::<Result<Vec<_>>>()?)?;
        Ok(codes.iter().map(|code| code.data().into()).collect())
    }

    /// Returns the columns of some codes.
    ///
    /// # Errors
    /// `Internal` if these are no codes of this codec.
    pub fn decode<'a>(&self, codes: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let parser = converter.parser();
        Ok(converter.convert_rows(codes.map(|code| parser.parse(code)))?)
    }
}

fn converter(kinds: Vec<DataType>) -> Result<RowConverter> {
    RowConverter::new(kinds.into_iter().map(SortField::new).collect()).map_err(|error| {
        Error::invalid(format!("rows of these columns cannot be compared: {error}"))
            .remedy("leave such columns out of the loop")
    })
}
