//! Where DataFusion means something else by what Flink's SQL says.
//!
//! Invariants: an expression is replaced before types are coerced and constants folded, so that a
//! constant means the same as a column; it keeps its name and its type. Replacing is done once:
//! what takes the place of an expression is not looked at again.
//!
//! | SQL | Flink, or the standard | DataFusion |
//! |---|---|---|
//! | `CONCAT(a, NULL)`, `GREATEST(a, NULL)`, `LEAST` | NULL | NULL is left out |
//! | `LOG(x)` | the natural logarithm | the one to base 10 |
//! | `OVERLAY(s PLACING p FROM 99)` | `s` | with `p` behind it |
//! | `LEFT(s, -1)`, `RIGHT(s, -1)` | empty | all but one |
//! | `ARRAY_CONCAT(a, NULL)`, `ARRAY_APPEND(NULL, e)`, `ARRAY_PREPEND` | NULL | NULL is left out |
//! | `EXTRACT(CENTURY FROM t)`, `DECADE`, `MILLENNIUM` | known | unknown |
//! | `ARRAY_REMOVE` | all that match | the first |
//! | `ARRAY_CONTAINS(a, NULL)` | whether there is a NULL | NULL |
//! | `ARRAY_POSITION` of what is not there | 0 | NULL |
//! | `-i`, `ABS(i)` of the least INT | the least INT | an error |
//! | `NaN > 1` | false | true |
//! | `SUBSTRING(s, -2)` | counted from the end | before the start |
//! | `s SIMILAR TO p` | the whole of `s` matches | a part of it |
//! | `EXTRACT(MILLISECOND FROM t)` | less than 1,000 | with the seconds |
//! | `EXTRACT(DOW FROM t)` | Sunday is 1 | Sunday is 0 |
//! | `a / b`, `a * b`, … of DECIMAL | as many digits as SQL Server gives | other ones |
//! | `7` | INT, if it is one | BIGINT |
//! | `EXTRACT(…)`; `REGEXP_COUNT`, `REGEXP_INSTR` | BIGINT; INT | INT or DOUBLE; BIGINT |
//! | `REGEXP_REPLACE(s, p, '$1')` | a dollar and a one | what the first group matched |
//! | `LOG(x)` | the natural logarithm | that to the base 10 |
//! | `CAST(a AS type)` | see [`casting`] | other values, and other failures |

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::{DataFusionError, Result};
use datafusion::functions::expr_fn::{character_length, coalesce, ln, substr, substring};
use datafusion::functions::math::isnan;
use datafusion::functions_nested::expr_fn::{
    array_element, array_position, array_remove_all, map_extract,
};
use datafusion::logical_expr::expr::{Like, ScalarFunction};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{
    BinaryExpr, Cast, Expr, ExprSchemable, Operator, TryCast, binary_expr, cast, lit, not, when,
};
use datafusion::optimizer::analyzer::type_coercion::TypeCoercionRewriter;
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use thalweg_types::Error;

use crate::casting;
use crate::functions::{OVERLAPS, TYPEOF, date_format, overlay};
use crate::text::wrap;
use crate::types::name;

mod decimal;

/// Replaces the expressions of a query.
#[derive(Debug)]
pub(crate) struct Meaning;

impl FunctionRewrite for Meaning {
    fn name(&self) -> &str {
        "flink"
    }

    fn rewrite(
        &self,
        expr: Expr,
        schema: &DFSchema,
        _: &ConfigOptions,
    ) -> Result<Transformed<Expr>> {
        meant(expr, schema)
    }
}

/// Returns an expression over the columns of `schema` as it is meant, its types coerced.
pub(crate) fn expression(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let meant = expr.transform_up(|expr| meant(expr, schema))?;
    simplifier(schema).coerce(meant.data, schema)
}

/// Returns what coerces the types of expressions over the columns of `schema`, and folds constants.
pub(crate) fn simplifier(schema: &DFSchema) -> ExprSimplifier {
    let context = SimplifyContext::builder().with_schema(Arc::new(schema.clone())).build();
    ExprSimplifier::new(context)
}

