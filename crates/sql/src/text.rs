//! Places in the user's text, and errors that point at them.

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, TokenWithSpan};
use thalweg_plan::connector::nearest;
use thalweg_types::{Error, ErrorKind, Place};

/// Returns the place that `span` covers.
pub(crate) fn place(span: Span) -> Place {
    let (start, end) = (span.start, span.end);
    let length = match start.line == end.line {
        true => end.column.saturating_sub(start.column).max(1),
        false => 1,
    };
    Place::Sql { line: start.line as usize, column: start.column as usize, length: length as usize }
}

/// Returns the place that a span of DataFusion's covers.
pub(crate) fn place_in_plan(span: datafusion::common::Span) -> Place {
    let location = |l: datafusion::common::Location| Location { line: l.line, column: l.column };
    place(Span { start: location(span.start), end: location(span.end) })
}

/// Returns an error of the user's that points at `token`.
pub(crate) fn at(token: &TokenWithSpan, message: impl Into<String>) -> Error {
    Error::invalid(message).at(place(token.span))
}

/// Name in `ROADMAP.md` of what is to come.
pub(crate) const RELATIONAL: &str = "Relational streaming";

/// Returns an error about what is not there yet: what helps meanwhile, and where it is planned.
pub(crate) fn to_come(item: &str, message: &str, meanwhile: &str) -> Error {
    let planned = format!("ROADMAP.md has it under \"{item}\"");
    Error::invalid(format!("{message} not supported yet")).remedy(match meanwhile {
        "" => planned,
        meanwhile => format!("{meanwhile}; {planned}"),
    })
}

/// Points at `token` where nothing closer is known.
pub(crate) fn located(error: Error, token: &TokenWithSpan) -> Error {
    placed(error, &place(token.span))
}

/// Points at `place` where nothing closer is known.
pub(crate) fn placed(error: Error, place: &Place) -> Error {
    if error.places().is_empty() { error.at(place.clone()) } else { error }
}

/// Turns an error of the parser over `tokens` into ours; what is missing at the end is missing
/// behind the last token.
pub(crate) fn parse_error(error: &ParserError, tokens: &[TokenWithSpan]) -> Error {
    let error = parser_message(&error.to_string());
    match tokens.last() {
        Some(last) if error.places().is_empty() => {
            error.at(place(Span { start: last.span.end, end: last.span.end }))
        }
        _ => error,
    }
}

/// Reads a message of the parser, which ends with `at Line: 1, Column: 8` where it knows.
fn parser_message(message: &str) -> Error {
    let message = message.trim_start_matches("sql parser error: ");
    let (text, location) = match message.rsplit_once(" at Line: ") {
        None => (message, None),
        Some((text, rest)) => {
            let mut numbers = rest.split(", Column: ").map(|number| number.trim().parse::<u64>());
            match (numbers.next(), numbers.next()) {
                (Some(Ok(line)), Some(Ok(column))) => (text, Some(Location { line, column })),
                _ => (message, None),
            }
        }
    };
    let text = match text.strip_prefix("Expected: ").and_then(|text| text.split_once(", found: ")) {
        Some((wanted, "EOF")) => format!("expected {wanted}, found the end of the statement"),
        Some((wanted, found)) => format!("expected {wanted}, found `{found}`"),
        None => lower_first(text),
    };
    let error = Error::invalid(text);
    match location {
        None => error,
        Some(start) => error.at(place(Span { start, end: start })),
    }
}

