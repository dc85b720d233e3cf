//! `thalweg sql`: statements one after the other, over tables that stay as long as the shell.
//!
//! What must always hold: a statement is planned and run before the next one is looked at; an error
//! ends what it stands in (a script, or what was typed at once) and, where somebody types, not the
//! shell; of a query nothing stays when the next one begins. Tables, views and settings are kept in
//! memory only.

mod command;
mod syntax;

mod complete;

mod editor;
mod output;

mod job;

use std::io::{BufRead, IsTerminal};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use thalweg_sql::lexemes::{self, Class};
use thalweg_sql::planner::settings;
use thalweg_sql::{Script, Workspace, write};
use thalweg_types::{Error, Result};

use self::command::Command;
use self::editor::{Editor, Setup, SharedWords, Typed};
use self::output::Output;
use crate::arguments::{OutputFormat, ScriptText, SqlArguments};
use crate::config::{Config, Key};
use crate::report::{self, Failure};
use crate::signals::Listener;
use crate::wire::{self, View};

/// What becomes of a shell after a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    Leave,
    /// A signal ended a script.
    Stopped,
}

/// Files that run each other at most.
const DEPTH_MAX: usize = 16;

/// A shell.
struct Shell<'a> {
    config: &'a Config,
    is_quiet: bool,
    workspace: Workspace,
    words: SharedWords,
    output: Output,
    is_timed: bool,
    /// Statements that made what there is now, for other processes of a job.
    defined: String,
    /// How the last query ran.
    explained: Option<String>,
    signals: Listener,
    /// Where somebody types.
    editor: Option<Editor>,
    /// Files that are being run.
    depth: usize,
}

/// Runs a shell until it is left.
pub(crate) fn shell(
    arguments: &SqlArguments,
    config: &Config,
    is_quiet: bool,
) -> Result<ExitCode, Failure> {
    let types = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    let is_interactive = types && arguments.execute.is_none();
    let (output, _) = config.get(Key::Output);
    let signals = Listener::new(is_interactive)?;
    let mut shell = Shell {
        config,
        is_quiet,
        workspace: Workspace::new(wire::planner(&View::default()))?,
        words: SharedWords::default(),
        output: Output::new(OutputFormat::named(output.unwrap_or_default())),
        is_timed: false,
        defined: String::new(),
        explained: None,
        signals,
        editor: None,
        depth: 0,
    };
    shell.learn();
    let flow = shell.all(arguments, is_interactive)?;
    Ok(if flow == Flow::Stopped { ExitCode::from(130) } else { ExitCode::SUCCESS })
}

/// Returns the file of the history: what the environment says, or the user's directory of states.
fn history(arguments: &SqlArguments) -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name);
    if arguments.no_history {
        return None;
    }
    if let Some(path) = variable("THALWEG_HISTORY") {
        return Some(PathBuf::from(path)).filter(|path| !path.as_os_str().is_empty());
    }
    let states = variable("XDG_STATE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || variable("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    states.or_else(home).map(|states| states.join("thalweg/history"))
}

