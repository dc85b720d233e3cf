//! Keys of several columns, or of types without a layout of their own, in Arrow's row format.
//!
//! Invariant: equal keys have equal rows; for that, floating-point numbers get one zero and one
//! NaN first, the same as the hash of keys takes for equal.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use thalweg_types::{Error, Groups, Result};

use super::bytes::BytesTable;
use crate::canonical::canonical;

#[derive(Debug)]
pub(super) struct RowsTable {
    types: Vec<DataType>,
    converter: RowConverter,
    table: BytesTable,
}

impl RowsTable {
    pub(super) fn new(types: &[DataType]) -> Result<RowsTable> {
        let fields = types.iter().cloned().map(SortField::new).collect();
        let converter = RowConverter::new(fields)
            .map_err(|error| Error::invalid(format!("these columns cannot be a key: {error}")))?;
        let table = BytesTable::new(DataType::BinaryView);
        Ok(RowsTable { types: types.to_vec(), converter, table })
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.table.bytes()
    }

    pub(super) fn clear(&mut self) {
        self.table.clear();
    }

    /// Writes the group of each row of `keys` to `groups`, of the same length.
    pub(super) fn intern(&mut self, keys: &[ArrayRef], groups: &mut [u32]) -> Result<()> {
        let keys = keys.iter().map(canonical).collect::<Result<Vec<_>>>()?;
        let rows = self.converter.convert_columns(&keys)?;
        let rows: ArrayRef = Arc::new(rows.try_into_binary()?);
        self.table.intern(&rows, groups)
    }

    pub(super) fn keys(&self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let rows = self.table.keys(groups)?;
        let parser = self.converter.parser();
        let rows = rows.as_binary_view().iter().flatten().map(|row| parser.parse(row));
        let keys = self.converter.convert_rows(rows)?;
        let of_type = |(key, kind): (ArrayRef, &DataType)| match key.data_type() == kind {
            true => Ok(key),
            // The row format holds the values of a dictionary, not the dictionary.
            false => Ok(cast(&key, kind)?),
        };
        keys.into_iter().zip(&self.types).map(of_type).collect()
    }
}
