//! Tests of jobs in which time is what the test says.
//!
//! A test makes a job of tables that it pushes rows to and of results that it collects, runs it, and
//! moves watermark and clock step by step. Each step is an epoch of its own, as each line of a
//! script is; timers are due when the clock reaches them, in order.
//! What is collected depends on the steps alone: not on the machine, nor on the number of workers.
//!
//! ```
//! use std::time::Duration;
//! use thalweg::stream::{Pane, Record, Timestamp, Timing, Trigger, Window, sum};
//! use thalweg::testkit::TestJob;
//!
//! #[derive(Clone, Record)]
//! struct Score { points: i64, at: Timestamp }
//!
//! #[derive(Clone, Debug, PartialEq, Record)]
//! struct Total { start: Timestamp, end: Timestamp, team: String, points: Option<i64>, pane: Pane }
//!
//! fn main() -> thalweg::Result<()> {
//!     let test = TestJob::new();
//!     let totals = test
//!         .source::<Score>("scores")?
//!         .key_by(|_| "reds".to_owned())
//!         .window(Window::tumble(Duration::from_secs(120)), |score| score.at)
//!         .trigger(Trigger::after_watermark().early(Trigger::every(Duration::from_secs(60))))
//!         .aggregate::<Total>("totals", vec![sum(|score: &Score| score.points)])?;
//!     let totals = test.collect(totals)?;
//!
//!     let mut run = test.run(2)?;
//!     run.clock("12:00:00")?;
//!     run.push("scores", Score { points: 5, at: Timestamp::parse("12:00:26")? })?;
//!     run.clock("12:01:00")?;
//!     let early = run.take(&totals)?;
//!     assert_eq!((early[0].points, early[0].pane.timing), (Some(5), Timing::Early));
//!     run.watermark("12:02:00")?;
//!     assert_eq!(run.take(&totals)?[0].pane.timing, Timing::OnTime);
//!     run.finish()
//! }
//! ```

mod board;

mod table;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use thalweg_api::{Job, Record, Stream, Timestamp};
use thalweg_cluster::message::Stop;
use thalweg_cluster::{Control, Outcome, RunOptions};
use thalweg_plan::Plan;
use thalweg_plan::connector::{Connector, Registry};
use thalweg_plan::source::Step;
use thalweg_storage::lock::StateDirLock;
use thalweg_types::{Error, EventTime, Result};

use self::board::{Board, Line};
use self::table::{TABLE, Tables};

/// A job under test, in the making.
#[derive(Debug)]
pub struct TestJob {
    job: Job,
    board: Arc<Board>,
    /// The columns of the tables that rows are pushed to.
    sources: RefCell<BTreeMap<String, SchemaRef>>,
    /// How many results are collected.
    results: RefCell<usize>,
    /// Where state is kept, if it is.
    state: Option<String>,
}

/// A result that is collected.
#[derive(Debug)]
pub struct Collected<U> {
    name: String,
    rows: PhantomData<fn() -> U>,
}

impl Default for TestJob {
    fn default() -> Self {
        TestJob::new()
    }
}

impl TestJob {
    /// Returns an empty job.
    pub fn new() -> TestJob {
        TestJob::on(Arc::default(), None)
    }

    fn on(board: Arc<Board>, state: Option<String>) -> TestJob {
        let tables: Arc<dyn Connector> = Arc::new(Tables(board.clone()));
        let connectors = thalweg_connectors::all().into_iter().chain([tables]);
        let job = Job::new(Registry::new(connectors.collect()));
        let job = job.with_language(Arc::new(crate::dialect::Flink));
        TestJob { job, board, sources: RefCell::default(), results: RefCell::default(), state }
    }

    /// Returns the job, for what is not about tests.
    pub fn job(&self) -> &Job {
        &self.job
    }

