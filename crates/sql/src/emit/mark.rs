//! The clause in a parsed query: a mark on what its SELECT reads.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator, Query, Select,
    SelectItem, Spanned, TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::tokenizer::Location;
use thalweg_types::{Error, Result};

use super::Emit;
use crate::pane_functions;
use crate::text;

/// The clauses of a query, by the place of their SELECT.
#[derive(Clone, Debug, Default)]
pub(crate) struct Emits(BTreeMap<Location, Emit>);

impl Emits {
    pub(super) fn add(&mut self, select: Location, emit: Emit) {
        self.0.insert(select, emit);
    }

    /// Returns the clauses, in the order of their SELECTs.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<Emit> {
        self.0.values().cloned().collect()
    }

    /// Marks what the SELECTs with a clause read; `is_aggregate` knows the aggregates by their names in
    /// lower case.
    ///
    /// # Errors
    /// `Invalid`, at a clause of a SELECT that puts no rows together, or at a function of panes that stands
    /// elsewhere.
    pub(crate) fn mark(
        &self,
        query: &mut Query,
        is_aggregate: &dyn Fn(&str) -> bool,
    ) -> Result<()> {
        match query.visit(&mut Marker { emits: self, is_aggregate, allowed: BTreeSet::new() }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(error) => Err(error),
        }
    }
}

struct Marker<'a> {
    emits: &'a Emits,
    is_aggregate: &'a dyn Fn(&str) -> bool,
    /// Where functions of panes may stand.
    allowed: BTreeSet<Location>,
}

impl VisitorMut for Marker<'_> {
    type Break = Error;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<Error> {
        let place = select.select_token.0.span.start;
        let Some(emit) = self.emits.0.get(&place) else { return ControlFlow::Continue(()) };
        if let Err(error) = self.check(select) {
            return ControlFlow::Break(emit.located(error));
        }
        let mut calls = Calls(&mut self.allowed);
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                // It never breaks.
                let _ = expr.visit(&mut calls);
            }
        }
        mark(&mut select.from, emit)
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        let Some(name) = pane_function(expr) else { return ControlFlow::Continue(()) };
        if self.allowed.contains(&expr.span().start) {
            return ControlFlow::Continue(());
        }
        let name = name.to_uppercase();
        let message = format!("{name}() stands outside of the select list of a query with EMIT");
        let error = Error::invalid(message).at(text::place(expr.span()));
        ControlFlow::Break(
            error.remedy("write SELECT … GROUP BY … EMIT …, and filter in a query over it"),
        )
    }
}

impl Marker<'_> {
    /// Checks that a SELECT puts rows together whose results can be sent when the clause says.
    fn check(&self, select: &mut Select) -> Result<()> {
        let is_grouped = match &select.group_by {
            GroupByExpr::Expressions(keys, _) => !keys.is_empty(),
            GroupByExpr::All(_) => true,
        };
        let mut found = Found {
            is_aggregate: self.is_aggregate,
            depth: 0,
            aggregates: false,
            panes: false,
            over: false,
        };
        // It never breaks.
        let _ = select.projection.visit(&mut found);
        let _ = select.having.visit(&mut found);
        let refuse = |remedy| {
            let what = "EMIT needs a GROUP BY, an aggregate or DISTINCT in the query that it ends";
            Err(Error::invalid(what).remedy(remedy))
        };
        match &select.distinct {
            _ if select.from.is_empty() => refuse("read a table, or leave it out"),
            _ if is_grouped => Ok(()),
            None | Some(Distinct::All) if found.aggregates => Ok(()),
            None | Some(Distinct::All) => refuse("move it behind the GROUP BY, or leave it out"),
            Some(Distinct::On(_)) => {
                refuse("write the columns behind GROUP BY in place of DISTINCT ON")
            }
            Some(Distinct::Distinct) if found.aggregates || found.panes || found.over => {
                let what = "EMIT of a SELECT DISTINCT that computes more than its columns";
                Err(Error::invalid(what)
                    .remedy("write the columns behind GROUP BY in place of DISTINCT"))
            }
            Some(Distinct::Distinct) => Ok(()),
        }
    }
}

/// What is called in a select list, sub-queries apart.
struct Found<'a> {
    is_aggregate: &'a dyn Fn(&str) -> bool,
    /// Sub-queries around what is visited.
    depth: usize,
    aggregates: bool,
    /// Functions of panes.
    panes: bool,
    /// Functions OVER other rows.
    over: bool,
}

impl VisitorMut for Found<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        let is_of_panes = pane_function(expr).is_some();
        if let Expr::Function(function) = expr {
            let name = function.name.to_string().to_lowercase();
            match function.over {
                Some(_) => self.over = true,
                None if is_of_panes => self.panes = true,
                None => self.aggregates |= (self.is_aggregate)(&name),
            }
        }
        ControlFlow::Continue(())
    }
}

/// Notes where functions of panes stand.
struct Calls<'a>(&'a mut BTreeSet<Location>);

impl VisitorMut for Calls<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if pane_function(expr).is_some() {
            self.0.insert(expr.span().start);
        }
        ControlFlow::Continue(())
    }
}

/// Returns the name of the function of panes that `expr` calls, if it calls one.
fn pane_function(expr: &Expr) -> Option<&'static str> {
    let Expr::Function(function) = expr else { return None };
    let name = function.name.to_string();
    let mut known = pane_functions::NAMES.into_iter();
    known.find(|known| name.eq_ignore_ascii_case(known))
}

/// What the alias of a marked relation begins with; the clause stands behind it.
const MARK: &str = "__thalweg_emit ";

/// Puts all that a SELECT reads into parentheses, whose alias says what is asked for.
fn mark(from: &mut Vec<TableWithJoins>, emit: &Emit) -> ControlFlow<Error> {
    let said = match serde_json::to_string(emit) {
        Ok(said) => said,
        Err(error) => return ControlFlow::Break(Error::internal(error.to_string())),
    };
    let mut items = std::mem::take(from).into_iter();
    let Some(mut whole) = items.next() else { return ControlFlow::Continue(()) };
    for item in items {
        let join_operator = JoinOperator::CrossJoin(JoinConstraint::None);
        whole.joins.push(Join { relation: item.relation, global: false, join_operator });
        whole.joins.extend(item.joins);
    }
    if !whole.joins.is_empty() {
        let table_with_joins = Box::new(whole);
        let relation = TableFactor::NestedJoin { table_with_joins, alias: None };
        whole = TableWithJoins { relation, joins: Vec::new() };
    }
    let name = Ident::with_quote('`', format!("{MARK}{said}"));
    let alias = Some(TableAlias { explicit: true, name, columns: Vec::new(), at: None });
    let relation = TableFactor::NestedJoin { table_with_joins: Box::new(whole), alias };
    from.push(TableWithJoins { relation, joins: Vec::new() });
    ControlFlow::Continue(())
}

/// Returns the relation that `relation` marks, and what is asked for.
pub(crate) fn marked(relation: &TableFactor) -> Option<(&TableFactor, Emit)> {
    let TableFactor::NestedJoin { table_with_joins, alias: Some(alias) } = relation else {
        return None;
    };
    let emit = serde_json::from_str(alias.name.value.strip_prefix(MARK)?).ok()?;
    Some((&table_with_joins.relation, emit))
}
