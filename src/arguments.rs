//! Commands and flags, as typed.

use std::io::Read;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use thalweg_cluster::memory::MemoryLimit;
use thalweg_connectors::print::Style;
use thalweg_plan::connector::parse_duration;
use thalweg_types::clock::FixedClock;
use thalweg_types::{Error, Result};

use crate::config::{Config, Key};

/// Streaming SQL, exactly once, on one machine.
#[derive(Debug, Parser)]
#[command(name = "thalweg", version)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) manner: Manner,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Flags of every command: what is told beside its result, and where its configuration is.
#[derive(Clone, Debug, Args)]
pub(crate) struct Manner {
    /// Tells errors only: no notices, no progress, no summary.
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Logs what happens; twice, in detail.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// How logs are written.
    #[arg(long, global = true, value_enum, value_name = "FORMAT")]
    pub(crate) log_format: Option<LogFormat>,
    /// Configuration; `thalweg.toml` in the current directory unless given.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl Manner {
    /// Adds what the flags say.
    pub(crate) fn configure(&self, config: &mut Config) {
        let level = match self.verbose {
            0 => None,
            1 => Some("info"),
            _ => Some("debug"),
        };
        config.flag(Key::LogLevel, level.map(str::to_owned));
        config.flag(Key::LogFormat, self.log_format.map(name_of));
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Returns how a value is written on the command line.
fn name_of(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a script until its input ends or it is stopped.
    Run(RunArguments),
    /// Opens a shell for statements, one after the other.
    Sql(SqlArguments),
    /// Shows how a script would run.
    Explain(ScriptArguments),
    /// Plans a script and says whether it is right, without running it.
    Check(ScriptArguments),
    /// Prints a CREATE TABLE for a file, made from its first rows.
    Schema(SchemaArguments),
    /// Prints the configuration, and where each value comes from.
    Config(Tuning),
    /// Prints completions for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
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

/// A shell that completes commands.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash.
    Bash,
    /// Z shell.
    Zsh,
    /// Fish.
    Fish,
}

/// Flags of `schema`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SchemaArguments {
    /// File, directory or glob: NDJSON, CSV or Parquet, packed or not.
    pub(crate) file: String,
    /// Rows to look at.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rows: u32,
    /// Is the first record of a CSV file a header? Decided by its values unless given.
    #[arg(long, value_name = "true|false")]
    pub(crate) header: Option<bool>,
    /// The format; decided by the name of the file unless given.
    #[arg(long, value_parser = ["json", "csv", "parquet"])]
    pub(crate) format: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Runs a query of the Nexmark benchmark, or all, over events made on the spot.
    Nexmark(NexmarkArguments),
}

/// Flags of `bench nexmark`.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub(crate) struct NexmarkArguments {
    /// The query: q0 to q23; cep_q0 to cep_q3 search for patterns; q5_count is the windowed count of q5, q12_event is q12 by event time.
    #[arg(long, value_name = "NAME", group = "which")]
    pub(crate) query: Option<String>,
    /// All of q0 to q23 and cep_q0 to cep_q3, one after the other, as a table.
    #[arg(long, group = "which")]
    pub(crate) all: bool,
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
    /// Shows a checkpoint: offsets by split, rows and bytes by operator; or what it holds of a key.
    Show(ShowArguments),
}

/// Flags of `state show`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ShowArguments {
    /// State directory or `s3://…` prefix.
    pub(crate) state_dir: String,
    /// Number of the checkpoint; the newest unless given.
    #[arg(long, value_name = "N")]
    pub(crate) checkpoint: Option<u64>,
    #[command(flatten)]
    pub(crate) key: KeyArguments,
}

