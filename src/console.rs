//! What a program that runs jobs has to do with its console: errors, exit codes, what a run did, and signals, of
//! which the first ends the job with a last checkpoint, and the second at once.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use thalweg_cluster::coordinator::End;
use thalweg_cluster::message::Stop;
use thalweg_cluster::{Control, Outcome};
use thalweg_types::epoch::Ending;
use thalweg_types::{Error, ErrorKind, Place, Result};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use unicode_width::UnicodeWidthChar;

/// Writes to standard error, if it takes it: where that is a file on a full disk, `eprintln!` would
/// panic, and what is said about a failure would hide its exit code.
pub fn tell(text: std::fmt::Arguments<'_>) {
    let _ = std::io::stderr().write_fmt(text);
}

/// A script that an error may point into.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// How it is called.
    pub name: &'a str,
    /// What stands in it.
    pub text: &'a str,
}

/// Prints an error: message, place, the line it points at with a caret, and what to do. That
/// nobody reads any more is none.
pub fn draw(error: &Error, script: Option<Script<'_>>) {
    if error.kind() == ErrorKind::Closed {
        return;
    }
    tell(format_args!("error: {}\n", error.message()));
    for place in error.places() {
        match (place, script) {
            (Place::Sql { line, column, length }, Some(script)) => {
                tell(format_args!("  --> {}:{line}:{column}\n", script.name));
                if let Some(text) = script.text.lines().nth(line.saturating_sub(1)) {
                    tell(format_args!("{}", pointed(text, *line, (*column, *length))));
                }
            }
            (place, _) => tell(format_args!("  at {place}\n")),
        }
    }
    if let Some(remedy) = error.remedy_text() {
        tell(format_args!("help: {remedy}\n"));
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if !error.message().contains(&cause.to_string()) {
            tell(format_args!("caused by: {cause}\n"));
        }
        source = cause.source();
    }
}

/// Characters of a line of a script that are shown at most.
const EXCERPT_MAX: usize = 120;

/// Returns a line with carets below `length` characters from `column` on; of a long one the part
/// around them.
fn pointed(text: &str, line: usize, (column, length): (usize, usize)) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = column.saturating_sub(1).min(chars.len());
    let (mut from, mut to) = (0, chars.len());
    if chars.len() > EXCERPT_MAX {
        to = (at + EXCERPT_MAX / 2).max(EXCERPT_MAX).min(chars.len());
        from = to - EXCERPT_MAX;
    }
    let cut = |is_cut: bool| if is_cut { "…" } else { "" };
    let shown: String = chars[from..to].iter().collect();
    let before: String = cut(from > 0).chars().chain(chars[from..at].iter().copied()).collect();
    let covered = chars[at..to].iter().take(length);
    let carets = covered.map(|c| c.width().unwrap_or(0)).sum::<usize>().max(1);
    let number = line.to_string();
    let below: String =
        " ".repeat(number.len() + 3) + &before.chars().map(blank).collect::<String>();
    let (left, right) = (cut(from > 0), cut(to < chars.len()));
    format!("{number} | {left}{shown}{right}\n{below}{}\n", "^".repeat(carets))
}

/// Returns blanks as wide as a character.
fn blank(c: char) -> String {
    if c == '\t' { c.to_string() } else { " ".repeat(c.width().unwrap_or(0)) }
}

/// Returns the exit code of an error.
pub fn code_of(error: &Error) -> ExitCode {
    ExitCode::from(match error.kind() {
        ErrorKind::Invalid => 2,
        ErrorKind::Data => 3,
        ErrorKind::State | ErrorKind::Fenced => 4,
        ErrorKind::Closed => 0,
        _ => 1,
    })
}

/// Clears the line of the cursor.
pub const CLEAR: &str = "\r\x1b[K";

/// Prints what a run did; one line, and one for each source and sink.
pub fn summarize(outcome: &Outcome) {
    if outcome.was_finished {
        tell(format_args!(
            "The job had finished before; there is nothing to do (--continue reads new files).\n"
        ));
        return;
    }
    let sum = |kind: &str| -> u64 {
        let counts = outcome.counters.iter();
        counts.filter(|(name, _)| name.starts_with(kind)).map(|(_, count)| count).sum()
    };
    let how = match outcome.end {
        End::Finished => "Finished",
        End::Suspended => "Suspended",
        End::Closed => "Ended, since no more rows are wanted,",
        End::Aborted => "Stopped at once",
    };
    let out: u64 = outcome.rows_out.values().sum();
    if std::io::stderr().is_terminal() {
        tell(format_args!("{CLEAR}"));
    }
    tell(format_args!(
        "{how} after {:.2} s: {} rows in, {out} out, {} late, {} bad, {} checkpoints.\n",
        outcome.elapsed.as_secs_f64(),
        sum("rows "),
        sum("late "),
        sum("bad "),
        outcome.checkpoints,
    ));
    tell_losses(outcome);
}

/// Prints where rows were late or bad.
pub fn tell_losses(outcome: &Outcome) {
    for (name, count) in outcome.counters.iter().filter(|(_, count)| **count > 0) {
        let Some((kind, operator)) = name.split_once(' ') else { continue };
        if kind != "rows" {
            tell(format_args!("  {count} {kind} rows at {operator}\n"));
        }
    }
}

/// Opens the signals that end things: an interrupt, and a request to terminate.
///
/// # Errors
/// `Failed` if signals cannot be heard.
pub fn signals(runtime: &Runtime) -> Result<(Signal, Signal)> {
    let _context = runtime.enter();
    let failed = |error| Error::failed(format!("cannot listen for signals: {error}"));
    let interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok((interrupt, signal(SignalKind::terminate()).map_err(failed)?))
}

/// Listens for signals; `drains` fires open windows before the job ends.
///
/// # Errors
/// `Failed` if signals cannot be heard.
pub fn listen(runtime: &Runtime, control: Control, drains: bool) -> Result<()> {
    let (mut interrupt, mut terminate) = signals(runtime)?;
    let ending = if drains { Ending::Finish } else { Ending::Suspend };
    runtime.spawn(async move {
        for stop in [Stop::Gently(ending), Stop::AtOnce] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            control.stop(stop);
        }
    });
    Ok(())
}
