//! Errors, notices and progress for people, on standard error.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use thalweg::console::{self, Script};
use thalweg::console::{CLEAR, tell_losses};
pub(crate) use thalweg::console::{code_of, summarize, tell};
use thalweg_cluster::Outcome;
use thalweg_cluster::coordinator::End;
use thalweg_cluster::options::{Progress, Watcher};
use thalweg_connectors::print::{Size, Terminal};
use thalweg_types::{Error, Result};

use crate::arguments::ScriptText;

/// An error and the script that it may point into.
pub(crate) struct Failure {
    pub(crate) error: Error,
    script: Option<ScriptText>,
}

impl Failure {
    pub(crate) fn of(error: Error, script: &ScriptText) -> Failure {
        Failure { error, script: Some(script.clone()) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { error, script: None }
    }
}

/// Prints an error, and the line of the script that it points at.
pub(crate) fn draw(failure: &Failure) {
    let script = failure.script.as_ref();
    let script = script.map(|script| Script { name: &script.name, text: &script.text });
    console::draw(&failure.error, script);
}

/// Writes to standard output. `println!` would panic where nobody reads it any more, as behind
/// `| head`.
///
/// # Errors
/// `Closed` if nobody reads it; `Failed` if it cannot be written.
pub(crate) fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::BrokenPipe => Error::closed("nobody reads the output"),
        _ => Error::failed(format!("cannot write the output: {error}")),
    })
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

/// Sends logs to standard error; `filter` chooses what is told.
pub(crate) fn start_log(filter: &str, format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::new(filter);
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // It would be told on standard error, by a panic where that is what failed.
    let logs = logs.log_internal_errors(false);
    match format {
        LogFormat::Text => logs.without_time().init(),
        LogFormat::Json => logs.json().init(),
    }
}

/// Keeps panics of timely's connections off standard error: that a process of the job is gone is
/// told in our words.
pub(crate) fn hush_connections() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        let known = [
            "timely communication error",
            "MergeQueue poisoned",
            "Clean shutdown followed by data",
            "Send thread panic",
            "Recv thread panic",
        ];
        if !known.iter().any(|known| text.starts_with(known)) {
            usual(panic);
        }
    }));
}

/// Returns who shows the progress of a run on a terminal, in a line that is written again and again;
/// nobody where there is no terminal, or where rows are shown on it.
pub(crate) fn watcher(shows_rows: bool) -> Option<Watcher> {
    let is_free = !(shows_rows && std::io::stdout().is_terminal());
    (is_free && std::io::stderr().is_terminal()).then(|| {
        Watcher(Arc::new(|progress, _| {
            let Progress { elapsed, rows, rate, watermark, lag } = progress;
            let seconds = elapsed.as_secs();
            let time = match (watermark, lag) {
                (Some(watermark), Some(lag)) => {
                    format!(", watermark {watermark}, {:.1} s behind", lag.as_secs_f64())
                }
                _ => String::new(),
            };
            tell(format_args!("{CLEAR}{seconds} s: {rows} rows in, {rate:.0} rows/s{time}"));
        }))
    })
}

/// Returns the terminal that rows are shown on, if they are.
pub(crate) fn terminal() -> Option<Terminal> {
    let size = || {
        let (width, height) = terminal_size::terminal_size_of(std::io::stdout())
            .map_or((80, 24), |(width, height)| (width.0, height.0));
        // Some terminals do not know and say 0.
        let known = |count: u16, usual| if count == 0 { usual } else { usize::from(count) };
        Size { columns: known(width, 80), lines: known(height, 24) }
    };
    std::io::stdout().is_terminal().then_some(Terminal(size))
}

/// Tells what the user should know of a script.
pub(crate) fn notify(notices: &[String]) {
    notices.iter().for_each(|notice| tell(format_args!("note: {notice}\n")));
}

/// Prints how many rows a query showed, or how many changes of rows; in a line or so.
pub(crate) fn count(outcome: &Outcome, is_updating: bool) {
    if std::io::stderr().is_terminal() {
        tell(format_args!("{CLEAR}"));
    }
    let rows: u64 = outcome.rows_out.values().sum();
    let noun = match (is_updating, rows) {
        (true, 1) => "change",
        (true, _) => "changes",
        (false, 1) => "row",
        (false, _) => "rows",
    };
    let how = match outcome.end {
        End::Finished | End::Closed => "",
        End::Suspended | End::Aborted => ", stopped",
    };
    tell(format_args!("({rows} {noun}{how})\n"));
    tell_losses(outcome);
}
