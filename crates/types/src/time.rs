//! Event time and watermarks: nanoseconds since 1970, never bare integers.

use std::fmt;
use std::time::Duration;

use arrow::datatypes::TimeUnit;
use serde::{Deserialize, Serialize};

/// A point in event time, or a watermark: nanoseconds since 1970-01-01 00:00 UTC.
///
/// As a watermark, `w` claims that no row with a time at or before `w` is still to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(pub i64);

impl EventTime {
    /// Before all rows: the watermark of a source that has said nothing.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// The end of time: the watermark of a source that is finished.
    pub const MAX: EventTime = EventTime(i64::MAX);

    /// Returns the time that `value` stands for in a column of `unit`, saturating.
    pub fn from_unit(value: i64, unit: TimeUnit) -> EventTime {
        EventTime(value.saturating_mul(nanos_per(unit)))
    }

    /// Returns the value of this time in `unit`, rounded down; `MIN` and `MAX` keep their meaning.
    pub fn to_unit(self, unit: TimeUnit) -> i64 {
        match self {
            EventTime::MIN => i64::MIN,
            EventTime::MAX => i64::MAX,
            EventTime(nanos) => nanos.div_euclid(nanos_per(unit)),
        }
    }

    /// Returns the time `delay` earlier, saturating; the ends of time stay where they are.
    #[must_use]
    pub fn minus(self, delay: Duration) -> EventTime {
        match self {
            EventTime::MIN | EventTime::MAX => self,
            EventTime(nanos) => EventTime(nanos.saturating_sub(delay.as_nanos() as i64)),
        }
    }

    /// Returns the time `delay` later, saturating; the ends of time stay where they are.
    #[must_use]
    pub fn plus(self, delay: Duration) -> EventTime {
        match self {
            EventTime::MIN | EventTime::MAX => self,
            EventTime(nanos) => EventTime(nanos.saturating_add(delay.as_nanos() as i64)),
        }
    }
}

impl fmt::Display for EventTime {
    /// Prints as `2020-04-15 08:05:00.000`, in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            EventTime::MIN => f.write_str("-infinity"),
            EventTime::MAX => f.write_str("+infinity"),
            EventTime(nanos) => {
                let time = chrono::DateTime::from_timestamp_nanos(nanos);
                write!(f, "{}", time.format("%Y-%m-%d %H:%M:%S%.3f"))
            }
        }
    }
}

/// Returns how many nanoseconds one `unit` has.
pub fn nanos_per(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}
