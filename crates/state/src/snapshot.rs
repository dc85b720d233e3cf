//! Snapshots of one operator's state: written at checkpoints, read at restore.
//!
//! Invariants: each row names its key group; of several versions of a row the newest counts; a
//! snapshot that is not whole is an error of kind `State` and never a panic. The format is stored
//! and has a version: a later program opens what an earlier one wrote. It does *not* know where
//! snapshots are kept, nor which of them belong together.
//!
//! ```
//! use std::sync::Arc;
//! use arrow::array::{ArrayRef, Int64Array, RecordBatch};
//! use thalweg_state::{StateReader, StateWriter, TableSpec};
//! use thalweg_types::{KeyGroupRange, KeyGroups};
//!
//! let counts = TableSpec { name: "counts", key: 1, route: vec![0] };
//! let column = |values: Vec<i64>| -> ArrayRef { Arc::new(Int64Array::from(values)) };
//! let rows = [("user", column(vec![7, 8])), ("count", column(vec![1, 2]))];
//! let rows = RecordBatch::try_from_iter(rows)?;
//! let gone = RecordBatch::try_from_iter([("user", column(vec![8]))])?;
//!
//! let mut writer = StateWriter::new(false, KeyGroups { count: 1024, workers: 1 });
//! writer.put(&counts, rows.clone())?;
//! writer.delete(&counts, gone)?;
//! let file = writer.finish()?.expect("something was put");
//!
//! let reader = StateReader::open(vec![file], KeyGroupRange { start: 0, end: 1024 })?;
//! assert_eq!(reader.table("counts")?, [rows.slice(0, 1)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod compact;

mod format;

mod reader;
mod writer;

pub use reader::StateReader;
pub use writer::StateWriter;

/// Describes a table of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec<N = &'static str> {
    /// Its name, unique in the operator.
    pub name: N,
    /// The first so many columns identify a row; none where the table has one row at most.
    pub key: usize,
    /// Columns that decide the key group, all among the key; none for one group in all.
    pub route: Vec<usize>,
}

/// The key group of rows that are of none: each worker saves all of them, and each is given them.
const SHARED: u16 = u16::MAX;
/// Column behind those of the operator: the key group of the row, `UInt16`.
const KEY_GROUP: &str = "__key_group";
/// Last column: does the row delete what older snapshots hold? `Boolean`.
const IS_DELETED: &str = "__deleted";

#[cfg(test)]
mod tests;
