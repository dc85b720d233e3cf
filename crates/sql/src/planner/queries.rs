//! Queries as logical plans, less what no stream can do.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery};
use datafusion::sql::sqlparser::tokenizer::TokenWithSpan;
use thalweg_types::{Error, Result};

use crate::session::Session;
use crate::text::{RELATIONAL, place_in_plan, plan_error, to_come, wrap};

/// Plans a query.
///
/// # Errors
/// `Invalid`, at the place in the text.
pub(super) fn query(session: &Session, tokens: &[TokenWithSpan]) -> Result<LogicalPlan> {
    let plan = session.query(tokens)?;
    refuse_subqueries(&plan)?;
    Ok(plan)
}

/// A sub-query inside an expression is a join in disguise, and one with an updating side.
fn refuse_subqueries(plan: &LogicalPlan) -> Result<()> {
    let walked = plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| match subquery_of(expr) {
                None => Ok(TreeNodeRecursion::Continue),
                Some(subquery) => Err(wrap(refusal(subquery))),
            })
        })
    });
    walked.map(|_| ()).map_err(plan_error)
}

fn refusal(subquery: &Subquery) -> Error {
    let what = "a sub-query inside an expression is";
    let error = to_come(RELATIONAL, what, "sub-queries may stand in FROM");
    match subquery.spans.first() {
        Some(span) => error.at(place_in_plan(span)),
        None => error,
    }
}

fn subquery_of(expr: &Expr) -> Option<&Subquery> {
    match expr {
        Expr::ScalarSubquery(subquery) => Some(subquery),
        Expr::InSubquery(test) => Some(&test.subquery),
        Expr::Exists(test) => Some(&test.subquery),
        Expr::SetComparison(test) => Some(&test.subquery),
        _ => None,
    }
}
