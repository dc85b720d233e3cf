//! `EMIT` behind a `GROUP BY`: when its windows send what.
//!
//! ```sql
//! SELECT … FROM TABLE(TUMBLE(…)) GROUP BY window_start, window_end
//! EMIT AFTER WATERMARK [AT PERCENTILE 0.95 | OF EACH KEY [BEHIND INTERVAL …]]
//!   [WITH EARLY EVERY {INTERVAL '1' MINUTE | n ROWS}]
//!   [WITH LATE EVERY {INTERVAL … | n ROWS}] [DISCARDING | ACCUMULATING | RETRACTING]
//!   [ALLOWED LATENESS INTERVAL …] [LATE INTO table]
//!   | EMIT CHANGES | EMIT FINAL
//! ```
//!
//! The parser does not know it, so it is taken out of the tokens of a query and put back, as a mark,
//! into what the query reads, from where a note in the plan says to the aggregation what was asked for.
//!
//! Invariants: the clause belongs to the query that it ends; an error points at it, or at what in it is
//! wrong.

mod mark;

mod clause;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg_plan::pane::{Accumulation, PaneColumn, Panes};
use thalweg_plan::trail::Share;
use thalweg_plan::trigger::Trigger;
use thalweg_types::{Error, Place};

use crate::text::placed;

pub(crate) use self::clause::{Surroundings, span, take};
pub(crate) use self::mark::marked;

/// What a query's `EMIT` asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash, Serialize, Deserialize)]
pub(crate) struct Emit {
    pub(crate) mode: Mode,
    /// Where it stands: line, column and length.
    at: (usize, usize, usize),
}

/// Which results are sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash, Serialize, Deserialize)]
pub(crate) enum Mode {
    /// What changed, at the end of each epoch.
    Changes,
    /// The last ones alone.
    Final,
    /// What the clause says.
    Watermark(Options),
}

/// What stands behind `EMIT AFTER WATERMARK`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Hash, Serialize, Deserialize)]
pub(crate) struct Options {
    percentile: Option<Share>,
    /// How far the watermark of each key is behind its newest row, if it has one of its own.
    of_each_key: Option<Duration>,
    early: Option<Every>,
    late: Option<Every>,
    accumulation: Option<Accumulation>,
    lateness: Duration,
    /// Where late rows go, and the columns that this table has.
    late_into: Option<(String, Vec<String>)>,
}

/// How often panes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash, Serialize, Deserialize)]
enum Every {
    Rows(u64),
    Span(Duration),
}

impl Every {
    fn trigger(self) -> Box<Trigger> {
        Box::new(match self {
            Every::Rows(rows) => Trigger::Rows(rows),
            Every::Span(span) => Trigger::Delay(span),
        })
    }
}

impl Emit {
    /// Points at the clause where nothing closer is known.
    pub(crate) fn located(&self, error: Error) -> Error {
        let (line, column, length) = self.at;
        placed(error, &Place::Sql { line, column, length })
    }

    /// Returns the table that late rows go to, if the clause names one.
    pub(crate) fn late_table(&self) -> Option<&str> {
        match &self.mode {
            Mode::Watermark(Options { late_into: Some((table, _)), .. }) => Some(table),
            _ => None,
        }
    }

    /// Has the table that late rows go to a column of this name?
    pub(crate) fn is_of_late_rows(&self, column: &str) -> bool {
        match &self.mode {
            Mode::Watermark(Options { late_into: Some((_, columns)), .. }) => {
                columns.iter().any(|own| own == column)
            }
            _ => false,
        }
    }

    /// Returns the share of delays by which watermarks trail the newest rows, if the clause says so.
    pub(crate) fn percentile(&self) -> Option<Share> {
        match &self.mode {
            Mode::Watermark(options) => options.percentile,
            Mode::Changes | Mode::Final => None,
        }
    }

    /// Returns how far the watermark of each key is behind its newest row, if it has one of its own.
    pub(crate) fn of_each_key(&self) -> Option<Duration> {
        match &self.mode {
            Mode::Watermark(options) => options.of_each_key,
            Mode::Changes | Mode::Final => None,
        }
    }

    /// Returns the parts of the clause that mean something of windows by event time alone.
    pub(crate) fn of_event_time(&self) -> Vec<&'static str> {
        let Mode::Watermark(options) = &self.mode else { return Vec::new() };
        let parts = [
            ("AT PERCENTILE", options.percentile.is_some()),
            ("OF EACH KEY", options.of_each_key.is_some()),
            ("ALLOWED LATENESS", !options.lateness.is_zero()),
            ("LATE INTO", options.late_into.is_some()),
        ];
        parts.into_iter().filter_map(|(part, is_there)| is_there.then_some(part)).collect()
    }

    /// Returns the panes that are asked for, with columns for what they say of themselves; `None` for
    /// what an aggregation sends anyway.
    pub(crate) fn panes(&self, is_windowed: bool, columns: Vec<PaneColumn>) -> Option<Panes> {
        let panes = match &self.mode {
            Mode::Changes if !is_windowed => return None,
            Mode::Changes => Panes {
                trigger: Trigger::Watermark { early: Some(Box::new(Trigger::Epoch)), late: None },
                accumulation: Accumulation::Retracting,
                lateness: Duration::ZERO,
                columns,
                own_time: None,
            },
            Mode::Final => Options::default().panes(columns),
            Mode::Watermark(options) => options.panes(columns),
        };
        let is_default = panes.trigger == Trigger::on_time()
            && panes.columns.is_empty()
            && self.of_each_key().is_none();
        (!(is_windowed && is_default)).then_some(panes)
    }
}

impl Options {
    fn panes(&self, columns: Vec<PaneColumn>) -> Panes {
        let each = || Box::new(Trigger::Epoch);
        let late = self.late.map(Every::trigger);
        Panes {
            trigger: Trigger::Watermark {
                early: self.early.map(Every::trigger),
                // What may come late is not kept for nothing.
                late: late.or_else(|| (!self.lateness.is_zero()).then(each)),
            },
            accumulation: self.accumulation.unwrap_or(Accumulation::Accumulating),
            lateness: self.lateness,
            columns,
            own_time: None,
        }
    }
}
