//! The clause in the tokens of a query.

use std::time::Duration;

use datafusion::sql::sqlparser::ast::{Expr, Ident, Spanned};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, TokenWithSpan, Word};
use thalweg_plan::pattern::RowsPerMatch;
use thalweg_types::{Error, Result};

use super::mode::MODES;
use super::pattern::{self, Written, loosened};
use super::{MARK, Patterns};
use crate::emit::{self, Surroundings};
use crate::rewrite::Unnests;
use crate::text;
use crate::tokens::Tokens;

/// A clause as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Clause {
    /// Where the word MATCH_RECOGNIZE stands.
    pub(super) at: Span,
    pub(super) partition: Vec<Expr>,
    pub(super) order: Vec<Key>,
    /// Each with its name.
    pub(super) measures: Vec<(Expr, Ident)>,
    pub(super) rows: RowsPerMatch,
    pub(super) skip: Skip,
    pub(super) pattern: Written,
    pub(super) within: Option<Duration>,
    pub(super) subsets: Vec<(Ident, Vec<Ident>)>,
    /// The condition of each variable that has one.
    pub(super) definitions: Vec<(Ident, Expr)>,
}

/// A column of the order.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) column: Expr,
    pub(super) descending: bool,
}

/// Where the search goes on behind a match.
#[derive(Clone, Debug)]
pub(super) enum Skip {
    /// Behind the match.
    PastLast,
    /// Behind its first row.
    ToNext,
    /// At the first row of a variable.
    ToFirst(Ident),
    /// At the last row of a variable.
    ToLast(Ident),
}

/// Takes each `MATCH_RECOGNIZE (…)` out of the tokens of a query; what it reads becomes
/// `(SELECT * FROM t AS mark)`, and the mark says which of `known` it is.
///
/// # Errors
/// `Invalid`, at what is wrong in the clause.
pub(crate) fn take(
    tokens: &[TokenWithSpan],
    around: &dyn Surroundings,
    (known, unnests): (&Patterns, &Unnests),
) -> Result<Vec<TokenWithSpan>> {
    let tokens = loosened(tokens);
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let mut rest = Tokens::new(tokens.get(at..).unwrap_or(&[]));
        if !(rest.take_word("MATCH_RECOGNIZE") && rest.take_symbol("(")) {
            out.push(token.clone());
            at += 1;
            continue;
        }
        let clause = Reader { tokens: &mut rest, around, unnests }.clause(token.span)?;
        enclose(&mut out, token, known.add(clause))?;
        at = tokens.len() - rest.rest().len();
    }
    Ok(out)
}

/// Makes a sub-query of the relation at the end of `out`, which bears the mark `number`.
fn enclose(out: &mut Vec<TokenWithSpan>, clause: &TokenWithSpan, number: usize) -> Result<()> {
    let start = relation_at_end(out);
    if start == out.len() {
        return Err(text::at(clause, "MATCH_RECOGNIZE without a table before it")
            .remedy("write FROM t MATCH_RECOGNIZE (…) AS name"));
    }
    if let Some(alias) = out.get(start..).and_then(alias_at_end) {
        return Err(text::at(alias, "a name between a table and MATCH_RECOGNIZE")
            .remedy("name the result instead: t MATCH_RECOGNIZE (…) AS name"));
    }
    let like = |token: Token| TokenWithSpan { token, span: clause.span };
    let word = |word: &str| like(Token::make_word(word, None));
    let mark = Word {
        value: format!("{MARK}{number}"),
        quote_style: Some('`'),
        keyword: Keyword::NoKeyword,
    };
    let before = [like(Token::LParen), word("SELECT"), like(Token::Mul), word("FROM")];
    out.splice(start..start, before);
    out.extend([word("AS"), like(Token::Word(mark)), like(Token::RParen)]);
    Ok(())
}

