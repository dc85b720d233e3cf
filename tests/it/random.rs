//! Random queries over random changes: after every epoch, a query's result is what DataFusion
//! computes over the rows that have come so far.
//!
//! A seed makes the tables, how their rows come, the query and the number of workers. What fails is
//! made small and printed as a test for `tests/sql`. `THALWEG_RANDOM_QUERIES=10000` tries more
//! queries than those of every day, `THALWEG_RANDOM_SEED=7` begins at another seed, and
//! `THALWEG_RANDOM_TABLE=1` prints how often each feature was tried.

mod schema;

mod expression;
mod query;

mod generate;

mod feed;

mod trial;

use std::collections::BTreeMap;

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

/// Would fail if a random query's result were ever not the batch answer over the rows so far.
#[test]
fn results_are_the_batch_answer_after_every_epoch() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let first = number("THALWEG_RANDOM_SEED", 1);
    let (mut tally, mut wrong) = (Tally::default(), Vec::new());
    for seed in first..first + number("THALWEG_RANDOM_QUERIES", 300) {
        let trial = Trial::random(seed);
        let verdict = trial.run(runtime.handle());
        tally.count(&trial, &verdict);
        if let Verdict::Wrong(what) = &verdict {
            let text = format!("seed {seed}: {what}\n{}", trial.script());
            println!("{text}");
            wrong.push(text);
        }
    }
    if number("THALWEG_RANDOM_TABLE", 0) > 0 {
        tally.print();
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}
