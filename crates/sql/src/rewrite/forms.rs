//! Forms of Flink's that the parser lacks, tokens to tokens.
//!
//! | SQL | becomes |
//! |---|---|
//! | `INTERVAL '1 2:30' DAY TO MINUTE` | `INTERVAL '1 DAY 2 HOUR 30 MINUTE'` |
//! | `INTERVAL '1' QUARTER` | `INTERVAL '3' MONTH` |
//! | `TRIM(BOTH FROM s)` | `TRIM(BOTH ' ' FROM s)` |
//! | `CAST(v AS ROW<a INT>)`, `MAP<…>`, `ARRAY<…>` | `CAST(v AS "ROW<a INT>")`, which `types` reads |
//! | `(a, b) OVERLAPS (c, d)` | `overlaps(a, b, c, d)` |
//! | `v BETWEEN SYMMETRIC a AND b` | `v BETWEEN symmetric(a) AND b`, which `calls` knows |
//!
//! What is not understood is left as it is, for the parser to complain about at its place.

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

use super::is_word;
use crate::tokens::Tokens;
use crate::types;

/// Rewrites what begins at `at`; returns where it ends. `again` rewrites what stands within.
pub(super) fn rewrite(
    tokens: &[TokenWithSpan],
    at: usize,
    out: &mut Vec<TokenWithSpan>,
    again: fn(&[TokenWithSpan]) -> Vec<TokenWithSpan>,
) -> Option<usize> {
    let first = tokens.get(at)?;
    let mut writer = Writer { like: first.clone(), out: Vec::new() };
    let end = match &first.token {
        Token::LParen => overlaps(tokens, at, &mut writer, again),
        _ if is_word(first, "INTERVAL") => interval(tokens, at, &mut writer),
        _ if is_word(first, "FROM") => trim(tokens, at, &mut writer),
        _ if is_word(first, "AS") => nested_type(tokens, at, &mut writer),
        _ if is_word(first, "BETWEEN") => between(tokens, at, &mut writer, again),
        _ => None,
    }?;
    out.append(&mut writer.out);
    Some(end)
}

/// Tokens to be, all at one place.
pub(super) struct Writer {
    pub(super) like: TokenWithSpan,
    pub(super) out: Vec<TokenWithSpan>,
}

impl Writer {
    pub(super) fn token(&mut self, token: Token) {
        self.out.push(TokenWithSpan { token, span: self.like.span });
    }

    pub(super) fn word(&mut self, word: &str) {
        self.token(Token::make_word(word, None));
    }
}

