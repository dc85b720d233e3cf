//! Jobs that follow a script: what they answer depends on nothing but its lines.

use std::fmt::Write;
use std::time::Duration;

use crate::support::{Dice, Lines, Place, difference};

/// Clicks and names of users; a click that is late, two windows that close by one line, a clock that
/// jumps over several timers.
const SCRIPT: &str = r#"{"clock": "2024-05-01 10:00:00"}
{"table": "users", "row": {"k": "a", "name": "Ann", "since": "2024-05-01 09:00:00"}}
{"table": "clicks", "row": {"k": "a", "v": 1, "ts": "2024-05-01 10:00:01"}}
{"table": "clicks", "row": {"k": "b", "v": 2, "ts": "2024-05-01 10:00:12"}}
{"table": "clicks", "row": {"k": "a", "v": 4, "ts": "2024-05-01 10:00:03"}}
{"table": "clicks", "watermark": "2024-05-01 10:00:10"}
{"clock": "2024-05-01 10:00:25"}
{"table": "clicks", "row": {"k": "a", "v": 8, "ts": "2024-05-01 10:00:09"}}
{"table": "users", "row": {"k": "b", "name": "Bob", "since": "2024-05-01 10:00:11"}}
{"table": "clicks", "row": {"k": "b", "v": 16, "ts": "2024-05-01 10:00:31"}}
{"watermark": "2024-05-01 10:00:30"}
{"checkpoint": true}
{"table": "users", "row": {"k": "b", "name": "Rob", "since": "2024-05-01 10:00:31"}}
{"clock": "2024-05-01 10:01:00"}
{"table": "clicks", "row": {"k": "a", "v": 32, "ts": "2024-05-01 10:00:41"}}
"#;

const TABLES: &str = "
CREATE TABLE clicks (k STRING, v BIGINT, ts TIMESTAMP(3), p AS PROCTIME(),
  WATERMARK FOR ts AS SOURCE_WATERMARK()) WITH ('connector' = 'script', 'path' = 'script.json');
CREATE TABLE users (k STRING, name STRING, since TIMESTAMP(3), PRIMARY KEY (k) NOT ENFORCED,
  WATERMARK FOR since AS SOURCE_WATERMARK()) WITH ('connector' = 'script', 'path' = 'script.json');
";

