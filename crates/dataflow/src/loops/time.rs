//! Times within a loop: which round of which epoch.
//!
//! Two orders meet here. *Rounds* are what a difference is indexed by, and are ordered as in
//! differential computation: one is before another if it is so at each level. *Times* are what progress
//! is tracked by, and are ordered from the outside in, so that there is one least of them: all of an
//! epoch, then the next; all rounds of a loop within, then the next round of the one around it.
//!
//! Between the rounds of two levels a time has a *stage*: how far the step is along its round, counted by
//! the loops within that rows have passed. So what leaves such a loop is behind everything in it, and
//! before the next loop of the same round. Rounds know no stages.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};
use thalweg_plan::loops::{DEPTH_MAX, ScopeId};
use timely::PartialOrder;
use timely::progress::Timestamp;
use timely::progress::timestamp::{PathSummary, Refines};

/// The number of the round at each level; 0 at levels that a step does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rounds(pub [u32; DEPTH_MAX]);

impl Rounds {
    /// Does what happens in these rounds count in the others, too?
    pub fn is_within(&self, others: &Rounds) -> bool {
        self.0.iter().zip(&others.0).all(|(own, other)| own <= other)
    }

    /// Returns the first rounds in which both count.
    #[must_use]
    pub fn join(&self, others: &Rounds) -> Rounds {
        let mut joined = *self;
        joined.0.iter_mut().zip(&others.0).for_each(|(own, other)| *own = (*own).max(*other));
        joined
    }
}

/// Places of a time behind its epoch: round, stage, round, stage, round.
const PLACES: usize = 2 * DEPTH_MAX - 1;

/// When something is in a loop.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Time {
    /// The epoch.
    pub epoch: u64,
    places: [u32; PLACES],
}

impl Time {
    /// Returns the rounds of a step that has `depth` loops around it.
    pub fn rounds(&self, depth: usize) -> Rounds {
        let mut rounds = Rounds::default();
        for level in 0..depth {
            rounds.0[level] = self.places[2 * level];
        }
        rounds
    }

    /// Returns the first time of other rounds, which are not before those of this one, at the same step.
    #[must_use]
    pub fn at(mut self, rounds: &Rounds, depth: usize) -> Time {
        if self.rounds(depth) != *rounds {
            self.set(rounds, depth, 0);
        }
        self
    }

    /// Returns the last time of the rounds of this one at a step with `depth` loops around it.
    #[must_use]
    pub fn end(mut self, depth: usize) -> Time {
        self.set(&self.rounds(depth), depth, u32::MAX);
        self
    }

    fn set(&mut self, rounds: &Rounds, depth: usize, behind: u32) {
        for level in 0..depth {
            self.places[2 * level] = rounds.0[level];
        }
        self.places[2 * depth - 1..].fill(behind);
    }
}

impl PartialOrder for Time {
    fn less_equal(&self, other: &Time) -> bool {
        self <= other
    }
}

impl timely::order::TotalOrder for Time {}

impl Timestamp for Time {
    type Summary = Path;

    fn minimum() -> Time {
        Time::default()
    }
}

impl Refines<u64> for Time {
    fn to_inner(epoch: u64) -> Time {
        Time { epoch, places: [0; PLACES] }
    }

    fn to_outer(self) -> u64 {
        self.epoch
    }

    fn summarize(_: Path) -> u64 {
        0
    }
}

/// What happens to times along a way through a loop: one place moves on, and those behind it are set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// The place; [`PLACES`] if nothing happens.
    place: usize,
    /// By how much a round rises, or which stage is reached.
    by: u32,
    /// What stands behind the place.
    behind: [u32; PLACES],
}

impl Default for Path {
    fn default() -> Path {
        Path { place: PLACES, by: 0, behind: [0; PLACES] }
    }
}

impl Path {
    /// Returns the way to the next round of a loop with `depth` loops around its steps.
    pub fn next_round(depth: usize) -> Path {
        Path { place: 2 * (depth - 1), by: 1, ..Path::default() }
    }

    /// Returns the way into a loop, from a step with `depth` loops around it.
    pub fn enter(scope: ScopeId, depth: usize) -> Path {
        Path { place: 2 * depth - 1, by: 2 * scope.0 as u32 - 1, ..Path::default() }
    }

    /// Returns the way out of a loop, to a step with `depth` loops around it.
    pub fn leave(scope: ScopeId, depth: usize) -> Path {
        Path { place: 2 * depth - 1, by: 2 * scope.0 as u32, ..Path::default() }
    }

    /// Moves on what stands at the place.
    fn moved(&self, before: u32) -> Option<u32> {
        let is_round = self.place.is_multiple_of(2);
        if is_round { before.checked_add(self.by) } else { Some(self.by) }
    }

    /// Paths are compared by the times they lead to from any time that is on them: whoever moves an
    /// outer place is later than whoever moves inner ones.
    fn rank(&self) -> (Reverse<usize>, u32, [u32; PLACES]) {
        (Reverse(self.place), self.by, self.behind)
    }
}

impl PartialOrder for Path {
    fn less_equal(&self, other: &Path) -> bool {
        self.rank() <= other.rank()
    }
}

impl PathSummary<Time> for Path {
    fn results_in(&self, time: &Time) -> Option<Time> {
        let mut time = *time;
        if self.place < PLACES {
            time.places[self.place] = self.moved(time.places[self.place])?;
            time.places[self.place + 1..].copy_from_slice(&self.behind[self.place + 1..]);
        }
        Some(time)
    }

    fn followed_by(&self, next: &Path) -> Option<Path> {
        if next.place == PLACES {
            return Some(*self);
        }
        let mut path = *next;
        if next.place > self.place {
            path = *self;
            path.behind[next.place] = next.moved(self.behind[next.place])?;
            path.behind[next.place + 1..].copy_from_slice(&next.behind[next.place + 1..]);
        } else if next.place == self.place {
            path.by = next.moved(self.by)?;
        }
        Some(path)
    }
}

#[cfg(test)]
mod tests;
