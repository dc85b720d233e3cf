//! Dense numbers for keys: the table that every aggregation looks its rows up in.
//!
//! Invariants: the first key is group 0, each new one the next; NULL equals NULL; reading keys
//! consumes nothing and pins no buffer of the input. Three layouts, by the key's type: one
//! string, one fixed-width value, and everything else as Arrow's row format.

mod bytes;
mod fixed;
mod rows;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use thalweg_types::{Groups, Result};

/// A table of keys with dense group numbers.
#[derive(Debug)]
pub struct GroupTable(Layout);

#[derive(Debug)]
enum Layout {
    /// No key: one group, once there was a row.
    One {
        is_there: bool,
    },
    Bytes(bytes::BytesTable),
    Fixed(fixed::FixedTable),
    Rows(rows::RowsTable),
}

impl GroupTable {
    /// Returns an empty table for keys of these types.
    ///
    /// # Errors
    /// `Invalid` if a type cannot be a key.
    pub fn new(types: &[DataType]) -> Result<GroupTable> {
        Ok(GroupTable(match types {
            [] => Layout::One { is_there: false },
            [kind] if bytes::BytesTable::takes(kind) => {
                Layout::Bytes(bytes::BytesTable::new(kind.clone()))
            }
            [kind] if fixed::FixedTable::takes(kind) => {
                Layout::Fixed(fixed::FixedTable::new(kind.clone()))
            }
            _ => Layout::Rows(rows::RowsTable::new(types)?),
        }))
    }

    /// Writes the group of each row to `groups`, which it clears first; new keys get new groups.
    ///
    /// Shapes: in one column for each key type, `rows` rows each; out `rows` numbers.
    ///
    /// # Errors
    /// `Internal` if the columns are not of the table's types.
    pub fn intern(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        groups.clear();
        match &mut self.0 {
            Layout::One { is_there } => {
                *is_there |= rows > 0;
                groups.resize(rows, 0);
                Ok(())
            }
            Layout::Bytes(table) => table.intern(&keys[0], groups),
            Layout::Fixed(table) => table.intern(&keys[0], groups),
            Layout::Rows(table) => table.intern(keys, groups),
        }
    }

    /// Returns the number of groups.
    pub fn len(&self) -> usize {
        match &self.0 {
            Layout::One { is_there } => usize::from(*is_there),
            Layout::Bytes(table) => table.len(),
            Layout::Fixed(table) => table.len(),
            Layout::Rows(table) => table.len(),
        }
    }

    /// Is there no group?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the keys of `groups`, one column for each key type.
    ///
    /// # Errors
    /// `Internal` if the keys cannot be decoded.
    pub fn keys(&self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        match &self.0 {
            Layout::One { .. } => Ok(Vec::new()),
            Layout::Bytes(table) => Ok(vec![table.keys(groups)?]),
            Layout::Fixed(table) => Ok(vec![table.keys(groups)?]),
            Layout::Rows(table) => table.keys(groups),
        }
    }

    /// Forgets all groups and gives memory back.
    pub fn clear(&mut self) {
        match &mut self.0 {
            Layout::One { is_there } => *is_there = false,
            Layout::Bytes(table) => table.clear(),
            Layout::Fixed(table) => table.clear(),
            Layout::Rows(table) => table.clear(),
        }
    }

    /// Returns about how many bytes the table takes.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Layout::One { .. } => 0,
            Layout::Bytes(table) => table.bytes(),
            Layout::Fixed(table) => table.bytes(),
            Layout::Rows(table) => table.bytes(),
        }
    }
}

/// Mixes 128 bits into a hash for a table in memory; not stable, not stored.
fn fold(value: u128) -> u64 {
    const A: u64 = 0x9e37_79b9_7f4a_7c15;
    const B: u64 = 0xd1b5_4a32_d192_ed03;
    let product = u128::from(value as u64 ^ A) * u128::from((value >> 64) as u64 ^ B);
    (product as u64 ^ (product >> 64) as u64).wrapping_mul(A)
}

#[cfg(test)]
mod tests;
