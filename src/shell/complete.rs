//! What Tab offers: words that may stand at the cursor.
//!
//! What must always hold: what is offered begins as what is typed, in whatever case, and stands in
//! place of it; offering changes nothing. It reads directories for the names of files, and nothing
//! else outside.

use std::collections::BTreeSet;

use thalweg_sql::lexemes::{self, Class, KEYWORDS, Lexeme};
use thalweg_sql::write;

use super::{command, syntax};

/// The words of a shell: what there is beside the dialect's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    /// Tables and views with their columns.
    pub(super) tables: Vec<(String, Vec<String>)>,
    /// Functions.
    pub(super) functions: Vec<String>,
    /// Keys that SET takes.
    pub(super) settings: Vec<&'static str>,
    /// Connectors with the keys of their options.
    pub(super) connectors: Vec<(&'static str, Vec<&'static str>)>,
}

/// What may stand at the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Completion {
    /// Where what is replaced begins; it ends at the cursor.
    pub(super) start: usize,
    /// What may stand there instead.
    pub(super) words: Vec<String>,
}

/// Words that a statement begins with.
const FIRST: [&str; 13] = [
    "BEGIN", "CREATE", "DESCRIBE", "DROP", "EXECUTE", "EXPLAIN", "INSERT", "QUIT", "RESET",
    "SELECT", "SET", "SHOW", "WITH",
];

/// Words behind which a table stands.
const BEFORE_TABLE: [&str; 7] = ["FROM", "JOIN", "INTO", "TABLE", "VIEW", "DESCRIBE", "DESC"];

/// Formats that tables are read and written in.
const FORMATS: [&str; 5] = ["csv", "debezium-json", "json", "parquet", "raw"];

/// Names of files that are offered at most.
const FILES_MAX: usize = 200;

/// Returns what may stand at byte `at` of what is typed.
pub(super) fn complete(text: &str, at: usize, words: &Words) -> Completion {
    let Some(before) = text.get(..at) else { return Completion::default() };
    let line = before.rfind('\n').map_or(0, |end| end + 1);
    if before[line..].starts_with('\\') {
        let found = in_command(&before[line..], words);
        return Completion { start: line + found.start, ..found };
    }
    let around = Around::new(text, at);
    match &around.word {
        Some(word) if word.is_open => around.quoted(word.range.start, words),
        _ => around.plain(words),
    }
}

/// Does `word` begin as `typed`, in whatever case?
fn begins(word: &str, typed: &str) -> bool {
    let mut word = word.chars().flat_map(char::to_lowercase);
    typed.chars().flat_map(char::to_lowercase).all(|c| word.next() == Some(c))
}

/// Returns those of `words` that begin as `typed`.
fn matching<T: AsRef<str>>(words: impl IntoIterator<Item = T>, typed: &str) -> Vec<String> {
    let words = words.into_iter().filter(|word| begins(word.as_ref(), typed));
    words.map(|word| word.as_ref().to_owned()).collect()
}

/// Completes a line that begins with `\`.
fn in_command(line: &str, words: &Words) -> Completion {
    let Some((name, argument)) = line.split_once(' ') else {
        return Completion { start: 0, words: matching(command::names(), line) };
    };
    let tables = || words.tables.iter().map(|(name, _)| name.as_str());
    let found = match name {
        "\\d" => matching(tables(), argument),
        "\\df" => matching(&words.functions, argument),
        "\\h" => matching(syntax::names(), argument),
        "\\format" => matching(["table", "csv", "json"], argument),
        "\\set" => matching(&words.settings, argument),
        "\\i" | "\\o" => files(argument),
        _ => Vec::new(),
    };
    Completion { start: line.len() - argument.len(), words: found }
}

/// Returns files and directories whose path begins as `typed`.
fn files(typed: &str) -> Vec<String> {
    let (folder, name) = typed
        .rsplit_once('/')
        .map_or(("", typed), |(_, name)| (&typed[..typed.len() - name.len()], name));
    let place = if folder.is_empty() { "." } else { folder };
    // Where there is nothing to read there is nothing to offer.
    let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let file = entry.file_name().into_string().ok()?;
            let is_hidden = file.starts_with('.') && !name.starts_with('.');
            let end = if entry.path().is_dir() { "/" } else { "" };
            (file.starts_with(name) && !is_hidden).then(|| format!("{folder}{file}{end}"))
        })
        .take(FILES_MAX)
        .collect();
    found.sort_unstable();
    found
}

