//! What is read of one row of a match: `A.price * A.tax` is `price * tax` of a row of A.

use std::ops::ControlFlow;

use datafusion::common::DFSchema;
use datafusion::logical_expr::planner::RelationPlannerContext;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, Spanned,
    Subscript, Value, VisitMut, VisitorMut,
};
use thalweg_plan::pattern::Scope;
use thalweg_types::{Error, Result};

use super::mode::{call_name, call_place};
use super::scopes::Scopes;
use crate::text::place;

/// Calls that go to rows of a match or say something of it.
const OF_MATCHES: [&str; 8] = [
    "FIRST",
    "LAST",
    "PREV",
    "NEXT",
    "CLASSIFIER",
    "MATCH_NUMBER",
    "MATCH_ROWTIME",
    "MATCH_PROCTIME",
];

/// Is this the name of an aggregate?
pub(super) fn is_aggregate(name: &str, planner: &dyn RelationPlannerContext) -> bool {
    planner.context_provider().get_aggregate_meta(&name.to_lowercase()).is_some()
}

/// Takes the variables out of what is read of one row.
pub(super) struct RowValue<'a> {
    scopes: &'a Scopes,
    row: &'a DFSchema,
    planner: &'a dyn RelationPlannerContext,
    /// Of which rows it is, and where that is said first.
    found: Option<Scope>,
}

impl<'a> RowValue<'a> {
    pub(super) fn new(
        scopes: &'a Scopes,
        row: &'a DFSchema,
        planner: &'a dyn RelationPlannerContext,
    ) -> RowValue<'a> {
        RowValue { scopes, row, planner, found: None }
    }

    /// Returns a value without variables, and of which rows it is; all, where none is named.
    ///
    /// # Errors
    /// `Invalid`, where it is no value of one row.
    pub(super) fn value(mut self, value: &Expr) -> Result<(Expr, Scope)> {
        let mut value = value.clone();
        match value.visit(&mut self) {
            ControlFlow::Continue(()) => Ok((value, self.found.unwrap_or(Scope::ALL))),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// Returns an aggregate whose arguments have no variables, and over which rows it is.
    ///
    /// # Errors
    /// As [`RowValue::value`].
    pub(super) fn aggregate(mut self, mut call: Function) -> Result<(Function, Scope)> {
        if let FunctionArguments::List(list) = &mut call.args {
            for argument in &mut list.args {
                let FunctionArg::Unnamed(argument) = argument else { continue };
                let FunctionArgExpr::QualifiedWildcard(name) = argument else { continue };
                let [part] = name.0.as_slice() else { continue };
                let Some(variable) = part.as_ident() else { continue };
                self.meet(self.scopes.get(variable)?, variable)?;
                *argument = FunctionArgExpr::Wildcard;
            }
        }
        let visited = match call.args.visit(&mut self) {
            ControlFlow::Continue(()) => call.filter.visit(&mut self),
            broken => broken,
        };
        match visited {
            ControlFlow::Continue(()) => Ok((call, self.found.unwrap_or(Scope::ALL))),
            ControlFlow::Break(error) => Err(error),
        }
    }

    /// Notes of which rows a part of the value is.
    fn meet(&mut self, scope: Scope, at: &Ident) -> Result<()> {
        match self.found.replace(scope) {
            Some(before) if before != scope => {
                Err(Error::invalid("a value of one row that names columns of several variables")
                    .at(place(at.span))
                    .remedy("write LAST(A.a) * LAST(B.b) instead of LAST(A.a * B.b)"))
            }
            _ => Ok(()),
        }
    }

    /// Takes the variable out of `A.price`.
    fn column(&mut self, parts: &mut Vec<Ident>) -> Result<()> {
        let Some(first) = parts.first().cloned() else { return Ok(()) };
        match self.scopes.find(&first.value) {
            Some(scope) if parts.len() > 1 => {
                parts.remove(0);
                self.meet(scope, &first)
            }
            _ if parts.len() > 1 && !self.row.has_column_with_unqualified_name(&first.value) => {
                Err(self.scopes.unknown(&first))
            }
            _ => self.meet(Scope::ALL, &first),
        }
    }

    fn step(&mut self, expr: &mut Expr) -> Result<()> {
        match expr {
            Expr::Identifier(name) => self.meet(Scope::ALL, &name.clone()),
            Expr::CompoundIdentifier(parts) => {
                self.column(parts)?;
                if let [name] = parts.as_slice() {
                    *expr = Expr::Identifier(name.clone());
                }
                Ok(())
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                join_names(root, access_chain);
                Ok(())
            }
            Expr::Subquery(_) | Expr::InSubquery { .. } | Expr::Exists { .. } => {
                Err(sub_query(expr))
            }
            Expr::Function(function) => {
                let (_, name) = call_name(function);
                let is_of_match = OF_MATCHES.contains(&name.as_str());
                if !is_of_match && !is_aggregate(&name, self.planner) {
                    return Ok(());
                }
                let message = format!("{name} in a value of one row");
                Err(Error::invalid(message).at(call_place(function)).remedy(
                    "of such calls only FIRST and LAST stand within others: PREV(LAST(A.a), 2)",
                ))
            }
            _ => Ok(()),
        }
    }
}

impl VisitorMut for RowValue<'_> {
    type Break = Error;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match self.step(expr) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}

/// Says that a sub-query cannot stand in a condition or a measure.
pub(super) fn sub_query(expr: &Expr) -> Error {
    Error::invalid("a sub-query within MATCH_RECOGNIZE")
        .at(place(expr.span()))
        .remedy("join before or behind the search for the pattern")
}

/// Makes one name of the first names of `A.tags[1].x`, and texts of those behind them.
fn join_names(root: &mut Expr, chain: &mut Vec<AccessExpr>) {
    let Expr::Identifier(first) = root else { return };
    let mut names = vec![first.clone()];
    while let Some(AccessExpr::Dot(Expr::Identifier(name))) = chain.first() {
        names.push(name.clone());
        chain.remove(0);
    }
    *root = Expr::CompoundIdentifier(names);
    for access in chain {
        if let AccessExpr::Dot(Expr::Identifier(name)) = access {
            let index = Expr::Value(Value::SingleQuotedString(name.value.clone()).into());
            *access = AccessExpr::Subscript(Subscript::Index { index });
        }
    }
}
