//! What a join's condition says about how far apart in time its rows are.
//!
//! `l.ts BETWEEN r.ts - INTERVAL '5' MINUTE AND r.ts + INTERVAL '1' HOUR` is two comparisons of a time
//! of each side; equality of two windows' ends is two as well. Only columns whose values follow a
//! watermark count: event time, and the ends of windows. Ends of windows of a zone are local times, which say
//! something of each other only; their last instants do not say when they end, where clocks are set back.

use std::collections::BTreeMap;

use datafusion::arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{Between, BinaryExpr, Cast, Expr, Operator};
use thalweg_plan::join::{TimeBound, TimeColumn};
use thalweg_plan::window::TimeBasis;
use thalweg_types::time::nanos_per;
use thalweg_types::{Result, Zone};

use super::{Role, column_of};

/// Nanoseconds of a day.
const DAY: i64 = 86_400_000_000_000;

/// One side of a join, as far as times are concerned.
pub(super) struct Side {
    pub(super) schema: DFSchema,
    pub(super) roles: Vec<Role>,
    /// The zone in whose local time its windows lie.
    pub(super) zone: Option<Zone>,
}

/// A time column of a side, and what is added to it.
struct Shifted {
    /// 0 for the left side.
    side: usize,
    time: TimeColumn,
    /// In nanoseconds, from the last time that the column stands for.
    shift: i64,
    /// The zone whose local time it is.
    zone: Option<Zone>,
}

/// How far the left time may be from the right one.
#[derive(Default)]
struct Distance {
    earlier: Option<i64>,
    later: Option<i64>,
}

/// Returns the bound that says most.
pub(super) fn bound(
    left: &Side,
    right: &Side,
    basis: TimeBasis,
    conjuncts: &[Expr],
) -> Result<Option<TimeBound>> {
    type Pair = (TimeColumn, TimeColumn, Option<Zone>);
    let mut found: BTreeMap<(usize, usize), (Pair, Distance)> = BTreeMap::new();
    let sides = [left, right];
    for (first, op, second) in conjuncts.iter().flat_map(comparisons) {
        let (Some(first), Some(second)) =
            (shifted(&first, sides, basis), shifted(&second, sides, basis))
        else {
            continue;
        };
        let (op, first, second) = match (first.side, second.side) {
            (0, 1) => (Some(op), first, second),
            (1, 0) => (op.swap(), second, first),
            _ => continue,
        };
        if first.zone != second.zone {
            continue;
        }
        let pair = (first.time, second.time, first.zone);
        let (_, known) = found
            .entry((first.time.column, second.time.column))
            .or_insert_with(|| (pair, Distance::default()));
        // left + shift ≥ right + shift, so left ≥ right − earlier.
        let earlier = first.shift.saturating_sub(second.shift);
        let later = second.shift.saturating_sub(first.shift);
        let tighter = |old: Option<i64>, new: i64| Some(old.map_or(new, |old| old.min(new)));
        if matches!(op, Some(Operator::GtEq | Operator::Gt | Operator::Eq)) {
            known.earlier = tighter(known.earlier, earlier);
        }
        if matches!(op, Some(Operator::LtEq | Operator::Lt | Operator::Eq)) {
            known.later = tighter(known.later, later);
        }
    }
    let says = |distance: &Distance| {
        usize::from(distance.earlier.is_some()) + usize::from(distance.later.is_some())
    };
    // Of several the first one that says most.
    let best = found.into_values().rev().max_by_key(|(_, distance)| says(distance));
    Ok(best.filter(|(_, distance)| says(distance) > 0).map(|((left, right, zone), distance)| {
        let Distance { earlier, later } = distance;
        TimeBound { basis, left, right, earlier, later, zone }
    }))
}

/// Returns the comparisons that a conjunct is.
fn comparisons(expr: &Expr) -> Vec<(Expr, Operator, Expr)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            vec![(left.as_ref().clone(), *op, right.as_ref().clone())]
        }
        Expr::Between(Between { expr, negated: false, low, high }) => vec![
            (expr.as_ref().clone(), Operator::GtEq, low.as_ref().clone()),
            (expr.as_ref().clone(), Operator::LtEq, high.as_ref().clone()),
        ],
        _ => Vec::new(),
    }
}

/// Reads a time column, with an interval added or taken off.
fn shifted(expr: &Expr, sides: [&Side; 2], basis: TimeBasis) -> Option<Shifted> {
    match expr {
        Expr::Alias(alias) => shifted(&alias.expr, sides, basis),
        // Finer units say the same.
        Expr::Cast(Cast { expr, field }) if is_time(field.data_type()) => {
            shifted(expr, sides, basis)
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
            let (inner, by) = match (interval(left), interval(right)) {
                (None, Some(by)) => (left, by),
                (Some(by), None) => (right, by),
                _ => return None,
            };
            let inner = shifted(inner, sides, basis)?;
            Some(Shifted { shift: inner.shift.checked_add(by)?, ..inner })
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            let inner = shifted(left, sides, basis)?;
            Some(Shifted { shift: inner.shift.checked_sub(interval(right)?)?, ..inner })
        }
        Expr::Column(_) => (0..2).find_map(|side| column(expr, side, sides[side], basis)),
        _ => None,
    }
}

fn is_time(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(_, _))
}

fn column(expr: &Expr, side: usize, of: &Side, basis: TimeBasis) -> Option<Shifted> {
    let column = column_of(expr, &of.schema)?;
    let DataType::Timestamp(unit, _) = of.schema.field(column).data_type() else { return None };
    let (is_end, zone) = match of.roles.get(column)? {
        Role::Rowtime if basis == TimeBasis::Event => (false, None),
        Role::WindowTime if of.zone.is_none() => (false, None),
        Role::WindowEnd => (true, of.zone),
        _ => return None,
    };
    let shift = if is_end { nanos_per(*unit) } else { 0 };
    Some(Shifted { side, time: TimeColumn { column, is_end }, shift, zone })
}

/// Returns the length of an interval without months, in nanoseconds.
fn interval(expr: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = expr else { return None };
    match value {
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano {
            months: 0,
            days,
            nanoseconds,
        })) => i64::from(*days).checked_mul(DAY)?.checked_add(*nanoseconds),
        ScalarValue::IntervalDayTime(Some(span)) => i64::from(span.days)
            .checked_mul(DAY)?
            .checked_add(i64::from(span.milliseconds).checked_mul(1_000_000)?),
        ScalarValue::DurationSecond(Some(span)) => span.checked_mul(1_000_000_000),
        ScalarValue::DurationMillisecond(Some(span)) => span.checked_mul(1_000_000),
        ScalarValue::DurationMicrosecond(Some(span)) => span.checked_mul(1_000),
        ScalarValue::DurationNanosecond(Some(span)) => Some(*span),
        _ => None,
    }
}
