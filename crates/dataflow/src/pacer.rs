//! The pacer: the one operator that opens epochs, on worker 0 of the job.
//!
//! Invariants: epochs are dense and opened in order; each carries one reading of the clock and
//! one watermark per domain, none of which ever goes back; the last epoch of an attempt is a
//! checkpoint.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thalweg_plan::trail::Share;
use thalweg_types::epoch::{Ending, Intake};
use thalweg_types::{DomainId, Epoch, EpochInfo, EventTime, NodeId};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::probe::Handle;
use timely::dataflow::{Scope, Stream};
use timely::scheduling::Activator;

use crate::book::Report;
use crate::job::{Command, Event, Job, hold_of_sequence, hold_of_split};
use crate::pacing::{self, Decision, Situation, SourceProgress};
use crate::script::{Script, Turn};

/// Reports that arrived for the pacer.
pub type Inbox = Rc<RefCell<Vec<Report>>>;

/// The facts of an epoch, addressed to one worker.
pub type Dispatch = Vec<(u64, EpochInfo)>;

/// Builds the pacer; on workers other than 0 it does nothing.
///
/// Returns the stream of epochs, one copy for each worker, and what activates the pacer.
pub fn pacer<'scope>(
    scope: Scope<'scope, u64>,
    job: &Arc<Job>,
    inbox: Inbox,
    probe: &Handle<u64>,
) -> (Stream<'scope, u64, Dispatch>, Activator) {
    let mut builder = OperatorBuilder::new("Pacer".to_owned(), scope);
    let (output, stream) = builder.new_output::<Dispatch>();
    let mut output = OutputBuilder::from(output);
    let activator = scope.activator_for(builder.operator_info().address);
    if scope.index() != 0 {
        builder.build(|_| |_| ());
        return (stream, activator);
    }
    let waker = scope.worker().sync_activator_for(builder.operator_info().address.to_vec());
    job.commands.pacer.set(move || {
        // A worker that is gone needs no waking.
        let _ = waker.activate();
    });
    let peers = scope.peers();
    let mut pacer = Pacer::new(job.clone(), peers, inbox, probe.clone());
    let again = activator.clone();
    builder.build(move |capabilities| {
        let mut capability = capabilities.into_iter().next();
        move |_| {
            let Some(open) = capability.as_mut() else { return };
            let (infos, later) = pacer.step(open);
            let mut session = output.activate();
            for info in infos {
                let time = open.delayed(&info.epoch.0);
                let mut session = session.session(&time);
                session.give_iterator((0..peers as u64).map(|worker| (worker, info.clone())));
            }
            drop(session);
            match pacer.ending {
                Some(_) => capability = None,
                None => open.downgrade(&pacer.next.0),
            }
            if let Some(delay) = later {
                again.activate_after(delay);
            }
        }
    });
    (stream, activator)
}

/// An epoch that is to be opened: its time, and what sources take into it.
struct Opening {
    clock: EventTime,
    intake: Intake,
}

struct Pacer {
    job: Arc<Job>,
    workers: usize,
    /// What the job follows instead of the clock, if it does.
    script: Option<Script>,
    inbox: Inbox,
    probe: Handle<u64>,
    next: Epoch,
    clock: EventTime,
    watermarks: Vec<EventTime>,
    /// The watermarks of the last epoch that was opened.
    watermarks_before: Vec<EventTime>,
    /// Each source: its domain and the share of its splits that decides, if it has one; how far it is.
    sources: BTreeMap<NodeId, (Option<(DomainId, Share)>, SourceProgress)>,
    /// The group of each source whose splits wait for others.
    groups: Vec<(NodeId, String)>,
    /// What the last epoch said of them.
    slowest: Vec<(NodeId, EventTime)>,
    wakes: BTreeMap<(NodeId, usize), EventTime>,
    checkpoint: bool,
    /// Was an epoch opened since the last checkpoint?
    is_dirty: bool,
    end: Option<Ending>,
    /// Set once the last epoch is opened.
    ending: Option<Ending>,
    /// Did a watermark rise since the last epoch?
    risen: bool,
    /// When epochs in flight were opened, and whether they carried next to nothing.
    opened: VecDeque<(u64, Instant, bool)>,
    empty_cost: Duration,
    last: Option<Instant>,
}

