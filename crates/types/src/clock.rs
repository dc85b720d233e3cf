//! The only way to ask the time.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::time::EventTime;

/// A wall clock.
///
/// # Contract
/// `now` may go back (machines correct their clocks); whoever needs it to be monotone, such as
/// the pacer, takes the maximum itself.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Returns the wall-clock time.
    fn now(&self) -> EventTime;
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
