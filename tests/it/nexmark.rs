//! Nexmark, q0 to q23, as its users run it: over the native source and over files, in order and with
//! three seconds of disorder, on one worker and on several, in two processes, and killed on the way, each
//! query gives the answer that plain SQL gives over all rows at once.
//!
//! `THALWEG_NEXMARK_EVENTS=1000000` runs more events than the few of every day, and
//! `THALWEG_NEXMARK_QUERIES=q5,q7` only some of the queries.

mod cep;
mod data;

use std::process::{Child, Stdio};
use std::time::Duration;

use crate::oracle::killed::published;
use crate::oracle::{Rows, cell, differences};
use crate::support::Place;
use data::Events;

/// A query, and the same in plain SQL over all rows at once: written by hand and run by DataFusion, so that
/// nothing of it passes through the planner that is tested.
struct Query {
    name: String,
    stream: String,
    batch: String,
}

/// Returns q0 to q23, as they stand in the repository.
fn queries() -> impl Iterator<Item = Query> {
    (0..=23).map(|number| {
        let name = format!("q{number}");
        let read = |folder| {
            let path = format!("{}/{folder}/{name}.sql", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(path).unwrap()
        };
        let (stream, batch) = (read("nexmark"), read("tests/nexmark/batch"));
        Query { name, stream, batch }
    })
}

fn events() -> u64 {
    let events = std::env::var("THALWEG_NEXMARK_EVENTS").ok();
    events.and_then(|events| events.parse().ok()).unwrap_or(10_000)
}

/// How a query is run.
#[derive(Clone, Copy, Debug)]
struct Manner {
    input: Input,
    workers: usize,
    processes: usize,
    /// Is it killed on the way, to go on with one worker more?
    is_killed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Input {
    Native,
    Ordered,
    Disordered,
}

const MANNERS: [Manner; 5] = [
    Manner { input: Input::Native, workers: 1, processes: 1, is_killed: false },
    Manner { input: Input::Native, workers: 3, processes: 1, is_killed: false },
    Manner { input: Input::Ordered, workers: 2, processes: 1, is_killed: false },
    Manner { input: Input::Disordered, workers: 2, processes: 2, is_killed: false },
    Manner { input: Input::Disordered, workers: 1, processes: 1, is_killed: true },
];

/// Returns a query whose answer goes to the folder `out`, as changes; q10's to folders within.
fn to_files(query: &str) -> String {
    let sink = "'connector' = 'filesystem', 'path' = 'out', 'format' = 'debezium-json'";
    let query = query.replace("'connector' = 'blackhole'", sink);
    query.replace("'nexmark_q10'", "'out'").replace("'csv'", "'json'")
}

/// Starts one life of a job.
fn life(place: &Place, script: &str, workers: usize, processes: usize) -> Child {
    let mut command = place.command(&["run", "-e", script, "--state-dir", "state", "-q"]);
    command.args(["--workers", &workers.to_string(), "--processes", &processes.to_string()]);
    command.args(["--checkpoint-interval", "50ms"]).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits until a job has taken two checkpoints, at most so long that it has ended by itself.
fn await_checkpoints(place: &Place) {
    let manifests = place.path("state/manifest");
    for _ in 0..1000 {
        // The first manifest is the fence of the attempt.
        if std::fs::read_dir(&manifests).is_ok_and(|found| found.count() > 2) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a query; returns its folded answer.
fn run(query: &str, manner: Manner, events: &Events) -> Result<Rows, String> {
    let place = Place::new();
    let tables = match manner.input {
        Input::Native => {
            data::write_side_input(&place);
            data::native(events.count, events.rate)
        }
        input => {
            events.write(&place, input == Input::Ordered);
            data::FILES.to_owned()
        }
    };
    if manner.is_killed {
        let limit = format!("'format' = 'json', 'scan.rows-per-second' = '{}'", events.count);
        let slow = format!("{}\n{}", tables.replace("'format' = 'json'", &limit), to_files(query));
        let mut child = life(&place, &slow, manner.workers, manner.processes);
        await_checkpoints(&place);
        // One that ended by itself shows below how.
        let _ = child.kill();
        child.wait().unwrap();
    }
    let workers = manner.workers + usize::from(manner.is_killed);
    let script = format!("{tables}\n{}", to_files(query));
    let output = life(&place, &script, workers, manner.processes).wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(found(&place, query)),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn found(place: &Place, query: &str) -> Rows {
    if query.contains("PARTITIONED BY") {
        return logged(place);
    }
    let rows = published(place);
    if !query.contains("PROCTIME() AS p_time FROM bid;") {
        return rows;
    }
    // Windows of the clock differ from run to run; each bid is in one of them.
    let mut counts = std::collections::BTreeMap::<String, i64>::new();
    for (row, weight) in rows {
        let count: f64 = row[1].parse().unwrap();
        *counts.entry(row[0].clone()).or_default() += count as i64 * weight;
    }
    let counts = counts.into_iter();
    counts.map(|(bidder, count)| (vec![bidder, cell(&count.to_string())], 1)).collect()
}

/// Returns the rows of q10's files, each with what its folders say.
fn logged(place: &Place) -> Rows {
    let mut rows = Rows::new();
    for (line, count) in place.published("out") {
        let (folders, row) = line.split_once("/{").unwrap();
        let row: serde_json::Value = serde_json::from_str(&format!("{{{row}")).unwrap();
        let columns = ["auction", "bidder", "price", "dateTime", "extra"];
        let text = |value: &serde_json::Value| {
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        };
        let columns = columns.iter().map(|name| cell(&text(&row[*name])));
        let folders = folders.split('/').map(|folder| {
            folder.split_once('=').unwrap().1.replace("%3A", ":").replace("%3a", ":")
        });
        rows.insert(columns.chain(folders).collect(), count as i64);
    }
    rows
}

#[tokio::test]
async fn every_query_gives_the_batch_answer() {
    let events = Events::new(events(), 400);
    let context = events.context();
    let mut wrong = Vec::new();
    let asked = std::env::var("THALWEG_NEXMARK_QUERIES").ok();
    let is_asked =
        |name: &str| asked.as_ref().is_none_or(|asked| asked.split(',').any(|q| q == name));
    for Query { name, stream, batch } in queries().filter(|query| is_asked(&query.name)) {
        let started = std::time::Instant::now();
        let expected = crate::oracle::answer(&context, &batch).await;
        assert!(!expected.is_empty(), "{name} has no rows to compare");
        for manner in MANNERS {
            match run(&stream, manner, &events) {
                Ok(found) if found == expected => {}
                Ok(found) => {
                    wrong.push(format!("{name}, {manner:?}: {}", differences(&found, &expected)))
                }
                Err(error) => wrong.push(format!("{name}, {manner:?}: {error}")),
            }
        }
        let (rows, seconds) = (expected.len(), started.elapsed().as_secs_f64());
        println!("{name}: {rows} rows, {seconds:.1} s, {} wrong so far", wrong.len());
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Would fail if an answer, or the events themselves, changed unseen: input and answers are checked in, by
/// `UPDATE=1`, to be read.
#[test]
fn answers_over_a_small_input_are_those_checked_in() {
    let events = Events::new(150, 10);
    let folder = format!("{}/tests/nexmark/small", env!("CARGO_MANIFEST_DIR"));
    let check = |name: &str, found: String| {
        let path = format!("{folder}/{name}");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &found).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap() == found, "{name} differs:\n{found}");
    };
    for (table, lines) in &events.lines {
        check(&format!("{table}.json"), lines.iter().map(|line| format!("{line}\n")).collect());
    }
    for Query { name, stream, .. } in queries() {
        let manner = Manner { input: Input::Ordered, workers: 2, processes: 1, is_killed: false };
        let rows = run(&stream, manner, &events).unwrap();
        // Numbers as they are written, not as they are compared.
        let shown = |cell: &String| {
            cell.parse::<f64>().map_or_else(|_| cell.clone(), |number| number.to_string())
        };
        let line = |(row, count): (&Vec<String>, &i64)| {
            let row: Vec<String> = row.iter().map(shown).collect();
            format!("{count} {}\n", row.join(" | "))
        };
        check(&format!("{name}.txt"), rows.iter().map(line).collect());
    }
}