impl Pacer {
    fn new(job: Arc<Job>, workers: usize, inbox: Inbox, probe: Handle<u64>) -> Pacer {
        let sources = job.plan.sources().map(|(node, source)| {
            let pending = job.start.pending.get(&node.id).cloned().unwrap_or_default();
            let pending = pending.into_iter().map(|hold| (hold, None)).collect();
            let follows = source.domain.map(|domain| (domain, source.split_share));
            (node.id, (follows, SourceProgress { pending, ..SourceProgress::default() }))
        });
        let groups = job.plan.sources().filter_map(|(node, source)| {
            source.alignment.as_ref().map(|alignment| (node.id, alignment.group.clone()))
        });
        let scripted = || job.plan.sources().map(|(node, _)| node.id);
        Pacer {
            sources: sources.collect(),
            groups: groups.collect(),
            slowest: Vec::new(),
            script: job.plan.is_scripted().then(|| Script::new(scripted(), workers)),
            workers,
            inbox,
            probe,
            next: job.start.epoch.next(),
            clock: job.start.clock,
            watermarks: job.start.watermarks.clone(),
            watermarks_before: job.start.watermarks.clone(),
            wakes: BTreeMap::new(),
            checkpoint: false,
            is_dirty: false,
            end: None,
            ending: None,
            risen: false,
            opened: VecDeque::new(),
            empty_cost: Duration::from_micros(10),
            last: None,
            job,
        }
    }

    /// Takes what arrived, and returns the epochs to open and when to ask again.
    fn step(&mut self, capability: &Capability<u64>) -> (Vec<EpochInfo>, Option<Duration>) {
        debug_assert!(*capability.time() <= self.next.0);
        self.hear();
        self.take_progress();
        let mut infos = Vec::new();
        loop {
            let next = match self.script.is_some() {
                true => self.next_of_script().ok_or(None),
                false => self.next_of_clock(),
            };
            match next {
                Ok(opening) => infos.push(self.open(&opening)),
                Err(later) => return (infos, later),
            }
            if self.ending.is_some() {
                return (infos, None);
            }
        }
    }

    /// Returns the epoch to be opened now, or when to ask again.
    fn next_of_clock(&self) -> Result<Opening, Option<Duration>> {
        let now = self.job.clock.now().max(self.clock);
        match pacing::decide(&self.situation(now)) {
            Decision::Open => Ok(Opening { clock: now, intake: Intake::Waiting }),
            Decision::Later(delay) => Err(Some(delay)),
            Decision::Wait => Err(self.until_wake(now)),
        }
    }

    /// Returns the epoch that the script has next, once everything before it is done.
    fn next_of_script(&mut self) -> Option<Opening> {
        let nothing = |clock| Some(Opening { clock, intake: Intake::Nothing });
        let script = self.script.as_mut()?;
        if self.end.is_some() {
            return nothing(self.clock);
        }
        match script.turn(self.next, self.clock, self.wakes.values().min().copied()) {
            Turn::Wait => None,
            Turn::Timer(at) => nothing(at),
            Turn::Line(step) => {
                self.checkpoint |= step.is_checkpoint;
                for (node, claimed) in script.take(step.line) {
                    if let Some((Some((domain, _)), _)) = self.sources.get(&node) {
                        let watermark = &mut self.watermarks[domain.0];
                        *watermark = claimed.max(*watermark);
                    }
                }
                let clock = step.clock.map_or(self.clock, |clock| clock.max(self.clock));
                Some(Opening { clock, intake: Intake::Line(step.line) })
            }
            Turn::Finish => {
                self.end = Some(Ending::Finish);
                nothing(self.clock)
            }
        }
    }

    /// Takes what was said since the last time.
    ///
    /// Commands first: the hold of a split is sent before any later split is given out, so it must
    /// be there before a report of the later one can raise the watermark.
    fn hear(&mut self) {
        self.take_commands();
        self.take_reports();
    }

    fn take_reports(&mut self) {
        for report in std::mem::take(&mut *self.inbox.borrow_mut()) {
            match report {
                Report::Wake { node, worker, at: Some(at) } => {
                    self.wakes.insert((node, worker), at);
                }
                Report::Wake { node, worker, at: None } => {
                    self.wakes.remove(&(node, worker));
                }
                Report::Reached { worker, epoch } => {
                    if let Some(script) = &mut self.script {
                        script.reach(worker, epoch);
                    }
                }
                Report::Source {
                    node,
                    worker,
                    waiting_bytes,
                    watermarks,
                    begun,
                    is_finished,
                    step,
                } => {
                    let Some((_, progress)) = self.sources.get_mut(&node) else { continue };
                    progress.watermarks.insert(worker, watermarks);
                    progress.waiting.insert(worker, waiting_bytes);
                    progress.open(begun);
                    if is_finished {
                        progress.finished.insert(worker);
                    }
                    if let Some(script) = &mut self.script {
                        step.into_iter().for_each(|step| script.show(node, step));
                        if progress.is_finished(self.workers) {
                            script.finish(node);
                        }
                    }
                }
            }
        }
        if self.script.is_none() {
            self.follow_sources();
        }
    }

