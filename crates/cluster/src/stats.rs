//! Counters as text: one line of JSON for each operator and worker, each second.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use thalweg_dataflow::stats::{Counters, Counts};
use thalweg_plan::{NodeKind, Plan};
use thalweg_types::{Error, EventTime, Result};

use crate::attempt::{Attempt, counts};
use crate::group::Group;
use crate::options::Progress;

#[derive(Serialize)]
struct Line<'a> {
    elapsed_ms: u64,
    operator: &'a str,
    worker: usize,
    rows_in: u64,
    rows_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    busy_ms: u64,
    late: u64,
    bad: u64,
    backlog_rows: u64,
    state_rows: u64,
    state_bytes: u64,
    state_rows_max: u64,
    state_bytes_max: u64,
    forgotten_rows: u64,
    moved_rows: u64,
    moved_bytes: u64,
    watermark: String,
}

/// Writes the counters of all operators of the job on all its workers; those of each of `workers`
/// stand by node.
///
/// # Errors
/// `Failed` if they cannot be written.
pub fn write(plan: &Plan, workers: &Counts, elapsed_ms: u64, to: &mut dyn Write) -> Result<()> {
    for (worker, counts) in workers.iter().enumerate() {
        for (node, c) in plan.nodes.iter().zip(counts) {
            let line = Line {
                elapsed_ms,
                operator: node.operator.as_str(),
                worker,
                rows_in: c.rows_in,
                rows_out: c.rows_out,
                bytes_in: c.bytes_in,
                bytes_out: c.bytes_out,
                busy_ms: c.busy.as_millis() as u64,
                late: c.late,
                bad: c.bad,
                backlog_rows: c.backlog_rows,
                state_rows: c.state_rows,
                state_bytes: c.state_bytes,
                state_rows_max: c.state_rows_max,
                state_bytes_max: c.state_bytes_max,
                forgotten_rows: c.forgotten,
                moved_rows: c.moved_rows,
                moved_bytes: c.moved_bytes,
                watermark: EventTime(c.watermark).to_string(),
            };
            let text = serde_json::to_string(&line).map_err(|e| Error::internal(e.to_string()))?;
            writeln!(to, "{text}")
                .map_err(|error| Error::failed(format!("cannot write statistics: {error}")))?;
        }
    }
    to.flush().map_err(|error| Error::failed(format!("cannot write statistics: {error}")))
}

/// Reads the counters of all workers of a job, in all its processes.
#[derive(Clone)]
pub struct Meter {
    local: Vec<Vec<Arc<Counters>>>,
    others: Option<Arc<Mutex<BTreeMap<usize, Counts>>>>,
}

impl Meter {
    /// Returns a meter of `attempt`.
    pub fn new(attempt: &Attempt) -> Meter {
        Meter { local: attempt.job.counters.clone(), others: attempt.group().map(Group::counts) }
    }

    /// Returns the counters by worker and node; those of other processes may be a second old.
    pub fn read(&self) -> Counts {
        let mut all = counts(&self.local);
        if let Some(others) = &self.others {
            let others = others.lock().unwrap_or_else(PoisonError::into_inner);
            all.extend(others.values().flatten().cloned());
        }
        all
    }
}

/// Returns how far a run has come, given the time and the rows of the last time; `now` is the wall
/// clock.
pub fn progress(
    plan: &Plan,
    workers: &Counts,
    (elapsed, now): (Duration, EventTime),
    (before, rows_before): (Duration, u64),
) -> Progress {
    let of = |wanted: fn(&NodeKind) -> bool| {
        workers.iter().flat_map(move |counts| {
            let nodes = plan.nodes.iter().zip(counts);
            nodes.filter(move |(node, _)| wanted(&node.kind)).map(|(_, counted)| counted)
        })
    };
    let rows = of(|kind| matches!(kind, NodeKind::Source(_))).map(|c| c.rows_out).sum::<u64>();
    let watermark = of(|kind| matches!(kind, NodeKind::Sink(_))).map(|c| c.watermark).min();
    let known = (EventTime::MIN.0 + 1)..EventTime::MAX.0;
    let watermark = watermark.filter(|watermark| known.contains(watermark)).map(EventTime);
    let seconds = elapsed.saturating_sub(before).as_secs_f64().max(1e-3);
    Progress {
        elapsed,
        rows,
        rate: rows.saturating_sub(rows_before) as f64 / seconds,
        watermark,
        lag: watermark
            .map(|watermark| Duration::from_nanos(now.0.saturating_sub(watermark.0).max(0) as u64)),
    }
}
