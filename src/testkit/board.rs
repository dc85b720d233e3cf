//! What a test and the job under it say to each other: steps in one direction, rows in the other.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take, take_record_batch};
use arrow::datatypes::Int64Type;
use arrow::row::{RowConverter, SortField};
use thalweg_api::Record;
use thalweg_plan::source::Step;
use thalweg_types::{Change, Epoch, Error, EventTime, NodeId, Result, WorkerId};
use tokio::sync::watch;

/// How long a test waits for what a step causes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A step.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// The table that it concerns; `None` for all.
    pub(super) table: Option<String>,
    pub(super) rows: Option<RecordBatch>,
    pub(super) step: Step,
}

/// What is known of the steps.
#[derive(Debug, Default)]
struct Script {
    lines: Vec<Line>,
    is_finished: bool,
    clock: Option<EventTime>,
    watermarks: BTreeMap<Option<String>, EventTime>,
}

/// Who writes rows of a result.
pub(super) type Writer = (NodeId, WorkerId);

/// Rows that wait for their checkpoint.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) result: String,
    pub(super) writer: Writer,
    pub(super) rows: Vec<(Epoch, Change)>,
}

/// What is known of the results.
#[derive(Debug, Default)]
struct Results {
    /// By result and epoch.
    rows: BTreeMap<String, BTreeMap<Epoch, Vec<Change>>>,
    /// By the name of what is to be committed; `None` once that is done.
    staged: BTreeMap<String, Option<Staged>>,
    /// How many checkpoints of each writer are committed in this attempt.
    committed: BTreeMap<Writer, u64>,
    /// Is the job at its end?
    is_over: bool,
}

/// Where steps and rows stand.
#[derive(Debug)]
pub(super) struct Board {
    script: Mutex<Script>,
    /// Becomes another number when there are further steps, or no further ones.
    news: watch::Sender<u64>,
    results: Mutex<Results>,
    changed: Condvar,
}

impl Default for Board {
    fn default() -> Self {
        let (script, results) = (Mutex::default(), Mutex::default());
        Board { script, news: watch::Sender::new(0), results, changed: Condvar::new() }
    }
}

impl Board {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn results(&self) -> MutexGuard<'_, Results> {
        self.results.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a step.
    ///
    /// # Errors
    /// `Invalid` if the script is finished, or time goes back.
    pub(super) fn add(&self, line: Line) -> Result<()> {
        let mut script = self.script();
        if script.is_finished {
            return Err(Error::invalid("the test is finished: no step can follow"));
        }
        if let Some(clock) = line.step.clock {
            check_order("clock", script.clock, clock)?;
            script.clock = Some(clock);
        }
        if let Some(watermark) = line.step.watermark {
            let before = script.watermarks.get(&line.table).copied();
            check_order("watermark", before, watermark)?;
            script.watermarks.insert(line.table.clone(), watermark);
        }
        script.lines.push(line);
        drop(script);
        self.news.send_modify(|news| *news += 1);
        Ok(())
    }

    /// Lets no step follow.
    pub(super) fn finish(&self) {
        self.script().is_finished = true;
        self.news.send_modify(|news| *news += 1);
    }

    /// Returns the step behind `taken` others, once there is one; `None` if there is none.
    pub(super) async fn line(&self, taken: usize) -> Option<Line> {
        let mut news = self.news.subscribe();
        loop {
            news.mark_unchanged();
            {
                let script = self.script();
                if let Some(line) = script.lines.get(taken) {
                    return Some(line.clone());
                }
                if script.is_finished {
                    return None;
                }
            }
            // The board has the sender, so it cannot be gone.
            let _ = news.changed().await;
        }
    }

    /// Takes rows of a result, to be shown once they are committed under a name.
    pub(super) fn stage(&self, name: String, staged: Staged) {
        self.results().staged.insert(name, Some(staged));
    }

    /// Shows rows; twice is once.
    ///
    /// # Errors
    /// `State` if nothing was staged under this name.
    pub(super) fn commit(&self, name: &str) -> Result<()> {
        let mut results = self.results();
        let staged = results.staged.get_mut(name);
        let staged =
            staged.ok_or_else(|| Error::state(format!("nothing is staged as `{name}`")))?;
        let Some(Staged { result, writer, rows }) = staged.take() else { return Ok(()) };
        let shown = results.rows.entry(result).or_default();
        rows.into_iter().for_each(|(epoch, change)| shown.entry(epoch).or_default().push(change));
        *results.committed.entry(writer).or_default() += 1;
        self.changed.notify_all();
        Ok(())
    }

    /// Begins to count for another attempt.
    pub(super) fn begin(&self) {
        let mut results = self.results();
        results.committed.clear();
        results.is_over = false;
    }

    /// Notes that the job is at its end.
    pub(super) fn end(&self) {
        self.results().is_over = true;
        self.changed.notify_all();
    }

    /// Waits until so many checkpoints of so many writers are committed; false if the job ended instead.
    ///
    /// # Errors
    /// `Failed` if it takes too long.
    pub(super) fn wait(&self, writers: usize, checkpoints: u64) -> Result<bool> {
        let is_waiting = |results: &mut Results| {
            let done = results.committed.values().filter(|done| **done >= checkpoints);
            done.count() < writers && !results.is_over
        };
        let waited = self.changed.wait_timeout_while(self.results(), PATIENCE, is_waiting);
        let (results, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        match timeout.timed_out() {
            true => {
                let seconds = PATIENCE.as_secs();
                Err(Error::failed(format!("a step is not done after {seconds} s")))
            }
            false => Ok(!results.is_over),
        }
    }

    /// Returns what came of a result, in order, and forgets it.
    ///
    /// # Errors
    /// `Internal` if rows are not those of the result.
    pub(super) fn take<U: Record>(&self, result: &str) -> Result<Vec<(i64, U)>> {
        let epochs = self.results().rows.remove(result).unwrap_or_default();
        let mut taken = Vec::new();
        for changes in epochs.into_values() {
            taken.extend(in_order::<U>(&changes)?);
        }
        Ok(taken)
    }
}

fn check_order(what: &str, before: Option<EventTime>, time: EventTime) -> Result<()> {
    match before {
        Some(before) if time < before => {
            Err(Error::invalid(format!("the {what} goes back, from {before} to {time}")))
        }
        _ => Ok(()),
    }
}

/// Returns the rows of an epoch: those that went, then those that came, each by their columns.
fn in_order<U: Record>(changes: &[Change]) -> Result<Vec<(i64, U)>> {
    let batches: Vec<RecordBatch> = changes.iter().map(|change| change.rows.clone()).collect();
    let rows = concat_batches(&U::schema(), &batches)?;
    let weights: Vec<i64> = changes
        .iter()
        .flat_map(|change| match &change.weights {
            Some(weights) => weights.values().to_vec(),
            None => vec![1; change.len()],
        })
        .collect();
    let fields = rows.columns().iter().map(|column| SortField::new(column.data_type().clone()));
    let codes = RowConverter::new(fields.collect())?.convert_columns(rows.columns())?;
    let mut order: Vec<u32> = (0..rows.num_rows() as u32).collect();
    order.sort_by_key(|row| (weights[*row as usize] > 0, codes.row(*row as usize)));
    let order = UInt32Array::from(order);
    let rows = U::read(&take_record_batch(&rows, &order)?)?;
    let weights = take(&Int64Array::from(weights), &order, None)?;
    Ok(weights.as_primitive::<Int64Type>().values().iter().copied().zip(rows).collect())
}
