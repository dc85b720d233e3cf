//! The window that each row carries to the operator that makes true windows of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use thalweg_plan::window::{Assigner, TimeBasis, WindowAssigner};
use thalweg_types::Result;

use crate::scalar::Timestamp;
use crate::value::column;

/// No window can be computed for times beyond this.
const TIME_MAX: i64 = i64::MAX / 4;

/// Returns the time of a struct.
pub(crate) type TimeOf<T> = Arc<dyn Fn(&T) -> Timestamp + Send + Sync>;

/// Where the windows of rows lie.
pub(crate) enum Windows<T> {
    /// Where an assigner that is data says, by the time of a row.
    Of(Assigner, TimeOf<T>),
    /// Where an assigner that is data says, by the clock when a row is processed.
    Clock(Assigner),
    /// Where the user says.
    User(Arc<dyn WindowAssigner>),
}

impl<T> Clone for Windows<T> {
    fn clone(&self) -> Windows<T> {
        match self {
            Windows::Of(assigner, time) => Windows::Of(*assigner, time.clone()),
            Windows::Clock(assigner) => Windows::Clock(*assigner),
            Windows::User(assigner) => Windows::User(assigner.clone()),
        }
    }
}

impl<T> Windows<T> {
    /// Returns what the plan says of them.
    pub(crate) fn assigner(&self) -> Assigner {
        match self {
            Windows::Of(assigner, _) | Windows::Clock(assigner) => *assigner,
            Windows::User(assigner) => assigner.planned(),
        }
    }

    /// Returns what drives them.
    pub(crate) fn basis(&self) -> TimeBasis {
        match self {
            Windows::Of(..) | Windows::User(_) => TimeBasis::Event,
            Windows::Clock(_) => TimeBasis::Processing,
        }
    }

    /// Returns the time by which the windows of a row lie, if there is one; `now` is what the clock says.
    pub(crate) fn time(&self, row: &T, now: Timestamp) -> Option<Timestamp> {
        match self {
            Windows::Of(_, time) => Some(time(row)),
            Windows::Clock(_) => Some(now),
            Windows::User(_) => None,
        }
    }

    /// Adds starts and ends of the windows of `rows`, of some `times`, to columns of them, in which a row
    /// stands once for each window.
    pub(crate) fn add(
        &self,
        mut columns: Vec<ArrayRef>,
        rows: &RecordBatch,
        times: &[Timestamp],
    ) -> Result<Vec<ArrayRef>> {
        match self {
            Windows::Of(assigner, _) | Windows::Clock(assigner) => {
                columns.extend(bounds(times, *assigner));
                Ok(columns)
            }
            Windows::User(assigner) => assigner.assign(rows)?.columns(&columns),
        }
    }
}

/// Returns the starts and the ends of the windows, slices, or sessions of one row, of some times.
fn bounds(times: &[Timestamp], assigner: Assigner) -> [ArrayRef; 2] {
    let start = |time: i64| match assigner {
        Assigner::Session { .. } => time,
        assigner => assigner.slice_start(time.clamp(-TIME_MAX, TIME_MAX)),
    };
    let length = match assigner {
        Assigner::Session { gap } => gap,
        assigner => assigner.slice(),
    };
    let starts: Vec<_> = times.iter().map(|time| Timestamp(start(time.0))).collect();
    let ends: Vec<_> = starts.iter().map(|time| Timestamp(time.0.saturating_add(length))).collect();
    [column(starts.iter()), column(ends.iter())]
}
