//! Paths in code: `crate::a::b`, `super::{c, d::E}`, and what a module re-exports.

/// A path and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) segments: Vec<String>,
    /// Line, from 1.
    pub(super) line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Colons,
    Other(char),
}

/// Returns every path that begins with `crate`, `super` or `self`.
pub(super) fn paths(code: &str) -> Vec<Path> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (at, (token, line)) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let is_start = ["crate", "super", "self"].contains(&word.as_str())
            && matches!(tokens.get(at + 1), Some((Token::Colons, _)))
            && !matches!(at.checked_sub(1).map(|at| &tokens[at].0), Some(Token::Colons));
        if is_start {
            let mut reader = Reader { tokens: &tokens, at };
            reader.tree(Vec::new(), *line, &mut found);
        }
    }
    found
}

/// Returns the paths of every `pub use`, `pub(crate) use` and the like.
pub(super) fn exports(code: &str) -> Vec<Path> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("pub") {
        rest = &rest[at..];
        let (is_public, behind) = visibility(rest);
        if let Some(tree) = behind.strip_prefix("use ")
            && is_public
        {
            let tokens = tokens(tree.split(';').next().unwrap_or_default());
            Reader { tokens: &tokens, at: 0 }.tree(Vec::new(), 1, &mut found);
        }
        rest = &rest[3..];
    }
    found
}

/// Takes `pub` or `pub(…)` off a text; was it there?
pub(super) fn visibility(text: &str) -> (bool, &str) {
    let Some(rest) = text.strip_prefix("pub") else { return (false, text) };
    match rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
        Some((_, rest)) => (true, rest.trim_start()),
        None if rest.starts_with(char::is_whitespace) => (true, rest.trim_start()),
        None => (false, text),
    }
}

fn tokens(code: &str) -> Vec<(Token, usize)> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        } else if c == '_' || c.is_alphanumeric() {
            let mut word = String::from(c);
            while let Some(next) = chars.next_if(|c| *c == '_' || c.is_alphanumeric()) {
                word.push(next);
            }
            found.push((Token::Word(word), line));
        } else if c == ':' && chars.next_if_eq(&':').is_some() {
            found.push((Token::Colons, line));
        } else if !c.is_whitespace() {
            found.push((Token::Other(c), line));
        }
    }
    found
}

struct Reader<'a> {
    tokens: &'a [(Token, usize)],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(token, _)| token)
    }

    /// Reads a path or a tree of them behind `prefix`.
    fn tree(&mut self, mut prefix: Vec<String>, line: usize, found: &mut Vec<Path>) {
        // Ends: every turn takes a word and its colons.
        while let Some(token) = self.peek().cloned() {
            match token {
                Token::Word(word) => {
                    self.at += 1;
                    prefix.push(word);
                    if self.peek() != Some(&Token::Colons) {
                        break;
                    }
                    self.at += 1;
                }
                Token::Other('{') if !prefix.is_empty() => return self.list(&prefix, found),
                _ => break,
            }
        }
        found.push(Path { segments: prefix, line });
    }

    /// Reads `{a, b::c}` behind `prefix`.
    fn list(&mut self, prefix: &[String], found: &mut Vec<Path>) {
        self.at += 1;
        while let Some((token, line)) = self.tokens.get(self.at) {
            match token {
                Token::Other('}') => {
                    self.at += 1;
                    return;
                }
                Token::Word(word) if word == "as" => self.at += 2,
                Token::Word(_) => self.tree(prefix.to_vec(), *line, found),
                _ => self.at += 1,
            }
        }
    }
}