/// Returns where the relation begins that stands at the end of `tokens`.
fn relation_at_end(tokens: &[TokenWithSpan]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().rev() {
        let mut word = Tokens::new(std::slice::from_ref(token));
        match token.token {
            Token::RParen => depth += 1,
            Token::LParen | Token::Comma if depth == 0 => return at + 1,
            Token::LParen => depth -= 1,
            _ if depth == 0 && (word.take_word("FROM") || word.take_word("JOIN")) => return at + 1,
            _ => {}
        }
    }
    0
}

/// Returns the name that a relation is given, if it is given one.
fn alias_at_end(relation: &[TokenWithSpan]) -> Option<&TokenWithSpan> {
    let [.., before, last] = relation else { return None };
    let is_name = matches!(last.token, Token::Word(_));
    let is_behind = matches!(before.token, Token::Word(_) | Token::RParen);
    (is_name && is_behind).then_some(last)
}

/// Words that begin a part of the clause.
const PARTS: [&str; 6] = ["ORDER", "MEASURES", "ONE", "ALL", "AFTER", "PATTERN"];

/// Reads one clause.
struct Reader<'r, 'a> {
    tokens: &'r mut Tokens<'a>,
    around: &'r dyn Surroundings,
    unnests: &'r Unnests,
}

impl Reader<'_, '_> {
    /// Reads what stands behind `MATCH_RECOGNIZE (`, and the `)`.
    fn clause(&mut self, at: Span) -> Result<Clause> {
        let partition = match self.tokens.take_words(&["PARTITION", "BY"]) {
            true => self.list(|reader| reader.expression(&PARTS))?,
            false => Vec::new(),
        };
        let order = match self.tokens.take_words(&["ORDER", "BY"]) {
            true => self.order()?,
            false => Vec::new(),
        };
        let measures = match self.tokens.take_word("MEASURES") {
            true => self.list(Self::measure)?,
            false => Vec::new(),
        };
        let rows = self.rows()?;
        let skip = match self.tokens.take_words(&["AFTER", "MATCH"]) {
            true => self.skip()?,
            false => Skip::PastLast,
        };
        self.tokens.words(&["PATTERN"])?;
        let pattern = pattern::read(self.tokens)?;
        let within = self.tokens.take_word("WITHIN").then(|| self.within()).transpose()?;
        let subsets = match self.tokens.take_word("SUBSET") {
            true => self.list(Self::subset)?,
            false => Vec::new(),
        };
        let definitions = match self.tokens.take_word("DEFINE") {
            true => self.list(Self::definition)?,
            false => Vec::new(),
        };
        self.tokens.symbol(")")?;
        Ok(Clause {
            at,
            partition,
            order,
            measures,
            rows,
            skip,
            pattern,
            within,
            subsets,
            definitions,
        })
    }

