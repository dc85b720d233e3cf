//! What depends on the session's time zone (`table.local-time-zone`).
//!
//! A `TIMESTAMP_LTZ` is an instant; what clocks show at it is a matter of the zone of the statement
//! that asks. So a statement's expressions are rewritten once their types are known, before
//! constants are folded: wherever DataFusion would take an instant for a local time, or make one of
//! it, a function stands between them that holds the zone.
//!
//! Invariants: nothing is rewritten in UTC, where both are the same number; rewriting twice equals
//! rewriting once; an expression keeps its name and its type.
//!
//! | SQL | becomes |
//! |---|---|
//! | `CAST(ltz AS …)` | `CAST(to_local(ltz) AS …)` |
//! | `CAST(t AS TIMESTAMP_LTZ)` | `to_instant(CAST(t AS TIMESTAMP))` |
//! | `DATE_FORMAT(ltz, …)`, `EXTRACT(… FROM ltz)` | of `to_local(ltz)` |
//! | `FLOOR(ltz TO …)`, `CEIL` | `ltz + (FLOOR(to_local(ltz) TO …) - to_local(ltz))` |
//! | `CURRENT_DATE`, `LOCALTIMESTAMP`, … | `CAST(to_local(NOW()) AS …)` |
//! | `FROM_UNIXTIME(n, …)` | `DATE_FORMAT(to_local(TO_TIMESTAMP_LTZ(n, 0)), …)` |
//! | `UNIX_TIMESTAMP(text, …)` | `to_epoch(UNIX_TIMESTAMP(text, …))` |

use std::any::Any;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use datafusion::arrow::compute::cast as cast_array;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, TryCast, Volatility, cast, lit,
};
use thalweg_types::Zone;
use thalweg_types::zone::Overlap;

use crate::functions::{clock_types, date_format, now, to_timestamp_ltz};

/// Returns a plan whose types are coerced as it is meant in `zone`.
pub(crate) fn plan(plan: LogicalPlan, zone: Zone) -> Result<LogicalPlan> {
    if zone.is_utc() {
        return Ok(plan);
    }
    let rewritten = plan.transform_up(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        let rewritten = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let rewritten = expr.transform_up(|expr| step(expr, &schema, zone))?;
            Ok(rewritten.update_data(|expr| name.restore(expr)))
        })?;
        rewritten.map_data(LogicalPlan::recompute_schema)
    });
    Ok(rewritten?.data)
}

/// Returns an expression whose types are coerced as it is meant in `zone`.
pub(crate) fn expression(expr: Expr, schema: &DFSchema, zone: Zone) -> Result<Expr> {
    match zone.is_utc() {
        true => Ok(expr),
        false => Ok(expr.transform_up(|expr| step(expr, schema, zone))?.data),
    }
}

/// Returns what clocks in `zone` show at the instants that `expr` gives.
pub(crate) fn to_local(expr: Expr, zone: Zone) -> Expr {
    Move::Local.call(expr, zone)
}

/// Returns the zone that `expr` depends on, if it depends on one.
pub(crate) fn zone_of(expr: &Expr) -> Option<Zone> {
    let mut zone = None;
    let found = expr.exists(|expr| {
        if let Expr::ScalarFunction(call) = expr {
            let function: &dyn Any = call.func.inner().as_ref();
            zone = zone.or(function.downcast_ref::<InZone>().map(|function| function.zone));
        }
        Ok(zone.is_some())
    });
    found.ok().and(zone)
}

/// Is this `TIMESTAMP_LTZ`?
pub(crate) fn is_instant(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(_, Some(_)))
}

/// Rewrites an expression whose arguments are rewritten.
fn step(expr: Expr, schema: &DFSchema, zone: Zone) -> Result<Transformed<Expr>> {
    let rewritten = match &expr {
        Expr::Cast(Cast { expr: value, field }) => {
            let to = |value, kind| Expr::Cast(Cast::new(Box::new(value), kind));
            moved((value, field.data_type()), to, schema, zone)?
        }
        Expr::TryCast(TryCast { expr: value, field }) => {
            let to = |value, kind| Expr::TryCast(TryCast::new(Box::new(value), kind));
            moved((value, field.data_type()), to, schema, zone)?
        }
        Expr::ScalarFunction(call) => function(call, schema, zone)?,
        _ => None,
    };
    Ok(rewritten.map_or(Transformed::no(expr), Transformed::yes))
}

/// Rewrites the cast of a value to a type.
fn moved(
    (value, kind): (&Expr, &DataType),
    to: impl Fn(Expr, DataType) -> Expr,
    schema: &DFSchema,
    zone: Zone,
) -> Result<Option<Expr>> {
    use DataType::{Date32, LargeUtf8, Time32, Timestamp, Utf8, Utf8View};
    let value = value.clone();
    Ok(match (value.get_type(schema)?, kind) {
        (
            Timestamp(_, Some(_)),
            Utf8 | LargeUtf8 | Utf8View | Date32 | Time32(_) | Timestamp(_, None),
        ) => Some(to(to_local(value, zone), kind.clone())),
        (Utf8 | LargeUtf8 | Utf8View | Date32 | Timestamp(_, None), Timestamp(unit, Some(_))) => {
            Some(Move::Instant.call(to(value, Timestamp(*unit, None)), zone))
        }
        _ => None,
    })
}

