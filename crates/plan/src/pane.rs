//! What a window sends before, when and after it is complete: panes as data.

use std::fmt;
use std::time::Duration;

use arrow::datatypes::{DataType, Field};
use serde::{Deserialize, Serialize};

use crate::trigger::Trigger;

/// How a pane of a window relates to the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Accumulation {
    /// A pane has the rows that came since the last one.
    Discarding,
    /// A pane has all rows so far.
    Accumulating,
    /// A pane has all rows so far, and takes the last one back: an updating result.
    Retracting,
}

impl fmt::Display for Accumulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accumulation::Discarding => "discarding",
            Accumulation::Accumulating => "accumulating",
            Accumulation::Retracting => "retracting",
        })
    }
}

/// When a pane was sent, by the watermark and the end of its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timing {
    /// Before the watermark passed the end.
    Early,
    /// At the close at which it did.
    OnTime,
    /// Behind that.
    Late,
}

impl Timing {
    /// Returns the timing, as SQL shows it.
    pub fn name(self) -> &'static str {
        match self {
            Timing::Early => "EARLY",
            Timing::OnTime => "ON_TIME",
            Timing::Late => "LATE",
        }
    }
}

/// What a pane may say of itself, in a column of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PaneColumn {
    /// Its [`Timing`], as STRING.
    Timing,
    /// How many panes the window sent before, as BIGINT.
    Index,
    /// Does the window send no further one, as BOOLEAN.
    IsLast,
}

impl PaneColumn {
    /// Returns the column.
    pub fn field(self) -> Field {
        match self {
            PaneColumn::Timing => Field::new("pane_timing", DataType::Utf8View, false),
            PaneColumn::Index => Field::new("pane_index", DataType::Int64, false),
            PaneColumn::IsLast => Field::new("pane_is_last", DataType::Boolean, false),
        }
    }
}

/// Windows that go by the rows of their key: its watermark, and no other, says when one is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnTime {
    /// Column of the time of a row, in the unit of its windows.
    pub column: usize,
    /// By how much the watermark of a key is behind its newest row.
    pub behind: Duration,
    /// After how long by the clock the windows of a key are complete, and it is forgotten, if its watermark did
    /// not go on.
    pub ttl: Option<Duration>,
}

/// The panes of an aggregation's windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Panes {
    /// When one is sent.
    pub trigger: Trigger,
    /// What it has.
    pub accumulation: Accumulation,
    /// For how long rows are taken behind the end of a window, by the watermark.
    pub lateness: Duration,
    /// What it says of itself, behind the values.
    pub columns: Vec<PaneColumn>,
    /// The time that windows go by, if each key has its own; `None` for the watermark of the input.
    pub own_time: Option<OwnTime>,
}

impl Panes {
    /// Are panes taken back?
    pub fn is_updating(&self) -> bool {
        self.accumulation == Accumulation::Retracting
    }
}

impl fmt::Display for Panes {
    /// Says what decides the state of a window.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (accumulation, lateness) = (self.accumulation, self.lateness);
        write!(f, "{accumulation} panes at ({}), {lateness:?} late", self.trigger)?;
        match &self.own_time {
            Some(own) => write!(f, ", {:?} behind the newest row of each key", own.behind),
            None => Ok(()),
        }
    }
}
