//! Random queries over random changes: after every epoch, a query's result is what DataFusion
//! computes over the rows that have come so far.
//!
//! A seed makes the tables, how their rows come, the query and the number of workers. What fails is
//! made small and printed as a test for `tests/sql`. `THALWEG_RANDOM_QUERIES=10000` tries more
//! queries than those of every day, `THALWEG_RANDOM_SEED=7` begins at another seed,
//! `THALWEG_RANDOM_WRONG=1` ends at the first failure, and `THALWEG_RANDOM_TABLE=1` prints how often each
//! feature was tried.

mod schema;

mod expression;
mod query;
mod timed;

mod generate;

mod feed;

mod trial;

mod shrink;

use std::collections::BTreeMap;
use std::process::Command;

use tokio::runtime::Handle;

use trial::{Trial, Verdict};

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What became of the queries.
#[derive(Debug, Default)]
struct Tally {
    right: u64,
    refused: BTreeMap<String, u64>,
    /// Queries that ran, by feature.
    features: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn count(&mut self, trial: &Trial, verdict: &Verdict) {
        match verdict {
            Verdict::Refused(why) => *self.refused.entry(why.clone()).or_default() += 1,
            _ => {
                self.right += u64::from(*verdict == Verdict::Right);
                for feature in trial.features() {
                    *self.features.entry(feature).or_default() += 1;
                }
            }
        }
    }

    fn print(&self) {
        println!("{} queries were right", self.right);
        for (feature, count) in &self.features {
            println!("{count:>7} {feature}");
        }
        println!("{} queries were refused", self.refused.values().sum::<u64>());
        for (why, count) in &self.refused {
            println!("{count:>7} {why}");
        }
    }
}

/// Makes a trial that fails small; returns how it fails, and what to put into `tests/sql`.
fn small(trial: &Trial, what: &str, runtime: &Handle) -> String {
    // A query that fails must go on to fail, and not become one with a wrong result.
    let is_same =
        |other: &str| other == what || [other, what].iter().all(|w| w.starts_with("after"));
    let fails = |candidate: &Trial| match candidate.run(runtime) {
        Verdict::Wrong(other) => is_same(&other),
        _ => false,
    };
    let trial = shrink::shrink(trial, fails);
    let steps = trial.input.steps.iter().map(|step| {
        let rows = step.rows.iter().map(|row| (row.weight, &row.codes)).collect::<Vec<_>>();
        format!("-- {}: {rows:?}\n", trial.input.tables[step.table].name)
    });
    let (workers, ahead) = (trial.workers, trial.ahead);
    let Verdict::Wrong(what) = trial.run(runtime) else {
        return format!("it fails sometimes\n{}", trial.script());
    };
    let steps = steps.collect::<String>();
    format!(
        "{workers} workers, {ahead} steps ahead, {what}\n{steps}{}\n\n{}",
        trial.script(),
        trial.test(runtime)
    )
}

/// Would fail if a random query's result were ever not the batch answer over the rows so far.
#[test]
fn results_are_the_batch_answer_after_every_epoch() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let wrong_max = number("THALWEG_RANDOM_WRONG", 8) as usize;
    let first = number("THALWEG_RANDOM_SEED", 1);
    let (mut tally, mut wrong) = (Tally::default(), Vec::new());
    for seed in first..first + number("THALWEG_RANDOM_QUERIES", 300) {
        let trial = Trial::random(seed);
        let verdict = trial.run(runtime.handle());
        tally.count(&trial, &verdict);
        if let Verdict::Wrong(what) = &verdict {
            println!("seed {seed}: {what}\n{}", trial.script());
            wrong.push(format!("seed {seed}: {}", small(&trial, what, runtime.handle())));
            println!("{}", wrong[wrong.len() - 1]);
            if wrong.len() == wrong_max {
                break;
            }
        }
    }
    if number("THALWEG_RANDOM_TABLE", 0) > 0 {
        tally.print();
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// Would fail if the test above could not see a bug: this one is planted, in another process, where
/// an outer join keeps rows that matched nothing and are taken back.
#[test]
fn planted_bug_is_found() {
    let name = "random::results_are_the_batch_answer_after_every_epoch";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env("THALWEG_PLANT", "kept-alone")
        .env_remove("THALWEG_RANDOM_QUERIES")
        .env("THALWEG_RANDOM_WRONG", "1")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success(), "`kept-alone` was planted and nobody noticed:\n{shown}");
    assert!(shown.contains("query T rowsort"), "it is not shown as a test:\n{shown}");
}
