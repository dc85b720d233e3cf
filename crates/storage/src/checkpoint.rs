//! The record of checkpoints: a dense log of manifests, and the state files that they name.
//!
//! Invariants: manifest n+1 is written only by whoever wrote n or fenced it off; the one
//! conditional put of a manifest is the commit point of its checkpoint; what a readable manifest
//! names is not removed.

pub mod manifest;

pub mod paths;

pub mod retention;

pub mod log;

pub use log::CheckpointLog;
pub use manifest::Manifest;
