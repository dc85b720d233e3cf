//! What the processes of a job say to each other.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use thalweg_dataflow::job::Start;
use thalweg_dataflow::stats::Counts;
use thalweg_storage::checkpoint::Manifest;
use thalweg_types::clock::FixedClock;
use thalweg_types::{AttemptId, JobId, KeyGroups, NodeId, WorkerId};

use crate::message::Message;
use crate::splits::Answer;

/// What the first process tells another.
#[derive(Serialize, Deserialize)]
pub enum Order {
    /// Plan the job and restore its state.
    Join(Box<Invitation>),
    /// Connect with the processes at these addresses, which are in order, and begin.
    Connect(Vec<SocketAddr>),
    /// What a reader is to do.
    Answer(NodeId, WorkerId, Answer),
    /// End the attempt.
    End,
}

/// All that a process must know to take part in an attempt.
#[derive(Serialize, Deserialize)]
pub struct Invitation {
    /// What the program makes the plan from.
    pub script: String,
    /// Key groups and workers of the job.
    pub groups: KeyGroups,
    /// Workers of each process.
    pub threads: usize,
    /// Name of the job.
    pub job: JobId,
    /// Which life of it.
    pub attempt: AttemptId,
    /// Where the attempt begins.
    pub start: Start,
    /// What it goes on from.
    pub manifest: Manifest,
    /// A clock that stands still, instead of the machine's.
    pub clock: Option<FixedClock>,
    /// Bytes that the process may use.
    pub memory_limit: Option<u64>,
    /// Directory or `s3://…` prefix of the checkpoints.
    pub state: String,
}

/// What another process says to the first.
#[derive(Serialize, Deserialize)]
pub enum Word {
    /// It is there.
    Hello {
        /// Shows that it was started by the first process.
        token: String,
        /// Which process it is.
        index: usize,
        /// Where it can be reached by the others.
        address: SocketAddr,
    },
    /// It has planned and restored; the number is the plan's fingerprint.
    Ready(u64),
    /// A message to the coordinator.
    Tell(Message),
    /// The counters of its workers.
    Counters(Counts),
    /// The last counters; nothing follows.
    Bye(Counts),
}
