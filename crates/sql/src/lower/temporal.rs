//! Joins with versions of a table: `FOR SYSTEM_TIME AS OF`.

use std::collections::BTreeSet;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan};
use thalweg_plan::join::{JoinKind, TemporalJoinNode, VersionSource, Versions};
use thalweg_types::{Error, Result};

use super::ranking::Numbered;
use super::{Lowering, Role, Stream, Versioned, column_of};
use crate::as_of::time_of;
use crate::catalog::recursive_relation;
use crate::noted::Noted;
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

/// Stands for all relations of constants among the tables whose end is waited for.
pub(super) const LITERAL: &str = "";

/// Adds the tables that such joins read: where they are bounded and without a watermark, their end must
/// be known.
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
                match node {
                    LogicalPlan::TableScan(scan) if recursive_relation(scan).is_some() => {}
                    LogicalPlan::TableScan(scan) => match super::prune::table(scan) {
                        Ok(table) => drop(awaited.insert(table.name.clone())),
                        Err(error) => outcome = Err(error),
                    },
                    LogicalPlan::Values(_) | LogicalPlan::EmptyRelation(_) => {
                        awaited.insert(LITERAL.to_owned());
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        Ok(TreeNodeRecursion::Continue)
    });
    walked.map_err(plan_error)?;
    outcome
}

/// As of which time a row meets the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AsOf {
    /// The event time in this column.
    Rowtime(usize),
    /// The moment at which the row comes.
    Proctime,
}

impl AsOf {
    /// Decides what the time of a join is, over rows of `left`.
    ///
    /// # Errors
    /// `Invalid` if it is no time attribute, or the rows are updated.
    pub(super) fn of(
        time: &Expr,
        (schema, left): (&DFSchema, &Stream),
        is_updating: bool,
    ) -> Result<AsOf> {
        if is_updating {
            return Err(Error::invalid(
                "a temporal join of rows that are updated is not supported",
            )
            .remedy("join rows that are only added, or join without FOR SYSTEM_TIME"));
        }
        let column = column_of(time, schema);
        let role = column.and_then(|column| left.roles.get(column)).copied().unwrap_or_default();
        match (role, column) {
            (Role::Proctime, _) => Ok(AsOf::Proctime),
            (Role::Rowtime | Role::WindowTime, Some(column)) => Ok(AsOf::Rowtime(column)),
            _ => Err(Error::invalid(format!("`{time}` is no time attribute of the left table"))
                .remedy(
                    "FOR SYSTEM_TIME AS OF takes its event time, or a column that is PROCTIME()",
                )),
        }
    }

    /// Decides which versions of `right` a join asks for.
    ///
    /// # Errors
    /// `Invalid` if the table has no versions by time.
    pub(super) fn versions(self, right: &Stream, is_updating: bool) -> Result<Versions> {
        let AsOf::Rowtime(left) = self else {
            return Ok(Versions::Current { waits: right.is_bounded });
        };
        let time = right.roles.iter().position(|role| *role == Role::Rowtime);
        let source = right.versioned.as_ref().map(|versioned| versioned.source);
        let source = source.or((!is_updating).then_some(VersionSource::Rows));
        match (time, source) {
            (Some(right), Some(from)) => Ok(Versions::ByTime { left, right, from }),
            _ => Err(Error::invalid("the table of a temporal join has no versions by time").remedy(
                "declare a WATERMARK on it, and put conditions on its rows behind ON; or join by \
                 PROCTIME() with what it holds at the moment",
            )),
        }
    }
}

impl Lowering<'_> {
    /// Lowers the table of a temporal join.
    ///
    /// By event time its rows are versions: all changes that the source of a table tells of, and all
    /// rows of which a view keeps the last one of each key.
    ///
    /// # Errors
    /// As [`Lowering::lower`].
    pub(super) fn table_as_of(
        &mut self,
        as_of: Option<AsOf>,
        plan: &LogicalPlan,
    ) -> Result<Stream> {
        if !matches!(as_of, Some(AsOf::Rowtime(_))) {
            return self.lower(plan);
        }
        if let Some(Noted { input, .. }) = Noted::of(plan) {
            return self.table_as_of(as_of, input);
        }
        match plan {
            LogicalPlan::TableScan(scan) => self.scan_versions(scan),
            LogicalPlan::SubqueryAlias(alias) => self.table_as_of(as_of, &alias.input),
            LogicalPlan::Projection(projection) => {
                let stream = self.table_as_of(as_of, &projection.input)?;
                self.project(stream, projection.input.schema(), projection)
            }
            LogicalPlan::Filter(filter) => match self.deduplicated(filter)? {
                Some(stream) => Ok(stream),
                None => self.lower(plan),
            },
            other => self.lower(other),
        }
    }

    /// Lowers a filter that leaves the last row of each key by event time; `None` if it is another one.
    fn deduplicated(&mut self, filter: &Filter) -> Result<Option<Stream>> {
        let numbered = Numbered::of(&filter.predicate, &filter.input, &[]);
        match numbered.filter(|numbered| numbered.rest.is_none()) {
            Some(numbered) => {
                let numbered = Numbered { are_versions: true, ..numbered };
                self.numbered(&filter.input, &numbered).map(Some)
            }
            None => Ok(None),
        }
    }
}

/// Returns which of the equal columns of a join, the `right` ones being these, are the key of the
/// versions of a table; all, if no other key is known.
///
/// # Errors
/// `Invalid` if not all of that key is compared.
pub(super) fn version_key(right: &[usize], table: &Stream) -> Result<Vec<bool>> {
    let Some(Versioned { key, .. }) = &table.versioned else { return Ok(vec![true; right.len()]) };
    let is_key = |column: &usize| table.roles[*column] == Role::VersionKey;
    let compared: BTreeSet<usize> = right.iter().copied().filter(is_key).collect();
    if compared.len() == key.len() {
        return Ok(right.iter().map(is_key).collect());
    }
    let key = key.join(", ");
    Err(Error::invalid(format!("a temporal join that does not compare the table's key ({key})"))
        .remedy(format!("compare all of ({key}): … FOR SYSTEM_TIME AS OF o.ts ON o.key = r.key")))
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
