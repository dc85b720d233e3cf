//! The window that each row carries to the operator that makes true windows of them.

use arrow::array::ArrayRef;
use thalweg_plan::window::Assigner;

use crate::scalar::Timestamp;
use crate::value::column;

/// No window can be computed for times beyond this.
const TIME_MAX: i64 = i64::MAX / 4;

/// Returns the starts and the ends of the windows, slices, or sessions of one row, of some times.
pub(crate) fn columns(times: &[Timestamp], assigner: Assigner) -> [ArrayRef; 2] {
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
