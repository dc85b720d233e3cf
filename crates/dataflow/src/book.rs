//! The epochs that are open on this worker, and what they report to the pacer.
//!
//! Invariant: the facts of an epoch are here before any row of it leaves a source of this worker, and
//! stay until the epoch is complete everywhere. Rows from other workers may be here earlier: who
//! takes such rows waits for the facts.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use thalweg_plan::source::Step;
use thalweg_types::{DomainId, Epoch, EpochInfo, EventTime, Moment, NodeId};
use timely::scheduling::Activator;

/// Facts of the open epochs, shared by the operators of one worker.
#[derive(Clone, Debug, Default)]
pub struct Book {
    open: Rc<RefCell<BTreeMap<u64, EpochInfo>>>,
    /// Whom to activate when an epoch is opened.
    waiting: Rc<RefCell<Vec<Rc<Activator>>>>,
    /// Until when the worker looks for work before it parks.
    awake: Rc<Cell<Option<Instant>>>,
}

/// How long a worker stays awake. Rounds of a loop follow each other faster than a thread is woken: without it
/// an edge that is inserted in `benches/components.rs` takes a fifth longer at the median.
const AWAKE: Duration = Duration::from_micros(50);

impl Book {
    /// Writes the facts of an epoch down.
    pub fn open(&self, info: EpochInfo) {
        self.open.borrow_mut().insert(info.epoch.0, info);
        self.waiting.borrow_mut().drain(..).for_each(|waiting| waiting.activate());
    }

    /// Is `epoch` open? If not, `waiting` is activated when the next epoch is opened.
    pub fn is_open_or_wake(&self, epoch: u64, waiting: &Rc<Activator>) -> bool {
        let is_open = self.open.borrow().contains_key(&epoch);
        if !is_open {
            self.waiting.borrow_mut().push(waiting.clone());
        }
        is_open
    }

    /// Returns the facts of `epoch`, if it is open.
    pub fn get(&self, epoch: u64) -> Option<EpochInfo> {
        self.open.borrow().get(&epoch).cloned()
    }

    /// Returns the moment of `epoch` for rows of `domains`, with the watermark that they met.
    pub fn moment(&self, epoch: u64, domains: &[DomainId]) -> Option<Moment> {
        let book = self.open.borrow();
        let info = book.get(&epoch)?;
        let watermark = info.watermark_before(domains);
        Some(Moment { epoch: Epoch(epoch), clock: info.clock, watermark })
    }

    /// Keeps the worker awake for a moment: what it did is likely to be answered at once.
    pub fn stay_awake(&self) {
        self.awake.set(Some(Instant::now() + AWAKE));
    }

    /// Is the worker to look for work rather than park?
    pub fn is_awake(&self) -> bool {
        let is_awake = self.awake.get().is_some_and(|until| Instant::now() < until);
        if !is_awake {
            self.awake.set(None);
        }
        is_awake
    }

    /// Forgets the epochs before `epoch`.
    pub fn forget_before(&self, epoch: u64) {
        let mut book = self.open.borrow_mut();
        *book = book.split_off(&epoch);
    }
}

/// What a worker tells the pacer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// How far a source instance has come.
    Source {
        /// The source.
        node: NodeId,
        /// The worker.
        worker: usize,
        /// Bytes that wait in its port, at least 1 if anything waits.
        waiting_bytes: usize,
        /// The watermarks of its open splits, less those that are idle.
        watermarks: Vec<EventTime>,
        /// Sequences begun since the last report.
        begun: Vec<String>,
        /// Will no split come any more, and are all rows taken?
        is_finished: bool,
        /// The next line, if it reads a script.
        step: Option<Step>,
    },
    /// A worker of a job that follows a script is through some epochs, and has told its wakes.
    Reached {
        /// The worker.
        worker: usize,
        /// The first epoch that it is not through.
        epoch: Epoch,
    },
    /// When an operator must be closed next even without rows.
    Wake {
        /// The operator.
        node: NodeId,
        /// The worker.
        worker: usize,
        /// The wall-clock time; `None` if there is none.
        at: Option<EventTime>,
    },
}

/// Reports on their way to the pacer.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    reports: Rc<RefCell<Vec<Report>>>,
    sender: Rc<RefCell<Option<Activator>>>,
}

impl Outbox {
    /// Adds a report.
    pub fn send(&self, report: Report) {
        self.reports.borrow_mut().push(report);
        if let Some(sender) = &*self.sender.borrow() {
            sender.activate();
        }
    }

    /// Takes all reports.
    pub fn take(&self) -> Vec<Report> {
        std::mem::take(&mut *self.reports.borrow_mut())
    }

    /// Says which operator to activate when a report waits.
    pub fn sent_by(&self, activator: Activator) {
        *self.sender.borrow_mut() = Some(activator);
    }
}
