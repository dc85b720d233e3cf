//! Jobs written in Rust: the plans of SQL, and its answers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use thalweg::{Aggregate, FixedClock, Record, RunOptions, Stream, Timestamp, Window, count};
use thalweg_connectors::print::{Shown, Style};
use thalweg_plan::connector::Registry;
use thalweg_plan::node::NodeKind;
use thalweg_plan::{Exchange, Plan};

use crate::support::Place;

#[derive(Clone, Record)]
struct Line {
    line: String,
}

#[derive(Clone, Record)]
struct Count {
    word: String,
    n: i64,
}

fn sql(script: &str) -> Plan {
    let registry = Registry::new(thalweg_connectors::all());
    let screen = Arc::new(std::sync::Mutex::new(Vec::<u8>::new()));
    let result = Arc::new(move || -> Arc<dyn thalweg_plan::sink::Sink> {
        Arc::new(Shown::new(Style::Json, None, screen.clone()))
    });
    thalweg_sql::Planner::new(registry, result).plan(script).unwrap().plan.unwrap()
}

/// Returns the kinds of all nodes and how rows come to them.
fn shape(plan: &Plan) -> Vec<(&'static str, Vec<Exchange>)> {
    let nodes = plan.nodes.iter();
    nodes
        .map(|node| (node.kind.name(), node.inputs.iter().map(|i| i.exchange.clone()).collect()))
        .collect()
}

fn words(line: Line) -> Vec<Line> {
    line.line.split(' ').map(|word| Line { line: word.to_owned() }).collect()
}

#[test]
fn word_count_is_the_plan_that_sql_makes() {
    let job = thalweg::job();
    let lines: Stream<'_, Line> = job
        .source("lines", "filesystem", &[("path", "lines.txt"), ("format", "raw")])
        .stream()
        .unwrap();
    let calls: Vec<Aggregate<Line>> = vec![count()];
    lines
        .flat_map(words)
        .key_by(|word: &Line| word.line.clone())
        .aggregate::<Count>("counts", calls)
        .unwrap()
        .sink("counts", "blackhole", &[])
        .unwrap();
    let typed = job.plan();
    let planned = sql("
        CREATE TABLE lines (line STRING)
        WITH ('connector' = 'filesystem', 'path' = 'lines.txt', 'format' = 'raw');
        CREATE TABLE counts (word STRING, n BIGINT) WITH ('connector' = 'blackhole');
        INSERT INTO counts SELECT word, COUNT(*) FROM lines
        CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t(word) GROUP BY word;");
    // SQL needs no function that gives columns their names.
    let without_names = |plan: &Plan| {
        let mut shape = shape(plan);
        shape.retain(|(kind, _)| *kind != "Map");
        shape
    };
    assert_eq!(without_names(&typed), without_names(&planned));
    let state = |plan: &Plan| {
        let node = plan.nodes.iter().find(|node| matches!(&node.kind, NodeKind::Aggregate(a) if a.stage == thalweg_plan::node::Stage::Final));
        let node = node.unwrap();
        let kinds: Vec<_> = node.schema.fields().iter().map(|f| f.data_type().clone()).collect();
        (kinds, node.is_updating)
    };
    assert_eq!(state(&typed), state(&planned));
}

/// Returns an example's binary, which cargo builds beside the tests.
fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    tests.parent().unwrap().parent().unwrap().join("examples").join(name)
}

fn run_example(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (workers, processes) in [("1", "1"), ("3", "1"), ("4", "2")] {
        let place = Place::new();
        let output = place.path("answer");
        let mut run = Command::new(example(name));
        run.args(["--workers", workers, "--processes", processes]).arg(&output);
        let run = run.current_dir(root).output().unwrap();
        assert!(run.status.success(), "{name}: {}", String::from_utf8_lossy(&run.stderr));
        let mut fold = Command::new("python3");
        fold.arg(root.join("examples/fold.py")).arg(&output).arg("--expect");
        let folded = fold.arg(root.join("examples").join(name).join("expected.json")).output();
        let folded = folded.unwrap();
        let error = String::from_utf8_lossy(&folded.stderr);
        let of = format!("{workers} workers in {processes} processes");
        assert!(folded.status.success(), "{name}, {of}: {error}");
    }
}

