//! Clauses inside of calls over JSON, as plain arguments; tokens to tokens.
//!
//! | SQL | becomes |
//! |---|---|
//! | `JSON_VALUE(j, p RETURNING INT NULL ON EMPTY)` | `CAST(JSON_VALUE(j, p, 'INT', 'NULL', NULL, 'NULL', NULL) AS INT)` |
//! | `JSON_QUERY(j, p WITH WRAPPER ERROR ON ERROR)` | `JSON_QUERY(j, p, 'UNCONDITIONAL', 'NULL', 'ERROR')` |
//! | `JSON_EXISTS(j, p TRUE ON ERROR)` | `JSON_EXISTS(j, p, 'TRUE')` |
//! | `v IS JSON OBJECT` | `v IS NFD NORMALIZED`, which binds alike and which Flink lacks |
//! | `KEY 'a' VALUE v`, in `JSON_OBJECTAGG` `KEY k VALUE v` | `'a' VALUE v`, `k VALUE v` |
//! | `MAP['a', 1, 'b', 2]` | `MAP(ARRAY['a', 'b'], ARRAY[1, 2])` |
//!
//! What is not understood is left as it is, for the parser to complain about at its place.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::forms::{Writer, closing, split};
use super::is_word;
use crate::tokens::Tokens;

/// Rewrites what begins at `at`; returns where it ends. `again` rewrites what stands within.
pub(super) fn rewrite(
    tokens: &[TokenWithSpan],
    at: usize,
    out: &mut Vec<TokenWithSpan>,
    again: fn(&[TokenWithSpan]) -> Vec<TokenWithSpan>,
) -> Option<usize> {
    let first = tokens.get(at)?;
    let next = tokens.get(at + 1);
    if is_word(first, "KEY") && at > 0 {
        let is_text = matches!(next?.token, Token::SingleQuotedString(_));
        let is_first = matches!(tokens.get(at - 1)?.token, Token::LParen | Token::Comma);
        let call = at.checked_sub(2).and_then(|call| tokens.get(call));
        let is_key = match call.is_some_and(|call| is_word(call, "JSON_OBJECTAGG")) {
            true => {
                !matches!(next?.token, Token::Comma | Token::RParen) && !is_word(next?, "VALUE")
            }
            false => is_text && is_word(tokens.get(at + 2)?, "VALUE"),
        };
        return (is_key && is_first).then_some(at + 1);
    }
    if is_word(first, "IS") {
        return is_json(tokens, at, out);
    }
    let (open, names) = match next?.token {
        Token::LParen => (Token::LParen, ["JSON_VALUE", "JSON_QUERY", "JSON_EXISTS"].as_slice()),
        Token::LBracket => (Token::LBracket, ["MAP"].as_slice()),
        _ => return None,
    };
    let name = names.iter().find(|name| is_word(first, name))?;
    let end = closing(tokens, at + 1)?;
    let inner = tokens.get(at + 2..end)?;
    let mut writer = Writer { like: first.clone(), out: Vec::new() };
    match open {
        Token::LBracket => map(inner, &mut writer, again)?,
        _ => call(name, inner, &mut writer, again)?,
    }
    out.append(&mut writer.out);
    Some(end + 1)
}

impl Writer {
    /// Writes `, 'text'`.
    fn text(&mut self, text: &str) {
        self.token(Token::Comma);
        self.token(Token::SingleQuotedString(text.to_owned()));
    }

    /// Writes `, NULL` or `, CAST(value AS STRING)`; a truth value as JSON writes it.
    fn value(&mut self, value: Option<&[TokenWithSpan]>) {
        match value {
            Some([truth]) if is_word(truth, "TRUE") => return self.text("true"),
            Some([truth]) if is_word(truth, "FALSE") => return self.text("false"),
            _ => self.token(Token::Comma),
        }
        let Some(value) = value else { return self.word("NULL") };
        self.word("CAST");
        self.token(Token::LParen);
        self.out.extend_from_slice(value);
        self.word("AS");
        self.word("STRING");
        self.token(Token::RParen);
    }
}

fn is_json(tokens: &[TokenWithSpan], at: usize, out: &mut Vec<TokenWithSpan>) -> Option<usize> {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| is_word(token, word));
    let is_not = is(at + 1, "NOT");
    let json = at + 1 + usize::from(is_not);
    if !is(json, "JSON") {
        return None;
    }
    let kinds = [("VALUE", "NFC"), ("OBJECT", "NFD"), ("ARRAY", "NFKC"), ("SCALAR", "NFKD")];
    let kind = kinds.iter().find(|(word, _)| is(json + 1, word));
    let mut writer = Writer { like: tokens.get(json)?.clone(), out: Vec::new() };
    out.extend_from_slice(tokens.get(at..json)?);
    writer.word(kind.map_or("NFC", |(_, form)| form));
    writer.word("NORMALIZED");
    out.append(&mut writer.out);
    Some(json + 1 + usize::from(kind.is_some()))
}

fn map(
    inner: &[TokenWithSpan],
    writer: &mut Writer,
    again: fn(&[TokenWithSpan]) -> Vec<TokenWithSpan>,
) -> Option<()> {
    let parts = split(inner);
    if parts.is_empty() || parts.len() % 2 == 1 {
        return None;
    }
    writer.word("MAP");
    writer.token(Token::LParen);
    for half in 0..2 {
        if half == 1 {
            writer.token(Token::Comma);
        }
        writer.word("ARRAY");
        writer.token(Token::LBracket);
        for (at, part) in parts.iter().skip(half).step_by(2).enumerate() {
            if at > 0 {
                writer.token(Token::Comma);
            }
            writer.out.extend(again(part));
        }
        writer.token(Token::RBracket);
    }
    writer.token(Token::RParen);
    Some(())
}

