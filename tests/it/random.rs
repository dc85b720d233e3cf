//! Random queries over random changes: after every epoch, a query's result is what DataFusion
//! computes over the rows that have come so far.
//!
//! A seed makes the tables, how their rows come, the query and the number of workers. What fails is
//! made small and printed as a test for `tests/sql/found.slt`.
//!
//! Covered are tables that grow, changelogs, and tables that are upserted by key; joins of all kinds,
//! `WHERE`, `GROUP BY` with `HAVING`, `FILTER`, `DISTINCT`, `ROLLUP`, `CUBE` and `GROUPING SETS`; `IN`, `EXISTS`
//! and scalar sub-queries, correlated and not, and their negations; set operations with and without
//! `ALL`; the first rows of partitions by `ROW_NUMBER`, `RANK` and `DENSE_RANK`; `WITH`, `VALUES`; rows with windows
//! (`TUMBLE`, `HOP`, `CUMULATE`), joined and grouped by; what these windows and `SESSION` send, over tables that grow and
//! over changelogs; `OVER` windows in order of event time, and of any columns. What windows and `OVER` send once the
//! watermark is there is compared after every epoch, with the watermark that its oracle names by hand; so is
//! what joins and further aggregations make of it, and what an outer join by time finds alone (`waits.rs`). Where
//! the planner waits and the text does not say so, the end alone is compared, and that is counted. Not covered are temporal and interval
//! joins, `ORDER BY … LIMIT`, processing time, nested types and user functions.
//!
//! | Variable | Meaning |
//! |---|---|
//! | `THALWEG_RANDOM_QUERIES=10000` | more queries than those of every day |
//! | `THALWEG_RANDOM_SEED=7` | begins at another seed |
//! | `THALWEG_RANDOM_THREADS=4` | tries several at once |
//! | `THALWEG_RANDOM_WITH=LAG` | tries those queries only that have this feature |
//! | `THALWEG_RANDOM_WRONG=1` | ends at the first failure |
//! | `THALWEG_RANDOM_TABLE=1` | prints how often each feature was tried, and what was refused |

mod schema;

mod expression;
mod query;
mod timed;

mod generate;
mod timely;
mod waits;

mod feed;

mod trial;

mod shrink;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::runtime::Handle;

use trial::{Trial, Verdict};

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How many of a hundred queries may be refused, by our planner or by the oracle.
const REFUSED_MAX: u64 = 5;
/// And of how many only the end may be compared.
const AT_END_MAX: u64 = 2;
/// Frames of a debug build are so large that planning the deepest queries takes more than is usual.
const STACK_BYTES: usize = 16 << 20;
/// So few queries say nothing of that.
const QUERIES_MIN: u64 = 100;

/// What became of the queries.
#[derive(Debug, Default)]
struct Tally {
    right: u64,
    /// Queries of which only the end could be compared, by the reason.
    at_end: BTreeMap<&'static str, u64>,
    /// How those fail that do, by seed.
    wrong: BTreeMap<u64, String>,
    /// Queries that did not run, by what was said of them.
    refused: BTreeMap<String, u64>,
    /// Queries that ran, by feature.
    features: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn count(&mut self, trial: &Trial, verdict: &Verdict) {
        match verdict {
            Verdict::Refused(why) => *self.refused.entry(reason(why)).or_default() += 1,
            _ => {
                match verdict {
                    Verdict::Right => self.right += 1,
                    Verdict::RightAtEnd(why) => *self.at_end.entry(why).or_default() += 1,
                    _ => {}
                }
                for feature in trial.features() {
                    *self.features.entry(feature).or_default() += 1;
                }
            }
        }
    }

    fn refused(&self) -> u64 {
        self.refused.values().sum()
    }

    fn at_end(&self) -> u64 {
        self.at_end.values().sum()
    }

    fn print(&self) {
        println!("{} queries were right after every epoch", self.right);
        for (why, count) in &self.at_end {
            println!("{count:>7} were at the end: {why}");
        }
        for (feature, count) in &self.features {
            println!("{count:>7} {feature}");
        }
        println!("{} queries were refused", self.refused());
        for (why, count) in &self.refused {
            println!("{count:>7} {why}");
        }
    }
}

/// Returns why a query was refused, as it is said of others, too: without numbers and names.
fn reason(why: &str) -> String {
    let line = why.lines().collect::<Vec<_>>().join(" ");
    let text: String = line.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
    text.chars().take(120).collect()
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
    // What depends on how rows are cut into epochs does not show each time.
    let what = match trial.run(runtime) {
        Verdict::Wrong(what) => what,
        _ => "it fails sometimes".to_owned(),
    };
    let steps = steps.collect::<String>();
    format!(
        "{workers} workers, {ahead} steps ahead, {what}\n{steps}{}\n\n{}",
        trial.script(),
        trial.test(runtime)
    )
}

/// Tries the queries of seeds from `next` to `end`, until too many are wrong.
fn try_all(next: &AtomicU64, end: u64, tally: &Mutex<Tally>, runtime: &Handle) {
    let wrong_max = number("THALWEG_RANDOM_WRONG", 8) as usize;
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end || tally.lock().unwrap().wrong.len() >= wrong_max {
            return;
        }
        if seed.is_multiple_of(1000) {
            println!("seed {seed} is next");
        }
        let trial = Trial::random(seed);
        let is_wanted = |feature: String| trial.features().contains(feature.as_str());
        if !std::env::var("THALWEG_RANDOM_WITH").map_or(true, is_wanted) {
            continue;
        }
        let verdict = trial.run(runtime);
        tally.lock().unwrap().count(&trial, &verdict);
        if let Verdict::Wrong(what) = &verdict {
            println!("seed {seed}: {what}\n{}", trial.script());
            let small = small(&trial, what, runtime);
            println!("seed {seed}: {small}");
            tally.lock().unwrap().wrong.insert(seed, small);
        }
    }
}

/// Would fail if a random query's result were ever not the batch answer over the rows so far, or if so
/// many queries were refused that the rest says little.
#[test]
fn results_are_the_batch_answer_after_every_epoch() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (first, count) = (number("THALWEG_RANDOM_SEED", 1), number("THALWEG_RANDOM_QUERIES", 300));
    let (next, tally) = (AtomicU64::new(first), Mutex::default());
    thread::scope(|scope| {
        for _ in 0..number("THALWEG_RANDOM_THREADS", 1) {
            let work = || try_all(&next, first + count, &tally, runtime.handle());
            thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work).unwrap();
        }
    });
    let tally = tally.into_inner().unwrap();
    if number("THALWEG_RANDOM_TABLE", 0) > 0 {
        tally.print();
    }
    let wrong = tally.wrong.iter().map(|(seed, what)| format!("seed {seed}: {what}"));
    let wrong = wrong.collect::<Vec<_>>();
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    let refused = tally.refused();
    assert!(
        count < QUERIES_MIN || refused * 100 <= REFUSED_MAX * count,
        "{refused} of {count} queries were refused: {:?}",
        tally.refused
    );
    let at_end = tally.at_end();
    assert!(
        count < QUERIES_MIN || at_end * 100 <= AT_END_MAX * count,
        "{at_end} of {count} queries were compared at the end only: {:?}",
        tally.at_end
    );
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
