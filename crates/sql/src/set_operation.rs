//! `INTERSECT ALL` and `EXCEPT ALL`: how often a row is on each side decides how often it is in the
//! result, the lesser of the two or their difference.
//!
//! The planner makes of them the same joins as of the distinct forms, which are right for those only.
//! Here they become what they mean: rows of both sides counted together, and put out again so often.

use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::functions::expr_fn::least;
use datafusion::functions_aggregate::expr_fn::sum;
use datafusion::functions_nested::expr_fn::array_repeat;
use datafusion::logical_expr::{Distinct, Expr, Join, LogicalPlan, LogicalPlanBuilder, cast, lit};

const LEFT: &str = "__left";
const RIGHT: &str = "__right";
const COPY: &str = "__copy";

/// Counts rows where the planner joins them.
///
/// # Errors
/// Whatever the planner says of the parts.
pub(crate) fn count(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan.transform_up_with_subqueries(in_node)?.data)
}

fn in_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match &plan {
        LogicalPlan::Join(join) if is_all(join) => Ok(Transformed::yes(counted(join)?)),
        _ => Ok(Transformed::no(plan)),
    }
}

/// Nothing else is joined on all columns so that NULL equals NULL before the plan is optimised.
fn is_all(join: &Join) -> bool {
    let is_set = matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti);
    let is_distinct = matches!(join.left.as_ref(), LogicalPlan::Distinct(Distinct::All(_)));
    let all = join.on.len() == join.left.schema().fields().len();
    is_set && all && !is_distinct && join.null_equality == NullEquality::NullEqualsNull
}

fn counted(join: &Join) -> Result<LogicalPlan> {
    let names: Vec<String> = (0..join.on.len()).map(|column| format!("__c{column}")).collect();
    let side = |plan: &Arc<LogicalPlan>, is_left: bool| {
        let columns = plan.schema().columns().into_iter().map(Expr::Column);
        let named = columns.zip(&names).map(|(column, name)| column.alias(name));
        let counts = [lit(i64::from(is_left)).alias(LEFT), lit(i64::from(!is_left)).alias(RIGHT)];
        LogicalPlanBuilder::from(plan.as_ref().clone()).project(named.chain(counts))?.build()
    };
    let column = |name: &str| Expr::Column(Column::from_name(name));
    let both =
        LogicalPlanBuilder::from(side(&join.left, true)?).union(side(&join.right, false)?)?;
    let sums = [LEFT, RIGHT].map(|name| sum(column(name)).alias(name));
    let counted = both.aggregate(names.iter().map(|name| column(name)), sums)?;
    let (left, right) = (column(LEFT), column(RIGHT));
    let copies = match join.join_type {
        JoinType::LeftSemi => least(vec![left, right]),
        _ => left - right,
    };
    let copies = array_repeat(lit(true), cast(copies, DataType::Int64)).alias(COPY);
    let columns = names.iter().map(|name| column(name)).chain([copies]);
    let fields =
        join.left.schema().iter().zip(&names).map(|((table, field), name)| {
            column(name).alias_qualified(table.cloned(), field.name())
        });
    counted.project(columns)?.unnest_column(COPY)?.project(fields)?.build()
}
