//! Loops: rows that go round until nothing changes, for each epoch, and what changed of that.
//!
//! The model is that of differential computation (F. McSherry, D. Murray, R. Isaacs, M. Isard:
//! Differential Dataflow, CIDR 2013). A collection is a different one in each round of each epoch; what
//! flows are *differences*, rows with weights that happen at an (epoch, rounds) and count at all that are
//! not before it: in later epochs *and*, of these, in the same and later rounds. So a new epoch begins
//! with all rounds of those before, and only where a difference makes one is a round computed again.
//! That makes deletions exact: an edge that is taken back takes back, round by round, what only it
//! explained, and nothing that goes round in a circle can explain itself.
//!
//! ```text
//!            ┌──────────────── next round ───────────────┐
//! input ─▶ variable ─▶ join, map, union … ─▶ reduce ─────┤
//!                                                        └─▶ exit: one change for each epoch
//! ```
//!
//! A loop is one node of a plan and one nested scope of timely, however many loops are within:
//!
//! * [`time`] says how epoch and rounds are ordered: for differences by each level, for progress from the
//!   outside in;
//! * [`logic`] is the contract of a step; `passing`, `join`, `pick` and `reduce` are the steps;
//! * [`history`] is what a step keeps: rows with the rounds in which they came and went; a `ledger` holds what
//!   came to a reduction and what it sent;
//! * `shell` drives a step, `exit` nets what leaves and speaks for the state of all steps, [`build`]
//!   puts it all together.
//!
//! Invariants: a worker's steps are all at one epoch, and begin the next when what left the loop in this
//! one is sent; within it rounds are closed in the order of times. What leaves is netted, so the number
//! of rounds does not show, nor the number of workers. State is kept by key group.
//!
//! It does *not* bound what is under way within a round: rows that go in a circle cannot wait for
//! themselves. What bounds it is that an epoch is a burst of input, and that rounds are counted.

pub mod time;

pub mod codes;

pub mod logic;

pub mod history;

mod join;
mod ledger;
mod passing;
mod pick;
mod reduce;

mod exit;

mod shell;

pub mod build;

#[cfg(test)]
mod tests;
