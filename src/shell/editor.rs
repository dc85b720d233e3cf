//! The line editor: how a statement is typed, over as many lines as it takes.
//!
//! What must always hold: what is typed is handed over once it is whole (a command, or statements
//! that all have their `;`); nothing is run here. Where a terminal cannot move its cursor, lines
//! are read as they come.

use std::borrow::Cow;
use std::io::BufRead;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use reedline::{
    Color, ColumnarMenu, Completer, CompletionResult, DefaultHinter, EditCommand, Emacs,
    FileBackedHistory, Highlighter, KeyCode, KeyModifiers, Keybindings, MenuBuilder, Prompt,
    PromptEditMode, PromptHistorySearch, Reedline, ReedlineEvent, ReedlineMenu, SearchDirection,
    SearchQuery, Signal, Span, StyledText, Suggestion, ValidationResult, Validator,
    default_emacs_keybindings,
};
use thalweg_sql::lexemes::{self, Class};
use thalweg_types::{Error, Result};

use super::complete::{Words, complete};
use crate::report;

/// Entries that the history keeps.
const HISTORY_MAX: usize = 10_000;
/// Before the first line.
const PROMPT: &str = "thalweg> ";
/// Before the others.
const CONTINUED: &str = "      -> ";
/// Name of the menu that Tab opens.
const MENU: &str = "completion";

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Text(String),
    /// Ctrl-C: what was typed is dropped.
    Nothing,
    /// Ctrl-D, or the end of the program is asked for.
    End,
}

/// Words that everybody may change.
pub(super) type SharedWords = Arc<Mutex<Words>>;

/// Reads what is typed.
pub(super) enum Editor {
    /// On a terminal that can move its cursor.
    Full(Box<Reedline>),
    /// Line by line.
    Plain,
}

/// What an editor is made of.
pub(super) struct Setup {
    pub(super) words: SharedWords,
    /// File of the history; `None` for none.
    pub(super) history: Option<PathBuf>,
    /// Ends the reading when it becomes true.
    pub(super) ends: Arc<AtomicBool>,
}

impl Editor {
    /// Returns an editor for this terminal.
    pub(super) fn new(setup: Setup) -> Editor {
        if !can_move() {
            return Editor::Plain;
        }
        let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let menu = ColumnarMenu::default().with_name(MENU).with_marker("");
        let mut editor = Reedline::create()
            .with_edit_mode(Box::new(Emacs::new(keys())))
            .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
            .with_completer(Box::new(Tab(setup.words)))
            .with_quick_completions(true)
            .with_partial_completions(true)
            .with_validator(Box::new(Whole))
            .with_ansi_colors(has_colours)
            .with_break_signal(setup.ends);
        if has_colours {
            let hinter = DefaultHinter::default().with_style(Color::DarkGray.normal());
            editor = editor.with_highlighter(Box::new(Painter)).with_hinter(Box::new(hinter));
        }
        if let Some(history) = setup.history.as_deref().and_then(history) {
            editor = editor.with_history(Box::new(history));
        }
        Editor::Full(Box::new(editor))
    }

    /// Reads until what is typed is whole.
    ///
    /// # Errors
    /// `Failed` if the terminal cannot be read.
    pub(super) fn read(&mut self) -> Result<Typed> {
        let failed = |error| Error::failed(format!("cannot read from the terminal: {error}"));
        let editor = match self {
            Editor::Full(editor) => editor,
            Editor::Plain => return read_plain().map_err(failed),
        };
        Ok(match editor.read_line(&Ask).map_err(|error| failed(std::io::Error::other(error)))? {
            Signal::Success(text) => Typed::Text(text),
            Signal::CtrlD | Signal::ExternalBreak(_) => Typed::End,
            _ => Typed::Nothing,
        })
    }

    /// Goes on with `text` at the next prompt.
    pub(super) fn put_back(&mut self, text: &str) {
        if let Editor::Full(editor) = self {
            editor.run_edit_commands(&[EditCommand::InsertString(text.to_owned())]);
        }
    }

    /// Returns what was typed, in this shell and earlier ones, oldest first.
    pub(super) fn history(&self) -> Vec<String> {
        let Editor::Full(editor) = self else { return Vec::new() };
        let all = SearchQuery::everything(SearchDirection::Forward, None);
        // A history that cannot be read has nothing to show.
        let entries = editor.history().search(all).unwrap_or_default();
        entries.into_iter().map(|entry| entry.command_line).collect()
    }
}

