//! Streams of Rust structs: a second way to make a plan, beside SQL.
//!
//! What it is for: programs whose functions are Rust. What must always hold: it makes the same
//! plans as SQL and knows nothing of how they are run; rows are columns everywhere but inside a
//! user's closure. It does *not* read, write or run anything.
#![forbid(unsafe_code)]

// What is derived names this crate as its users do.
extern crate self as thalweg;

pub mod value;

pub mod nested;

pub mod map;
pub mod scalar;

pub mod record;

pub mod derived;

pub mod pane;
pub mod trigger;

mod closure;
mod versions;
mod windowing;

mod fold;

pub mod aggregate;

pub mod language;

pub mod job;

pub mod stream;

pub mod keyed;
pub mod source;

pub mod process;

mod aggregation;

pub mod counted;
pub mod user_windows;

pub mod windowed;

pub mod join;
pub mod pattern;

pub mod iterate;

pub mod sql;

pub use aggregate::{
    Accumulated, Aggregate, Reduced, average, combine, count, fold, fold_with_undo, max, min,
    reduce, sum,
};
pub use counted::Counted;
pub use iterate::{Enters, Looped, LoopedKeyed};
pub use job::Job;
pub use join::{Join, Span};
pub use keyed::Keyed;
pub use pane::{Pane, Timing};
pub use pattern::{AfterMatch, Matched, Pattern, Search};
pub use process::{
    BroadcastContext, BroadcastProcess, BroadcastState, CoProcess, Connected, Context, ListState,
    MapState, Process, ReducingState, Setup, Side, State, Stored, Timer, ValueState, WithBroadcast,
};
pub use record::Record;
pub use scalar::{Date, Decimal, Instant, Time, Timestamp};
pub use source::SourceBuilder;
pub use sql::Table;
pub use stream::Stream;
pub use thalweg_types::{Error, Result};
pub use trigger::{AfterWatermark, Trigger};
pub use user_windows::UserWindows;
pub use value::{Key, Value};
pub use windowed::{Window, Windowed};

#[cfg(test)]
mod tests;
