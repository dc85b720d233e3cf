//! Which rows of a changelog are old halves of updates.
//!
//! What takes a row back may be a deletion, or half of an update, whose other half says what the row of the
//! key is from then on. In a stream of rows with weights both look the same where an insertion of the key
//! follows, so who needs to know it asks for a column that says it.
//!
//! Invariant: of an update that moves a row to another key the old half is a deletion, since nothing of its
//! key follows.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::row::{RowConverter, SortField};
use thalweg_plan::connector::{OLD_HALF, TableSpec};
use thalweg_types::{Error, Result};

/// The old halves of a block.
#[derive(Debug)]
pub(super) struct Halves {
    /// Columns of the primary key, among those of rows.
    key: Vec<usize>,
    /// Rows of the block that begin updates, in order.
    old: Vec<usize>,
}

impl Halves {
    /// Returns what notes them, for rows of the columns `own` of a table.
    ///
    /// # Errors
    /// `Internal` if they are not the whole key.
    pub(super) fn new(table: &TableSpec, own: &[usize]) -> Result<Halves> {
        // What names the folder of a file is the same in all of its rows.
        let columns = table.primary_key.iter().filter_map(|name| table.schema.index_of(name).ok());
        let key = columns.map(|column| own.iter().position(|own| *own == column));
        let key = key.collect::<Option<Vec<_>>>();
        let key = key.ok_or_else(|| Error::internal(format!("`{OLD_HALF}` without the key")))?;
        Ok(Halves { key, old: Vec::new() })
    }

    /// Notes that this row of the block is the old half of an update, and the next one the new half.
    pub(super) fn note(&mut self, row: usize) {
        self.old.push(row);
    }

    /// Returns the column for those rows of the block that are kept.
    ///
    /// # Errors
    /// `Internal` if the key has a type that cannot be compared.
    pub(super) fn finish(&mut self, rows: &RecordBatch, keep: &BooleanArray) -> Result<ArrayRef> {
        let mut begins = vec![false; keep.len()];
        std::mem::take(&mut self.old).into_iter().for_each(|row| begins[row] = true);
        let kept = keep.values().set_indices().map(|row| begins[row]).collect::<Vec<_>>();
        let columns: Vec<ArrayRef> = self.key.iter().map(|key| rows.column(*key).clone()).collect();
        if columns.is_empty() {
            return Ok(Arc::new(BooleanArray::from(kept)));
        }
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
        let keys = RowConverter::new(fields.collect())?.convert_columns(&columns)?;
        // Rows of a line are kept or left out together, so the other half is the next one.
        let is_old = |row: usize| kept[row] && keys.row(row) == keys.row(row + 1);
        Ok(Arc::new((0..kept.len()).map(|row| Some(is_old(row))).collect::<BooleanArray>()))
    }
}
