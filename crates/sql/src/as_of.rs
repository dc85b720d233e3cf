//! `FOR SYSTEM_TIME AS OF` in a plan: a condition of the join, which `rewrite::as_of` put there.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchemaRef, DataFusionError, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Extension, Join, LogicalPlan, UserDefinedLogicalNodeCore};

use crate::rewrite::AS_OF;

/// Returns the time of a join with versions, and the rest of its condition.
pub(crate) fn time_of(filter: &Option<Expr>) -> Option<(Expr, Option<Expr>)> {
    let (times, rest): (Vec<&Expr>, Vec<&Expr>) =
        filter.iter().flat_map(split_conjunction).partition(|part| as_of(part).is_some());
    let time = as_of(times.first()?)?.clone();
    Some((time, conjunction(rest.into_iter().cloned())))
}

fn as_of(expr: &Expr) -> Option<&Expr> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == AS_OF => call.args.first(),
        Expr::Cast(cast) => as_of(&cast.expr),
        _ => None,
    }
}

/// Lets the time of each such join depend on both of its inputs, so that no rule takes it for a
/// condition of one, and lets no condition reach the table before its version is chosen.
///
/// # Errors
/// Whatever the planner says of the new plan.
pub(crate) fn tie(plan: LogicalPlan) -> Result<LogicalPlan> {
    let tied = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) => {
            let Some((_, Some(rest))) = time_of(&join.filter) else {
                return Ok(Transformed::no(LogicalPlan::Join(join)));
            };
            let parts = join.filter.iter().flat_map(split_conjunction).map(|part| match part {
                Expr::ScalarFunction(call) if call.func.name() == AS_OF => {
                    let mut call = call.clone();
                    call.args.push(rest.clone());
                    Expr::ScalarFunction(call)
                }
                part => part.clone(),
            });
            let filter = conjunction(parts.collect::<Vec<_>>());
            let node = Arc::new(Snapshot { input: join.right.as_ref().clone() });
            let right = Arc::new(LogicalPlan::Extension(Extension { node }));
            Ok(Transformed::yes(LogicalPlan::Join(Join { filter, right, ..join })))
        }
        plan => Ok(Transformed::no(plan)),
    });
    Ok(tied?.data)
}

/// A table as it was at some time: its rows as they are, but nothing may filter them before.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) struct Snapshot {
    pub(crate) input: LogicalPlan,
}

impl UserDefinedLogicalNodeCore for Snapshot {
    fn name(&self) -> &str {
        "Snapshot"
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
        self.input.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("Snapshot")
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let input = inputs.into_iter().next();
        let lost = || DataFusionError::Internal("a snapshot lost its input".to_owned());
        Ok(Snapshot { input: input.ok_or_else(lost)? })
    }
}
