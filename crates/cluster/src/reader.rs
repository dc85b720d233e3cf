//! Drives the readers of one source on one worker: a thread that asks for splits, reads them and
//! fills the source's port.
//!
//! Invariants: the thread waits only where the port, the coordinator or the stop flag can end the
//! wait; a row is handed over together with the offset behind it.

use std::sync::mpsc::{Receiver, RecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use thalweg_dataflow::job::Stop;
use thalweg_dataflow::port::{SourceItem, SourcePort};
use thalweg_plan::node::{BadRecords, SourceNode};
use thalweg_plan::source::{BadRecord, Offset, SourceBatch, SplitReader, Step, bad_record_batch};
use thalweg_plan::trail::Trail;
use thalweg_types::fault::is_planted;
use thalweg_types::{Change, Error, EventTime, NodeId, Place, Result, SplitId, WorkerId};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::message::{Message, Tell};
use crate::splits::{Answer, Assignment};

/// How often a slowed reader looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A throttled reader hands rows over this often.
const THROTTLE_STEP: Duration = Duration::from_millis(10);

/// Spreads the rows of a slowed source over time, for all its readers together.
#[derive(Debug, Default)]
pub struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// Books `rows` at `rate` rows per second; returns when they may be followed by others.
    fn book(&self, rows: usize, rate: u64) -> Instant {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let from = free.unwrap_or_else(Instant::now).max(Instant::now());
        let until = from + Duration::from_secs_f64(rows as f64 / rate.max(1) as f64);
        *free = Some(until);
        until
    }
}

/// A reader thread's surroundings.
pub struct Reader {
    /// The source's node.
    pub node: NodeId,
    /// The source.
    pub source: SourceNode,
    /// What is known of the times of the split that is read.
    pub trail: Trail,
    /// The worker.
    pub worker: WorkerId,
    /// Slows all readers of the source down together.
    pub pace: Arc<Pace>,
    /// Where rows go.
    pub port: Arc<SourcePort>,
    /// Where messages go.
    pub tell: Tell,
    /// What the coordinator answers.
    pub answers: Receiver<Answer>,
    /// Ends everything.
    pub stop: Arc<Stop>,
    /// Becomes true at the end of the attempt, for what waits asynchronously.
    pub over: watch::Receiver<bool>,
    /// Runs what is asynchronous.
    pub runtime: Handle,
}

impl Reader {
    /// Reads until there are no splits left or the attempt ends.
    pub fn run(mut self) {
        if let Err(error) = self.read_splits() {
            (self.tell)(Message::Failed(error));
        }
    }

    fn is_over(&self) -> bool {
        self.port.is_closed() || self.stop.is_set()
    }

    fn read_splits(&mut self) -> Result<()> {
        assert!(!is_planted("panicking-reader") || self.worker.0 == 0, "planted: a reader panics");
        let mut asks = true;
        while !self.is_over() {
            if asks {
                (self.tell)(Message::WantSplit(self.node, self.worker));
            }
            // Ends with the attempt, which drops the other side.
            match self.answers.recv() {
                Ok(Answer::Read(assignment)) => self.read(*assignment)?,
                Ok(Answer::End) | Err(RecvError) => {
                    self.port.push_waiting(SourceItem::End, 0);
                    return Ok(());
                }
                // The coordinator remembers who waits.
                Ok(Answer::Wait) => {
                    asks = false;
                    continue;
                }
            }
            asks = true;
        }
        Ok(())
    }

    fn read(&mut self, assignment: Assignment) -> Result<()> {
        let Assignment { split, number, offset, watermark, trail } = assignment;
        tracing::debug!(source = self.source.table, split = %split.id, "Split is read.");
        let opened = SourceItem::Opened {
            split: split.id.clone(),
            sequence: split.sequence.clone(),
            number,
            offset: offset.clone(),
            watermark,
        };
        self.follow(trail);
        self.port.push_waiting(opened, 0);
        let (mut skip, from) = unpack(offset);
        let open = self.source.source.reader(&split, from.as_ref());
        let mut reader = self.runtime.block_on(open)?;
        if skip > 0 && is_planted("skipped-offset") {
            skip += 1;
        }
        let mut base = from;
        while !self.is_over() {
            let Some(batch) = self.next(&split.id, &mut reader)? else {
                if !self.is_over() {
                    self.port.push_waiting(SourceItem::Finished(split.id), 0);
                }
                return Ok(());
            };
            let next = batch.next.clone();
            self.hand_over(&split.id, (batch, reader.step()), &base, &mut skip)?;
            base = Some(next);
        }
        Ok(())
    }