/// Flags of `state show` that ask for one key.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeyArguments {
    /// A column of the key and its value, as user=alice; again for each further column.
    #[arg(long, value_name = "COLUMN=VALUE")]
    pub(crate) key: Vec<String>,
    /// Shows the state of this operator only.
    #[arg(long, value_name = "ID", requires = "key")]
    pub(crate) operator: Option<String>,
    /// How values are shown.
    #[arg(long, value_enum, default_value_t, requires = "key")]
    pub(crate) output: OutputFormat,
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
    /// Returns the format of that name; a table if there is none.
    pub(crate) fn named(name: &str) -> OutputFormat {
        OutputFormat::from_str(name, true).unwrap_or_default()
    }

    /// Reads the name of a format.
    pub(crate) fn parse(name: &str) -> Result<OutputFormat> {
        OutputFormat::from_str(name, true).map_err(|_| {
            Error::invalid(format!("there is no format `{name}`"))
                .remedy("the formats are table, csv and json")
        })
    }

    /// Returns its name.
    pub(crate) fn name(self) -> String {
        name_of(self)
    }

    /// Returns the style of the sink.
    pub(crate) fn style(self) -> Style {
        match self {
            OutputFormat::Table => Style::Table,
            OutputFormat::Json => Style::Json,
            OutputFormat::Csv => Style::Csv,
        }
    }
}

/// Flags that can be configured elsewhere, too.
#[derive(Clone, Debug, Args)]
pub(crate) struct Tuning {
    /// Worker threads, of all processes together; the machine's cores unless given.
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Processes that share the workers evenly; they exchange rows over loopback TCP.
    #[arg(long, value_name = "N")]
    processes: Option<usize>,
    /// Directory or `s3://…` prefix for checkpoints; a job goes on from the last one there.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<String>,
    /// Time between checkpoints; 1s unless given.
    #[arg(long, value_name = "TIME", value_parser = time_span)]
    checkpoint_interval: Option<String>,
    /// Memory that a process may use, as 2GB; of all memory, as 80%, which it is unless given; none
    /// for no limit. At the limit the job takes a checkpoint and ends.
    #[arg(long, value_name = "SIZE", value_parser = memory_limit)]
    memory_limit: Option<String>,
    /// Lets the clock stand still at a time in UTC, as '2026-01-01 00:00:00': PROCTIME(), NOW() and windows
    /// of processing time go by it. For tests, and for backfills that give the same again.
    #[arg(long, value_name = "TIME", value_parser = clock)]
    clock: Option<String>,
    /// How rows of a bare SELECT are shown; as a table unless given.
    #[arg(long, value_enum)]
    output: Option<OutputFormat>,
}

impl Tuning {
    /// Adds what the flags say.
    pub(crate) fn configure(&self, config: &mut Config) {
        config.flag(Key::Workers, self.workers.map(|count| count.to_string()));
        config.flag(Key::Processes, self.processes.map(|count| count.to_string()));
        config.flag(Key::StateDir, self.state_dir.clone());
        config.flag(Key::CheckpointInterval, self.checkpoint_interval.clone());
        config.flag(Key::MemoryLimit, self.memory_limit.clone());
        config.flag(Key::Clock, self.clock.clone());
        config.flag(Key::Output, self.output.map(name_of));
    }
}

/// Flags of `run`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) script: ScriptArguments,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
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

fn clock(text: &str) -> Result<String, String> {
    match FixedClock::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write a time from 1970 to 2199 such as '2026-01-01 00:00:00'".to_owned()),
    }
}

fn memory_limit(text: &str) -> Result<String, String> {
    match MemoryLimit::parse(text) {
        Some(_) => Ok(text.to_owned()),
        None => Err("write a size such as 2GB, a percentage such as 80%, or none".to_owned()),
    }
}

/// Flags of `sql`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SqlArguments {
    /// File with statements that are run first.
    #[arg(long, value_name = "FILE")]
    pub(crate) init: Option<String>,
    /// Statements to run instead of what is typed.
    #[arg(short = 'e', long = "execute", value_name = "SQL", allow_hyphen_values = true)]
    pub(crate) execute: Option<String>,
    /// Keeps no history of what is typed.
    #[arg(long)]
    pub(crate) no_history: bool,
    #[command(flatten)]
    pub(crate) tuning: Tuning,
}

fn time_span(text: &str) -> Result<String, String> {
    match parse_duration(text).is_some_and(|span| !span.is_zero()) {
        true => Ok(text.to_owned()),
        false => Err("write a time span such as 500ms, 1s or 1min".to_owned()),
    }
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
