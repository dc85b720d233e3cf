//! `\` commands: what is typed for the shell itself.
//!
//! What must always hold: a command is one line and begins with `\`; the list that `\?` shows is the
//! list that is read.

use thalweg_plan::connector::nearest;
use thalweg_types::{Error, Result};

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Help,
    /// Shows how a statement is written.
    Syntax(Option<String>),
    /// Lists tables and views, or describes one.
    Describe(Option<String>),
    /// Lists functions.
    Functions(Option<String>),
    /// Runs a file.
    Include(String),
    /// Sends results to a file, or back to the screen.
    Output(Option<String>),
    /// Chooses how results are shown, or says how.
    Format(Option<String>),
    Timing,
    /// Lists settings, or sets one.
    Set(Option<(String, String)>),
    Explain,
    History,
    Clear,
    Quit,
}

/// Commands as they are typed, what follows them, and what they do.
const COMMANDS: [(&str, &str, &str); 13] = [
    ("\\?", "", "shows this help"),
    ("\\h", "[STATEMENT]", "shows how a statement is written"),
    ("\\d", "[NAME]", "lists tables and views, or describes one"),
    ("\\df", "[PATTERN]", "lists functions; * stands for anything"),
    ("\\i", "FILE", "runs the statements of a file"),
    ("\\o", "[FILE]", "sends results to a file, or back to the screen"),
    ("\\format", "[table|csv|json]", "chooses how results are shown"),
    ("\\timing", "", "shows how long statements take, or no longer"),
    ("\\set", "[KEY VALUE]", "lists settings, or sets one"),
    ("\\explain", "", "shows how the last query ran"),
    ("\\s", "", "shows the history"),
    ("\\c", "", "drops what is typed so far"),
    ("\\q", "", "leaves, as QUIT; and Ctrl-D do"),
];

/// Returns the commands as they are typed.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|(name, ..)| *name)
}

/// Returns what `\?` shows.
pub(super) fn help() -> String {
    let lines = COMMANDS.iter().map(|(name, argument, what)| {
        let typed = format!("{name} {argument}");
        format!("  {typed:<26}  {what}\n")
    });
    let lines: String = lines.collect();
    format!(
        "Statements end with a semicolon; Tab completes, Ctrl-R searches, Ctrl-C stops.\n{lines}"
    )
}

impl Command {
    /// Reads a command.
    ///
    /// # Errors
    /// `Invalid` if there is no such command, or what follows it is wrong.
    pub(super) fn parse(line: &str) -> Result<Command> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (name, argument) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let argument = argument.trim();
        let found = COMMANDS.iter().find(|(known, ..)| *known == name);
        let (_, expected, _) = found.ok_or_else(|| unknown(name))?;
        if expected.is_empty() && !argument.is_empty() {
            return Err(Error::invalid(format!("`{name}` stands alone, but `{argument}` follows")));
        }
        let some = Some(argument.to_owned()).filter(|argument| !argument.is_empty());
        Ok(match name {
            "\\?" => Command::Help,
            "\\h" => Command::Syntax(some),
            "\\d" => Command::Describe(some),
            "\\df" => Command::Functions(some),
            "\\i" => Command::Include(some.ok_or_else(|| {
                Error::invalid("`\\i` runs a file").remedy("write its name behind it")
            })?),
            "\\o" => Command::Output(some),
            "\\format" => Command::Format(some),
            "\\timing" => Command::Timing,
            "\\set" => Command::Set(some.map(|pair| setting(&pair)).transpose()?),
            "\\explain" => Command::Explain,
            "\\s" => Command::History,
            "\\c" => Command::Clear,
            _ => Command::Quit,
        })
    }
}

fn unknown(name: &str) -> Error {
    let error = Error::invalid(format!("there is no command `{name}`"));
    let known: Vec<&str> = names().collect();
    error.remedy(match nearest(name, &known) {
        Some(near) => format!("did you mean `{near}`? `\\?` lists them"),
        None => "`\\?` lists them".to_owned(),
    })
}

/// Reads `KEY VALUE`, quoted or not.
fn setting(pair: &str) -> Result<(String, String)> {
    let bare = |text: &str| text.trim().trim_matches('\'').to_owned();
    let (key, value) =
        pair.split_once(|c: char| c == '=' || c.is_whitespace()).ok_or_else(|| {
            Error::invalid(format!("`\\set {pair}` has no value")).remedy("write \\set KEY VALUE")
        })?;
    Ok((bare(key), bare(value.trim().trim_start_matches('='))))
}

#[cfg(test)]
mod tests;
