//! Hints: `t /*+ OPTIONS('key' = 'value') */` means table `t` with other options than its own.
//!
//! Invariants: a table with other options gets a name of its own, made of both, so that two uses
//! with the same options are one table; columns stay qualified by the name that the user wrote.
//! A hint is obeyed, or named in a notice because it has no meaning here, or an error.

use datafusion::sql::sqlparser::keywords::{Keyword, RESERVED_FOR_TABLE_ALIAS};
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Whitespace, Word,
};
use thalweg_plan::connector::parse_duration;
use thalweg_types::Result;

use super::{Name, Pair, options};
use crate::catalog::hinted_name;
use crate::table_hint::{Asked, TableHint, TableHints};
use crate::text::{self, suggest};
use crate::tokens::{Tokens, tokenize};
use crate::write::literal;

/// A table that a statement uses with other options.
#[derive(Clone, Debug)]
pub(crate) struct Hint {
    /// The table as it was declared.
    pub(crate) table: Name,
    /// What it is called with these options.
    pub(crate) name: String,
    pub(crate) options: Vec<Pair>,
}

/// What the hints of a statement ask for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hints {
    pub(crate) tables: Vec<Hint>,
    /// Hints that change how Flink works and nothing here.
    pub(crate) ignored: Vec<String>,
    pub(crate) of_tables: TableHints,
}

/// Flink's hints for its optimizer.
const IGNORED: [&str; 6] = [
    "MULTI_JOIN",
    "NEST_LOOP",
    "NO_MULTI_JOIN",
    "SHUFFLE_HASH",
    "SHUFFLE_MERGE",
    "UPSERT_MATERIALIZE",
];
/// Flink's hints that change what comes out or what is kept, and that are not obeyed yet.
const TO_COME: [&str; 1] = ["LOOKUP"];
/// How long the rows of tables are kept.
const STATE_TTL: &str = "STATE_TTL";
/// Which tables a join copies to all workers.
const BROADCAST: &str = "BROADCAST";

/// Takes the hints out of a statement: its tokens without them, and what they ask for.
///
/// # Errors
/// `Invalid`, at the hint.
pub(super) fn take(tokens: &[TokenWithSpan]) -> Result<(Vec<TokenWithSpan>, Hints)> {
    let (mut out, mut hints) = (Vec::with_capacity(tokens.len()), Hints::default());
    for (at, token) in tokens.iter().enumerate() {
        let Token::Whitespace(Whitespace::MultiLineComment(comment)) = &token.token else {
            out.push(token.clone());
            continue;
        };
        let inner = inside(comment, token)?;
        let select = out.last().filter(|before| is_select(before)).map(|word| word.span.start);
        let found = options_of(&mut Tokens::new(&inner), select, &mut hints)?;
        if !found.is_empty() {
            let hint = rename(&mut out, token, found)?;
            out.extend(alias(&out, tokens.get(at + 1), &hint));
            hints.tables.push(hint);
        }
    }
    Ok((out, hints))
}

/// Returns the tokens inside of a comment, in the places where they stand.
fn inside(comment: &str, at: &TokenWithSpan) -> Result<Vec<TokenWithSpan>> {
    const OPENING: u64 = "/*".len() as u64;
    let start = at.span.start;
    let tokens = tokenize(&comment.replacen('+', " ", 1));
    let mut tokens = tokens.map_err(|error| text::at(at, error.message()))?;
    let moved = |place: Location| Location {
        line: place.line + start.line - 1,
        column: match place.line {
            1 => place.column + start.column + OPENING - 1,
            _ => place.column,
        },
    };
    for token in &mut tokens {
        token.span = Span { start: moved(token.span.start), end: moved(token.span.end) };
    }
    Ok(tokens)
}

fn is_select(token: &TokenWithSpan) -> bool {
    matches!(&token.token, Token::Word(word) if word.keyword == Keyword::SELECT)
}

/// Reads `NAME(…), …` behind a `SELECT` in this place, if it is one; returns the options that are
/// asked for.
fn options_of(
    tokens: &mut Tokens<'_>,
    select: Option<Location>,
    hints: &mut Hints,
) -> Result<Vec<Pair>> {
    let mut found = Vec::new();
    while !tokens.is_at_end() {
        let at = tokens.peek().clone();
        let name = tokens.word()?.to_ascii_uppercase();
        if name == "OPTIONS" {
            found.extend(options(tokens)?);
        } else if name == STATE_TTL {
            let select = behind_select(select, &at, "STATE_TTL('table' = '1d')")?;
            let lifetimes = options(tokens)?.into_iter().map(lifetime);
            hints.of_tables.add(select, lifetimes.collect::<Result<_>>()?);
        } else if name == BROADCAST {
            let select = behind_select(select, &at, "BROADCAST(table)")?;
            hints.of_tables.add(select, copied(tokens)?);
        } else if IGNORED.contains(&name.as_str()) {
            skip_arguments(tokens)?;
            hints.ignored.push(name);
        } else if TO_COME.contains(&name.as_str()) {
            let error = text::to_come(text::RELATIONAL, &format!("hint {name} is"), "");
            return Err(text::located(error, &at));
        } else {
            let known = ["OPTIONS", STATE_TTL, BROADCAST].into_iter().chain(IGNORED);
            let known: Vec<&str> = known.collect();
            let error = text::at(&at, format!("there is no hint {name}"));
            return Err(suggest(error, &name, &known));
        }
        tokens.take_symbol(",");
    }
    Ok(found)
}

