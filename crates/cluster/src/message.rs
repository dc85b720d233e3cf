//! What the threads of an attempt say to the coordinator.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thalweg_dataflow::job::SplitProgress;
use thalweg_plan::sink::Prepared;
use thalweg_storage::checkpoint::manifest::StateFile;
use thalweg_types::epoch::Ending;
use thalweg_types::{Epoch, EpochInfo, Error, NodeId, WorkerId};

use crate::memory::Shortage;

/// Hears the messages of an attempt's threads.
pub type Tell = Arc<dyn Fn(Message) + Send + Sync>;

/// A message to the coordinator.
#[derive(Debug, Serialize, Deserialize)]
pub enum Message {
    /// A reader has nothing to read.
    WantSplit(NodeId, WorkerId),
    /// The pacer opened a checkpoint epoch.
    Opened(EpochInfo),
    /// Where a source instance was at a checkpoint.
    Cut {
        /// The source.
        node: NodeId,
        /// The checkpoint.
        epoch: Epoch,
        /// Open splits, and those finished since the last cut.
        splits: Vec<SplitProgress>,
        /// The worker.
        worker: WorkerId,
        /// Rows and bad records since the attempt began.
        rows: u64,
        /// Bad records among them.
        bad: u64,
    },
    /// A snapshot is durable.
    Saved {
        /// The operator.
        node: NodeId,
        /// The worker.
        worker: WorkerId,
        /// The checkpoint.
        epoch: Epoch,
        /// Is it the whole state?
        is_full: bool,
        /// The file, unless nothing changed.
        file: Option<StateFile>,
        /// Late rows since the attempt began.
        late: u64,
        /// Bad rows since the attempt began.
        bad: u64,
    },
    /// A writer made its output durable.
    Prepared(NodeId, Epoch, Prepared),
    /// A worker is through its last epoch.
    Ended(WorkerId),
    /// Something failed.
    Failed(Error),
    /// A connection between processes broke; why, another message will tell.
    Severed,
    /// A process has no memory left; may a last checkpoint be tried?
    MemoryFull(Shortage, bool),
    /// The user wants the job to end.
    Stop(Stop),
}

/// How the user wants the job to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// With a last checkpoint: pause or drain.
    Gently(Ending),
    /// At once, without one.
    AtOnce,
}
