//! `kill -9` at random moments: the committed output is row for row that of a run that lived, and
//! nothing else is left behind.

use std::time::Duration;

use crate::support::{Dice, Lines, Place, difference};

/// Rows of input; the second half has rows that are an hour late.
const ROWS: u64 = 60_000;
/// Kills in one run of the test; more by `THALWEG_KILLS`.
const KILLS: usize = 50;

fn input() -> String {
    let mut dice = Dice(11);
    let mut text = String::new();
    for row in 0..ROWS {
        let is_late = row > ROWS / 2 && dice.below(50) == 0;
        let millis = row * 20 + 3_600_000 - if is_late { 3_600_000 } else { dice.below(2_000) };
        let (hour, minute) = (10 + millis / 3_600_000, millis / 60_000 % 60);
        let (second, fraction) = (millis / 1000 % 60, millis % 1000);
        let time = format!("2024-05-01 {hour:02}:{minute:02}:{second:02}.{fraction:03}");
        let (user, value) = (dice.below(40), dice.below(1000));
        let line = format!(
            "{{\"id\": {row}, \"user\": \"u{user}\", \"v\": {value}, \"ts\": \"{time}\"}}\n"
        );
        text.push_str(&line);
    }
    text
}

/// A windowed aggregation and a stateless copy in partitions, from files to files.
fn script(rate: Option<u64>) -> String {
    let rate = rate.map(|rate| format!(", 'scan.rows-per-second' = '{rate}'")).unwrap_or_default();
    format!(
        "CREATE TABLE events (id BIGINT, `user` STRING, v BIGINT, ts TIMESTAMP(3),
            WATERMARK FOR ts AS ts - INTERVAL '3' SECOND)
         WITH ('connector' = 'filesystem', 'path' = 'in', 'format' = 'json',
               'scan.range-size' = '256kb'{rate});
         CREATE TABLE sums (s TIMESTAMP(3), e TIMESTAMP(3), `user` STRING, n BIGINT, total BIGINT)
         WITH ('connector' = 'filesystem', 'path' = 'sums', 'format' = 'json',
               'sink.rolling-policy.file-size' = '1kb');
         CREATE TABLE copies (id BIGINT, hundreds BIGINT, doubled BIGINT) PARTITIONED BY (hundreds)
         WITH ('connector' = 'filesystem', 'path' = 'copies', 'format' = 'csv',
               'sink.rolling-policy.file-size' = '20kb');
         EXECUTE STATEMENT SET BEGIN
         INSERT INTO sums SELECT window_start, window_end, `user`, COUNT(*), SUM(v)
            FROM TABLE(HOP(TABLE events, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '15' SECOND))
            GROUP BY window_start, window_end, `user`;
         INSERT INTO copies SELECT id, v / 100, v * 2 FROM events WHERE v < 700;
         END;"
    )
}

/// What one run of the test gives: both results, and how often the program was killed.
struct Run {
    sums: Lines,
    copies: Lines,
    kills: usize,
}

fn lived() -> Run {
    let place = Place::new();
    place.write("in/events.json", &input());
    // Slow enough that the rows an hour late come epochs after those that make them so.
    place.write("job.sql", &script(Some(60_000)));
    place.succeed(&["run", "job.sql", "--workers", "1", "--state-dir", "state"]);
    Run { sums: place.published("sums"), copies: place.published("copies"), kills: 0 }
}

/// Runs the job with one number of workers for each life, killing it until it has had enough.
fn killed(seed: u64, workers: &[&str], fault: Option<&str>) -> Result<Run, String> {
    let kills = std::env::var("THALWEG_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let place = Place::new();
    place.write("in/events.json", &input());
    // Slow enough that every life ends before the input does.
    place.write("job.sql", &script(Some(6_000)));
    let mut dice = Dice(seed);
    let mut done = 0;
    for life in 0.. {
        let workers = workers[life * workers.len() / (kills + 1) % workers.len()];
        if done == kills {
            place.write("job.sql", &script(None));
        }
        let arguments = [
            "run",
            "job.sql",
            "--workers",
            workers,
            "--state-dir",
            "state",
            "--checkpoint-interval",
            "30ms",
        ];
        let mut command = place.command(&arguments);
        if let Some(fault) = fault {
            command.env("THALWEG_PLANT", fault);
        }
        let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
        if done < kills {
            std::thread::sleep(Duration::from_millis(40 + dice.below(300)));
            // An error here means that it ended by itself, which is seen below.
            let _ = child.kill();
        }
        let output = child.wait_with_output().unwrap();
        let was_killed = output.status.code().is_none();
        if !was_killed && !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        done += usize::from(was_killed);
        if output.status.success() {
            break;
        }
        assert!(life < kills * 3, "the job does not end");
    }
    assert_eq!(place.staged("sums") + place.staged("copies"), 0, "staged parts are left behind");
    Ok(Run { sums: place.published("sums"), copies: place.published("copies"), kills: done })
}

/// Returns how a killed run differs from the one that lived.
fn compare(lived: &Run, killed: &Run) -> Vec<String> {
    let mut found = difference(&lived.sums, &killed.sums);
    found.extend(difference(&lived.copies, &killed.copies));
    found
}

/// Would fail if a crash lost a row, doubled one, or made a late row early, or left a
/// staged part behind: with two workers before and three after, fifty times.
#[test]
fn kills_do_not_show_in_the_output() {
    let lived = lived();
    assert!(lived.sums.len() > 1000 && lived.copies.len() > 30_000);
    let killed = killed(1, &["2", "3"], None).unwrap();
    assert_eq!(compare(&lived, &killed), Vec::<String>::new());
    assert!(killed.kills >= KILLS, "only {} kills", killed.kills);
}

/// Would fail if the test above could not see a bug: each of these is planted, and must be found.
#[test]
fn planted_bugs_are_found() {
    let lived = lived();
    for fault in ["skipped-offset", "early-publish", "lost-committables", "forgotten-watermark"] {
        let found = match killed(2, &["2"], Some(fault)) {
            Err(_) => true,
            Ok(run) => !compare(&lived, &run).is_empty(),
        };
        assert!(found, "`{fault}` was planted and nobody noticed");
    }
}