/// Returns where the bracket at `open` is closed.
pub(super) fn closing(tokens: &[TokenWithSpan], open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Splits tokens at the commas of their level.
pub(super) fn split(tokens: &[TokenWithSpan]) -> Vec<&[TokenWithSpan]> {
    let mut rest = Tokens::new(tokens);
    let mut parts = Vec::new();
    while !rest.is_at_end() {
        parts.push(rest.expression());
        if !rest.take_symbol(",") {
            break;
        }
    }
    parts
}

fn overlaps(
    tokens: &[TokenWithSpan],
    at: usize,
    writer: &mut Writer,
    again: fn(&[TokenWithSpan]) -> Vec<TokenWithSpan>,
) -> Option<usize> {
    let word = closing(tokens, at)? + 1;
    let is_pair = tokens.get(word + 1)?.token == Token::LParen;
    if !is_pair || !is_word(tokens.get(word)?, "OVERLAPS") {
        return None;
    }
    let end = closing(tokens, word + 1)?;
    let pairs = [tokens.get(at + 1..word - 1)?, tokens.get(word + 2..end)?].map(split);
    if pairs.iter().any(|pair| pair.len() != 2) {
        return None;
    }
    writer.word("overlaps");
    writer.token(Token::LParen);
    for (number, part) in pairs.concat().into_iter().enumerate() {
        if number > 0 {
            writer.token(Token::Comma);
        }
        writer.out.extend(again(part));
    }
    writer.token(Token::RParen);
    Some(end + 1)
}

/// Units of an interval, and what stands before each but the first.
const UNITS: [(&str, char); 6] =
    [("YEAR", ' '), ("MONTH", '-'), ("DAY", ' '), ("HOUR", ' '), ("MINUTE", ':'), ("SECOND", ':')];

/// Reads a unit and how many digits it has, which does not matter.
fn unit(rest: &mut Tokens<'_>) -> Option<usize> {
    let unit = rest.word().ok()?.to_ascii_uppercase();
    if rest.take_symbol("(") {
        rest.number().ok()?;
        rest.symbol(")").ok()?;
    }
    UNITS.iter().position(|(name, _)| *name == unit)
}

fn interval(tokens: &[TokenWithSpan], at: usize, writer: &mut Writer) -> Option<usize> {
    let Token::SingleQuotedString(text) = &tokens.get(at + 1)?.token else { return None };
    let mut rest = Tokens::new(tokens.get(at + 2..)?);
    if rest.take_word("QUARTER") {
        let quarters = text.trim().parse::<i32>().ok()?.checked_mul(3)?;
        writer.word("INTERVAL");
        writer.token(Token::SingleQuotedString(quarters.to_string()));
        writer.word("MONTH");
        return Some(tokens.len() - rest.rest().len());
    }
    let first = unit(&mut rest)?;
    if !rest.take_word("TO") {
        return None;
    }
    let last = unit(&mut rest)?;
    let (sign, mut left) = match text.trim().strip_prefix('-') {
        Some(left) => ("-", left),
        None => ("", text.trim()),
    };
    let mut parts = Vec::new();
    let units = UNITS.get(first..=last)?;
    for (at, (unit, _)) in units.iter().enumerate() {
        let (part, after) = match units.get(at + 1) {
            Some((_, separator)) => left.split_once(*separator)?,
            None => (left, ""),
        };
        parts.push(format!("{sign}{part} {unit}"));
        left = after;
    }
    writer.word("INTERVAL");
    writer.token(Token::SingleQuotedString(parts.join(" ")));
    Some(tokens.len() - rest.rest().len())
}

fn trim(tokens: &[TokenWithSpan], at: usize, writer: &mut Writer) -> Option<usize> {
    let side = tokens.get(at.checked_sub(1)?)?;
    let open = tokens.get(at.checked_sub(2)?)?;
    let is_side = ["BOTH", "LEADING", "TRAILING"].iter().any(|name| is_word(side, name));
    if !is_side || open.token != Token::LParen {
        return None;
    }
    writer.token(Token::SingleQuotedString(" ".to_owned()));
    writer.word("FROM");
    Some(at + 1)
}

/// Lets a type that nests others pass through the parser as a name in quotes.
fn nested_type(tokens: &[TokenWithSpan], at: usize, writer: &mut Writer) -> Option<usize> {
    let (kind, open) = (tokens.get(at + 1)?, tokens.get(at + 2)?);
    let is_nested = match open.token {
        Token::Lt => ["ARRAY", "MAP", "ROW"].iter().any(|name| is_word(kind, name)),
        Token::LParen => is_word(kind, "ROW"),
        _ => false,
    };
    if !is_nested {
        return None;
    }
    let mut rest = Tokens::new(tokens.get(at + 1..)?);
    types::parse(&mut rest).ok()?;
    let end = tokens.len() - rest.rest().len();
    // No type ends a query.
    if tokens.get(end).map(|token| &token.token) != Some(&Token::RParen) {
        return None;
    }
    let text: Vec<String> =
        tokens.get(at + 1..end)?.iter().map(|token| token.token.to_string()).collect();
    writer.word("AS");
    writer.token(Token::make_word(&text.join(" "), Some('`')));
    Some(end)
}

fn between(
    tokens: &[TokenWithSpan],
    at: usize,
    writer: &mut Writer,
    again: fn(&[TokenWithSpan]) -> Vec<TokenWithSpan>,
) -> Option<usize> {
    let how = tokens.get(at + 1)?;
    writer.word("BETWEEN");
    if is_word(how, "ASYMMETRIC") {
        return Some(at + 2);
    }
    if !is_word(how, "SYMMETRIC") {
        return None;
    }
    let mut depth = 0_usize;
    let end = tokens.iter().enumerate().skip(at + 2).find_map(|(place, token)| {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => depth = depth.saturating_sub(1),
            _ if is_word(token, "CASE") => depth += 1,
            _ if is_word(token, "END") => depth = depth.saturating_sub(1),
            _ => {}
        }
        (depth == 0 && is_word(token, "AND")).then_some(place)
    })?;
    writer.word("symmetric");
    writer.token(Token::LParen);
    writer.out.extend(again(tokens.get(at + 2..end)?));
    writer.token(Token::RParen);
    Some(end)
}
