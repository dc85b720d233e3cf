//! Which splits wait for others that are behind: watermark alignment.
//!
//! Invariants: the slowest split that is not idle never waits, so that something always goes on; a split
//! of which nobody was told where the others are waits once it has a watermark of its own.

use std::fmt;
use std::time::Duration;

use thalweg_types::EventTime;

/// Splits that stay together, of one source or of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alignment {
    /// The name that sources have in common whose splits wait for each other.
    pub group: String,
    /// How far the watermark of a split may be ahead of that of the slowest one.
    pub max_drift: Duration,
}

impl Alignment {
    /// Must a split wait that has reached `watermark`, and is idle or not? The slowest split of the group
    /// that is not idle has reached `slowest`, if one was told of.
    pub fn holds(
        &self,
        slowest: Option<EventTime>,
        (watermark, is_idle): (EventTime, bool),
    ) -> bool {
        match slowest {
            Some(slowest) => watermark.minus(self.max_drift) > slowest,
            None => watermark > EventTime::MIN && !is_idle,
        }
    }
}

impl fmt::Display for Alignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Alignment { group, max_drift } = self;
        write!(f, "waits when {max_drift:?} ahead of the slowest split of `{group}`")
    }
}

#[cfg(test)]
mod tests;
