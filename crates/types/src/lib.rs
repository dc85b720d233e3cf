//! The words that every other crate uses.
//!
//! What it is for: identifiers, epochs, event time, batches of changes, key groups, errors and
//! the clock. What must always hold: nothing here does I/O, waits, or knows another crate of
//! this workspace. What it does *not* do: anything a stream processor would be recognised by.
#![deny(unsafe_code)]

pub mod error;

pub mod calendar;
pub mod ids;
pub mod time;

pub mod zone;

pub mod epoch;

pub mod size;
pub mod text;

pub mod change;
pub mod groups;
pub mod hash;
pub mod key;

pub mod clock;
pub mod fault;

pub use change::Change;
pub use epoch::{Epoch, EpochInfo, Moment};
pub use error::{Error, ErrorKind, Place, Result};
pub use groups::Groups;
pub use ids::{AttemptId, DomainId, JobId, NodeId, OperatorId, SplitId, WorkerId};
pub use key::{KeyGroup, KeyGroupRange, KeyGroups};
pub use time::EventTime;
pub use zone::Zone;
