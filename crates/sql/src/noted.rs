//! A node of a logical plan that passes its input on, and says something of it to whoever lowers what
//! reads it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::emit::Emit;
use crate::table_hint::Asked;

/// What is said of a relation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) enum Note {
    /// What reads it does with its rows as a hint asks.
    Hint(Asked),
    /// The aggregation that reads it sends what this asks for.
    Emit(Box<Emit>),
    /// It is a table as it was at some time: nothing may filter its rows before that is chosen.
    Snapshot,
}

/// A relation, and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) struct Noted {
    pub(crate) input: LogicalPlan,
    pub(crate) note: Note,
}

impl Noted {
    /// Returns a relation of which something is said.
    pub(crate) fn plan(input: LogicalPlan, note: Note) -> LogicalPlan {
        LogicalPlan::Extension(Extension { node: Arc::new(Noted { input, note }) })
    }

    /// Returns the relation that `plan` says something of, if it does.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<&Noted> {
        match plan {
            LogicalPlan::Extension(Extension { node }) => node.as_any().downcast_ref(),
            _ => None,
        }
    }
}

impl UserDefinedLogicalNodeCore for Noted {
    fn name(&self) -> &str {
        match self.note {
            Note::Hint(asked) => asked.name(),
            Note::Emit(_) => "Emit",
            Note::Snapshot => "Snapshot",
        }
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
        match self.note {
            Note::Hint(_) | Note::Emit(_) => HashSet::new(),
            Note::Snapshot => {
                self.input.schema().fields().iter().map(|field| field.name().clone()).collect()
            }
        }
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{:?}", self.note)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = inputs.into_iter().next();
        let lost = || DataFusionError::Internal(format!("{} lost its input", self.name()));
        Ok(Noted { input: input.ok_or_else(lost)?, note: self.note.clone() })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        match self.note {
            Note::Hint(_) => Some(vec![output_columns.to_vec()]),
            // Late rows have the columns that their table asks for.
            Note::Emit(ref emit) => {
                let fields = self.input.schema().fields().iter().enumerate();
                let needed = fields.filter(|(column, field)| {
                    output_columns.contains(column) || emit.is_of_late_rows(field.name())
                });
                Some(vec![needed.map(|(column, _)| column).collect()])
            }
            // Which of its columns say what version a row is, is known later.
            Note::Snapshot => None,
        }
    }
}
