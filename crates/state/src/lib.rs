//! Keyed state: tables of groups, and what of them goes into a checkpoint.
//!
//! What it is for: operators keep their keys in a [`GroupTable`] and hand changed rows to a
//! [`StateWriter`]; a restored operator gets them back from a [`StateReader`]. What must always
//! hold: a row of state belongs to exactly one key group, so any number of workers can restore
//! any snapshot. It does *not* know operators, files or checkpoints; it makes and reads bytes.
#![forbid(unsafe_code)]

pub mod canonical;

pub mod group_table;

pub mod snapshot;

pub mod row_store;

pub use group_table::GroupTable;
pub use row_store::RowStore;
pub use snapshot::{StateReader, StateWriter, TableSpec};
