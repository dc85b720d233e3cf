//! `GROUPING SETS`, `CUBE` and `ROLLUP`: a row for each set that it is grouped by.
//!
//! Invariants: a row comes once for each set; in it the columns that the set does not group by are
//! NULL, and a number tells the set from all others, since such a NULL is not one of the data. The
//! columns as they were stay in front, for the aggregates.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::array::{UInt64Array, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::utils::grouping_set_to_exprlist;
use datafusion::logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan, LogicalPlanBuilder};
use thalweg_plan::function::Transform;
use thalweg_types::{Change, Error, Moment, Result};

use crate::expression::{column_name, rows_of};
use crate::text::plan_error;

/// Columns of a `CUBE`: each row becomes as many as it has subsets.
const CUBE_MAX: usize = 10;

/// The sets of a `GROUP BY`.
#[derive(Clone, Debug)]
pub(crate) struct Sets {
    /// All that is grouped by, each once.
    pub(crate) exprs: Vec<Expr>,
    /// For each set, which of those it groups by.
    members: Vec<Vec<bool>>,
    /// The number of each set, as DataFusion's `GROUPING` reads it.
    numbers: Vec<u64>,
    /// Its type.
    number: DataType,
}

impl Sets {
    /// Returns the sets of an aggregation, if it has some.
    ///
    /// # Errors
    /// `Invalid` if DataFusion cannot list them.
    pub(crate) fn of(aggregate: &Aggregate) -> Result<Option<Sets>> {
        let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() else { return Ok(None) };
        let listed = listed(sets)?;
        let all = grouping_set_to_exprlist(&aggregate.group_expr);
        let exprs: Vec<Expr> = all.map_err(plan_error)?.into_iter().cloned().collect();
        let has = |set: &Vec<Expr>| exprs.iter().map(|expr| set.contains(expr)).collect();
        let members: Vec<Vec<bool>> = listed.iter().map(has).collect();
        let numbers = (0..members.len()).map(|at| {
            // The first column is the highest bit; above all, how many equal sets came before.
            let absent = members[at].iter().fold(0, |bits, has| bits << 1 | u64::from(!has));
            let before = members[..at].iter().filter(|set| **set == members[at]).count() as u64;
            before.checked_shl(exprs.len() as u32).unwrap_or(0) | absent
        });
        let numbers = numbers.collect();
        let number = aggregate.schema.field_with_name(None, Aggregate::INTERNAL_GROUPING_ID);
        let number = number.map_err(plan_error)?.data_type().clone();
        Ok(Some(Sets { exprs, members, numbers, number }))
    }

    /// Do all sets group by `expr`?
    pub(crate) fn all_have(&self, expr: &Expr) -> bool {
        let at = self.exprs.iter().position(|known| known == expr);
        at.is_some_and(|at| self.members.iter().all(|set| set[at]))
    }

    /// Returns the function that makes the rows of each set: behind the columns of `input` stand some
    /// of those again, which hold `grouped` ones of [`Sets::exprs`], NULL where the set has it not; and
    /// behind these the number of the set.
    pub(crate) fn expand(
        &self,
        input: &Schema,
        grouped: &[usize],
        columns: &[usize],
    ) -> ExpandSets {
        let keys = columns.iter().map(|column| input.field(*column).clone().with_nullable(true));
        // State of other sets must not go on as that of these.
        let number = Field::new(self.to_string(), self.number.clone(), false);
        let fields = input.fields().iter().map(|field| field.as_ref().clone());
        let fields = fields.chain(keys).chain([number]).collect::<Vec<_>>();
        ExpandSets {
            sets: self.clone(),
            columns: grouped.iter().copied().zip(columns.iter().copied()).collect(),
            schema: Arc::new(Schema::new(fields)),
        }
    }
}

impl fmt::Display for Sets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sets = self.members.iter().map(|members| {
            let names = self.exprs.iter().zip(members).filter(|(_, is_member)| **is_member);
            let names = names.map(|(expr, _)| column_name(expr));
            format!("({})", names.collect::<Vec<_>>().join(", "))
        });
        write!(f, "grouping sets {}", sets.collect::<Vec<_>>().join(", "))
    }
}

