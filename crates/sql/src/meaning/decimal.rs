//! Precision and scale of decimal results, as Flink derives them (Calcite's and SQL Server's rules).
//!
//! For `DECIMAL(p1, s1)` and `DECIMAL(p2, s2)`:
//!
//! | | precision | scale |
//! |---|---|---|
//! | `+`, `-` | max(s1, s2) + max(p1 - s1, p2 - s2) + 1 | max(s1, s2) |
//! | `*` | p1 + p2 + 1 | s1 + s2 |
//! | `/` | p1 - s1 + s2 + scale | max(6, s1 + p2 + 1) |
//! | `%` | min(p1 - s1, p2 - s2) + max(s1, s2) | max(s1, s2) |
//!
//! What would have more than 38 digits loses those behind the point, down to six. Whole numbers count
//! as `DECIMAL(3, 0)`, `(5, 0)`, `(10, 0)` and `(19, 0)`.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator, cast};

/// Most digits of a decimal.
const DIGITS_MAX: i32 = 38;
/// Digits behind the point that a result keeps, if it has them.
const SCALE_MIN: i32 = 6;

/// Precision and scale.
type Digits = (i32, i32);

fn digits(kind: &DataType) -> Option<Digits> {
    match kind {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(precision, scale) => Some((i32::from(*precision), i32::from(*scale))),
        _ => None,
    }
}

/// Returns the digits of a result; `None` for what is no arithmetic.
fn result((p1, s1): Digits, operator: Operator, (p2, s2): Digits) -> Option<Digits> {
    let scale = s1.max(s2);
    let (precision, scale) = match operator {
        Operator::Plus | Operator::Minus => (scale + (p1 - s1).max(p2 - s2) + 1, scale),
        Operator::Multiply => (p1 + p2 + 1, s1 + s2),
        Operator::Divide => {
            let scale = SCALE_MIN.max(s1 + p2 + 1);
            (p1 - s1 + s2 + scale, scale)
        }
        Operator::Modulo => ((p1 - s1).min(p2 - s2) + scale, scale),
        _ => return None,
    };
    if precision <= DIGITS_MAX {
        return Some((precision, scale));
    }
    let whole = precision - scale;
    Some((DIGITS_MAX, (DIGITS_MAX - whole).max(scale.min(SCALE_MIN))))
}

fn decimal((precision, scale): Digits) -> DataType {
    DataType::Decimal128(precision.clamp(1, DIGITS_MAX) as u8, scale.clamp(0, DIGITS_MAX) as i8)
}

/// Returns arithmetic with a decimal as it gives Flink's digits, rounded half up.
pub(super) fn arithmetic(binary: &BinaryExpr, schema: &DFSchema) -> Result<Option<Expr>> {
    let kinds = (binary.left.get_type(schema)?, binary.right.get_type(schema)?);
    let has_decimal = [&kinds.0, &kinds.1].iter().any(|k| matches!(k, DataType::Decimal128(_, _)));
    let (Some(left), Some(right)) = (digits(&kinds.0), digits(&kinds.1)) else { return Ok(None) };
    let Some(wanted) = result(left, binary.op, right).filter(|_| has_decimal) else {
        return Ok(None);
    };
    let mut given = binary.clone();
    let (mut first, mut second) = (left, right);
    if binary.op == Operator::Divide {
        // Arrow gives four digits more than the first operand has, cut off; one more than is
        // wanted rounds right.
        first = (DIGITS_MAX, (wanted.1 - 3).max(left.1));
    } else if binary.op == Operator::Multiply && left.1 + right.1 > DIGITS_MAX {
        // More digits behind the point than there are: each operand keeps its share.
        (first, second) = ((left.0, left.1.min(19)), (right.0, right.1.min(19)));
    }
    for (side, (before, after)) in
        [(&mut given.left, (&kinds.0, first)), (&mut given.right, (&kinds.1, second))]
    {
        if *before != decimal(after) {
            **side = cast(side.as_ref().clone(), decimal(after));
        }
    }
    Ok(Some(cast(Expr::BinaryExpr(given), decimal(wanted))))
}

/// Returns `CEIL`, `FLOOR` and `ROUND` as they give Flink's digits; of whole numbers the first two are
/// the numbers.
pub(super) fn rounding(call: &ScalarFunction, schema: &DFSchema) -> Result<Option<Expr>> {
    let Some(value) = call.args.first() else { return Ok(None) };
    let kind = value.get_type(schema)?;
    let name = call.func.name();
    let places = match (name, call.args.get(1)) {
        ("ceil" | "floor", None) if kind.is_integer() => return Ok(Some(value.clone())),
        ("ceil" | "floor" | "round", None) => 0,
        ("round", Some(Expr::Literal(ScalarValue::Int32(Some(places)), _))) => *places,
        _ => return Ok(None),
    };
    let DataType::Decimal128(precision, scale) = kind else { return Ok(None) };
    let (precision, scale) = (i32::from(precision), i32::from(scale));
    if places >= scale {
        return Ok(None);
    }
    let digits = (1 + precision - scale + places.max(0), places.max(0));
    let call = Expr::ScalarFunction(call.clone());
    Ok(Some(cast(call, decimal(digits))))
}
