//! Streaming SQL: from a script in Flink's dialect to a plan.
//!
//! What it is for: reading statements, keeping the catalog, and lowering what DataFusion planned
//! and optimised to the nodes of a [`thalweg_plan::Plan`]. What must always hold: errors point at
//! the user's text; what cannot run as a stream is refused while planning, with a way out. It
//! does *not* run anything, and it is the only crate that names DataFusion.
#![forbid(unsafe_code)]

mod text;

mod tokens;

mod types;

mod casting;

pub mod write;

mod rewrite;

mod catalog;

mod functions;

mod local_time;
mod meaning;
mod numbered;
mod pane_functions;
mod planned;
mod sums;

mod emit;

mod patterns;

mod table_hint;

mod noted;

mod window_tvf;

mod expression;
mod unnest;
mod windowing;

mod grouping;

mod aggregate;

mod as_of;
mod copies;
mod not_in;
mod one_group;
mod recursive;
mod scalar_subquery;
mod set_operation;

mod session;

mod lower;

mod statement;

pub mod lexemes;

pub mod planner;

#[cfg(test)]
mod test_support;

pub use planner::{Planner, Script, Workspace};
