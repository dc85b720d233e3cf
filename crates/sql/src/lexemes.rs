//! Text as it is typed: its words, and where its statements end.
//!
//! What must always hold: the lexemes of a text cover what is neither blank nor between them, in
//! order, whatever the text; a statement ends where the parser ends it, so a `;` in a text, a
//! quoted name, a comment or a statement set ends nothing. It does *not* know what a statement
//! means, nor whether it is right.
//!
//! ```
//! use thalweg_sql::lexemes::statements;
//!
//! let text = "SELECT ';'; SELECT 2";
//! let found = statements(text);
//! assert_eq!(&text[found.whole[0].clone()], "SELECT ';';");
//! assert_eq!(&text[found.rest..], " SELECT 2");
//! ```

use std::ops::Range;

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{
    Location, Token, TokenWithSpan, Tokenizer, Whitespace,
};

use crate::statement::opens_set;
use crate::tokens::Tokens;

/// What a lexeme is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// A word of the dialect.
    Keyword,
    /// A name of the user's, without quotes.
    Name,
    /// A name in quotes.
    Quoted,
    /// A text in single quotes.
    Text,
    /// A number.
    Number,
    /// A comment.
    Comment,
    /// Everything else.
    Symbol,
}

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lexeme {
    /// What it is.
    pub class: Class,
    /// Its bytes.
    pub range: Range<usize>,
    /// Is its end missing: a quote, or the end of a comment?
    pub is_open: bool,
}

/// Words of the dialect: those that statements are written with, in order.
#[rustfmt::skip]
pub const KEYWORDS: [&str; 134] = [
    "AFTER", "ALL", "AND", "ANY", "ARRAY", "AS", "ASC", "BEGIN", "BETWEEN", "BIGINT", "BINARY",
    "BOOLEAN", "BY", "BYTES", "CASE", "CAST", "CHAR", "COMMENT", "CONSTRAINT", "CREATE", "CROSS",
    "CUBE", "CUMULATE", "CURRENT", "DATE", "DAY", "DECIMAL", "DEFINE", "DESC", "DESCRIBE",
    "DESCRIPTOR", "DISTINCT", "DOUBLE", "DROP", "ELSE", "END", "ENFORCED", "EXCEPT", "EXECUTE",
    "EXISTS", "EXPLAIN", "FALSE", "FILTER", "FLOAT", "FOLLOWING", "FOR", "FROM", "FULL",
    "FUNCTIONS", "GROUP", "GROUPING", "HAVING", "HOP", "HOUR", "IF", "IN", "INNER", "INSERT", "INT",
    "INTERSECT", "INTERVAL", "INTO", "IS", "JOIN", "KEY", "LATERAL", "LEFT", "LIKE", "LIMIT", "MAP",
    "MATCH", "MATCH_RECOGNIZE", "MEASURES", "MINUTE", "MONTH", "NATURAL", "NOT", "NULL", "OFFSET",
    "ON", "ONE", "OR", "ORDER", "OUTER", "OVER", "PARTITION", "PATTERN", "PER", "PLAN", "PRECEDING",
    "PRIMARY", "RANGE", "RESET", "RIGHT", "ROLLUP", "ROW", "ROWS", "SECOND", "SELECT", "SESSION",
    "SET", "SETS", "SHOW", "SIMILAR", "SKIP", "SMALLINT", "STATEMENT", "STRING", "SUBSET", "TABLE",
    "TABLES", "TEMPORARY", "THEN", "TIME", "TIMESTAMP", "TIMESTAMP_LTZ", "TINYINT", "TO", "TRUE",
    "TUMBLE", "UNBOUNDED", "UNION", "UNNEST", "USING", "VALUES", "VARCHAR", "VIEW", "VIEWS",
    "WATERMARK", "WHEN", "WHERE", "WITH", "WITHIN", "YEAR",
];

/// Is `word` a word of the dialect, in whatever case?
pub fn is_keyword(word: &str) -> bool {
    KEYWORDS.iter().any(|keyword| keyword.eq_ignore_ascii_case(word))
}

