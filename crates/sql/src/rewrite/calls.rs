//! Calls that Flink writes in a form of its own, as calls with plain arguments.
//!
//! | SQL | becomes |
//! |---|---|
//! | `IF(c, a, b)` | `CASE WHEN c THEN a ELSE b END` |
//! | `IFNULL(a, b)`, `NULLIF(a, b)` | `COALESCE(a, b)`, `CASE WHEN a = b THEN NULL ELSE a END` |
//! | `TIMESTAMPADD(DAY, n, t)`, `TIMESTAMPDIFF(DAY, a, b)` | the same with `'DAY'` |
//! | `FLOOR(t TO DAY)`, `CEIL(t TO DAY)` | `floor(t, 'DAY')`, `ceil(t, 'DAY')` |
//! | `YEAR(t)`, `DAYOFWEEK(t)` … | `EXTRACT(YEAR FROM t)`, `EXTRACT(DOW FROM t)` … |
//! | `v IS JSON OBJECT`, by `tokens` an `IS … NORMALIZED` | `is_json(v, 'OBJECT')` |
//! | `v BETWEEN SYMMETRIC a AND b` | `v BETWEEN a AND b OR v BETWEEN b AND a` |
//! | `JSON_OBJECT('a' VALUE v NULL ON NULL)` | `json_object('NULL:0', 'a', v)` |
//! | `LISTAGG(v) WITHIN GROUP (ORDER BY a)` | `LISTAGG(v ORDER BY a)` |
//! | `JSON_ARRAYAGG(v NULL ON NULL)` | `json_arrayagg(v, 'NULL:0')` |
//! | `GROUPING(a, b)`, `GROUPING_ID(a, b)` | `CAST(grouping(a, b) AS BIGINT)` |
//! | `ARRAY_SORT(a, FALSE)`, `ARRAY_PREPEND(a, e)`, `ARRAY_SLICE(a, n)` | DataFusion's arguments |
//!
//! Functions whose answer would change when a job is computed again are refused here.

use datafusion::sql::sqlparser::ast::helpers::attached_token::AttachedToken;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DateTimeField, Expr,
    ExtractSyntax, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, Ident, JsonNullClause, NormalizationForm, ObjectName,
    Spanned, UnaryOperator, Value,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use thalweg_types::{Error, Result};

use crate::text;

/// Functions that give another answer each time.
const UNSTEADY: [&str; 4] = ["rand", "random", "rand_integer", "uuid"];

/// Functions over times that are another way to write EXTRACT.
const PARTS: [(&str, DateTimeField); 10] = [
    ("year", DateTimeField::Year),
    ("quarter", DateTimeField::Quarter),
    ("month", DateTimeField::Month),
    ("week", DateTimeField::Week(None)),
    ("dayofyear", DateTimeField::Doy),
    ("dayofmonth", DateTimeField::Day),
    ("dayofweek", DateTimeField::Dow),
    ("hour", DateTimeField::Hour),
    ("minute", DateTimeField::Minute),
    ("second", DateTimeField::Second),
];

/// Replaces `expr`, and not what stands in it, where it is such a call.
///
/// # Errors
/// `Invalid` for forms that do not run.
pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    let span = expr.span();
    let replaced = match expr {
        Expr::Function(function) => of_function(function, span)?,
        Expr::Floor { expr: time, field } => to_unit("floor", time, field, span),
        Expr::Ceil { expr: time, field } => to_unit("ceil", time, field, span),
        Expr::Between { expr: value, negated, low, high } => {
            symmetric(low).map(|low| either_way(value, &low, high, *negated))
        }
        Expr::IsNormalized { expr: value, form, negated } => {
            let kind = match form {
                None => return Err(Error::invalid("IS NORMALIZED is not supported")),
                Some(NormalizationForm::NFC) => "VALUE",
                Some(NormalizationForm::NFD) => "OBJECT",
                Some(NormalizationForm::NFKC) => "ARRAY",
                Some(NormalizationForm::NFKD) => "SCALAR",
            };
            let test = call("is_json", vec![value.as_ref().clone(), string(kind)], span);
            Some(match negated {
                true => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(test) },
                false => test,
            })
        }
        _ => None,
    };
    if let Some(replaced) = replaced {
        *expr = replaced;
    }
    Ok(())
}

/// Returns the one end of `BETWEEN SYMMETRIC`, which `forms` marked.
fn symmetric(low: &Expr) -> Option<Expr> {
    let Expr::Function(Function { name, args: FunctionArguments::List(list), .. }) = low else {
        return None;
    };
    let [argument] = list.args.as_slice() else { return None };
    (name.to_string() == "symmetric").then(|| plain_argument(argument)).flatten()
}