/// The statement that the cursor is in.
struct Around<'a> {
    text: &'a str,
    at: usize,
    /// All of it, also behind the cursor.
    all: Vec<Lexeme>,
    /// What stands before the word at the cursor.
    before: Vec<Lexeme>,
    /// The word that ends at the cursor, if one does.
    word: Option<Lexeme>,
}

impl<'a> Around<'a> {
    fn new(text: &'a str, at: usize) -> Around<'a> {
        let ends = |lexeme: &Lexeme| text[lexeme.range.clone()] == *";";
        let mut before = lexemes::lexemes(&text[..at]);
        if let Some(end) = before.iter().rposition(ends) {
            before.drain(..=end);
        }
        let is_word = |lexeme: &mut Lexeme| {
            let is_name = matches!(lexeme.class, Class::Keyword | Class::Name);
            lexeme.range.end == at && (is_name || lexeme.is_open)
        };
        let word = before.pop_if(is_word);
        let start = before.first().or(word.as_ref()).map_or(at, |first| first.range.start);
        let behind = lexemes::lexemes(text).into_iter().skip_while(|l| l.range.start < start);
        let all = behind.take_while(|lexeme| !ends(lexeme)).collect();
        Around { text, at, all, before, word }
    }

    /// Returns what stands in the place of a lexeme.
    fn of(&self, lexeme: &Lexeme) -> &'a str {
        &self.text[lexeme.range.clone()]
    }

    /// Returns the `back`th lexeme before the word at the cursor.
    fn last(&self, back: usize) -> Option<&Lexeme> {
        self.before.iter().rev().nth(back)
    }

    /// Is that lexeme one of these words or symbols?
    fn last_is(&self, back: usize, words: &[&str]) -> bool {
        let last = self.last(back).map(|lexeme| self.of(lexeme));
        last.is_some_and(|last| words.iter().any(|word| word.eq_ignore_ascii_case(last)))
    }

    fn first_is(&self, words: &[&str]) -> bool {
        let first = self.before.first().map(|lexeme| self.of(lexeme));
        first.is_some_and(|first| words.iter().any(|word| word.eq_ignore_ascii_case(first)))
    }

    /// Completes a word without quotes.
    fn plain(&self, words: &Words) -> Completion {
        let start = self.word.as_ref().map_or(self.at, |word| word.range.start);
        let typed = &self.text[start..self.at];
        let names = |names: Vec<&str>| -> Vec<String> {
            let names = names.into_iter().filter(|name| begins(name, typed));
            names.map(|name| write::name(name).into_owned()).collect()
        };
        let mut found = names(self.names(words));
        // Behind a statement that is whole nobody waits for another one.
        let is_between = self.before.is_empty() && typed.is_empty();
        if is_between && !self.text[..self.at].trim().is_empty() {
            return Completion { start, words: found };
        }
        if !self.is_of_names() {
            let typed_in = |word: &str| match typed.chars().any(char::is_lowercase) {
                true => word.to_lowercase(),
                false => word.to_uppercase(),
            };
            let keywords: &[&str] = if self.before.is_empty() { &FIRST } else { &KEYWORDS };
            found.extend(matching(keywords, typed).iter().map(|word| typed_in(word)));
            if !self.before.is_empty() && !typed.is_empty() {
                let functions = matching(&words.functions, typed);
                found.extend(functions.iter().map(|name| typed_in(name) + "("));
            }
        }
        let mut seen = BTreeSet::new();
        found.retain(|word| seen.insert(word.clone()));
        Completion { start, words: found }
    }

    /// Can only the name of a table or column stand at the cursor?
    fn is_of_names(&self) -> bool {
        self.last_is(0, &["."]) || self.last_is(0, &BEFORE_TABLE)
    }

