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

/// Would fail if a kill showed in what was written to a bucket, as lines or as Parquet: objects are
/// read, copied and read again, with ten kills on the way.
#[test]
fn kills_do_not_show_in_a_bucket() {
    let Ok(bucket) = std::env::var("THALWEG_TEST_S3") else { return };
    let place = Place::new();
    let root = format!("{bucket}/files/{}", std::process::id());
    let lines: String =
        (0..9000).map(|n| format!("{{\"n\":{n},\"w\":\"w{}\"}}\n", n % 9)).collect();
    place.write("in.json", &lines);
    let table = |name: &str, path: &str, more: &str| {
        format!(
            "CREATE TABLE {name} (n BIGINT, w STRING) WITH ('connector'='filesystem', 'path'='{path}'{more});"
        )
    };
    let (json, parquet) = (", 'format'='json'", ", 'format'='parquet'");
    let upload = table("a", "in.json", json) + &table("b", &format!("{root}/in/"), json);
    place.succeed(&["run", "-e", &(upload + "INSERT INTO b SELECT * FROM a")]);
    let copy = |rate: &str| {
        let rolled = ", 'sink.rolling-policy.checkpoint-interval'='200ms'";
        table("a", &format!("{root}/in/"), &format!("{json}, 'scan.range-size'='20kb'{rate}"))
            + &table("lines", &format!("{root}/lines/"), json)
            + &table("packed", &format!("{root}/packed/"), &format!("{parquet}{rolled}"))
            + "EXECUTE STATEMENT SET BEGIN
               INSERT INTO lines SELECT * FROM a; INSERT INTO packed SELECT * FROM a; END"
    };
    let flags = ["--state-dir", "state", "--checkpoint-interval", "50ms"];
    let mut dice = crate::support::Dice(5);
    for kill in 0..10 {
        let workers = ["1", "2", "3"][kill % 3];
        let slow = copy(", 'scan.rows-per-second'='2500'");
        let run = [&["run", "-e", &slow, "--workers", workers], &flags[..]].concat();
        let mut child = place.command(&run).stderr(std::process::Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(100 + dice.below(300)));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    place.succeed(&[&["run", "-e", &copy(""), "--workers", "2"], &flags[..]].concat());
    for (folder, format) in [("lines", json), ("packed", parquet)] {
        let read = table("t", &format!("{root}/{folder}/"), format);
        let count = "SELECT COUNT(*) AS n, COUNT(DISTINCT n) AS d, SUM(n) AS s, MAX(w) AS w FROM t";
        let rows = place.succeed(&["run", "-e", &(read + count), "--output", "json"]);
        let last = rows.lines().last().unwrap();
        assert!(
            last.ends_with("\"n\":9000,\"d\":9000,\"s\":40495500,\"w\":\"w8\"}"),
            "{folder}: {rows}"
        );
    }
}
