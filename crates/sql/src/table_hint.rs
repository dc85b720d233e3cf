//! Hints of a SELECT that speak of its tables: for how long its joins and aggregations keep their rows,
//! and which of them a join copies to all workers.
//!
//! `SELECT /*+ STATE_TTL('o' = '3d') */ … FROM orders AS o JOIN …` puts a node over `o` that says so;
//! what reads the relation in the same SELECT finds it there. Where a join reads another one, that one
//! has no name and so no hint, as in Flink.
//!
//! Invariants: a hint counts for its own SELECT alone; a name that is no table of it is an error.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use datafusion::sql::sqlparser::ast::{
    Ident, ObjectNamePart, Query, Select, TableAlias, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::{Location, TokenWithSpan};
use thalweg_types::{Error, Result};

use crate::text::{self, suggest};

/// What a hint asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub(crate) enum Asked {
    /// That rows are kept so long; zero for ever.
    StateTtl(Duration),
    /// That rows are copied to all workers.
    Broadcast,
}

impl Asked {
    /// Returns the name of the hint.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Asked::StateTtl(_) => "STATE_TTL",
            Asked::Broadcast => "BROADCAST",
        }
    }
}

/// What is asked for a table.
#[derive(Clone, Debug)]
pub(crate) struct TableHint {
    /// The table, by the name that it has in FROM.
    pub(crate) table: String,
    /// Where the hint names it.
    pub(crate) at: TokenWithSpan,
    pub(crate) asked: Asked,
}

/// The hints of a script, by the place of the SELECT behind which they stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableHints(BTreeMap<Location, Vec<TableHint>>);

impl TableHints {
    /// Adds hints of the SELECT at `place`; of two for one table the first one counts, as in Flink.
    pub(crate) fn add(&mut self, place: Location, hints: Vec<TableHint>) {
        let known = self.0.entry(place).or_default();
        for hint in hints {
            let name = |hint: &TableHint| (hint.table.clone(), hint.asked.name());
            if known.iter().all(|known| name(known) != name(&hint)) {
                known.push(hint);
            }
        }
    }

    /// Adds all of `others`.
    pub(crate) fn extend(&mut self, others: &TableHints) {
        self.0.extend(others.0.clone());
    }

    /// Marks the tables of a query that have hints.
    ///
    /// # Errors
    /// `Invalid`, at a name that is no table of its SELECT.
    pub(crate) fn mark(&self, query: &mut Query) -> Result<()> {
        match query.visit(&mut Marker(self)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

struct Marker<'a>(&'a TableHints);

impl VisitorMut for Marker<'_> {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let place = select.select_token.0.span.start;
        for hint in self.0.0.get(&place).into_iter().flatten() {
            let mut names = Vec::new();
            let found = relations(&mut select.from).into_iter().find(|relation| {
                let name = name_of(relation);
                let is_meant = name.as_deref() == Some(hint.table.as_str());
                names.extend(name);
                is_meant
            });
            let Some(relation) = found else {
                let (name, table) = (hint.asked.name(), &hint.table);
                let message = format!("{name} names `{table}`, which is no table of its SELECT");
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                return ControlFlow::Break(suggest(
                    text::at(&hint.at, message),
                    &hint.table,
                    &names,
                ));
            };
            mark(relation, hint.asked);
        }
        ControlFlow::Continue(())
    }
}

/// Returns all relations of a FROM, those in parentheses too.
fn relations(from: &mut [TableWithJoins]) -> Vec<&mut TableFactor> {
    let mut all = Vec::new();
    for item in from {
        let joined = item.joins.iter_mut().map(|join| &mut join.relation);
        for relation in [&mut item.relation].into_iter().chain(joined) {
            match relation {
                TableFactor::NestedJoin { table_with_joins, alias: None } => {
                    all.extend(relations(std::slice::from_mut(table_with_joins)));
                }
                relation => all.push(relation),
            }
        }
    }
    all
}

/// Returns the name that a relation has in its query.
fn name_of(relation: &TableFactor) -> Option<String> {
    let (alias, name) = match relation {
        TableFactor::Table { name, alias, .. } => (alias, name.0.last()),
        TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. } => (alias, None),
        TableFactor::NestedJoin { table_with_joins, alias: Some(_) } => {
            return name_of(&table_with_joins.relation);
        }
        _ => return None,
    };
    let name = name.and_then(ObjectNamePart::as_ident);
    alias.as_ref().map(|alias| &alias.name).or(name).map(|name| name.value.clone())
}

/// What the alias of a marked relation is, or begins with: nanoseconds stand behind the first one.
const STATE_TTL: &str = "__thalweg_state_ttl ";
const BROADCAST: &str = "__thalweg_broadcast";

/// Puts a relation into parentheses, whose alias says what is asked for it.
fn mark(relation: &mut TableFactor, asked: Asked) {
    let name = match asked {
        Asked::StateTtl(ttl) => format!("{STATE_TTL}{}", ttl.as_nanos()),
        Asked::Broadcast => BROADCAST.to_owned(),
    };
    let name = Ident::with_quote('`', name);
    let alias = TableAlias { explicit: true, name, columns: Vec::new(), at: None };
    let inner = TableWithJoins { relation: relation.clone(), joins: Vec::new() };
    *relation = TableFactor::NestedJoin { table_with_joins: Box::new(inner), alias: Some(alias) };
}

/// Returns the relation that `relation` marks, and what is asked for it.
pub(crate) fn marked(relation: &TableFactor) -> Option<(&TableFactor, Asked)> {
    let TableFactor::NestedJoin { table_with_joins, alias: Some(alias) } = relation else {
        return None;
    };
    let name = alias.name.value.as_str();
    let asked = match name.strip_prefix(STATE_TTL) {
        Some(nanos) => Asked::StateTtl(Duration::from_nanos(nanos.parse().ok()?)),
        None if name == BROADCAST => Asked::Broadcast,
        None => return None,
    };
    Some((&table_with_joins.relation, asked))
}
