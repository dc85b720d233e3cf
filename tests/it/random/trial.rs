//! One query over one input: run by the engine, and answered for every prefix by DataFusion.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::util::display::array_value_to_string;
use datafusion::execution::SessionState;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::optimizer::OptimizerRule;
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion::optimizer::scalar_subquery_to_join::ScalarSubqueryToJoin;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::prelude::{SessionConfig, SessionContext};
use thalweg_cluster::{Control, RunOptions};
use thalweg_plan::Plan;
use thalweg_plan::connector::Registry;
use thalweg_sql::Planner;
use tokio::runtime::Handle;

use super::expression::Dialect;
use super::feed::{Epochs, Feed, FeedConnector, FeedSink, RESULT};
use super::generate::Generator;
use super::query::Query;
use super::schema::{Comes, Input};
use super::timed::watermark;
use super::waits::{self, Wait};
use crate::oracle::{Rows, cell, differences};
use crate::support::Dice;

/// A query, what it is about, and how it is run.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    pub(super) input: Input,
    pub(super) query: Query,
    pub(super) workers: usize,
    /// Steps by which sources may be ahead.
    pub(super) ahead: usize,
}

/// How often a query over VALUES must be wrong.
const VALUES_TRIES: usize = 20;

/// One query in so many is made of what waits for watermarks.
const TIMELY_EVERY: u64 = 5;

/// What the planner says of queries that may be refused.
const REFUSED: [&str; 3] =
    ["not supported", "names one end of the window", "counted by ROW_NUMBER() only"];

/// What the oracle answers over.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Prefix {
    /// How many steps of each table have come.
    seen: Vec<usize>,
    /// By how many of them its watermark is known.
    marked: Vec<usize>,
    /// Have all tables ended, so that their watermarks have, too?
    is_whole: bool,
}

/// By how many epochs that something came in a watermark may be behind: an epoch has the watermark that
/// was known when it was opened, and its own rows are known then to nobody.
const BEHIND_MAX: usize = 2;

/// What a trial showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Right,
    /// At the end, and nobody knows what is right before; for this reason.
    RightAtEnd(&'static str),
    /// The planner, of either side, does not take the query.
    Refused(String),
    Wrong(String),
}

impl Trial {
    pub(super) fn random(seed: u64) -> Trial {
        let mut dice = Dice(seed);
        // Seeds that follow each other begin alike.
        for _ in 0..3 {
            dice.below(2);
        }
        let input = Input::random(&mut dice);
        let depth = dice.below(4) as usize;
        let mut generator = Generator::new(&input, &mut dice);
        let query = match seed.is_multiple_of(TIMELY_EVERY) {
            true => generator.timely(depth),
            false => generator.query(depth),
        };
        let (workers, ahead) = (1 + dice.below(3) as usize, dice.below(2) as usize);
        Trial { input, query, workers, ahead }
    }

