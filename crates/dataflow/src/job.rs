//! One attempt of a job as the engine room sees it: what to run, where its edges are, and whom
//! to tell.
//!
//! Invariant: everything here is made before the first worker thread starts; only queues,
//! counters and the stop flag change afterwards.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use thalweg_plan::Plan;
use thalweg_plan::source::Offset;
use thalweg_plan::trail::Trail;
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::clock::Clock;
use thalweg_types::epoch::Ending;
use thalweg_types::{Epoch, Error, EventTime, KeyGroups, NodeId, SplitId, WorkerId};

use crate::audit::{Audit, Premises};
use crate::flow::Flow;
use crate::port::{SinkPort, SourcePort, Wake};
use crate::stats::{Counters, Durations};

/// Where an attempt begins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// The epoch of the checkpoint gone on from; 0 for a fresh start.
    pub epoch: Epoch,
    /// The wall clock of that epoch; clocks of this attempt never go below it.
    pub clock: EventTime,
    /// The watermarks of that epoch, by domain.
    pub watermarks: Vec<EventTime>,
    /// For each source, what holds its watermark back until it is opened: see [`hold_of_split`].
    pub pending: BTreeMap<NodeId, Vec<String>>,
    /// Does the state go with the attempt, so that nobody goes on from it?
    pub is_temporary: bool,
}

/// Returns the hold of a split that is given to a reader, and of one that must be read before the
/// watermark may follow later splits of its sequence.
pub fn hold_of_split(split: &SplitId) -> String {
    format!("split {split}")
}

/// Returns the hold of a sequence of splits none of which is begun.
pub fn hold_of_sequence(sequence: &str) -> String {
    format!("sequence {sequence}")
}

/// What one worker is given.
#[derive(Debug, Default)]
pub struct Seat {
    /// The queues of its readers.
    pub sources: BTreeMap<NodeId, Arc<SourcePort>>,
    /// The queues of its writers.
    pub sinks: BTreeMap<NodeId, Arc<SinkPort>>,
    /// The restored state of its key groups.
    pub state: BTreeMap<NodeId, StateReader>,
}

/// Hears what the worker threads say; called on their threads, so it must not wait.
#[derive(Clone)]
pub struct Listener(pub Arc<dyn Fn(Event) + Send + Sync>);

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

/// One attempt, shared by the worker threads of a process.
#[derive(Debug)]
pub struct Job {
    /// What to run.
    pub plan: Arc<Plan>,
    /// Number that two processes share only if they run the same plan.
    pub fingerprint: u64,
    /// Key groups and workers.
    pub groups: KeyGroups,
    /// The clock that the pacer reads.
    pub clock: Arc<dyn Clock>,
    /// Where to begin.
    pub start: Start,
    /// The first worker of this process; its others follow.
    pub first_worker: usize,
    /// What each local worker is given; taken once.
    pub seats: Vec<Mutex<Option<Seat>>>,
    /// Counters by local worker and node.
    pub counters: Vec<Vec<Arc<Counters>>>,
    /// How long epochs took, from when they were opened to when all sinks had them; counted by
    /// the pacer.
    pub epochs: Arc<Durations>,
    /// Whom to tell.
    pub listener: Listener,
    /// Commands for the pacer; only the process of worker 0 reads them.
    pub commands: Arc<Commands>,
    /// What is under way between operators.
    pub flow: Arc<Flow>,
    /// What the audit of weights rests on.
    pub premises: Arc<Premises>,
    /// Ends the attempt, whatever state it is in.
    pub stop: Arc<Stop>,
}

impl Job {
    /// Returns the worker of the first process, the one that the user started, that takes what
    /// `worker` has for it.
    pub fn home_of(&self, worker: usize) -> usize {
        worker % self.seats.len()
    }

    /// Returns what is audited.
    pub fn audit(&self) -> Audit {
        let is_spread = self.groups.workers > self.seats.len();
        Audit::new(&self.plan, self.start.epoch, &self.premises, is_spread)
    }

    /// Tells whoever listens.
    pub fn tell(&self, event: Event) {
        (self.listener.0)(event);
    }

    /// Tells that the attempt failed, and ends it.
    pub fn fail(&self, error: Error) {
        self.tell(Event::Failed(error));
        self.stop.set();
    }
}

/// A state of a split at the end of an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitProgress {
    /// The split.
    pub split: SplitId,
    /// Where to go on; `None` at its start.
    pub offset: Option<Offset>,
    /// Is it at its end?
    pub is_finished: bool,
    /// Its watermark.
    pub watermark: EventTime,
    /// What is known of its times, where the watermark trails them by a percentile.
    pub trail: Option<Trail>,
}

/// Something that the worker threads say.
#[derive(Debug)]
pub enum Event {
    /// The cut of a source at a checkpoint: splits open, or finished since the last cut.
    Cut {
        /// The source.
        node: NodeId,
        /// The worker.
        worker: WorkerId,
        /// The checkpoint.
        epoch: Epoch,
        /// The splits.
        splits: Vec<SplitProgress>,
        /// Rows and bad records taken since the attempt began.
        rows: u64,
        /// Bad records among them.
        bad: u64,
    },
    /// What an operator's state changed until a checkpoint.
    Snapshot {
        /// The operator.
        node: NodeId,
        /// The worker.
        worker: WorkerId,
        /// The checkpoint.
        epoch: Epoch,
        /// Its state, to be encoded and uploaded; boxed since it is large.
        state: Box<StateWriter>,
        /// Late rows since the attempt began.
        late: u64,
        /// Bad rows since the attempt began.
        bad: u64,
    },
    /// The pacer opened a checkpoint epoch.
    Checkpoint {
        /// The facts of the epoch.
        info: thalweg_types::EpochInfo,
    },
    /// A worker is through its last epoch.
    Ended(WorkerId),
    /// A worker failed; the attempt is over.
    Failed(Error),
    /// A connection to another process broke; the attempt is over, and the cause is elsewhere.
    Severed,
}

/// What the pacer is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Make the next epoch a checkpoint.
    Checkpoint,
    /// Make the next epoch the last.
    End(Ending),
    /// Holds on a source's watermark: what was discovered and is not begun.
    Discovered(NodeId, Vec<String>),
    /// A hold on a source's watermark: a split that was given to a worker.
    Given {
        /// The source.
        node: NodeId,
        /// The sequence of the split.
        sequence: String,
        /// The split, which holds until it is opened.
        split: SplitId,
        /// The worker, if the split that it was given before is of the same sequence.
        behind: Option<WorkerId>,
    },
}

/// A queue of commands; bounded by its users, who send one checkpoint at a time.
#[derive(Debug, Default)]
pub struct Commands {
    queue: Mutex<VecDeque<Command>>,
    /// Wakes the pacer.
    pub pacer: Wake,
}

impl Commands {
    /// Adds a command and wakes the pacer.
    pub fn send(&self, command: Command) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(command);
        self.pacer.wake();
    }

    /// Takes all commands.
    pub fn take(&self) -> VecDeque<Command> {
        std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The way out of everything: set once, seen by all threads of the attempt.
#[derive(Debug, Default)]
pub struct Stop {
    is_set: AtomicBool,
    threads: Mutex<Vec<std::thread::Thread>>,
}

impl Stop {
    /// Ends the attempt.
    pub fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            thread.unpark();
        }
    }

    /// Is the attempt ended?
    pub fn is_set(&self) -> bool {
        self.is_set.load(Ordering::SeqCst)
    }

    /// Lets the current thread be woken by `set`.
    pub fn register(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(std::thread::current());
    }
}