    /// Reads one or more of something, with commas between them.
    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        let mut all = vec![read(self)?];
        while self.tokens.take_symbol(",") {
            all.push(read(self)?);
        }
        Ok(all)
    }

    /// Reads an expression that ends before one of some words, or as any does.
    fn expression(&mut self, words: &[&str]) -> Result<Expr> {
        let expression = self.tokens.expression_before(words);
        if expression.is_empty() {
            return Err(self.tokens.expected("an expression"));
        }
        self.unnests.expression(&with_modes(expression))
    }

    /// Reads the columns of the order: the time, which rises, then others.
    fn order(&mut self) -> Result<Vec<Key>> {
        let first = self.tokens.clone();
        let keys = self.list(Self::key)?;
        match keys.first() {
            Some(Key { column, descending: true }) => {
                Err(Error::invalid("rows are matched in the order of time, not against it")
                    .at(text::place(column.span()))
                    .remedy("leave DESC out"))
            }
            Some(_) => Ok(keys),
            None => Err(first.expected("a column")),
        }
    }

    fn key(&mut self) -> Result<Key> {
        let words: Vec<&str> = PARTS.into_iter().chain(["ASC", "DESC"]).collect();
        let column = self.expression(&words)?;
        let descending = self.tokens.take_word("DESC");
        let _ = !descending && self.tokens.take_word("ASC");
        Ok(Key { column, descending })
    }

    fn measure(&mut self) -> Result<(Expr, Ident)> {
        let words: Vec<&str> = PARTS.into_iter().chain(["AS"]).collect();
        let value = self.expression(&words)?;
        self.tokens.words(&["AS"])?;
        Ok((value, self.tokens.name()?))
    }

    fn rows(&mut self) -> Result<RowsPerMatch> {
        if self.tokens.take_word("ONE") {
            self.tokens.words(&["ROW", "PER", "MATCH"])?;
            return Ok(RowsPerMatch::One);
        }
        if !self.tokens.take_word("ALL") {
            return Ok(RowsPerMatch::One);
        }
        self.tokens.words(&["ROWS", "PER", "MATCH"])?;
        let shows_unmatched = self.tokens.take_words(&["WITH", "UNMATCHED", "ROWS"]);
        let omits_empty = self.tokens.take_words(&["OMIT", "EMPTY", "MATCHES"]);
        self.tokens.take_words(&["SHOW", "EMPTY", "MATCHES"]);
        Ok(RowsPerMatch::All { shows_empty: !omits_empty, shows_unmatched })
    }

    fn skip(&mut self) -> Result<Skip> {
        self.tokens.words(&["SKIP"])?;
        if self.tokens.take_word("PAST") {
            self.tokens.words(&["LAST", "ROW"])?;
            return Ok(Skip::PastLast);
        }
        self.tokens.words(&["TO"])?;
        if self.tokens.take_words(&["NEXT", "ROW"]) {
            return Ok(Skip::ToNext);
        }
        let is_first = self.tokens.take_word("FIRST");
        let _ = !is_first && self.tokens.take_word("LAST");
        let variable = self.tokens.name()?;
        Ok(if is_first { Skip::ToFirst(variable) } else { Skip::ToLast(variable) })
    }

    fn within(&mut self) -> Result<Duration> {
        let first = self.tokens.peek().clone();
        let within = emit::span(self.tokens, self.around)?;
        match within.is_zero() {
            false => Ok(within),
            true => Err(text::at(&first, "no match is within 0 seconds")
                .remedy("use a longer INTERVAL, or leave WITHIN out")),
        }
    }

    fn subset(&mut self) -> Result<(Ident, Vec<Ident>)> {
        let subset = self.tokens.name()?;
        self.tokens.symbol("=")?;
        self.tokens.symbol("(")?;
        let members = self.list(|reader| reader.tokens.name())?;
        self.tokens.symbol(")")?;
        Ok((subset, members))
    }

    fn definition(&mut self) -> Result<(Ident, Expr)> {
        let variable = self.tokens.name()?;
        self.tokens.words(&["AS"])?;
        Ok((variable, self.expression(&[])?))
    }
}

/// Makes one name of `FINAL LAST`, and of `RUNNING LAST`, where a call follows.
fn with_modes(tokens: &[TokenWithSpan]) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for (at, token) in tokens.iter().enumerate() {
        let is_call = tokens.get(at + 1).is_some_and(|next| next.token == Token::LParen);
        let mode = out.last().and_then(mode_of).filter(|_| is_call);
        match (mode, &token.token) {
            (Some(mode), Token::Word(word)) => {
                let name = Token::make_word(&format!("{mode}{}", word.value), Some('`'));
                let start = out.pop().map_or(token.span.start, |before| before.span.start);
                let span = Span { start, end: token.span.end };
                out.push(TokenWithSpan { token: name, span });
            }
            _ => out.push(token.clone()),
        }
    }
    out
}

fn mode_of(token: &TokenWithSpan) -> Option<&'static str> {
    let mut word = Tokens::new(std::slice::from_ref(token));
    MODES.iter().map(|(text, _)| *text).find(|text| word.take_word(text.trim_end()))
}
