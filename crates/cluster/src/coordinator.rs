//! Carries out what an attempt needs decided: who reads what, when to keep a checkpoint, when
//! output may be published, when the job is over.
//!
//! Invariants: checkpoints complete in the order of their epochs; output is published only after
//! the manifest that names it is written; a committable leaves the manifests only after it was
//! committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use thalweg_dataflow::job::{Command, hold_of_sequence};
use thalweg_plan::fingerprint::signature;
use thalweg_plan::layout::layout;
use thalweg_plan::node::{BadRecords, NodeKind};
use thalweg_plan::sink::{Committable, Committer, WriterState};
use thalweg_plan::source::Changes;
use thalweg_plan::{Node, Plan};
use thalweg_storage::CheckpointLog;
use thalweg_storage::checkpoint::manifest::{Kind, Manifest, OperatorState, Pending};
use thalweg_storage::checkpoint::retention::KEPT;
use thalweg_types::epoch::Ending;
use thalweg_types::fault::is_planted;
use thalweg_types::{Epoch, EpochInfo, Error, ErrorKind, KeyGroups, NodeId, Result, WorkerId};
use tokio::runtime::Handle;

use crate::attempt::Attempt;
use crate::checkpoints::{Checkpoint, Expected, Saved, chains};
use crate::memory::{LAST_CHECKPOINT_MAX, Shortage, StateSize};
use crate::message::{Message, Stop};
use crate::splits::{Answer, Splits};
use crate::stats::Meter;

/// How long the cause of a broken connection is waited for.
const SEVERED_MAX: Duration = Duration::from_millis(1500);

/// How a job came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All input is processed.
    Finished,
    /// The job pauses; it can go on later.
    Suspended,
    /// Nobody wants the output any more.
    Closed,
    /// The user ended it at once.
    Aborted,
}

/// Splits and discovery of one source.
#[derive(Default)]
pub struct SourceDesk {
    /// Its splits.
    pub splits: Splits,
    /// When to look for new splits.
    pub look_at: Option<Instant>,
    /// Workers that wait for a split.
    pub waiting: BTreeSet<WorkerId>,
    /// The one worker that reads a source whose rows change others: the first that asked.
    pub reader: Option<WorkerId>,
    /// The sequence of the split that each worker was given last.
    pub given: BTreeMap<WorkerId, String>,
}

impl SourceDesk {
    /// Answers a reader; until a split is opened, the watermark may not follow those behind it.
    fn give(&mut self, attempt: &Attempt, (node, worker): (NodeId, WorkerId), answer: Answer) {
        if let Answer::Read(assignment) = &answer {
            let (split, sequence) = (&assignment.split, &assignment.split.sequence);
            let before = self.given.insert(worker, sequence.clone());
            let behind = before.filter(|before| before == sequence).map(|_| worker);
            let (sequence, split) = (sequence.clone(), split.id.clone());
            attempt.command(Command::Given { node, sequence, split, behind });
        }
        attempt.answer(node, worker, answer);
    }

    /// Is `worker` the one that reads the source, if one alone may?
    fn is_read_by(&mut self, worker: WorkerId) -> bool {
        *self.reader.get_or_insert(worker) == worker
    }
}

/// The coordinator of one attempt.
pub struct Coordinator {
    /// What runs.
    pub plan: Arc<Plan>,
    /// Key groups and workers.
    pub groups: KeyGroups,
    /// Where checkpoints are.
    pub log: CheckpointLog,
    /// The newest record.
    pub manifest: Manifest,
    /// Counters when the attempt began.
    pub counters: BTreeMap<String, u64>,
    /// The sources.
    pub sources: BTreeMap<NodeId, SourceDesk>,
    /// Who publishes, by operator of the sink.
    pub committers: BTreeMap<String, Box<dyn Committer>>,
    /// Does the state go with the run? Then operators save none, and nothing can go on from it.
    pub is_temporary: bool,
    /// Time between checkpoints.
    pub interval: Duration,
    /// Runs what is asynchronous.
    pub runtime: Handle,
    /// The last few manifests.
    pub kept: Vec<Manifest>,
    /// Checkpoints completed.
    pub completed: u64,
}

/// What goes on between two messages.
struct Progress {
    /// Checkpoints in the making: the one asked for, and the last one of the attempt behind it.
    open: BTreeMap<Epoch, Checkpoint>,
    /// Was a checkpoint asked for that is not complete?
    is_requested: bool,
    next_checkpoint: Instant,
    /// When a broken connection fails the attempt, should nobody say before why it broke.
    severed: Option<Instant>,
    /// Why the job is ended for want of memory, and until when its last checkpoint is waited for.
    short: Option<(Shortage, Instant)>,
}

