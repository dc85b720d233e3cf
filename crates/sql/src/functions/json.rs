//! Functions over JSON in texts.
//!
//! Invariants: members of what is written are in the order of their names, as in Flink, so that
//! the same value is the same text; a text that is no JSON is an error of the row only where the
//! call says `ERROR ON ERROR`. `rewrite` turns the clauses of the calls into arguments.

mod path;
mod value;

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, StringViewArray, StringViewBuilder,
};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use serde_json::{Map, Value};
use thalweg_types::Error;

use self::path::{Found, Path};
use super::encoding::written;
use super::{Constant, Function, Kind, constant_text, text_at};
use crate::text::wrap;

pub(super) fn all() -> Vec<Function> {
    const T: Kind = Kind::Text;
    vec![
        Function::new("JSON_VALUE(json, path [RETURNING type] …)", &[T, T, T, T, T, T, T])
            .optional(5)
            .checked(check)
            .named("json_value", |_, _| DataType::Utf8View)
            .body(json_value),
        Function::new("JSON_QUERY(json, path [WITH WRAPPER] …)", &[T, T, T, T, T])
            .optional(3)
            .checked(check)
            .named("json_query", |_, _| DataType::Utf8View)
            .body(json_query),
        Function::new("JSON_EXISTS(json, path [FALSE ON ERROR])", &[T, T, T])
            .optional(1)
            .checked(check)
            .named("json_exists", |_, _| DataType::Boolean)
            .body(json_exists),
        Function::new("text IS JSON [VALUE | OBJECT | ARRAY | SCALAR]", &[T, T])
            .named("is_json", |_, _| DataType::Boolean)
            .body(is_json),
        Function::new("JSON_STRING(value)", &[Kind::Any])
            .named("json_string", |_, _| DataType::Utf8View)
            .body(json_string),
        Function::new("JSON_QUOTE(text)", &[T])
            .named("json_quote", |_, _| DataType::Utf8View)
            .body(|columns| {
                written(&columns[0], |text, out| out.push_str(&Value::from(text).to_string()))
            }),
        Function::new("JSON_UNQUOTE(text)", &[T])
            .named("json_unquote", |_, _| DataType::Utf8View)
            .body(|columns| written(&columns[0], unquote)),
        Function::new("JSON_OBJECT([KEY] 'key' VALUE value, …)", &[T, Kind::Any])
            .optional(1)
            .repeated()
            .named("json_object", |_, _| DataType::Utf8View)
            .body(json_object),
        Function::new("JSON_ARRAY(value, …)", &[T, Kind::Any])
            .optional(1)
            .repeated()
            .named("json_array", |_, _| DataType::Utf8View)
            .body(json_array),
    ]
}

fn check(constants: &[Constant]) -> thalweg_types::Result<()> {
    constant_text(constants, 1).map_or(Ok(()), |text| Path::new(text).map(|_| ()))
}

/// What becomes of nothing, or of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Otherwise<'a> {
    Null,
    Fail,
    Text(Option<&'a str>),
}

impl<'a> Otherwise<'a> {
    /// Reads the word of a clause, in the argument `at`, for one row.
    fn new(columns: &'a [ArrayRef], at: usize, row: usize) -> Otherwise<'a> {
        let texts = |at: usize| columns.get(at).map(|column| column.as_string_view());
        match texts(at).and_then(|words| text_at(words, row)) {
            None | Some("NULL" | "UNKNOWN") => Otherwise::Null,
            Some("ERROR") => Otherwise::Fail,
            Some("EMPTY ARRAY") => Otherwise::Text(Some("[]")),
            Some("EMPTY OBJECT") => Otherwise::Text(Some("{}")),
            Some("TRUE") => Otherwise::Text(Some("true")),
            Some("FALSE") => Otherwise::Text(Some("false")),
            // `DEFAULT`: the value is the next argument.
            Some(_) => Otherwise::Text(texts(at + 1).and_then(|values| text_at(values, row))),
        }
    }

    fn answer(self, error: impl FnOnce() -> Error) -> Result<Option<&'a str>> {
        match self {
            Otherwise::Null => Ok(None),
            Otherwise::Text(text) => Ok(text),
            Otherwise::Fail => Err(wrap(error())),
        }
    }
}

/// What a call found in one row.
enum Outcome {
    Text(String),
    /// Nothing, or a JSON null.
    Empty,
    Failed(Error),
}

/// Reads texts and follows the path of each row; the same path is read once.
struct Documents<'a> {
    texts: &'a StringViewArray,
    paths: &'a StringViewArray,
    last: Option<(String, Path)>,
}

