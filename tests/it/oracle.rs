//! The batch oracle: a streaming query over random files, cut into random epochs and shared out over
//! any number of workers, gives what DataFusion computes over the same rows at once; also when the
//! job is killed on the way.
//!
//! Equality: append-only results as multisets, updating results after folding, floating-point numbers
//! to nine digits. `THALWEG_ORACLE_SEEDS=100` runs more seeds than the few of every day.

mod cases;
mod data;
mod joins;
mod patterns;
mod recursion;

mod updated;

mod clock;
pub(crate) mod killed;

mod panes;
mod versions;

use std::collections::BTreeMap;

use datafusion::arrow::array::Array;
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::prelude::SessionContext;

use crate::support::{Dice, Place};
use cases::{CASES, Case};

/// Rows as texts, and how often each stands there.
pub(crate) type Rows = BTreeMap<Vec<String>, i64>;

/// Writes a number in one way, and leaves what is no number.
pub(crate) fn cell(text: &str) -> String {
    if let Some((date, time)) = text.split_once('T')
        && date.len() == 10
        && date.as_bytes()[4] == b'-'
    {
        let (clock, millis) = time.split_once('.').unwrap_or((time, "000"));
        return format!("{date} {clock}.{millis:0<3}");
    }
    match text.parse::<f64>() {
        // Negative zero is zero.
        Ok(0.0) => "0".to_owned(),
        Ok(number) => format!("{number:.8e}"),
        Err(_) => text.to_owned(),
    }
}

async fn batch(query: &str, rows: &[data::Row]) -> Rows {
    let context = SessionContext::new();
    context.register_batch("t", data::batch(rows)).unwrap();
    answer(&context, query).await
}

/// Returns what DataFusion computes.
pub(crate) async fn answer(context: &SessionContext, query: &str) -> Rows {
    let frame = context.sql(query).await.unwrap_or_else(|error| panic!("{query}\n{error}"));
    let mut found = Rows::new();
    for batch in frame.collect().await.unwrap() {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| match column.is_null(row) {
                true => "NULL".to_owned(),
                false => cell(&array_value_to_string(column, row).unwrap()),
            });
            *found.entry(cells.collect()).or_default() += 1;
        }
    }
    found
}

/// Folds the rows that a run showed; none may be taken back that was not there.
fn folded(output: &str) -> Rows {
    let mut found = Rows::new();
    for line in output.lines() {
        let object = serde_json::from_str(line).unwrap();
        let fields: Vec<(String, serde_json::Value)> = ordered(line, &object);
        let weight =
            match fields.first() {
                Some((name, serde_json::Value::String(op))) if name == "op" => {
                    if op.starts_with('+') { 1 } else { -1 }
                }
                _ => 1,
            };
        *found.entry(cells(&fields)).or_default() += weight;
    }
    found.retain(|_, weight| *weight != 0);
    found
}

/// Returns the values of a row.
fn cells(fields: &[(String, serde_json::Value)]) -> Vec<String> {
    let cells = fields.iter().filter(|(name, _)| name != "op").map(|(_, value)| match value {
        serde_json::Value::Null => "NULL".to_owned(),
        serde_json::Value::String(text) => cell(text),
        other => cell(&other.to_string()),
    });
    cells.collect()
}

/// Returns the fields of an object in the order in which they stand in `line`.
fn ordered(line: &str, object: &serde_json::Value) -> Vec<(String, serde_json::Value)> {
    let fields = object.as_object().unwrap().iter();
    let mut fields: Vec<_> = fields.map(|(name, value)| (name.clone(), value.clone())).collect();
    let place = |name: &str| line.find(&format!("\"{name}\":")).unwrap();
    fields.sort_by_key(|(name, _)| place(name));
    fields
}

/// Returns the first few rows in which two answers differ.
pub(crate) fn differences(found: &Rows, expected: &Rows) -> String {
    let differs = |(row, count): (&Vec<String>, &i64), other: &Rows| other.get(row) != Some(count);
    let extra: Vec<_> = found.iter().filter(|row| differs(*row, expected)).take(3).collect();
    let missing: Vec<_> = expected.iter().filter(|row| differs(*row, found)).take(3).collect();
    format!("\nfound, not expected: {extra:?}\nexpected, not found: {missing:?}")
}

