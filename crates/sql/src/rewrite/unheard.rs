//! Clauses that the parser takes and the planner does not hear.
//!
//! Invariant: none is dropped in silence. `FETCH FIRST n ROWS ONLY` becomes the LIMIT that it is;
//! the others are refused.

use datafusion::sql::sqlparser::ast::{
    Expr, GroupByExpr, LimitClause, Query, Select, SetExpr, Spanned, TableFactor, Value,
};
use thalweg_types::{Error, Result};

use crate::text;

fn refuse(what: &str, at: impl Spanned) -> Result<()> {
    Err(Error::invalid(format!("{what} is not supported")).at(text::place(at.span())))
}

/// Looks at the clauses of a whole query.
///
/// # Errors
/// `Invalid`, naming the clause.
pub(super) fn in_query(query: &mut Query) -> Result<()> {
    let clauses = [
        (!query.locks.is_empty(), "FOR UPDATE"),
        (query.for_clause.is_some(), "FOR XML or JSON"),
        (query.settings.is_some(), "SETTINGS"),
        (query.format_clause.is_some(), "FORMAT"),
    ];
    if let Some((_, what)) = clauses.iter().find(|(is_there, _)| *is_there) {
        return refuse(what, query.body.as_ref().clone());
    }
    if let Some(cte) = query
        .with
        .iter()
        .filter(|with| with.recursive)
        .flat_map(|with| &with.cte_tables)
        .find(|cte| is_cut(&cte.query))
    {
        return refuse("ORDER BY or LIMIT behind the UNION of WITH RECURSIVE", cte.alias.clone())
            .map_err(|error| error.remedy("order and cut what WITH RECURSIVE returns"));
    }
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.with_ties || fetch.percent {
        return refuse("FETCH with PERCENT or WITH TIES", query.body.as_ref().clone());
    }
    let one = || Expr::Value(Value::Number("1".to_owned(), false).into());
    let limit = Some(fetch.quantity.unwrap_or_else(one));
    query.limit_clause = match query.limit_clause.take() {
        None => Some(LimitClause::LimitOffset { limit, offset: None, limit_by: Vec::new() }),
        Some(LimitClause::LimitOffset { limit: None, offset, limit_by }) => {
            Some(LimitClause::LimitOffset { limit, offset, limit_by })
        }
        Some(_) => return refuse("LIMIT and FETCH in one query", query.body.as_ref().clone()),
    };
    Ok(())
}

/// Do clauses stand behind a UNION that the planner would not hear if it were one of WITH RECURSIVE?
fn is_cut(query: &Query) -> bool {
    let is_cut = query.order_by.is_some() || query.limit_clause.is_some() || query.fetch.is_some();
    is_cut && matches!(query.body.as_ref(), SetExpr::SetOperation { .. })
}

/// Looks at the clauses of one SELECT.
///
/// # Errors
/// `Invalid`, naming the clause.
pub(super) fn in_select(select: &Select) -> Result<()> {
    let clauses = [
        (select.into.is_some(), "SELECT INTO"),
        (select.prewhere.is_some(), "PREWHERE"),
        (!select.connect_by.is_empty(), "CONNECT BY"),
        (!select.distribute_by.is_empty(), "DISTRIBUTE BY"),
        (select.value_table_mode.is_some(), "SELECT AS STRUCT or VALUE"),
        (has_modifiers(&select.group_by), "WITH behind GROUP BY"),
    ];
    match clauses.iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => refuse(what, select.clone()),
        None => Ok(()),
    }
}

/// Does `WITH TOTALS` or the like stand behind the keys?
fn has_modifiers(group_by: &GroupByExpr) -> bool {
    let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = group_by;
    !modifiers.is_empty()
}

/// Looks at what stands behind a table in FROM.
///
/// # Errors
/// `Invalid`, naming the clause.
pub(super) fn in_relation(relation: &TableFactor) -> Result<()> {
    let what = match relation {
        TableFactor::Table { sample: Some(_), .. }
        | TableFactor::Derived { sample: Some(_), .. } => "TABLESAMPLE",
        TableFactor::Table { with_hints, .. } if !with_hints.is_empty() => "WITH behind a table",
        TableFactor::Table { partitions, .. } if !partitions.is_empty() => {
            "PARTITION behind a table in FROM"
        }
        TableFactor::Table { index_hints, .. } if !index_hints.is_empty() => "an index hint",
        TableFactor::Table { version: Some(_), .. } => "a version of a table",
        _ => return Ok(()),
    };
    refuse(what, relation.clone())
}
