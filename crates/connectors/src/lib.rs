//! Foreign systems as sources and sinks, one folder each, over formats that they share.
//!
//! What must always hold: options are checked when a table is created; a replayable source gives
//! the same rows again from an offset; committing twice equals committing once. It does *not*
//! know SQL or the engine; it meets them through the contracts of `plan`.
#![forbid(unsafe_code)]

pub mod formats;
pub mod random;

pub mod blackhole;
pub mod datagen;
pub mod files;
pub mod nexmark;
pub mod print;
pub mod script;
pub mod stream;

use std::sync::Arc;

use thalweg_plan::connector::Connector;

/// Returns all connectors.
pub fn all() -> Vec<Arc<dyn Connector>> {
    vec![
        Arc::new(files::Filesystem),
        Arc::new(stream::Lines::Socket),
        Arc::new(stream::Lines::Stdin),
        Arc::new(datagen::Datagen),
        Arc::new(nexmark::Nexmark),
        Arc::new(script::Script),
        Arc::new(print::Print),
        Arc::new(blackhole::Blackhole::default()),
    ]
}

#[cfg(test)]
mod contract;