impl Coordinator {
    /// Runs the attempt to its end.
    ///
    /// # Errors
    /// Whatever made the attempt fail.
    pub fn run(&mut self, attempt: &Attempt, inbox: &Receiver<Message>) -> Result<End> {
        let mut progress = Progress {
            open: BTreeMap::new(),
            is_requested: false,
            next_checkpoint: Instant::now() + self.interval,
            severed: None,
            short: None,
        };
        loop {
            let wait = self.until_next(&progress);
            match inbox.recv_timeout(wait) {
                Ok(message) => {
                    if let Some(end) = self.handle(attempt, &mut progress, message)? {
                        return self.end(attempt, &progress, end);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::internal("all threads of the attempt are gone"));
                }
            }
            if !progress.is_requested && Instant::now() >= progress.next_checkpoint {
                progress.is_requested = true;
                attempt.command(Command::Checkpoint);
            }
            if let Some((shortage, until)) = progress.short
                && Instant::now() >= until
            {
                return Err(self.out_of_time(attempt, shortage));
            }
            if progress.severed.is_some_and(|at| Instant::now() >= at) {
                return Err(Error::failed("a connection between two processes of the job broke"));
            }
            self.discover(attempt)?;
        }
    }

    /// Ends the job with a checkpoint, since a process has no memory left.
    fn run_short(attempt: &Attempt, progress: &mut Progress, shortage: Shortage) {
        if progress.short.is_none() {
            progress.short = Some((shortage, Instant::now() + LAST_CHECKPOINT_MAX));
            attempt.command(Command::End(Ending::Suspend));
        }
    }

    /// A job that was suspended for want of memory did not end well.
    fn end(&self, attempt: &Attempt, progress: &Progress, end: End) -> Result<End> {
        match (progress.short, end) {
            (Some((shortage, _)), End::Suspended) => {
                let checkpoint = format!("checkpoint {} holds all of it", self.manifest.number);
                Err(shortage.error(state_sizes(&self.plan, attempt), &checkpoint))
            }
            _ => Ok(end),
        }
    }

    fn out_of_time(&self, attempt: &Attempt, shortage: Shortage) -> Error {
        let Manifest { number, epoch, .. } = self.manifest;
        let checkpoint = format!(
            "there was no time for a checkpoint, the last one is {number} of epoch {epoch}"
        );
        shortage.error(state_sizes(&self.plan, attempt), &checkpoint)
    }

    fn until_next(&self, progress: &Progress) -> Duration {
        let looks = self.sources.values().filter_map(|desk| desk.look_at);
        let checkpoint = (!progress.is_requested).then_some(progress.next_checkpoint);
        let short = progress.short.map(|(_, until)| until);
        let next = looks.chain(checkpoint).chain(progress.severed).chain(short).min();
        let bound = Duration::from_secs(3600);
        next.map_or(bound, |at| at.saturating_duration_since(Instant::now()).min(bound))
    }

