//! Scalar sub-queries that depend on no row around them, as joins: `x > (SELECT AVG(y) FROM t)`.
//!
//! Invariant: the sub-query has one row at most, so each row meets one value, or NULL; whoever could
//! have more is refused. Correlated ones are the planner's own work.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinConstraint, JoinType, NullEquality, Result};
use datafusion::logical_expr::{
    Expr, Join, LogicalPlan, LogicalPlanBuilder, Subquery, SubqueryAlias,
};

use crate::text::wrap;

/// Puts joins in the place of scalar sub-queries.
///
/// # Errors
/// `Invalid`, wrapped, if a sub-query can have several rows.
pub(crate) fn join(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut number = 0;
    Ok(plan.transform_up_with_subqueries(|plan| in_node(plan, &mut number))?.data)
}

fn in_node(plan: LogicalPlan, number: &mut usize) -> Result<Transformed<LogicalPlan>> {
    if !matches!(
        plan,
        LogicalPlan::Filter(_) | LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_)
    ) {
        return Ok(Transformed::no(plan));
    }
    let mut found: Vec<(Subquery, Column)> = Vec::new();
    let exprs = plan.expressions().into_iter().map(|expr| {
        let name = expr.schema_name().to_string();
        let replaced = expr.transform_down(|expr| replace(expr, &mut found, number))?;
        // What refers to the column by its old text must find it.
        Ok(match replaced.transformed && !matches!(plan, LogicalPlan::Filter(_)) {
            true => replaced.data.alias_if_changed(name)?,
            false => replaced.data,
        })
    });
    let exprs = exprs.collect::<Result<Vec<Expr>>>()?;
    if found.is_empty() {
        return Ok(Transformed::no(plan));
    }
    let mut input = plan.inputs()[0].clone();
    let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    for (subquery, column) in found {
        let query = subquery.subquery.as_ref().clone();
        let name = column.relation.clone().expect("the column is of the sub-query");
        let query = LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(query), name)?);
        input = LogicalPlan::Join(Join::try_new(
            Arc::new(input),
            Arc::new(query),
            Vec::new(),
            None,
            JoinType::Left,
            JoinConstraint::On,
            NullEquality::NullEqualsNothing,
            false,
        )?);
    }
    let is_filter = matches!(plan, LogicalPlan::Filter(_));
    let joined = plan.with_new_exprs(exprs, vec![input])?;
    Ok(Transformed::yes(match is_filter {
        true => LogicalPlanBuilder::from(joined).project(columns)?.build()?,
        false => joined,
    }))
}

fn replace(
    expr: Expr,
    found: &mut Vec<(Subquery, Column)>,
    number: &mut usize,
) -> Result<Transformed<Expr>> {
    let Expr::ScalarSubquery(subquery) = &expr else { return Ok(Transformed::no(expr)) };
    if !subquery.outer_ref_columns.is_empty() {
        return Ok(Transformed::no(expr));
    }
    if !is_one_row(&subquery.subquery) {
        let error = thalweg_types::Error::invalid("this sub-query can have more than one row")
            .remedy("take an aggregate of it (MAX, MIN, …)");
        let error = match subquery.spans.first() {
            Some(span) => error.at(crate::text::place_in_plan(span)),
            None => error,
        };
        return Err(wrap(error));
    }
    *number += 1;
    let name = subquery.subquery.schema().field(0).name().clone();
    let column = Column::new(Some(format!("__scalar_{number}")), name);
    found.push((subquery.clone(), column.clone()));
    Ok(Transformed::yes(Expr::Column(column)))
}

/// Does a query have one row at most?
fn is_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::Projection(projection) => is_one_row(&projection.input),
        LogicalPlan::Filter(filter) => is_one_row(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => is_one_row(&alias.input),
        LogicalPlan::Values(values) => values.values.len() <= 1,
        LogicalPlan::EmptyRelation(_) => true,
        _ => false,
    }
}