/// Rewrites a call.
fn function(call: &ScalarFunction, schema: &DFSchema, zone: Zone) -> Result<Option<Expr>> {
    let arguments = call.args.as_slice();
    Ok(match (call.func.name(), arguments) {
        ("date_format" | "date_part", _) => local_arguments(call, schema, zone)?,
        ("timestampdiff", [_, start, end])
            if is_instant(&start.get_type(schema)?) != is_instant(&end.get_type(schema)?) =>
        {
            local_arguments(call, schema, zone)?
        }
        ("floor" | "ceil", [time, unit]) if is_instant(&time.get_type(schema)?) => {
            // As in Flink, by the offset that clocks have at the time itself.
            let local = to_local(time.clone(), zone);
            let moved = call.func.call(vec![local.clone(), unit.clone()]);
            Some(time.clone() + (moved - local))
        }
        ("from_unixtime", [seconds, pattern @ ..]) => {
            let instant = to_timestamp_ltz().call(vec![seconds.clone(), lit(0_i64)]);
            let standard = || lit("yyyy-MM-dd HH:mm:ss");
            let pattern = pattern.first().cloned().unwrap_or_else(standard);
            Some(date_format().call(vec![to_local(instant, zone), pattern]))
        }
        ("unix_timestamp", [_, ..]) => {
            Some(Move::Epoch.call(Expr::ScalarFunction(call.clone()), zone))
        }
        (name, []) => match clock_types(name).as_deref() {
            Some([.., kind]) if kind.is_temporal() && !is_instant(kind) => {
                Some(cast(to_local(now().call(Vec::new()), zone), kind.clone()))
            }
            _ => None,
        },
        _ => None,
    })
}

/// Gives a function local times where it takes instants.
fn local_arguments(call: &ScalarFunction, schema: &DFSchema, zone: Zone) -> Result<Option<Expr>> {
    let mut arguments = call.args.clone();
    let mut is_changed = false;
    for argument in &mut arguments {
        if is_instant(&argument.get_type(schema)?) {
            *argument = to_local(argument.clone(), zone);
            is_changed = true;
        }
    }
    Ok(is_changed.then(|| call.func.call(arguments)))
}

/// What a function makes of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Move {
    /// `TIMESTAMP_LTZ` to `TIMESTAMP`.
    Local,
    /// `TIMESTAMP` to `TIMESTAMP_LTZ`.
    Instant,
    /// Seconds of a local time to seconds of the instant, as Java's `SimpleDateFormat` does it.
    Epoch,
}

impl Move {
    fn call(self, argument: Expr, zone: Zone) -> Expr {
        ScalarUDF::from(InZone::new(self, zone)).call(vec![argument])
    }
}

/// A function that holds a zone.
#[derive(Debug, PartialEq, Eq, Hash)]
struct InZone {
    /// With the zone, so that whoever compares or shows expressions sees it.
    name: String,
    zone: Zone,
    does: Move,
    signature: Signature,
}

impl InZone {
    fn new(does: Move, zone: Zone) -> InZone {
        let name = match does {
            Move::Local => "to_local",
            Move::Instant => "to_instant",
            Move::Epoch => "to_epoch",
        };
        let signature = Signature::any(1, Volatility::Immutable);
        InZone { name: format!("{name}[{zone}]"), zone, does, signature }
    }

    fn apply(&self, column: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
        let unit = match kind {
            DataType::Timestamp(unit, _) => *unit,
            _ => TimeUnit::Second,
        };
        let zoned = self.zone.in_unit(unit);
        let times = cast_array(column, &DataType::Int64)?;
        let times = times.as_primitive::<Int64Type>();
        let values = times.values().iter().copied();
        let values: Vec<i64> = match self.does {
            Move::Local => values.map(zoned.locals()).collect(),
            Move::Instant => values.map(|t| zoned.instant(t, Overlap::Earlier)).collect(),
            Move::Epoch => {
                // A text that is no time keeps the number that says so.
                let moved = |t| if t == i64::MIN { t } else { zoned.instant(t, Overlap::Later) };
                values.map(moved).collect()
            }
        };
        let moved = Int64Array::new(values.into(), times.nulls().cloned());
        Ok(cast_array(&moved, kind)?)
    }
}

impl ScalarUDFImpl for InZone {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, kinds: &[DataType]) -> Result<DataType> {
        Ok(match (self.does, kinds) {
            (Move::Local, [DataType::Timestamp(unit, _)]) => DataType::Timestamp(*unit, None),
            (Move::Instant, [DataType::Timestamp(unit, _)]) => {
                DataType::Timestamp(*unit, Some("UTC".into()))
            }
            _ => DataType::Int64,
        })
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let kinds: Vec<DataType> = args.arg_fields.iter().map(|f| f.data_type().clone()).collect();
        let is_nullable = args.arg_fields.iter().any(|field| field.is_nullable());
        Ok(Arc::new(Field::new(&self.name, self.return_type(&kinds)?, is_nullable)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kind = args.return_field.data_type();
        Ok(match &args.args[0] {
            ColumnarValue::Array(column) => ColumnarValue::Array(self.apply(column, kind)?),
            ColumnarValue::Scalar(value) => {
                let moved = self.apply(&value.to_array()?, kind)?;
                ColumnarValue::Scalar(ScalarValue::try_from_array(&moved, 0)?)
            }
        })
    }
}
