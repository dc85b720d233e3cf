//! A cursor over the tokens of one statement.

use datafusion::sql::sqlparser::ast::Ident;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{
    Location, Span, Token, TokenWithSpan, Tokenizer, Whitespace,
};
use thalweg_types::{Error, Result};

use crate::text;

/// Reads tokens one by one; white space and comments are left out.
#[derive(Clone, Debug)]
pub(crate) struct Tokens<'a> {
    tokens: &'a [TokenWithSpan],
    at: usize,
    end: TokenWithSpan,
}

/// Cuts a text into tokens without white space and comments, save for hints (`/*+ … */`).
pub(crate) fn tokenize(text: &str) -> Result<Vec<TokenWithSpan>> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location();
    let tokens = tokens.map_err(|error| {
        let location = error.location;
        let start = Location { line: location.line, column: location.column };
        Error::invalid(error.message).at(text::place(Span { start, end: start }))
    })?;
    let is_kept = |token: &TokenWithSpan| match &token.token {
        Token::Whitespace(Whitespace::MultiLineComment(comment)) => comment.starts_with('+'),
        Token::Whitespace(_) => false,
        _ => true,
    };
    Ok(tokens.into_iter().filter(is_kept).collect())
}

impl<'a> Tokens<'a> {
    pub(crate) fn new(tokens: &'a [TokenWithSpan]) -> Tokens<'a> {
        let span = tokens
            .last()
            .map_or(Span::empty(), |token| Span { start: token.span.end, end: token.span.end });
        Tokens { tokens, at: 0, end: TokenWithSpan { token: Token::EOF, span } }
    }

    pub(crate) fn peek(&self) -> &TokenWithSpan {
        self.tokens.get(self.at).unwrap_or(&self.end)
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Returns the tokens that are left.
    pub(crate) fn rest(&self) -> &'a [TokenWithSpan] {
        self.tokens.get(self.at..).unwrap_or(&[])
    }

    fn is_word(token: &TokenWithSpan, wanted: &str) -> bool {
        matches!(&token.token, Token::Word(word)
            if word.quote_style.is_none() && word.value.eq_ignore_ascii_case(wanted))
    }

    /// Takes a key word, if it is next.
    pub(crate) fn take_word(&mut self, word: &str) -> bool {
        let is_next = Tokens::is_word(self.peek(), word);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes key words, if all of them are next.
    pub(crate) fn take_words(&mut self, words: &[&str]) -> bool {
        let is_next = words.iter().enumerate().all(|(offset, word)| {
            self.tokens.get(self.at + offset).is_some_and(|token| Tokens::is_word(token, word))
        });
        self.at += if is_next { words.len() } else { 0 };
        is_next
    }

    /// Takes key words that must be next.
    pub(crate) fn words(&mut self, words: &[&str]) -> Result<()> {
        match self.take_words(words) {
            true => Ok(()),
            false => Err(self.expected(&words.join(" "))),
        }
    }

    fn is_symbol(token: &TokenWithSpan, symbol: &str) -> bool {
        !matches!(
            token.token,
            Token::Word(_) | Token::SingleQuotedString(_) | Token::UnicodeStringLiteral(_)
        ) && token.token.to_string() == symbol
    }

    /// Takes a symbol, if it is next.
    pub(crate) fn take_symbol(&mut self, symbol: &str) -> bool {
        let is_next = Tokens::is_symbol(self.peek(), symbol);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes a symbol that must be next.
    pub(crate) fn symbol(&mut self, symbol: &str) -> Result<()> {
        match self.take_symbol(symbol) {
            true => Ok(()),
            false => Err(self.expected(&format!("`{symbol}`"))),
        }
    }

    /// Takes a word that must be next.
    pub(crate) fn word(&mut self) -> Result<String> {
        match &self.peek().token {
            Token::Word(word) => {
                let word = word.value.clone();
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.expected("a word")),
        }
    }

    /// Takes a name, quoted or not.
    pub(crate) fn identifier(&mut self) -> Result<String> {
        self.word().map_err(|_| self.expected("a name"))
    }

    /// Takes a name, quoted or not, with its place.
    pub(crate) fn name(&mut self) -> Result<Ident> {
        let span = self.peek().span;
        Ok(Ident::with_span(span, self.identifier()?))
    }

    /// Takes a name that may have parts; only the last one counts, there is one catalog.
    pub(crate) fn table_name(&mut self) -> Result<String> {
        let mut name = self.identifier()?;
        while self.take_symbol(".") {
            name = self.identifier()?;
        }
        Ok(name)
    }

    /// Takes a text in single quotes.
    pub(crate) fn string(&mut self) -> Result<String> {
        match &self.peek().token {
            Token::SingleQuotedString(text) | Token::UnicodeStringLiteral(text) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.expected("a text in single quotes")),
        }
    }

    /// Takes a whole number.
    pub(crate) fn number(&mut self) -> Result<u64> {
        match &self.peek().token {
            Token::Number(text, _) => {
                let number = text.parse().map_err(|_| self.expected("a whole number"))?;
                self.at += 1;
                Ok(number)
            }
            _ => Err(self.expected("a whole number")),
        }
    }

    /// Takes a number, as it is written.
    pub(crate) fn decimal(&mut self) -> Result<String> {
        match &self.peek().token {
            Token::Number(text, _) => {
                let text = text.clone();
                self.at += 1;
                Ok(text)
            }
            _ => Err(self.expected("a number")),
        }
    }

    /// Takes tokens up to a `,` or `)` of this level.
    pub(crate) fn expression(&mut self) -> &'a [TokenWithSpan] {
        self.expression_before(&[])
    }

    /// Takes tokens up to a `,`, a `)` or one of some key words of this level.
    pub(crate) fn expression_before(&mut self, words: &[&str]) -> &'a [TokenWithSpan] {
        let start = self.at;
        let mut depth = 0;
        while let Some(token) = self.tokens.get(self.at) {
            match token.token {
                Token::LParen | Token::LBracket => depth += 1,
                Token::RParen | Token::Comma if depth == 0 => break,
                Token::RParen | Token::RBracket => depth -= 1,
                _ if depth == 0 && words.iter().any(|word| Tokens::is_word(token, word)) => break,
                _ => {}
            }
            self.at += 1;
        }
        &self.tokens[start..self.at.min(self.tokens.len())]
    }

