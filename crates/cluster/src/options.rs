//! How a job is run.

use std::path::PathBuf;
use std::time::Duration;

/// Options of one run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Name of the job; part of the names of output files.
    pub job: String,
    /// Worker threads.
    pub workers: usize,
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
    /// Who runs it, for whoever finds the state directory locked.
    pub holder: String,
}

/// Bytes that wait in the queue of one reader at most, plus one batch.
pub const READER_BYTES_MAX: usize = 16 << 20;
/// Bytes that wait in the queue of one writer at most, plus one epoch's last batch.
pub const WRITER_BYTES_MAX: usize = 16 << 20;
