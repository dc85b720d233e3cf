//! Decides when an epoch is opened, and how far event time has come. Pure.
//!
//! An epoch is a burst, not an interval: it is opened because something waits, at once when
//! much waits, and never so often that empty epochs take more than a tenth of a core.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thalweg_plan::trail::Share;
use thalweg_types::EventTime;

/// Epochs that may be open at once.
pub const IN_FLIGHT_MAX: usize = 4;
/// Bytes that make an epoch worth opening at once.
pub const TARGET_BYTES: usize = 1 << 20;
/// Bytes that one source instance takes into one epoch at most, plus one batch.
pub const EPOCH_BYTES_MAX: usize = 8 << 20;

/// What the pacer knows when it decides.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// Epochs opened and not complete.
    pub in_flight: usize,
    /// Bytes that wait at sources.
    pub waiting_bytes: usize,
    /// Is there a reason for an epoch: rows, a watermark, a due wake, a command?
    pub has_reason: bool,
    /// Must it be opened whatever it costs (a command)?
    pub is_urgent: bool,
    /// Time since the last epoch was opened.
    pub since_last: Duration,
    /// Moving cost of an epoch that carries next to nothing.
    pub empty_cost: Duration,
}

/// What the pacer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Open an epoch now.
    Open,
    /// Ask again after this time.
    Later(Duration),
    /// Wait until something happens.
    Wait,
}

/// Decides whether to open an epoch.
pub fn decide(situation: &Situation) -> Decision {
    let s = situation;
    if !s.has_reason && !s.is_urgent {
        return Decision::Wait;
    }
    if s.in_flight >= IN_FLIGHT_MAX {
        return Decision::Wait;
    }
    if s.is_urgent || s.waiting_bytes >= TARGET_BYTES {
        return Decision::Open;
    }
    // Under backlog one large epoch rather than several small ones.
    if s.in_flight > 1 {
        return Decision::Wait;
    }
    let gap = (s.empty_cost * 10).clamp(Duration::from_micros(100), Duration::from_millis(5));
    match gap.checked_sub(s.since_last) {
        Some(rest) if !rest.is_zero() => Decision::Later(rest),
        _ => Decision::Open,
    }
}

/// How far one source has come on all workers.
#[derive(Clone, Debug, Default)]
pub struct SourceProgress {
    /// The watermarks of the open splits of each worker, less those that are idle.
    pub watermarks: BTreeMap<usize, Vec<EventTime>>,
    /// Bytes that wait on each worker.
    pub waiting: BTreeMap<usize, usize>,
    /// Workers to which no split will come any more.
    pub finished: BTreeSet<usize>,
    /// What holds the watermark back until a source instance has opened it; where it is a split that
    /// follows others of its sequence on a worker, only while that worker reads none of them: no row
    /// of it is behind their watermark.
    pub pending: BTreeMap<String, Option<usize>>,
    /// What was opened; a hold that arrives behind its own end is none.
    pub opened: BTreeSet<String>,
}

impl SourceProgress {
    /// Holds the watermark back until each of `holds` is opened.
    pub fn hold(&mut self, holds: Vec<String>) {
        holds.into_iter().for_each(|hold| self.hold_behind(hold, None));
    }

    /// Holds the watermark back until the split of `hold` is opened, while the worker that is to read it
    /// `behind` others of its sequence reads none of these.
    pub fn hold_behind(&mut self, hold: String, behind: Option<usize>) {
        if !self.opened.contains(&hold) {
            self.pending.insert(hold, behind);
        }
    }

    /// Ends holds.
    pub fn open(&mut self, holds: Vec<String>) {
        for hold in holds {
            self.pending.remove(&hold);
            self.opened.insert(hold);
        }
    }

    /// Is the source at its end on all `workers`?
    pub fn is_finished(&self, workers: usize) -> bool {
        self.finished.len() == workers
    }

    /// Returns the watermark of the slowest split that is open and not idle, if there is one.
    pub fn slowest(&self) -> Option<EventTime> {
        self.watermarks.values().flatten().copied().min()
    }

    /// Returns the watermark after `current`, never less than it: the greatest that `share` of the splits
    /// has reached. What is held back has reached nothing yet; what is idle, or at its end, does not count.
    pub fn watermark(&self, current: EventTime, share: Share, workers: usize) -> EventTime {
        if self.is_finished(workers) {
            return EventTime::MAX;
        }
        let reads =
            |worker: &usize| self.watermarks.get(worker).is_some_and(|open| !open.is_empty());
        let holds = |behind: &&Option<usize>| !behind.as_ref().is_some_and(reads);
        let held = self.pending.values().filter(holds).count();
        let mut reached: Vec<EventTime> = self.watermarks.values().flatten().copied().collect();
        reached.sort_unstable_by(|left, right| right.cmp(left));
        let rank = share.rank((reached.len() + held) as u64) as usize;
        reached.get(rank - 1).map_or(current, |reached| current.max(*reached))
    }
}

#[cfg(test)]
mod tests;
