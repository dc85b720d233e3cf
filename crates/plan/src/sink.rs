//! The contract of sinks: writers stage, committers publish.
//!
//! Invariants: what a transactional writer was given becomes visible by `commit` and nothing
//! else; committing the same committable twice equals committing it once, from any process.

use std::fmt::Debug;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thalweg_types::{AttemptId, Change, Epoch, JobId, NodeId, Result, WorkerId};

/// What a sink promises about rows across a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Staged by epoch, published once its checkpoint is durable.
    ExactlyOnce,
    /// Shown at once; a crash may show rows again.
    AtLeastOnce,
    /// Rows leave and are forgotten (a sink that keeps nothing).
    AtMostOnce,
}

/// Which results a sink can carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepts {
    /// Only inserts.
    Append,
    /// By the key in these columns the row that it has now, and that it has none any more; at most
    /// one row for each key and epoch if the result is updated.
    Upsert(Vec<usize>),
    /// Inserts and retractions.
    Changelog,
}

/// A staged piece of output that waits for its checkpoint; only the sink that made it reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Committable(pub String);

/// What a writer must know to go on after a restore: open parts and their lengths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WriterState(pub String);

/// What a writer hands over at a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// To be committed once the checkpoint is durable.
    pub committables: Vec<Committable>,
    /// To be given to a writer of the next attempt.
    pub states: Vec<WriterState>,
}

/// Who a writer is.
#[derive(Clone, Debug)]
pub struct WriterContext {
    /// The job.
    pub job: JobId,
    /// Which life of the job.
    pub attempt: AttemptId,
    /// Which sink of the job: two may write one table.
    pub node: NodeId,
    /// Which worker.
    pub worker: WorkerId,
    /// Number of workers.
    pub workers: usize,
    /// What all attempts that share a state have in common, and no others; fit for a file's name.
    pub lineage: String,
    /// What writers of the last attempt left for this one: truncate to it, go on or roll.
    pub restored: Vec<WriterState>,
}

/// Writes the rows of one worker.
///
/// # Contract
/// Calls come in the order of epochs: any number of `write`s, then `end_epoch`, and on
/// checkpoint epochs `prepare` after it. `prepare` makes everything written so far durable
/// (files and directories synced) before it returns. Dropping a writer publishes nothing.
#[async_trait]
pub trait SinkWriter: Send {
    /// Takes rows.
    ///
    /// # Errors
    /// `Failed` if they cannot be written (a full disk).
    async fn write(&mut self, change: Change) -> Result<()>;

    /// All rows of `epoch` are written; a sink that shows rows at once shows them now.
    ///
    /// # Errors
    /// As `write`; `Closed` if nobody reads any more (a closed pipe): the job ends quietly.
    async fn end_epoch(&mut self, epoch: Epoch) -> Result<()>;

    /// Makes everything up to `epoch` durable; `last` says that the job ends or pauses here and
    /// that open parts should become committables.
    ///
    /// # Errors
    /// As `write`.
    async fn prepare(&mut self, epoch: Epoch, last: bool) -> Result<Prepared>;
}

/// Publishes what writers staged.
#[async_trait]
pub trait Committer: Send + Sync {
    /// Publishes one committable. The target present and the staged part gone is success; both
    /// gone is an error.
    ///
    /// # Errors
    /// `State` if neither is there; `Retry` if the store did not answer.
    async fn commit(&self, committable: &Committable) -> Result<()>;

    /// Removes what earlier attempts of this lineage staged, save what is `kept` for the writers of
    /// the next one, of all sinks. It is called before there are any, and when nothing waits to be committed.
    ///
    /// # Errors
    /// `Failed` if it cannot be removed.
    async fn clean(&self, _lineage: &str, _kept: &[WriterState]) -> Result<()> {
        Ok(())
    }
}

/// A table that can be written.
#[async_trait]
pub trait Sink: Send + Sync + Debug {
    /// Returns the connector's name, as `'connector' = '…'` has it.
    fn connector(&self) -> &str;

    /// Returns what it promises.
    fn delivery(&self) -> Delivery;

    /// Returns which results it can carry.
    fn accepts(&self) -> Accepts;

    /// Must all rows be written by the process that the user started? So it is with its standard
    /// output.
    fn is_local(&self) -> bool {
        false
    }

    /// Does it show rows to people? Then it is given instants as clocks in the session's time zone
    /// show them.
    fn is_for_people(&self) -> bool {
        false
    }

    /// Makes the writer of one worker.
    ///
    /// # Errors
    /// `Failed` if the target cannot be written, `State` if a restored part is damaged.
    async fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>>;

    /// Makes the committer.
    ///
    /// # Errors
    /// `Failed` if the target cannot be reached.
    async fn committer(&self) -> Result<Box<dyn Committer>>;
}
