//! Where an expression of DataFusion's must mean, or read, as one of Flink's.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::expr::{Alias, Cast};
use thalweg_types::Result;

use crate::casting;
use crate::meaning::casts_to_text;
use crate::text::{RELATIONAL, plan_error, to_come};

/// Refuses what cannot be computed from one row.
pub(super) fn check(expr: &Expr) -> Result<()> {
    let is_query = |node: &Expr| {
        Ok(matches!(node, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_)))
    };
    match expr.exists(is_query).map_err(plan_error)? {
        false => Ok(()),
        true => Err(to_come(RELATIONAL, "a sub-query outside FROM is", "name the values")),
    }
}

/// Writes what becomes a text only when types are coerced as Flink does.
pub(super) fn casts(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let replaced = expr.transform_up(|node| casts_to_text(node, schema));
    Ok(replaced.map_err(plan_error)?.data)
}

/// Returns the text of an expression with its constants as a user writes them.
pub(super) fn text(expr: &Expr) -> String {
    let replaced = expr.clone().transform(|node| {
        let (cast, alias) = match &node {
            Expr::Alias(alias) => (alias.expr.as_ref(), Some(alias.name.as_str())),
            node => (node, None),
        };
        if let Some((name, value, kind)) = casting::parts(cast) {
            let mut cast = format!("{name}({} AS {kind})", text(value));
            // A cast that took the place of another keeps its name, which is that of the value.
            if let Some(alias) = alias.filter(|alias| !named_like(value, alias)) {
                cast.push_str(&format!(" AS {alias}"));
            }
            return Ok(Transformed::yes(plain(cast)));
        }
        Ok(match &node {
            // A name is printed as it is, and nothing but the text is used.
            Expr::Literal(value, _) => Transformed::yes(plain(constant(value))),
            _ => Transformed::no(node),
        })
    });
    replaced.map_or_else(|_| expr.to_string(), |replaced| replaced.data.to_string())
}

/// Returns the text of an expression as a user knows it: without the tables of its columns, and
/// without the names that were given on the way.
pub(super) fn shown(expr: &Expr) -> String {
    let replaced = expr.clone().transform_up(|node| {
        Ok(match node {
            Expr::Alias(alias) => Transformed::yes(*alias.expr),
            Expr::Column(column) => {
                let name = name_shown(&column.name);
                Transformed::yes(Expr::Column(Column::new_unqualified(name)))
            }
            other => Transformed::no(other),
        })
    });
    replaced.map_or_else(|_| text(expr), |replaced| text(&replaced.data))
}

/// Names a column after the expression that it holds; one that is only cast keeps its name.
pub(crate) fn column_name(expr: &Expr) -> String {
    let mut bare = expr;
    loop {
        bare = match (bare, casting::parts(bare)) {
            (_, Some((_, value, _))) => value,
            (Expr::Alias(Alias { expr, .. }) | Expr::Cast(Cast { expr, .. }), None) => expr,
            _ => break,
        };
    }
    shown(if matches!(bare, Expr::Column(_)) { bare } else { expr })
}

/// Returns the name of a column as a user would write it, also where the planner made it.
pub(super) fn name_shown(name: &str) -> String {
    match name.split_once("() PARTITION BY [").or_else(|| name.split_once("() ORDER BY [")) {
        Some((function, _)) => format!("{function}()"),
        None => name.replace("(Int64(1))", "(*)"),
    }
}

/// Has a value this name in a result?
fn named_like(value: &Expr, name: &str) -> bool {
    match value {
        Expr::Column(column) => column.name == name,
        value => value.schema_name().to_string() == name,
    }
}

/// Returns what is printed as it stands here.
fn plain(text: String) -> Expr {
    Expr::Column(Column::new_unqualified(text))
}

fn constant(value: &ScalarValue) -> String {
    if value.is_null() {
        return "NULL".to_owned();
    }
    match value {
        ScalarValue::IntervalMonthDayNano(Some(span)) => {
            let seconds = span.nanoseconds as f64 / 1e9;
            let parts = [
                (f64::from(span.months), "MONTH"),
                (f64::from(span.days), "DAY"),
                (seconds, "SECOND"),
            ];
            let parts = parts.iter().filter(|(count, _)| *count != 0.0);
            let parts: Vec<String> =
                parts.map(|(count, unit)| format!("INTERVAL '{count}' {unit}")).collect();
            if parts.is_empty() { "INTERVAL '0' SECOND".to_owned() } else { parts.join(" + ") }
        }
        ScalarValue::Utf8(Some(text))
        | ScalarValue::Utf8View(Some(text))
        | ScalarValue::LargeUtf8(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    }
}