    /// Returns an error that says what should have stood here.
    pub(crate) fn expected(&self, what: &str) -> Error {
        let token = self.peek();
        let found = match token.token {
            Token::EOF => "the end of the statement".to_owned(),
            _ => format!("`{}`", token.token),
        };
        text::at(token, format!("expected {what}, found {found}"))
    }

    /// Fails unless all tokens are taken.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.is_at_end() { Ok(()) } else { Err(self.expected("the end of the statement")) }
    }
}

/// Returns a parser of expressions and queries over `tokens`.
pub(crate) fn parser(tokens: &[TokenWithSpan]) -> Parser<'static> {
    static DIALECT: GenericDialect = GenericDialect {};
    // The parser looks for white space where two tokens must stand apart.
    let mut spaced = Vec::with_capacity(tokens.len() * 2);
    for token in tokens {
        spaced.push(token.clone());
        let space = Token::Whitespace(Whitespace::Space);
        let at = Span { start: token.span.end, end: token.span.end };
        if !matches!(token.token, Token::Period) {
            spaced.push(TokenWithSpan { token: space, span: at });
        }
    }
    Parser::new(&DIALECT).with_tokens_with_locations(spaced)
}

/// Fails unless a parser read all of its tokens.
pub(crate) fn finished(parser: &Parser<'_>) -> Result<()> {
    let left = parser.peek_token();
    match left.token {
        Token::EOF => Ok(()),
        _ => Err(text::at(&left, format!("expected the end, found `{}`", left.token))),
    }
}
