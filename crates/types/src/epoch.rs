//! The epoch: the one unit of progress, of checkpoints and of commits.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{DomainId, NodeId};
use crate::time::EventTime;

/// Number of an epoch. The first epoch of a job is 1; 0 means "before everything".
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// Returns the epoch after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why an epoch is the last one of its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ending {
    /// The job pauses here: nothing fires early, a later attempt goes on.
    Suspend,
    /// All input is finished or drained: watermarks are at the end of time, everything fires.
    Finish,
}

/// What sources take into an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intake {
    /// What waits.
    #[default]
    Waiting,
    /// This line of the job's script.
    Line(u64),
    /// Nothing: it is there for a timer, or to end the attempt.
    Nothing,
}

/// Facts about one epoch, the same on every worker.
///
/// The pacer makes it when it opens the epoch and sends it to every worker ahead of any row of
/// that epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochInfo {
    /// The epoch this is about.
    pub epoch: Epoch,
    /// One reading of the wall clock, nanoseconds since 1970; never goes back.
    pub clock: EventTime,
    /// The watermark of each time domain, by [`DomainId`]; never goes back.
    pub watermarks: Vec<EventTime>,
    /// Those of the epoch before: what was claimed when the rows of this epoch came.
    pub watermarks_before: Vec<EventTime>,
    /// How far the slowest split is for which the splits of a source wait, of each source that has such.
    pub slowest: Vec<(NodeId, EventTime)>,
    /// What sources take into it.
    pub intake: Intake,
    /// Is the state at the end of this epoch to be kept?
    pub is_checkpoint: bool,
    /// Is this the last epoch of the attempt, and why?
    pub ending: Option<Ending>,
}

impl EpochInfo {
    /// Returns the least watermark of `domains`; the end of time where there are none.
    pub fn watermark(&self, domains: &[DomainId]) -> EventTime {
        least(&self.watermarks, domains)
    }

    /// Returns the least watermark of `domains` in the epoch before.
    pub fn watermark_before(&self, domains: &[DomainId]) -> EventTime {
        least(&self.watermarks_before, domains)
    }
}

fn least(watermarks: &[EventTime], domains: &[DomainId]) -> EventTime {
    domains.iter().map(|domain| watermarks[domain.0]).min().unwrap_or(EventTime::MAX)
}

/// What a stateless function may know of the moment in which it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The epoch of the rows.
    pub epoch: Epoch,
    /// The wall clock of that epoch.
    pub clock: EventTime,
    /// The watermark of the rows' time domains: at a close that of the epoch; for rows that of the epoch
    /// before, so that a row is late if and only if it is at or before it.
    pub watermark: EventTime,
}
