//! Rows by their number: `ROW_NUMBER() OVER (PARTITION BY … ORDER BY …)` with a filter on it, which is
//! top-N, and deduplication where N is 1.
//!
//! Invariant: what is recognised here has a greatest number, so that the rows behind it need not be
//! kept; other uses of these functions are OVER windows.

use std::ops::RangeInclusive;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::{Between, WindowFunction};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, Window};
use thalweg_plan::node::Ranking;

use super::column_of;
use crate::copies::call_of;

/// A filter on the number of a row.
#[derive(Debug)]
pub(super) struct Numbered<'a> {
    /// The function that makes the number.
    pub(super) call: &'a WindowFunction,
    /// How rows are numbered.
    pub(super) ranking: Ranking,
    /// The numbers that pass.
    pub(super) ranks: RangeInclusive<usize>,
    /// What else must be true.
    pub(super) rest: Option<Expr>,
    /// Is the number read behind the filter, and not the same in all rows?
    pub(super) has_rank: bool,
    /// Does who reads it take all rows of which the last by event time is left, as versions?
    pub(super) are_versions: bool,
}

impl<'a> Numbered<'a> {
    /// Reads a filter over `input`, behind which the columns `read` are read; `None` if it is no
    /// filter on a number.
    pub(super) fn of(
        predicate: &Expr,
        input: &'a LogicalPlan,
        read: &[usize],
    ) -> Option<Numbered<'a>> {
        let (number, window) = number_column(input)?;
        let (ranking, call) = ranking_of(window)?;
        let schema = input.schema();
        let (mut first, mut last, mut rest) = (1, None, None);
        for condition in split_conjunction(predicate) {
            match bounds_of(condition, number, schema) {
                Some((lower, upper)) => {
                    first = lower.map_or(first, |lower: usize| lower.max(first));
                    last = upper
                        .map(|upper| last.map_or(upper, |last: usize| last.min(upper)))
                        .or(last);
                }
                None => rest = and(rest, condition),
            }
        }
        let ranks = first..=last?;
        let is_read = read.contains(&number)
            || rest
                .iter()
                .flat_map(Expr::column_refs)
                .any(|column| schema.maybe_index_of_column(column) == Some(number));
        let has_rank = is_read && ranks.start() < ranks.end();
        Some(Numbered { call, ranking, ranks, rest, has_rank, are_versions: false })
    }
}

/// Looks through projections and aliases for the one function of a window; returns its column.
fn number_column(plan: &LogicalPlan) -> Option<(usize, &Window)> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => number_column(&alias.input),
        LogicalPlan::Projection(projection) => {
            let (below, window) = number_column(&projection.input)?;
            let input = projection.input.schema();
            let is_number = |expr: &Expr| column_of(expr, input) == Some(below);
            Some((projection.expr.iter().position(is_number)?, window))
        }
        LogicalPlan::Window(window) => Some((window.input.schema().fields().len(), window)),
        _ => None,
    }
}

/// Returns what a window numbers rows by, if it does nothing else.
fn ranking_of(window: &Window) -> Option<(Ranking, &WindowFunction)> {
    let [expr] = window.window_expr.as_slice() else { return None };
    let call = call_of(expr)?;
    let ranking = match call.fun.name() {
        "row_number" => Ranking::RowNumber,
        "rank" => Ranking::Rank,
        "dense_rank" => Ranking::DenseRank,
        _ => return None,
    };
    Some((ranking, call))
}

/// The least and the greatest number that a condition lets pass.
type Bounds = (Option<usize>, Option<usize>);

/// Returns the bounds of a condition that is about the number alone.
fn bounds_of(condition: &Expr, number: usize, schema: &DFSchema) -> Option<Bounds> {
    let is_number = |expr: &Expr| column_of(expr, schema) == Some(number);
    match condition {
        Expr::Between(Between { expr, negated: false, low, high }) if is_number(expr) => {
            Some((Some(whole(low)?), Some(whole(high)?)))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (op, bound) = match (is_number(left), is_number(right)) {
                (true, false) => (*op, whole(right)?),
                (false, true) => (op.swap()?, whole(left)?),
                _ => return None,
            };
            match op {
                Operator::Eq => Some((Some(bound), Some(bound))),
                Operator::LtEq => Some((None, Some(bound))),
                Operator::Lt => Some((None, Some(bound.saturating_sub(1)))),
                Operator::GtEq => Some((Some(bound), None)),
                Operator::Gt => Some((Some(bound.saturating_add(1)), None)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Returns a whole number as a bound; no row has a number below 1.
fn whole(expr: &Expr) -> Option<usize> {
    let Expr::Literal(value, _) = expr else { return None };
    match value.cast_to(&DataType::Int64).ok()? {
        ScalarValue::Int64(Some(number)) => Some(usize::try_from(number).unwrap_or(0)),
        _ => None,
    }
}

fn and(rest: Option<Expr>, other: &Expr) -> Option<Expr> {
    Some(match rest {
        None => other.clone(),
        Some(rest) => rest.and(other.clone()),
    })
}
