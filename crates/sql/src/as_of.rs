//! `FOR SYSTEM_TIME AS OF` in a plan: a condition of the join, which `rewrite::as_of` put there.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{Expr, Join, LogicalPlan};

use crate::noted::{Note, Noted};
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
            // Which of the table's times counts is known later; none may be left out before.
            let schema = join.right.schema();
            let times = schema.columns().into_iter().map(Expr::Column);
            let times = times
                .zip(schema.fields())
                .filter(|(_, field)| matches!(field.data_type(), DataType::Timestamp(_, _)));
            let reads = times.fold(rest, |reads, (time, _)| reads.and(time.is_not_null()));
            let parts = join.filter.iter().flat_map(split_conjunction).map(|part| match part {
                Expr::ScalarFunction(call) if call.func.name() == AS_OF => {
                    let mut call = call.clone();
                    call.args.push(reads.clone());
                    Expr::ScalarFunction(call)
                }
                part => part.clone(),
            });
            let filter = conjunction(parts.collect::<Vec<_>>());
            let right = Arc::new(Noted::plan(join.right.as_ref().clone(), Note::Snapshot));
            Ok(Transformed::yes(LogicalPlan::Join(Join { filter, right, ..join })))
        }
        plan => Ok(Transformed::no(plan)),
    });
    Ok(tied?.data)
}
