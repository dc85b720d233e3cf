//! When a window sends a pane: triggers as data, as in the Dataflow paper (Akidau et al., VLDB 2015,
//! section 2.3).
//!
//! A trigger is asked at the close of an epoch, for one window of one key, whether the window sends
//! what it has. Triggers are put together from others; what that means is Beam's: a trigger that is
//! finished never fires again, and a window whose trigger is finished takes no more rows. So a bare
//! [`Trigger::Rows`] fires once in the life of a window, and [`Trigger::Repeated`] makes it fire
//! again and again. [`Machine`] runs one.

mod machine;

use std::fmt;
use std::time::Duration;

use arrow::datatypes::{DataType, TimeUnit};
use serde::{Deserialize, Serialize};

pub use self::machine::{FORMAT, Machine, Now, State};
use crate::window::span;

/// When a window sends a pane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// Never.
    Never,
    /// When the watermark passes the end of the window. Before that whenever `early` fires, and after
    /// that whenever `late` does, each as often as it does; without `late` it is finished then.
    Watermark {
        /// Fires before the end of the window.
        early: Option<Box<Trigger>>,
        /// Fires behind it.
        late: Option<Box<Trigger>>,
    },
    /// When so many rows came since the last pane.
    Rows(u64),
    /// When the clock is so far behind the epoch of the first row since the last pane.
    Delay(Duration),
    /// When the clock reaches a whole multiple of `period` (from 1970, shifted by `offset`) behind the
    /// epoch of the first row since the last pane.
    Aligned {
        /// Distance between two such times.
        period: Duration,
        /// Shift of all of them.
        offset: Duration,
    },
    /// At the end of each epoch in which rows came.
    Epoch,
    /// Whenever another one fires, for ever.
    Repeated(Box<Trigger>),
    /// When another one fires for the first time.
    Once(Box<Trigger>),
    /// When the first of some fires.
    Any(Vec<Trigger>),
    /// When all of some would fire.
    All(Vec<Trigger>),
    /// Each in its turn, as soon as the one before is finished.
    InOrder(Vec<Trigger>),
    /// Whenever the first one fires, until the second one did.
    OrFinally(Box<Trigger>, Box<Trigger>),
}

impl Trigger {
    /// Returns the trigger of a window that sends one pane, when it is complete.
    pub fn on_time() -> Trigger {
        Trigger::Watermark { early: None, late: None }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trigger::Never => f.write_str("never"),
            Trigger::Watermark { early, late } => {
                f.write_str("watermark")?;
                if let Some(early) = early {
                    write!(f, ", early {early}")?;
                }
                late.as_ref().map_or(Ok(()), |late| write!(f, ", late {late}"))
            }
            Trigger::Rows(1) => f.write_str("every row"),
            Trigger::Rows(rows) => write!(f, "every {rows} rows"),
            Trigger::Delay(delay) => write!(f, "every {}", spoken(*delay)),
            Trigger::Aligned { period, offset } if offset.is_zero() => {
                write!(f, "every whole {}", spoken(*period))
            }
            Trigger::Aligned { period, offset } => {
                write!(f, "every whole {} and {}", spoken(*period), spoken(*offset))
            }
            Trigger::Epoch => f.write_str("every epoch"),
            Trigger::Repeated(trigger) => write!(f, "repeated({trigger})"),
            Trigger::Once(trigger) => write!(f, "once({trigger})"),
            Trigger::Any(triggers) => list(f, "any", triggers),
            Trigger::All(triggers) => list(f, "all", triggers),
            Trigger::InOrder(triggers) => list(f, "in order", triggers),
            Trigger::OrFinally(trigger, last) => write!(f, "({trigger}) or finally ({last})"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, name: &str, triggers: &[Trigger]) -> fmt::Result {
    let triggers: Vec<String> = triggers.iter().map(Trigger::to_string).collect();
    write!(f, "{name}({})", triggers.join("; "))
}

fn spoken(length: Duration) -> String {
    let nanos = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
    span(nanos, &DataType::Timestamp(TimeUnit::Nanosecond, None))
}

#[cfg(test)]
mod tests;
