//! Windows that a function gives to rows.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use thalweg_plan::window::{Assigned, WindowAssigner};
use thalweg_types::Result;

use crate::record::{Record, each};
use crate::scalar::Timestamp;

/// Returns the windows of a row.
type WindowsOf<T> = dyn Fn(&T) -> Vec<Range<Timestamp>> + Send + Sync;

/// Windows that a function gives to rows: unaligned ones, others for each key, one or several for a row.
///
/// ```
/// # extern crate thalweg_api as thalweg;
/// use thalweg::{Record, Timestamp, UserWindows};
///
/// #[derive(Clone, Debug, Record)]
/// struct Job { machine: i64, start: Timestamp, end: Timestamp }
///
/// // Jobs that overlap on a machine become one window.
/// let busy = UserWindows::of("busy", |job: &Job| vec![job.start..job.end]).merging();
/// # let _ = busy;
/// ```
pub struct UserWindows<T> {
    name: String,
    is_merging: bool,
    windows: Arc<WindowsOf<T>>,
}

impl<T> UserWindows<T> {
    /// Returns the windows that `windows` gives to each row, each from its start to before its end; a row
    /// without any is late. State goes on under the same name only: a function that gives others needs
    /// another one.
    pub fn of(
        name: impl Into<String>,
        windows: impl Fn(&T) -> Vec<Range<Timestamp>> + Send + Sync + 'static,
    ) -> UserWindows<T> {
        UserWindows { name: name.into(), is_merging: false, windows: Arc::new(windows) }
    }

    /// Lets windows of a key that overlap or touch become one, as sessions do.
    pub fn merging(mut self) -> UserWindows<T> {
        self.is_merging = true;
        self
    }
}

impl<T> fmt::Debug for UserWindows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserWindows({})", self.name)
    }
}

impl<T: Record> WindowAssigner for UserWindows<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_merging(&self) -> bool {
        self.is_merging
    }

    fn assign(&self, rows: &RecordBatch) -> Result<Assigned> {
        let (mut assigned, mut number, mut outcome) = (Assigned::default(), 0, Ok(()));
        each(rows, |row: &T| {
            let windows = (self.windows)(row).into_iter();
            let windows: Vec<_> = windows.map(|window| (window.start.0, window.end.0)).collect();
            if outcome.is_ok() {
                outcome = assigned.add(number, &windows);
            }
            number += 1;
        })?;
        outcome.map_err(|error| error.context(format!("windows `{}`", self.name)))?;
        Ok(assigned)
    }
}
