//! Functions over keyed rows with state and timers: the lowest level at which a user can say what
//! is to be done, and what all else could be written in.
//!
//! Invariants: a function sees the rows of a key in the order of their channel, and its timers in the
//! order of their times, at closes alone; it has state of the current key only, and none of its own.
//! The engine numbers keys and keeps timers; a [`Processor`] keeps state as typed values by the number
//! of the key, and hands it over as bytes when a checkpoint asks for it. It does *not* know how values
//! are encoded.

use std::fmt::{self, Debug};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use thalweg_types::{Change, EventTime, Moment, Result};

use crate::window::TimeBasis;

/// Applies a function to the rows of one input or two.
///
/// Shapes: in rows of any columns, among them a key of the same types in each input. Output 0 has
/// what the function sends, of the node's schema; output `n` what it sends to `sides[n - 1]`. All of
/// them are append-only.
#[derive(Clone, Debug)]
pub struct ProcessNode {
    /// The function.
    pub function: Arc<dyn ProcessFunction>,
    /// Columns of the key in each input; none in one that is copied to all workers.
    pub keys: Vec<Vec<usize>>,
    /// The side outputs.
    pub sides: Vec<SideOutput>,
    /// By how much rows that come out may be older than those that come in.
    pub delay: Duration,
}

/// A further output of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideOutput {
    /// Its name.
    pub name: String,
    /// Schema of its rows.
    pub schema: SchemaRef,
}

/// What a state is of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateKind {
    /// One value or none.
    Value,
    /// Values in order.
    List,
    /// Values by keys of their own.
    Map,
    /// One value, made of all that were added.
    Reducing,
    /// Values by keys of their own, the same on all workers and of no key.
    Broadcast,
}

impl StateKind {
    /// All kinds.
    pub const ALL: [StateKind; 5] = [
        StateKind::Value,
        StateKind::List,
        StateKind::Map,
        StateKind::Reducing,
        StateKind::Broadcast,
    ];

    /// Has each worker the whole of it?
    pub fn is_shared(self) -> bool {
        self == StateKind::Broadcast
    }

    /// Returns the name of the table of a state of this kind.
    pub fn table(self, name: &str) -> String {
        format!("{self} {name}")
    }
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StateKind::Value => "value",
            StateKind::List => "list",
            StateKind::Map => "map",
            StateKind::Reducing => "reducing",
            StateKind::Broadcast => "broadcast",
        })
    }
}

/// A state that a function declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSpec {
    /// Its name, under which it is saved.
    pub name: String,
    /// What it is.
    pub kind: StateKind,
    /// Version of its values; what was saved in an earlier one is migrated.
    pub version: u32,
    /// How long that of a key is kept after it was written; `None` until the function clears it.
    pub ttl: Option<Duration>,
}

/// A function that a user wrote, as a plan holds it.
pub trait ProcessFunction: Send + Sync + Debug {
    /// Returns what it is, in the user's words.
    fn describe(&self) -> String;

    /// Returns its states; their names differ.
    fn states(&self) -> &[StateSpec];

    /// Can it take rows that are taken back? Each comes with its weight then.
    fn takes_updates(&self) -> bool;

    /// Makes what applies it on one worker, without state.
    fn processor(&self) -> Box<dyn Processor>;
}

/// Rows of an input, and the group of each.
#[derive(Clone, Copy, Debug)]
pub struct KeyedRows<'a> {
    /// The input.
    pub input: usize,
    /// The rows, `n` of the input's schema.
    pub change: &'a Change,
    /// Their groups, `n` of them; none for an input that has no key.
    pub groups: &'a [u32],
}

/// Keys of which a timer is due.
#[derive(Clone, Copy, Debug)]
pub struct DueTimers<'a> {
    /// By which time.
    pub basis: TimeBasis,
    /// The time that they were set to.
    pub time: EventTime,
    /// The groups, `n` of them.
    pub groups: &'a [u32],
    /// The columns of their keys, `n` rows each.
    pub keys: &'a [ArrayRef],
}

