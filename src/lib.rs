//! Thalweg as a library: jobs over streams of Rust structs, run in this process.
//!
//! ```no_run
//! thalweg::record! {
//!     struct Line { line: String }
//! }
//! thalweg::record! {
//!     struct Count { word: String, occurrences: i64 }
//! }
//!
//! fn main() -> thalweg::Result<()> {
//!     let job = thalweg::job();
//!     job.source::<Line>("lines", "filesystem", &[("path", "lines.txt"), ("format", "raw")])
//!         .stream()?
//!         .flat_map(|line| line.line.split(' ').map(|word| Line { line: word.into() }).collect::<Vec<_>>())
//!         .key_by(|word| word.line.clone())
//!         .aggregate::<Count>("counts", vec![thalweg::count()])?
//!         .sink("counts", "print", &[])?;
//!     thalweg::run(job, &thalweg::RunOptions::new("word-count"))?;
//!     Ok(())
//! }
//! ```
#![forbid(unsafe_code)]

pub use thalweg_api::{
    Aggregate, Job, Key, Keyed, Record, SourceBuilder, Stream, Timestamp, Value, Window, Windowed,
    arrow, average, count, max, min, record, sum, too_few_columns,
};
pub use thalweg_cluster::{Outcome, RunOptions};
pub use thalweg_types::{Error, Result};

use thalweg_cluster::Control;
use thalweg_plan::connector::Registry;

/// Returns an empty job that knows all connectors.
pub fn job() -> Job {
    Job::new(Registry::new(thalweg_connectors::all()))
}

/// Runs a job until its input ends.
///
/// # Errors
/// `State` if the state directory is held or holds the state of another job; whatever makes the
/// job fail.
pub fn run(job: Job, options: &RunOptions) -> Result<Outcome> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime =
        runtime.map_err(|error| Error::failed(format!("cannot start the runtime: {error}")))?;
    let (_control, inbox) = Control::new();
    thalweg_cluster::run(job.plan(), options, inbox, runtime.handle().clone())
}
