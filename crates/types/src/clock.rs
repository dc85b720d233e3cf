//! The only way to ask the time.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::time::EventTime;

/// A wall clock.
///
/// # Contract
/// `now` may go back (machines correct their clocks); whoever needs it to be monotone, such as
/// the pacer, takes the maximum itself.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Returns the wall-clock time.
    fn now(&self) -> EventTime;

    /// Does it always say the same? What lies ahead of such a clock never comes.
    fn stands_still(&self) -> bool {
        false
    }
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)] // the one place that asks
    fn now(&self) -> EventTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        EventTime(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still: for tests, and for runs that are to give the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FixedClock(EventTime);

impl FixedClock {
    /// Reads a time from 1970 to 2199, as `2026-01-01 00:00:00` in UTC or, by RFC 3339, with its offset.
    pub fn parse(text: &str) -> Option<FixedClock> {
        let in_utc = || NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").ok();
        let time = match DateTime::parse_from_rfc3339(text) {
            Ok(time) => time.with_timezone(&Utc),
            Err(_) => in_utc()?.and_utc(),
        };
        // Windows that begin then end in times that are numbers, too.
        let fits = (1970..2200).contains(&time.year());
        time.timestamp_nanos_opt().filter(|_| fits).map(|nanos| FixedClock(EventTime(nanos)))
    }
}

impl Clock for FixedClock {
    fn now(&self) -> EventTime {
        self.0
    }

    fn stands_still(&self) -> bool {
        true
    }
}

impl fmt::Display for FixedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
