//! Windows of all kinds against a plain recomputation, with several numbers of workers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::{Dice, Lines, Place, difference};

/// A row: key, value, time in milliseconds.
type Row = (u64, i64, i64);

fn rows(seed: u64) -> Vec<Row> {
    let mut dice = Dice(seed);
    (0..20_000)
        .map(|n| {
            // Pauses now and then, so that sessions end and windows are empty.
            let base = n * 10 + n / 2_000 * 30_000;
            (dice.below(7), dice.below(100) as i64, base + 3_000 - dice.below(3_000) as i64)
        })
        .collect()
}

fn time(millis: i64) -> String {
    let (minute, second) = (millis / 60_000, millis / 1000 % 60);
    format!("2024-05-01 {:02}:{:02}:{second:02}.{:03}", minute / 60, minute % 60, millis % 1000)
}

fn input(rows: &[Row]) -> String {
    let line =
        |row: &Row| format!("{{\"k\":{},\"v\":{},\"ts\":\"{}\"}}\n", row.0, row.1, time(row.2));
    rows.iter().map(line).collect()
}

/// Windows of a row, as starts and ends.
fn windows_of(kind: &str, time: i64) -> Vec<(i64, i64)> {
    let tumble = |size: i64| time - time.rem_euclid(size);
    match kind {
        "tumble" => vec![(tumble(10_000), tumble(10_000) + 10_000)],
        "hop" => (0..4).map(|n| tumble(5_000) - n * 5_000).map(|s| (s, s + 20_000)).collect(),
        _ => {
            let (start, first) = (tumble(30_000), tumble(10_000) + 10_000);
            (0..3).map(|n| (start, first + n * 10_000)).filter(|w| w.1 <= start + 30_000).collect()
        }
    }
}

fn expected(kind: &str, rows: &[Row]) -> Lines {
    let mut windows: BTreeMap<(u64, i64, i64), Vec<i64>> = BTreeMap::new();
    if kind == "session" {
        let mut sorted: Vec<&Row> = rows.iter().collect();
        sorted.sort_by_key(|row| (row.0, row.2));
        let mut open: Option<(u64, i64, i64, Vec<i64>)> = None;
        for (key, value, at) in sorted {
            match &mut open {
                Some((k, _, end, values)) if k == key && at <= end => {
                    *end = (*end).max(at + 5_000);
                    values.push(*value);
                }
                _ => {
                    if let Some((k, start, end, values)) = open.take() {
                        windows.insert((k, start, end), values);
                    }
                    open = Some((*key, *at, at + 5_000, vec![*value]));
                }
            }
        }
        let (k, start, end, values) = open.unwrap();
        windows.insert((k, start, end), values);
    } else {
        for (key, value, at) in rows {
            for (start, end) in windows_of(kind, *at).into_iter().filter(|w| w.1 > *at) {
                windows.entry((*key, start, end)).or_default().push(*value);
            }
        }
    }
    let line = |((key, start, end), values): (&(u64, i64, i64), &Vec<i64>)| {
        let (sum, max) = (values.iter().sum::<i64>(), values.iter().max().unwrap());
        let count = values.len();
        (format!("{},{},{key},{count},{sum},{max}", shown(*start), shown(*end)), 1)
    };
    windows.iter().map(line).collect()
}

/// Windows may begin before the day does.
fn shown(millis: i64) -> String {
    if millis >= 0 {
        time(millis)
    } else {
        format!("2024-04-30 23:59:{:06.3}", 60.0 + millis as f64 / 1000.0)
    }
}

