//! `CAST` and `TRY_CAST` as Flink computes them.
//!
//! | from | to | how |
//! |---|---|---|
//! | a number | a whole number | cut off behind the point, then as Java: what is too large wraps, a floating number stops at the ends of INT and BIGINT |
//! | a number | DECIMAL | rounded half up; NULL if it does not fit |
//! | a number | BOOLEAN | is it other than 0? |
//! | a text | anything | read, without the spaces around it; an error if it cannot be |
//! | anything | CHAR(n), VARCHAR(n) | written, cut to n letters; CHAR is filled up with spaces |
//! | a time | another one | digits are cut off, never rounded |
//!
//! Invariants: `TRY_CAST` is NULL where `CAST` fails, and the same elsewhere; a cast that Flink does not
//! know is refused while planning. Times with a time zone are not cast here.

mod wrapping;
mod write;

mod read;

mod number;

mod nested;

use std::hash::Hash;
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BinaryArray, new_null_array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{
    Cast, ColumnarValue, Expr, ExprSchemable, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TryCast, Volatility,
};
use thalweg_types::Error;

use crate::text::wrap;
use crate::types::{self, Limit};

pub(crate) use wrapping::typed as wrapped;
pub(crate) use write::{column as text_of, java as double};

/// What a value becomes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Target {
    kind: DataType,
    limit: Limit,
    /// Is what cannot be cast NULL?
    tries: bool,
}

impl Target {
    /// The same for what is nested in this type.
    fn of(&self, kind: &DataType) -> Target {
        Target { kind: kind.clone(), limit: Limit::None, tries: self.tries }
    }
}

/// Returns what runs a cast, where DataFusion's means something else.
///
/// # Errors
/// `Invalid` for casts that Flink does not know.
pub(crate) fn replace(expr: &Expr, schema: &DFSchema) -> Result<Option<Expr>> {
    let (value, field, tries) = match expr {
        Expr::Cast(Cast { expr, field }) => (expr, field, false),
        Expr::TryCast(TryCast { expr, field }) => (expr, field, true),
        _ => return Ok(None),
    };
    let limit = Limit::of(field);
    let (from, kind) = (value.get_type(schema)?, field.data_type().clone());
    let is_exact = is_exact(&from, &kind) && limit == Limit::None;
    if is_exact || is_zoned(&from) || is_zoned(&kind) || is_foreign(&from) {
        return Ok(None);
    }
    if !is_known(&from, &kind) {
        let written = limit.written(&kind);
        let error = format!("a {} cannot be cast to {written}", types::name(&from));
        return Err(wrap(Error::invalid(error).remedy("cast it to STRING first, if that helps")));
    }
    let signature = Signature::any(1, Volatility::Immutable);
    let function = Casting { target: Target { kind, limit, tries }, signature };
    Ok(Some(ScalarUDF::from(function).call(vec![value.as_ref().clone()])))
}

/// Returns the type that a cast of this module makes, as it was written.
pub(crate) fn written_type(expr: &Expr) -> Option<String> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let casting = call.func.inner().downcast_ref::<Casting>()?;
    Some(casting.target.limit.written(&casting.target.kind))
}

/// Takes a cast of this module apart: its name, what it casts, and to which type.
pub(crate) fn parts(expr: &Expr) -> Option<(&'static str, &Expr, String)> {
    let Expr::ScalarFunction(call) = expr else { return None };
    let name = if call.func.name() == "try_cast" { "TRY_CAST" } else { "CAST" };
    written_type(expr).zip(call.args.first()).map(|(kind, value)| (name, value, kind))
}

fn is_zoned(kind: &DataType) -> bool {
    matches!(kind, DataType::Timestamp(_, Some(_)))
}

/// Is this a type of DataFusion's that Flink lacks? Its casts are its own.
fn is_foreign(kind: &DataType) -> bool {
    kind.is_unsigned_integer() || matches!(kind, DataType::Duration(_) | DataType::Time64(_))
}

/// Does every value keep its meaning, so that Arrow's cast does as well?
fn is_exact(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    match (from, to) {
        (D::Int8, D::Int16 | D::Int32 | D::Int64 | D::Float64) => true,
        (D::Int16, D::Int32 | D::Int64 | D::Float64) => true,
        (D::Int32, D::Int64 | D::Float64) | (D::Float32, D::Float64) => true,
        (D::Null, to) => !is_text(to),
        (from, to) => from == to || is_text(from) && is_text(to),
    }
}

/// Is this a type of texts?
pub(crate) fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

