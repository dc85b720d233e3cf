//! Checkpoints in a bucket, over the real protocol: `./run-tests` starts the server and says where it
//! is; without it there is nothing to test.

use std::time::{Duration, Instant};

use crate::support::{Place, difference};

/// Would fail if a job could not go on from a bucket, or wrote what it had published again.
#[test]
fn a_killed_job_goes_on_from_a_bucket() {
    let Ok(bucket) = std::env::var("THALWEG_TEST_S3") else {
        eprintln!("THALWEG_TEST_S3 is not set: nothing is tested");
        return;
    };
    let place = Place::new();
    let lines: String = (0..6000).map(|n| format!("{{\"n\": {n}, \"k\": {}}}\n", n % 7)).collect();
    place.write("in.json", &lines);
    let job = |options: &str, out: &str| {
        format!(
            "CREATE TABLE t (n BIGINT, k BIGINT) WITH
             ('connector'='filesystem','path'='in.json','format'='json'{options});
             CREATE TABLE copies (n BIGINT) WITH
             ('connector'='filesystem','path'='{out}/copies','format'='json');
             CREATE TABLE sums (k BIGINT, s BIGINT) WITH
             ('connector'='filesystem','path'='{out}/sums','format'='debezium-json');
             EXECUTE STATEMENT SET BEGIN
             INSERT INTO copies SELECT n FROM t;
             INSERT INTO sums SELECT k, SUM(n) FROM t GROUP BY k;
             END"
        )
    };
    place.succeed(&["run", "-e", &job("", "calm")]);
    let state = format!("{bucket}/jobs/{}", std::process::id());
    let slow = job(", 'scan.rows-per-second'='3000'", "killed");
    let flags = ["--state-dir", &state, "--checkpoint-interval", "100ms"];
    let first = [&["run", "-e", &slow, "--workers", "2", "--processes", "2"], &flags[..]].concat();
    let mut child = place.command(&first).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let checkpoints = || {
        let listed = place.succeed(&["state", "list", &state]);
        listed.lines().filter(|line| line.ends_with("checkpoint")).count()
    };
    while checkpoints() < 3 {
        assert!(Instant::now() < until, "no checkpoint within a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    place.succeed(&[&["run", "-e", &slow, "--workers", "3"], &flags[..]].concat());
    let found = difference(&place.published("killed/copies"), &place.published("calm/copies"));
    assert!(found.is_empty(), "{found:?}");
    let sums: u64 = (0..6000).filter(|n| n % 7 == 3).sum();
    let last = place.published("killed/sums");
    assert_eq!(last.keys().filter(|line| line.contains(&format!(":{sums}}}"))).count(), 1);
    assert!(place.succeed(&["state", "list", &state]).contains("finished"));
}
