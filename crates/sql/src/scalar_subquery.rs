//! Scalar sub-queries as joins: `x > (SELECT AVG(y) FROM t)`.
//!
//! Invariants: the sub-query has one row at most, so each row meets one value, or NULL; whoever could
//! have more is refused. Correlated ones are the planner's own work, prepared for it, and refused
//! where it gives up. Both can be NULL, whatever the sub-query's column says, and so can what is made
//! of them in the queries around.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinConstraint, JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    Aggregate, Expr, Join, LogicalPlan, LogicalPlanBuilder, Subquery, SubqueryAlias, Union, lit,
    when,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};
use thalweg_types::Error;

use crate::text::{place_in_plan, wrap};

/// Puts joins in the place of scalar sub-queries.
///
/// # Errors
/// `Invalid`, wrapped, if a sub-query can have several rows.
pub(crate) fn join(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut number = 0;
    let joined = plan.transform_up_with_subqueries(|plan| in_node(plan, &mut number))?;
    if !joined.transformed {
        return Ok(joined.data);
    }
    Ok(joined.data.transform_up_with_subqueries(with_nulls)?.data)
}

/// Lets the columns of a node be NULL where those below it can be.
fn with_nulls(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let plan = match plan {
        LogicalPlan::Union(union) => {
            LogicalPlan::Union(Union::try_new_with_loose_types(union.inputs)?)
        }
        plan => plan.recompute_schema()?,
    };
    Ok(Transformed::yes(plan))
}

fn in_node(plan: LogicalPlan, number: &mut usize) -> Result<Transformed<LogicalPlan>> {
    if !matches!(
        plan,
        LogicalPlan::Filter(_) | LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_)
    ) {
        return Ok(Transformed::no(plan));
    }
    let mut found: Vec<(Subquery, Column)> = Vec::new();
    let mut is_changed = false;
    let exprs = plan.expressions().into_iter().map(|expr| {
        let name = expr.schema_name().to_string();
        let replaced = expr.transform_down(|expr| replace(expr, &mut found, number))?;
        is_changed |= replaced.transformed;
        // What refers to the column by its old text must find it.
        Ok(match replaced.transformed && !matches!(plan, LogicalPlan::Filter(_)) {
            true => replaced.data.alias_if_changed(name)?,
            false => replaced.data,
        })
    });
    let exprs = exprs.collect::<Result<Vec<Expr>>>()?;
    if !is_changed {
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
        return correlated(subquery, number);
    }
    if !is_one_row(&subquery.subquery) {
        let error = Error::invalid("this sub-query can have more than one row")
            .remedy("take an aggregate of it (MAX, MIN, …)");
        return Err(wrap(located(error, subquery)));
    }
    *number += 1;
    let name = subquery.subquery.schema().field(0).name().clone();
    let column = Column::new(Some(format!("__scalar_{number}")), name);
    found.push((subquery.clone(), column.clone()));
    Ok(Transformed::yes(Expr::Column(column)))
}

/// Makes a correlated sub-query one that the planner can join, and lets it be NULL: the planner
/// believes its column, but there may be no row.
fn correlated(subquery: &Subquery, number: &mut usize) -> Result<Transformed<Expr>> {
    let query = subquery.subquery.as_ref().clone();
    let tied = query.transform_down(|plan| match plan {
        LogicalPlan::Aggregate(all) => {
            let input = all.input.as_ref().clone().transform_down(|plan| tied(plan, number))?;
            let all = Aggregate::try_new(Arc::new(input.data), all.group_expr, all.aggr_expr)?;
            Ok(Transformed::new(LogicalPlan::Aggregate(all), true, TreeNodeRecursion::Jump))
        }
        plan => Ok(Transformed::no(plan)),
    })?;
    let query = subquery.with_plan(Arc::new(tied.data.recompute_schema()?));
    let expr = when(lit(true), Expr::ScalarSubquery(query)).end()?;
    Ok(Transformed::new(expr, true, TreeNodeRecursion::Jump))
}

/// Compares conditions on nothing but the row around with a column that is true: below an aggregate
/// the planner joins by what columns are equal to, and by nothing else.
fn tied(plan: LogicalPlan, number: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Filter(filter) = plan else { return Ok(Transformed::no(plan)) };
    let (outer, mut own): (Vec<Expr>, Vec<Expr>) = split_conjunction_owned(filter.predicate)
        .into_iter()
        .partition(|part| part.contains_outer() && !part.any_column_refs());
    let mut input = LogicalPlanBuilder::from(filter.input);
    if let Some(outer) = conjunction(outer) {
        *number += 1;
        let name = format!("__true_{number}");
        let columns = input.schema().columns().into_iter().map(Expr::Column);
        let columns: Vec<Expr> = columns.chain([lit(true).alias(&name)]).collect();
        input = input.project(columns)?;
        own.push(Expr::Column(Column::new_unqualified(name)).eq(outer));
    }
    let predicate = conjunction(own).expect("a condition has parts");
    Ok(Transformed::yes(input.filter(predicate)?.build()?))
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

/// The rule of the planner's that makes correlated scalar sub-queries joins.
#[derive(Debug)]
pub(crate) struct JoinScalars {
    rule: ScalarSubqueryToJoin,
    /// Is it an error if the rule gives up? What other rules do to such a query is wrong.
    refuses: bool,
}

impl JoinScalars {
    /// Returns the rule that leaves what it cannot do.
    pub(crate) fn if_possible() -> JoinScalars {
        JoinScalars { rule: ScalarSubqueryToJoin::new(), refuses: false }
    }

    /// Returns the rule that refuses what it cannot do.
    pub(crate) fn or_refuse() -> JoinScalars {
        JoinScalars { refuses: true, ..JoinScalars::if_possible() }
    }
}

impl OptimizerRule for JoinScalars {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let joined = self.rule.rewrite(plan, config)?;
        if self.refuses && !joined.transformed {
            for expr in joined.data.expressions() {
                expr.apply(|expr| match expr {
                    Expr::ScalarSubquery(subquery) => Err(wrap(refused(subquery))),
                    _ => Ok(TreeNodeRecursion::Continue),
                })?;
            }
        }
        Ok(joined)
    }
}

fn refused(subquery: &Subquery) -> Error {
    let error = Error::invalid("this correlated sub-query is not supported").remedy(
        "compare columns of its own with `=` to those of the row around it, and nothing else, or \
         write a join",
    );
    located(error, subquery)
}

/// Says where a sub-query is.
fn located(error: Error, subquery: &Subquery) -> Error {
    match subquery.spans.first() {
        Some(span) => error.at(place_in_plan(span)),
        None => error,
    }
}