/// Queries, each with the rows that it shows on one worker, in this order.
const QUERIES: [(&str, &str); 6] = [
    (
        "SELECT window_start AS s, k, SUM(v) AS total FROM
         TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         GROUP BY window_start, window_end, k",
        "2024-05-01 10:00:00.000,a,5
2024-05-01 10:00:10.000,b,2
2024-05-01 10:00:30.000,b,16
2024-05-01 10:00:40.000,a,32",
    ),
    (
        "SELECT window_start AS s, window_end AS e, SUM(v) AS total FROM
         TABLE(SESSION(TABLE clicks PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' SECOND))
         GROUP BY window_start, window_end, k",
        "2024-05-01 10:00:01.000,2024-05-01 10:00:08.000,5
2024-05-01 10:00:09.000,2024-05-01 10:00:14.000,8
2024-05-01 10:00:12.000,2024-05-01 10:00:17.000,2
2024-05-01 10:00:31.000,2024-05-01 10:00:36.000,16
2024-05-01 10:00:41.000,2024-05-01 10:00:46.000,32",
    ),
    (
        "SELECT e, total, CURRENT_TIMESTAMP AS seen FROM
         (SELECT window_end AS e, SUM(v) AS total FROM
         TABLE(HOP(TABLE clicks, DESCRIPTOR(p), INTERVAL '10' SECOND, INTERVAL '20' SECOND))
         GROUP BY window_start, window_end)",
        "2024-05-01 10:00:10.000,7,2024-05-01 10:00:10.000Z
2024-05-01 10:00:20.000,7,2024-05-01 10:00:20.000Z
2024-05-01 10:00:30.000,24,2024-05-01 10:00:30.000Z
2024-05-01 10:00:40.000,24,2024-05-01 10:00:40.000Z
2024-05-01 10:01:10.000,32,2024-05-01 10:01:00.000Z
2024-05-01 10:01:20.000,32,2024-05-01 10:01:00.000Z",
    ),
    (
        "SELECT v, name FROM clicks LEFT JOIN users ON clicks.k = users.k",
        "+I,1,Ann
+I,2,
+I,4,Ann
+I,8,Ann
-D,2,
+I,2,Bob
+I,16,Bob
+I,16,Rob
+I,2,Rob
+I,32,Ann",
    ),
    (
        "SELECT v, name FROM clicks JOIN users FOR SYSTEM_TIME AS OF clicks.p ON clicks.k = users.k",
        "1,Ann
4,Ann
8,Ann
16,Bob
32,Ann",
    ),
    (
        "SELECT v, CURRENT_WATERMARK(ts) AS w, CURRENT_TIMESTAMP AS t FROM clicks",
        "1,,2024-05-01 10:00:00.000Z
2,,2024-05-01 10:00:00.000Z
4,,2024-05-01 10:00:00.000Z
8,2024-05-01 10:00:10.000,2024-05-01 10:00:25.000Z
16,2024-05-01 10:00:10.000,2024-05-01 10:00:25.000Z
32,2024-05-01 10:00:30.000,2024-05-01 10:01:00.000Z",
    ),
];

/// Returns the rows below the names of their columns.
fn rows(shown: &str) -> Vec<&str> {
    shown.lines().skip(1).collect()
}

/// Would fail if a row, a window or a timer depended on anything but the lines: on what the real clock
/// says, on how fast a worker or another process is, or on how many there are.
#[test]
fn a_script_has_one_answer() {
    let place = Place::new();
    place.write("script.json", SCRIPT);
    for (query, expected) in QUERIES {
        let script = format!("{TABLES} {query};");
        let run = |workers: &str, processes: &str| {
            let flags = ["--workers", workers, "--processes", processes, "--output", "csv"];
            place.succeed(&[&["run", "-e", &script][..], &flags[..]].concat())
        };
        let expected: Vec<&str> = expected.lines().collect();
        assert_eq!(rows(&run("1", "1")), expected, "{query}");
        let mut sorted = expected.clone();
        sorted.sort_unstable();
        for (workers, processes) in [("2", "1"), ("3", "1"), ("2", "2")] {
            let shown = run(workers, processes);
            let mut found = rows(&shown);
            found.sort_unstable();
            assert_eq!(found, sorted, "{query}: {workers} workers, {processes} processes");
        }
    }
}

/// A long script: clicks of few users, watermarks behind them, and a clock that moves on.
fn long_script() -> String {
    let (mut dice, mut text) = (Dice(5), String::new());
    let time = |seconds: u64| {
        format!("2024-05-01 {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    };
    for second in 60..2_060 {
        let (k, v, late) = (dice.below(5), dice.below(100), dice.below(20));
        let ts = time(second - late);
        let line = match second % 10 {
            0 => format!("{{\"watermark\": \"{}\"}}", time(second - 15)),
            5 => format!("{{\"clock\": \"{}\"}}", time(second)),
            7 => "{\"checkpoint\": true}".to_owned(),
            _ => format!("{{\"row\": {{\"k\": \"u{k}\", \"v\": {v}, \"ts\": \"{ts}\"}}}}"),
        };
        writeln!(text, "{line}").unwrap();
    }
    text
}

/// Windows of both times, and every row with what time it was.
const JOB: &str = "
CREATE TABLE clicks (k STRING, v BIGINT, ts TIMESTAMP(3), p AS PROCTIME(),
  WATERMARK FOR ts AS SOURCE_WATERMARK())
WITH ('connector' = 'script', 'path' = 'script.json', 'scan.rows-per-second' = 'RATE');
CREATE TABLE panes (kind STRING, k STRING, s TIMESTAMP(3), total BIGINT, seen TIMESTAMP_LTZ(3))
WITH ('connector' = 'filesystem', 'path' = 'panes', 'format' = 'csv');
CREATE TABLE seen (k STRING, v BIGINT, w TIMESTAMP(3), t TIMESTAMP_LTZ(3))
WITH ('connector' = 'filesystem', 'path' = 'seen', 'format' = 'csv');
EXECUTE STATEMENT SET BEGIN
INSERT INTO panes SELECT 'event', k, s, total, CURRENT_TIMESTAMP FROM
  (SELECT k, window_start AS s, SUM(v) AS total FROM
   TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, k);
INSERT INTO panes SELECT 'clock', k, s, total, CURRENT_TIMESTAMP FROM
  (SELECT k, CAST(window_start AS TIMESTAMP(3)) AS s, SUM(v) AS total FROM
   TABLE(HOP(TABLE clicks, DESCRIPTOR(p), INTERVAL '3' SECOND, INTERVAL '9' SECOND))
   GROUP BY window_start, window_end, k);
INSERT INTO seen SELECT k, v, CURRENT_WATERMARK(ts), CURRENT_TIMESTAMP FROM clicks;
END;";

/// Runs the job to its end, killing it some times on the way.
fn panes(kills: usize, mut dice: Dice) -> [Lines; 2] {
    let place = Place::new();
    place.write("script.json", &long_script());
    for life in 0..=kills {
        // Too slow for a life that is ended to come to the end of the script.
        let rate = if life < kills { "500" } else { "100000" };
        place.write("job.sql", &JOB.replace("RATE", rate));
        let workers = ["1", "2", "3"][life % 3];
        let arguments = ["run", "job.sql", "--workers", workers, "--state-dir", "state"];
        let mut child =
            place.command(&arguments).stderr(std::process::Stdio::null()).spawn().unwrap();
        if life < kills {
            std::thread::sleep(Duration::from_millis(150 + dice.below(300)));
            // An error here means that it ended by itself, which is seen below.
            let _ = child.kill();
        }
        let status = child.wait().unwrap();
        if status.success() {
            assert_eq!(life, kills, "the job ended too soon");
            return [place.published("panes"), place.published("seen")];
        }
        assert!(status.code().is_none(), "the job failed: {status}");
    }
    panic!("the job does not end")
}

/// Would fail if a restored job took a line twice or not at all, or did not know what time it was.
#[test]
fn a_killed_job_goes_on_with_the_script() {
    let lived = panes(0, Dice(1));
    assert!(lived[0].len() > 1000 && lived[1].len() > 1000, "{lived:?}");
    let killed = panes(6, Dice(2));
    for (lived, killed) in lived.iter().zip(&killed) {
        assert_eq!(difference(lived, killed), Vec::<String>::new());
    }
}