/// Returns a plan in which sets are of columns: what they compute is computed before. DataFusion would
/// else name a set anew where it coerces a type in it.
pub(crate) fn of_columns(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let step = |node| match node {
        LogicalPlan::Aggregate(aggregate)
            if matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]) =>
        {
            computed_before(aggregate).map(Transformed::yes)
        }
        other => Ok(Transformed::no(other)),
    };
    plan.transform_up_with_subqueries(step).data()
}

fn computed_before(aggregate: Aggregate) -> Result<LogicalPlan, DataFusionError> {
    let grouped = grouping_set_to_exprlist(&aggregate.group_expr)?.into_iter();
    let computed: Vec<Expr> =
        grouped.filter(|expr| !matches!(expr, Expr::Column(_))).cloned().collect();
    if computed.is_empty() {
        return Ok(LogicalPlan::Aggregate(aggregate));
    }
    let columns = aggregate.input.schema().columns().into_iter().map(Expr::Column);
    // With the names that they have behind the aggregation, nothing above it changes.
    let name = |expr: &Expr| expr.schema_name().to_string();
    let named = computed.iter().map(|expr| expr.clone().alias(name(expr)));
    let input = LogicalPlanBuilder::from(aggregate.input).project(columns.chain(named))?.build()?;
    let by_column = |exprs: Vec<Expr>| {
        let exprs = exprs.into_iter().map(|expr| {
            let replaced = expr.transform_down(|expr| match computed.contains(&expr) {
                true => Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name(&expr))))),
                false => Ok(Transformed::no(expr)),
            });
            replaced.data()
        });
        exprs.collect::<Result<Vec<Expr>, DataFusionError>>()
    };
    let (groups, calls) = (by_column(aggregate.group_expr)?, by_column(aggregate.aggr_expr)?);
    Aggregate::try_new(Arc::new(input), groups, calls).map(LogicalPlan::Aggregate)
}

/// Returns the sets as `GROUPING SETS` would list them.
fn listed(sets: &GroupingSet) -> Result<Vec<Vec<Expr>>> {
    Ok(match sets {
        GroupingSet::GroupingSets(sets) => sets.clone(),
        GroupingSet::Rollup(exprs) => {
            (0..=exprs.len()).rev().map(|length| exprs[..length].to_vec()).collect()
        }
        GroupingSet::Cube(exprs) if exprs.len() > CUBE_MAX => {
            let error = Error::invalid(format!("CUBE of more than {CUBE_MAX} columns"));
            return Err(error.remedy("list the sets that are needed: GROUPING SETS ((a, b), (a))"));
        }
        GroupingSet::Cube(exprs) => {
            let subset = |bits: u64| {
                let members = exprs.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 0);
                members.map(|(_, expr)| expr.clone()).collect()
            };
            (0..1 << exprs.len()).map(subset).collect()
        }
    })
}

/// Makes a row for each set.
#[derive(Debug)]
pub(crate) struct ExpandSets {
    sets: Sets,
    /// What is grouped by, and the column that holds it.
    columns: Vec<(usize, usize)>,
    schema: SchemaRef,
}

impl Transform for ExpandSets {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let rows = input.len();
        for (members, number) in self.sets.members.iter().zip(&self.sets.numbers) {
            let keys = self.columns.iter().map(|(at, column)| {
                let column = input.rows.column(*column);
                match members[*at] {
                    true => column.clone(),
                    false => new_null_array(column.data_type(), rows),
                }
            });
            let numbers = cast(&UInt64Array::from(vec![*number; rows]), &self.sets.number)?;
            let columns = input.rows.columns().iter().cloned().chain(keys).chain([numbers]);
            let rows = rows_of(&self.schema, columns.collect(), rows)?;
            out.push(Change { rows, weights: input.weights.clone() });
        }
        Ok(())
    }

    fn explain(&self) -> String {
        self.sets.to_string()
    }

    fn describe(&self) -> Option<String> {
        Some(format!("makes a row for each of the {}", self.sets))
    }
}
