//! `OptimizeProjections` for streams: an aggregation without keys has no row before its input has one.
//!
//! In a batch there is always one row, so DataFusion puts a constant in the place of an aggregation of
//! which nothing is read. While columns are left out, such an aggregation has a constant for its
//! key, so that it stays, and says no more than whether there are rows.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

const KEY: &str = "__one_group";

/// Leaves columns out that nobody reads.
#[derive(Debug, Default)]
pub(crate) struct LeaveOutColumns(OptimizeProjections);

impl OptimizerRule for LeaveOutColumns {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let keyed = plan.transform_up_with_subqueries(keyed)?;
        if !keyed.transformed {
            return self.0.rewrite(keyed.data, config);
        }
        let fewer = self.0.rewrite(keyed.data, config)?;
        fewer.transform_data(|plan| plan.transform_up_with_subqueries(unkeyed))
    }
}

/// Gives an aggregation without keys one.
fn keyed(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Aggregate(one) if one.group_expr.is_empty() => {
            let columns = one.schema.columns().into_iter().map(Expr::Column);
            let key = vec![lit(true).alias(KEY)];
            let many = Aggregate::try_new(one.input, key, one.aggr_expr)?;
            let many = LogicalPlanBuilder::from(LogicalPlan::Aggregate(many));
            Ok(Transformed::yes(many.project(columns)?.build()?))
        }
        plan => Ok(Transformed::no(plan)),
    }
}

/// Takes the key away, unless nothing else is left.
fn unkeyed(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Aggregate(many) if is_keyed(&many) && !many.aggr_expr.is_empty() => {
            let one = Aggregate::try_new(many.input, Vec::new(), many.aggr_expr)?;
            Ok(Transformed::yes(LogicalPlan::Aggregate(one)))
        }
        LogicalPlan::Projection(projection) => match projection.input.as_ref() {
            LogicalPlan::Aggregate(one)
                if one.group_expr.is_empty() && is_all(&projection.expr, &one.schema) =>
            {
                Ok(Transformed::yes(Arc::unwrap_or_clone(projection.input)))
            }
            _ => Ok(Transformed::no(LogicalPlan::Projection(projection))),
        },
        plan => Ok(Transformed::no(plan)),
    }
}

fn is_keyed(aggregate: &Aggregate) -> bool {
    matches!(aggregate.group_expr.as_slice(), [Expr::Alias(alias)] if alias.name == KEY)
}

/// Are these all columns of a schema, and nothing else?
fn is_all(exprs: &[Expr], schema: &DFSchema) -> bool {
    let columns = schema.columns().into_iter().map(Expr::Column);
    columns.eq(exprs.iter().cloned())
}
