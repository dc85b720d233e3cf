//! Counters of each operator on each worker.
//!
//! Invariant: counters are written by one worker thread and read by anyone; they steer nothing.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thalweg_types::EventTime;

/// Counters of one operator on one worker since the attempt began.
#[derive(Debug)]
pub struct Counters {
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    busy_ns: AtomicU64,
    late: AtomicU64,
    bad: AtomicU64,
    backlog_rows: AtomicU64,
    state_rows: AtomicU64,
    state_bytes: AtomicU64,
    state_rows_max: AtomicU64,
    state_bytes_max: AtomicU64,
    forgotten: AtomicU64,
    moved_rows: AtomicU64,
    moved_bytes: AtomicU64,
    watermark: AtomicI64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            rows_in: AtomicU64::new(0),
            rows_out: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            late: AtomicU64::new(0),
            bad: AtomicU64::new(0),
            backlog_rows: AtomicU64::new(0),
            state_rows: AtomicU64::new(0),
            state_bytes: AtomicU64::new(0),
            state_rows_max: AtomicU64::new(0),
            state_bytes_max: AtomicU64::new(0),
            forgotten: AtomicU64::new(0),
            moved_rows: AtomicU64::new(0),
            moved_bytes: AtomicU64::new(0),
            watermark: AtomicI64::new(i64::MIN),
        }
    }
}

/// How long something took, each time: a histogram whose buckets are an eighth of their value wide.
#[derive(Debug)]
pub struct Durations(Vec<AtomicU64>);

/// Buckets for each doubling.
const BUCKETS: u64 = 8;

impl Default for Durations {
    fn default() -> Self {
        Durations((0..64 * BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Durations {
    /// Counts one.
    pub fn count(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(BUCKETS);
        let doublings = u64::from(nanos.ilog2());
        let within = (nanos >> (doublings - 3)) & (BUCKETS - 1);
        self.0[(doublings * BUCKETS + within) as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns what the share `quantile` of them did not exceed; zero if there were none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let counts: Vec<u64> = self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let rank = (counts.iter().sum::<u64>() as f64 * quantile).ceil() as u64;
        let mut below = 0;
        for (bucket, count) in (0..).zip(counts) {
            below += count;
            if below >= rank && count > 0 {
                let (doublings, within) = (bucket / BUCKETS, bucket % BUCKETS);
                return Duration::from_nanos((BUCKETS + within + 1) << doublings.saturating_sub(3));
            }
        }
        Duration::ZERO
    }
}

/// What the counters said at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Rows that came in.
    pub rows_in: u64,
    /// Rows that went out.
    pub rows_out: u64,
    /// Bytes that came in.
    pub bytes_in: u64,
    /// Bytes that went out.
    pub bytes_out: u64,
    /// Time spent in the operator.
    pub busy: Duration,
    /// Rows that were late.
    pub late: u64,
    /// Records that were bad.
    pub bad: u64,
    /// Rows that wait in the operator for their epoch.
    pub backlog_rows: u64,
    /// Rows (groups, panes) of state.
    pub state_rows: u64,
    /// Bytes of state.
    pub state_bytes: u64,
    /// The most rows of state there were.
    pub state_rows_max: u64,
    /// The most bytes of state there were.
    pub state_bytes_max: u64,
    /// Rows of state whose time-to-live was over.
    pub forgotten: u64,
    /// Rows that this worker sent to the operator on other workers.
    pub moved_rows: u64,
    /// Bytes that this worker sent to the operator on other workers.
    pub moved_bytes: u64,
    /// The watermark of the last closed epoch, nanoseconds since 1970.
    pub watermark: i64,
}

/// Counters of the workers of a process or of a job, by worker and node.
pub type Counts = Vec<Vec<Counted>>;

impl Counters {
    /// Counts rows and bytes that came in.
    pub fn count_in(&self, rows: usize, bytes: usize) {
        self.rows_in.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts rows and bytes that went out.
    pub fn count_out(&self, rows: usize, bytes: usize) {
        self.rows_out.fetch_add(rows as u64, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Counts time spent.
    pub fn count_busy(&self, time: Duration) {
        self.busy_ns.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    /// Counts late rows and bad records.
    pub fn count_rejected(&self, late: u64, bad: u64) {
        self.late.fetch_add(late, Ordering::Relaxed);
        self.bad.fetch_add(bad, Ordering::Relaxed);
    }

    /// Counts rows of state whose time-to-live was over.
    pub fn count_forgotten(&self, rows: u64) {
        self.forgotten.fetch_add(rows, Ordering::Relaxed);
    }

    /// Says how many rows wait for their epoch.
    pub fn set_backlog(&self, rows: usize) {
        self.backlog_rows.store(rows as u64, Ordering::Relaxed);
    }

    /// Says how large the state is.
    pub fn set_state(&self, (bytes, rows): (usize, usize)) {
        self.state_bytes.store(bytes as u64, Ordering::Relaxed);
        self.state_rows.store(rows as u64, Ordering::Relaxed);
        self.state_bytes_max.fetch_max(bytes as u64, Ordering::Relaxed);
        self.state_rows_max.fetch_max(rows as u64, Ordering::Relaxed);
    }

    /// Counts rows and bytes sent to other workers.
    pub fn count_moved(&self, rows: usize, bytes: usize) {
        self.moved_rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.moved_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Says how far event time has come.
    pub fn set_watermark(&self, watermark: EventTime) {
        self.watermark.store(watermark.0, Ordering::Relaxed);
    }

    /// Returns late rows and bad records so far.
    pub fn rejected(&self) -> (u64, u64) {
        (self.late.load(Ordering::Relaxed), self.bad.load(Ordering::Relaxed))
    }

    /// Returns all counters.
    pub fn read(&self) -> Counted {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            rows_in: get(&self.rows_in),
            rows_out: get(&self.rows_out),
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            busy: Duration::from_nanos(get(&self.busy_ns)),
            late: get(&self.late),
            bad: get(&self.bad),
            backlog_rows: get(&self.backlog_rows),
            state_rows: get(&self.state_rows),
            state_bytes: get(&self.state_bytes),
            state_rows_max: get(&self.state_rows_max),
            state_bytes_max: get(&self.state_bytes_max),
            forgotten: get(&self.forgotten),
            moved_rows: get(&self.moved_rows),
            moved_bytes: get(&self.moved_bytes),
            watermark: self.watermark.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests;
