//! The lives of one run of a query: one to its end, or one that is killed in the middle and one that goes on.
//!
//! Invariant: a run counts as killed only if its first life was killed behind its second checkpoint and had
//! not come to its end. A first life that ends before it can be killed is run anew, slower.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::data::{self, Events};
use super::manners::{Input, Manner};
use crate::oracle::killed::published;
use crate::oracle::{Rows, cell};
use crate::support::{Dice, Place};

/// How often a first life is tried, each time twice as slow.
const TRIES_MAX: u32 = 4;
/// Shortest first life that is killed.
const FIRST_LIFE: Duration = Duration::from_millis(600);
/// Events for which a first life takes a second more: as fast as no query reads them from files.
const EVENTS_PER_SECOND: u64 = 500_000;
/// Time between checkpoints of a life that is not killed.
const INTERVAL: Duration = Duration::from_millis(50);

/// The clock of all lives; what is compared with has it, too.
const CLOCK: &str = "2026-01-01 00:00:07";

/// What became of a run.
pub(super) struct Outcome {
    /// The folded answer.
    pub(super) rows: Rows,
    /// How its first life was killed, if it was.
    pub(super) kill: Option<Kill>,
}

/// How a first life was killed.
#[derive(Clone, Copy)]
pub(super) struct Kill {
    /// The share of the input, in percent, that the newest checkpoint had behind it.
    pub(super) percent: u64,
    /// First lives that ended by themselves before.
    pub(super) too_late: u32,
}

/// Runs a query.
pub(super) fn run(query: &str, manner: Manner, events: &Events) -> Result<Outcome, String> {
    let (tables, query) = (tables(manner.input, events), to_files(query));
    let whole = format!("{tables}\n{query}");
    if !manner.is_killed {
        let place = place(manner.input, events);
        let rows = to_the_end(&place, &whole, manner)?;
        return Ok(Outcome { rows, kill: None });
    }
    for too_late in 0..TRIES_MAX {
        let place = place(manner.input, events);
        let lasts =
            FIRST_LIFE + Duration::from_secs(1) * events.count as u32 / EVENTS_PER_SECOND as u32;
        let lasts = lasts * 2_u32.pow(too_late);
        let slow = format!("{}\n{query}", slowed(&tables, events, lasts));
        let Some(percent) = killed(&place, &slow, (manner, lasts / 4), events)? else { continue };
        let workers = manner.workers + manner.processes;
        let rows = to_the_end(&place, &whole, Manner { workers, ..manner })?;
        return Ok(Outcome { rows, kill: Some(Kill { percent, too_late }) });
    }
    Err(format!("it ended before each of {TRIES_MAX} kills"))
}

/// Returns the declarations of the tables.
fn tables(input: Input, events: &Events) -> String {
    match input {
        Input::Native => data::native(events.count, events.rate),
        Input::Ordered | Input::Disordered => data::FILES.to_owned(),
    }
}

/// Returns a place with the input.
fn place(input: Input, events: &Events) -> Place {
    let place = Place::new();
    match input {
        Input::Native => data::write_side_input(&place),
        input => events.lay(&place, input == Input::Ordered),
    }
    place
}

/// Returns declarations by which each table takes at least so long.
fn slowed(tables: &str, events: &Events, lasts: Duration) -> String {
    let slowed = tables.split_inclusive(';').map(|table| {
        let Some((_, lines)) =
            events.lines.iter().find(|(name, _)| table.contains(&format!("CREATE TABLE {name} ")))
        else {
            return table.to_owned();
        };
        let rate = (lines.len() as f64 / lasts.as_secs_f64()).ceil();
        let limit = format!("WITH (\n  'scan.rows-per-second' = '{rate}',");
        assert!(table.contains("WITH ("), "{table}");
        table.replace("WITH (", &limit)
    });
    slowed.collect()
}

