//! Jobs in several processes: the same results, and a clean end when one of them is lost.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Dice, Place, difference};

const TABLES: &str = "
CREATE TABLE lines (line STRING)
WITH ('connector' = 'filesystem', 'path' = 'lines', 'format' = 'raw' OPTIONS);
";

/// Writes a few files of words, and a script that counts them.
fn place(options: &str) -> Place {
    let place = Place::new();
    let mut dice = Dice(7);
    for file in 0..4 {
        let mut text = String::new();
        for _ in 0..3000 {
            let words: Vec<String> =
                (0..dice.below(6)).map(|_| format!("w{}", dice.below(200))).collect();
            text += &(words.join(" ") + "\n");
        }
        place.write(&format!("lines/{file}.txt"), &text);
    }
    let tables = TABLES.replace("OPTIONS", options);
    let count = "SELECT word, COUNT(*) AS n FROM lines
        CROSS JOIN UNNEST(SPLIT(line, ' ')) AS t(word) GROUP BY word";
    place.write("select.sql", &format!("{tables} {count};"));
    place.write(
        "job.sql",
        &format!(
            "{tables}
            CREATE TABLE counts (word STRING, n BIGINT) WITH
            ('connector' = 'filesystem', 'path' = 'counts', 'format' = 'debezium-json');
            CREATE TABLE copies (line STRING) WITH
            ('connector' = 'filesystem', 'path' = 'copies', 'format' = 'json');
            EXECUTE STATEMENT SET BEGIN
            INSERT INTO counts {count};
            INSERT INTO copies SELECT line FROM lines;
            END;"
        ),
    );
    place
}

/// Returns what the lines of an updating result amount to.
fn folded(text: &str) -> BTreeMap<String, i64> {
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let (op, row) = line.split_once(',').unwrap();
        let weight = if op.contains('+') { 1 } else { -1 };
        *rows.entry(row.to_owned()).or_default() += weight;
    }
    rows.retain(|_, weight| *weight != 0);
    rows
}

/// Returns what the published changes of a table amount to.
fn folded_changes(place: &Place, folder: &str) -> BTreeMap<String, i64> {
    let mut rows = BTreeMap::new();
    for (line, times) in place.published(folder) {
        let change: serde_json::Value = serde_json::from_str(&line).unwrap();
        for (side, weight) in [("before", -1), ("after", 1)] {
            if !change[side].is_null() {
                *rows.entry(change[side].to_string()).or_default() += weight * times as i64;
            }
        }
    }
    rows.retain(|_, weight| *weight != 0);
    rows
}

#[test]
fn processes_do_not_show_in_the_result() {
    let place = place("");
    let run = |workers, processes| {
        let flags = ["--workers", workers, "--processes", processes, "--output", "json"];
        folded(&place.succeed(&[&["run", "select.sql"], &flags[..]].concat()))
    };
    let one = run("1", "1");
    assert_eq!(one.len(), 200);
    assert_eq!(run("2", "2"), one);
    assert_eq!(run("6", "3"), one);
}

#[test]
fn workers_must_be_shared_evenly() {
    let output = place("").run(&["run", "select.sql", "--workers", "3", "--processes", "2"]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("3 workers cannot be shared evenly by 2 processes"), "{error}");
}

/// Returns the process id of the only other process of `first`'s job.
fn member_of(first: u32) -> u32 {
    let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
    children.unwrap().split_whitespace().next().unwrap().parse().unwrap()
}

fn signal(name: &str, process: u32) {
    let sent = std::process::Command::new("kill").args([name, &process.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Does the process run? One that ended and was not waited for does not.
fn runs(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat"));
    status.is_ok_and(|text| !text.rsplit(')').next().unwrap_or("").trim().starts_with('Z'))
}

/// Loses a process of a running job by `name`d signal, and returns what the first one said.
fn lose(place: &Place, name: &str, loses_first: bool) -> String {
    let flags = ["--workers", "2", "--processes", "2", "--checkpoint-interval", "100ms"];
    let arguments = [&["run", "job.sql", "--state-dir", "state"], &flags[..]].concat();
    let mut first = place.command(&arguments);
    let first = first.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while std::fs::read_dir(place.path("state/manifest")).map_or(0, Iterator::count) < 3 {
        assert!(Instant::now() < until, "no checkpoint within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    let member = member_of(first.id());
    let (lost, left) = if loses_first { (first.id(), member) } else { (member, first.id()) };
    signal(name, lost);
    let began = Instant::now();
    while runs(left) {
        assert!(began.elapsed() < Duration::from_secs(5), "{left} lives on without {lost}");
        std::thread::sleep(Duration::from_millis(20));
    }
    if runs(lost) {
        signal("-KILL", lost);
    }
    let output = first.wait_with_output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_lost_process_ends_the_job_and_nothing_is_lost() {
    let quick = place("");
    quick.succeed(&["run", "job.sql", "--workers", "1"]);
    for (name, loses_first) in
        [("-KILL", false), ("-KILL", true), ("-STOP", false), ("-STOP", true)]
    {
        let slow = place(", 'scan.rows-per-second' = '6000'");
        let said = lose(&slow, name, loses_first);
        if !loses_first {
            let how = if name == "-KILL" { "was killed by signal 9" } else { "has said nothing" };
            assert!(said.contains("process 1") && said.contains(how), "{said}");
        }
        // The saved state fits any number of workers and processes.
        let others = if loses_first { ["3", "3"] } else { ["3", "1"] };
        let flags = ["--workers", others[0], "--processes", others[1], "--state-dir", "state"];
        slow.succeed(&[&["run", "job.sql"], &flags[..]].concat());
        let found = difference(&slow.published("copies"), &quick.published("copies"));
        assert!(found.is_empty(), "{name} {loses_first}: {found:?}");
        assert_eq!(folded_changes(&slow, "counts"), folded_changes(&quick, "counts"));
    }
}

#[test]
fn a_panicking_thread_ends_the_job() {
    let place = place("");
    let mut command = place.command(&["run", "job.sql", "--workers", "2", "--processes", "2"]);
    let output = command.env("THALWEG_PLANT", "panicking-reader").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("a thread (reader) panicked"), "{error}");
}

/// Would fail if an operator that waits for rows to be consumed in another process were never told
/// that they are: the close of the window is far larger than what may be under way.
#[test]
fn a_large_close_crosses_processes() {
    let place = Place::new();
    let script = "
        CREATE TABLE t (k BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH
        ('connector' = 'datagen', 'number-of-rows' = '600000', 'rows-per-second' = '10000000',
         'fields.k.kind' = 'sequence', 'fields.k.start' = '1', 'fields.k.end' = '600000');
        SELECT k, n FROM (
          SELECT k, n, ROW_NUMBER() OVER
            (PARTITION BY window_start, window_end ORDER BY n DESC, k DESC) AS rn
          FROM (SELECT k, window_start, window_end, COUNT(*) AS n FROM
            TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '10000' DAY))
            GROUP BY k, window_start, window_end)) WHERE rn <= 2;";
    for processes in ["2", "3"] {
        let flags = ["run", "-e", script, "--processes", processes, "--workers", "6"];
        let rows = place.succeed(&[&flags[..], &["--output", "json"]].concat());
        assert_eq!(rows, "{\"k\":600000,\"n\":1}\n{\"k\":599999,\"n\":1}\n");
    }
}
