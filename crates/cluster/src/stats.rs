//! Counters as text: one line of JSON for each operator and worker, each second.

use std::io::Write;
use std::sync::Arc;

use serde::Serialize;
use thalweg_dataflow::job::Job;
use thalweg_types::{Error, EventTime, Result};

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
    watermark: String,
}

/// Writes the counters of all operators.
///
/// # Errors
/// `Failed` if they cannot be written.
pub fn write(job: &Arc<Job>, elapsed_ms: u64, to: &mut dyn Write) -> Result<()> {
    for (worker, counters) in job.counters.iter().enumerate() {
        for (node, counters) in job.plan.nodes.iter().zip(counters) {
            let c = counters.read();
            let line = Line {
                elapsed_ms,
                operator: node.operator.as_str(),
                worker: job.first_worker + worker,
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
                watermark: EventTime(c.watermark).to_string(),
            };
            let text = serde_json::to_string(&line).map_err(|e| Error::internal(e.to_string()))?;
            writeln!(to, "{text}")
                .map_err(|error| Error::failed(format!("cannot write statistics: {error}")))?;
        }
    }
    to.flush().map_err(|error| Error::failed(format!("cannot write statistics: {error}")))
}