/// Does a clause begin with the token at `at`?
fn begins_clause(tokens: &[TokenWithSpan], at: usize) -> bool {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|token| is_word(token, word));
    let any = |words: &[&str]| words.iter().any(|word| is(at, word));
    any(&["RETURNING", "WITH", "WITHOUT", "DEFAULT"])
        || any(&["NULL", "ERROR", "TRUE", "FALSE", "UNKNOWN"]) && is(at + 1, "ON")
        || any(&["EMPTY"]) && (is(at + 1, "ARRAY") || is(at + 1, "OBJECT"))
}

/// Returns where the clauses begin, which is on the level of the arguments.
fn clauses_at(tokens: &[TokenWithSpan]) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.checked_sub(1)?,
            _ if depth == 0 && at > 0 && begins_clause(tokens, at) => return Some(at),
            _ => {}
        }
    }
    None
}

/// What the clauses of a call say.
struct Clauses<'a> {
    returning: Option<&'a [TokenWithSpan]>,
    wrapper: &'static str,
    /// A word, and the value of `DEFAULT`.
    empty: (String, Option<&'a [TokenWithSpan]>),
    error: (String, Option<&'a [TokenWithSpan]>),
}

fn clauses(tokens: &[TokenWithSpan]) -> Option<Clauses<'_>> {
    let null = || ("NULL".to_owned(), None);
    let mut all = Clauses { returning: None, wrapper: "WITHOUT", empty: null(), error: null() };
    let mut rest = Tokens::new(tokens);
    // Finite: each round takes a token.
    while !rest.is_at_end() {
        if rest.take_word("RETURNING") {
            let left = rest.rest();
            let end = (1..left.len()).find(|at| begins_clause(left, *at)).unwrap_or(left.len());
            all.returning = Some(left.get(..end)?);
            rest = Tokens::new(left.get(end..)?);
        } else if rest.take_word("WITHOUT") {
            rest.take_word("ARRAY");
            rest.words(&["WRAPPER"]).ok()?;
        } else if rest.take_word("WITH") {
            let is_conditional = rest.take_word("CONDITIONAL");
            let _ = !is_conditional && rest.take_word("UNCONDITIONAL");
            rest.take_word("ARRAY");
            rest.words(&["WRAPPER"]).ok()?;
            all.wrapper = if is_conditional { "CONDITIONAL" } else { "UNCONDITIONAL" };
        } else {
            let (word, value);
            (word, value, rest) = otherwise(&rest)?;
            rest.words(&["ON"]).ok()?;
            match rest.take_word("EMPTY") {
                true => all.empty = (word, value),
                false => {
                    rest.words(&["ERROR"]).ok()?;
                    all.error = (word, value);
                }
            }
        }
    }
    Some(all)
}

type Value<'a> = Option<&'a [TokenWithSpan]>;

/// Reads `NULL`, `ERROR`, `EMPTY ARRAY`, `DEFAULT value` and the like, up to `ON`.
fn otherwise<'a>(tokens: &Tokens<'a>) -> Option<(String, Value<'a>, Tokens<'a>)> {
    let left = tokens.rest();
    let is = |at: usize, word: &str| left.get(at).is_some_and(|token| is_word(token, word));
    let ends = |at: &usize| is(*at, "ON") && (is(*at + 1, "EMPTY") || is(*at + 1, "ERROR"));
    let end = (1..left.len()).find(ends)?;
    let rest = Tokens::new(left.get(end..)?);
    if is(0, "DEFAULT") {
        return Some(("DEFAULT".to_owned(), Some(left.get(1..end)?), rest));
    }
    let words: Vec<String> =
        left.get(..end)?.iter().map(|token| token.token.to_string().to_ascii_uppercase()).collect();
    Some((words.join(" "), None, rest))
}

fn call(
    name: &str,
    inner: &[TokenWithSpan],
    writer: &mut Writer,
    again: fn(&[TokenWithSpan]) -> Vec<TokenWithSpan>,
) -> Option<()> {
    let at = clauses_at(inner)?;
    let (arguments, said) = (inner.get(..at)?, clauses(inner.get(at..)?)?);
    let kind = said.returning.and_then(|kind| kind.first());
    let kind = kind.map_or("STRING".to_owned(), |kind| kind.token.to_string().to_ascii_uppercase());
    if kind != "STRING" && name != "JSON_VALUE" {
        return None;
    }
    if said.returning.is_some() {
        writer.word("CAST");
        writer.token(Token::LParen);
    }
    writer.word(name);
    writer.token(Token::LParen);
    writer.out.extend(again(arguments));
    match name {
        "JSON_VALUE" => {
            writer.text(&kind);
            for (word, value) in [&said.empty, &said.error] {
                writer.text(word);
                writer.value(value.map(again).as_deref());
            }
        }
        "JSON_QUERY" => {
            writer.text(said.wrapper);
            writer.text(&said.empty.0);
            writer.text(&said.error.0);
        }
        _ => writer.text(&said.error.0),
    }
    writer.token(Token::RParen);
    if let Some(kind) = said.returning {
        writer.word("AS");
        writer.out.extend_from_slice(kind);
        writer.token(Token::RParen);
    }
    Some(())
}
