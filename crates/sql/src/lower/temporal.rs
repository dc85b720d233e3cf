//! Joins with versions of a table: `FOR SYSTEM_TIME AS OF`.

use std::collections::BTreeSet;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};
use thalweg_plan::join::{JoinKind, TemporalJoinNode, Versions};
use thalweg_types::{Error, Result};

use super::{Role, Stream, column_of};
use crate::as_of::time_of;
use crate::text::plan_error;

/// Returns the table below conditions that were moved to it, and those conditions.
pub(super) fn peel(plan: &LogicalPlan) -> (&LogicalPlan, Vec<Expr>) {
    match plan {
        LogicalPlan::Filter(filter) => {
            let (table, mut asked) = peel(&filter.input);
            asked.push(filter.predicate.clone());
            (table, asked)
        }
        LogicalPlan::Projection(projection)
            if projection.expr.iter().all(|expr| matches!(expr, Expr::Column(_))) =>
        {
            peel(&projection.input)
        }
        _ => (plan, Vec::new()),
    }
}

/// Adds the bounded tables without a watermark that such joins read: their end must be known.
///
/// # Errors
/// `Internal` if a scan is of no table.
pub(super) fn collect_awaited(plan: &LogicalPlan, awaited: &mut BTreeSet<String>) -> Result<()> {
    let mut outcome = Ok(());
    let walked = plan.apply(|node| {
        if let LogicalPlan::Join(join) = node
            && time_of(&join.filter).is_some()
        {
            join.right.apply(|node| {
                if let LogicalPlan::TableScan(scan) = node {
                    match super::prune::table(scan) {
                        Ok(table) => drop(awaited.insert(table.name.clone())),
                        Err(error) => outcome = Err(error),
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(plan_error)?;
    outcome
}

/// Decides which versions a join asks for.
///
/// # Errors
/// `Invalid` if the time is no time attribute of the left input, or the table cannot have versions.
pub(super) fn versions(
    time: &Expr,
    left: (&DFSchema, &Stream),
    right: &Stream,
    is_updating: [bool; 2],
) -> Result<Versions> {
    let column = column_of(time, left.0);
    let role = column.and_then(|column| left.1.roles.get(column)).copied().unwrap_or_default();
    if is_updating[0] {
        return Err(Error::invalid("a temporal join of rows that are updated is not supported")
            .remedy("join rows that are only added, or join without FOR SYSTEM_TIME"));
    }
    match (role, column) {
        (Role::Proctime, _) => Ok(Versions::Current { waits: right.is_bounded }),
        (Role::Rowtime | Role::WindowTime, Some(left)) => {
            let time = right.roles.iter().position(|role| *role == Role::Rowtime);
            match time {
                Some(right) if !is_updating[1] => Ok(Versions::ByTime { left, right }),
                _ => Err(Error::invalid("the table of a temporal join has no versions by time")
                    .remedy(
                        "declare a WATERMARK on it, or join by PROCTIME() with what it holds at the \
                         moment",
                    )),
            }
        }
        _ => Err(Error::invalid(format!("`{time}` is no time attribute of the left table"))
            .remedy("FOR SYSTEM_TIME AS OF takes its event time, or a column that is PROCTIME()")),
    }
}

/// Returns a join as one with versions.
///
/// # Errors
/// `Invalid` if it is neither inner nor left, or has no keys.
pub(super) fn checked(
    join: thalweg_plan::join::JoinNode,
    versions: Versions,
) -> Result<TemporalJoinNode> {
    if !matches!(join.kind, JoinKind::Inner | JoinKind::Left) {
        return Err(Error::invalid(format!("a temporal {} join", join.kind))
            .remedy("JOIN or LEFT JOIN the table"));
    }
    if join.keys.is_empty() {
        return Err(Error::invalid("a temporal join without equal columns")
            .remedy("compare the table's key: … FOR SYSTEM_TIME AS OF o.ts ON o.key = r.key"));
    }
    Ok(TemporalJoinNode { join, versions })
}
