//! Jobs written in Rust: the plans of SQL, and its answers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use thalweg::{Aggregate, Record, Stream, count};
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
    let (code, error) = refused(&["--workers", "1"]);
    assert_eq!(code, Some(2));
    assert!(error.contains("examples/word-count/lines.txt"), "{error}");
    let (code, error) = refused(&["thalweg-member", "127.0.0.1:1", "1"]);
    let member = "error: `thalweg-member` is what a process of a job is started with";
    assert_eq!((code, error.as_str()), (Some(2), member));
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
fn ad_clicks_in_rust_gives_the_answer_of_sql() {
    run_example("ad-clicks");
}

#[test]
fn a_small_charge_and_then_a_large_one_within_a_minute_is_found() {
    run_example("fraud");
}
