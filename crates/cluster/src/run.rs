//! A job from its state directory to its end: lock, recover, fence, run, report.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use thalweg_dataflow::job::{Job, Start};
use thalweg_plan::Plan;
use thalweg_plan::node::NodeKind;
use thalweg_storage::checkpoint::Manifest;
use thalweg_storage::lock::StateDirLock;
use thalweg_storage::{CheckpointLog, ObjectStore};
use thalweg_types::{
    AttemptId, Epoch, Error, EventTime, JobId, KeyGroups, NodeId, Result, WorkerId,
};
use tokio::runtime::Handle;

use crate::attempt::{Attempt, Begin};
use crate::coordinator::{Coordinator, End, SourceDesk};
use crate::fault::is_planted;
use crate::message::{Message, Stop};
use crate::options::RunOptions;
use crate::splits::Splits;
use crate::{restore, stats};

/// Lets others end a job.
#[derive(Clone, Debug)]
pub struct Control(Sender<Message>);

impl Control {
    /// Returns a control and what the job reads from it.
    pub fn new() -> (Control, Inbox) {
        let (sender, receiver) = channel();
        (Control(sender.clone()), Inbox { sender, receiver })
    }

    /// Ends the job.
    pub fn stop(&self, stop: Stop) {
        // A job that is over needs no stopping.
        let _ = self.0.send(Message::Stop(stop));
    }
}

/// The job's end of a [`Control`].
#[derive(Debug)]
pub struct Inbox {
    sender: Sender<Message>,
    receiver: Receiver<Message>,
}

/// What became of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Was the job finished before it began?
    pub was_finished: bool,
    /// Rows counted since the job began: `rows`, `bad` and `late`, by operator.
    pub counters: BTreeMap<String, u64>,
    /// Rows that each sink was given in this run, by operator.
    pub rows_out: BTreeMap<String, u64>,
    /// Checkpoints completed in this run.
    pub checkpoints: u64,
    /// Time that the run took.
    pub elapsed: Duration,
}

/// Runs `plan` until it ends, fails or is stopped.
///
/// # Errors
/// `State` if the state directory is held, or its state does not fit; whatever fails the attempt.
pub fn run(plan: Plan, options: &RunOptions, inbox: Inbox, runtime: Handle) -> Result<Outcome> {
    let temporary = match &options.state {
        Some(_) => None,
        None => Some(Temporary::new()?),
    };
    let place = match (&options.state, &temporary) {
        (Some(place), _) => place.clone(),
        (None, Some(temporary)) => temporary.0.display().to_string(),
        (None, None) => return Err(Error::internal("a run without a place for its state")),
    };
    let _lock = match place.contains("://") {
        true => None,
        false => Some(StateDirLock::acquire(Path::new(&place), &options.holder)?),
    };
    let log = CheckpointLog::new(ObjectStore::open(&place)?);
    let run = Run { plan: Arc::new(plan), options, log, runtime, began: Instant::now() };
    run.run(inbox)
}

