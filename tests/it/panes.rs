//! Panes over whole jobs that follow a script: of every trigger and accumulation, killed and restored,
//! and with windows over windows and joins; and windows that fire while more waits than can be read.

use std::fmt::Write;
use std::time::Duration;

use crate::support::{Dice, Lines, Place, difference};

fn time(seconds: u64) -> String {
    format!("2024-05-01 {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Clicks of few users, some of them late, single and several at once; watermarks behind them, and a
/// clock that moves on. Returns how many clicks there are, too.
fn script(lines: u64, seed: u64) -> (String, u64) {
    let (mut dice, mut text, mut clicks) = (Dice(seed), String::new(), 0);
    for second in 100..100 + lines {
        let mut row = || {
            clicks += 1;
            let ts = time(second - dice.below(90));
            format!(
                "{{\"k\": \"u{}\", \"v\": {}, \"ts\": \"{ts}\"}}",
                dice.below(4),
                dice.below(1000)
            )
        };
        let line = match second % 12 {
            0 => format!("{{\"watermark\": \"{}\"}}", time(second - 25)),
            4 => format!("{{\"clock\": \"{}\"}}", time(second)),
            7 => "{\"checkpoint\": true}".to_owned(),
            9 => format!("{{\"rows\": [{}, {}, {}]}}", row(), row(), row()),
            _ => format!("{{\"row\": {}}}", row()),
        };
        writeln!(text, "{line}").unwrap();
    }
    (text, clicks)
}

const TABLES: &str = "
CREATE TABLE clicks (k STRING, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS SOURCE_WATERMARK())
WITH ('connector' = 'script', 'path' = 'script.json', 'scan.rows-per-second' = 'RATE');
CREATE TABLE panes (kind STRING, k STRING, s TIMESTAMP(3), e TIMESTAMP(3), n BIGINT, total BIGINT,
  timing STRING, pane BIGINT, is_last BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = 'panes', 'format' = 'csv');
CREATE TABLE changes (kind STRING, k STRING, s TIMESTAMP(3), e TIMESTAMP(3), n BIGINT, total BIGINT,
  timing STRING, pane BIGINT, is_last BOOLEAN)
WITH ('connector' = 'filesystem', 'path' = 'changes', 'format' = 'debezium-json');
CREATE TABLE late (k STRING, v BIGINT)
WITH ('connector' = 'filesystem', 'path' = 'late', 'format' = 'csv');";

/// Windows, and what is sent of them: each accumulation with each way to be early and to be late.
const KINDS: [(&str, &str); 9] = [
    ("TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND)", ""),
    ("TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '20' SECOND)", "WITH EARLY EVERY 2 ROWS"),
    (
        "TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '20' SECOND)",
        "WITH EARLY EVERY INTERVAL '7' SECOND WITH LATE EVERY 2 ROWS",
    ),
    (
        "HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '30' SECOND)",
        "WITH LATE EVERY INTERVAL '5' SECOND",
    ),
    (
        "HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '30' SECOND)",
        "WITH EARLY EVERY 3 ROWS WITH LATE EVERY 1 ROW",
    ),
    (
        "CUMULATE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '40' SECOND)",
        "WITH EARLY EVERY INTERVAL '15' SECOND",
    ),
    (
        "SESSION(TABLE clicks PARTITION BY k, DESCRIPTOR(ts), INTERVAL '6' SECOND)",
        "WITH EARLY EVERY 1 ROW WITH LATE EVERY 1 ROW",
    ),
    (
        "SESSION(TABLE clicks PARTITION BY k, DESCRIPTOR(ts), INTERVAL '4' SECOND)",
        "WITH EARLY EVERY INTERVAL '9' SECOND WITH LATE EVERY INTERVAL '4' SECOND",
    ),
    (
        "SESSION(TABLE clicks PARTITION BY k, DESCRIPTOR(ts), INTERVAL '3' SECOND)",
        "WITH LATE EVERY 2 ROWS",
    ),
];

/// Returns the job: each kind with each accumulation, and without windows.
fn job(rate: &str) -> String {
    let mut inserts = String::new();
    for (number, (windows, trigger)) in KINDS.iter().enumerate() {
        for accumulation in ["DISCARDING", "ACCUMULATING", "RETRACTING"] {
            let table = if accumulation == "RETRACTING" { "changes" } else { "panes" };
            writeln!(
                inserts,
                "INSERT INTO {table} SELECT '{number} {accumulation}', k, window_start, window_end, COUNT(*),
                 SUM(v), PANE_TIMING(), PANE_INDEX(), PANE_IS_LAST() FROM TABLE({windows})
                 GROUP BY window_start, window_end, k EMIT AFTER WATERMARK {trigger} {accumulation}
                 ALLOWED LATENESS INTERVAL '20' SECOND LATE INTO late;"
            )
            .unwrap();
        }
    }
    for accumulation in ["DISCARDING", "ACCUMULATING", "RETRACTING"] {
        let table = if accumulation == "RETRACTING" { "changes" } else { "panes" };
        writeln!(
            inserts,
            "INSERT INTO {table} SELECT 'all {accumulation}', k, CAST(NULL AS TIMESTAMP(3)),
             CAST(NULL AS TIMESTAMP(3)), COUNT(*), SUM(v), PANE_TIMING(), PANE_INDEX(), PANE_IS_LAST()
             FROM clicks GROUP BY k EMIT AFTER WATERMARK WITH EARLY EVERY INTERVAL '11' SECOND {accumulation};"
        )
        .unwrap();
    }
    writeln!(
        inserts,
        "INSERT INTO panes SELECT 'percentile', k, window_start, window_end, COUNT(*), SUM(v), PANE_TIMING(),
         PANE_INDEX(), PANE_IS_LAST() FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '10' SECOND))
         GROUP BY window_start, window_end, k EMIT AFTER WATERMARK AT PERCENTILE 0.2 LATE INTO late;"
    )
    .unwrap();
    writeln!(
        inserts,
        "INSERT INTO panes SELECT 'each key', k, window_start, window_end, COUNT(*), SUM(v), PANE_TIMING(),
         PANE_INDEX(), PANE_IS_LAST() FROM TABLE(HOP(TABLE clicks, DESCRIPTOR(ts), INTERVAL '5' SECOND,
         INTERVAL '15' SECOND)) GROUP BY window_start, window_end, k
         EMIT AFTER WATERMARK OF EACH KEY BEHIND INTERVAL '20' SECOND WITH EARLY EVERY 2 ROWS
         ALLOWED LATENESS INTERVAL '20' SECOND LATE INTO late;"
    )
    .unwrap();
    let tables = TABLES.replace("RATE", rate);
    format!("{tables}\nEXECUTE STATEMENT SET BEGIN\n{inserts}END;")
}