/// Returns a query whose answer goes to the folder `out`, as changes; q10's to folders within.
fn to_files(query: &str) -> String {
    let sink = "'connector' = 'filesystem', 'path' = 'out', 'format' = 'debezium-json'";
    let query = query.replace("'connector' = 'blackhole'", sink);
    query.replace("'nexmark_q10'", "'out'").replace("'csv'", "'json'")
}

/// Starts one life of a job.
fn start(place: &Place, script: &str, manner: Manner, interval: Duration) -> Child {
    let mut command = place.command(&["run", "-e", script, "--state-dir", "state", "-q"]);
    let Manner { workers, processes, .. } = manner;
    command.args(["--workers", &workers.to_string(), "--processes", &processes.to_string()]);
    command.args([
        "--clock",
        CLOCK,
        "--checkpoint-interval",
        &format!("{}ms", interval.as_millis()),
    ]);
    command.stderr(Stdio::piped()).spawn().unwrap()
}

/// Lets a job come to its end; returns its folded answer.
fn to_the_end(place: &Place, script: &str, manner: Manner) -> Result<Rows, String> {
    let output = start(place, script, manner, INTERVAL).wait_with_output().unwrap();
    match output.status.success() {
        true if script.contains("PARTITIONED BY") => Ok(logged(place)),
        true => Ok(published(place)),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Kills a life of a job behind its second checkpoint; returns how many percent of its input were behind its
/// newest one, or nothing if it came to its end before.
fn killed(
    place: &Place,
    script: &str,
    (manner, interval): (Manner, Duration),
    events: &Events,
) -> Result<Option<u64>, String> {
    let mut child = start(place, script, manner, interval);
    // Ends with the job at the latest.
    while child.try_wait().unwrap().is_none() && manifests(place).len() < 3 {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Anywhere before the third.
    std::thread::sleep(interval * Dice(script.len() as u64).below(100) as u32 / 100);
    // A job that has ended cannot be killed: the status says so.
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    if output.status.signal() != Some(9) && !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let newest = manifests(place).pop().expect("a job begins with a fence");
    let newest: Value = serde_json::from_slice(&std::fs::read(newest).unwrap()).unwrap();
    match output.status.success() || newest["is_finished"] == true {
        true => Ok(None),
        false => Ok(Some(percent(&newest, events))),
    }
}

/// Returns the paths of a job's manifests, oldest first; the first of its first life is a fence.
fn manifests(place: &Place) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(place.path("state/manifest")) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
    paths.sort();
    paths
}

/// Returns how many percent of the rows that a job reads are behind a checkpoint.
fn percent(manifest: &Value, events: &Events) -> u64 {
    let (mut read, mut all) = (0, 0);
    for (name, count) in manifest["counters"].as_object().unwrap() {
        // `rows bid/Source-1`
        let table = name.strip_prefix("rows ").and_then(|name| name.split('/').next());
        if let Some((_, lines)) = events.lines.iter().find(|(name, _)| Some(*name) == table) {
            (read, all) = (read + count.as_u64().unwrap(), all + lines.len() as u64);
        }
    }
    assert!(all > 0, "a checkpoint counts what is read: {}", manifest["counters"]);
    100 * read / all
}

/// Returns the rows of q10's files, each with what its folders say.
fn logged(place: &Place) -> Rows {
    let mut rows = Rows::new();
    for (line, count) in place.published("out") {
        let (folders, row) = line.split_once("/{").unwrap();
        let row: Value = serde_json::from_str(&format!("{{{row}")).unwrap();
        let columns = ["auction", "bidder", "price", "dateTime", "extra"];
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let columns = columns.iter().map(|name| cell(&text(&row[*name])));
        let folders = folders.split('/').map(|folder| {
            folder.split_once('=').unwrap().1.replace("%3A", ":").replace("%3a", ":")
        });
        rows.insert(columns.chain(folders).collect(), count as i64);
    }
    rows
}
