//! `EMIT` behind a `GROUP BY`: when its windows send what.
//!
//! ```sql
//! SELECT … FROM TABLE(TUMBLE(…)) GROUP BY window_start, window_end
//! EMIT AFTER WATERMARK [WITH EARLY EVERY {INTERVAL '1' MINUTE | n ROWS}]
//!   [WITH LATE EVERY {INTERVAL … | n ROWS}] [DISCARDING | ACCUMULATING | RETRACTING]
//!   [ALLOWED LATENESS INTERVAL …] [LATE INTO table]
//!   | EMIT CHANGES | EMIT FINAL
//! ```
//!
//! The parser does not know it, so it is taken out of the tokens of a query and put back, as a mark,
//! into what the query reads: a node over it says to the aggregation what was asked for.
//!
//! Invariants: the clause belongs to the query that it ends; an error points at it, or at what in it is
//! wrong.

mod clause;
mod mark;

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use datafusion::common::{DFSchemaRef, Result as Planned};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};
use serde::{Deserialize, Serialize};
use thalweg_plan::pane::{Accumulation, PaneColumn, Panes};
use thalweg_plan::trigger::Trigger;
use thalweg_types::{Error, Place};

pub(crate) use self::clause::{Surroundings, take};
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
        match error.places().is_empty() {
            true => error.at(Place::Sql { line, column, length }),
            false => error,
        }
    }

    /// Returns the table that late rows go to, if the clause names one.
    pub(crate) fn late_table(&self) -> Option<&str> {
        match &self.mode {
            Mode::Watermark(Options { late_into: Some((table, _)), .. }) => Some(table),
            _ => None,
        }
    }

    /// Does the clause say something of late rows?
    pub(crate) fn is_about_late_rows(&self) -> bool {
        match &self.mode {
            Mode::Watermark(options) => !options.lateness.is_zero() || options.late_into.is_some(),
            Mode::Changes | Mode::Final => false,
        }
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
            },
            Mode::Final => Options::default().panes(columns),
            Mode::Watermark(options) => options.panes(columns),
        };
        let is_default = panes.trigger == Trigger::on_time() && panes.columns.is_empty();
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
        }
    }
}

/// Passes its input on, and says when the aggregation that reads it sends what.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct Emitting {
    pub(crate) input: LogicalPlan,
    pub(crate) emit: Emit,
}

impl UserDefinedLogicalNodeCore for Emitting {
    fn name(&self) -> &str {
        "Emitting"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "Emitting: {:?}", self.emit.mode)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Planned<Self> {
        let input = inputs.into_iter().next();
        let lost = || DataFusionError::Internal("an EMIT lost what it is over".to_owned());
        Ok(Emitting { input: input.ok_or_else(lost)?, emit: self.emit.clone() })
    }

    /// Late rows have the columns that their table asks for.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut needed = output_columns.to_vec();
        if let Mode::Watermark(Options { late_into: Some((_, columns)), .. }) = &self.emit.mode {
            let fields = self.input.schema().fields().iter().enumerate();
            let wanted = fields.filter(|(_, field)| columns.contains(field.name()));
            needed.extend(wanted.map(|(column, _)| column));
            needed.sort_unstable();
            needed.dedup();
        }
        Some(vec![needed])
    }
}
