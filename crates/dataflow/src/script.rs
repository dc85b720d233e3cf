//! Decides what comes next in a job that follows a script. Pure.
//!
//! Invariants: nothing is begun before everything earlier is done on all workers and its timers are
//! known, so how fast anybody is never shows; timers that are due by then come before a line, the
//! earliest first.

use std::collections::{BTreeMap, BTreeSet};

use thalweg_plan::source::Step;
use thalweg_types::{Epoch, EventTime, NodeId};

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing yet: something is not done, or a source has not read on.
    Wait,
    /// An epoch at this time, for the timers that are due then.
    Timer(EventTime),
    /// The epoch of this line.
    Line(Step),
    /// The last epoch: the script is at its end.
    Finish,
}

/// A script as the pacer sees it: where its sources are, and which workers are through.
#[derive(Clone, Debug)]
pub struct Script {
    /// Sources that are not at their end.
    sources: BTreeSet<NodeId>,
    /// The next line of each source that has one.
    heads: BTreeMap<NodeId, Step>,
    /// The last line that was taken.
    taken: Option<u64>,
    /// For each worker, the first epoch that it is not through.
    reached: Vec<Epoch>,
}

impl Script {
    /// Returns the script of some sources that `workers` follow.
    pub fn new(sources: impl Iterator<Item = NodeId>, workers: usize) -> Script {
        let (heads, reached) = (BTreeMap::new(), vec![Epoch(0); workers]);
        Script { sources: sources.collect(), heads, taken: None, reached }
    }

    /// Takes the next line of a source; it may say so again while that line is on its way to it.
    pub fn show(&mut self, source: NodeId, step: Step) {
        if self.taken.is_none_or(|taken| step.line > taken) {
            self.heads.insert(source, step);
        }
    }

    /// A source is at its end.
    pub fn finish(&mut self, source: NodeId) {
        self.sources.remove(&source);
    }

    /// A worker is through all epochs before `epoch`, and has said when it is to be woken.
    pub fn reach(&mut self, worker: usize, epoch: Epoch) {
        self.reached[worker] = epoch;
    }

    /// Decides what comes next, after the epochs before `next`, at `clock`, if the earliest timer is at
    /// `timer`.
    pub fn turn(&self, next: Epoch, clock: EventTime, timer: Option<EventTime>) -> Turn {
        let is_done = self.reached.iter().all(|reached| *reached == next);
        if !is_done || self.sources.iter().any(|source| !self.heads.contains_key(source)) {
            return Turn::Wait;
        }
        // All sources read the same lines.
        let step = self.heads.values().min_by_key(|step| step.line);
        let until = step.and_then(|step| step.clock).unwrap_or(clock);
        match (timer.filter(|timer| *timer <= until.max(clock)), step) {
            (Some(timer), _) => Turn::Timer(timer.max(clock)),
            (None, Some(step)) => Turn::Line(*step),
            (None, None) => Turn::Finish,
        }
    }

    /// Takes a line; returns the watermarks that its sources claim.
    pub fn take(&mut self, line: u64) -> Vec<(NodeId, EventTime)> {
        self.taken = Some(line);
        let taken = self.heads.extract_if(.., |_, step| step.line == line);
        taken.filter_map(|(source, step)| Some((source, step.watermark?))).collect()
    }
}

#[cfg(test)]
mod tests;
