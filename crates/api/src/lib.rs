//! Streams of Rust structs: a second way to make a plan, beside SQL.
//!
//! What it is for: programs whose functions are Rust. What must always hold: it makes the same
//! plans as SQL and knows nothing of how they are run; rows are columns everywhere but inside a
//! user's closure. It does *not* read, write or run anything.
#![forbid(unsafe_code)]

pub mod value;

pub mod record;

mod closure;
mod windowing;

pub mod aggregate;

pub mod job;

pub mod stream;

pub mod keyed;
pub mod source;

mod aggregation;

pub mod windowed;

pub use aggregate::{Aggregate, average, count, max, min, sum};
#[doc(hidden)]
pub use arrow;
pub use job::Job;
pub use keyed::Keyed;
pub use record::Record;
pub use source::SourceBuilder;
pub use stream::Stream;
#[doc(hidden)]
pub use thalweg_types::Result;
pub use value::{Key, Timestamp, Value};
pub use windowed::{Window, Windowed};

/// Tells that a batch has fewer columns than a struct has fields; for [`record!`].
#[doc(hidden)]
pub fn too_few_columns() -> thalweg_types::Error {
    thalweg_types::Error::internal("a batch has fewer columns than its struct has fields")
}

#[cfg(test)]
mod tests;