/// Would fail if a window held other rows than those of its time, for any number of workers.
#[test]
fn windows_hold_the_rows_of_their_time() {
    let rows = rows(5);
    let place = Place::new();
    place.write("in/events.json", &input(&rows));
    let calls = [
        ("tumble", "TUMBLE(TABLE e, DESCRIPTOR(ts), INTERVAL '10' SECOND)"),
        ("hop", "HOP(TABLE e, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '20' SECOND)"),
        (
            "cumulate",
            "CUMULATE(TABLE e, DESCRIPTOR(ts), INTERVAL '10' SECOND, INTERVAL '30' SECOND)",
        ),
        ("session", "SESSION(TABLE e PARTITION BY k, DESCRIPTOR(ts), INTERVAL '5' SECOND)"),
    ];
    for (kind, call) in calls {
        let call =
            if kind == "session" { call.replace(" PARTITION BY k", "") } else { call.to_owned() };
        for workers in ["1", "2", "3"] {
            let out = format!("{kind}-{workers}");
            let script = format!(
                "CREATE TABLE e (k BIGINT, v BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '3' SECOND)
                 WITH ('connector'='filesystem', 'path'='in', 'format'='json', 'scan.range-size'='100kb');
                 CREATE TABLE o (s TIMESTAMP(3), e TIMESTAMP(3), k BIGINT, n BIGINT, total BIGINT, top BIGINT)
                 WITH ('connector'='filesystem', 'path'='{out}', 'format'='csv');
                 INSERT INTO o SELECT window_start, window_end, k, COUNT(*), SUM(v), MAX(v)
                 FROM TABLE({call}) GROUP BY window_start, window_end, k"
            );
            place.succeed(&["run", "-e", &script, "--workers", workers]);
            let found = difference(&expected(kind, &rows), &place.published(&out));
            assert_eq!(found, Vec::<String>::new(), "{kind}, {workers} workers");
        }
    }
}

/// Would fail if the slowest of many splits held a watermark back that is to go on without it, if rows
/// behind that were counted in a window, or if a row were lost.
#[test]
fn the_watermark_may_leave_slow_splits_behind() {
    let place = Place::new();
    for (name, minute) in [("a", 1), ("b", 1), ("c", 0)] {
        let line = |n: usize| {
            let minute = n / 4 * minute;
            format!("{{\"k\": \"{name}\", \"ts\": \"2024-05-01 00:{minute:02}:00\"}}\n")
        };
        place.write(&format!("in/{name}.json"), &(0..40).map(line).collect::<String>());
    }
    let script = |option: &str| {
        format!(
            "CREATE TABLE t (k STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH (
               'connector' = 'filesystem', 'path' = 'in', 'format' = 'json',
               'scan.rows-per-second' = '400', 'late-records' = 'table:late' {option});
             CREATE TABLE late (k STRING) WITH (
               'connector' = 'filesystem', 'path' = 'late', 'format' = 'json');
             CREATE TABLE counts (k STRING, n BIGINT) WITH (
               'connector' = 'filesystem', 'path' = 'out', 'format' = 'json');
             INSERT INTO counts SELECT k, COUNT(*)
               FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
               GROUP BY window_start, window_end, k"
        )
    };
    let run = |option: &str| {
        for folder in ["out", "late"] {
            let _ = std::fs::remove_dir_all(place.path(folder));
        }
        place.succeed(&["run", "--workers", "3", "-q", "-e", &script(option)]);
        let counted = |line: &String| -> usize {
            line.rsplit(':').next().unwrap().trim_end_matches('}').parse().unwrap()
        };
        let results = place.published("out");
        let of = |key: &str| -> usize {
            let own = results.iter().filter(|(line, _)| line.contains(key));
            own.map(|(line, times)| counted(line) * times).sum()
        };
        let late = place.published("late");
        assert!(late.keys().all(|line| line.contains("\"c\"")), "{late:?}");
        (of("\"a\"") + of("\"b\""), of("\"c\""), late.values().sum::<usize>())
    };
    assert_eq!(run(""), (80, 40, 0));
    let (ahead, behind, late) = run(", 'scan.watermark.split-percentile' = '0.6'");
    assert_eq!((ahead, behind + late), (80, 40));
    assert!(late > 0, "{behind} of the slow rows are in time");
}

