//! Commands and flags, as typed.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use thalweg_connectors::print::Style;
use thalweg_plan::connector::parse_duration;
use thalweg_types::{Error, Result};

/// Streaming SQL, exactly once, on one machine.
#[derive(Debug, Parser)]
#[command(name = "thalweg", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a script until its input ends or it is stopped.
    Run(RunArguments),
    /// Shows how a script would run.
    Explain(ScriptArguments),
    /// Measures the program.
    Bench {
        #[command(subcommand)]
        command: BenchCommand,
    },
    /// Takes part in a job that another process started; `run --processes` uses it.
    #[command(hide = true)]
    Member {
        /// Address of the first process.
        address: String,
        /// Which process of the job this is.
        index: usize,
    },
    /// Looks at the checkpoints of a job.
    State {
        #[command(subcommand)]
        command: StateCommand,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Runs a query of the Nexmark benchmark over events made on the spot.
    Nexmark(NexmarkArguments),
}

/// Flags of `bench nexmark`.
#[derive(Clone, Debug, Args)]
pub(crate) struct NexmarkArguments {
    /// The query: q0, q1, q2, q5 (its windowed count), q11 or q12 (by event time).
    #[arg(long, value_name = "NAME")]
    pub(crate) query: String,
    /// Events, of which 46 of 50 are bids.
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    pub(crate) events: u64,
    /// Worker threads; the machine's cores unless given.
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// Bids in a second, for latency under a steady load; as fast as it goes unless given.
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<u64>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Lists the checkpoints: number, epoch, time, size.
    List {
        /// State directory or `s3://…` prefix.
        state_dir: String,
    },
    /// Shows the newest checkpoint: offsets by split, rows and bytes by operator.
    Show {
        /// State directory or `s3://…` prefix.
        state_dir: String,
    },
}

/// Where the script is.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct ScriptArguments {
    /// File with SQL; `-` reads standard input.
    file: Option<String>,
    /// The SQL itself.
    #[arg(short = 'e', long = "execute", value_name = "SQL", allow_hyphen_values = true)]
    execute: Option<String>,
}

/// How rows of a bare SELECT are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputFormat {
    /// Columns below each other.
    #[default]
    Table,
    /// One JSON object a line.
    Json,
    /// RFC 4180 with a header.
    Csv,
}

impl OutputFormat {
    /// Returns the style of the sink.
    pub(crate) fn style(self) -> Style {
        match self {
            OutputFormat::Table => Style::Table,
            OutputFormat::Json => Style::Json,
            OutputFormat::Csv => Style::Csv,
        }
    }
}

/// Flags of `run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) script: ScriptArguments,
    /// Worker threads, of all processes together; the machine's cores unless given.
    #[arg(long, value_name = "N")]
    pub(crate) workers: Option<usize>,
    /// Processes that share the workers evenly; they exchange rows over loopback TCP.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) processes: usize,
    /// Directory or `s3://…` prefix for checkpoints; a job goes on from the last one there.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<String>,
    /// Time between checkpoints.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) checkpoint_interval: Option<Duration>,
    /// How rows of a bare SELECT are shown.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: OutputFormat,
    /// Ends the job after so many rows of a bare SELECT.
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u64>,
    /// Writes counters of each operator to this file each second, as NDJSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) stats: Option<PathBuf>,
    /// Forgets earlier state and begins anew.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Goes on with files that are new since the job finished.
    #[arg(long = "continue")]
    pub(crate) continues: bool,
    /// On Ctrl-C, fires open windows before it ends.
    #[arg(long)]
    pub(crate) drain: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "write a time span such as 500ms, 1s or 1min".to_owned())
}

/// A script and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct ScriptText {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl ScriptArguments {
    /// Reads the script.
    pub(crate) fn read(&self) -> Result<ScriptText> {
        if let Some(text) = &self.execute {
            return Ok(ScriptText { name: "command".to_owned(), text: text.clone() });
        }
        let file = self.file.clone().unwrap_or_default();
        let mut text = String::new();
        let read = match file.as_str() {
            "-" => std::io::stdin().read_to_string(&mut text).map(|_| ()),
            path => std::fs::read_to_string(path).map(|content| text = content),
        };
        read.map_err(|error| Error::invalid(format!("cannot read script `{file}`: {error}")))?;
        Ok(ScriptText { name: file, text })
    }
}