/// Functions whose result has another type in Flink.
const ROUNDING: [&str; 3] = ["ceil", "floor", "round"];
/// More of them.
const RETYPED: [&str; 3] = ["mod", "date_part", OVERLAPS];

/// Replaces `expr`, and not what stands in it, by what it means.
pub(crate) fn meant(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let replaced = match &expr {
        Expr::ScalarFunction(call) if call.func.name() == TYPEOF => {
            let [value] = call.args.as_slice() else { return Ok(Transformed::no(expr)) };
            Some(lit(type_of(value, schema)?))
        }
        Expr::ScalarFunction(call) if call.func.name() == "mod" => {
            let [left, right] = call.args.as_slice() else { return Ok(Transformed::no(expr)) };
            let [left, right] = [left, right].map(|side| Box::new(side.clone()));
            let binary = BinaryExpr::new(left, Operator::Modulo, right);
            let decimal = decimal::arithmetic(&binary, schema)?;
            Some(decimal.unwrap_or(Expr::BinaryExpr(binary)))
        }
        Expr::ScalarFunction(call) if ROUNDING.contains(&call.func.name()) => {
            let rounded = decimal::rounding(call, schema)?;
            return Ok(rounded.map_or(Transformed::no(expr), Transformed::yes));
        }
        Expr::ScalarFunction(call) if call.func.name() == "abs" => absolute(call, schema)?,
        Expr::ScalarFunction(call) if call.func.name() == OVERLAPS => overlaps(call, schema)?,
        Expr::ScalarFunction(call) if call.func.name() == "get_field" => entry(call, schema)?,
        Expr::ScalarFunction(call) => function(call)?,
        Expr::BinaryExpr(binary) => match ordered(binary, schema)? {
            None => decimal::arithmetic(binary, schema)?,
            some => some,
        },
        Expr::Between(between) if between.expr.get_type(schema)?.is_floating() => {
            let is_number = not(isnan().call(vec![between.expr.as_ref().clone()]));
            Some(match between.negated {
                true => expr.clone().or(not(is_number)),
                false => expr.clone().and(is_number),
            })
        }
        Expr::Negative(value) => {
            let kind = value.get_type(schema)?;
            let zero = kind.is_integer().then(|| ScalarValue::new_zero(&kind)).transpose()?;
            zero.map(|zero| lit(zero) - value.as_ref().clone())
        }
        Expr::Literal(ScalarValue::Int64(Some(number)), about) => {
            let small = i32::try_from(*number).ok();
            let small =
                small.map(|number| Expr::Literal(ScalarValue::Int32(Some(number)), about.clone()));
            return Ok(small.map_or(Transformed::no(expr), Transformed::yes));
        }
        Expr::Like(like) => escaped(like).map(Expr::Like),
        Expr::SimilarTo(like) => Some(similar(like)?),
        _ => return replaced_cast(expr, schema),
    };
    let Some(replaced) = replaced else { return Ok(Transformed::no(expr)) };
    let keeps_type = match &expr {
        Expr::BinaryExpr(_) => false,
        Expr::ScalarFunction(call) => !RETYPED.contains(&call.func.name()),
        _ => true,
    };
    Ok(Transformed::yes(match (expr.get_type(schema), replaced.get_type(schema)) {
        (Ok(before), Ok(after)) if before != after && keeps_type => cast(replaced, before),
        _ => replaced,
    }))
}

/// Returns the type of an expression, as it is when its branches have one type.
fn type_of(value: &Expr, schema: &DFSchema) -> Result<String> {
    if let Some(written) = casting::written_type(value) {
        return Ok(written);
    }
    if let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = value {
        return Ok(format!("CHAR({})", text.chars().count()));
    }
    let coerced = value.clone().rewrite(&mut TypeCoercionRewriter::new(schema))?.data;
    Ok(name(&coerced.get_type(schema)?))
}

