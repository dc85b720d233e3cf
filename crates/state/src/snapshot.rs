//! Snapshots of one operator's state: written at checkpoints, read at restore.

/// Collects what an operator's state changed.
#[derive(Debug)]
pub struct StateWriter;
/// Gives the state of some key groups back.
#[derive(Debug)]
pub struct StateReader;