/// The time of a timer by the clock that is due at the end of the epoch in which it is set: a
/// notification that nothing of the epoch is still to come.
pub const EPOCH_END: EventTime = EventTime::MIN;

/// A timer of a key that is to be set, or not to be set any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerChange {
    /// The group of the key.
    pub group: u32,
    /// By which time.
    pub basis: TimeBasis,
    /// When it is due.
    pub time: EventTime,
    /// Is it to be set?
    pub is_set: bool,
}

/// What a function does to others.
#[derive(Debug, Default)]
pub struct Effects {
    /// Rows for outputs, in order.
    pub sent: Vec<(usize, RecordBatch)>,
    /// Timers, in the order of the calls; a key has one at most of each time.
    pub timers: Vec<TimerChange>,
}

/// Entries of one state that changed. Shapes: `n` of each.
#[derive(Clone, Debug)]
pub struct StateChanges {
    /// The group of each; none of a state that all workers share.
    pub groups: Vec<u32>,
    /// What tells the entries of a group apart; nothing where there is one.
    pub entries: BinaryArray,
    /// The values; NULL of an entry that is gone.
    pub values: BinaryArray,
}

/// Entries of one state as they were saved. Shapes: `n` of each.
#[derive(Clone, Copy, Debug)]
pub struct SavedState<'a> {
    /// Which of the function's states it is.
    pub state: usize,
    /// The group of each; none of a state that all workers share.
    pub groups: &'a [u32],
    /// As in [`StateChanges`].
    pub entries: &'a BinaryArray,
    /// In which version each was saved.
    pub versions: &'a UInt32Array,
    /// The values.
    pub values: &'a BinaryArray,
}

/// A function on one worker, with the state of the worker's keys.
///
/// # Contract
/// Groups are numbered densely; `total` says that all are below it from now on. `take_changes` of
/// everything, handed to `restore` of a fresh processor with the same groups, gives the state again.
/// `retain` gives group `groups[n]` the number `n` and forgets the others.
pub trait Processor {
    /// Says how many groups there are.
    fn grow(&mut self, total: usize);

    /// Takes rows, in order; the watermark of `at` is the one that they met.
    ///
    /// # Errors
    /// What the function says, or `Data` if a row cannot be read.
    fn rows(&mut self, rows: KeyedRows<'_>, at: &Moment, effects: &mut Effects) -> Result<()>;

    /// Tells keys, in order, that their timers are due.
    ///
    /// # Errors
    /// As `rows`.
    fn timers(&mut self, due: DueTimers<'_>, at: &Moment, effects: &mut Effects) -> Result<()>;

    /// Returns what changed since this was asked last, or `all` there is, by state.
    ///
    /// # Errors
    /// `Invalid` if a value cannot be encoded.
    fn take_changes(&mut self, all: bool) -> Result<Vec<StateChanges>>;

    /// Takes saved state; it is no change.
    ///
    /// # Errors
    /// `State` if a value is damaged, of a newer version, or of one that nothing migrates.
    fn restore(&mut self, saved: SavedState<'_>) -> Result<()>;

    /// Is told that all that was saved was handed to `restore`.
    fn restored(&mut self);

    /// Returns the groups of which a state that has a time-to-live was written since this was asked last;
    /// some may stand there several times.
    fn take_written(&mut self, state: usize) -> Vec<u32>;

    /// Clears a state of some groups; returns of how many it had any.
    fn forget(&mut self, state: usize, groups: &[u32]) -> usize;

    /// Has the group any state?
    fn is_live(&self, group: u32) -> bool;

    /// Keeps some groups, which get new numbers.
    fn retain(&mut self, groups: &[u32]);

    /// Returns about how many bytes the state takes.
    fn bytes(&self) -> usize;
}
