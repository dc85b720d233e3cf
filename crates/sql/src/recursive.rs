//! The types of recursive relations.
//!
//! The planner gives a recursive relation the types that it sees in its first part, before it is known
//! what literals mean here: `1` is an INT, and not a BIGINT. So types are settled once more: those of the
//! first part, and where the second one makes wider values of them, those that take both.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Schema};
use datafusion::catalog::cte_worktable::CteWorkTable;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, plan_datafusion_err};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::type_coercion::binary::type_union_resolution;
use datafusion::logical_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Projection, RecursiveQuery, cast,
};

use crate::catalog::recursive_relation;
use crate::text::wrap;

/// How often types may become wider: each time may make others wider.
const TRIES: usize = 4;

/// Settles the types of the recursive relations of a plan; `analyze` says what a plan comes to mean.
///
/// # Errors
/// `Invalid` if the parts of a relation have no types in common.
pub(crate) fn settle(
    plan: LogicalPlan,
    analyze: &dyn Fn(LogicalPlan) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    if !plan.exists(|plan| Ok(matches!(plan, LogicalPlan::RecursiveQuery(_))))? {
        return Ok(plan);
    }
    let settled = plan.transform_up_with_subqueries(|plan| {
        Ok(Transformed::yes(match plan {
            LogicalPlan::RecursiveQuery(query) => {
                LogicalPlan::RecursiveQuery(settled(query, analyze)?)
            }
            plan => plan.recompute_schema()?,
        }))
    });
    Ok(settled?.data)
}

fn settled(
    query: RecursiveQuery,
    analyze: &dyn Fn(LogicalPlan) -> Result<LogicalPlan>,
) -> Result<RecursiveQuery> {
    let RecursiveQuery { name, static_term, recursive_term, is_distinct, .. } = query;
    let mut first = Arc::unwrap_or_clone(static_term);
    for _ in 0..TRIES {
        let given = analyze(first.clone())?;
        let mut second = reading(recursive_term.as_ref().clone(), &name, given.schema())?;
        let made = analyze(second.clone())?;
        let (given, made) = (kinds(&given), kinds(&made));
        let both = common(&name, &given, &made)?;
        if both == given {
            if made != both {
                second = widened(second, &both)?;
            }
            let (first, second) = (Arc::new(first), Arc::new(second));
            let query = RecursiveQuery::try_new(name, first, second, is_distinct)?;
            return Ok(RecursiveQuery {
                schema: Arc::new(of_types(&query.schema, &both)?),
                ..query
            });
        }
        first = widened(first, &both)?;
    }
    let said = format!("the types of `{name}` become wider with each round");
    Err(wrap(thalweg_types::Error::invalid(said).remedy("CAST the columns of its second part")))
}

/// Lets a plan read the relation `name` with the columns of a schema.
fn reading(plan: LogicalPlan, name: &str, schema: &DFSchema) -> Result<LogicalPlan> {
    let reading = plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::TableScan(scan) = &plan else {
            return plan.recompute_schema().map(Transformed::yes);
        };
        if recursive_relation(scan).as_deref() != Some(name) {
            return Ok(Transformed::no(plan));
        }
        let known = scan.source.schema();
        let fields = known.fields().iter().zip(schema.fields());
        let fields = fields
            .map(|(known, field)| known.as_ref().clone().with_data_type(field.data_type().clone()));
        let table = CteWorkTable::new(name, Arc::new(Schema::new(fields.collect::<Vec<_>>())));
        let source = provider_as_source(Arc::new(table));
        let scan = LogicalPlanBuilder::scan(scan.table_name.clone(), source, None)?;
        scan.build().map(Transformed::yes)
    });
    Ok(reading?.data)
}

/// Returns a schema with other types. That of the parts as they are says BIGINT where a literal is INT.
fn of_types(schema: &DFSchema, kinds: &[DataType]) -> Result<DFSchema> {
    let fields = schema.iter().zip(kinds).map(|((table, field), kind)| {
        (table.cloned(), Arc::new(field.as_ref().clone().with_data_type(kind.clone())))
    });
    DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())
}

fn kinds(plan: &LogicalPlan) -> Vec<DataType> {
    plan.schema().fields().iter().map(|field| field.data_type().clone()).collect()
}

/// Returns types that take the values of both.
fn common(name: &str, given: &[DataType], made: &[DataType]) -> Result<Vec<DataType>> {
    let both = given.iter().zip(made).map(|(given, made)| {
        if given == made {
            return Ok(given.clone());
        }
        type_union_resolution(&[given.clone(), made.clone()]).ok_or_else(|| {
            plan_datafusion_err!(
                "a column of `{name}` is {given} in its first part and {made} in its second"
            )
        })
    });
    both.collect()
}

/// Casts the columns of a plan, under their names.
fn widened(plan: LogicalPlan, kinds: &[DataType]) -> Result<LogicalPlan> {
    let exprs = plan.schema().iter().zip(kinds).map(|((table, field), kind)| {
        cast(Expr::from((table, field)), kind.clone()).alias_qualified(table.cloned(), field.name())
    });
    let exprs = exprs.collect();
    Projection::try_new(exprs, Arc::new(plan)).map(LogicalPlan::Projection)
}