/// Replaces a cast to a text.
pub(crate) fn casts_to_text(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match &expr {
        Expr::Cast(Cast { field, .. }) | Expr::TryCast(TryCast { field, .. })
            if casting::is_text(field.data_type()) =>
        {
            replaced_cast(expr, schema)
        }
        _ => Ok(Transformed::no(expr)),
    }
}

/// Replaces a cast.
fn replaced_cast(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    if let Some(replaced) = casting::replace(&expr, schema)? {
        return Ok(Transformed::yes(replaced));
    }
    let (Expr::Cast(Cast { expr: value, field }) | Expr::TryCast(TryCast { expr: value, field })) =
        &expr
    else {
        return Ok(Transformed::no(expr));
    };
    let kind = field.data_type().clone();
    if !casting::is_text(&kind) {
        return Ok(Transformed::no(expr));
    }
    let pattern = match value.get_type(schema)? {
        DataType::Timestamp(TimeUnit::Second, _) => "yyyy-MM-dd HH:mm:ss",
        DataType::Timestamp(TimeUnit::Millisecond, _) => "yyyy-MM-dd HH:mm:ss.SSS",
        DataType::Timestamp(TimeUnit::Microsecond, _) => "yyyy-MM-dd HH:mm:ss.SSSSSS",
        // `DATE_FORMAT` counts microseconds.
        _ => return Ok(Transformed::no(expr)),
    };
    let text = date_format().call(vec![value.as_ref().clone(), lit(pattern)]);
    Ok(Transformed::yes(cast(text, kind)))
}

/// Lets no number be greater or less than NaN: DataFusion sorts it behind all others.
fn ordered(binary: &BinaryExpr, schema: &DFSchema) -> Result<Option<Expr>> {
    let greater = match binary.op {
        Operator::Gt | Operator::GtEq => &binary.left,
        Operator::Lt | Operator::LtEq => &binary.right,
        _ => return Ok(None),
    };
    let may_be_nan =
        greater.get_type(schema)?.is_floating() && !matches!(greater.as_ref(), Expr::Literal(..));
    let is_number = || not(isnan().call(vec![greater.as_ref().clone()]));
    Ok(may_be_nan.then(|| Expr::BinaryExpr(binary.clone()).and(is_number())))
}

/// Returns `ABS` of whole numbers, where that of the least one is itself, as in Java.
fn absolute(call: &ScalarFunction, schema: &DFSchema) -> Result<Option<Expr>> {
    let [value] = call.args.as_slice() else { return Ok(None) };
    let kind = value.get_type(schema)?;
    if !kind.is_integer() {
        return Ok(None);
    }
    let zero = lit(ScalarValue::new_zero(&kind)?);
    let is_negative = value.clone().lt(zero.clone());
    Ok(Some(when(is_negative, zero - value.clone()).otherwise(value.clone())?))
}

/// Returns whether two periods have a moment in common; either end may come first, and a second end
/// may be said by how far off it is (SQL:2016 8.15).
fn overlaps(call: &ScalarFunction, schema: &DFSchema) -> Result<Option<Expr>> {
    let [first, second, third, fourth] = call.args.as_slice() else { return Ok(None) };
    let period = |start: &Expr, end: &Expr| {
        let end = match end.get_type(schema)? {
            DataType::Interval(_) => start.clone() + end.clone(),
            _ => end.clone(),
        };
        let is_turned = end.clone().lt(start.clone());
        let least = when(is_turned.clone(), end.clone()).otherwise(start.clone())?;
        Ok::<_, DataFusionError>((least, when(is_turned, start.clone()).otherwise(end)?))
    };
    let (one, other) = (period(first, second)?, period(third, fourth)?);
    Ok(Some(one.1.gt_eq(other.0).and(other.1.gt_eq(one.0))))
}