impl<'a> Documents<'a> {
    fn new(columns: &'a [ArrayRef]) -> Documents<'a> {
        let (texts, paths) = (columns[0].as_string_view(), columns[1].as_string_view());
        Documents { texts, paths, last: None }
    }

    /// Gives the value at the path of a row, if there is one, to `judge`, with whether the path is
    /// lax; `None` where the text or the path is NULL.
    fn look(
        &mut self,
        row: usize,
        judge: impl FnOnce(&Value, bool) -> Outcome,
    ) -> Result<Option<Outcome>> {
        let (texts, paths) = (self.texts, self.paths);
        let Some((text, written)) = text_at(texts, row).zip(text_at(paths, row)) else {
            return Ok(None);
        };
        if self.last.as_ref().is_none_or(|(last, _)| last != written) {
            let path = Path::new(written)
                .map_err(|error| wrap(Error::data(error.message().to_owned())))?;
            self.last = Some((written.to_owned(), path));
        }
        let Some((_, path)) = &self.last else { return Ok(None) };
        let document: Value = match serde_json::from_str(text) {
            Ok(document) => document,
            Err(_) if path.is_lax => return Ok(Some(Outcome::Empty)),
            Err(error) => {
                let error = Error::data(format!("this is no JSON: {error}"));
                return Ok(Some(Outcome::Failed(error)));
            }
        };
        Ok(Some(match path.find(&document) {
            Found::Nothing if path.is_lax => Outcome::Empty,
            Found::Nothing => {
                Outcome::Failed(Error::data(format!("nothing is at the JSON path '{written}'")))
            }
            Found::One(Value::Null) => Outcome::Empty,
            Found::One(value) => judge(value, path.is_lax),
            Found::Many(found) => {
                judge(&Value::Array(found.into_iter().cloned().collect()), path.is_lax)
            }
        }))
    }
}

/// Returns what a strict path may not lead to.
fn misplaced(wanted: &str, is_lax: bool) -> Outcome {
    match is_lax {
        true => Outcome::Empty,
        false => Outcome::Failed(Error::data(format!("a strict JSON path must lead to {wanted}"))),
    }
}

fn is_composed(value: &Value) -> bool {
    matches!(value, Value::Array(_) | Value::Object(_))
}

/// A scalar as a text.
fn json_value(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut documents = Documents::new(columns);
    let kinds = columns.get(2).map(|kinds| kinds.as_string_view());
    let mut out = StringViewBuilder::with_capacity(columns[0].len());
    for row in 0..columns[0].len() {
        let kind = kinds.and_then(|kinds| text_at(kinds, row)).unwrap_or("STRING");
        let outcome = documents.look(row, |value, is_lax| match value {
            value if is_composed(value) => misplaced("a scalar", is_lax),
            Value::String(text) => typed(text.clone(), kind),
            value => typed(value.to_string(), kind),
        })?;
        match outcome {
            None => out.append_null(),
            Some(Outcome::Text(text)) => out.append_value(text),
            Some(Outcome::Empty) => {
                let empty = || Error::data("JSON_VALUE found nothing");
                out.append_option(Otherwise::new(columns, 3, row).answer(empty)?);
            }
            Some(Outcome::Failed(error)) => {
                out.append_option(Otherwise::new(columns, 5, row).answer(|| error)?);
            }
        }
    }
    Ok(Arc::new(out.finish()))
}

/// Checks that a text reads as what `RETURNING` asks for.
fn typed(text: String, kind: &str) -> Outcome {
    let fits = match kind {
        "BOOLEAN" => text == "true" || text == "false",
        "INT" | "INTEGER" => text.parse::<i32>().is_ok(),
        "BIGINT" => text.parse::<i64>().is_ok(),
        "DOUBLE" | "FLOAT" => text.parse::<f64>().is_ok(),
        _ => true,
    };
    match fits {
        true => Outcome::Text(text),
        false => Outcome::Failed(Error::data(format!("`{text}` is not of type {kind}"))),
    }
}

/// An object or an array as a text, in an array if it is wrapped.
fn json_query(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut documents = Documents::new(columns);
    let wrappers = columns.get(2).map(|wrappers| wrappers.as_string_view());
    let mut out = StringViewBuilder::with_capacity(columns[0].len());
    for row in 0..columns[0].len() {
        let wrapper = wrappers.and_then(|words| text_at(words, row)).unwrap_or("WITHOUT");
        let outcome = documents.look(row, |value, is_lax| match wrapper {
            "CONDITIONAL" if value.is_array() => Outcome::Text(value.to_string()),
            "CONDITIONAL" | "UNCONDITIONAL" => Outcome::Text(format!("[{value}]")),
            _ if is_composed(value) => Outcome::Text(value.to_string()),
            _ => misplaced("an object or an array", is_lax),
        })?;
        match outcome {
            None => out.append_null(),
            Some(Outcome::Text(text)) => out.append_value(text),
            Some(Outcome::Empty) => {
                let empty = || Error::data("JSON_QUERY found nothing");
                out.append_option(Otherwise::new(columns, 3, row).answer(empty)?);
            }
            Some(Outcome::Failed(error)) => {
                out.append_option(Otherwise::new(columns, 4, row).answer(|| error)?);
            }
        }
    }
    Ok(Arc::new(out.finish()))
}

fn json_exists(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut documents = Documents::new(columns);
    let mut out = BooleanBuilder::with_capacity(columns[0].len());
    for row in 0..columns[0].len() {
        let outcome = documents.look(row, |_, _| Outcome::Text(String::new()))?;
        match outcome {
            None => out.append_null(),
            Some(Outcome::Text(_)) => out.append_value(true),
            Some(Outcome::Empty) => out.append_value(false),
            Some(Outcome::Failed(error)) if columns.len() > 2 => {
                let answer = Otherwise::new(columns, 2, row).answer(|| error)?;
                out.append_option(answer.map(|answer| answer == "true"));
            }
            Some(Outcome::Failed(_)) => out.append_value(false),
        }
    }
    Ok(Arc::new(out.finish()))
}

/// Is a text JSON of some kind? NULL is not.
fn is_json(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, kinds) = (columns[0].as_string_view(), columns[1].as_string_view());
    let mut out = BooleanBuilder::with_capacity(texts.len());
    for row in 0..texts.len() {
        let value: Option<Value> =
            text_at(texts, row).and_then(|text| serde_json::from_str(text).ok());
        let fits = value.is_some_and(|value| match text_at(kinds, row) {
            Some("OBJECT") => value.is_object(),
            Some("ARRAY") => value.is_array(),
            Some("SCALAR") => !is_composed(&value),
            _ => true,
        });
        out.append_value(fits);
    }
    Ok(Arc::new(out.finish()))
}

