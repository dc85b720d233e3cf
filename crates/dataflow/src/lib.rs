//! The engine room: operators on timely dataflow, epochs, and nothing else.
//!
//! What it is for: running a plan on the worker threads of one process or several. What must
//! always hold: no I/O but timely's own, no async function, no clock; everything from outside
//! comes through bounded ports. It does *not* know SQL, files, or who asked for the job.
#![forbid(unsafe_code)]

pub mod operator;

pub mod operators;