/// Gives the key of a map its type, since DataFusion compares only what is of one type, and looks
/// up a key that differs from row to row.
fn entry(call: &ScalarFunction, schema: &DFSchema) -> Result<Option<Expr>> {
    let [map, key] = call.args.as_slice() else { return Ok(None) };
    let DataType::Map(entries, _) = map.get_type(schema)? else { return Ok(None) };
    let DataType::Struct(sides) = entries.data_type() else { return Ok(None) };
    let Some(kind) = sides.first().map(|key| key.data_type()) else { return Ok(None) };
    Ok(match key {
        Expr::Literal(key, _) if key.data_type() == *kind => None,
        Expr::Literal(key, _) => Some(call.func.call(vec![map.clone(), lit(key.cast_to(kind)?)])),
        key => {
            let found = map_extract(map.clone(), cast(key.clone(), kind.clone()));
            Some(array_element(found, lit(1_i64)))
        }
    })
}

fn function(call: &ScalarFunction) -> Result<Option<Expr>> {
    let arguments = call.args.as_slice();
    Ok(match (call.func.name(), arguments) {
        ("concat", [first, rest @ ..]) => {
            let first = cast(first.clone(), DataType::Utf8View);
            let join =
                |left, right: &Expr| binary_expr(left, Operator::StringConcat, right.clone());
            Some(rest.iter().fold(first, join))
        }
        ("greatest" | "least", [first, rest @ ..]) => {
            let is_null = |expr: &Expr| expr.clone().is_null();
            let any = rest.iter().fold(is_null(first), |any, expr| any.or(is_null(expr)));
            let null = lit(ScalarValue::Null);
            Some(when(any, null).otherwise(Expr::ScalarFunction(call.clone()))?)
        }
        ("array_remove", [array, element]) => {
            Some(array_remove_all(array.clone(), element.clone()))
        }
        ("array_position", [array, element]) => {
            let place = coalesce(vec![Expr::ScalarFunction(call.clone()), lit(0_u64)]);
            let null = array.clone().is_null().or(element.clone().is_null());
            Some(when(null, lit(ScalarValue::Null)).otherwise(place)?)
        }
        ("substr", [text, from, length @ ..]) => from_the_end(text, from, length.first())?,
        ("date_part", [Expr::Literal(part, _), time])
            if part.try_as_str().flatten().is_some_and(|part| part.eq_ignore_ascii_case("dow")) =>
        {
            let from_monday = call.func.call(vec![lit("isodow"), time.clone()]);
            Some(cast(from_monday % lit(7) + lit(1), DataType::Int64))
        }
        ("overlay", arguments) => Some(overlay().call(arguments.to_vec())),
        ("log", [number]) => Some(ln(number.clone())),
        ("left" | "right", [text, count]) => {
            if let Expr::Literal(ScalarValue::Int32(Some(0..)), _) = count {
                return Ok(None);
            }
            let none = call.func.call(vec![text.clone(), lit(0_i64)]);
            let all = Expr::ScalarFunction(call.clone());
            Some(when(count.clone().lt(lit(0_i64)), none).otherwise(all)?)
        }
        ("array_has", [array, element]) => {
            let place = array_position(array.clone(), element.clone(), lit(1_i64));
            let found = when(array.clone().is_null(), lit(ScalarValue::Null))
                .when(element.clone().is_null(), place.is_not_null())
                .otherwise(Expr::ScalarFunction(call.clone()))?;
            Some(found)
        }
        ("array_concat", arrays) => null_if_any(arrays, call)?,
        ("array_append", [array, _]) => null_if_any(std::slice::from_ref(array), call)?,
        ("array_prepend", [_, array]) => null_if_any(std::slice::from_ref(array), call)?,
        ("date_part", [Expr::Literal(part, _), time]) => {
            let part = part.try_as_str().flatten().unwrap_or_default().to_ascii_lowercase();
            let year = || call.func.call(vec![lit("year"), time.clone()]);
            let part = match part.as_str() {
                "millisecond" => Expr::ScalarFunction(call.clone()) % lit(1000),
                "decade" => year() / lit(10),
                "century" => (year() + lit(99)) / lit(100),
                "millennium" => (year() + lit(999)) / lit(1000),
                _ => Expr::ScalarFunction(call.clone()),
            };
            Some(cast(part, DataType::Int64))
        }
        _ => None,
    })
}