/// Turns an error of DataFusion's into ours, with its place where it has one.
pub(crate) fn plan_error(error: DataFusionError) -> Error {
    if let Some(own) = own_error(&error) {
        return own;
    }
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let error = match error.find_root() {
        DataFusionError::SchemaError(error, _) => schema_error(error),
        DataFusionError::Plan(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Execution(text) => plan_message(text),
        DataFusionError::SQL(error, _) => parser_message(&error.to_string()),
        other => plan_message(&other.strip_backtrace()),
    };
    match span {
        Some(span) if error.places().is_empty() => error.at(place_in_plan(span)),
        _ => error,
    }
}

/// Returns the table that an error misses, if it misses one.
pub(crate) fn missing_table(error: &DataFusionError) -> Option<String> {
    match error.find_root() {
        DataFusionError::Plan(text) => {
            let name = text.strip_prefix("table '")?.strip_suffix("' not found")?;
            Some(name.trim_start_matches("datafusion.public.").to_owned())
        }
        _ => None,
    }
}

/// Letters that a name needs before another one can be near it.
const NEAR_MIN: usize = 4;

/// Adds the nearest of `candidates` as a remedy, if one is near. A short name is near to a
/// candidate only if they differ by case.
pub(crate) fn suggest(error: Error, name: &str, candidates: &[&str]) -> Error {
    let is_short = name.chars().count() < NEAR_MIN;
    let near = match is_short {
        true => candidates.iter().copied().find(|known| known.eq_ignore_ascii_case(name)),
        false => nearest(name, candidates),
    };
    match near {
        Some(near) => error.remedy(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// Columns that a message lists at most.
const LISTED_MAX: usize = 12;

fn schema_error(error: &SchemaError) -> Error {
    let full = |column: &Column| match &column.relation {
        Some(relation) => format!("{}.{}", relation.table(), column.name),
        None => column.name.clone(),
    };
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let known: Vec<String> = match field.relation {
                Some(_) => valid_fields.iter().map(full).collect(),
                None => valid_fields.iter().map(|column| column.name.clone()).collect(),
            };
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            let name = full(field);
            let error = Error::invalid(format!("there is no column `{name}`"));
            let error = suggest(error, &name, &known);
            match known.len() {
                0 => error,
                1..=LISTED_MAX => error.remedy(format!("columns are: {}", known.join(", "))),
                _ => error.remedy(format!("columns are: {}, …", known[..LISTED_MAX].join(", "))),
            }
        }
        SchemaError::AmbiguousReference { field } => {
            Error::invalid(format!("column `{}` is ambiguous", field.name))
                .remedy("write the name of its table before it")
        }
        other => Error::invalid(lower_first(&other.to_string())),
    }
}

/// Puts what DataFusion says in our words, where it says too much.
fn plan_message(text: &str) -> Error {
    if let Some((name, rest)) =
        text.strip_prefix("Invalid function '").and_then(|rest| rest.split_once('\''))
    {
        let error = Error::invalid(format!("there is no function `{name}`"));
        let near = rest.split('\'').nth(1).unwrap_or_default();
        return suggest(error, name, &[near]).remedy("SHOW FUNCTIONS lists them");
    }
    if text.starts_with("Column in SELECT must be in GROUP BY")
        && let Some(column) = text.split('"').nth(1)
    {
        let error = format!("column `{column}` is neither in GROUP BY nor inside an aggregate");
        return Error::invalid(error);
    }
    let line = text.lines().next().unwrap_or_default();
    let line = line.split(" No function matches the given name").next().unwrap_or(line);
    Error::invalid(lower_first(line.trim_end_matches('.')))
}

/// Finds an error of ours that passed through DataFusion.
fn own_error(error: &DataFusionError) -> Option<Error> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(own) = error.downcast_ref::<Error>() {
            return Some(own.clone());
        }
        next = error.source();
    }
    None
}

/// Turns an error of ours into one that passes through DataFusion.
pub(crate) fn wrap(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Turns what failed while an expression was evaluated into an error about data.
pub(crate) fn data_error(error: DataFusionError, expression: &str) -> Error {
    let message = match (own_error(&error), error.find_root()) {
        (Some(own), _) => own.message().to_owned(),
        (None, DataFusionError::ArrowError(error, _)) => error.to_string(),
        (None, DataFusionError::Execution(text)) => text.clone(),
        (None, other) => other.strip_backtrace(),
    };
    Error::new(ErrorKind::Data, format!("cannot compute `{expression}`: {}", lower_first(&message)))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        // `SELECT` and the like stay as they are.
        Some(first) if !chars.as_str().starts_with(|c: char| c.is_ascii_uppercase()) => {
            first.to_lowercase().chain(chars).collect::<String>().trim_end_matches('.').to_owned()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
