//! Keys of several columns, or of types without a layout of their own, in Arrow's row format.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::row::{RowConverter, SortField};
use thalweg_types::{Error, Groups, Result};

use super::bytes::BytesTable;

#[derive(Debug)]
pub(super) struct RowsTable {
    converter: RowConverter,
    table: BytesTable,
}

impl RowsTable {
    pub(super) fn new(types: &[DataType]) -> Result<RowsTable> {
        let fields = types.iter().cloned().map(SortField::new).collect();
        let converter = RowConverter::new(fields)
            .map_err(|error| Error::invalid(format!("these columns cannot be a key: {error}")))?;
        Ok(RowsTable { converter, table: BytesTable::new(DataType::BinaryView) })
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

    pub(super) fn intern(&mut self, keys: &[ArrayRef], groups: &mut Vec<u32>) -> Result<()> {
        let keys = keys.iter().map(canonical).collect::<Result<Vec<_>>>()?;
        let rows = self.converter.convert_columns(&keys)?;
        let rows: ArrayRef = Arc::new(rows.try_into_binary()?);
        self.table.intern(&rows, groups)
    }

    pub(super) fn keys(&self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let rows = self.table.keys(groups)?;
        let rows = cast(&rows, &DataType::Binary)?;
        let parser = self.converter.parser();
        let rows = rows.as_binary::<i32>();
        let rows = (0..rows.len()).map(|row| parser.parse(rows.value(row)));
        Ok(self.converter.convert_rows(rows)?)
    }
}

/// Gives floating-point columns one zero and one NaN.
fn canonical(column: &ArrayRef) -> Result<ArrayRef> {
    Ok(match column.data_type() {
        DataType::Float64 => {
            let fix = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(column.as_primitive::<Float64Type>().unary::<_, Float64Type>(fix))
        }
        DataType::Float32 => {
            let fix = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(column.as_primitive::<Float32Type>().unary::<_, Float32Type>(fix))
        }
        _ => column.clone(),
    })
}
