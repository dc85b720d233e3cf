//! The waist: what to compute, and the contracts that the doing must meet.
//!
//! What it is for: SQL and the typed API make a [`Plan`]; the engine runs one. Sources, sinks and
//! functions are traits here, so that whoever implements them and whoever calls them never meet.
//! What must always hold: a plan is data plus functions; it holds no connection and no thread,
//! and the same text gives the same plan in every process. It does *not* run anything.
#![forbid(unsafe_code)]

pub mod window;

pub mod trigger;

pub mod pane;

pub mod trail;

pub mod alignment;

pub mod function;
pub mod order;
pub mod sink;
pub mod source;

pub mod connector;

pub mod aggregate;
pub mod sketch;

pub mod join;
pub mod loops;
pub mod pattern;
pub mod process;

pub mod node;

pub mod distinct;

pub mod graph;

pub mod unique;

pub mod write;

pub mod explain;
pub mod outline;

pub mod fingerprint;
pub mod layout;

pub use graph::{Plan, PlanBuilder};
pub use node::{Exchange, Input, Node, NodeKind};