/// Would fail if a program ran with what it does not understand, or hid what is wrong.
#[test]
fn a_program_says_what_its_command_line_has_wrong() {
    let refused = |arguments: &[&str]| {
        let place = Place::new();
        let mut run = Command::new(example("word-count"));
        let run = run.args(arguments).current_dir(place.path("")).output().unwrap();
        let error = String::from_utf8_lossy(&run.stderr).into_owned();
        (run.status.code(), error.lines().next().unwrap_or_default().to_owned())
    };
    let odd = "error: 3 workers cannot be shared evenly by 2 processes";
    assert_eq!(refused(&["--workers", "3", "--processes", "2"]), (Some(2), odd.to_owned()));
    assert_eq!(refused(&["--wrokers", "3"]).0, Some(2));
    let clock = "error: the clock cannot be 'noon'";
    assert_eq!(refused(&["--clock", "noon"]), (Some(2), clock.to_owned()));
    let (code, error) = refused(&["--workers", "1"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("examples/word-count/lines.txt"), "{error}");
    let (code, error) = refused(&["thalweg-member", "127.0.0.1:1", "1"]);
    let member = "error: `thalweg-member` is what a process of a job is started with";
    assert_eq!((code, error.as_str()), (Some(2), member));
}

/// Would fail if a program did not say what its run did, or said it where it is to be quiet.
#[test]
fn a_program_says_what_its_run_did() {
    let said = |flags: &[&str]| {
        let (root, place) = (Path::new(env!("CARGO_MANIFEST_DIR")), Place::new());
        let mut run = Command::new(example("word-count"));
        let run = run.args(["--workers", "1"]).args(flags).arg(place.path("counts"));
        String::from_utf8(run.current_dir(root).output().unwrap().stderr).unwrap()
    };
    let summary = said(&[]);
    assert!(summary.starts_with("Finished after ") && summary.contains("76 out"), "{summary}");
    assert_eq!(said(&["--quiet"]), "");
}

#[test]
fn word_count_in_rust_gives_the_answer_of_sql() {
    run_example("word-count");
}

#[test]
fn running_mean_in_rust_gives_the_answer_of_sql() {
    run_example("running-mean");
}

#[test]
fn distinct_records_come_once_in_each_epoch_and_are_counted_at_its_end() {
    run_example("distinct-records");
}

#[test]
fn zip_codes_in_rust_gives_the_answer_of_sql() {
    run_example("zip-codes");
}

#[test]
fn profiles_in_rust_gives_the_answer_of_sql() {
    run_example("profiles");
}

#[test]
fn exclamation_in_rust_gives_the_answer_of_sql() {
    run_example("exclamation");
}

#[test]
fn sums_each_minute_in_rust_gives_the_answer_of_sql() {
    run_example("sums-each-minute");
}

#[test]
fn connected_components_follow_links() {
    run_example("connected-components");
}

#[test]
fn shortest_paths_follow_links() {
    run_example("shortest-paths");
}

#[test]
fn page_ranks_follow_links() {
    run_example("page-rank");
}

#[test]
fn ad_clicks_in_rust_gives_the_answer_of_sql() {
    run_example("ad-clicks");
}

#[test]
fn a_small_charge_and_then_a_large_one_within_a_minute_is_found() {
    run_example("fraud");
}

/// A row and when it happened.
#[derive(Clone, Record)]
struct Event {
    at: Timestamp,
}

#[derive(Clone, Record)]
struct Events {
    start: Timestamp,
    end: Timestamp,
    key: i64,
    events: i64,
}

/// Returns how many rows of a job are late whose watermark trails the newest by a share of all delays.
fn late_at_percentile(share: f64) -> u64 {
    let place = Place::new();
    // The third is 5 s behind the newest, the sixth 4 s.
    let times = ["01:10", "01:20", "01:15", "01:30", "01:40", "01:36", "02:00", "02:10"];
    let lines = times.map(|at| format!("{{\"row\": {{\"at\": \"2024-05-01 00:{at}\"}}}}\n"));
    place.write("script.json", &lines.concat());
    let (job, path) = (thalweg::job(), place.path("script.json").display().to_string());
    let windows = Window::tumble(Duration::from_secs(10));
    job.source::<Event>("events", "script", &[("path", &path)])
        .watermark_at_percentile(|event| event.at, share)
        .stream()
        .unwrap()
        .key_by(|_| 1_i64)
        .window(windows, |event| event.at)
        .aggregate::<Events>("events by time", vec![count()])
        .unwrap()
        .sink("counts", "blackhole", &[])
        .unwrap();
    let outcome = thalweg::run(job, &RunOptions { workers: 2, ..RunOptions::new("late") }).unwrap();
    let sum = |kind: &str| -> u64 {
        let counters = outcome.counters.iter().filter(|(name, _)| name.starts_with(kind));
        counters.map(|(_, count)| count).sum()
    };
    assert_eq!(sum("rows "), 8);
    sum("late ")
}

/// Would fail if a job in Rust did not let its watermark trail the newest row by the percentile that it asks for.
#[test]
fn a_watermark_at_a_percentile_waits_for_that_share_of_the_rows() {
    assert_eq!(late_at_percentile(0.5), 2);
    assert_eq!(late_at_percentile(1.0), 1);
}

/// Would fail if a window by the clock were another one than that of the clock that the job is given.
#[test]
fn a_window_by_a_clock_that_stands_still_has_its_time() {
    let place = Place::new();
    place.write(
        "events.json",
        "{\"at\": \"2024-05-01 00:00:00\"}\n{\"at\": \"2024-05-02 00:00:00\"}\n",
    );
    let [input, output] = ["events.json", "out"].map(|name| place.path(name).display().to_string());
    let job = thalweg::job();
    job.source::<Event>("events", "filesystem", &[("path", &input), ("format", "json")])
        .stream()
        .unwrap()
        .key_by(|_| 1_i64)
        .clock_window(Window::tumble(Duration::from_secs(3600)))
        .aggregate::<Events>("hours", vec![count()])
        .unwrap()
        .sink("hours", "filesystem", &[("path", &output), ("format", "csv")])
        .unwrap();
    let clock = FixedClock::parse("2026-01-01 12:30:00");
    thalweg::run(job, &RunOptions { clock, ..RunOptions::new("hours") }).unwrap();
    let rows = place.published("out").into_keys().collect::<Vec<_>>();
    assert_eq!(rows, ["2026-01-01 12:00:00.000,2026-01-01 13:00:00.000,1,2"]);
}