/// Returns whether `value` is between two ends of which either may be the lower one.
fn either_way(value: &Expr, one: &Expr, other: &Expr, negated: bool) -> Expr {
    let between = |low: &Expr, high: &Expr| {
        Box::new(Expr::Between {
            expr: Box::new(value.clone()),
            negated,
            low: Box::new(low.clone()),
            high: Box::new(high.clone()),
        })
    };
    let (left, right) = (between(one, other), between(other, one));
    let op = if negated { BinaryOperator::And } else { BinaryOperator::Or };
    Expr::Nested(Box::new(Expr::BinaryOp { left, op, right }))
}

fn of_function(function: &mut Function, span: Span) -> Result<Option<Expr>> {
    let name = match function.name.0.as_slice() {
        [part] => match part.as_ident() {
            Some(ident) => ident.value.to_ascii_lowercase(),
            None => return Ok(None),
        },
        _ => return Ok(None),
    };
    if UNSTEADY.contains(&name.as_str()) {
        let name = name.to_ascii_uppercase();
        let error = format!("{name} is not supported: it gives another value after a restart");
        let error = Error::invalid(error).at(text::place(span));
        return Err(error.remedy("hash a column that tells the rows apart, as by MD5"));
    }
    let FunctionArguments::List(list) = &mut function.args else { return Ok(None) };
    if name == "listagg" && !function.within_group.is_empty() {
        let order = std::mem::take(&mut function.within_group);
        list.clauses.push(FunctionArgumentClause::OrderBy(order));
    }
    if let "json_object" | "json_array" = name.as_str() {
        return Ok(Some(construct(&name, list, span)?));
    }
    if let "json_objectagg" | "json_arrayagg" = name.as_str() {
        gather(&name, list, span)?;
        return Ok(None);
    }
    let plain: Option<Vec<Expr>> = list.args.iter().map(plain_argument).collect();
    let Some(arguments) = plain else { return Ok(None) };
    if let Some((_, field)) = PARTS.iter().find(|(part, _)| *part == name)
        && let [time] = arguments.as_slice()
    {
        let (field, expr) = (field.clone(), Box::new(time.clone()));
        return Ok(Some(Expr::Extract { field, syntax: ExtractSyntax::From, expr }));
    }
    Ok(match (name.as_str(), arguments.as_slice()) {
        ("if", [condition, result, otherwise]) => {
            Some(choice(condition.clone(), result.clone(), otherwise.clone()))
        }
        ("ifnull", [value, otherwise]) => {
            Some(call("coalesce", vec![value.clone(), otherwise.clone()], span))
        }
        ("nullif", [value, other]) => {
            let (left, right) = (Box::new(value.clone()), Box::new(other.clone()));
            let is_equal = Expr::BinaryOp { left, op: BinaryOperator::Eq, right };
            Some(choice(is_equal, Expr::Value(Value::Null.into()), value.clone()))
        }
        ("timestampadd" | "timestampdiff", [Expr::Identifier(unit), rest @ ..]) => {
            let unit = unit.value.to_ascii_uppercase();
            let unit = string(unit.strip_prefix("SQL_TSI_").unwrap_or(&unit));
            Some(call(&name, [unit].into_iter().chain(rest.iter().cloned()).collect(), span))
        }
        ("array_prepend", [array, element]) => {
            Some(call(&name, vec![element.clone(), array.clone()], span))
        }
        ("array_slice", [array, from]) => {
            Some(call(&name, vec![array.clone(), from.clone(), number("-1")], span))
        }
        ("array_sort", [array, order @ ..]) if order.len() <= 2 => {
            Some(call(&name, sorting(array, order, span)?, span))
        }
        ("grouping" | "grouping_id", [_, ..]) => Some(grouping(arguments, span)),
        ("map_from_arrays", [keys, values]) => {
            Some(call("MAP", vec![keys.clone(), values.clone()], span))
        }
        _ => None,
    })
}

/// Returns `GROUPING` as the BIGINT that it is in Flink.
fn grouping(arguments: Vec<Expr>, span: Span) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(call("grouping", arguments, span)),
        data_type: DataType::BigInt(None),
        array: false,
        format: None,
    }
}

fn plain_argument(argument: &FunctionArg) -> Option<Expr> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    }
}

fn choice(condition: Expr, result: Expr, otherwise: Expr) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen { condition, result }],
        else_result: Some(Box::new(otherwise)),
    }
}

