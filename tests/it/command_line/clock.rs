//! `--clock`: a clock that stands still, in all processes of a job and in all its lives.

use crate::support::Place;

/// Rows that come for half a second.
const SLOW: &str = "CREATE TABLE t (n BIGINT, p AS PROCTIME()) WITH ('connector'='datagen',
    'rows-per-second'='2000', 'fields.n.kind'='sequence', 'fields.n.start'='1', 'fields.n.end'='1000');";
const NOON: &str = "2026-01-01 12:00:00";

/// Would fail if a process had another clock, if windows that are open when the clock stands were lost or
/// never ended, or if a time-to-live ran out at a time that never came.
#[test]
fn the_clock_stands_still_in_all_processes() {
    let place = Place::new();
    for (workers, processes) in [("1", "1"), ("4", "2")] {
        let run = |query: &str, stats: &str| {
            let script = format!("{SLOW} {query}");
            let flags = ["--workers", workers, "--processes", processes, "--stats", stats];
            let clock = ["run", "-q", "-e", &script, "--clock", NOON, "--output", "json"];
            place.succeed(&[&clock[..], &flags].concat())
        };
        let windows = run(
            "SELECT window_start, MIN(n) AS least, COUNT(*) AS c
             FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(p), INTERVAL '0.01' SECOND))
             GROUP BY window_start, window_end;",
            "windows.json",
        );
        let expected = r#"{"window_start":"2026-01-01 12:00:00.000","least":1,"c":1000}"#;
        assert_eq!(windows.trim(), expected);
        let times = run(
            "SELECT DISTINCT MOD(n, 4) AS k, p, NOW() AS n, CURRENT_DATE AS d, UNIX_TIMESTAMP() AS u FROM t;",
            "times.json",
        );
        let mut times: Vec<&str> = times.lines().collect();
        times.sort_unstable();
        let time = r#""p":"2026-01-01 12:00:00.000Z","n":"2026-01-01 12:00:00.000Z","d":"2026-01-01","u":1767268800}"#;
        let expected: Vec<String> =
            (0..4).map(|k| format!("{{\"op\":\"+I\",\"k\":{k},{time}")).collect();
        assert_eq!(times, expected);
        run(
            "SET 'table.exec.state.ttl' = '20 ms'; SELECT n, COUNT(*) AS c FROM t GROUP BY n;",
            "keys.json",
        );
        let stats = std::fs::read_to_string(place.path("keys.json")).unwrap();
        let forgotten = stats.lines().map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            line["forgotten_rows"].as_u64().unwrap()
        });
        assert_eq!(forgotten.max(), Some(0), "{stats}");
    }
}

/// Would fail if what is written by key could not say when it was written.
#[test]
fn rows_that_are_written_by_key_show_the_clock() {
    let place = Place::new();
    let script = "CREATE TABLE t (n BIGINT) WITH ('connector'='datagen',
          'fields.n.kind'='sequence', 'fields.n.start'='1', 'fields.n.end'='1000');
        CREATE TABLE o (k BIGINT, c BIGINT, at TIMESTAMP(3), PRIMARY KEY (k) NOT ENFORCED)
          WITH ('connector'='filesystem','path'='out','format'='upsert-json');
        INSERT INTO o SELECT MOD(n, 2), COUNT(*), LOCALTIMESTAMP FROM t GROUP BY MOD(n, 2);";
    place.succeed(&["run", "-q", "-e", script, "--clock", NOON]);
    let rows = place.published("out");
    let times: Vec<&String> = rows.keys().filter(|row| row.contains("\"c\":500")).collect();
    assert_eq!(times.len(), 2, "{rows:?}");
    assert!(rows.keys().all(|row| row.contains("2026-01-01 12:00:00")), "{rows:?}");
}

/// Would fail if a job that goes on went back in time, kept a time that it is past, or did not say so.
#[test]
fn a_job_goes_on_at_the_later_clock() {
    let place = Place::new();
    let script = "CREATE TABLE lines (line STRING) WITH ('connector'='filesystem','path'='in','format'='raw');
        CREATE TABLE o (line STRING, at TIMESTAMP(3)) WITH ('connector'='filesystem','path'='out','format'='csv');
        INSERT INTO o SELECT line, LOCALTIMESTAMP FROM lines;";
    let run = |line: &str, clock: &str| {
        place.write(&format!("in/{line}.txt"), &format!("{line}\n"));
        let run = ["run", "-e", script, "--state-dir", "state", "--continue", "--clock", clock];
        let output = place.run(&run);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        let found = place.published("out");
        let found = found.keys().find(|found| found.starts_with(line)).unwrap();
        (found.clone(), told)
    };
    let (found, told) = run("first", NOON);
    assert_eq!(found, "first,2026-01-01 12:00:00.000");
    assert!(told.contains("note: the clock stands still at 2026-01-01 12:00:00.000"), "{told}");
    assert!(!told.contains("later time"), "{told}");
    let (found, told) = run("second", "2026-01-01T12:00:00+02:00");
    assert_eq!(found, "second,2026-01-01 12:00:00.000");
    assert!(told.contains("The checkpoint has a later time than the clock"), "{told}");
    let (found, told) = run("third", "2026-01-01 12:00:01.5");
    assert_eq!(found, "third,2026-01-01 12:00:01.500");
    assert!(!told.contains("later time"), "{told}");
}

/// Would fail if a time that nobody can read were passed over, wherever it stands, or a script had two clocks.
#[test]
fn a_wrong_clock_is_refused() {
    let place = Place::new();
    let refused = |arguments: &[&str], variable: &str, expected: &str| {
        let output = place.command(arguments).env("THALWEG_CLOCK", variable).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(expected), "{told}");
    };
    let script = format!("{SLOW} SELECT n FROM t LIMIT 1;");
    let run = ["run", "-e", &script];
    let wrong = "write a time from 1970 to 2199 such as '2026-01-01 00:00:00'";
    for clock in ["noon", "1969-12-31 23:59:59"] {
        refused(&[&run[..], &["--clock", clock]].concat(), "", wrong);
        refused(&run, clock, "THALWEG_CLOCK is not a time from 1970 to 2199");
    }
    place.write("rows.json", "{\"row\": {\"n\": 1}}\n");
    let script = "CREATE TABLE s (n BIGINT) WITH ('connector'='script','path'='rows.json');
        SELECT n, PROCTIME() AS p FROM s;";
    refused(&["run", "-e", script], NOON, "the clock of a job that reads a script");
    place.succeed(&["run", "-e", script]);
}
