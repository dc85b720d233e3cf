//! A job from its state directory to its end: lock, recover, fence, run, report.

use std::collections::BTreeMap;
use std::fs::File;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use thalweg_dataflow::job::Start;
use thalweg_dataflow::stats::{Counts, Durations};
use thalweg_plan::Plan;
use thalweg_plan::fingerprint::fingerprint;
use thalweg_plan::node::NodeKind;
use thalweg_storage::checkpoint::Manifest;
use thalweg_storage::lock::StateDirLock;
use thalweg_storage::{CheckpointLog, ObjectStore};
use thalweg_types::clock::{Clock, SystemClock};
use thalweg_types::fault::is_planted;
use thalweg_types::{AttemptId, Epoch, Error, EventTime, JobId, KeyGroups, Result};
use tokio::runtime::Handle;

use crate::attempt::{Attempt, Begin};
use crate::coordinator::{Coordinator, End, SourceDesk};
use crate::group::Group;
use crate::mesh::Agreement;
use crate::message::{Message, Stop, Tell};
use crate::options::{RunOptions, Watcher};
use crate::orders::Invitation;
use crate::splits::Splits;
use crate::stats::Meter;
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
    /// Counters of this run, by worker and node.
    pub counts: Counts,
    /// Checkpoints completed in this run.
    pub checkpoints: u64,
    /// Time that the run took.
    pub elapsed: Duration,
    /// How long epochs took, from when they were opened to when all sinks had them.
    pub epochs: Arc<Durations>,
}

/// Runs `plan` until it ends, fails or is stopped.
///
/// # Errors
/// `State` if the state directory is held, or its state does not fit; whatever fails the attempt.
pub fn run(plan: Plan, options: &RunOptions, inbox: Inbox, runtime: Handle) -> Result<Outcome> {
    if options.clock.is_some() && plan.is_scripted() {
        return Err(Error::invalid("the clock of a job that reads a script is that of the script")
            .remedy(
                "set no other clock; its lines move it, as {\"clock\": \"2026-01-01 00:00:00\"}",
            ));
    }
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
    let run = Run { plan: Arc::new(plan), options, log, place, runtime, began: Instant::now() };
    run.run(inbox)
}

/// A directory that goes with the run.
struct Temporary(PathBuf);

/// Names that are tried for it.
const TRIES_MAX: usize = 100;

impl Temporary {
    fn new() -> Result<Temporary> {
        let failed = |path: &Path, error: std::io::Error| {
            Error::failed(format!("cannot make `{}`: {error}", path.display()))
        };
        for _ in 0..TRIES_MAX {
            // Output is named after the place of the state, so no two runs may have the same one.
            let number = RandomState::new().build_hasher().finish();
            let name = format!("thalweg-{}-{number:016x}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Temporary(path)),
                // A process that was killed left its own behind; this one must not read it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(&path, error)),
            }
        }
        Err(failed(&std::env::temp_dir(), ErrorKind::AlreadyExists.into()))
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
    /// Where the log is.
    place: String,
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
        let (attempt, epoch) = (manifest.attempt, manifest.epoch);
        tracing::info!(job = self.options.job, attempt, epoch, "Attempt begins.");
        if self.options.clock.is_some_and(|clock| clock.now().0 < manifest.clock) {
            tracing::warn!(
                job = self.options.job,
                epoch,
                "The checkpoint has a later time than the clock, and goes on with that."
            );
        }
        let mut coordinator = self.coordinator(manifest)?;
        coordinator.publish()?;
        coordinator.clean(&restore::lineage(&self.place))?;
        if was_finished && !self.options.continues {
            let nothing = (Counts::new(), Arc::default());
            return Ok(self.outcome(&coordinator, (End::Finished, true), nothing));
        }
        let Inbox { sender, receiver } = inbox;
        let attempt = self.start(&coordinator, sender)?;
        let (meter, epochs) = (Meter::new(&attempt), attempt.job.epochs.clone());
        let statistics = self.statistics(meter.clone())?;
        let end = coordinator.run(&attempt, &receiver);
        attempt.end();
        drop(statistics);
        let outcome = self.outcome(&coordinator, (end?, false), (meter.read(), epochs));
        let elapsed_ms = outcome.elapsed.as_millis() as u64;
        let (end, checkpoints) = (outcome.end, outcome.checkpoints);
        tracing::info!(job = self.options.job, ?end, checkpoints, elapsed_ms, "Attempt ends.");
        Ok(outcome)
    }

    fn outcome(
        &self,
        coordinator: &Coordinator,
        (end, was_finished): (End, bool),
        (counts, epochs): (Counts, Arc<Durations>),
    ) -> Outcome {
        Outcome {
            end,
            was_finished,
            counters: coordinator.manifest.counters.clone(),
            rows_out: rows_out(&self.plan, &counts),
            counts,
            checkpoints: coordinator.completed,
            elapsed: self.began.elapsed(),
            epochs,
        }
    }