impl Shell<'_> {
    fn all(&mut self, arguments: &SqlArguments, is_interactive: bool) -> Result<Flow, Failure> {
        if let Some(file) = &arguments.init {
            let flow = self.file(file)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        if let Some(text) = &arguments.execute {
            return self.text("command", text);
        }
        if is_interactive {
            return self.converse(arguments);
        }
        self.lines("standard input", &mut std::io::stdin().lock().lines())
    }

    /// Reads from somebody who types, until they leave.
    fn converse(&mut self, arguments: &SqlArguments) -> Result<Flow, Failure> {
        let (words, ends) = (self.words.clone(), self.signals.ends());
        let setup = Setup { words, history: history(arguments), ends: ends.clone() };
        self.editor = Some(Editor::new(setup));
        if !self.is_quiet {
            let version = env!("CARGO_PKG_VERSION");
            report::tell(format_args!("Thalweg {version}. Type \\? for help, \\q to leave.\n"));
        }
        while let Some(editor) = &mut self.editor {
            let flow = match editor.read()? {
                Typed::Text(text) => self.typed(&text),
                Typed::Nothing => Ok(Flow::On),
                Typed::End => Ok(Flow::Leave),
            };
            match flow {
                Ok(Flow::Leave) => break,
                Ok(_) if ends.load(Ordering::Relaxed) => break,
                Ok(_) => {}
                Err(failure) => report::draw(&failure),
            }
        }
        Ok(Flow::Leave)
    }

    /// Runs what was typed; a command may stand behind a statement that goes on.
    fn typed(&mut self, text: &str) -> Result<Flow, Failure> {
        let Some(at) = editor::command_at(text) else { return self.text("input", text) };
        let (before, line) = text.split_at(at);
        let is_kept =
            !before.trim().is_empty() && Command::parse(line).ok() != Some(Command::Clear);
        if let Some(editor) = self.editor.as_mut().filter(|_| is_kept) {
            editor.put_back(before);
        }
        self.command(line)
    }

    fn file(&mut self, path: &str) -> Result<Flow, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::invalid(format!("cannot read script `{path}`: {error}")))?;
        if self.depth >= DEPTH_MAX {
            let error = format!("`{path}` is not run: {DEPTH_MAX} files run each other already");
            return Err(Error::invalid(error).into());
        }
        self.depth += 1;
        let flow = self.text(path, &text);
        self.depth -= 1;
        flow
    }

    fn text(&mut self, name: &str, text: &str) -> Result<Flow, Failure> {
        self.lines(name, &mut text.lines().map(|line| Ok(line.to_owned())))
    }

    /// Runs statements and commands as their lines come; the last statement may lack its `;`.
    fn lines(
        &mut self,
        name: &str,
        lines: &mut dyn Iterator<Item = std::io::Result<String>>,
    ) -> Result<Flow, Failure> {
        let mut script = ScriptText { name: name.to_owned(), text: String::new() };
        let mut done = 0;
        for line in lines {
            let line =
                line.map_err(|error| Error::failed(format!("cannot read {name}: {error}")))?;
            let is_between = !lexemes::statements(&script.text[done..]).is_unfinished;
            script.text.push_str(&line);
            script.text.push('\n');
            let flow = if is_between && line.starts_with('\\') {
                done = script.text.len();
                self.command(&line)?
            } else {
                self.statements(&script, &mut done)?
            };
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        match lexemes::statements(&script.text[done..]).is_unfinished {
            true => self.statement(&script, done..script.text.len()),
            false => Ok(Flow::On),
        }
    }

    /// Runs the whole statements behind byte `done`, and moves that on.
    fn statements(&mut self, script: &ScriptText, done: &mut usize) -> Result<Flow, Failure> {
        let begin = *done;
        for range in lexemes::statements(&script.text[begin..]).whole {
            *done = begin + range.end;
            let flow = self.statement(script, begin + range.start..*done)?;
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn statement(&mut self, script: &ScriptText, range: Range<usize>) -> Result<Flow, Failure> {
        let words = first_words(&script.text[range.clone()]);
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["QUIT" | "EXIT"] => return Ok(Flow::Leave),
            ["HELP"] => return Ok(self.output.say(&command::help()).map(|()| Flow::On)?),
            _ => {}
        }
        let began = Instant::now();
        let text = placed(&script.text, range);
        let flow = self.run(&text, &words).map_err(|error| Failure::of(error, script))?;
        if self.is_timed {
            report::tell(format_args!("time: {}\n", seconds(began.elapsed())));
        }
        Ok(flow)
    }

    /// Plans a statement, and runs it if it is one to run.
    fn run(&mut self, text: &str, words: &[String]) -> Result<Flow> {
        let view = self.output.view();
        self.workspace.show_by(view.result());
        let planned = catch_unwind(AssertUnwindSafe(|| self.workspace.plan(text)));
        let script = planned.unwrap_or_else(|_| {
            Err(Error::internal("the planner panicked").remedy("please report the statement"))
        });
        self.learn();
        let mut script = script?;
        if let Some(plan) = script.plan.take() {
            let flow = self.job(plan, &script, view, text);
            script.defines.iter().for_each(|made| self.define(made));
            return flow;
        }
        self.define(text.trim_start());
        self.answer(&script, words)?;
        Ok(Flow::On)
    }

    /// Remembers a statement for other processes of the jobs to come.
    fn define(&mut self, statement: &str) {
        self.defined.push_str(statement.trim_end().trim_end_matches(';'));
        self.defined.push_str(";\n");
    }

    /// Says what a statement that runs nothing says, or that it is done.
    fn answer(&self, script: &Script, words: &[String]) -> Result<()> {
        if !self.is_quiet {
            report::notify(&script.notices);
        }
        let outputs = script.outputs.iter().filter(|output| !output.is_empty());
        let said: String = outputs.map(|output| format!("{output}\n")).collect();
        if said.is_empty() && script.outputs.is_empty() && self.editor.is_some() && !self.is_quiet {
            let tag = words.iter().filter(|word| *word != "TEMPORARY").take(2);
            report::tell(format_args!("{}\n", tag.cloned().collect::<Vec<_>>().join(" ")));
        }
        self.output.say(&said)
    }

    /// Has Tab offer what there is now.
    fn learn(&self) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.tables = self.workspace.tables();
        if words.functions.is_empty() {
            words.functions = self.workspace.functions();
            words.settings = settings::obeyed();
            words.connectors = self.workspace.connectors();
        }
    }

    fn command(&mut self, line: &str) -> Result<Flow, Failure> {
        match Command::parse(line)? {
            Command::Quit => return Ok(Flow::Leave),
            Command::Include(path) => return self.file(&path),
            Command::Describe(Some(name)) => {
                return self.text("\\d", &format!("DESCRIBE {};", write::name(&name)));
            }
            Command::Set(Some((key, value))) => {
                let (key, value) = (write::literal(&key), write::literal(&value));
                return self.text("\\set", &format!("SET {key} = {value};"));
            }
            Command::Clear => {}
            Command::Timing => {
                self.is_timed = !self.is_timed;
                let now = if self.is_timed { "on" } else { "off" };
                report::tell(format_args!("timing is {now}\n"));
            }
            Command::Output(path) => self.output.send_to(path.as_deref())?,
            Command::Format(name) => self.format(name.as_deref())?,
            Command::Help => self.output.say(&command::help())?,
            Command::Syntax(statement) => {
                self.output.say(&syntax::help(statement.as_deref())?)?;
            }
            Command::Describe(None) => self.output.say(&self.relations())?,
            Command::Functions(pattern) => self.output.say(&self.functions(pattern.as_deref()))?,
            Command::Set(None) => self.output.say(&self.settings())?,
            Command::Explain => {
                let explained = self.explained.as_deref();
                let none = || Error::invalid("no query ran yet").remedy("EXPLAIN shows one before");
                self.output.say(explained.ok_or_else(none)?)?;
            }
            Command::History => self.output.say(&self.history())?,
        }
        Ok(Flow::On)
    }

    /// Chooses how results are shown, or says how they are.
    fn format(&mut self, name: Option<&str>) -> Result<()> {
        match name {
            None => self.output.say(&format!("{}\n", self.output.style.name())),
            Some(name) => {
                self.output.style = OutputFormat::parse(name)?;
                Ok(())
            }
        }
    }

    fn relations(&self) -> String {
        let tables = self.workspace.tables();
        let width = tables.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        let kind = |name: &str| if self.workspace.is_view(name) { "view" } else { "table" };
        tables.iter().map(|(name, _)| format!("{name:<width$}  {}\n", kind(name))).collect()
    }

    fn functions(&self, pattern: Option<&str>) -> String {
        let functions = self.workspace.functions().into_iter();
        let found = functions.filter(|name| pattern.is_none_or(|pattern| fits(name, pattern)));
        found.map(|name| name + "\n").collect()
    }

    fn settings(&self) -> String {
        let set = self.workspace.settings();
        let shown = |key: &str| set.get(key).map_or("(not set)".to_owned(), |v| write::literal(v));
        let keys = settings::obeyed().into_iter();
        keys.map(|key| format!("{key:<34}  {}\n", shown(key))).collect()
    }

    fn history(&self) -> String {
        let entries = self.editor.as_ref().map(Editor::history).unwrap_or_default();
        entries.into_iter().map(|entry| entry + "\n").collect()
    }
}