    pub(super) fn features(&self) -> BTreeSet<&'static str> {
        let mut found = BTreeSet::new();
        self.query.features(&mut found);
        found.extend(self.input.tables.iter().map(|table| match table.comes {
            Comes::Append => "append-only input",
            Comes::Changelog => "changelogs",
            Comes::Upsert => "upserts",
        }));
        if let Ok((_, waits)) = waits::asked(&self.query, &self.input, &is_false) {
            found.extend(waits.iter().map(Wait::name));
        }
        found.insert(if self.workers > 1 { "several workers" } else { "one worker" });
        found
    }

    /// Returns the job: the query, and a probe of each table.
    pub(super) fn script(&self) -> String {
        let mut script = String::new();
        for table in &self.input.tables {
            let (name, columns) = (&table.name, table.declared());
            let (first, kind) = match table.comes {
                Comes::Upsert => &table.columns[table.columns.len() - 1],
                _ => &table.columns[0],
            };
            let probe = format!("{first} {}", kind.sql());
            script += &format!(
                "CREATE TABLE {name} ({columns}) WITH ('connector' = 'feed');\n\
                 CREATE TABLE seen_{name} ({probe}) WITH ('connector' = 'feed');\n\
                 INSERT INTO seen_{name} SELECT {first} FROM {name};\n"
            );
        }
        script + &self.query.sql(Dialect::Stream)
    }

    /// Returns a sqllogictest: the rows so far at the end, the query, and the batch answer. What shows
    /// only between epochs, or for more workers, does not show there.
    pub(super) fn test(&self, runtime: &Handle) -> String {
        let mut text = String::new();
        for (at, table) in self.input.tables.iter().enumerate() {
            let query = table.query(&self.input.content(at, usize::MAX));
            text += &format!("statement ok\nCREATE VIEW {} AS {query}\n\n", table.name);
        }
        text += &format!("query T rowsort\n{}\n----\n", self.query.sql(Dialect::Stream));
        let all = vec![usize::MAX; self.input.tables.len()];
        let all = Prefix { seen: all.clone(), marked: all, is_whole: true };
        let asked = self.query.sql(Dialect::Batch);
        match runtime.block_on(self.batch(&asked, &all, str::to_owned)) {
            Err(error) => text += &error,
            Ok(rows) => rows.iter().for_each(|(row, count)| {
                (0..*count).for_each(|_| text += &format!("{}\n", row.join(" ")));
            }),
        }
        text
    }

    /// Runs the query and compares.
    ///
    /// VALUES are a source that no probe reads, so an epoch may end before they are read. It seldom
    /// does, and not each time.
    pub(super) fn run(&self, runtime: &Handle) -> Verdict {
        let tries = if self.features().contains("VALUES") { VALUES_TRIES } else { 1 };
        let mut verdict = self.run_once(runtime);
        for _ in 1..tries {
            if !matches!(verdict, Verdict::Wrong(_)) {
                break;
            }
            verdict = self.run_once(runtime);
        }
        verdict
    }

    fn run_once(&self, runtime: &Handle) -> Verdict {
        let feed = Arc::new(Feed::new(self.input.clone(), self.ahead));
        let registry = Registry::new(vec![Arc::new(FeedConnector(feed.clone()))]);
        let shown = feed.clone();
        let result =
            move || Arc::new(FeedSink { feed: shown.clone(), name: RESULT.to_owned() }) as _;
        let planner = Planner::new(registry, Arc::new(result));
        let planned = catch_unwind(AssertUnwindSafe(|| planner.plan(&self.script())));
        let script = match planned {
            Err(_) => return Verdict::Wrong("the planner panics".to_owned()),
            Ok(Err(error)) => return self.refused(&error.to_string(), runtime),
            Ok(Ok(script)) => script,
        };
        let options = RunOptions { workers: self.workers, ..RunOptions::new("random") };
        let (_control, inbox) = Control::new();
        let plan = script.plan.expect("a SELECT makes a job");
        let asked = self.asked(&plan);
        if let Err(error) = thalweg_cluster::run(plan, &options, inbox, runtime.clone()) {
            return Verdict::Wrong(format!("the job fails: {error}"));
        }
        let epochs = feed.epochs.lock().unwrap();
        self.compare(&epochs, asked, runtime)
    }

    /// Returns what the oracle is asked after each epoch; or why only the end is known.
    fn asked(&self, plan: &Plan) -> Result<String, &'static str> {
        let (query, waits) = waits::asked(&self.query, &self.input, &is_false)?;
        match waits::planned(plan).is_subset(&waits) {
            true => Ok(query.sql(Dialect::Batch)),
            false => Err("the planner waits where the text does not say it"),
        }
    }

    /// Judges a refusal: what is said not to be supported may be refused, and what DataFusion refuses.
    fn refused(&self, why: &str, runtime: &Handle) -> Verdict {
        if REFUSED.iter().any(|part| why.contains(part)) {
            return Verdict::Refused(why.to_owned());
        }
        let none = vec![0; self.input.tables.len()];
        let none = Prefix { seen: none.clone(), marked: none, is_whole: false };
        match runtime.block_on(self.batch(&self.query.sql(Dialect::Batch), &none, cell)) {
            Err(_) => Verdict::Refused(format!("neither takes it: {why}")),
            Ok(_) => Verdict::Wrong(format!("the planner refuses it: {why}")),
        }
    }

    fn compare(
        &self,
        epochs: &Epochs,
        asked: Result<String, &'static str>,
        runtime: &Handle,
    ) -> Verdict {
        let text = asked.clone().unwrap_or_else(|_| self.query.sql(Dialect::Batch));
        let mut found = Rows::new();
        let mut known: Option<(Prefix, Rows)> = None;
        let mut history = vec![vec![0; self.input.tables.len()]; BEHIND_MAX];
        let all = |table| self.input.steps.iter().filter(|step| step.table == table).count();
        let all: Vec<_> = (0..self.input.tables.len()).map(all).collect();
        let last = epochs.0.keys().next_back();
        for (epoch, collected) in &epochs.0 {
            for change in collected.changes.get(RESULT).into_iter().flatten() {
                fold(&change.rows, (|row| change.weight(row), cell), &mut found);
            }
            let seen = epochs.seen(&self.input, *epoch);
            // Tables end once all rows were seen, one after the other; until all have, nobody knows which.
            let is_ending = history.last() == Some(&all);
            let least = history[history.len() - BEHIND_MAX].clone();
            history.push(seen.clone());
            let is_whole = Some(epoch) == last;
            if (asked.is_err() || is_ending) && !is_whole {
                continue;
            }
            let mut wrong = None;
            for marked in self.marks(&text, &least, &seen) {
                let prefix = Prefix { seen: seen.clone(), marked, is_whole };
                if known.as_ref().is_none_or(|(known, _)| *known != prefix) {
                    match runtime.block_on(self.batch(&text, &prefix, cell)) {
                        Ok(rows) => known = Some((prefix, rows)),
                        Err(error) => return Verdict::Refused(format!("not DataFusion: {error}")),
                    }
                }
                let expected = known.as_ref().map(|(_, rows)| rows);
                wrong =
                    expected.filter(|rows| **rows != found).map(|rows| differences(&found, rows));
                if wrong.is_none() {
                    break;
                }
            }
            if let Some(differ) = wrong {
                return Verdict::Wrong(format!("after steps {seen:?}: {differ}"));
            }
        }
        let seen = history.last();
        match seen == Some(&all) {
            true => asked.map_or_else(Verdict::RightAtEnd, |_| Verdict::Right),
            false => Verdict::Wrong(format!("the job ended after steps {seen:?}")),
        }
    }

    /// Returns by how many steps of each table its watermark can be known, where the query asks for it.
    fn marks(&self, text: &str, least: &[usize], seen: &[usize]) -> Vec<Vec<usize>> {
        let mut found = vec![Vec::new()];
        for (at, table) in self.input.tables.iter().enumerate() {
            let from = if text.contains(&watermark(&table.name)) { least[at] } else { seen[at] };
            let longer = |marks: &Vec<usize>| {
                let marks = marks.clone();
                (from..=seen[at]).rev().map(move |mark| [marks.as_slice(), &[mark]].concat())
            };
            found = found.iter().flat_map(longer).collect();
        }
        found
    }

    /// Returns the answer over the first steps of each table.
    async fn batch(
        &self,
        asked: &str,
        prefix: &Prefix,
        shown: fn(&str) -> String,
    ) -> Result<Rows, String> {
        let context = SessionContext::new_with_state(plain());
        let mut text = asked.to_owned();
        for (at, table) in self.input.tables.iter().enumerate() {
            let rows = table.batch(&self.input.content(at, prefix.seen[at]));
            context.register_batch(&table.name, rows).unwrap();
            let time = match prefix.is_whole {
                true => i64::MAX,
                false => self.input.watermark(at, prefix.marked[at]).unwrap_or(-1),
            };
            text = text.replace(&watermark(&table.name), &time.to_string());
        }
        let frame = context.sql(&text).await.map_err(|error| format!("{error}"))?;
        let batches = frame.collect().await.map_err(|error| format!("{error}"))?;
        let mut rows = Rows::new();
        batches.iter().for_each(|batch| fold(batch, (|_| 1, shown), &mut rows));
        Ok(rows)
    }
}

