//! The same queries, written to files by jobs that are killed on the way: what is published in the
//! end is the batch answer, too.

use std::process::Stdio;
use std::time::Duration;

use super::{CASES, Case, Rows, batch, cells, data, differences, ordered};
use crate::support::{Dice, Place};

/// Kills in one run of a case.
const KILLS: u64 = 3;

/// Returns the columns of a query's result, as `CREATE TABLE` has them.
fn columns(place: &Place, tables: &str, query: &str) -> String {
    let (views, query) = query.rsplit_once(';').unwrap_or(("", query));
    let script = format!("{tables} {views}; CREATE VIEW result AS {query}; DESCRIBE result;");
    let described = place.succeed(&["run", "-e", &script]);
    let column = |line: &str| {
        let (name, kind) = line.split_once(' ').unwrap();
        format!("`{name}` {}", kind.trim_end_matches(" NOT NULL"))
    };
    described.lines().map(column).collect::<Vec<_>>().join(", ")
}

/// Folds what was published.
pub(crate) fn published(place: &Place) -> Rows {
    let mut found = Rows::new();
    for (line, count) in place.published("out") {
        let change: serde_json::Value = serde_json::from_str(&line).unwrap();
        let is_insert = change["op"] == "c";
        let (row, weight) = match is_insert {
            true => (&change["after"], count as i64),
            false => (&change["before"], -(count as i64)),
        };
        *found.entry(cells(&ordered(&line, row))).or_default() += weight;
    }
    found.retain(|_, weight| *weight != 0);
    found
}

/// Runs a case on random rows with random kills; returns what is wrong.
pub(super) async fn run(case: &Case, seed: u64, fault: Option<&str>) -> Result<(), String> {
    let mut dice = Dice(seed);
    let rows = data::rows(&mut dice);
    let place = Place::new();
    data::write(&place, &rows, 1 + dice.below(3) as usize, &mut dice);
    let range = 1 << (10 + dice.below(8));
    let (views, query) = case.stream.rsplit_once(';').unwrap_or(("", case.stream));
    let columns = columns(&place, &data::table(range, ""), case.stream);
    let script = |options: &str| {
        format!(
            "{} {views}; CREATE TABLE out ({columns}) WITH ('connector' = 'filesystem',
             'path' = 'out', 'format' = 'debezium-json', 'sink.rolling-policy.file-size' = '1kb');
             INSERT INTO out {query};",
            data::table(range, options)
        )
    };
    let told = |what: String| format!("case `{}`, killed, seed {seed}: {what}", case.name);
    let found = lives(&place, &script, &mut dice, fault).map_err(told)?;
    let expected = batch(case.batch, &rows).await;
    match found == expected {
        true => Ok(()),
        false => Err(told(differences(&found, &expected))),
    }
}

/// Runs a job with random kills and then to its end; returns what it published. The script is given
/// options of its sources.
pub(super) fn lives(
    place: &Place,
    script: &dyn Fn(&str) -> String,
    dice: &mut Dice,
    fault: Option<&str>,
) -> Result<Rows, String> {
    let slow = script(", 'scan.rows-per-second' = '2500'");
    for _ in 0..KILLS {
        let mut child = life(place, &slow, dice, fault);
        std::thread::sleep(Duration::from_millis(60 + dice.below(200)));
        // One that ended by itself shows below how.
        let _ = child.kill();
        child.wait().unwrap();
    }
    let output = life(place, &script(""), dice, fault).wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(published(place)),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Starts one life of a job, on any number of workers and processes.
fn life(place: &Place, script: &str, dice: &mut Dice, fault: Option<&str>) -> std::process::Child {
    let processes = 1 + dice.below(6) / 5;
    let workers = processes * (1 + dice.below(3));
    let (workers, processes) = (workers.to_string(), processes.to_string());
    let interval = format!("{}ms", 5 + dice.below(40));
    let mut command = place.command(&["run", "-e", script, "--state-dir", "state"]);
    command.args(["--workers", &workers, "--processes", &processes]);
    command.args(["--checkpoint-interval", &interval]).stderr(Stdio::piped());
    if let Some(fault) = fault {
        command.env("THALWEG_PLANT", fault);
    }
    command.spawn().unwrap()
}

/// Would fail if a kill showed in any query's answer, whatever number of workers went on.
#[tokio::test]
async fn kills_do_not_change_the_answer() {
    let mut wrong = Vec::new();
    for seed in 0..super::seeds(1) {
        for case in CASES {
            wrong.extend(run(case, seed * 1000 + 71, None).await.err());
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Would fail if the test above could not see a bug: each of these is planted, and must be found.
#[tokio::test]
async fn planted_bugs_change_the_answer() {
    for fault in ["skipped-offset", "early-publish", "lost-committables"] {
        let mut is_found = false;
        for case in CASES.iter().cycle().take(3 * CASES.len()) {
            is_found = run(case, 5, Some(fault)).await.is_err();
            if is_found {
                break;
            }
        }
        assert!(is_found, "`{fault}` was planted and nobody noticed");
    }
}
