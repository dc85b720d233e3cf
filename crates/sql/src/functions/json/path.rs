//! Paths into JSON: `lax $.orders[0]['first name']`.
//!
//! Invariants: without a mode a path is strict, as in Flink: what is not there is an error, which
//! a call may turn into NULL; a lax path finds nothing instead. A path with `*` gives an array of
//! all that it finds, be it empty. Filters, slices and `..` are not understood.

use serde_json::Value;
use thalweg_types::{Error, Result};

/// A step from a value to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    /// Counted from 0, or from the end if negative.
    Element(i64),
    /// All members or elements.
    All,
}

/// A path, ready for use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// Is what is not there no error?
    pub(super) is_lax: bool,
    steps: Vec<Step>,
}

/// What a path led to.
#[derive(Debug)]
pub(super) enum Found<'a> {
    One(&'a Value),
    /// What a path with `*` found.
    Many(Vec<&'a Value>),
    Nothing,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// `Invalid`, if it does not begin with `$` or has steps that are not understood.
    pub(super) fn new(text: &str) -> Result<Path> {
        let trimmed = text.trim();
        let (is_lax, rest) = match trimmed.split_once(char::is_whitespace) {
            Some((mode, rest)) if mode.eq_ignore_ascii_case("lax") => (true, rest.trim_start()),
            Some((mode, rest)) if mode.eq_ignore_ascii_case("strict") => (false, rest.trim_start()),
            _ => (false, trimmed),
        };
        let unknown = |part: &str| {
            Error::invalid(format!("`{part}` in the JSON path '{text}' is not understood"))
                .remedy("begin with `$`, and go on with `.name`, `['name']`, `[0]` or `[*]`")
        };
        let mut rest = rest.strip_prefix('$').ok_or_else(|| unknown(rest))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(|| unknown(rest))?;
            steps.push(step);
            rest = after;
        }
        Ok(Path { is_lax, steps })
    }

    /// Follows the path.
    pub(super) fn find<'a>(&self, root: &'a Value) -> Found<'a> {
        let mut found = vec![root];
        let mut is_many = false;
        for step in &self.steps {
            is_many |= *step == Step::All;
            found = found.into_iter().flat_map(|value| follow(value, step)).collect();
        }
        match found.first() {
            _ if is_many => Found::Many(found),
            Some(value) => Found::One(value),
            None => Found::Nothing,
        }
    }
}

/// Reads one step; returns what follows.
fn step(text: &str) -> Option<(Step, &str)> {
    // A point before a bracket says nothing more.
    let text = if text.starts_with(".[") { text.trim_start_matches('.') } else { text };
    if let Some(rest) = text.strip_prefix('.') {
        let (name, rest) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
        return match name.trim() {
            "" => None,
            "*" => Some((Step::All, rest)),
            name if name.contains(['(', '?', '@', ']']) => None,
            name => Some((Step::Member(name.to_owned()), rest)),
        };
    }
    let inner = text.strip_prefix('[')?.trim_start();
    if let Some(quote) = inner.chars().next().filter(|first| ['\'', '"'].contains(first)) {
        let (name, rest) = quoted(inner.get(1..)?, quote)?;
        return Some((Step::Member(name), rest.trim_start().strip_prefix(']')?));
    }
    let (index, rest) = inner.split_once(']')?;
    let step = match index.trim() {
        "*" => Step::All,
        index => Step::Element(index.parse().ok()?),
    };
    Some((step, rest))
}

/// Reads a name up to its quote; a backslash lets the next character stand for itself.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => name.push(letters.next()?.1),
            letter if letter == quote => return Some((name, &text[at + letter.len_utf8()..])),
            letter => name.push(letter),
        }
    }
    None
}

fn follow<'a>(value: &'a Value, step: &Step) -> Vec<&'a Value> {
    match (step, value) {
        (Step::Member(name), Value::Object(members)) => members.get(name).into_iter().collect(),
        (Step::Element(index), Value::Array(elements)) => {
            let at = match usize::try_from(*index) {
                Ok(at) => Some(at),
                Err(_) => usize::try_from(index.unsigned_abs())
                    .ok()
                    .and_then(|back| elements.len().checked_sub(back)),
            };
            at.and_then(|at| elements.get(at)).into_iter().collect()
        }
        (Step::All, Value::Array(elements)) => elements.iter().collect(),
        (Step::All, Value::Object(members)) => members.values().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
