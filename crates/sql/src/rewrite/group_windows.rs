//! Windows in `GROUP BY`, as Flink had them before its window functions:
//!
//! ```sql
//! SELECT TUMBLE_START(ts, INTERVAL '1' HOUR), k, COUNT(*) FROM t WHERE p
//! GROUP BY TUMBLE(ts, INTERVAL '1' HOUR), k
//! -- becomes
//! SELECT window_start, k, COUNT(*)
//! FROM TABLE(TUMBLE((SELECT * FROM t WHERE p), DESCRIPTOR(ts), INTERVAL '1' HOUR))
//! GROUP BY window_start, window_end, k
//! ```
//!
//! Invariant: columns keep their qualifiers, since the sub-query gives none of its own.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, Ident, Query,
    Select, SelectItem, SetExpr, Spanned, TableFactor, TableWithJoins, VisitMut, VisitorMut,
};
use thalweg_types::{Error, Result};

use super::function;
use crate::text;

/// The windows, and how many arguments each takes.
const WINDOWS: [(&str, usize); 3] = [("TUMBLE", 2), ("HOP", 3), ("SESSION", 2)];

/// Name of the column for a time that is computed in `GROUP BY`.
const TIME: &str = "__thalweg_time";

/// Rewrites the windows in `GROUP BY` of a query's own SELECTs.
///
/// # Errors
/// `Invalid`, at a call that cannot be meant.
pub(super) fn rewrite(query: &mut Query) -> Result<()> {
    let Query { body, order_by, .. } = query;
    if let SetExpr::Select(select) = body.as_mut() {
        let Some(window) = in_select(select)? else { return Ok(()) };
        return replace(order_by, &window).map(|_| ());
    }
    in_body(body)
}

fn in_body(body: &mut SetExpr) -> Result<()> {
    match body {
        SetExpr::Select(select) => in_select(select).map(|_| ()),
        SetExpr::SetOperation { left, right, .. } => {
            in_body(left)?;
            in_body(right)
        }
        // A query in parentheses was rewritten as one.
        _ => Ok(()),
    }
}

/// A window by which a SELECT groups.
struct Window {
    name: &'static str,
    /// The time, then the spans.
    arguments: Vec<Expr>,
}

fn in_select(select: &mut Select) -> Result<Option<Window>> {
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return Ok(None) };
    let Some(at) = keys.iter().position(|key| call(key).is_some()) else { return Ok(None) };
    let window = window(&keys.remove(at))?;
    if let Some(second) = keys.iter().find(|key| call(key).is_some()) {
        return Err(error_at(second, "a query groups by one window")
            .remedy("group by the second one in a query over this one"));
    }
    let keys_of_session = if window.name == "SESSION" { keys.clone() } else { Vec::new() };
    let column = |name: &str| Expr::Identifier(Ident::new(name));
    let mut parts = vec![column("window_start"), column("window_end")];
    let mut wants_time = replace(&mut select.projection, &window)?;
    wants_time |= replace(&mut select.having, &window)?;
    if wants_time {
        parts.push(column("window_time"));
    }
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else { return Ok(None) };
    keys.splice(at..at, parts);
    enclose(select, &window, &keys_of_session)?;
    Ok(Some(window))
}

/// Returns the name of the window, if `expr` calls one.
fn call(expr: &Expr) -> Option<(&'static str, &Function)> {
    let Expr::Function(function) = expr else { return None };
    let name = function.name.to_string();
    let known = WINDOWS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
    known.map(|(known, _)| (*known, function))
}

fn arguments(function: &Function) -> Vec<Expr> {
    let FunctionArguments::List(list) = &function.args else { return Vec::new() };
    let exprs = list.args.iter().filter_map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    exprs.collect()
}

