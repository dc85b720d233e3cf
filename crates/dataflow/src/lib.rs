//! The engine room: operators on timely dataflow, epochs, and nothing else.
//!
//! What it is for: running a plan on the worker threads of one process or several. What must
//! always hold: no I/O but timely's own, no async function, no clock but the one the pacer is
//! given; everything from outside comes through bounded ports. It does *not* know SQL, files, or
//! who asked for the job.
#![forbid(unsafe_code)]

pub mod stats;

pub mod port;

pub mod operator;

pub mod flow;

pub mod container;
pub mod exchange;

pub mod operators;

pub mod audit;

pub mod job;

pub mod book;
pub mod pacing;
pub mod script;

pub mod pacer;

pub mod source;

pub mod chain;
pub mod sink;

pub mod driven;

pub mod loops;

pub mod lower;

pub mod worker;
