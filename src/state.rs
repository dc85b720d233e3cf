//! `thalweg state`: what stands in the checkpoints of a job.

use std::process::ExitCode;

use thalweg_storage::checkpoint::Manifest;
use thalweg_storage::checkpoint::manifest::Kind;
use thalweg_storage::{CheckpointLog, ObjectStore};
use thalweg_types::{Error, EventTime, Result};

use crate::arguments::ShowArguments;
use crate::{lookup, report};

fn open(place: &str) -> Result<(CheckpointLog, tokio::runtime::Runtime)> {
    let runtime = crate::wire::runtime()?;
    Ok((CheckpointLog::new(ObjectStore::open(place)?), runtime))
}

/// Prints a line for each checkpoint.
pub(crate) fn list(place: &str) -> Result<ExitCode> {
    let (log, runtime) = open(place)?;
    let mut text = format!(
        "{:>8}  {:>8}  {:>10}  {:<23}  {:>12}  kind\n",
        "number", "attempt", "epoch", "clock", "state bytes"
    );
    for number in runtime.block_on(log.numbers())? {
        let manifest = runtime.block_on(log.read(number))?;
        let bytes: u64 = manifest.files().map(|file| file.bytes).sum();
        let kind = match (&manifest.kind, manifest.is_finished) {
            (Kind::Fence, _) => "fence",
            (Kind::Checkpoint, true) => "finished",
            (Kind::Checkpoint, false) => "checkpoint",
        };
        let clock = EventTime(manifest.clock).to_string();
        let (attempt, epoch) = (manifest.attempt, manifest.epoch);
        text.push_str(&format!(
            "{number:>8}  {attempt:>8}  {epoch:>10}  {clock:<23}  {bytes:>12}  {kind}\n"
        ));
    }
    report::say(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a checkpoint, or what it holds of a key.
pub(crate) fn show(arguments: &ShowArguments) -> Result<ExitCode> {
    let place = &arguments.state_dir;
    let (log, runtime) = open(place)?;
    let manifest = match arguments.checkpoint {
        Some(number) => Some(runtime.block_on(log.read(number)).map_err(|error| {
            error.remedy("`thalweg state list` lists the checkpoints that there are")
        })?),
        None => runtime.block_on(log.newest())?,
    };
    let manifest = manifest.ok_or_else(|| {
        Error::state(format!("there is no checkpoint in `{place}`"))
            .remedy("name the --state-dir of a job that ran")
    })?;
    if !arguments.key.key.is_empty() {
        return runtime.block_on(lookup::show(&log, &manifest, &arguments.key));
    }
    report::say(&description(&manifest))?;
    Ok(ExitCode::SUCCESS)
}

fn description(manifest: &Manifest) -> String {
    let Manifest { job, attempt, epoch, .. } = manifest;
    let mut lines = vec![format!("job {job}, attempt {attempt}, epoch {epoch}")];
    for (domain, watermark) in &manifest.watermarks {
        lines.push(format!("watermark of {domain}: {}", EventTime(*watermark)));
    }
    for (source, state) in &manifest.sources {
        lines.push(format!("source {source}"));
        for split in &state.splits {
            let place = match (split.is_finished, &split.offset) {
                (true, _) => "finished".to_owned(),
                (false, Some(offset)) => offset.clone(),
                (false, None) => "not begun".to_owned(),
            };
            lines.push(format!("  {}: {place}", split.id));
        }
    }
    for (operator, state) in &manifest.operators {
        let files = || state.chains.iter().flat_map(|chain| &chain.files);
        let (bytes, rows) = files().fold((0, 0), |(b, r), file| (b + file.bytes, r + file.rows));
        lines.push(format!(
            "operator {operator}: {} files, {rows} rows, {bytes} bytes",
            files().count()
        ));
    }
    for (name, count) in &manifest.counters {
        lines.push(format!("{name}: {count}"));
    }
    lines.join("\n") + "\n"
}