/// Runs the job to its end, killing it some times on the way; each life has its number of workers.
fn panes(kills: usize, workers: &[&str], mut dice: Dice) -> [Lines; 3] {
    let place = Place::new();
    place.write("script.json", &script(400, 5).0);
    for life in 0..=kills {
        // Too slow for a life that is ended to come to the end of the script.
        place.write("job.sql", &job(if life < kills { "300" } else { "100000" }));
        let workers = workers[life % workers.len()];
        let arguments = ["run", "job.sql", "--workers", workers, "--state-dir", "state"];
        let mut child =
            place.command(&arguments).stderr(std::process::Stdio::null()).spawn().unwrap();
        if life < kills {
            std::thread::sleep(Duration::from_millis(250 + dice.below(500)));
            // An error here means that it ended by itself, which is seen below.
            let _ = child.kill();
        }
        let status = child.wait().unwrap();
        if status.success() {
            assert_eq!(life, kills, "the job ended too soon");
            return ["panes", "changes", "late"].map(|folder| place.published(folder));
        }
        assert!(status.code().is_none(), "the job failed: {status}");
    }
    panic!("the job does not end")
}

/// Would fail if a crash, or another number of workers, lost a pane, sent one twice, changed its rows, its
/// timing or its number, took back another one than was sent, or forgot when a timer is due.
#[test]
fn panes_of_every_kind_survive_crashes() {
    let lived = panes(0, &["1"], Dice(1));
    for (name, lines) in ["panes", "changes", "late"].iter().zip(&lived) {
        assert!(lines.len() > 100, "{name}: {}", lines.len());
    }
    for (kills, workers) in [(0, &["2"][..]), (0, &["3"]), (4, &["1", "2", "3"])] {
        let found = panes(kills, workers, Dice(3));
        for (lived, found) in lived.iter().zip(&found) {
            let none = Vec::<String>::new();
            assert_eq!(difference(lived, found), none, "{workers:?}, {kills} kills");
        }
    }
}