/// Runs counts of three splits, whose watermark follows two of them, and kills it on the way; returns how many
/// rows of the two are counted, and of the third one counted or late.
fn killed_behind_slow_splits(fault: Option<&str>) -> (usize, usize) {
    let (place, mut dice) = (Place::new(), Dice(5));
    for (name, minute) in [("a", 1), ("b", 1), ("c", 0)] {
        let line = |n: usize| {
            let minute = n / 4 * minute;
            format!("{{\"k\": \"{name}\", \"ts\": \"2024-05-01 00:{minute:02}:00\"}}\n")
        };
        place.write(&format!("in/{name}.json"), &(0..120).map(line).collect::<String>());
    }
    let script = "CREATE TABLE t (k STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH (
           'connector' = 'filesystem', 'path' = 'in', 'format' = 'json',
           'scan.rows-per-second' = '100', 'late-records' = 'table:late',
           'scan.watermark.split-percentile' = '0.6');
         CREATE TABLE late (k STRING) WITH (
           'connector' = 'filesystem', 'path' = 'late', 'format' = 'json');
         CREATE TABLE counts (k STRING, n BIGINT) WITH (
           'connector' = 'filesystem', 'path' = 'out', 'format' = 'json');
         INSERT INTO counts SELECT k, COUNT(*)
           FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
           GROUP BY window_start, window_end, k";
    place.write("job.sql", script);
    for life in 0..20 {
        let workers = ["3", "2", "1"][life % 3];
        let state = ["--state-dir", "state", "--checkpoint-interval", "30ms"];
        let arguments = [&["run", "job.sql", "-q", "--workers", workers][..], &state[..]].concat();
        let mut command = place.command(&arguments);
        if let Some(fault) = fault {
            command.env("THALWEG_PLANT", fault);
        }
        let mut child = command.spawn().unwrap();
        if life < 7 {
            std::thread::sleep(Duration::from_millis(300 + dice.below(500)));
            // An error here means that it ended by itself, which is seen below.
            let _ = child.kill();
        }
        let ended = child.wait().unwrap();
        if ended.success() {
            break;
        }
        assert!(ended.code().is_none(), "the job failed");
    }
    let (counted, late) = (place.published("out"), place.published("late"));
    let number = |line: &String| -> usize {
        line.rsplit(':').next().unwrap().trim_end_matches('}').parse().unwrap()
    };
    let of = |key: &str| -> usize {
        let counted = counted.iter().filter(|(line, _)| line.contains(key));
        let counted: usize = counted.map(|(line, times)| number(line) * times).sum();
        counted + late.iter().filter(|(line, _)| line.contains(key)).map(|(_, n)| n).sum::<usize>()
    };
    let ahead_late = late.keys().any(|line| !line.contains("\"c\""));
    let ahead = of("\"a\"") + of("\"b\"");
    (if ahead_late { 0 } else { ahead }, of("\"c\""))
}

/// Would fail if a watermark that leaves splits behind went on, after a kill, from splits that are not opened yet: rows
/// of the others would be late; or if a row were lost, or counted twice.
#[test]
fn kills_do_not_show_behind_slow_splits() {
    assert_eq!(killed_behind_slow_splits(None), (240, 120));
    let found = killed_behind_slow_splits(Some("skipped-offset"));
    assert_ne!(found, (240, 120), "`skipped-offset` was planted and nobody noticed");
}

/// Would fail if a split ran away from one that is behind, whose rows are late then: of two that are read as
/// fast, one has a row a minute, the other one a second.
#[test]
fn splits_stay_together_within_a_drift() {
    let place = Place::new();
    for (name, step) in [("a", 60), ("b", 1)] {
        let line = |row: usize| {
            let at = row * step;
            let at = format!("2024-01-01 {:02}:{:02}:{:02}", at / 3600, at / 60 % 60, at % 60);
            format!("{{\"ts\": \"{at}\"}}\n")
        };
        place.write(&format!("in/{name}.json"), &(0..200).map(line).collect::<String>());
    }
    // The watermark follows the split that is ahead.
    let late = |option: &str| {
        let _ = std::fs::remove_dir_all(place.path("late"));
        let script = format!(
            "CREATE TABLE t (ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '60' MINUTE) WITH (
               'connector' = 'filesystem', 'path' = 'in', 'format' = 'json',
               'scan.rows-per-second' = '100', 'scan.watermark.split-percentile' = '0.5',
               'late-records' = 'table:late' {option});
             CREATE TABLE late (window_start TIMESTAMP(3)) WITH (
               'connector' = 'filesystem', 'path' = 'late', 'format' = 'json');
             CREATE TABLE counts (n BIGINT) WITH ('connector' = 'blackhole');
             INSERT INTO counts SELECT COUNT(*)
               FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE))
               GROUP BY window_start, window_end"
        );
        place.succeed(&["run", "--workers", "2", "-q", "-e", &script]);
        place.published("late").values().sum::<usize>()
    };
    assert!(late("") > 0);
    assert_eq!(late(", 'scan.watermark.alignment.max-drift' = '1 min'"), 0);
}
