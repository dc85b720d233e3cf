//! `x NOT IN (SELECT y …)` where one of the two can be NULL, as `NOT EXISTS`: there is no row of which
//! `x = y` is not false.
//!
//! The planner would keep `x = y` as the condition of a join, where it takes NULL for false as soon as a
//! constant or another condition comes in. Only what a `WHERE` asks to be true is replaced, since
//! there NULL and false are the same.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
};

const VALUE: &str = "__not_in";

/// Replaces them in the conditions of a plan.
///
/// # Errors
/// Whatever the planner says of the parts.
pub(crate) fn as_exists(plan: LogicalPlan) -> Result<LogicalPlan> {
    let replaced = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Filter(filter) => {
            let predicate = asked(filter.predicate, filter.input.schema())?;
            let plan = LogicalPlan::Filter(Filter::try_new(predicate.data, filter.input)?);
            Ok(Transformed::new_transformed(plan, predicate.transformed))
        }
        plan => Ok(Transformed::no(plan)),
    });
    Ok(replaced?.data)
}

/// Replaces them in what is asked to be true.
fn asked(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let (left, right) = (asked(*left, schema)?, asked(*right, schema)?);
            let is_changed = left.transformed || right.transformed;
            let both = BinaryExpr::new(Box::new(left.data), op, Box::new(right.data));
            Ok(Transformed::new_transformed(Expr::BinaryExpr(both), is_changed))
        }
        Expr::InSubquery(member) if may_be_null(&member, schema)? => {
            Ok(Transformed::yes(exists(member, schema)?))
        }
        expr => Ok(Transformed::no(expr)),
    }
}

fn may_be_null(member: &InSubquery, schema: &DFSchema) -> Result<bool> {
    let is_plain = member.negated && !member.expr.contains_outer();
    let value = member.subquery.subquery.schema().field(0);
    Ok(is_plain && (value.is_nullable() || member.expr.nullable(schema)?))
}

fn exists(member: InSubquery, schema: &DFSchema) -> Result<Expr> {
    let outer = member.expr.transform_up(|expr| match expr {
        Expr::Column(column) => {
            let (_, field) = schema.qualified_field_from_column(&column)?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column)))
        }
        expr => Ok(Transformed::no(expr)),
    })?;
    let query = member.subquery.subquery;
    let value = Expr::from(query.schema().qualified_field(0)).alias(VALUE);
    let equal = outer.data.eq(Expr::Column(Column::new_unqualified(VALUE)));
    let query = LogicalPlanBuilder::from(query)
        .project([value])?
        .filter(Expr::IsNotFalse(Box::new(equal)))?
        .build()?;
    let outer_ref_columns = query.all_out_ref_exprs();
    let subquery =
        Subquery { subquery: Arc::new(query), outer_ref_columns, spans: member.subquery.spans };
    Ok(Expr::Exists(Exists { subquery, negated: true }))
}