/// Returns the words that a statement begins with, up to the first name or sign.
fn first_words(statement: &str) -> Vec<String> {
    let lexemes = lexemes::lexemes(statement).into_iter();
    let lexemes = lexemes.filter(|lexeme| lexeme.class != Class::Comment);
    let is_own = |word: &str| ["QUIT", "EXIT", "HELP"].contains(&word);
    let words = lexemes.map(|lexeme| (lexeme.class, statement[lexeme.range].to_uppercase()));
    let words = words.take_while(|(class, word)| *class == Class::Keyword || is_own(word));
    words.map(|(_, word)| word).collect()
}

/// Returns a part of a script at its place: blanks and line feeds before it, so that an error points
/// into the script.
fn placed(script: &str, range: Range<usize>) -> String {
    let before = script[..range.start].chars();
    let blank = before.map(|c| if c == '\n' { '\n' } else { ' ' });
    blank.collect::<String>() + &script[range]
}

/// Does a name fit a pattern, in which `*` stands for anything? One without stands for names that
/// it is a part of.
fn fits(name: &str, pattern: &str) -> bool {
    let (name, pattern) = (name.to_lowercase(), pattern.to_lowercase());
    let Some((first, rest)) = pattern.split_once('*') else { return name.contains(&pattern) };
    let Some(mut left) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(last)
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests;
