//! The contract of a loop's steps: plain, synchronous structs that see differences.
//!
//! Invariants: epochs come in order, and within an epoch what is closed comes in the order of times; a
//! step sends rows in the rounds that it was given, or in later ones. Steps know no timely, no clock and
//! no I/O, so a test can drive them by hand.

use arrow::array::{Int64Array, RecordBatch};
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::{Change, Moment, Result};

use super::time::Rounds;
use crate::audit::{Auditor, Auditors};

/// What a step does to differences.
///
/// # Contract
/// The caller calls `restore` at most once and first, then `batch` with differences of the open epoch,
/// in any order of their rounds. For each of the rounds that the step waits for it calls `close` once,
/// when no difference of these rounds, or of rounds that come before them, can come any more, least
/// rounds first. When the epoch is over the step waits for nothing; `snapshot` is called then only.
pub trait Logic {
    /// Takes differences of some rounds of the open epoch.
    ///
    /// # Errors
    /// `Data` or `Internal`; the attempt ends.
    fn batch(&mut self, input: usize, came: Came, out: &mut Sent) -> Result<()>;

    /// All differences of these rounds, and of those before, have been seen.
    ///
    /// # Errors
    /// As `batch`.
    fn close(&mut self, rounds: Rounds, out: &mut Sent) -> Result<()> {
        let _ = (rounds, out);
        Ok(())
    }

    /// The epoch is over: whatever came, over all of its rounds, must be collections of rows.
    ///
    /// # Errors
    /// `Internal` if it is not.
    fn audit(&mut self) -> Result<()> {
        Ok(())
    }

    /// Hands over what changed since the last snapshot, or everything if `to.is_full()`.
    ///
    /// # Errors
    /// `Internal` if the state cannot be encoded.
    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let _ = to;
        Ok(())
    }

    /// Takes the state of the owned key groups.
    ///
    /// # Errors
    /// `State` if it does not fit this step.
    fn restore(&mut self, from: &StateReader) -> Result<()> {
        let _ = from;
        Ok(())
    }

    /// Returns about how many bytes and rows of state there are.
    fn size(&self) -> (usize, usize) {
        (0, 0)
    }
}

/// Differences that come to a step.
#[derive(Debug)]
pub struct Came {
    /// The rounds in which they happen.
    pub rounds: Rounds,
    /// The rows, and by how many of each there are more.
    pub change: Change,
    /// The moment of the epoch.
    pub moment: Moment,
}

/// What a step sends, and what it waits for.
#[derive(Debug, Default)]
pub struct Sent {
    /// Differences, in order.
    pub changes: Vec<(Rounds, Change)>,
    /// Rounds that are to be closed; the same ones may be here several times.
    pub waits: Vec<Rounds>,
}

impl Sent {
    /// Sends differences in some rounds.
    pub fn send(&mut self, rounds: Rounds, change: Change) {
        if !change.is_empty() {
            self.changes.push((rounds, change));
        }
    }

    /// Sends rows with weights in some rounds.
    ///
    /// # Errors
    /// `Internal` if there are not as many weights as rows.
    pub fn send_rows(
        &mut self,
        rounds: Rounds,
        rows: RecordBatch,
        weights: impl Iterator<Item = i64>,
    ) -> Result<()> {
        let weights = Int64Array::from_iter_values(weights);
        self.send(rounds, Change::weighted(rows, weights)?);
        Ok(())
    }

    /// Asks for the close of some rounds.
    pub fn wait(&mut self, rounds: Rounds) {
        self.waits.push(rounds);
    }
}

/// A step whose inputs are audited.
pub(super) struct Audited {
    logic: Box<dyn Logic>,
    audits: Auditors,
}

impl Audited {
    /// Returns a step as one whose inputs are audited, if some are.
    pub(super) fn over(logic: Box<dyn Logic>, audits: Vec<Option<Auditor>>) -> Box<dyn Logic> {
        match audits.iter().any(Option::is_some) {
            true => Box::new(Audited { logic, audits: Auditors(audits) }),
            false => logic,
        }
    }
}

impl Logic for Audited {
    fn batch(&mut self, input: usize, came: Came, out: &mut Sent) -> Result<()> {
        self.audits.see(input, &came.change)?;
        self.logic.batch(input, came, out)
    }

    fn close(&mut self, rounds: Rounds, out: &mut Sent) -> Result<()> {
        self.logic.close(rounds, out)
    }

    fn audit(&mut self) -> Result<()> {
        self.audits.close()
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.logic.snapshot(to)
    }

    fn restore(&mut self, from: &StateReader) -> Result<()> {
        self.logic.restore(from)
    }

    fn size(&self) -> (usize, usize) {
        self.logic.size()
    }
}