    fn coordinator(&self, manifest: Manifest) -> Result<Coordinator> {
        let (mut sources, mut committers) = (BTreeMap::new(), BTreeMap::new());
        for node in &self.plan.nodes {
            match &node.kind {
                NodeKind::Source(source) => {
                    let saved = manifest.sources.get(node.operator.as_str());
                    let mut splits = saved.map(Splits::restored).transpose()?.unwrap_or_default();
                    let known = splits.known();
                    let found = source.source.enumerate(&known);
                    let found = self.runtime.block_on(found)?;
                    splits.discovered(found.splits, found.again.is_none());
                    let look_at = found.again.map(|after| Instant::now() + after);
                    let desk = SourceDesk { splits, look_at, ..SourceDesk::default() };
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
            is_temporary: self.options.state.is_none(),
            interval: self.options.checkpoint_interval,
            runtime: self.runtime.clone(),
            kept: Vec::new(),
            completed: 0,
        })
    }

    /// Starts the attempt, and the other processes that take part.
    fn start(&self, coordinator: &Coordinator, sender: Sender<Message>) -> Result<Attempt> {
        let tell: Tell = Arc::new(move |message| {
            // A coordinator that is gone has ended the attempt already.
            let _ = sender.send(message);
        });
        let processes = self.options.others.as_ref().map_or(1, |(_, processes)| *processes);
        let threads = self.options.workers / processes;
        let begin = self.begin(coordinator, 0..threads, tell.clone())?;
        let Some((launch, _)) = &self.options.others else {
            return Attempt::start(begin, None, None);
        };
        let mut group = Group::start(launch, processes, threads)?;
        let own = Agreement { plan: fingerprint(&self.plan), attempt: begin.attempt.0 };
        let invitation = || Invitation {
            script: launch.script.clone(),
            groups: begin.groups,
            threads,
            job: begin.job.clone(),
            attempt: begin.attempt,
            start: begin.start.clone(),
            manifest: coordinator.manifest.clone(),
            clock: self.options.clock,
            memory_limit: self.options.memory_limit,
            state: self.place.clone(),
        };
        let mesh = group.invite(invitation, own, &tell)?;
        Attempt::start(begin, Some(mesh), Some(group))
    }

    fn begin(&self, coordinator: &Coordinator, local: Range<usize>, tell: Tell) -> Result<Begin> {
        let (groups, manifest) = (coordinator.groups, &coordinator.manifest);
        let state = restore::states(&self.plan, &self.log, manifest, (groups, local.clone()));
        let state = self.runtime.block_on(state)?;
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
            local,
            job: JobId(self.options.job.clone()),
            attempt: AttemptId(manifest.attempt),
            lineage: restore::lineage(&self.place),
            start: Start {
                epoch: Epoch(manifest.epoch),
                clock: EventTime(manifest.clock),
                watermarks: watermarks.collect(),
                pending: holds.collect(),
                is_temporary: coordinator.is_temporary,
            },
            state,
            writers: manifest.writers.clone(),
            log: self.log.clone(),
            clock: self.options.clock,
            memory_limit: self.options.memory_limit,
            tell,
            runtime: self.runtime.clone(),
        })
    }

    /// Starts the thread that writes statistics and tells the progress; it ends when what is returned is dropped.
    fn statistics(&self, meter: Meter) -> Result<Option<Statistics>> {
        let watcher = self.options.watcher.clone();
        if self.options.stats.is_none() && watcher.is_none() {
            return Ok(None);
        }
        let file = self.options.stats.as_ref().map(|path| {
            File::create(path).map_err(|error| {
                Error::failed(format!("cannot write statistics to `{}`: {error}", path.display()))
            })
        });
        let mut file = file.transpose()?;
        let (over, is_over) = channel::<()>();
        let (began, plan) = (self.began, self.plan.clone());
        let thread = std::thread::spawn(move || {
            let mut last = (Duration::ZERO, 0);
            loop {
                let waited = is_over.recv_timeout(Duration::from_secs(1));
                let (elapsed, counts) = (began.elapsed(), meter.read());
                if let Some(to) = &mut file
                    && let Err(error) = stats::write(&plan, &counts, elapsed.as_millis() as u64, to)
                {
                    tracing::warn!(%error, "Statistics are no longer written.");
                    file = None;
                }
                if waited != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    return;
                }
                if let Some(Watcher(watch)) = &watcher {
                    let now = SystemClock.now();
                    let progress = stats::progress(&plan, &counts, (elapsed, now), last);
                    last = (elapsed, progress.rows);
                    watch(&progress, &counts);
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

fn rows_out(plan: &Plan, workers: &Counts) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for counts in workers {
        for (node, counted) in plan.nodes.iter().zip(counts) {
            if matches!(node.kind, NodeKind::Sink(_)) {
                *rows.entry(node.operator.0.clone()).or_default() += counted.rows_in;
            }
        }
    }
    rows
}
