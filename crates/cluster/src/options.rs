//! How a job is run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thalweg_dataflow::stats::Counts;
use thalweg_types::EventTime;
use thalweg_types::clock::FixedClock;

/// How to start another process of the job.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its first argument; the address of the first process and the number of the new one follow.
    pub command: String,
    /// Variables of its environment, beside those of this process.
    pub environment: Vec<(String, String)>,
    /// What it makes the plan from; it goes over the connection.
    pub script: String,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Time since the run began.
    pub elapsed: Duration,
    /// Rows that the sources have handed over in this run.
    pub rows: u64,
    /// Rows per second since the last time.
    pub rate: f64,
    /// The least watermark that a sink has seen, where there are watermarks.
    pub watermark: Option<EventTime>,
    /// By how much that is behind the wall clock.
    pub lag: Option<Duration>,
}

/// Hears how far a run has come, and the counters of all its workers.
pub type Watch = dyn Fn(&Progress, &Counts) + Send + Sync;

/// Is told each second.
#[derive(Clone)]
pub struct Watcher(pub Arc<Watch>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

/// Options of one run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Name of the job; part of the names of output files.
    pub job: String,
    /// Worker threads, of all processes together.
    pub workers: usize,
    /// How to start the other processes, and how many there are with this one; `workers` is a
    /// multiple of that. `None` for this process alone.
    pub others: Option<(Launch, usize)>,
    /// Directory or `s3://…` prefix of the checkpoints; `None` for a temporary directory that
    /// ends with the run.
    pub state: Option<String>,
    /// Time between checkpoints.
    pub checkpoint_interval: Duration,
    /// Forget earlier state?
    pub is_fresh: bool,
    /// Go on reading if the job had finished before?
    pub continues: bool,
    /// Where to write counters each second, as NDJSON.
    pub stats: Option<PathBuf>,
    /// Who is told each second how far the run has come.
    pub watcher: Option<Watcher>,
    /// Bytes that each process may use.
    pub memory_limit: Option<u64>,
    /// A clock that stands still, instead of the machine's.
    pub clock: Option<FixedClock>,
    /// Who runs it, for whoever finds the state directory locked.
    pub holder: String,
}

/// Time between checkpoints unless something else is said.
pub const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);

impl RunOptions {
    /// Returns the options of a job in this process, with a worker for each core and temporary
    /// state.
    pub fn new(job: &str) -> RunOptions {
        RunOptions {
            job: job.to_owned(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            others: None,
            state: None,
            checkpoint_interval: CHECKPOINT_INTERVAL,
            is_fresh: false,
            continues: false,
            stats: None,
            watcher: None,
            memory_limit: None,
            clock: None,
            holder: format!("process {} running `{job}`", std::process::id()),
        }
    }
}

/// Bytes that wait in the queue of one reader at most, plus one batch.
pub const READER_BYTES_MAX: usize = 8 << 20;
/// Bytes that wait in the queue of one writer at most, plus one epoch's last batch.
pub const WRITER_BYTES_MAX: usize = 16 << 20;
