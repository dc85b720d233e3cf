//! User-defined windows: which ones each row falls into, as the user's code says.
//!
//! They may lie anywhere: unaligned, others for each key, one or several for a row. What becomes of them
//! is the window operator's work, which knows of an assigner no more than an [`Assigner::User`].

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::compute::take;
use thalweg_types::{Error, Result, hash};

use super::Assigner;

/// Gives windows to rows.
///
/// # Contract
/// The windows of a row depend on the row alone: it may come again after a crash, and on another worker.
pub trait WindowAssigner: Send + Sync + Debug {
    /// Returns a name for all that decides the windows: state goes on under the same name only.
    fn name(&self) -> &str;

    /// Do windows of a key that overlap or touch become one?
    fn is_merging(&self) -> bool;

    /// Returns the windows of all rows, in their order.
    ///
    /// # Errors
    /// `Data` if there are none for a row, or they are no windows.
    fn assign(&self, rows: &RecordBatch) -> Result<Assigned>;

    /// Returns what a plan says of the windows.
    fn planned(&self) -> Assigner {
        let name = hash::hash_bytes(self.name().as_bytes());
        Assigner::User { name, is_merging: self.is_merging() }
    }
}

/// Rows and their windows, in milliseconds from 1970; a row stands there once for each window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    rows: Vec<u32>,
    starts: Vec<Option<i64>>,
    ends: Vec<Option<i64>>,
}

impl Assigned {
    /// Adds the windows of a row, each from its start to before its end. A row without any is late.
    ///
    /// # Errors
    /// `Data` for a window that does not end behind its start.
    pub fn add(&mut self, row: u32, windows: &[(i64, i64)]) -> Result<()> {
        if let Some((start, end)) = windows.iter().find(|(start, end)| start >= end) {
            return Err(Error::data(format!("a window from {start} to {end} ms has no room")));
        }
        if windows.is_empty() {
            self.push(row, None);
        }
        windows.iter().for_each(|window| self.push(row, Some(*window)));
        Ok(())
    }

    fn push(&mut self, row: u32, window: Option<(i64, i64)>) {
        self.rows.push(row);
        self.starts.push(window.map(|(start, _)| start));
        self.ends.push(window.map(|(_, end)| end));
    }

    /// Returns columns of the assigned rows, one row for each window, and its start and end behind them.
    ///
    /// # Errors
    /// `Internal` if the columns have other rows.
    pub fn columns(self, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let rows = UInt32Array::from(self.rows);
        let mut columns: Vec<ArrayRef> =
            columns.iter().map(|column| Ok(take(column, &rows, None)?)).collect::<Result<_>>()?;
        columns.push(Arc::new(TimestampMillisecondArray::from(self.starts)));
        columns.push(Arc::new(TimestampMillisecondArray::from(self.ends)));
        Ok(columns)
    }
}

#[cfg(test)]
mod tests;