/// Returns `call`, or NULL where one of `arguments` is.
fn null_if_any(arguments: &[Expr], call: &ScalarFunction) -> Result<Option<Expr>> {
    let is_null = arguments.iter().map(|argument| argument.clone().is_null());
    let Some(any) = is_null.reduce(Expr::or) else { return Ok(None) };
    let call = Expr::ScalarFunction(call.clone());
    Ok(Some(when(any, lit(ScalarValue::Null)).otherwise(call)?))
}

/// Returns `SUBSTRING(text, from, length)` for a place that may be counted from the end, or be 0,
/// which is the start.
fn from_the_end(text: &Expr, from: &Expr, length: Option<&Expr>) -> Result<Option<Expr>> {
    let is_counted = |number: &Expr, least: i32| matches!(number, Expr::Literal(ScalarValue::Int32(Some(number)), _) if *number >= least);
    let is_plain = length.is_none_or(|length| is_counted(length, 0));
    if is_counted(from, 1) && is_plain {
        return Ok(None);
    }
    let part = |from: Expr| match length {
        None => Ok(substr(text.clone(), from)),
        Some(length) if is_plain => Ok(substring(text.clone(), from, length.clone())),
        // A negative length gives NULL.
        Some(length) => {
            let part = substring(text.clone(), from, length.clone());
            when(length.clone().gt_eq(lit(0)), part).end()
        }
    };
    let from = cast(from.clone(), DataType::Int64);
    let counted = cast(character_length(text.clone()), DataType::Int64) + from.clone() + lit(1_i64);
    let replaced = when(from.clone().gt(lit(0_i64)), part(from.clone())?)
        .when(from.clone().eq(lit(0_i64)), part(lit(1_i64))?)
        .when(counted.clone().gt(lit(0_i64)), part(counted.clone())?)
        .when(counted.lt_eq(lit(0_i64)), lit(""))
        .end()?;
    Ok(Some(replaced))
}

/// Returns `LIKE` with the backslash as its escape, which is the only one that runs.
fn escaped(like: &Like) -> Option<Like> {
    let escape = like.escape_char.filter(|escape| *escape != '\\')?;
    let Expr::Literal(value, _) = like.pattern.as_ref() else { return None };
    let mut pattern = String::new();
    let mut letters = value.try_as_str().flatten()?.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => pattern.push_str("\\\\"),
            letter if letter == escape => {
                pattern.push('\\');
                pattern.extend(letters.next());
            }
            letter => pattern.push(letter),
        }
    }
    Some(Like { pattern: Box::new(lit(pattern)), escape_char: None, ..like.clone() })
}

/// Returns `SIMILAR TO` as a match of the whole text (SQL:2016 8.6).
fn similar(like: &Like) -> Result<Expr> {
    let text = match like.pattern.as_ref() {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    };
    let Some(text) = text else {
        let error = Error::invalid("SIMILAR TO takes a constant pattern");
        return Err(wrap(error.remedy("use REGEXP, or a constant")));
    };
    let mut pattern = "(?s)^(?:".to_owned();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match letter {
            letter if like.escape_char == Some(letter) => {
                pattern.push_str(&regex::escape(&letters.by_ref().take(1).collect::<String>()));
            }
            '%' => pattern.push_str(".*"),
            '_' => pattern.push('.'),
            '.' | '^' | '$' | '\\' => pattern.extend(['\\', letter]),
            letter => pattern.push(letter),
        }
    }
    pattern.push_str(")$");
    let operator = if like.negated { Operator::RegexNotMatch } else { Operator::RegexMatch };
    Ok(Expr::BinaryExpr(BinaryExpr::new(like.expr.clone(), operator, Box::new(lit(pattern)))))
}
