//! Runs without `--state-dir`: what they leave behind when they are killed.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::Place;

/// Rows that come slowly, so that there is a checkpoint long before the end.
const SUMS: &str = "
    CREATE TABLE t (id BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000',
      'fields.id.kind' = 'sequence', 'fields.id.start' = '1', 'fields.id.end' = '1000000');
    CREATE TABLE sums (parity BIGINT, n BIGINT) WITH ('connector' = 'blackhole');
    INSERT INTO sums SELECT MOD(id, 2), COUNT(*) FROM t GROUP BY MOD(id, 2);";

/// Would fail if somebody who names what a killed run left behind went on with its offsets, and without the
/// state that belongs to them: its counts would be too small.
#[test]
fn nobody_goes_on_from_a_run_that_kept_no_state() {
    let place = Place::new();
    std::fs::create_dir(place.path("tmp")).unwrap();
    let run = ["run", "-q", "-e", SUMS, "--checkpoint-interval", "50ms", "--workers", "2"];
    let mut command = place.command(&run);
    let mut life = command.env("TMPDIR", place.path("tmp")).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let left = loop {
        let entries = std::fs::read_dir(place.path("tmp")).unwrap();
        let found = entries.map(|entry| entry.unwrap().path()).find(|state| {
            let listed = place.run(&["state", "list", &state.display().to_string()]);
            String::from_utf8_lossy(&listed.stdout).lines().any(|line| line.ends_with("checkpoint"))
        });
        match found {
            Some(found) => break found,
            None => assert!(began.elapsed() < Duration::from_secs(60), "there is no checkpoint"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    life.kill().unwrap();
    life.wait().unwrap();
    let left = left.display().to_string();
    let again = place.run(&[&run[..], &["--state-dir", &left]].concat());
    let error = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(4), "{error}");
    assert!(error.contains("operator `sums/Aggregate-1` is not in the saved state"), "{error}");
}