    /// Waits for the next batch, telling of idleness meanwhile; `None`, too, if the attempt ends.
    fn next(
        &mut self,
        split: &SplitId,
        reader: &mut Box<dyn SplitReader>,
    ) -> Result<Option<SourceBatch>> {
        let Reader { port, over, source, runtime, .. } = self;
        let mut idle_after = source.idle_timeout;
        runtime.clone().block_on(async {
            let mut next = reader.next();
            loop {
                let idle = async {
                    match idle_after {
                        Some(after) => tokio::time::sleep(after).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    batch = &mut next => return batch,
                    // An error says that the other side is gone, and so is the attempt.
                    _ = over.wait_for(|over| *over) => return Ok(None),
                    () = idle => {
                        idle_after = None;
                        port.push_waiting(SourceItem::Idle(split.clone()), 0);
                    }
                }
            }
        })
    }

    /// Goes on with what is known of the times of a split; of one that nobody began, the split before it
    /// may tell more.
    fn follow(&mut self, known: Trail) {
        let last = self.trail.followed();
        let is_behind = !known.is_begun() && last.count() > known.count();
        self.trail = if is_behind { last } else { known };
    }

    /// Returns the watermark behind rows, and what is known of times then, if it trails them.
    fn watermark(&mut self, rows: &RecordBatch) -> Result<(Option<EventTime>, Option<Arc<Trail>>)> {
        let Some(watermarker) = &self.source.watermark else { return Ok((None, None)) };
        let Some((times, share)) = watermarker.trailing(rows)? else {
            return Ok((watermarker.watermark(rows)?, None));
        };
        let watermark = self.trail.take(&times, share);
        Ok((watermark, Some(Arc::new(self.trail.clone()))))
    }

    fn hand_over(
        &mut self,
        split: &SplitId,
        (batch, line): (SourceBatch, Option<Step>),
        base: &Option<Offset>,
        skip: &mut u64,
    ) -> Result<()> {
        let (bad, bad_count) = self.judge(&batch.bad)?;
        let rows = batch.rows.len();
        let skipped = (*skip as usize).min(rows);
        *skip -= skipped as u64;
        let step = match self.source.rows_per_second {
            // A line of a script is one epoch, however many rows it has.
            _ if line.is_some() => rows,
            None => rows,
            Some(rate) => ((rate as f64 * THROTTLE_STEP.as_secs_f64()) as usize).max(1),
        };
        let mut at = skipped;
        loop {
            let to = whole(&batch.rows, (at + step.max(1)).min(rows));
            let part = batch.rows.slice(at, to - at);
            let is_last = to == rows;
            let (mut watermark, trail) = self.watermark(&part.rows)?;
            if self.source.watermark.is_some() {
                // What the source itself claims counts as well.
                watermark = watermark.max(line.and_then(|line| line.watermark));
            }
            let next = if is_last { batch.next.clone() } else { pack(base, to as u64) };
            let share = batch.bytes * (to - at) / rows.max(1);
            let item = SourceItem::Rows {
                split: split.clone(),
                rows: part,
                bad: if is_last { bad.clone() } else { None },
                bad_count: if is_last { bad_count } else { 0 },
                next,
                watermark,
                trail,
                step: line.map(|line| Box::new(Step { watermark, ..line })),
            };
            if !self.port.push_waiting(item, share.max(64)) {
                return Ok(());
            }
            self.throttle(to - at);
            at = to;
            if is_last || self.is_over() {
                return Ok(());
            }
        }
    }

    /// Waits as long as so many rows may take.
    fn throttle(&self, rows: usize) {
        let Some(rate) = self.source.rows_per_second else { return };
        let until = self.pace.book(rows, rate);
        while !self.is_over() && Instant::now() < until {
            std::thread::park_timeout(
                LOOK_EVERY.min(until.saturating_duration_since(Instant::now())),
            );
        }
    }

    /// Does with bad records what the user said.
    fn judge(&self, bad: &[BadRecord]) -> Result<(Option<RecordBatch>, u64)> {
        let Some(first) = bad.first() else { return Ok((None, 0)) };
        match self.source.bad_records {
            BadRecords::Fail => {
                let place = Place::File { path: first.place.clone(), line: None, offset: None };
                Err(Error::data(format!("bad record in `{}`: {}", self.source.table, first.error))
                    .at(place)
                    .remedy("set 'bad-records' = 'skip' or 'table:NAME' on the table to go on"))
            }
            BadRecords::Skip => Ok((None, bad.len() as u64)),
            BadRecords::Divert => Ok((Some(bad_record_batch(bad)?), bad.len() as u64)),
        }
    }
}

/// Returns where to cut rows at `to` or behind it without parting the halves of an update, which
/// belong into one epoch.
fn whole(rows: &Change, to: usize) -> usize {
    let parts = to < rows.len() && rows.weight(to - 1) < 0 && rows.weight(to) > 0;
    if parts { to + 1 } else { to }
}

/// Returns the offset behind the first `rows` rows that follow `base`: a reader opened at `base`
/// gives the same rows again, so they can be skipped.
fn pack(base: &Option<Offset>, rows: u64) -> Offset {
    let base = base.as_ref().map_or("", |offset| offset.0.as_str());
    Offset(format!("+{rows}|{base}"))
}

/// Returns how many rows to skip behind which offset of the connector's.
fn unpack(offset: Option<Offset>) -> (u64, Option<Offset>) {
    let Some(Offset(text)) = offset else { return (0, None) };
    let packed = text.strip_prefix('+').and_then(|rest| rest.split_once('|'));
    let packed = packed.and_then(|(rows, base)| Some((rows.parse().ok()?, base)));
    match packed {
        Some((rows, "")) => (rows, None),
        Some((rows, base)) => (rows, Some(Offset(base.to_owned()))),
        None => (0, Some(Offset(text))),
    }
}

#[cfg(test)]
mod tests;