/// Windows over the panes of windows, and over the pairs of an interval join; all take late rows, and
/// all say which were too late for them.
const OVER: &str = "
CREATE TABLE late_panes (n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'late_panes', 'format' = 'csv');
CREATE TABLE late_pairs (n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'late_pairs', 'format' = 'csv');
CREATE TABLE windows (n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'windows', 'format' = 'csv');
CREATE TABLE pairs (n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'pairs', 'format' = 'csv');
CREATE TABLE sums (n BIGINT) WITH ('connector' = 'filesystem', 'path' = 'sums', 'format' = 'csv');
CREATE VIEW inner_panes AS
SELECT window_time AS w, COUNT(*) AS n FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '5' SECOND))
GROUP BY window_start, window_end, window_time, k
EMIT AFTER WATERMARK WITH EARLY EVERY 2 ROWS DISCARDING ALLOWED LATENESS INTERVAL '20' SECOND LATE INTO late;
CREATE VIEW met AS
SELECT a.ts, a.v * 0 + 1 AS n FROM clicks a JOIN clicks b
ON a.k = b.k AND b.ts BETWEEN a.ts - INTERVAL '10' SECOND AND a.ts;
EXECUTE STATEMENT SET BEGIN
INSERT INTO windows SELECT SUM(n) FROM TABLE(HOP(TABLE inner_panes, DESCRIPTOR(w), INTERVAL '20' SECOND,
INTERVAL '20' SECOND)) GROUP BY window_start, window_end
EMIT AFTER WATERMARK DISCARDING ALLOWED LATENESS INTERVAL '3' SECOND LATE INTO late_panes;
INSERT INTO pairs SELECT n FROM met;
INSERT INTO sums SELECT SUM(n) FROM TABLE(TUMBLE(TABLE met, DESCRIPTOR(ts), INTERVAL '10' SECOND))
GROUP BY window_start, window_end
EMIT AFTER WATERMARK WITH LATE EVERY 2 ROWS DISCARDING ALLOWED LATENESS INTERVAL '3' SECOND LATE INTO late_pairs;
END;";

/// Returns the sum of the numbers in lines.
fn sum(lines: &Lines) -> u64 {
    lines.iter().map(|(line, count)| line.parse::<u64>().unwrap_or(0) * *count as u64).sum()
}

/// Would fail if a row that was late for one of two windows, or behind a join, were neither in a result
/// nor among the late ones.
#[test]
fn windows_over_windows_and_joins_lose_nothing() {
    let place = Place::new();
    let (text, clicks) = script(1500, 7);
    place.write("script.json", &text);
    place.write("job.sql", &format!("{}{OVER}", TABLES.replace("RATE", "100000")));
    for workers in ["1", "3"] {
        for folder in ["late", "late_panes", "late_pairs", "windows", "pairs", "sums"] {
            // There is none before the first run.
            let _ = std::fs::remove_dir_all(place.path(folder));
        }
        place.succeed(&["run", "job.sql", "--workers", workers]);
        let [panes, late_panes, pairs, sums, late_pairs] =
            ["windows", "late_panes", "pairs", "sums", "late_pairs"]
                .map(|folder| sum(&place.published(folder)));
        let late: usize = place.published("late").values().sum();
        assert!(late > 100 && pairs > 500, "{late} late, {pairs} pairs of {clicks}");
        assert_eq!(
            panes + late_panes + late as u64,
            clicks,
            "{late} late, {late_panes} in late panes"
        );
        assert_eq!(sums + late_pairs, pairs, "{late_pairs} late");
    }
}

/// Would fail if windows waited until a source has nothing more to read: all would come in the last epoch.
#[test]
fn windows_fire_while_more_waits_than_can_be_read() {
    let script = "
        CREATE TABLE numbers (id BIGINT, ts AS TO_TIMESTAMP_LTZ(id, 3),
          WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
        WITH ('connector' = 'datagen', 'rows-per-second' = '1000000000',
          'fields.id.kind' = 'sequence', 'fields.id.start' = '0', 'fields.id.end' = '1999999');
        SELECT CURRENT_TIMESTAMP AS at, s, n FROM (SELECT window_start AS s, COUNT(*) AS n
        FROM TABLE(TUMBLE(TABLE numbers, DESCRIPTOR(ts), INTERVAL '1' SECOND))
        GROUP BY window_start, window_end EMIT);";
    let place = Place::new();
    for emit in ["", "EMIT AFTER WATERMARK WITH EARLY EVERY 10000 ROWS"] {
        let script = script.replace("EMIT", emit);
        let shown = place.succeed(&["run", "-e", &script, "--workers", "1", "--output", "csv"]);
        let rows = shown.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
        let rows: Vec<Vec<&str>> = rows.collect();
        let total: u64 = rows.iter().map(|row| row[2].parse::<u64>().unwrap()).sum();
        let mut times: Vec<&str> = rows.iter().map(|row| row[0]).collect();
        times.dedup();
        assert_eq!((rows.len(), total), (2000, 2_000_000), "{emit}");
        assert!(times.len() > 5, "all windows came at {times:?}: {emit}");
    }
}
