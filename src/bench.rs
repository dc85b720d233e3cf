//! `thalweg bench`: measures a query over the native Nexmark source, as a whole job.

use std::process::ExitCode;

use thalweg_cluster::{Control, RunOptions};
use thalweg_types::{Error, Result};

use crate::arguments::NexmarkArguments;
use crate::{report, wire};

/// The queries by name, with what of each is run.
const QUERIES: [(&str, &str); 6] = [
    ("q0", include_str!("../bench/nexmark/q0.sql")),
    ("q1", include_str!("../bench/nexmark/q1.sql")),
    ("q2", include_str!("../bench/nexmark/q2.sql")),
    ("q5", include_str!("../bench/nexmark/q5_count.sql")),
    ("q11", include_str!("../bench/nexmark/q11.sql")),
    ("q12", include_str!("../bench/nexmark/q12.sql")),
];

/// Runs a query and prints its figures, one a line.
pub(crate) fn nexmark(arguments: &NexmarkArguments) -> Result<ExitCode> {
    let found = QUERIES.iter().find(|(name, _)| *name == arguments.query);
    let (_, query) = found.ok_or_else(|| {
        let names: Vec<&str> = QUERIES.iter().map(|(name, _)| *name).collect();
        Error::invalid(format!("there is no query `{}`", arguments.query))
            .remedy(format!("the queries are {}", names.join(", ")))
    })?;
    let slowed = arguments.rate.map(|rate| format!(", 'scan.rows-per-second' = '{rate}'"));
    let script = format!(
        "CREATE TABLE bid (auction BIGINT, bidder BIGINT, price BIGINT, channel STRING, url STRING,
        `dateTime` TIMESTAMP(3), extra STRING,
        WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND)
        WITH ('connector' = 'nexmark', 'nexmark.events' = '{}'{});\n{query}",
        arguments.events,
        slowed.unwrap_or_default()
    );
    let plan = wire::planner(&wire::View::default()).plan(&script)?.plan;
    let plan = plan.ok_or_else(|| Error::internal("a query of Nexmark makes no job"))?;
    let mut options = RunOptions::new(&arguments.query);
    options.workers = arguments.workers.unwrap_or(options.workers).max(1);
    let runtime = wire::runtime()?;
    let (_control, inbox) = Control::new();
    let cpu = cpu_seconds()?;
    let outcome = thalweg_cluster::run(plan, &options, inbox, runtime.handle().clone())?;
    let (cpu, seconds) = (cpu_seconds()? - cpu, outcome.elapsed.as_secs_f64());
    let events = arguments.events as f64;
    let mut lines = vec![format!("query                  {}", arguments.query)];
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
