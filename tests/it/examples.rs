//! Every example gives the answer that is shipped with it, for one worker and for three.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::Place;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Returns a place in which the examples lie where they lie in the repository.
fn place() -> Place {
    let place = Place::new();
    std::os::unix::fs::symlink(examples(), place.path("examples")).unwrap();
    place
}

/// Runs `fold.py` over some output and compares it with the answer of an example.
fn fold(output: &Path, example: &str) {
    let expected = examples().join(example).join("expected.json");
    let mut command = Command::new("python3");
    command.arg(examples().join("fold.py")).arg(output).arg("--expect").arg(expected);
    let folded = command.output().unwrap();
    let error = String::from_utf8_lossy(&folded.stderr);
    assert!(folded.status.success(), "{example}: {error}");
}

/// Runs the query of an example that writes to `output/NAME`.
fn run_to_files(name: &str) {
    for workers in ["1", "3"] {
        let place = place();
        place.succeed(&["run", &format!("examples/{name}/query.sql"), "--workers", workers]);
        fold(&place.path(&format!("output/{name}")), name);
    }
}

#[test]
fn word_count() {
    run_to_files("word-count");
}

#[test]
fn running_mean() {
    run_to_files("running-mean");
}

#[test]
fn page_views() {
    run_to_files("page-views");
}

#[test]
fn trending_topics() {
    run_to_files("trending-topics");
}

#[test]
fn zip_codes() {
    run_to_files("zip-codes");
}

#[test]
fn profiles() {
    run_to_files("profiles");
}

#[test]
fn exclamation() {
    run_to_files("exclamation");
}

#[test]
fn sums_each_minute() {
    run_to_files("sums-each-minute");
}

#[test]
fn action_counts() {
    run_to_files("action-counts");
}

#[test]
fn ad_clicks() {
    run_to_files("ad-clicks");
}

#[test]
fn hourly_buckets() {
    run_to_files("hourly-buckets");
}

#[test]
fn sessions() {
    run_to_files("sessions");
}

#[test]
fn reachability() {
    run_to_files("reachability");
}

#[test]
fn abandoned_carts() {
    run_to_files("abandoned-carts");
}

#[test]
fn fraud() {
    run_to_files("fraud");
}

#[test]
fn price_dips() {
    run_to_files("price-dips");
}

/// Would fail if what a newcomer writes first were long: a program and a script, without comments.
#[test]
fn the_most_effective_ad_is_short_to_ask_for() {
    let lines_of = |name: &str, comment: &str| {
        let text = std::fs::read_to_string(examples().join("ad-clicks").join(name)).unwrap();
        let lines = text.lines().map(str::trim);
        lines.filter(|line| !line.is_empty() && !line.starts_with(comment)).count()
    };
    assert!(lines_of("main.rs", "//") < 40);
    assert!(lines_of("query.sql", "--") < 15);
}

/// Runs an example that reads from a socket; returns the rows that it shows.
fn run_over_socket(place: &Place, script: &str, workers: &str) -> String {
    let folder = examples().join("socket-word-count");
    let mut feed = Command::new("python3")
        .arg(folder.join("feed.py"))
        .arg(folder.join("lines.txt"))
        .args(["--port", "0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(feed.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let text = std::fs::read_to_string(folder.join(script)).unwrap();
    place.write(script, &text.replace("9999", port.trim()));
    let rows = place.succeed(&["run", script, "--workers", workers, "--output", "json"]);
    assert!(feed.wait().unwrap().success());
    rows
}

#[test]
fn socket_word_count_with_state() {
    for workers in ["1", "3"] {
        let place = place();
        let rows = run_over_socket(&place, "stateful.sql", workers);
        place.write("rows/rows.json", &rows);
        fold(&place.path("rows"), "socket-word-count");
    }
}

#[test]
fn socket_word_count_without_state() {
    let place = place();
    let rows = run_over_socket(&place, "stateless.sql", "2");
    // Where windows end depends on the clock; what all of them counted together does not.
    let mut counts = std::collections::BTreeMap::<String, u64>::new();
    for line in rows.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let word = row["word"].as_str().unwrap().to_owned();
        *counts.entry(word).or_default() += row["occurrences"].as_u64().unwrap();
    }
    let lines = counts.iter().map(|(word, count)| {
        let word = serde_json::Value::from(word.as_str());
        format!("{{\"word\":{word},\"occurrences\":{count}}}\n")
    });
    place.write("rows/rows.json", &lines.collect::<String>());
    fold(&place.path("rows"), "socket-word-count");
}
