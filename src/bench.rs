//! `thalweg bench`: measures queries of Nexmark over the native source, each as a whole job.
//!
//! Invariant: a figure of memory or CPU is of one query alone, so where all are measured each runs in
//! a process of its own.

mod queries;

use std::process::{Command, ExitCode};

use thalweg_cluster::{Control, RunOptions};
use thalweg_types::{Error, Result};

use crate::arguments::NexmarkArguments;
use crate::{report, wire};
use queries::{Folder, PATTERNS, QUERIES};

/// The figures of the table over all queries, with their widths.
const COLUMNS: [(&str, usize); 4] = [
    ("CPU-seconds", 12),
    ("events per CPU-second", 22),
    ("rows out", 12),
    ("peak memory, MiB", 17),
];

/// Runs a query, or all, and prints its figures.
pub(crate) fn nexmark(arguments: &NexmarkArguments) -> Result<ExitCode> {
    match &arguments.query {
        Some(query) => one(query, arguments),
        None => all(arguments),
    }
}

/// Runs a query and prints its figures, one a line.
fn one(query: &str, arguments: &NexmarkArguments) -> Result<ExitCode> {
    let folder = Folder::new()?;
    let script = queries::script(query, arguments.events, arguments.rate, &folder)?;
    let plan = wire::planner(&wire::View::default()).plan(&script)?.plan;
    let plan = plan.ok_or_else(|| Error::internal("a query of Nexmark makes no job"))?;
    let mut options = RunOptions::new(query);
    options.workers = arguments.workers.unwrap_or(options.workers).max(1);
    let runtime = wire::runtime()?;
    let (_control, inbox) = Control::new();
    let cpu = cpu_seconds()?;
    let outcome = thalweg_cluster::run(plan, &options, inbox, runtime.handle().clone())?;
    let (cpu, seconds) = (cpu_seconds()? - cpu, outcome.elapsed.as_secs_f64());
    let events = arguments.events as f64;
    let mut lines = vec![format!("query                  {query}")];
    lines.push(format!("events                 {}", arguments.events));
    lines.push(format!("workers                {}", options.workers));
    lines.push(format!("rows out               {}", outcome.rows_out.values().sum::<u64>()));
    lines.push(format!("seconds                {seconds:.2}"));
    lines.push(format!("events/s               {:.0}", events / seconds));
    lines.push(format!("CPU-seconds            {cpu:.2}"));
    lines.push(format!("events per CPU-second  {:.0}", events / cpu.max(0.01)));
    lines.push(format!("peak memory, MiB       {}", peak_kib()? / 1024));
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let latency = outcome.epochs.quantile(quantile).as_secs_f64() * 1e3;
        lines.push(format!("epoch latency {name}, ms  {latency:.3}"));
    }
    report::say(&(lines.join("\n") + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs every query and prints a table, a line for each as soon as it is done; fails if one does.
fn all(arguments: &NexmarkArguments) -> Result<ExitCode> {
    let header = COLUMNS.map(|(column, width)| format!("{column:>width$}"));
    report::say(&format!("query {}\n", header.concat()))?;
    let mut code = ExitCode::SUCCESS;
    for (query, _) in QUERIES.iter().chain(&PATTERNS) {
        let output = alone(query, arguments)?;
        if !output.status.success() {
            report::tell(format_args!("{query}: {}", String::from_utf8_lossy(&output.stderr)));
            code = ExitCode::FAILURE;
            continue;
        }
        let told = String::from_utf8_lossy(&output.stdout);
        let cells = COLUMNS.map(|(column, width)| {
            let line = told.lines().find_map(|line| line.strip_prefix(column));
            format!("{:>width$}", line.unwrap_or_default().trim())
        });
        report::say(&format!("{query:5} {}\n", cells.concat()))?;
    }
    Ok(code)
}

/// Runs a query in a process of its own.
fn alone(query: &str, arguments: &NexmarkArguments) -> Result<std::process::Output> {
    let failed = |error| Error::failed(format!("cannot start a process for {query}: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(program);
    command.args(["bench", "nexmark", "--query", query]);
    command.args(["--events", &arguments.events.to_string()]);
    let flags = [("--workers", arguments.workers.map(|n| n as u64)), ("--rate", arguments.rate)];
    for (flag, number) in flags {
        command.args(number.map(|number| format!("{flag}={number}")));
    }
    command.output().map_err(failed)
}

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Error::failed(format!("cannot read {path}, which Linux has: {error}")))
}

/// Returns the CPU time, user and system, of this process so far.
fn cpu_seconds() -> Result<f64> {
    let stat = read("/proc/self/stat")?;
    // The name of the program, in brackets, may contain blanks.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap_or_default());
    // A tick is a hundredth of a second on every Linux that Rust runs on.
    Ok(ticks.sum::<f64>() / 100.0)
}

/// Returns the most memory that this process held, in KiB.
fn peak_kib() -> Result<u64> {
    let status = read("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    peak.ok_or_else(|| Error::failed("/proc/self/status has no VmHWM"))
}
