//! Keyed state: tables of groups, and what of them goes into a checkpoint.
#![forbid(unsafe_code)]

pub mod snapshot;
pub use snapshot::{StateReader, StateWriter};
