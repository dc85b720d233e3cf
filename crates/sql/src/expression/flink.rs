//! Where an expression of DataFusion's must mean, or read, as one of Flink's.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::Expr;
use thalweg_types::Result;

use crate::meaning::as_text;
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
    let replaced = expr.transform_up(|node| as_text(node, schema));
    Ok(replaced.map_err(plan_error)?.data)
}

/// Returns the text of an expression with its constants as a user writes them.
pub(super) fn text(expr: &Expr) -> String {
    let replaced = expr.clone().transform(|node| {
        Ok(match &node {
            // A name is printed as it is, and nothing but the text is used.
            Expr::Literal(value, _) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(constant(value))))
            }
            _ => Transformed::no(node),
        })
    });
    replaced.map_or_else(|_| expr.to_string(), |replaced| replaced.data.to_string())
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