    fn handle(
        &mut self,
        attempt: &Attempt,
        progress: &mut Progress,
        message: Message,
    ) -> Result<Option<End>> {
        match message {
            Message::WantSplit(node, worker) => self.want_split(attempt, node, worker),
            Message::Opened(info) => {
                progress.is_requested = true;
                progress.open.insert(info.epoch, Checkpoint::new(info));
            }
            Message::Cut { node, epoch, splits, worker, rows, bad } => {
                let checkpoint = current(progress, epoch)?;
                let table = self.plan.node(node).operator.0.clone();
                checkpoint.counters.insert((format!("rows {table}"), worker.0), rows);
                checkpoint.counters.insert((format!("bad {table}"), worker.0), bad);
                checkpoint.cuts.push((node, splits));
            }
            Message::Saved { node, worker, epoch, is_full, file, late, bad } => {
                let checkpoint = current(progress, epoch)?;
                let operator = self.plan.node(node).operator.0.clone();
                checkpoint.counters.insert((format!("late {operator}"), worker.0), late);
                checkpoint.counters.insert((format!("bad {operator}"), worker.0), bad);
                checkpoint.saves.push((node, Saved { worker, is_full, file }));
            }
            Message::Prepared(node, epoch, prepared) => {
                current(progress, epoch)?.prepared.push((node, prepared));
            }
            Message::Ended(_) => {}
            Message::Failed(error) if error.kind() == ErrorKind::Closed => {
                return Ok(Some(End::Closed));
            }
            Message::Failed(error) => return Err(error),
            Message::Severed => {
                progress.severed.get_or_insert_with(|| Instant::now() + SEVERED_MAX);
            }
            Message::MemoryFull(shortage, true) => Self::run_short(attempt, progress, shortage),
            Message::MemoryFull(shortage, false) => {
                return Err(self.out_of_time(attempt, shortage));
            }
            Message::Stop(Stop::AtOnce) => return Ok(Some(End::Aborted)),
            Message::Stop(Stop::Gently(ending)) => attempt.command(Command::End(ending)),
        }
        let expected = self.expected();
        // In the order of epochs: a later state builds on an earlier one.
        while let Some(first) = progress.open.first_entry()
            && first.get().is_complete(expected)
        {
            let checkpoint = first.remove();
            progress.is_requested = false;
            progress.next_checkpoint = Instant::now() + self.interval;
            if let Some(end) = self.complete(checkpoint)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    fn expected(&self) -> Expected {
        let workers = self.groups.workers;
        let count = |f: fn(&NodeKind) -> bool| {
            self.plan.nodes.iter().filter(|node| f(&node.kind)).count() * workers
        };
        Expected {
            cuts: count(|kind| matches!(kind, NodeKind::Source(_))),
            saves: count(is_driven),
            prepared: count(|kind| matches!(kind, NodeKind::Sink(_))),
        }
    }

    fn want_split(&mut self, attempt: &Attempt, node: NodeId, worker: WorkerId) {
        let Some(desk) = self.sources.get_mut(&node) else { return };
        let NodeKind::Source(source) = &self.plan.node(node).kind else { return };
        // The readers of a slowed source share one clock, so they must be in one process.
        let is_local = source.source.is_local() || source.rows_per_second.is_some();
        let is_elsewhere = is_local && !attempt.has(worker);
        let is_ordered = source.changes != Changes::Append;
        let answer = match is_elsewhere || (is_ordered && !desk.is_read_by(worker)) {
            true => Answer::End,
            false => desk.splits.assign(),
        };
        if answer == Answer::Wait {
            desk.waiting.insert(worker);
        }
        desk.give(attempt, (node, worker), answer);
    }

    /// Looks for new splits where it is time to.
    fn discover(&mut self, attempt: &Attempt) -> Result<()> {
        for (node, desk) in &mut self.sources {
            if desk.look_at.is_none_or(|at| at > Instant::now()) {
                continue;
            }
            let NodeKind::Source(source) = &self.plan.node(*node).kind else { continue };
            let found = self.runtime.block_on(source.source.enumerate(&desk.splits.known()))?;
            desk.look_at = found.again.map(|after| Instant::now() + after);
            let sequences = desk.splits.discovered(found.splits, found.again.is_none());
            if !sequences.is_empty() {
                let holds = sequences.iter().map(|sequence| hold_of_sequence(sequence)).collect();
                attempt.command(Command::Discovered(*node, holds));
            }
            for worker in std::mem::take(&mut desk.waiting) {
                let answer = desk.splits.assign();
                if answer == Answer::Wait {
                    desk.waiting.insert(worker);
                } else {
                    desk.give(attempt, (*node, worker), answer);
                }
            }
        }
        Ok(())
    }

    /// Writes the manifest of a complete checkpoint and publishes what it covers.
    fn complete(&mut self, checkpoint: Checkpoint) -> Result<Option<End>> {
        let ending = checkpoint.info.ending;
        let mut manifest = self.manifest_of(checkpoint)?;
        if is_planted("early-publish") && !manifest.committables.is_empty() && ending.is_none() {
            self.manifest.committables = manifest.committables.clone();
            self.publish()?;
            std::process::abort();
        }
        if is_planted("lost-committables") && !manifest.committables.is_empty() && ending.is_none()
        {
            manifest.committables.clear();
            self.append(manifest)?;
            std::process::abort();
        }
        self.append(manifest)?;
        self.completed += 1;
        self.publish()?;
        match ending {
            None => Ok(None),
            Some(ending) => {
                // A last record without committables, so that a later start has none to repeat.
                let last = Manifest { number: self.manifest.number + 1, ..self.manifest.clone() };
                self.append(last)?;
                Ok(Some(match ending {
                    Ending::Finish => End::Finished,
                    Ending::Suspend => End::Suspended,
                }))
            }
        }
    }

    fn append(&mut self, manifest: Manifest) -> Result<()> {
        self.runtime.block_on(self.log.append(&manifest))?;
        tracing::debug!(epoch = manifest.epoch, number = manifest.number, "Checkpoint is durable.");
        self.kept.push(std::mem::replace(&mut self.manifest, manifest));
        if self.kept.len() > KEPT {
            self.kept.remove(0);
            self.runtime.block_on(self.log.collect(&self.manifest, &self.kept))?;
        }
        Ok(())
    }

    /// Commits everything that waits for it; what is committed leaves the next manifest.
    ///
    /// # Errors
    /// `State` if a sink is gone from the plan, or a staged part from the disk.
    pub fn publish(&mut self) -> Result<()> {
        for pending in &self.manifest.committables {
            let committer = self.committers.get(&pending.sink).ok_or_else(|| {
                Error::state(format!(
                    "output of sink `{}` waits to be published, and the job has no such sink",
                    pending.sink
                ))
            })?;
            let committable = Committable(pending.committable.clone());
            self.runtime.block_on(committer.commit(&committable))?;
        }
        self.manifest.committables.clear();
        Ok(())
    }

    /// Removes what earlier attempts staged and no manifest names.
    ///
    /// # Errors
    /// `Failed` if a sink cannot remove it.
    pub fn clean(&self, lineage: &str) -> Result<()> {
        // Two sinks may write to one place.
        let kept = self.manifest.writers.values().flatten();
        let kept: Vec<WriterState> = kept.cloned().map(WriterState).collect();
        for committer in self.committers.values() {
            self.runtime.block_on(committer.clean(lineage, &kept))?;
        }
        Ok(())
    }

    fn manifest_of(&mut self, checkpoint: Checkpoint) -> Result<Manifest> {
        let info = &checkpoint.info;
        for (node, progress) in &checkpoint.cuts {
            if let Some(desk) = self.sources.get_mut(node) {
                desk.splits.cut(progress);
            }
        }
        let operator = |node: &NodeId| self.plan.node(*node).operator.0.clone();
        let mut saves: BTreeMap<NodeId, Vec<Saved>> = BTreeMap::new();
        for (node, saved) in checkpoint.saves {
            saves.entry(node).or_default().push(saved);
        }
        let mut operators = BTreeMap::new();
        for (node, saves) in &saves {
            let Some(signature) = signature(&self.plan, self.plan.node(*node)) else { continue };
            if self.is_temporary {
                continue;
            }
            let old = self.manifest.operators.get(&operator(node));
            let old = old.map_or(&[][..], |state| state.chains.as_slice());
            let chains = chains(old, saves, self.groups);
            let layout = layout(&self.plan, self.plan.node(*node));
            let layout = layout.map(|layout| layout.write()).transpose()?;
            operators.insert(operator(node), OperatorState { signature, layout, chains });
        }
        let mut writers: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut committables = self.manifest.committables.clone();
        for (node, prepared) in checkpoint.prepared {
            let states = prepared.states.into_iter().map(|state| state.0);
            writers.entry(operator(&node)).or_default().extend(states);
            committables.extend(prepared.committables.into_iter().map(|committable| Pending {
                sink: operator(&node),
                epoch: info.epoch.0,
                committable: committable.0,
            }));
        }
        let mut counters = self.counters.clone();
        for ((name, _), count) in checkpoint.counters {
            *counters.entry(name).or_default() += count;
        }
        let sources = self.sources.iter().map(|(node, desk)| (operator(node), desk.splits.state()));
        Ok(Manifest {
            number: self.manifest.number + 1,
            kind: Kind::Checkpoint,
            epoch: info.epoch.0,
            clock: info.clock.0,
            is_finished: info.ending == Some(Ending::Finish),
            watermarks: watermarks(&self.plan, info),
            sources: sources.collect(),
            operators,
            writers,
            committables,
            counters,
            ..self.manifest.clone()
        })
    }
}

/// Returns how large the state of each operator is on all workers.
fn state_sizes(plan: &Plan, attempt: &Attempt) -> Vec<StateSize> {
    let counts = Meter::new(attempt).read();
    let size = |node: &Node| {
        let own = || counts.iter().filter_map(|worker| worker.get(node.id.0));
        StateSize {
            operator: node.operator.0.clone(),
            rows: own().map(|counted| counted.state_rows).sum(),
            bytes: own().map(|counted| counted.state_bytes).sum(),
        }
    };
    plan.nodes.iter().map(size).collect()
}

/// Returns the watermark of each time domain, by name.
fn watermarks(plan: &Plan, info: &EpochInfo) -> BTreeMap<String, i64> {
    plan.domains.iter().cloned().zip(info.watermarks.iter().map(|time| time.0)).collect()
}

/// Does the node have a driver, which answers at checkpoints?
fn is_driven(kind: &NodeKind) -> bool {
    match kind {
        NodeKind::Source(_) | NodeKind::Union => false,
        NodeKind::Map(map) => map.bad_records != BadRecords::Fail,
        _ => true,
    }
}

fn current(progress: &mut Progress, epoch: Epoch) -> Result<&mut Checkpoint> {
    progress.open.get_mut(&epoch).ok_or_else(|| {
        Error::internal(format!("an answer for epoch {epoch}, which is no checkpoint"))
    })
}