/// Returns the arguments of `ARRAY_SORT(array[, ascending[, nulls first]])`: NULL is the lowest
/// value unless it is said where it stands.
fn sorting(array: &Expr, order: &[Expr], span: Span) -> Result<Vec<Expr>> {
    let truth = |expr: &Expr| match expr {
        Expr::Value(value) => match value.value {
            Value::Boolean(truth) => Ok(truth),
            _ => Err(()),
        },
        _ => Err(()),
    };
    let truths = order.iter().map(truth).collect::<Result<Vec<bool>, ()>>();
    let truths = truths.map_err(|()| {
        let error = Error::invalid("ARRAY_SORT takes TRUE or FALSE for its order");
        error.at(text::place(span)).remedy("write ARRAY_SORT(array[, ascending[, nulls_first]])")
    })?;
    let is_ascending = truths.first().copied().unwrap_or(true);
    let is_null_first = truths.get(1).copied().unwrap_or(is_ascending);
    let order = if is_ascending { "ASC" } else { "DESC" };
    let nulls = if is_null_first { "NULLS FIRST" } else { "NULLS LAST" };
    Ok(vec![array.clone(), string(order), string(nulls)])
}

/// Returns `FLOOR(time TO unit)` as a call, if there is a unit.
fn to_unit(name: &str, time: &Expr, field: &CeilFloorKind, span: Span) -> Option<Expr> {
    match field {
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) | CeilFloorKind::Scale(_) => None,
        CeilFloorKind::DateTimeField(unit) => {
            let unit = string(&unit.to_string().to_ascii_uppercase());
            Some(call(name, vec![time.clone(), unit], span))
        }
    }
}

/// Returns `JSON_OBJECT` or `JSON_ARRAY` with what becomes of NULL before its arguments: a member
/// is `null` unless it says otherwise, an element is left out.
fn construct(name: &str, list: &FunctionArgumentList, span: Span) -> Result<Expr> {
    let refuse = |what: &str| Error::invalid(what.to_owned()).at(text::place(span));
    let mut nulls = if name == "json_object" { "NULL" } else { "ABSENT" };
    for clause in &list.clauses {
        nulls = match clause {
            FunctionArgumentClause::JsonNullClause(JsonNullClause::NullOnNull) => "NULL",
            FunctionArgumentClause::JsonNullClause(JsonNullClause::AbsentOnNull) => "ABSENT",
            other => return Err(refuse(&format!("`{other}` is not supported here"))),
        };
    }
    // What is JSON already is not quoted again: a mark for each value says so.
    let (mut arguments, mut marks) = (Vec::new(), format!("{nulls}:"));
    for argument in &list.args {
        match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) if name == "json_array" => {
                marks.push(mark(value));
                arguments.push(value.clone());
            }
            FunctionArg::ExprNamed { name: key, arg: FunctionArgExpr::Expr(value), .. }
                if name == "json_object" =>
            {
                marks.push(mark(value));
                arguments.extend([key.clone(), value.clone()]);
            }
            FunctionArg::Named { name: key, arg: FunctionArgExpr::Expr(value), .. }
                if name == "json_object" =>
            {
                marks.push(mark(value));
                // The parser takes a text for a name in quotes.
                let key = match key.quote_style {
                    Some('\'') => string(&key.value),
                    _ => Expr::Identifier(key.clone()),
                };
                arguments.extend([key, value.clone()]);
            }
            _ => {
                let error = refuse(&format!("{} takes other arguments", name.to_ascii_uppercase()));
                return Err(error.remedy("write JSON_OBJECT(KEY 'a' VALUE v) or JSON_ARRAY(v)"));
            }
        }
    }
    arguments.insert(0, string(&marks));
    Ok(call(name, arguments, span))
}

/// Rewrites the arguments of `JSON_OBJECTAGG` or `JSON_ARRAYAGG`: what becomes of NULL goes behind them.
fn gather(name: &str, list: &mut FunctionArgumentList, span: Span) -> Result<()> {
    let made = construct(name.trim_end_matches("agg"), list, span)?;
    let Expr::Function(Function { args: FunctionArguments::List(mut made), .. }) = made else {
        return Ok(());
    };
    if made.args.len() != if name == "json_objectagg" { 3 } else { 2 } {
        let error = Error::invalid(format!("{} takes one value", name.to_ascii_uppercase()));
        return Err(error.at(text::place(span)));
    }
    made.args.rotate_left(1);
    (list.args, list.clauses) = (made.args, Vec::new());
    Ok(())
}

/// Returns `1` for a call that makes JSON.
fn mark(value: &Expr) -> char {
    match value {
        Expr::Function(function) => {
            let name = function.name.to_string().to_ascii_lowercase();
            if ["json_object", "json_array"].contains(&name.as_str()) { '1' } else { '0' }
        }
        _ => '0',
    }
}

fn string(text: &str) -> Expr {
    Expr::Value(Value::SingleQuotedString(text.to_owned()).into())
}

fn number(text: &str) -> Expr {
    Expr::Value(Value::Number(text.to_owned(), false).into())
}

/// Returns a call that stands where `span` is.
fn call(name: &str, arguments: Vec<Expr>, span: Span) -> Expr {
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    Expr::Function(Function {
        name: ObjectName::from(Ident::with_span(span, name)),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.into_iter().map(argument).collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