fn json_string(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let values = value::values(&columns[0])?;
    let texts = values.iter().map(|value| (!value.is_null()).then(|| value.to_string()));
    Ok(Arc::new(texts.collect::<StringViewArray>()))
}

/// Takes the quotes off a text that is a JSON string; all others stay as they are.
fn unquote(text: &str, out: &mut String) {
    match serde_json::from_str::<String>(text) {
        Ok(inner) => out.push_str(&inner),
        Err(_) => out.push_str(text),
    }
}

/// Returns a column as JSON, row by row; of texts that are JSON already, what they say.
pub(crate) fn json_values(column: &ArrayRef, is_json: bool) -> Result<Vec<Value>> {
    let mut values = value::values(column)?;
    for value in values.iter_mut().filter(|_| is_json) {
        if let Value::String(text) = value {
            let read = serde_json::from_str(text);
            *value =
                read.map_err(|error| wrap(Error::data(format!("this is no JSON: {error}"))))?;
        }
    }
    Ok(values)
}

/// Values that are to be written, and how.
struct Parts {
    /// For each value its rows.
    values: Vec<Vec<Value>>,
    /// Is a NULL left out?
    is_absent: bool,
}

impl Parts {
    /// Reads the values behind `NULL:01` or `ABSENT:01`: a `1` marks a value that is JSON already.
    fn new(first: &ArrayRef, columns: &[ArrayRef]) -> Result<Parts> {
        let word = text_at(first.as_string_view(), 0).unwrap_or_default();
        let (nulls, marks) = word.split_once(':').unwrap_or((word, ""));
        let mut values = Vec::with_capacity(columns.len());
        for (at, column) in columns.iter().enumerate() {
            values.push(json_values(column, marks.as_bytes().get(at) == Some(&b'1'))?);
        }
        Ok(Parts { values, is_absent: nulls == "ABSENT" })
    }

    /// Returns the values of a row that are not left out, with their numbers.
    fn row(&self, row: usize) -> impl Iterator<Item = (usize, Value)> {
        let values = self.values.iter().enumerate().map(move |(at, rows)| (at, rows[row].clone()));
        values.filter(|(_, value)| !(self.is_absent && value.is_null()))
    }
}

fn json_object(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let rest = &columns[1..];
    let every = |from: usize| rest.iter().skip(from).step_by(2).cloned().collect::<Vec<_>>();
    let parts = Parts::new(&columns[0], &every(1))?;
    let keys = every(0).iter().map(value::values).collect::<Result<Vec<_>>>()?;
    let mut out = StringViewBuilder::with_capacity(columns[0].len());
    for row in 0..columns[0].len() {
        let mut members = Map::new();
        for (at, value) in parts.row(row) {
            match keys.get(at).map(|rows| &rows[row]) {
                Some(Value::String(key)) => members.insert(key.clone(), value),
                _ => return Err(wrap(Error::data("a key of JSON_OBJECT must be a text"))),
            };
        }
        out.append_value(Value::Object(members).to_string());
    }
    Ok(Arc::new(out.finish()))
}

fn json_array(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let parts = Parts::new(&columns[0], &columns[1..])?;
    let arrays = (0..columns[0].len()).map(|row| {
        let elements = parts.row(row).map(|(_, value)| value).collect();
        Some(Value::Array(elements).to_string())
    });
    Ok(Arc::new(arrays.collect::<StringViewArray>()))
}
