//! The clause in the tokens of a query.

use std::time::Duration;

use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan};
use thalweg_plan::pane::Accumulation;
use thalweg_types::{Error, Place, Result};

use super::mark::Emits;
use super::{Emit, Every, Mode, Options};
use crate::text::{self, located};
use crate::tokens::Tokens;

/// What the clause needs to know from outside.
pub(crate) trait Surroundings {
    /// Returns the length of an interval.
    ///
    /// # Errors
    /// `Invalid` if it is none of fixed length.
    fn span(&self, interval: &[TokenWithSpan]) -> Result<Duration>;

    /// Returns the columns of a table.
    ///
    /// # Errors
    /// `Invalid` if there is no such table.
    fn columns(&self, table: &str) -> Result<Vec<String>>;
}

/// A query in parentheses, or the outermost one.
#[derive(Default)]
struct Level {
    /// Where its SELECTs stand.
    selects: Vec<Location>,
}

/// Takes each `EMIT …` out of the tokens of a query.
///
/// # Errors
/// `Invalid`, at what is wrong in the clause.
pub(crate) fn take(
    tokens: &[TokenWithSpan],
    around: &dyn Surroundings,
) -> Result<(Vec<TokenWithSpan>, Emits)> {
    let (mut out, mut emits) = (Vec::with_capacity(tokens.len()), Emits::default());
    let mut levels = vec![Level::default()];
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let mut rest = Tokens::new(tokens.get(at..).unwrap_or(&[]));
        let is_clause = rest.take_word("EMIT")
            && ["AFTER", "CHANGES", "FINAL"].iter().any(|word| rest.clone().take_word(word));
        if is_clause {
            let emit = clause(&mut rest, token, around)?;
            let select = levels.pop().ok_or_else(|| misplaced(token))?.selects;
            let [select] = select.as_slice() else { return Err(misplaced(token)) };
            emits.add(*select, emit);
            levels.push(Level::default());
            at = tokens.len() - rest.rest().len();
            continue;
        }
        match &token.token {
            Token::LParen => levels.push(Level::default()),
            Token::RParen if levels.len() > 1 => drop(levels.pop()),
            _ if Tokens::new(std::slice::from_ref(token)).take_word("SELECT") => {
                if let Some(level) = levels.last_mut() {
                    level.selects.push(token.span.start);
                }
            }
            _ => {}
        }
        out.push(token.clone());
        at += 1;
    }
    Ok((out, emits))
}

fn misplaced(token: &TokenWithSpan) -> Error {
    text::at(token, "EMIT stands behind the GROUP BY of one SELECT")
        .remedy("put each query of a UNION into parentheses, with an EMIT of its own")
}

/// Reads the clause behind `EMIT`, which ends its query.
fn clause(
    tokens: &mut Tokens<'_>,
    first: &TokenWithSpan,
    around: &dyn Surroundings,
) -> Result<Emit> {
    let mode = match (tokens.take_word("CHANGES"), tokens.take_word("FINAL")) {
        (true, _) => Mode::Changes,
        (_, true) => Mode::Final,
        _ => Mode::Watermark(options(tokens, around)?),
    };
    if !tokens.is_at_end() && !tokens.clone().take_symbol(")") {
        return Err(tokens.expected("the end of the query behind EMIT"));
    }
    let Place::Sql { line, column, length } = text::place(first.span) else {
        return Err(Error::internal("a token without a place"));
    };
    Ok(Emit { mode, at: (line, column, length) })
}

fn options(tokens: &mut Tokens<'_>, around: &dyn Surroundings) -> Result<Options> {
    tokens.words(&["AFTER"])?;
    tokens.words(&["WATERMARK"])?;
    let mut options = Options::default();
    if tokens.take_words(&["AT", "PERCENTILE"]) {
        let at = tokens.peek().clone();
        let share = tokens.decimal()?.parse();
        options.percentile = Some(share.map_err(|error| located(error, &at))?);
    } else if tokens.take_words(&["OF", "EACH", "KEY"]) {
        let behind = tokens.take_word("BEHIND").then(|| span(tokens, around)).transpose()?;
        options.of_each_key = Some(behind.unwrap_or_default());
    }
    if tokens.take_words(&["WITH", "EARLY"]) {
        options.early = Some(every(tokens, around)?);
    }
    let late = tokens.peek().clone();
    if tokens.take_words(&["WITH", "LATE"]) {
        options.late = Some(every(tokens, around)?);
    }
    let known = [
        ("DISCARDING", Accumulation::Discarding),
        ("ACCUMULATING", Accumulation::Accumulating),
        ("RETRACTING", Accumulation::Retracting),
    ];
    let found = known.into_iter().find(|(word, _)| tokens.take_word(word));
    options.accumulation = found.map(|(_, accumulation)| accumulation);
    if tokens.take_words(&["ALLOWED", "LATENESS"]) {
        options.lateness = span(tokens, around)?;
    }
    if options.late.is_some() && options.lateness.is_zero() {
        return Err(text::at(&late, "WITH LATE without ALLOWED LATENESS: no late row is taken")
            .remedy("add ALLOWED LATENESS INTERVAL '1' HOUR, or for how long you can wait"));
    }
    if tokens.take_words(&["LATE", "INTO"]) {
        let at = tokens.peek().clone();
        let table = tokens.table_name()?;
        let columns = around.columns(&table).map_err(|error| located(error, &at))?;
        options.late_into = Some((table, columns));
    }
    Ok(options)
}

/// Reads `EVERY INTERVAL '1' MINUTE` or `EVERY 10 ROWS`.
fn every(tokens: &mut Tokens<'_>, around: &dyn Surroundings) -> Result<Every> {
    tokens.words(&["EVERY"])?;
    let at = tokens.peek().clone();
    if !matches!(at.token, Token::Number(..)) {
        let span = span(tokens, around)?;
        return match span.is_zero() {
            false => Ok(Every::Span(span)),
            true => Err(text::at(&at, "panes every 0 seconds").remedy("use a longer INTERVAL")),
        };
    }
    let rows = tokens.number()?;
    if !tokens.take_word("ROWS") {
        tokens.words(&["ROW"]).map_err(|_| tokens.expected("ROWS"))?;
    }
    match rows {
        0 => Err(text::at(&at, "panes every 0 rows").remedy("use a number above 0")),
        rows => Ok(Every::Rows(rows)),
    }
}

/// Reads `INTERVAL '1' MINUTE`, perhaps with a precision and `TO SECOND`.
pub(crate) fn span(tokens: &mut Tokens<'_>, around: &dyn Surroundings) -> Result<Duration> {
    let first = tokens.peek().clone();
    let all = tokens.rest();
    tokens.words(&["INTERVAL"]).map_err(|_| tokens.expected("INTERVAL '1' MINUTE"))?;
    tokens.string()?;
    unit(tokens)?;
    if tokens.take_word("TO") {
        unit(tokens)?;
    }
    let interval = &all[..all.len() - tokens.rest().len()];
    around.span(interval).map_err(|error| located(error, &first))
}

fn unit(tokens: &mut Tokens<'_>) -> Result<()> {
    tokens.word()?;
    if tokens.take_symbol("(") {
        tokens.number()?;
        tokens.symbol(")")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
