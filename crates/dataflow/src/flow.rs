//! Flow control: how many bytes of an operator's output nobody consumed yet, on this process or on
//! another.
//!
//! Invariant: what is counted as under way is taken back when it is consumed, and only then; bytes
//! that leave the process are taken back when the other one says that it consumed them. An
//! operator that looks at its count can therefore not fill anybody's memory.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use thalweg_types::{NodeId, WorkerId};

use crate::operator::OUTPUT_BYTES_MAX;
use crate::port::Wake;

/// An operator on a worker, as the receiver of its rows names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sender {
    /// The operator's node.
    pub node: NodeId,
    /// The worker.
    pub worker: WorkerId,
}

/// Bytes of an output that nobody consumed yet; shared by the sender and what it sent.
#[derive(Debug, Default)]
pub struct Unconsumed {
    bytes: AtomicUsize,
    /// Wakes the sender when the bytes fall below the bound.
    waker: Wake,
    /// Who asks for the count; nobody does for most outputs.
    sender: Option<Sender>,
}

impl Unconsumed {
    /// Returns the bytes under way.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Says whom to wake.
    pub fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.waker.set(wake);
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take_back(&self, bytes: usize) {
        let before = self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        if before >= OUTPUT_BYTES_MAX && before - bytes < OUTPUT_BYTES_MAX {
            self.waker.wake();
        }
    }
}

/// Counts bytes as under way until it is dropped.
#[derive(Debug)]
pub struct Credit {
    bytes: usize,
    of: From,
}

#[derive(Debug)]
enum From {
    Here(Arc<Unconsumed>),
    Elsewhere(Sender, Arc<Flow>),
}

impl Credit {
    /// Counts bytes that are sent.
    pub fn new(bytes: usize, of: &Arc<Unconsumed>) -> Credit {
        of.add(bytes);
        Credit { bytes, of: From::Here(of.clone()) }
    }

    /// Counts bytes that arrived from another process.
    pub fn received(bytes: usize, sender: Sender, flow: &Arc<Flow>) -> Credit {
        Credit { bytes, of: From::Elsewhere(sender, flow.clone()) }
    }

    /// Counts bytes that leave the process, if somebody asks for their count: the other process
    /// must say when they are consumed.
    pub fn lend(&self, bytes: usize) -> Option<Sender> {
        let From::Here(of) = &self.of else { return None };
        let sender = of.sender?;
        of.add(bytes);
        Some(sender)
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        match &self.of {
            From::Here(of) => of.take_back(self.bytes),
            From::Elsewhere(sender, flow) => flow.owe(*sender, self.bytes),
        }
    }
}

/// The counts of a process's senders, and what it owes to those of others.
#[derive(Debug, Default)]
pub struct Flow {
    senders: Mutex<BTreeMap<Sender, Arc<Unconsumed>>>,
    debts: Mutex<Debts>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Debts {
    bytes: BTreeMap<Sender, usize>,
    is_over: bool,
}

impl Flow {
    /// Returns the count of an operator that will look at it.
    pub fn count(&self, sender: Sender) -> Arc<Unconsumed> {
        let count = Arc::new(Unconsumed { sender: Some(sender), ..Unconsumed::default() });
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.insert(sender, count.clone());
        count
    }

    /// Takes bytes back that another process consumed.
    pub fn settle(&self, sender: Sender, bytes: usize) {
        let senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = senders.get(&sender) {
            count.take_back(bytes);
        }
    }

    fn owe(&self, sender: Sender, bytes: usize) {
        let mut debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = debts.bytes.is_empty();
        *debts.bytes.entry(sender).or_default() += bytes;
        if is_first {
            self.bell.notify_one();
        }
    }

    /// Waits until something is owed, and returns it; `None` once the attempt is over.
    pub fn debts(&self) -> Option<BTreeMap<Sender, usize>> {
        let debts = self.debts.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |debts: &mut Debts| debts.bytes.is_empty() && !debts.is_over;
        let mut debts = self.bell.wait_while(debts, idle).unwrap_or_else(PoisonError::into_inner);
        match debts.is_over {
            true => None,
            false => Some(std::mem::take(&mut debts.bytes)),
        }
    }

    /// Ends every wait for [`Flow::debts`].
    pub fn close(&self) {
        self.debts.lock().unwrap_or_else(PoisonError::into_inner).is_over = true;
        self.bell.notify_all();
    }
}

#[cfg(test)]
mod tests;