/// Returns the place of the SELECT that a hint stands behind.
fn behind_select(select: Option<Location>, at: &TokenWithSpan, form: &str) -> Result<Location> {
    let name = form.split('(').next().unwrap_or(form);
    select.ok_or_else(|| {
        text::at(at, format!("a {name} hint must stand behind SELECT"))
            .remedy(format!("write SELECT /*+ {form} */ …"))
    })
}

/// Reads the names of tables that are copied.
fn copied(tokens: &mut Tokens<'_>) -> Result<Vec<TableHint>> {
    let mut tables = Vec::new();
    tokens.symbol("(")?;
    loop {
        let at = tokens.peek().clone();
        tables.push(TableHint { table: tokens.identifier()?, at, asked: Asked::Broadcast });
        if !tokens.take_symbol(",") {
            tokens.symbol(")")?;
            return Ok(tables);
        }
    }
}

/// Reads how long the rows of a table are kept.
fn lifetime(Pair { key, value }: Pair) -> Result<TableHint> {
    let ttl = parse_duration(value.text.trim()).ok_or_else(|| {
        let message = format!("STATE_TTL of `{}` is no time span: '{}'", key.text, value.text);
        text::at(&value.at, message).remedy("write '12 h', '3 d', or 0 for ever")
    })?;
    Ok(TableHint { table: key.text, at: key.at, asked: Asked::StateTtl(ttl) })
}

fn skip_arguments(tokens: &mut Tokens<'_>) -> Result<()> {
    if !tokens.take_symbol("(") {
        return Ok(());
    }
    loop {
        tokens.expression();
        if !tokens.take_symbol(",") {
            return tokens.symbol(")");
        }
    }
}

/// Replaces the name of a table, which stands at the end of `out`.
fn rename(out: &mut Vec<TokenWithSpan>, comment: &TokenWithSpan, found: Vec<Pair>) -> Result<Hint> {
    let is_name = |token: &TokenWithSpan| match &token.token {
        Token::Word(word) => word.quote_style.is_some() || !is_clause(word.keyword),
        _ => false,
    };
    let Some(at) = out.pop_if(|token| is_name(token)) else {
        return Err(text::at(comment, "an OPTIONS hint must stand behind the name of a table"));
    };
    while out.pop_if(|token| token.token == Token::Period).is_some() {
        out.pop_if(|token| is_name(token));
    }
    let table = Name { text: Tokens::new(std::slice::from_ref(&at)).identifier()?, at };
    let written: Vec<String> = found
        .iter()
        .map(|pair| format!("{} = {}", literal(&pair.key.text), literal(&pair.value.text)))
        .collect();
    let name = hinted_name(&table.text, &written.join(", "));
    out.push(named(&name, table.at.span));
    Ok(Hint { table, name, options: found })
}

/// Is this a key word behind which a table or a column may stand?
fn is_clause(keyword: Keyword) -> bool {
    RESERVED_FOR_TABLE_ALIAS.contains(&keyword)
        || matches!(keyword, Keyword::SELECT | Keyword::FROM | Keyword::INTO | Keyword::TABLE)
}

fn named(name: &str, span: Span) -> TokenWithSpan {
    let word = Word { value: name.to_owned(), quote_style: Some('`'), keyword: Keyword::NoKeyword };
    TokenWithSpan { token: Token::Word(word), span }
}

/// Returns `AS t` for a table in FROM that has no other alias.
fn alias(out: &[TokenWithSpan], next: Option<&TokenWithSpan>, hint: &Hint) -> Vec<TokenWithSpan> {
    let before = out.len().checked_sub(2).and_then(|before| out.get(before));
    let is_in_from = before.is_some_and(|before| match &before.token {
        Token::Comma => true,
        Token::Word(word) => matches!(word.keyword, Keyword::FROM | Keyword::JOIN),
        _ => false,
    });
    let has_alias = next.is_some_and(|next| match &next.token {
        Token::Word(word) => {
            matches!(word.keyword, Keyword::AS | Keyword::FOR)
                || word.quote_style.is_some()
                || !is_clause(word.keyword)
        }
        _ => false,
    });
    if !is_in_from || has_alias {
        return Vec::new();
    }
    let span = hint.table.at.span;
    let like = |token: Token| TokenWithSpan { token, span };
    vec![like(Token::make_keyword("AS")), named(&hint.table.text, span)]
}
