//! Nexmark, q0 to q23, as its users run it: over the native source and over files, in order and with
//! three seconds of disorder, on one worker and on several, in two processes, and killed on the way, each
//! query gives the answer that plain SQL gives over all rows at once.
//!
//! `THALWEG_NEXMARK_EVENTS=1000000` runs more events than the few of every day, `THALWEG_NEXMARK_MANNERS=all`
//! each input on every number of workers, and `THALWEG_NEXMARK_QUERIES=q5,q7` only some of the queries. With
//! `--nocapture` each run says how long it took.

mod data;
mod manners;

mod life;

mod cep;
mod tally;

use crate::oracle::differences;
use data::Events;
use manners::{Input, Manner, manners};
use tally::Tally;

/// A query, and the same in plain SQL over all rows at once: written by hand and run by DataFusion, so that
/// nothing of it passes through the planner that is tested.
struct Query {
    name: String,
    stream: String,
    batch: String,
}

/// Returns q0 to q23, as they stand in the repository.
fn queries() -> impl Iterator<Item = Query> {
    (0..=23).map(|number| {
        let name = format!("q{number}");
        let read = |folder| {
            let path = format!("{}/{folder}/{name}.sql", env!("CARGO_MANIFEST_DIR"));
            std::fs::read_to_string(path).unwrap()
        };
        let (stream, batch) = (read("nexmark"), read("tests/nexmark/batch"));
        Query { name, stream, batch }
    })
}

fn events() -> u64 {
    let events = std::env::var("THALWEG_NEXMARK_EVENTS").ok();
    events.and_then(|events| events.parse().ok()).unwrap_or(10_000)
}

#[tokio::test]
async fn every_query_gives_the_batch_answer() {
    let events = Events::new(events(), 400);
    let context = events.context();
    let mut wrong = Vec::new();
    let asked = std::env::var("THALWEG_NEXMARK_QUERIES").ok();
    let is_asked =
        |name: &str| asked.as_ref().is_none_or(|asked| asked.split(',').any(|q| q == name));
    let mut tally = Tally::new(manners());
    for Query { name, stream, batch } in queries().filter(|query| is_asked(&query.name)) {
        let expected = crate::oracle::answer(&context, &batch).await;
        assert!(!expected.is_empty(), "{name} has no rows to compare");
        for manner in manners() {
            let what = format!("{name}, {manner}");
            let found = tally.run(&what, manner, || life::run(&stream, manner, &events));
            match found {
                Ok(found) if found == expected => {}
                Ok(found) => wrong.push(format!("{what}: {}", differences(&found, &expected))),
                Err(error) => wrong.push(format!("{what}: {error}")),
            }
        }
        println!("{name}: {} rows, {} wrong so far", expected.len(), wrong.len());
    }
    println!("{tally}");
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Would fail if an answer, or the events themselves, changed unseen: input and answers are checked in, by
/// `UPDATE=1`, to be read.
#[test]
fn answers_over_a_small_input_are_those_checked_in() {
    let events = Events::new(150, 10);
    let folder = format!("{}/tests/nexmark/small", env!("CARGO_MANIFEST_DIR"));
    let check = |name: &str, found: String| {
        let path = format!("{folder}/{name}");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &found).unwrap();
        }
        assert!(std::fs::read_to_string(&path).unwrap() == found, "{name} differs:\n{found}");
    };
    for (table, lines) in &events.lines {
        check(&format!("{table}.json"), lines.iter().map(|line| format!("{line}\n")).collect());
    }
    for Query { name, stream, .. } in queries() {
        let manner = Manner { input: Input::Ordered, workers: 2, processes: 1, is_killed: false };
        let rows = life::run(&stream, manner, &events).unwrap().rows;
        // Numbers as they are written, not as they are compared.
        let shown = |cell: &String| {
            cell.parse::<f64>().map_or_else(|_| cell.clone(), |number| number.to_string())
        };
        let line = |(row, count): (&Vec<String>, &i64)| {
            let row: Vec<String> = row.iter().map(shown).collect();
            format!("{count} {}\n", row.join(" | "))
        };
        check(&format!("{name}.txt"), rows.iter().map(line).collect());
    }
}