    /// Returns the rows that the test is going to push to `name`. Their watermark is what the test says.
    ///
    /// # Errors
    /// `Invalid` if there is such a table already.
    pub fn source<T: Record>(&self, name: &str) -> Result<Stream<'_, T>> {
        if self.sources.borrow_mut().insert(name.to_owned(), T::schema()).is_some() {
            return Err(Error::invalid(format!("there are two tables `{name}`")));
        }
        self.job.source::<T>(name, TABLE, &[]).source_watermark().stream()
    }

    /// Keeps the rows of a stream for [`TestRun::take`].
    ///
    /// # Errors
    /// None that a stream can cause.
    pub fn collect<U: Record>(&self, stream: Stream<'_, U>) -> Result<Collected<U>> {
        let mut results = self.results.borrow_mut();
        *results += 1;
        let name = format!("result {results}");
        stream.sink(&name, TABLE, &[])?;
        Ok(Collected { name, rows: PhantomData })
    }

    /// Keeps the state of the job in a directory, so that it can [`crash`](TestRun::crash).
    pub fn keep_state(mut self, directory: &Path) -> TestJob {
        self.state = Some(directory.display().to_string());
        self
    }

    /// Begins to run the job with some workers.
    ///
    /// # Errors
    /// `Failed` if threads cannot be started.
    pub fn run(self, workers: usize) -> Result<TestRun> {
        let TestJob { job, board, sources, results, state } = self;
        let plan = job.plan();
        plan.check_script()?;
        let (attempt, sources) = (attempt(&plan, &board, &state, workers)?, sources.into_inner());
        let (attempt, results) = (Some(attempt), results.into_inner());
        Ok(TestRun { plan, board, sources, results, state, workers, checkpoints: 0, attempt })
    }
}

/// A job that runs.
#[derive(Debug)]
struct Attempt {
    control: Control,
    thread: JoinHandle<Result<Outcome>>,
}

/// Begins to run a job.
fn attempt(
    plan: &Plan,
    board: &Arc<Board>,
    state: &Option<String>,
    workers: usize,
) -> Result<Attempt> {
    let options = RunOptions {
        workers,
        state: state.clone(),
        // A checkpoint is made when rows are taken, and never otherwise.
        checkpoint_interval: Duration::from_secs(1 << 32),
        ..RunOptions::new("test")
    };
    let (control, inbox) = Control::new();
    let (plan, board) = (plan.clone(), board.clone());
    board.begin();
    let work = move || {
        let outcome = crate::runtime().and_then(|runtime| {
            thalweg_cluster::run(plan, &options, inbox, runtime.handle().clone())
        });
        board.end();
        outcome
    };
    let thread = std::thread::Builder::new().name("thalweg-test".to_owned()).spawn(work);
    let thread =
        thread.map_err(|error| Error::failed(format!("cannot start a thread: {error}")))?;
    Ok(Attempt { control, thread })
}

/// A job that runs, step by step. If it is dropped before [`finish`](TestRun::finish), it ends at once.
#[derive(Debug)]
pub struct TestRun {
    plan: Plan,
    board: Arc<Board>,
    sources: BTreeMap<String, SchemaRef>,
    /// How many results are collected.
    results: usize,
    state: Option<String>,
    workers: usize,
    /// How many checkpoints were asked for in this attempt.
    checkpoints: u64,
    /// What runs, until it ended.
    attempt: Option<Attempt>,
}

impl TestRun {
    /// Lets a row come to a table.
    ///
    /// # Errors
    /// `Invalid` if there is no such table, or its rows are others.
    pub fn push<T: Record>(&mut self, table: &str, row: T) -> Result<()> {
        self.push_all(table, &[row])
    }

    /// Lets rows come to a table at once, in one epoch.
    ///
    /// # Errors
    /// As [`TestRun::push`].
    pub fn push_all<T: Record>(&mut self, table: &str, rows: &[T]) -> Result<()> {
        let schema = self.source(table)?;
        if *schema != T::schema() {
            let error = Error::invalid(format!("the rows of table `{table}` are others"));
            return Err(error.remedy("push rows of the struct that the source was made with"));
        }
        let rows = Some(T::write(rows)?);
        self.board.add(Line { table: Some(table.to_owned()), rows, step: Step::default() })
    }