    /// Learns from the sources' reports how far event time has come, and whether the job is at its end.
    fn follow_sources(&mut self) {
        for (follows, progress) in self.sources.values() {
            let Some((domain, share)) = follows else { continue };
            let current = self.watermarks[domain.0];
            let watermark = progress.watermark(current, *share, self.workers);
            self.risen |= watermark > current;
            self.watermarks[domain.0] = watermark;
        }
        // Who waits must be told.
        self.risen |= self.slowest() != self.slowest;
        if self.end.is_none() && self.sources.values().all(|(_, p)| p.is_finished(self.workers)) {
            self.end = Some(Ending::Finish);
        }
    }

    /// Returns how far the slowest split is for which those of each source wait, where there is one.
    fn slowest(&self) -> Vec<(NodeId, EventTime)> {
        let reached = |node: &NodeId| self.sources.get(node).and_then(|(_, p)| p.slowest());
        let slowest = |group: &str| {
            let own = self.groups.iter().filter(|(_, other)| other == group);
            own.filter_map(|(node, _)| reached(node)).min()
        };
        let groups = self.groups.iter();
        groups.filter_map(|(node, group)| Some((*node, slowest(group)?))).collect()
    }

    fn take_commands(&mut self) {
        for command in self.job.commands.take() {
            match command {
                Command::Checkpoint => self.checkpoint = true,
                Command::End(ending) => self.end = Some(ending),
                Command::Discovered(node, sequences) => {
                    if let Some((_, progress)) = self.sources.get_mut(&node) {
                        progress.hold(sequences);
                    }
                }
                Command::Given { node, sequence, split, behind } => {
                    if let Some((_, progress)) = self.sources.get_mut(&node) {
                        // The split stands for its sequence from now on, so that it counts once.
                        progress.hold_behind(hold_of_split(&split), behind.map(|worker| worker.0));
                        progress.open(vec![hold_of_sequence(&sequence)]);
                    }
                }
            }
        }
    }

    /// Learns from the frontier which epochs are complete, and what empty ones cost.
    fn take_progress(&mut self) {
        while let Some((epoch, since, is_small)) = self.opened.front().copied() {
            if self.probe.less_equal(&epoch) {
                break;
            }
            self.opened.pop_front();
            self.job.epochs.count(since.elapsed());
            if is_small && self.opened.is_empty() {
                self.empty_cost = (self.empty_cost * 7 + since.elapsed()) / 8;
            }
        }
    }

    fn situation(&self, now: EventTime) -> Situation {
        let waiting = self.sources.values().flat_map(|(_, progress)| progress.waiting.values());
        let waiting_bytes = waiting.sum();
        let is_due = self.wakes.values().any(|at| *at <= now);
        // With nothing to keep, a checkpoint waits for the next epoch that has a reason.
        let is_urgent = (self.checkpoint && self.is_dirty) || self.end.is_some();
        Situation {
            in_flight: self.opened.len(),
            waiting_bytes,
            has_reason: waiting_bytes > 0 || self.risen || is_due,
            is_urgent,
            since_last: self.last.map_or(Duration::MAX, |last| last.elapsed()),
            empty_cost: self.empty_cost,
        }
    }

    /// Returns how long it is until the earliest wake, if it comes by itself.
    fn until_wake(&self, now: EventTime) -> Option<Duration> {
        if self.job.clock.stands_still() {
            return None;
        }
        let at = self.wakes.values().min()?;
        let nanos = at.0.saturating_sub(now.0).max(0) as u64;
        // At least a millisecond: the clock may not have moved past a deadline it rounds to.
        Some(Duration::from_nanos(nanos).max(Duration::from_millis(1)))
    }

    fn open(&mut self, opening: &Opening) -> EpochInfo {
        let Opening { clock: now, intake } = *opening;
        let waiting = self.situation(now).waiting_bytes;
        self.clock = now;
        if self.end == Some(Ending::Finish) {
            self.watermarks.fill(EventTime::MAX);
        }
        let before = std::mem::replace(&mut self.watermarks_before, self.watermarks.clone());
        self.slowest = self.slowest();
        let info = EpochInfo {
            epoch: self.next,
            clock: now,
            watermarks: self.watermarks.clone(),
            watermarks_before: before,
            slowest: self.slowest.clone(),
            intake,
            is_checkpoint: std::mem::take(&mut self.checkpoint) || self.end.is_some(),
            ending: self.end,
        };
        self.ending = self.end;
        self.risen = false;
        for (_, progress) in self.sources.values_mut() {
            // Sources report again what they leave behind.
            progress.waiting.clear();
        }
        self.wakes.retain(|_, at| *at > now);
        if info.is_checkpoint {
            self.job.tell(Event::Checkpoint { info: info.clone() });
            self.is_dirty = false;
        } else {
            self.is_dirty = true;
        }
        let opened = Instant::now();
        self.opened.push_back((info.epoch.0, opened, waiting < 4096 && !info.is_checkpoint));
        self.last = Some(opened);
        self.next = self.next.next();
        info
    }
}

#[cfg(test)]
mod tests;
