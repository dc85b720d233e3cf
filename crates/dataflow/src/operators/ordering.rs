//! A total order of rows: by sort keys, ties by the whole row, column by column.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use thalweg_plan::node::SortKey;
use thalweg_types::{Error, Result};

/// Turns rows into bytes that compare as the rows do.
#[derive(Debug)]
pub struct Ordering {
    columns: Vec<usize>,
    converter: RowConverter,
}

impl Ordering {
    /// Returns the order by `keys`, then by all columns.
    ///
    /// # Errors
    /// `Invalid` if a column has no order.
    pub fn new(keys: &[SortKey], schema: &SchemaRef) -> Result<Ordering> {
        Ordering::after(0, keys, schema)
    }

    /// Returns the order by `keys`, then by all columns but the first `hidden`.
    ///
    /// # Errors
    /// `Invalid` if a column has no order.
    pub fn after(hidden: usize, keys: &[SortKey], schema: &SchemaRef) -> Result<Ordering> {
        let whole =
            (hidden..schema.fields().len()).filter(|c| keys.iter().all(|key| key.column != *c));
        let whole = whole.map(|column| SortKey { column, descending: false, nulls_first: true });
        let all: Vec<SortKey> = keys.iter().copied().chain(whole).collect();
        let fields = all.iter().map(|key| {
            let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
            SortField::new_with_options(schema.field(key.column).data_type().clone(), options)
        });
        let converter = RowConverter::new(fields.collect()).map_err(|error| {
            Error::invalid("rows of these types cannot be ordered")
                .remedy("leave columns of nested types out")
                .caused_by(error)
        })?;
        Ok(Ordering { columns: all.iter().map(|key| key.column).collect(), converter })
    }

    /// Returns rows that compare as those of `batch`.
    ///
    /// # Errors
    /// `Internal` if the batch is of another schema.
    pub fn rows(&self, batch: &RecordBatch) -> Result<Rows> {
        let columns: Vec<ArrayRef> =
            self.columns.iter().map(|c| batch.column(*c).clone()).collect();
        Ok(self.converter.convert_columns(&columns)?)
    }
}