/// Does Flink know this cast?
fn is_known(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    match (from, to) {
        (D::Null, _) => true,
        (from, to) if is_text(to) => !matches!(from, D::Dictionary(_, _) | D::Union(_, _)),
        (from, to) if is_text(from) => {
            to.is_numeric()
                || to.is_binary()
                || matches!(to, D::Boolean | D::Date32 | D::Time32(_) | D::Timestamp(_, None))
        }
        (D::Boolean, to) | (to, D::Boolean) => to.is_numeric() || *to == D::Boolean,
        (D::Date32, to) => matches!(to, D::Date32 | D::Timestamp(_, None)),
        (D::Time32(_), to) => matches!(to, D::Time32(_) | D::Timestamp(_, None)),
        (D::Timestamp(_, None), to) => {
            matches!(to, D::Date32 | D::Time32(_) | D::Timestamp(_, None))
        }
        (D::List(from), D::List(to)) => is_known(from.data_type(), to.data_type()),
        (D::Map(from, _), D::Map(to, _)) => is_known(from.data_type(), to.data_type()),
        (D::Struct(from), D::Struct(to)) => {
            let pairs = from.iter().zip(to);
            let mut known = pairs.map(|(from, to)| is_known(from.data_type(), to.data_type()));
            from.len() == to.len() && known.all(|known| known)
        }
        (from, to) => from.is_numeric() && to.is_numeric() || from.is_binary() && to.is_binary(),
    }
}

/// One cast.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Casting {
    target: Target,
    signature: Signature,
}

impl ScalarUDFImpl for Casting {
    fn name(&self) -> &str {
        if self.target.tries { "try_cast" } else { "cast" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The name says all, since it tells two casts of one value apart.
    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        let value = arguments.first().map(|value| value.schema_name().to_string());
        let kind = self.target.limit.written(&self.target.kind);
        Ok(format!("{}({} AS {kind})", self.name(), value.unwrap_or_default()))
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.target.kind.clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), self.target.kind.clone(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match args.args.as_slice() {
            [ColumnarValue::Scalar(value)] => {
                let column = converted(&value.to_array()?, &self.target)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&column, 0)?))
            }
            [ColumnarValue::Array(column)] => {
                Ok(ColumnarValue::Array(converted(column, &self.target)?))
            }
            _ => Err(wrap(Error::internal("a cast of more than one value"))),
        }
    }
}

/// Casts a column.
///
/// Shapes: as many rows out as in.
fn converted(column: &ArrayRef, to: &Target) -> Result<ArrayRef> {
    use DataType as D;
    let from = column.data_type();
    match (from, &to.kind) {
        (D::Null, kind) => Ok(new_null_array(kind, column.len())),
        (from, kind) if from == kind && to.limit == Limit::None => Ok(column.clone()),
        (from, kind) if is_text(kind) => {
            if from.is_binary() {
                return write::decoded(column, to);
            }
            write::texts(column, to)
        }
        (from, kind) if is_text(from) && kind.is_binary() => {
            let texts = cast(column, &D::Binary)?;
            limited(texts.as_binary(), to.limit)
        }
        (from, kind) if from.is_binary() && kind.is_binary() => {
            let bytes = cast(column, &D::Binary)?;
            limited(bytes.as_binary(), to.limit)
        }
        (from, _) if is_text(from) => read::column(column, to),
        (D::List(_) | D::Map(_, _) | D::Struct(_), _) => nested::column(column, to),
        (D::Date32 | D::Time32(_) | D::Timestamp(_, _), _) => times(column, to),
        _ => number::column(column, to),
    }
}

/// Cuts bytes, or fills them up with zeros.
fn limited(bytes: &BinaryArray, limit: Limit) -> Result<ArrayRef> {
    let fitted = |bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        match limit {
            Limit::Exactly(length) => bytes.resize(length, 0),
            Limit::Most(length) => bytes.truncate(length),
            Limit::Digits(_) | Limit::None => {}
        }
        bytes
    };
    let fitted = bytes.iter().map(|bytes| bytes.map(fitted));
    Ok(Arc::new(fitted.collect::<BinaryArray>()))
}

const DAY_NANOS: i128 = 86_400 * 1_000_000_000;

fn nanos(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// Nanoseconds of one value of a type of times.
fn tick(kind: &DataType) -> i128 {
    match kind {
        DataType::Date32 => DAY_NANOS,
        DataType::Time32(unit) | DataType::Timestamp(unit, _) => nanos(*unit),
        _ => 1,
    }
}

/// Casts times to times.
fn times(column: &ArrayRef, to: &Target) -> Result<ArrayRef> {
    let from = column.data_type();
    let counts = match from {
        DataType::Timestamp(_, _) => cast(column, &DataType::Int64)?,
        _ => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
    };
    let counts = counts.as_primitive::<Int64Type>();
    let kept = to.limit.tick().max(tick(&to.kind));
    let (before, after) = (tick(from), tick(&to.kind));
    let converted = counts.iter().map(|count| {
        let nanos = i128::from(count?) * before;
        let nanos = if matches!(to.kind, DataType::Time32(_)) {
            nanos.rem_euclid(DAY_NANOS)
        } else {
            nanos
        };
        i64::try_from(nanos.div_euclid(kept) * kept / after).ok()
    });
    wrapping::typed(converted.collect(), &to.kind)
}

#[cfg(test)]
mod tests;
