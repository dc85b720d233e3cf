//! `MATCH_RECOGNIZE`: a search for patterns of rows.
//!
//! ```sql
//! FROM t MATCH_RECOGNIZE (
//!   [PARTITION BY column, …] ORDER BY time, …
//!   [MEASURES expression AS name, …]
//!   [ONE ROW PER MATCH | ALL ROWS PER MATCH [SHOW EMPTY MATCHES | OMIT EMPTY MATCHES | WITH UNMATCHED ROWS]]
//!   [AFTER MATCH SKIP {PAST LAST ROW | TO NEXT ROW | TO [FIRST | LAST] variable}]
//!   PATTERN (…) [WITHIN INTERVAL …]
//!   [SUBSET name = (variable, …), …]
//!   [DEFINE variable AS condition, …]
//! ) [AS name]
//! ```
//!
//! The parser does not know all of it, nor where it may stand, so it is taken out of the tokens of a query
//! (`clause`). What it searches becomes a sub-query with a mark, which is planned as a node of its own
//! (`search`): conditions and measures are expressions over operands (`operand`), which navigate in the match.
//!
//! Invariant: an error points at what is wrong in the clause.

mod mode;
mod pattern;

mod clause;

mod scopes;

mod row;

mod operand;

mod search;

use std::sync::{Arc, Mutex, PoisonError};

use datafusion::sql::sqlparser::ast::{TableAlias, TableFactor};

pub(crate) use self::clause::{Clause, take};
pub(crate) use self::operand::{Operands, Value};
pub(crate) use self::search::{Search, SearchPlan, row_of};

/// The clauses of a session, by the number that stands for them in the text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns(Arc<Mutex<Vec<Clause>>>);

/// What the alias of a relation that is searched begins with; the number of the clause stands behind it.
const MARK: &str = "__thalweg_pattern ";

impl Patterns {
    fn add(&self, clause: Clause) -> usize {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(clause);
        all.len() - 1
    }

    /// Returns the relation that is searched, and the clause, if `relation` bears its mark.
    pub(crate) fn marked(&self, relation: &TableFactor) -> Option<(TableFactor, Clause)> {
        let mut relation = relation.clone();
        let alias = alias_of(&mut relation)?;
        let number: usize = alias.as_ref()?.name.value.strip_prefix(MARK)?.parse().ok()?;
        *alias = None;
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Some((relation, all.get(number)?.clone()))
    }
}

/// Returns where the alias of a relation stands.
fn alias_of(relation: &mut TableFactor) -> Option<&mut Option<TableAlias>> {
    match relation {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => Some(alias),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
