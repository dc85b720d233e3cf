//! Key groups: which worker owns which keys, and which part of a checkpoint holds them.
//!
//! Invariants: the number of key groups of a job is fixed for its life and written in every
//! manifest; ranges of the workers are contiguous, disjoint and cover all groups.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::ids::WorkerId;

/// One of the fixed number of parts into which a job's keys are cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyGroup(pub u16);

/// A contiguous range of key groups, `start` included and `end` not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyGroupRange {
    /// First group of the range.
    pub start: u16,
    /// First group after the range.
    pub end: u16,
}

impl KeyGroupRange {
    /// Is `group` in the range?
    pub fn contains(self, group: KeyGroup) -> bool {
        (self.start..self.end).contains(&group.0)
    }

    /// Do the two ranges share a group?
    pub fn overlaps(self, other: KeyGroupRange) -> bool {
        self.start < other.end && other.start < self.end
    }
}

/// How many key groups there are, and how they are spread over the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGroups {
    /// Number of key groups, at least the number of workers.
    pub count: u16,
    /// Number of workers.
    pub workers: usize,
}

impl KeyGroups {
    /// Number of key groups of a job unless it says otherwise.
    pub const DEFAULT_COUNT: u16 = 1024;

    /// Returns the group of a key with this hash.
    pub fn group_of(self, hash: u64) -> KeyGroup {
        // The high bits by multiplication: the same for any count, and no division.
        KeyGroup(((u128::from(hash) * u128::from(self.count)) >> 64) as u16)
    }

    /// Returns the worker that owns `group`.
    pub fn owner(self, group: KeyGroup) -> WorkerId {
        WorkerId(usize::from(group.0) * self.workers / usize::from(self.count))
    }

    /// Returns the groups that `worker` owns.
    pub fn owned_by(self, worker: WorkerId) -> KeyGroupRange {
        let Range { start, end } = self.bounds(worker.0);
        KeyGroupRange { start: start as u16, end: end as u16 }
    }

    /// Group g belongs to worker w when w·count ≤ g·workers < (w+1)·count.
    fn bounds(self, worker: usize) -> Range<usize> {
        let count = usize::from(self.count);
        (worker * count).div_ceil(self.workers)..((worker + 1) * count).div_ceil(self.workers)
    }
}

#[cfg(test)]
mod tests;
