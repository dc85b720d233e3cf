//! `t FOR SYSTEM_TIME AS OF o.ts [AS a] ON …`: the parser does not know it.
//!
//! It becomes `t [AS a] ON __as_of(o.ts) AND …`: the condition of the join carries the time to whoever
//! plans it.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};
use thalweg_types::{Error, Result};

use super::{is_word, keyword};
use crate::text;

/// Name of what `FOR SYSTEM_TIME AS OF time` becomes: a condition that joins read and nobody computes.
pub(crate) const AS_OF: &str = "__as_of";

/// The places of a clause in the tokens.
struct Clause {
    /// The time, a column.
    time: std::ops::Range<usize>,
    /// The word `ON`.
    on: usize,
}

/// Is this where a clause begins?
fn begins(tokens: &[TokenWithSpan], at: usize) -> bool {
    let words = ["FOR", "SYSTEM_TIME", "AS", "OF"];
    words.iter().enumerate().all(|(n, word)| tokens.get(at + n).is_some_and(|t| is_word(t, word)))
}

fn read(tokens: &[TokenWithSpan], at: usize) -> Option<Clause> {
    let is_name = |at: usize| matches!(tokens.get(at).map(|t| &t.token), Some(Token::Word(_)));
    let is = |at: usize, token: Token| tokens.get(at).is_some_and(|t| t.token == token);
    let start = at + 4;
    if !is_name(start) {
        return None;
    }
    let mut end = start + 1;
    while is(end, Token::Period) && is_name(end + 1) {
        end += 2;
    }
    let mut on = end;
    if tokens.get(on).is_some_and(|token| is_word(token, "AS")) {
        on += 1;
    }
    if !tokens.get(on).is_some_and(|token| is_word(token, "ON")) {
        on += 1;
    }
    let is_on = tokens.get(on).is_some_and(|token| is_word(token, "ON"));
    is_on.then_some(Clause { time: start..end, on })
}

/// Rewrites the clause at `at`; returns where it ends.
pub(super) fn rewrite(
    tokens: &[TokenWithSpan],
    at: usize,
    out: &mut Vec<TokenWithSpan>,
) -> Option<usize> {
    if !begins(tokens, at) {
        return None;
    }
    let Clause { time, on } = read(tokens, at)?;
    let span = tokens.get(at)?.span;
    let like = |token: Token| TokenWithSpan { token, span };
    out.extend_from_slice(tokens.get(time.end..=on)?);
    out.push(like(keyword(AS_OF, Keyword::NoKeyword)));
    out.push(like(Token::LParen));
    out.extend_from_slice(tokens.get(time)?);
    out.push(like(Token::RParen));
    out.push(like(keyword("AND", Keyword::AND)));
    Some(on + 1)
}

/// Refuses a clause at `at` of another form.
///
/// # Errors
/// `Invalid`, at the clause.
pub(super) fn check(tokens: &[TokenWithSpan], at: usize) -> Result<()> {
    let is_clause = tokens.get(at).is_some_and(|token| is_word(token, "FOR"))
        && tokens.get(at + 1).is_some_and(|token| is_word(token, "SYSTEM_TIME"));
    if !is_clause || (begins(tokens, at) && read(tokens, at).is_some()) {
        return Ok(());
    }
    let error =
        Error::invalid("FOR SYSTEM_TIME AS OF needs a time column of the other table, and ON")
            .remedy("o JOIN r FOR SYSTEM_TIME AS OF o.ts ON o.key = r.key");
    Err(text::located(error, &tokens[at]))
}