/// Returns how many seeds to try.
fn seeds(usual: u64) -> u64 {
    let seeds = std::env::var("THALWEG_ORACLE_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    seeds.unwrap_or(usual)
}

/// Runs a case on random rows in a random way; returns what is wrong.
async fn run(case: &Case, seed: u64) -> Result<(), String> {
    let mut dice = Dice(seed);
    let rows = data::rows(&mut dice);
    let place = Place::new();
    let files = 1 + dice.below(4) as usize;
    data::write(&place, &rows, files, &mut dice);
    let range = 1 << (8 + dice.below(10));
    // Slow rows come in many epochs, quick ones in few.
    let slow = if dice.below(3) == 0 { ", 'scan.rows-per-second' = '20000'" } else { "" };
    let script = format!("{}\n{}", data::table(range, slow), case.stream);
    let processes = 1 + dice.below(8) / 7;
    let workers = processes * (1 + dice.below(4 / processes));
    let (workers, processes) = (workers.to_string(), processes.to_string());
    let interval = format!("{}ms", 5 + dice.below(100));
    let flags = [
        "run",
        "-e",
        &script,
        "--workers",
        &workers,
        "--processes",
        &processes,
        "--output",
        "json",
        "--checkpoint-interval",
        &interval,
    ];
    let output = place.run(&flags);
    let told = |what: String| {
        format!("case `{}`, seed {seed}, {workers} workers in {processes}: {what}", case.name)
    };
    if !output.status.success() {
        return Err(told(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    let found = folded(&String::from_utf8(output.stdout).unwrap());
    let expected = batch(case.batch, &rows).await;
    if found == expected {
        return Ok(());
    }
    Err(told(format!("{}\n{script}", differences(&found, &expected))))
}

#[tokio::test]
async fn streams_give_the_batch_answer() {
    let mut wrong = Vec::new();
    for seed in 0..seeds(4) {
        for case in CASES {
            wrong.extend(run(case, seed * 1000 + 17).await.err());
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn joins_give_the_batch_answer() {
    let mut wrong = Vec::new();
    for seed in 0..seeds(3) {
        for case in joins::JOINS {
            wrong.extend(run(case, seed * 1000 + 23).await.err());
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Would fail if a search for a pattern depended on epochs, workers or kills.
#[tokio::test]
async fn patterns_give_the_batch_answer() {
    let mut wrong = Vec::new();
    for case in patterns::PATTERNS {
        for seed in 0..seeds(3) {
            wrong.extend(run(case, seed * 1000 + 29).await.err());
        }
        for seed in 0..seeds(1) {
            wrong.extend(killed::run(case, seed * 1000 + 31, None).await.err());
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Would fail if a relation that follows from itself depended on epochs, workers or kills.
#[tokio::test]
async fn recursion_gives_the_batch_answer() {
    let mut wrong = Vec::new();
    for case in recursion::RECURSION {
        for seed in 0..seeds(3) {
            wrong.extend(run(case, seed * 1000 + 37).await.err());
        }
        for seed in 0..seeds(1) {
            wrong.extend(killed::run(case, seed * 1000 + 41, None).await.err());
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Beyond the declared delay the law is conservation: rows in results and late rows are the input.
#[tokio::test]
async fn late_rows_and_results_are_the_input() {
    let mut dice = Dice(99);
    let rows = data::rows(&mut dice);
    let place = Place::new();
    // One file, since an unread one would hold the watermark back.
    data::write(&place, &rows, 1, &mut dice);
    let slow = data::table(40_000, ", 'scan.rows-per-second' = '4000'");
    let strict = slow.replace("INTERVAL '5' SECOND", "INTERVAL '0.5' SECOND");
    let script = format!(
        "{strict} SELECT COUNT(*) AS n FROM
         TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' SECOND))
         GROUP BY window_start, window_end;"
    );
    for workers in ["1", "3"] {
        let output = place.run(&["run", "-e", &script, "--workers", workers, "--output", "json"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        let counted: u64 = String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(|line| ordered(line, &serde_json::from_str(line).unwrap())[0].1.as_u64().unwrap())
            .sum();
        let late = error.split(" late").next().unwrap().rsplit(' ').next().unwrap();
        let late: u64 = late.parse().unwrap();
        assert!(late > 0, "the test needs late rows");
        assert_eq!(counted + late, rows.len() as u64, "{error}");
    }
}
