//! Memory has a limit: a job that reaches it ends with a checkpoint and a reason.

use crate::support::{Lines, Place};

/// As many keys as rows, so that the state grows with each of them.
const ROWS: u64 = 3_000_000;

fn script() -> String {
    format!(
        "CREATE TABLE t (k BIGINT) WITH ('connector'='datagen', 'number-of-rows'='{ROWS}',
             'rows-per-second'='600000', 'fields.k.kind'='sequence', 'fields.k.start'='1',
             'fields.k.end'='{ROWS}');
         CREATE TABLE nowhere (k BIGINT, n BIGINT) WITH ('connector'='blackhole');
         CREATE TABLE total (n BIGINT, s BIGINT)
         WITH ('connector'='filesystem', 'path'='out', 'format'='debezium-json');
         INSERT INTO nowhere SELECT k, COUNT(*) FROM t GROUP BY k;
         INSERT INTO total SELECT COUNT(*), SUM(k) FROM t"
    )
}

/// Returns the total that is left when all changes are folded.
fn total(changes: &Lines) -> (u64, u64) {
    let mut weights = std::collections::BTreeMap::new();
    for (line, count) in changes {
        let change: serde_json::Value = serde_json::from_str(line).unwrap();
        for (side, weight) in [("before", -1), ("after", 1)] {
            if let (Some(n), Some(s)) = (change[side]["n"].as_u64(), change[side]["s"].as_u64()) {
                *weights.entry((n, s)).or_insert(0) += weight * *count as i64;
            }
        }
    }
    weights.retain(|_, weight| *weight != 0);
    assert_eq!(weights.len(), 1, "{weights:?}");
    weights.into_keys().next().unwrap()
}

/// Would fail if a job outgrew its limit, ended there without its state, or lost or doubled rows.
#[test]
fn a_job_at_its_limit_ends_with_a_checkpoint_and_goes_on_with_more() {
    let (place, script) = (Place::new(), script());
    let run = |limit: &str, processes: &str| {
        let fixed = ["run", "-e", &script, "--state-dir", "state", "--workers", "2"];
        let more = ["--processes", processes, "--memory-limit", limit];
        place.run(&[&fixed[..], &more[..]].concat())
    };
    let mut read = 0;
    // Two processes have half of the state each.
    for (limit, shown, processes) in [("48MB", "48.0 MiB", "1"), ("56MB", "56.0 MiB", "2")] {
        let output = run(limit, processes);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        let largest = format!("may use {shown}; largest state: `nowhere/Aggregate-1`");
        for part in ["error: memory is at its limit", &largest, "--memory-limit"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        let state = place.succeed(&["state", "show", "state"]);
        let rows = state.lines().find_map(|line| line.strip_prefix("rows t/Source-1: "));
        let rows: u64 = rows.unwrap().parse().unwrap();
        assert!((read + 1..ROWS).contains(&rows), "{state}");
        read = rows;
    }
    let output = run("none", "1");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(total(&place.published("out")), (ROWS, ROWS * (ROWS + 1) / 2));
}
