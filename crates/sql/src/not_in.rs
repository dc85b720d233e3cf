//! `x NOT IN (SELECT y …)` where one of the two can be NULL, as `NOT EXISTS`.
//!
//! It is true if there is no row of which `x = y` is not false. That is cut in two, so that rows meet by their
//! values: there is no row of which `x = y` is true, and there are no rows at all, or neither `x` nor any
//! `y` is NULL. Both are never NULL, so it holds below an `OR`, too. A sub-query whose columns are equal to those of
//! the row around it has other rows for each of their values: of these it is said the same, by the key. Where it
//! is tied to that row in another way, each row is compared with all that it is tied to. So it is where
//! times are equal: such rows may be kept for a while only, and what is counted by time is kept for ever.
//!
//! The planner would keep `x = y` as the condition of a join, where it takes NULL for false as soon as a
//! constant or another condition comes in. Only what a `WHERE` asks to be true is replaced, since
//! there NULL and false are the same.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ExprSchema, Result};
use datafusion::functions::core::expr_fn::coalesce;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
    lit, when,
};

const VALUE: &str = "__not_in";
const ROWS: &str = "__rows";
const VALUES: &str = "__values";

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
            Ok(Transformed::yes(match is_told_by_keys(&member.subquery.subquery) {
                true => among_values(&member)?.and(exists(member, schema, |equal| equal)?),
                false => exists(member, schema, |equal| Expr::IsNotFalse(Box::new(equal)))?,
            }))
        }
        expr => Ok(Transformed::no(expr)),
    }
}

fn may_be_null(member: &InSubquery, schema: &DFSchema) -> Result<bool> {
    let is_plain = member.negated && !member.expr.contains_outer();
    let value = member.subquery.subquery.schema().field(0);
    Ok(is_plain && (value.is_nullable() || member.expr.nullable(schema)?))
}

/// Is all that a query has to do with the row around it that columns are equal to its columns? Then its
/// rows can be counted by these.
fn is_told_by_keys(query: &LogicalPlan) -> bool {
    match query {
        query if query.all_out_ref_exprs().is_empty() => true,
        LogicalPlan::Projection(projection) => {
            !projection.expr.iter().any(Expr::contains_outer) && is_told_by_keys(&projection.input)
        }
        LogicalPlan::SubqueryAlias(alias) => is_told_by_keys(&alias.input),
        LogicalPlan::Filter(filter) => {
            let mut ties = split_conjunction(&filter.predicate).into_iter();
            let is_key =
                |expr: &Expr| !expr.contains_outer() || is_key(expr, filter.input.schema());
            ties.all(is_key) && is_told_by_keys(&filter.input)
        }
        _ => false,
    }
}

/// Is a column equal to one of the row around it? One type has one value that is equal, and no time that
/// says how long rows are kept.
fn is_key(expr: &Expr, schema: &DFSchema) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = expr else { return false };
    let (own, outer) = match (left.as_ref(), right.as_ref()) {
        (Expr::Column(own), Expr::OuterReferenceColumn(outer, _))
        | (Expr::OuterReferenceColumn(outer, _), Expr::Column(own)) => (own, outer.data_type()),
        _ => return false,
    };
    let is_time = matches!(outer, DataType::Timestamp(_, _));
    !is_time && schema.field_from_column(own).is_ok_and(|field| field.data_type() == outer)
}

/// How many values a sub-query has, as far as it matters.
const NONE: i64 = 0;
const SOME: i64 = 1;
const SOME_NULL: i64 = 2;

/// Says that there are no values, or that neither `x` nor any of them is NULL.
fn among_values(member: &InSubquery) -> Result<Expr> {
    let query = member.subquery.subquery.as_ref().clone();
    let value = Expr::from(query.schema().qualified_field(0)).alias(VALUE);
    let column = |name: &str| Expr::Column(Column::new_unqualified(name));
    let counts = [count(lit(1_i64)).alias(ROWS), count(column(VALUE)).alias(VALUES)];
    let what = when(column(ROWS).eq(lit(0_i64)), lit(NONE))
        .when(column(ROWS).gt(column(VALUES)), lit(SOME_NULL))
        .otherwise(lit(SOME))?;
    let query = LogicalPlanBuilder::from(query)
        .project([value])?
        .aggregate(Vec::<Expr>::new(), counts)?
        .project([what.alias(VALUES)])?
        .build()?;
    let (outer_ref_columns, spans) = (query.all_out_ref_exprs(), member.subquery.spans.clone());
    let query = Subquery { subquery: Arc::new(query), outer_ref_columns, spans };
    // Of no rows there is no count either.
    let what = coalesce(vec![Expr::ScalarSubquery(query), lit(NONE)]);
    let least_wrong =
        when(member.expr.as_ref().clone().is_null(), lit(SOME)).otherwise(lit(SOME_NULL))?;
    Ok(what.lt(least_wrong))
}

/// Says that there is no row of which what `test` makes of `x = y` is true.
fn exists(member: InSubquery, schema: &DFSchema, test: fn(Expr) -> Expr) -> Result<Expr> {
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
    let query = LogicalPlanBuilder::from(query).project([value])?.filter(test(equal))?.build()?;
    let outer_ref_columns = query.all_out_ref_exprs();
    let subquery =
        Subquery { subquery: Arc::new(query), outer_ref_columns, spans: member.subquery.spans };
    Ok(Expr::Exists(Exists { subquery, negated: true }))
}
