//! Which partitions of a table a script reads.
//!
//! What must always hold: a partition is left out only if no scan of the script keeps a row of it.
//! The conditions are still asked of each row; leaving out is no more than not opening files.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::datasource::source_as_provider;
use datafusion::logical_expr::utils::{conjunction, disjunction, split_conjunction};
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan, lit};
use thalweg_plan::function::Transform;
use thalweg_types::{Error, Result};

use crate::catalog::{Table, recursive_relation, table_of};
use crate::expression::{Expression, Filter};
use crate::text::plan_error;

/// Returns the table that a scan reads.
pub(super) fn table(scan: &TableScan) -> Result<Arc<Table>> {
    let provider = source_as_provider(&scan.source).map_err(plan_error)?;
    table_of(provider.as_ref())
        .ok_or_else(|| Error::internal(format!("`{}` is no table of the catalog", scan.table_name)))
}

/// What the scans of each table keep of its partitions, in the order of the text.
pub(super) type Kept = BTreeMap<String, Vec<Expr>>;

/// Adds what the scans of `plan` keep.
pub(super) fn collect(plan: &LogicalPlan, kept: &mut Kept) -> Result<()> {
    let mut outcome = Ok(());
    let walked = plan.apply(|node| {
        let (scan, predicate) = match node {
            LogicalPlan::TableScan(scan) if recursive_relation(scan).is_some() => {
                return Ok(TreeNodeRecursion::Jump);
            }
            LogicalPlan::TableScan(scan) => (scan, None),
            LogicalPlan::Filter(filter) => match filter.input.as_ref() {
                LogicalPlan::TableScan(scan) if recursive_relation(scan).is_none() => {
                    (scan, Some(&filter.predicate))
                }
                _ => return Ok(TreeNodeRecursion::Continue),
            },
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        match table(scan) {
            Ok(table) => {
                let of_scan = predicate.and_then(|predicate| of_partitions(predicate, &table));
                kept.entry(table.name.clone()).or_default().push(of_scan.unwrap_or(lit(true)));
            }
            Err(error) => outcome = Err(error),
        }
        Ok(TreeNodeRecursion::Jump)
    });
    walked.map_err(plan_error)?;
    outcome
}

/// Returns the part of a condition that asks for nothing but partition columns.
fn of_partitions(predicate: &Expr, table: &Table) -> Option<Expr> {
    let is_partition = |column: &&Column| table.spec.partitions.contains(&column.name);
    let parts = split_conjunction(predicate).into_iter().filter(|part| {
        let columns = part.column_refs();
        !columns.is_empty() && columns.iter().all(is_partition) && !part.is_volatile()
    });
    conjunction(parts.cloned())
}

/// Returns the filter of a table's partitions; `None` if all are read.
///
/// # Errors
/// `Invalid` if a condition cannot be computed.
pub(super) fn filter(kept: &Kept, table: &Table) -> Result<Option<Arc<dyn Transform>>> {
    let mut scans = kept.get(&table.name).cloned().unwrap_or_default();
    if scans.contains(&lit(true)) {
        return Ok(None);
    }
    scans.dedup();
    let Some(any) = disjunction(scans) else { return Ok(None) };
    let plain = any.transform(|node| {
        Ok(match node {
            Expr::Column(column) => Transformed::yes(Expr::Column(Column::from_name(column.name))),
            node => Transformed::no(node),
        })
    });
    let fields = table.spec.partitions.iter().map(|name| table.spec.schema.field_with_name(name));
    let schema = Schema::new(fields.map(|field| Ok(field?.clone())).collect::<Result<Vec<_>>>()?);
    let rows = DFSchema::try_from(schema.clone()).map_err(plan_error)?;
    let condition = Expression::new(&plain.map_err(plan_error)?.data, &rows)?;
    let filter = Filter::new(condition, Arc::new(schema));
    Ok((!filter.is_processing_time()).then(|| Arc::new(filter) as _))
}