/// A directory that goes with the run.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Temporary> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("thalweg-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path)
            .map_err(|error| Error::failed(format!("cannot make `{}`: {error}", path.display())))?;
        Ok(Temporary(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed is left to the system's own cleaning.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Run<'a> {
    plan: Arc<Plan>,
    options: &'a RunOptions,
    log: CheckpointLog,
    runtime: Handle,
    began: Instant,
}

impl Run<'_> {
    fn run(&self, inbox: Inbox) -> Result<Outcome> {
        let newest = self.runtime.block_on(self.log.newest())?;
        let empty = || Manifest::empty(&self.options.job, KeyGroups::DEFAULT_COUNT);
        let from = match newest {
            None => empty(),
            Some(newest) if self.options.is_fresh => {
                Manifest { number: newest.number, attempt: newest.attempt, ..empty() }
            }
            Some(newest) => newest,
        };
        restore::check(&self.plan, &from)?;
        let was_finished = from.is_finished;
        let manifest = self.runtime.block_on(self.log.fence(&from))?;
        let mut coordinator = self.coordinator(manifest)?;
        coordinator.publish()?;
        if was_finished && !self.options.continues {
            return Ok(self.outcome(&coordinator, (End::Finished, true), BTreeMap::new()));
        }
        let Inbox { sender, receiver } = inbox;
        let begin = self.begin(&coordinator, sender)?;
        let attempt = Attempt::start(begin)?;
        let statistics = self.statistics(attempt.job.clone())?;
        let end = coordinator.run(&attempt, &receiver);
        let rows_out = rows_out(&attempt.job);
        drop(statistics);
        attempt.end();
        Ok(self.outcome(&coordinator, (end?, false), rows_out))
    }

    fn outcome(
        &self,
        coordinator: &Coordinator,
        (end, was_finished): (End, bool),
        rows_out: BTreeMap<String, u64>,
    ) -> Outcome {
        Outcome {
            end,
            was_finished,
            counters: coordinator.manifest.counters.clone(),
            rows_out,
            checkpoints: coordinator.completed,
            elapsed: self.began.elapsed(),
        }
    }

    fn coordinator(&self, manifest: Manifest) -> Result<Coordinator> {
        let (mut sources, mut committers) = (BTreeMap::new(), BTreeMap::new());
        for node in &self.plan.nodes {
            match &node.kind {
                NodeKind::Source(source) => {
                    let saved = manifest.sources.get(node.operator.as_str());
                    let mut splits = saved.map(Splits::restored).unwrap_or_default();
                    let known = splits.known();
                    let found = source.source.enumerate(&known);
                    let found = self.runtime.block_on(found)?;
                    splits.discovered(found.splits, found.again.is_none());
                    let look_at = found.again.map(|after| Instant::now() + after);
                    let desk = SourceDesk { splits, look_at, waiting: Default::default() };
                    sources.insert(node.id, desk);
                }
                NodeKind::Sink(sink) => {
                    let committer = self.runtime.block_on(sink.sink.committer())?;
                    committers.insert(node.operator.0.clone(), committer);
                }
                _ => {}
            }
        }
        Ok(Coordinator {
            plan: self.plan.clone(),
            groups: KeyGroups { count: manifest.key_groups, workers: self.options.workers },
            log: self.log.clone(),
            counters: manifest.counters.clone(),
            manifest,
            sources,
            committers,
            interval: self.options.checkpoint_interval,
            runtime: self.runtime.clone(),
            kept: Vec::new(),
            completed: 0,
        })
    }

    fn begin(&self, coordinator: &Coordinator, sender: Sender<Message>) -> Result<Begin> {
        let (groups, manifest) = (coordinator.groups, &coordinator.manifest);
        let mut state = Vec::new();
        for worker in 0..groups.workers {
            let owned = groups.owned_by(WorkerId(worker));
            let mut own: BTreeMap<NodeId, _> = BTreeMap::new();
            if manifest.epoch > 0 {
                for node in &self.plan.nodes {
                    let name = node.operator.as_str();
                    let saved = restore::state(&self.log, manifest, name, owned);
                    let saved = self.runtime.block_on(saved)?;
                    // Operators without state of their own still learn the restored moment.
                    own.insert(node.id, saved.unwrap_or_default());
                }
            }
            state.push(own);
        }
        let forgets = is_planted("forgotten-watermark");
        let watermark = |name: &String| manifest.watermarks.get(name).copied().filter(|_| !forgets);
        let watermarks = self
            .plan
            .domains
            .iter()
            .map(|name| EventTime(watermark(name).unwrap_or(EventTime::MIN.0)));
        let holds = coordinator.sources.iter().map(|(node, desk)| (*node, desk.splits.holds()));
        Ok(Begin {
            plan: self.plan.clone(),
            groups,
            job: JobId(self.options.job.clone()),
            attempt: AttemptId(manifest.attempt),
            start: Start {
                epoch: Epoch(manifest.epoch),
                clock: EventTime(manifest.clock),
                watermarks: watermarks.collect(),
                pending: holds.collect(),
            },
            state,
            writers: manifest.writers.clone(),
            log: self.log.clone(),
            tell: Arc::new(move |message| {
                // A coordinator that is gone has ended the attempt already.
                let _ = sender.send(message);
            }),
            runtime: self.runtime.clone(),
        })
    }

    /// Starts the thread that writes statistics; it ends when what is returned is dropped.
    fn statistics(&self, job: Arc<Job>) -> Result<Option<Statistics>> {
        let Some(path) = &self.options.stats else { return Ok(None) };
        let mut file = File::create(path).map_err(|error| {
            Error::failed(format!("cannot write statistics to `{}`: {error}", path.display()))
        })?;
        let (over, is_over) = channel::<()>();
        let began = self.began;
        let thread = std::thread::spawn(move || {
            loop {
                let waited = is_over.recv_timeout(Duration::from_secs(1));
                let elapsed = began.elapsed().as_millis() as u64;
                if let Err(error) = stats::write(&job, elapsed, &mut file) {
                    tracing::warn!(%error, "Statistics are no longer written.");
                    return;
                }
                if waited != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Ok(Some(Statistics { over: Some(over), thread: Some(thread) }))
    }
}

/// The thread that writes statistics.
struct Statistics {
    over: Option<Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Drop for Statistics {
    fn drop(&mut self) {
        self.over.take();
        if let Some(thread) = self.thread.take() {
            // Its failure is told where it happens.
            let _ = thread.join();
        }
    }
}

fn rows_out(job: &Job) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for counters in &job.counters {
        for (node, counters) in job.plan.nodes.iter().zip(counters) {
            if matches!(node.kind, NodeKind::Sink(_)) {
                *rows.entry(node.operator.0.clone()).or_default() += counters.read().rows_in;
            }
        }
    }
    rows
}