    /// Returns the names that may stand at the cursor: columns of the table before a dot, tables
    /// where one is named, else columns of the tables that the statement names, and tables.
    fn names<'w>(&self, words: &'w Words) -> Vec<&'w str> {
        let tables = || words.tables.iter().map(|(name, _)| name.as_str());
        if self.last_is(0, &["."]) {
            let Some(owner) = self.last(1).map(|owner| plain_name(self.of(owner))) else {
                return Vec::new();
            };
            let columns = self.tables(words).filter(|(at, (name, _))| {
                name == owner || self.alias(*at).is_some_and(|alias| alias == owner)
            });
            return columns.flat_map(|(_, (_, columns))| columns).map(String::as_str).collect();
        }
        if self.last_is(0, &BEFORE_TABLE) {
            let is_new = self.first_is(&["CREATE"]) && self.last_is(0, &["TABLE", "VIEW"]);
            // `TABLE(TUMBLE(TABLE t` is in a view, too.
            let is_new = is_new && self.before.len() <= 3;
            return if is_new { Vec::new() } else { tables().collect() };
        }
        if self.before.is_empty() {
            return Vec::new();
        }
        let columns = self.tables(words).flat_map(|(_, (_, columns))| columns);
        columns.map(String::as_str).chain(tables()).collect()
    }

    /// Returns the tables that the statement names, and the number of the lexeme that does.
    fn tables<'w>(
        &self,
        words: &'w Words,
    ) -> impl Iterator<Item = (usize, &'w (String, Vec<String>))> {
        self.all.iter().enumerate().filter_map(|(at, lexeme)| {
            let name = plain_name(self.of(lexeme));
            words.tables.iter().find(|(table, _)| table == name).map(|table| (at, table))
        })
    }

    /// Returns the name that a table is given by what stands behind it.
    fn alias(&self, table: usize) -> Option<&'a str> {
        let mut behind = self.all.iter().skip(table + 1);
        let next = behind.next()?;
        let next = if self.of(next).eq_ignore_ascii_case("AS") { behind.next()? } else { next };
        let is_name = matches!(next.class, Class::Name | Class::Quoted);
        is_name.then(|| plain_name(self.of(next)))
    }

    /// Completes what is within quotes that are still open: names, keys and values of options.
    fn quoted(&self, start: usize, words: &Words) -> Completion {
        let quote = &self.text[start..=start];
        let start = start + 1;
        let typed = &self.text[start..self.at];
        let is_value = self.last_is(0, &["="]);
        let found = if quote != "'" {
            matching(self.names(words), typed)
        } else if is_value && self.last_is(1, &["'path'"]) {
            let end = |path: String| if path.ends_with('/') { path } else { path + quote };
            return Completion { start, words: files(typed).into_iter().map(end).collect() };
        } else if is_value && self.last_is(1, &["'connector'"]) {
            matching(words.connectors.iter().map(|(name, _)| name), typed)
        } else if is_value && self.last_is(1, &["'format'"]) {
            matching(FORMATS, typed)
        } else if self.first_is(&["SET", "RESET"]) && self.before.len() == 1 {
            matching(&words.settings, typed)
        } else if self.first_is(&["CREATE"]) && self.last_is(0, &["(", ","]) {
            matching(self.options(words), typed)
        } else {
            Vec::new()
        };
        let words = found.into_iter().map(|word| word + quote).collect();
        Completion { start, words }
    }

    /// Returns the keys of options: of the connector that the statement names, else of all.
    fn options(&self, words: &Words) -> BTreeSet<&'static str> {
        let mut behind = self.all.iter().skip_while(|lexeme| self.of(lexeme) != "'connector'");
        let named = behind.nth(2).map(|value| self.of(value).trim_matches('\''));
        let of_named = words.connectors.iter().find(|(name, _)| Some(*name) == named);
        match of_named {
            Some((_, keys)) => keys.iter().copied().collect(),
            None => words.connectors.iter().flat_map(|(_, keys)| keys).copied().collect(),
        }
    }
}

/// Returns a name without its quotes.
fn plain_name(name: &str) -> &str {
    name.trim_matches(['`', '"'])
}

#[cfg(test)]
mod tests;