/// Returns the lexemes of a text.
pub fn lexemes(text: &str) -> Vec<Lexeme> {
    let (tokens, left) = read(text);
    let class = |token: &Token| match token {
        Token::Word(word) if word.quote_style.is_some() => Class::Quoted,
        Token::Word(word) if is_keyword(&word.value) => Class::Keyword,
        Token::Word(_) => Class::Name,
        Token::SingleQuotedString(_) => Class::Text,
        Token::Number(..) => Class::Number,
        Token::Whitespace(_) => Class::Comment,
        _ => Class::Symbol,
    };
    let whole = tokens.into_iter().map(|(token, range)| Lexeme {
        class: class(&token.token),
        range,
        is_open: false,
    });
    let left = left.map(|left| Lexeme {
        class: match text.as_bytes().get(left.start) {
            Some(b'"' | b'`') => Class::Quoted,
            Some(b'/') => Class::Comment,
            _ if left.is_open => Class::Text,
            _ => Class::Symbol,
        },
        range: left.start..text.len(),
        is_open: left.is_open,
    });
    whole.chain(left).collect()
}

/// Where the statements of a text are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statements {
    /// The bytes of whole ones, each with its `;`; a statement set is one.
    pub whole: Vec<Range<usize>>,
    /// Where what is left begins.
    pub rest: usize,
    /// Is more than blanks and comments left?
    pub is_unfinished: bool,
}

/// Finds the statements of a text.
pub fn statements(text: &str) -> Statements {
    let (mut tokens, left) = read(text);
    tokens.retain(|(token, _)| !matches!(token.token, Token::Whitespace(_)));
    let mut found = Statements { is_unfinished: left.is_some(), ..Statements::default() };
    let mut start = None;
    let mut in_set = false;
    for part in tokens.split_inclusive(|(token, _)| token.token == Token::SemiColon) {
        let words: Vec<TokenWithSpan> = part.iter().map(|(token, _)| token.clone()).collect();
        let is_whole = words.last().is_some_and(|last| last.token == Token::SemiColon);
        let words = &words[..words.len() - usize::from(is_whole)];
        in_set = match in_set {
            false => matches!(opens_set(&mut Tokens::new(words)), Ok(Some(_))),
            true => !(words.len() == 1 && Tokens::new(words).take_word("END")),
        };
        start = start.or(part.first().filter(|_| !words.is_empty()).map(|(_, range)| range.start));
        let Some((_, last)) = part.last().filter(|_| is_whole && !in_set) else { continue };
        found.whole.extend(start.take().map(|start| start..last.end));
        found.rest = last.end;
    }
    found.is_unfinished |= start.is_some();
    if let Some(wrong) = left.filter(|left| !left.is_open)
        && text.trim_end().ends_with(';')
    {
        found.whole.push(start.unwrap_or(wrong.start)..text.len());
        found.rest = text.len();
        found.is_unfinished = false;
    }
    found
}

/// What cannot be cut into tokens.
struct Left {
    start: usize,
    /// May more text make it right?
    is_open: bool,
}

/// Cuts a text into tokens, without blanks; returns what is left where that ends early.
fn read(text: &str) -> (Vec<(TokenWithSpan, Range<usize>)>, Option<Left>) {
    let mut tokens = Vec::new();
    let dialect = GenericDialect {};
    let cut = Tokenizer::new(&dialect, text).tokenize_with_location_into_buf(&mut tokens);
    let mut places = Places { text, at: 0, line: 1, column: 1 };
    let mut found = Vec::new();
    for token in tokens {
        let range = places.byte(token.span.start)..places.byte(token.span.end);
        let is_blank = matches!(
            token.token,
            Token::Whitespace(Whitespace::Space | Whitespace::Newline | Whitespace::Tab)
        );
        if !is_blank {
            found.push((token, range));
        }
    }
    let left = cut.err().map(|error| {
        // Blanks before it are not part of it.
        let end = found.last().map_or(0, |(_, range)| range.end);
        let blanks = text[end..].len() - text[end..].trim_start().len();
        let is_open = error.message.starts_with("Unterminated") || error.message.contains(" EOF");
        Left { start: end + blanks, is_open: is_open && !error.message.starts_with("Invalid") }
    });
    (found, left)
}

/// Turns lines and columns into bytes, from the beginning of a text to its end.
struct Places<'a> {
    text: &'a str,
    at: usize,
    line: u64,
    column: u64,
}

impl Places<'_> {
    fn byte(&mut self, wanted: Location) -> usize {
        let rest = self.text[self.at..].chars();
        for c in rest {
            if (self.line, self.column) >= (wanted.line, wanted.column) {
                break;
            }
            self.at += c.len_utf8();
            (self.line, self.column) = match c {
                '\n' => (self.line + 1, 1),
                _ => (self.line, self.column + 1),
            };
        }
        self.at
    }
}

#[cfg(test)]
mod tests;