/// Returns what keys do: Tab opens a menu, and what ends a word closes it, so that Enter does not
/// choose from it what nobody asked for.
fn keys() -> Keybindings {
    let mut keys = default_emacs_keybindings();
    let open = vec![ReedlineEvent::Menu(MENU.to_owned()), ReedlineEvent::MenuNext];
    keys.add_binding(KeyModifiers::NONE, KeyCode::Tab, ReedlineEvent::UntilFound(open));
    keys.add_binding(KeyModifiers::SHIFT, KeyCode::BackTab, ReedlineEvent::MenuPrevious);
    for end in [' ', ';', ',', '(', ')', '=', '\'', '`', '"'] {
        let insert = ReedlineEvent::Edit(vec![EditCommand::InsertChar(end)]);
        let close = ReedlineEvent::Multiple(vec![ReedlineEvent::Esc, insert.clone()]);
        // In a search of the history, where Esc would end it, the first does not apply.
        let either = ReedlineEvent::UntilFound(vec![close, insert]);
        keys.add_binding(KeyModifiers::NONE, KeyCode::Char(end), either);
    }
    keys
}

/// Can the terminal move its cursor?
fn can_move() -> bool {
    std::env::var("TERM").is_ok_and(|term| !term.is_empty() && term != "dumb")
}

/// Reads lines until they are whole.
fn read_plain() -> std::io::Result<Typed> {
    let mut text = String::new();
    loop {
        report::tell(format_args!("{}", if text.is_empty() { PROMPT } else { CONTINUED }));
        if std::io::stdin().lock().read_line(&mut text)? == 0 {
            return Ok(if text.is_empty() { Typed::End } else { Typed::Text(text) });
        }
        if is_whole(&text) {
            return Ok(Typed::Text(text));
        }
    }
}

/// Opens a history that only its user can read; says so if that fails.
fn history(path: &Path) -> Option<FileBackedHistory> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| {
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true).mode(0o600).open(path).map(|_| ())
    });
    let opened = made.map_err(|error| error.to_string()).and_then(|()| {
        FileBackedHistory::with_file(HISTORY_MAX, path.to_owned()).map_err(|e| e.to_string())
    });
    opened
        .inspect_err(|error| {
            let path = path.display();
            report::tell(format_args!("note: no history is kept in `{path}`: {error}\n"));
        })
        .ok()
}

/// Returns where a command begins that follows what is typed so far, if one does.
pub(super) fn command_at(text: &str) -> Option<usize> {
    let text = text.trim_end();
    let line = text.rfind('\n').map_or(0, |end| end + 1);
    let before = lexemes::lexemes(&text[..line]);
    let is_inside = before.last().is_some_and(|last| last.is_open);
    (text[line..].starts_with('\\') && !is_inside).then_some(line)
}

/// Can what is typed be run?
fn is_whole(text: &str) -> bool {
    let word = text.trim();
    let is_word = ["quit", "exit", "help"].iter().any(|known| word.eq_ignore_ascii_case(known));
    is_word || command_at(text).is_some() || !lexemes::statements(text).is_unfinished
}

/// Goes on with another line until what is typed is whole.
struct Whole;

impl Validator for Whole {
    fn validate(&self, text: &str) -> ValidationResult {
        match is_whole(text) {
            true => ValidationResult::Complete,
            false => ValidationResult::Incomplete,
        }
    }
}

/// Offers words.
struct Tab(SharedWords);

impl Completer for Tab {
    fn complete(&mut self, text: &str, at: usize) -> CompletionResult {
        let words = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = complete(text, at, &words);
        let span = Span::new(found.start.min(at), at);
        let offered = found.words.into_iter().map(|value| Suggestion {
            // Behind what may go on, as a path or a call, no blank is wanted.
            append_whitespace: !value.ends_with(['(', '/', '\'', '`', '"']),
            value,
            span,
            ..Suggestion::default()
        });
        CompletionResult::fresh(offered.collect::<Vec<_>>())
    }
}

/// Gives words their colours.
struct Painter;

impl Highlighter for Painter {
    fn highlight(&self, text: &str, _: usize) -> StyledText {
        let mut styled = StyledText::new();
        let plain = Color::Default.normal();
        let mut end = 0;
        for lexeme in lexemes::lexemes(text) {
            let style = match lexeme.class {
                Class::Keyword => Color::Blue.bold(),
                Class::Text => Color::Green.normal(),
                Class::Number => Color::Cyan.normal(),
                Class::Comment => Color::DarkGray.normal(),
                Class::Name | Class::Quoted | Class::Symbol => plain,
            };
            styled.push((plain, text[end..lexeme.range.start].to_owned()));
            styled.push((style, text[lexeme.range.clone()].to_owned()));
            end = lexeme.range.end;
        }
        styled.push((plain, text[end..].to_owned()));
        styled
    }
}

/// What stands before the lines.
struct Ask;

impl Prompt for Ask {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(PROMPT)
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed(CONTINUED)
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!("search `{}`: ", search.term))
    }
}

#[cfg(test)]
mod tests;