/// Is a condition without columns false? NULL is not.
fn is_false(condition: &str) -> bool {
    let asked = async {
        let context = SessionContext::new_with_state(plain());
        let frame = context.sql(&format!("SELECT ({condition}) IS FALSE AS is_false")).await?;
        frame.collect().await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // A condition that was made smaller may be none; the planner refuses that.
    let Ok(found) = runtime.block_on(asked) else { return false };
    found.iter().any(|batch| array_value_to_string(batch.column(0), 0).unwrap() == "true")
}

/// Returns a session that makes no query better than it is written: what its other rules do to joins is
/// not always right.
fn plain() -> SessionState {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ScalarSubqueryToJoin::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
    ];
    SessionStateBuilder::new()
        .with_config(SessionConfig::new().with_target_partitions(1))
        .with_default_features()
        .with_optimizer_rules(rules)
        .with_physical_optimizer_rules(vec![Arc::new(EnsureRequirements::new())])
        .build()
}

/// Adds weighted rows to others; rows that are not there any more are forgotten.
fn fold(
    batch: &RecordBatch,
    (weight, shown): (impl Fn(usize) -> i64, fn(&str) -> String),
    to: &mut Rows,
) {
    for row in 0..batch.num_rows() {
        let cells = batch.columns().iter().map(|column| match column.is_null(row) {
            true => "NULL".to_owned(),
            false => shown(&array_value_to_string(column, row).unwrap()),
        });
        let cells: Vec<String> = cells.collect();
        let count = to.entry(cells.clone()).or_default();
        *count += weight(row);
        if *count == 0 {
            to.remove(&cells);
        }
    }
}
