//! Bounded queues at the edges of the engine room: one end synchronous and never waiting, the
//! other on a thread of its own that may wait.
//!
//! Invariants: a port holds at most its bound in bytes, plus one item; closing it wakes whoever
//! waits, and nothing passes it afterwards.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::array::RecordBatch;
use thalweg_plan::sink::Prepared;
use thalweg_plan::source::{Offset, Step};
use thalweg_plan::trail::Trail;
use thalweg_types::{Change, Epoch, EventTime, SplitId};

/// Something to wake, once it is known.
#[derive(Default)]
pub struct Wake(OnceLock<Box<dyn Fn() + Send + Sync>>);

impl Wake {
    /// Says how to wake; only the first call counts.
    pub fn set(&self, wake: impl Fn() + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(wake));
    }

    /// Wakes it, if it is known.
    pub fn wake(&self) {
        if let Some(wake) = self.0.get() {
            wake();
        }
    }
}

impl std::fmt::Debug for Wake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wake")
    }
}

/// What a reader hands to a source operator.
#[derive(Clone, Debug)]
pub enum SourceItem {
    /// A split is opened; its rows follow.
    Opened {
        /// The split.
        split: SplitId,
        /// Its sequence.
        sequence: String,
        /// Which of the source's splits it is, in their order.
        number: usize,
        /// Where it was opened, where that is not its start.
        offset: Option<Offset>,
        /// Its watermark when it was last seen.
        watermark: EventTime,
    },
    /// Rows of an open split.
    Rows {
        /// The split.
        split: SplitId,
        /// Good rows; may be none.
        rows: Change,
        /// Malformed records, as rows of the bad-record schema.
        bad: Option<RecordBatch>,
        /// How many records were malformed, diverted or not.
        bad_count: u64,
        /// Where to go on behind them.
        next: Offset,
        /// The watermark that these rows allow.
        watermark: Option<EventTime>,
        /// What is known of the split's times behind them.
        trail: Option<Arc<Trail>>,
        /// What the line does, if they are one line of a script; boxed since few are.
        step: Option<Box<Step>>,
    },
    /// The split says nothing for a while and does not hold the watermark back.
    Idle(SplitId),
    /// The split is at its end.
    Finished(SplitId),
    /// No split will come to this worker any more.
    End,
}

/// What a sink operator hands to a writer.
#[derive(Clone, Debug)]
pub enum SinkItem {
    /// Rows of the open epoch.
    Rows(Change),
    /// All rows of the epoch are there.
    EndEpoch(Epoch),
    /// The epoch is a checkpoint: prepare.
    Checkpoint {
        /// The epoch.
        epoch: Epoch,
        /// Is it the last one of the attempt?
        is_last: bool,
    },
    /// Nothing follows.
    End,
}

/// What a writer hands back at a checkpoint.
pub type Receipt = Prepared;

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    bytes: usize,
    is_closed: bool,
    /// Must whoever pushes wait, full or not?
    is_held: bool,
}

/// A queue with a bound in bytes.
#[derive(Debug)]
pub struct Port<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    bytes_max: usize,
    /// Wakes the synchronous end: the operator.
    pub operator: Wake,
}

impl<T> Port<T> {
    /// Returns an empty port of at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Arc<Port<T>> {
        let state = State { items: VecDeque::new(), bytes: 0, is_closed: false, is_held: false };
        Arc::new(Port {
            state: Mutex::new(state),
            changed: Condvar::new(),
            bytes_max,
            operator: Wake::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an item, waiting while the port is full or held. Returns whether the port was open.
    pub fn push_waiting(&self, item: T, bytes: usize) -> bool {
        let mut state = self.lock();
        while (state.bytes >= self.bytes_max || state.is_held) && !state.is_closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.is_closed {
            return false;
        }
        state.items.push_back((item, bytes));
        state.bytes += bytes;
        drop(state);
        self.operator.wake();
        true
    }

    /// Lets whoever pushes wait, or go on.
    pub fn hold(&self, is_held: bool) {
        self.lock().is_held = is_held;
        self.changed.notify_all();
    }

    /// Adds an item at once, full or not; the caller asks `is_full` first.
    pub fn push(&self, item: T, bytes: usize) {
        let mut state = self.lock();
        state.items.push_back((item, bytes));
        state.bytes += bytes;
        drop(state);
        self.changed.notify_all();
    }

    /// Is the bound reached?
    pub fn is_full(&self) -> bool {
        self.lock().bytes >= self.bytes_max
    }

    /// Returns how many items and bytes wait.
    pub fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        (state.items.len(), state.bytes)
    }

    /// Takes the first item, if there is one.
    pub fn pop(&self) -> Option<(T, usize)> {
        let mut state = self.lock();
        let (item, bytes) = state.items.pop_front()?;
        state.bytes -= bytes;
        drop(state);
        self.changed.notify_all();
        Some((item, bytes))
    }

    /// Takes the first item, waiting for one; `None` once the port is closed.
    pub fn pop_waiting(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.is_closed {
                return None;
            }
            if let Some((item, bytes)) = state.items.pop_front() {
                let was_full = state.bytes >= self.bytes_max;
                state.bytes -= bytes;
                let wakes = was_full && state.bytes < self.bytes_max;
                drop(state);
                if wakes {
                    self.operator.wake();
                }
                return Some(item);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Closes the port: waiting ends, nothing passes any more.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
        self.operator.wake();
    }

    /// Is the port closed?
    pub fn is_closed(&self) -> bool {
        self.lock().is_closed
    }
}

/// The queue between a reader and a source operator.
pub type SourcePort = Port<SourceItem>;
/// The queue between a sink operator and a writer.
pub type SinkPort = Port<SinkItem>;
