//! Dense numbers for keys: the table that every aggregation looks its rows up in.
//!
//! Invariants: the first key is group 0, each new one the next; NULL equals NULL, −0.0 equals 0.0
//! and every NaN the other; reading keys consumes nothing and pins no buffer of the input. Three
//! layouts, by the key's types: one column of text or bytes, columns of fixed width that fit into
//! sixteen bytes together, and everything else as Arrow's row format. It does *not* take single
//! keys out; whoever wants their memory back makes a new table of those that live.

mod arena;
mod bytes;
mod fixed;
mod rows;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use thalweg_types::{Error, Groups, Result};

use bytes::BytesTable;
use fixed::FixedTable;
use rows::RowsTable;

/// A table of keys with dense group numbers.
#[derive(Debug)]
pub struct GroupTable {
    types: Vec<DataType>,
    layout: Layout,
}

#[derive(Debug)]
enum Layout {
    /// No key: one group, once there was a row.
    One {
        is_there: bool,
    },
    Bytes(BytesTable),
    /// Up to eight bytes of fixed width.
    Narrow(FixedTable<u64>),
    /// Up to sixteen bytes of fixed width.
    Wide(FixedTable<u128>),
    Rows(RowsTable),
}

impl GroupTable {
    /// Returns an empty table for keys of these types.
    ///
    /// # Errors
    /// `Invalid` if a type cannot be a key.
    pub fn new(key_types: &[DataType]) -> Result<GroupTable> {
        let layout = match (key_types, fixed::bits(key_types)) {
            ([], _) => Layout::One { is_there: false },
            ([kind], _) if BytesTable::takes(kind) => Layout::Bytes(BytesTable::new(kind.clone())),
            (_, Some(0..=64)) => Layout::Narrow(FixedTable::new(key_types)),
            (_, Some(65..=128)) => Layout::Wide(FixedTable::new(key_types)),
            _ => Layout::Rows(RowsTable::new(key_types)?),
        };
        Ok(GroupTable { types: key_types.to_vec(), layout })
    }

    /// Writes the group of each row to `groups`, which it clears first; new keys get new groups.
    ///
    /// Shapes: in one column for each key type, `rows` rows each; out `rows` numbers. Cost: one
    /// hash and one probe per row.
    ///
    /// # Errors
    /// `Internal` if the columns are not those of the table; `Failed` if there would be more
    /// groups than a group number can tell apart.
    pub fn intern(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        groups.clear();
        self.check(keys, rows)?;
        groups.resize(rows, 0);
        match &mut self.layout {
            Layout::One { is_there } => *is_there |= rows > 0,
            Layout::Bytes(table) => table.intern(&keys[0], groups)?,
            Layout::Narrow(table) => table.intern(keys, groups),
            Layout::Wide(table) => table.intern(keys, groups),
            Layout::Rows(table) => table.intern(keys, groups)?,
        }
        Ok(())
    }

    /// Are these `rows` rows of the table's columns, and is there room for as many groups?
    fn check(&self, keys: &[ArrayRef], rows: usize) -> Result<()> {
        if keys.len() != self.types.len() {
            let (found, expected) = (keys.len(), self.types.len());
            return Err(Error::internal(format!("{found} key columns instead of {expected}")));
        }
        for (key, kind) in keys.iter().zip(&self.types) {
            if key.data_type() != kind {
                let found = key.data_type();
                return Err(Error::internal(format!("a key of type {found} instead of {kind}")));
            }
            if key.len() != rows {
                let found = key.len();
                return Err(Error::internal(format!("{found} keys for {rows} rows")));
            }
        }
        if self.len() + rows > u32::MAX as usize {
            return Err(Error::failed("more than 4 billion groups on one worker")
                .remedy("run the job with more workers"));
        }
        Ok(())
    }

    /// Returns the number of groups.
    pub fn len(&self) -> usize {
        match &self.layout {
            Layout::One { is_there } => usize::from(*is_there),
            Layout::Bytes(table) => table.len(),
            Layout::Narrow(table) => table.len(),
            Layout::Wide(table) => table.len(),
            Layout::Rows(table) => table.len(),
        }
    }

    /// Is there no group?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the keys of `groups`, one column for each key type and of exactly that type.
    ///
    /// Shapes: out `groups.len()` rows in the order of `groups`, in buffers of their own. Cost:
    /// that of the rows asked for, however large the table.
    ///
    /// # Errors
    /// `Internal` if there is no such group, or the keys cannot be decoded.
    pub fn keys(&self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let end = match groups {
            Groups::First(count) => count,
            Groups::At(groups) => groups.iter().max().map_or(0, |last| *last as usize + 1),
        };
        // An aggregation without keys has its one group before there is a row.
        if end > self.len() && !matches!(self.layout, Layout::One { .. }) {
            let (last, count) = (end - 1, self.len());
            return Err(Error::internal(format!("group {last} of a table of {count}")));
        }
        match &self.layout {
            Layout::One { .. } => Ok(Vec::new()),
            Layout::Bytes(table) => Ok(vec![table.keys(groups)?]),
            Layout::Narrow(table) => table.keys(groups),
            Layout::Wide(table) => table.keys(groups),
            Layout::Rows(table) => table.keys(groups),
        }
    }

    /// Forgets all groups and gives memory back.
    pub fn clear(&mut self) {
        match &mut self.layout {
            Layout::One { is_there } => *is_there = false,
            Layout::Bytes(table) => table.clear(),
            Layout::Narrow(table) => table.clear(),
            Layout::Wide(table) => table.clear(),
            Layout::Rows(table) => table.clear(),
        }
    }

    /// Returns about how many bytes the table takes.
    pub fn bytes(&self) -> usize {
        match &self.layout {
            Layout::One { .. } => 0,
            Layout::Bytes(table) => table.bytes(),
            Layout::Narrow(table) => table.bytes(),
            Layout::Wide(table) => table.bytes(),
            Layout::Rows(table) => table.bytes(),
        }
    }
}

/// Mixes 128 bits into a hash for a table in memory; not stable, not stored.
///
/// A folded multiplication: the halves of the product depend on all bits of both factors, so
/// that both ends of the result, the ones hashbrown looks at, are mixed.
#[inline]
fn fold(value: u128) -> u64 {
    const A: u64 = 0x9e37_79b9_7f4a_7c15;
    const B: u64 = 0xd1b5_4a32_d192_ed03;
    let product = u128::from(value as u64 ^ A) * u128::from((value >> 64) as u64 ^ B);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests;
