//! Windows as data: where they lie, when they fire, what a pane keeps.
//!
//! One operator reads these; assigner, trigger and accumulation are values, so that a new kind
//! of window is a new value and not a new operator.

mod assigner;

use std::fmt;

use arrow::datatypes::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};
use thalweg_types::Zone;
use thalweg_types::time::nanos_per;

pub use self::assigner::{Assigned, WindowAssigner};

/// How rows are assigned to windows. Sizes are positive, in the unit of the time column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Assigner {
    /// The rows carry their window: it was assigned before, by `TUMBLE` or by an aggregation.
    Attached,
    /// Windows of `size`, side by side, shifted by `offset`.
    Tumble {
        /// Length of a window.
        size: i64,
        /// Shift of all windows from 1970-01-01.
        offset: i64,
    },
    /// Windows of `size` that start every `slide`.
    Hop {
        /// Length of a window, a multiple of `slide`.
        size: i64,
        /// Distance between starts.
        slide: i64,
        /// Shift of all windows from 1970-01-01.
        offset: i64,
    },
    /// Windows that start with `size` and grow by `step` until they reach it.
    Cumulate {
        /// Greatest length of a window, a multiple of `step`.
        size: i64,
        /// By how much each window is longer than the last.
        step: i64,
        /// Shift of all windows from 1970-01-01.
        offset: i64,
    },
    /// A window per key and run of rows without a pause of `gap`.
    Session {
        /// The pause that ends a session.
        gap: i64,
    },
    /// Windows that a [`WindowAssigner`] gave to rows.
    User {
        /// A number for its name, which decides the state.
        name: u64,
        /// Do windows of a key that overlap or touch become one?
        is_merging: bool,
    },
}

impl Assigner {
    /// Do windows of a key that overlap or touch become one? Then a row carries the one that it would
    /// have alone.
    pub fn is_merging(self) -> bool {
        matches!(self, Assigner::Session { .. } | Assigner::User { is_merging: true, .. })
    }

    /// Returns the length of the slices that all windows are made of; 0 where there are none.
    pub fn slice(self) -> i64 {
        match self {
            Assigner::Tumble { size, .. } => size,
            Assigner::Hop { slide, .. } => slide,
            Assigner::Cumulate { step, .. } => step,
            Assigner::Session { .. } | Assigner::User { .. } | Assigner::Attached => 0,
        }
    }

    /// Returns the shift of the slices from 1970-01-01.
    pub fn offset(self) -> i64 {
        match self {
            Assigner::Tumble { offset, .. }
            | Assigner::Hop { offset, .. }
            | Assigner::Cumulate { offset, .. } => offset,
            Assigner::Session { .. } | Assigner::User { .. } | Assigner::Attached => 0,
        }
    }

    /// Returns the start of the slice that holds `time`; only for windows made of slices.
    pub fn slice_start(self, time: i64) -> i64 {
        let slice = self.slice();
        time - (time - self.offset()).rem_euclid(slice)
    }

    /// Returns the windows `(start, end)` that hold the slice starting at `slice_start`, the
    /// earliest end first.
    pub fn windows_of(self, slice_start: i64) -> Vec<(i64, i64)> {
        match self {
            Assigner::Tumble { size, .. } => vec![(slice_start, slice_start + size)],
            Assigner::Hop { size, slide, .. } => (0..size / slide)
                .rev()
                .map(|back| slice_start - back * slide)
                .map(|start| (start, start + size))
                .collect(),
            Assigner::Cumulate { size, step, offset } => {
                let start = slice_start - (slice_start - offset).rem_euclid(size);
                let first = slice_start + step;
                (0..)
                    .map(|n| first + n * step)
                    .take_while(|end| *end <= start + size)
                    .map(|end| (start, end))
                    .collect()
            }
            Assigner::Session { .. } | Assigner::User { .. } | Assigner::Attached => Vec::new(),
        }
    }

    /// Returns the windows in words; sizes are in the unit of columns of type `column`.
    pub fn describe(self, column: &DataType) -> String {
        let span = |value| span(value, column);
        match self {
            Assigner::Attached => "its window".to_owned(),
            Assigner::Tumble { size, .. } => format!("TUMBLE of {}", span(size)),
            Assigner::Hop { size, slide, .. } => {
                format!("HOP of {} every {}", span(size), span(slide))
            }
            Assigner::Cumulate { size, step, .. } => {
                format!("CUMULATE to {} by {}", span(size), span(step))
            }
            Assigner::Session { gap } => format!("SESSION with a gap of {}", span(gap)),
            Assigner::User { is_merging: true, .. } => "user-defined window, merged,".to_owned(),
            Assigner::User { .. } => "user-defined window".to_owned(),
        }
    }
}

impl fmt::Display for Assigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Assigner::Attached => f.write_str("ATTACHED"),
            Assigner::Tumble { size, .. } => write!(f, "TUMBLE({})", size),
            Assigner::Hop { size, slide, .. } => write!(f, "HOP({}, {})", slide, size),
            Assigner::Cumulate { size, step, .. } => {
                write!(f, "CUMULATE({}, {})", step, size)
            }
            Assigner::Session { gap } => write!(f, "SESSION({})", gap),
            Assigner::User { name, is_merging } => write!(f, "USER({name:016x}, {is_merging})"),
        }
    }
}

/// Returns a span of `value` units of a time column as the largest unit that it is whole in.
pub fn span(value: i64, column: &DataType) -> String {
    const UNITS: [(i64, &str); 6] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "us"),
    ];
    let unit = match column {
        DataType::Timestamp(unit, _) => *unit,
        _ => TimeUnit::Nanosecond,
    };
    let nanos = value.saturating_mul(nanos_per(unit));
    let whole = UNITS.iter().find(|(unit, _)| nanos % unit == 0);
    whole.map_or_else(|| format!("{nanos} ns"), |(unit, name)| format!("{} {name}", nanos / unit))
}

/// Which time drives a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TimeBasis {
    /// The watermark of the input.
    Event,
    /// The wall clock of the epoch.
    Processing,
}

/// The whole description of a window: assigner, time, and the columns that carry it.
///
/// Every row that reaches a window operator carries a window: the true one (`Attached`), the
/// slice it falls into (hopping, cumulating), or the window it would have alone (sessions: from
/// its time to its time plus the gap). The operator makes true windows of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSpec {
    /// Where windows lie.
    pub assigner: Assigner,
    /// Which time drives them.
    pub basis: TimeBasis,
    /// Column of the start of the row's window or slice: a timestamp.
    pub start: usize,
    /// Column of its end, in the same unit.
    pub end: usize,
    /// The zone in whose local time windows lie, where they were assigned to instants
    /// (`TIMESTAMP_LTZ`); `None` if they lie in the time that watermarks count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Zone>,
}