fn window(expr: &Expr) -> Result<Window> {
    let (name, function) =
        call(expr).ok_or_else(|| Error::internal("a window that calls no window"))?;
    let arguments = arguments(function);
    let count = WINDOWS.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count);
    if arguments.len() != count {
        let usage = match name {
            "HOP" => "HOP(time, INTERVAL slide, INTERVAL size)",
            "SESSION" => "SESSION(time, INTERVAL gap)",
            _ => "TUMBLE(time, INTERVAL size)",
        };
        let message = format!("{name} in GROUP BY takes {count} arguments");
        return Err(error_at(expr, message).remedy(format!("write {usage}")));
    }
    Ok(Window { name, arguments })
}

fn error_at(expr: &Expr, message: impl Into<String>) -> Error {
    Error::invalid(message).at(text::place(expr.span()))
}

/// Replaces `TUMBLE_START(…)` and the like by columns of the window; returns whether one of them
/// is its time.
fn replace(part: &mut impl VisitMut, window: &Window) -> Result<bool> {
    let mut replacing = Replacing { window, wants_time: false };
    match part.visit(&mut replacing) {
        ControlFlow::Continue(()) => Ok(replacing.wants_time),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Replacing<'a> {
    window: &'a Window,
    wants_time: bool,
}

impl VisitorMut for Replacing<'_> {
    type Break = Error;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<Error> {
        match self.column_for(expr) {
            Ok(None) => {}
            Ok(Some(column)) => *expr = Expr::Identifier(Ident::new(column)),
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

impl Replacing<'_> {
    /// Returns the column that a call such as `TUMBLE_END(ts, INTERVAL '1' HOUR)` means.
    fn column_for(&mut self, expr: &Expr) -> Result<Option<&'static str>> {
        let Expr::Function(function) = expr else { return Ok(None) };
        let name = function.name.to_string().to_ascii_uppercase();
        let Some((window, what)) = name.split_once('_') else { return Ok(None) };
        if !WINDOWS.iter().any(|(known, _)| *known == window) {
            return Ok(None);
        }
        let column = match what {
            "START" => "window_start",
            "END" => "window_end",
            "ROWTIME" => "window_time",
            "PROCTIME" => {
                return Err(error_at(expr, format!("{name} is not supported"))
                    .remedy("select PROCTIME() in a query over this one"));
            }
            _ => return Ok(None),
        };
        if window != self.window.name || arguments(function) != self.window.arguments {
            let error = error_at(expr, format!("{name} is of another window than the GROUP BY"));
            return Err(error.remedy("give both the same arguments"));
        }
        self.wants_time |= column == "window_time";
        Ok(Some(column))
    }
}

/// Puts what a SELECT reads into a window function.
fn enclose(select: &mut Select, window: &Window, keys: &[Expr]) -> Result<()> {
    let [time, spans @ ..] = window.arguments.as_slice() else {
        return Err(Error::internal("a window without a time"));
    };
    let (column, computed) = match time {
        Expr::Identifier(column) => (column.clone(), None),
        Expr::CompoundIdentifier(parts) => match parts.last() {
            Some(column) => (column.clone(), None),
            None => return Err(error_at(time, "this is no time column")),
        },
        expr => (Ident::new(TIME), Some(expr.clone())),
    };
    let mut inner = crate::tokens::parser(&crate::tokens::tokenize("SELECT * FROM t")?)
        .parse_query()
        .map_err(|error| Error::internal(error.to_string()))?;
    let SetExpr::Select(source) = inner.body.as_mut() else {
        return Err(Error::internal("a SELECT that is none"));
    };
    source.from = std::mem::take(&mut select.from);
    source.selection = select.selection.take();
    source.cluster_by = keys.to_vec();
    if let Some(expr) = computed {
        source.projection.push(SelectItem::ExprWithAlias { expr, alias: column.clone() });
    }
    let descriptor = function("DESCRIPTOR", [Expr::Identifier(column)]);
    let arguments = [Expr::Subquery(inner), descriptor].into_iter().chain(spans.iter().cloned());
    let relation =
        TableFactor::TableFunction { expr: function(window.name, arguments), alias: None };
    select.from = vec![TableWithJoins { relation, joins: Vec::new() }];
    Ok(())
}