    /// Moves the watermark of all tables to a time, such as `"2015-01-01 12:02:00"` or `"12:02:00"`.
    ///
    /// # Errors
    /// `Invalid` if this is no time, or the watermark goes back.
    pub fn watermark(&mut self, time: &str) -> Result<()> {
        let watermark = Some(instant(time)?);
        self.board.add(Line {
            table: None,
            rows: None,
            step: Step { watermark, ..Step::default() },
        })
    }

    /// Moves the watermark of one table to a time.
    ///
    /// # Errors
    /// As [`TestRun::watermark`]; `Invalid` if there is no such table.
    pub fn watermark_of(&mut self, table: &str, time: &str) -> Result<()> {
        self.source(table)?;
        let step = Step { watermark: Some(instant(time)?), ..Step::default() };
        self.board.add(Line { table: Some(table.to_owned()), rows: None, step })
    }

    /// Moves the clock to a time; first come the timers that are due by then, each at its own.
    ///
    /// # Errors
    /// `Invalid` if this is no time, or the clock goes back.
    pub fn clock(&mut self, time: &str) -> Result<()> {
        let clock = Some(instant(time)?);
        self.board.add(Line { table: None, rows: None, step: Step { clock, ..Step::default() } })
    }

    /// Returns the rows of a result that came since they were taken last. They stand in the order of
    /// the steps they came in, and within one in the order of their columns.
    ///
    /// # Errors
    /// Whatever made the job fail; `Invalid` if rows were taken back: see [`TestRun::take_changes`].
    pub fn take<U: Record>(&mut self, result: &Collected<U>) -> Result<Vec<U>> {
        let changes = self.take_changes(result)?;
        if changes.iter().any(|(weight, _)| *weight < 0) {
            let error = Error::invalid(format!("{} takes rows back", result.name));
            return Err(
                error.remedy("use take_changes, which tells how often each row came or went")
            );
        }
        Ok(changes.into_iter().map(|(_, row)| row).collect())
    }

    /// Returns what a result changed since this was asked last: how often each row came, or went if the
    /// number is negative. Within a step rows that went stand before those that came.
    ///
    /// # Errors
    /// Whatever made the job fail.
    pub fn take_changes<U: Record>(&mut self, result: &Collected<U>) -> Result<Vec<(i64, U)>> {
        self.settle()?;
        self.board.take(&result.name)
    }

    /// Moves the watermark behind all times, and waits for the end of the job. What comes then can still
    /// be taken.
    ///
    /// # Errors
    /// Whatever made the job fail.
    pub fn finish(&mut self) -> Result<()> {
        self.board.finish();
        self.join()
    }

    /// Ends the job at once, as if it had been killed, and begins it again with some workers: it goes on
    /// from its last checkpoint, which was made when rows were taken last. Steps since then are
    /// repeated.
    ///
    /// # Errors
    /// `Invalid` if the state is not [kept](TestJob::keep_state); whatever made the job fail.
    pub fn crash(&mut self, workers: usize) -> Result<()> {
        self.stop()?;
        (self.workers, self.checkpoints) = (workers, 0);
        self.attempt = Some(attempt(&self.plan, &self.board, &self.state, workers)?);
        Ok(())
    }

