//! One job and the roles around it: who reads, who writes, who decides that a checkpoint is done.
//!
//! What it is for: running an attempt of a job to its end, keeping checkpoints, and going on from
//! the last one. What must always hold: decisions (which split next, is the checkpoint complete)
//! are pure functions; the one conditional write of a manifest is the commit point. It does *not*
//! know SQL, connectors or timely; it is handed a plan.
#![forbid(unsafe_code)]

pub mod memory;
pub mod options;

pub mod splits;

pub mod message;

pub mod checkpoints;
pub mod credits;
pub mod link;
pub mod mesh;
pub mod orders;

pub mod reader;
pub mod writer;

pub mod group;
pub mod restore;

pub mod attempt;

pub mod stats;

pub mod coordinator;
pub mod member;

pub mod run;

pub use options::RunOptions;
pub use run::{Control, Outcome, run};
