//! Places in the user's text, and errors that point at them.

use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::tokenizer::{Location, Span, TokenWithSpan};
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

/// Returns an error of the user's that points at `token`.
pub(crate) fn at(token: &TokenWithSpan, message: impl Into<String>) -> Error {
    Error::invalid(message).at(place(token.span))
}

/// Turns a message of the parser, which ends with `at Line: 1, Column: 8`, into an error.
pub(crate) fn parse_error(message: &str) -> Error {
    let message = message.trim_start_matches("sql parser error: ");
    let Some((text, rest)) = message.rsplit_once(" at Line: ") else {
        return Error::invalid(lower_first(message));
    };
    let mut numbers = rest.split(", Column: ").map(|number| number.trim().parse::<u64>());
    match (numbers.next(), numbers.next()) {
        (Some(Ok(line)), Some(Ok(column))) => {
            let start = Location { line, column };
            Error::invalid(lower_first(text)).at(place(Span { start, end: start }))
        }
        _ => Error::invalid(lower_first(message)),
    }
}

/// Turns an error of DataFusion's into ours, with its place where it has one.
pub(crate) fn plan_error(error: DataFusionError) -> Error {
    if let Some(own) = own_error(&error) {
        return own;
    }
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let message = match error.find_root() {
        DataFusionError::SchemaError(error, _) => error.to_string(),
        DataFusionError::Plan(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Execution(text) => text.clone(),
        DataFusionError::SQL(error, _) => return parse_error(&error.to_string()),
        other => other.strip_backtrace(),
    };
    let message = message.lines().next().unwrap_or_default().to_owned();
    let error = Error::invalid(lower_first(&message));
    match span {
        None => error,
        Some(span) => {
            let location =
                |l: datafusion::common::Location| Location { line: l.line, column: l.column };
            error.at(place(Span { start: location(span.start), end: location(span.end) }))
        }
    }
}

/// Finds an error of ours that passed through DataFusion.
fn own_error(error: &DataFusionError) -> Option<Error> {
    match error {
        DataFusionError::External(inner) => inner.downcast_ref::<Error>().cloned(),
        DataFusionError::Context(_, inner) => own_error(inner),
        DataFusionError::Diagnostic(_, inner) => own_error(inner),
        _ => None,
    }
}

/// Turns an error of ours into one that passes through DataFusion.
pub(crate) fn wrap(error: Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Turns what failed while an expression was evaluated into an error about data.
pub(crate) fn data_error(error: DataFusionError, expression: &str) -> Error {
    let message = match error.find_root() {
        DataFusionError::ArrowError(error, _) => error.to_string(),
        DataFusionError::Execution(text) => text.clone(),
        other => other.strip_backtrace(),
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