    /// Ends the job at once, and returns an empty one that is going to find what this one kept when rows were
    /// taken last: for another version of the program. Steps since then would be repeated, so there must be
    /// none if rows have other fields now.
    ///
    /// ```
    /// # use thalweg::testkit::TestJob;
    /// # use thalweg::{Record, Reduced, Result};
    /// #[derive(Clone, Record)]
    /// struct First { player: i64, points: i64 }
    /// #[derive(Clone, Debug, PartialEq, Record)]
    /// struct Score { player: i64, points: i64, rows: i64 }
    ///
    /// # fn main() -> Result<()> {
    /// # let folder = std::env::temp_dir().join(format!("thalweg-upgrade-{}", std::process::id()));
    /// # let _ = std::fs::remove_dir_all(&folder);
    /// # let folder = folder.as_path();
    /// let test = TestJob::new().keep_state(folder);
    /// let sums = test.source::<First>("scores")?.key_by(|score| score.player);
    /// let sums = sums.reduce("sums", |a, b| First { points: a.points + b.points, ..a })?;
    /// let sums = test.collect(sums)?;
    /// let mut run = test.run(1)?;
    /// run.push("scores", First { player: 1, points: 5 })?;
    /// run.take(&sums)?;
    ///
    /// let test = run.upgrade()?;
    /// let sums = test.source::<Score>("scores")?.key_by(|score| score.player);
    /// let kept = Reduced::new("sums").version(2).migrate(1, |old: First| Score {
    ///     player: old.player,
    ///     points: old.points,
    ///     rows: 1,
    /// });
    /// let sums = sums.reduce(kept, |a, b| Score {
    ///     points: a.points + b.points,
    ///     rows: a.rows + b.rows,
    ///     ..a
    /// })?;
    /// let sums = test.collect(sums)?;
    /// let mut run = test.run(1)?;
    /// run.push("scores", Score { player: 1, points: 7, rows: 1 })?;
    /// assert_eq!(run.take_changes(&sums)?[1], (1, Score { player: 1, points: 12, rows: 2 }));
    /// # drop(run);
    /// # let _ = std::fs::remove_dir_all(folder);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`TestRun::crash`].
    pub fn upgrade(mut self) -> Result<TestJob> {
        self.stop()?;
        Ok(TestJob::on(self.board.clone(), self.state.clone()))
    }

    /// Ends the job at once, as if it had been killed; it goes on later.
    fn stop(&mut self) -> Result<()> {
        let Some(state) = &self.state else {
            return Err(Error::invalid("a job without state cannot go on behind a crash")
                .remedy("use keep_state before it runs"));
        };
        let state = state.clone();
        if let Some(attempt) = &self.attempt {
            attempt.control.stop(Stop::AtOnce);
        }
        self.join()?;
        wait_for_lock(Path::new(&state))
    }

    fn source(&self, table: &str) -> Result<&SchemaRef> {
        self.sources.get(table).ok_or_else(|| {
            let known: Vec<&str> = self.sources.keys().map(String::as_str).collect();
            let error = Error::invalid(format!("there is no table `{table}`"));
            error.remedy(format!("tables: {}", known.join(", ")))
        })
    }

    /// Waits until everything is done that the steps so far cause.
    fn settle(&mut self) -> Result<()> {
        if self.attempt.is_none() {
            return Ok(());
        }
        self.checkpoints += 1;
        let step = Step { is_checkpoint: true, ..Step::default() };
        self.board.add(Line { table: None, rows: None, step })?;
        match self.board.wait(self.results * self.workers, self.checkpoints)? {
            true => Ok(()),
            // It ended without being asked to.
            false => self.join(),
        }
    }

    /// Waits for the end of the job.
    fn join(&mut self) -> Result<()> {
        let Some(attempt) = self.attempt.take() else { return Ok(()) };
        match attempt.thread.join() {
            Ok(outcome) => outcome.map(|_| ()),
            Err(_) => Err(Error::internal("the thread of a job panicked")),
        }
    }
}

impl Drop for TestRun {
    fn drop(&mut self) {
        if let Some(attempt) = &self.attempt {
            attempt.control.stop(Stop::AtOnce);
        }
        // Who drops a run does not ask what became of it.
        let _ = self.join();
    }
}

fn instant(time: &str) -> Result<EventTime> {
    let Timestamp(millis) = Timestamp::parse(time)?;
    Ok(EventTime(millis.saturating_mul(1_000_000)))
}

/// How often the lock of a state directory is asked for, where it is free as soon as a program has started.
const LOCK_TRIES: usize = 100_000;

/// Waits until the lock of a state directory is free: a process that another test starts has it, too,
/// from when it is copied until it runs its own program.
fn wait_for_lock(state: &Path) -> Result<()> {
    for _ in 0..LOCK_TRIES {
        if StateDirLock::acquire(state, "a test").is_ok() {
            return Ok(());
        }
        std::thread::yield_now();
    }
    StateDirLock::acquire(state, "a test").map(drop)
}
