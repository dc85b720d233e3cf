//! The contract of stateful operators: plain, synchronous structs that see epochs in order.
//!
//! Invariants: everything of epoch e, then the close of e, then everything of e+1; what may
//! retract is sent in `close` only, consolidated. Operators know no timely, no clock and no I/O,
//! so a test can drive them by hand.

use thalweg_state::{StateReader, StateWriter};
use thalweg_types::epoch::Ending;
use thalweg_types::{Change, EventTime, Moment, Result};

/// Is an operator finished with what it was given?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is left to send.
    Done,
    /// The output is full and more is to come: call `resume` when it has drained.
    More,
}

/// Facts about an epoch whose rows have all been seen.
#[derive(Clone, Copy, Debug)]
pub struct Close {
    /// Epoch, wall clock, and the watermark of the operator's own time domains.
    pub moment: Moment,
    /// The watermarks of the first two inputs, each of its own time domains; the end of time for an
    /// input that has none, or is not there.
    pub inputs: [EventTime; 2],
    /// Is the state at this close to be kept?
    pub is_checkpoint: bool,
    /// Is it the last epoch of the attempt, and why?
    pub ending: Option<Ending>,
}

/// Bytes that an operator may have sent and nobody consumed yet.
pub const OUTPUT_BYTES_MAX: usize = 8 << 20;

/// A change on its way out of an operator.
#[derive(Debug)]
pub struct Sent {
    /// The output that it goes to.
    pub port: usize,
    /// What is sent.
    pub change: Change,
    /// Its [`Change::bytes`]; to count them costs a look at each text.
    pub bytes: usize,
}

/// Collects what an operator sends.
#[derive(Debug, Default)]
pub struct Output {
    sent: Vec<Sent>,
    unconsumed_bytes: usize,
    late: u64,
    bad: u64,
    forgotten: u64,
}

impl Output {
    /// Returns an output over channels on which `unconsumed_bytes` are under way.
    pub fn new(unconsumed_bytes: usize) -> Output {
        Output { unconsumed_bytes, ..Output::default() }
    }

    /// Sends `change` as a result; changes without rows are dropped.
    pub fn send(&mut self, change: Change) {
        self.send_to(0, change);
    }

    /// Sends `change` to output `port`: 1 for late rows and bad records, or a side output.
    pub fn send_to(&mut self, port: usize, change: Change) {
        if !change.is_empty() {
            let bytes = change.bytes();
            self.unconsumed_bytes += bytes;
            self.sent.push(Sent { port, change, bytes });
        }
    }

    /// Should the operator return [`Step::More`] rather than send more?
    pub fn is_full(&self) -> bool {
        self.unconsumed_bytes >= OUTPUT_BYTES_MAX
    }

    /// Counts rows that came too late.
    pub fn count_late(&mut self, rows: usize) {
        self.late += rows as u64;
    }

    /// Counts rows whose expressions failed.
    pub fn count_bad(&mut self, rows: usize) {
        self.bad += rows as u64;
    }

    /// Counts rows (groups) of state whose time-to-live was over.
    pub fn count_forgotten(&mut self, rows: usize) {
        self.forgotten += rows as u64;
    }

    /// Returns how many rows of state were forgotten since the output was made.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Takes what was sent: output port and change, in order.
    pub fn take(&mut self) -> Vec<(usize, Change)> {
        self.take_sized().into_iter().map(|sent| (sent.port, sent.change)).collect()
    }

    /// Takes what was sent, in order, with its bytes.
    pub fn take_sized(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }

    /// Returns how many rows were late and how many bad since the output was made.
    pub fn counted(&self) -> (u64, u64) {
        (self.late, self.bad)
    }
}

/// A stateful operator.
///
/// # Contract
/// The caller calls `restore` at most once and first, then for each epoch `batch` any number of
/// times, `open` before the first of them, and `close` once; after [`Step::More`] it calls `resume` until [`Step::Done`] before
/// anything else; `snapshot` only right after a close that is done. Keys reach the worker that
/// owns their key group. A row is late if and only if its window's end is at or before the
/// watermark of the *previous* close.
pub trait Operator {
    /// Is told of the epoch whose rows come next: its clock, and the watermark that they meet.
    fn open(&mut self, at: &Moment) {
        let _ = at;
    }

    /// Takes rows of the open epoch.
    ///
    /// # Errors
    /// `Data` or `Internal`; the attempt ends.
    fn batch(&mut self, input: usize, change: Change, out: &mut Output) -> Result<Step>;

    /// Everything of the epoch has been seen: emit what is due.
    ///
    /// # Errors
    /// As `batch`.
    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step>;

    /// Goes on after [`Step::More`].
    ///
    /// # Errors
    /// As `batch`.
    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        let _ = out;
        Ok(Step::Done)
    }

    /// Is told once, before all else, what to call when it can go on after a [`Step::More`] for which
    /// something behind it was the reason, and not its full outputs.
    fn resumed_by(&mut self, wake: Box<dyn Fn() + Send + Sync>) {
        drop(wake);
    }

    /// Returns the earliest wall-clock time at which a close is needed even without rows.
    fn wake(&self) -> Option<EventTime> {
        None
    }

    /// Hands over what changed since the last snapshot, or everything if `to.is_full()`.
    ///
    /// # Errors
    /// `Internal` if the state cannot be encoded.
    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let _ = to;
        Ok(())
    }

    /// Takes the state of the owned key groups as it was at the close of `at.epoch`.
    ///
    /// # Errors
    /// `State` if it does not fit this operator.
    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        let _ = (from, at);
        Ok(())
    }

    /// Returns about how many bytes and rows (groups) of state there are.
    fn size(&self) -> (usize, usize) {
        (0, 0)
    }
}
