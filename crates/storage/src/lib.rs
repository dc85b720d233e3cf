//! What survives a crash: objects, the log of checkpoints, the lock on a state directory.
//!
//! What must always hold: a put that returned is durable; a conditional put has one winner. It
//! does *not* know what a state file or an offset means: those are bytes and texts here.
#![forbid(unsafe_code)]

pub mod bucket;

pub mod object;

pub mod checkpoint;

pub mod lock;

pub use bucket::Bucket;
pub use checkpoint::CheckpointLog;
pub use object::ObjectStore;
