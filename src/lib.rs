//! Thalweg as a library: jobs over streams of Rust structs, run in this process.
//!
//! ```no_run
//! use thalweg::{Record, count};
//!
//! #[derive(Clone, Record)]
//! struct Line { line: String }
//!
//! #[derive(Clone, Record)]
//! struct Count { word: String, occurrences: i64 }
//!
//! fn main() -> thalweg::Result<()> {
//!     let job = thalweg::job();
//!     job.source::<Line>("lines", "filesystem", &[("path", "lines.txt"), ("format", "raw")])
//!         .stream()?
//!         .flat_map(|line| line.line.split(' ').map(|word| Line { line: word.into() }).collect::<Vec<_>>())
//!         .key_by(|word| word.line.clone())
//!         .aggregate::<Count>("counts", vec![count()])?
//!         .sink("counts", "print", &[])?;
//!     thalweg::run(job, &thalweg::RunOptions::new("word-count"))?;
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]

#[doc(hidden)]
pub mod console;
mod dialect;

mod embedded;

pub mod testkit;

pub use embedded::main;
/// Streams of structs.
pub use thalweg_api as stream;
#[doc(hidden)]
pub use thalweg_api::derived;
pub use thalweg_api::{
    Accumulated, AfterMatch, Aggregate, BroadcastContext, BroadcastProcess, BroadcastState,
    CoProcess, Connected, Context, Date, Decimal, Instant, Job, Join, Key, Keyed, ListState,
    MapState, Matched, Pane, Pattern, Process, Record, Reduced, ReducingState, Search, Setup, Side,
    SourceBuilder, Span, State, Stored, Stream, Time, Timer, Timestamp, Timing, Trigger,
    UserWindows, Value, ValueState, Window, Windowed, WithBroadcast, average, combine, count, fold,
    fold_with_undo, max, min, reduce, sum,
};
pub use thalweg_cluster::{Outcome, RunOptions};
pub use thalweg_types::clock::FixedClock;
pub use thalweg_types::{Error, Result};

use std::sync::Arc;

use thalweg_cluster::Control;
use thalweg_plan::connector::Registry;

/// Returns an empty job that knows all connectors, and SQL.
pub fn job() -> Job {
    Job::new(Registry::new(thalweg_connectors::all())).with_language(Arc::new(dialect::Flink))
}

/// Runs a job until its input ends.
///
/// # Errors
/// `State` if the state directory is held or holds the state of another job; whatever makes the
/// job fail.
pub fn run(job: Job, options: &RunOptions) -> Result<Outcome> {
    let plan = job.plan();
    plan.check_script()?;
    let runtime = runtime()?;
    let (_control, inbox) = Control::new();
    thalweg_cluster::run(plan, options, inbox, runtime.handle().clone())
}

/// Starts what runs asynchronous connectors.
fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    built.map_err(|error| Error::failed(format!("cannot start the runtime: {error}")))
}
