//! The source operator: cuts what a reader hands over into epochs.
//!
//! Invariants: on learning of an epoch it takes what its port holds now, at most its budget, and
//! gives the epoch up in the same activation; offsets at a checkpoint are those of the rows taken
//! so far, no more and no less.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use thalweg_plan::Node;
use thalweg_plan::alignment::Alignment;
use thalweg_plan::node::{BadRecords, SourceNode};
use thalweg_plan::source::{Offset, Step};
use thalweg_plan::trail::Trail;
use thalweg_types::epoch::Intake;
use thalweg_types::{Change, Epoch, EpochInfo, EventTime, NodeId, SplitId, WorkerId};
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::{Scope, Stream};

use crate::book::{Outbox, Report};
use crate::container::{Container, FrameId};
use crate::flow::Unconsumed;
use crate::job::{Event, Job, SplitProgress, hold_of_sequence, hold_of_split};
use crate::pacer::Dispatch;
use crate::pacing::EPOCH_BYTES_MAX;
use crate::port::{SourceItem, SourcePort};
use crate::stats::Counters;

/// Builds the source operator of this worker; returns rows and bad records.
pub fn source<'scope>(
    scope: Scope<'scope, u64>,
    epochs: Stream<'scope, u64, Dispatch>,
    mut instance: SourceInstance,
) -> [Stream<'scope, u64, Container>; 2] {
    let name = instance.name.clone();
    let mut builder = OperatorBuilder::new(name, scope);
    let mut input = builder.new_input(epochs, Pipeline);
    let (rows_output, rows_stream) = builder.new_output::<Container>();
    let (bad_output, bad_stream) = builder.new_output::<Container>();
    let mut rows_output = OutputBuilder::<_, NoopBuilder<Container>>::from(rows_output);
    let mut bad_output = OutputBuilder::<_, NoopBuilder<Container>>::from(bad_output);
    let waker = scope.worker().sync_activator_for(builder.operator_info().address.to_vec());
    instance.port.operator.set(move || {
        // A worker that is gone needs no waking.
        let _ = waker.activate();
    });
    builder.build(move |_| {
        move |_| {
            let mut rows_handle = rows_output.activate();
            let mut bad_handle = bad_output.activate();
            input.for_each(|time, dispatch| {
                let (for_rows, for_bad) = (time.retain(0), time.retain(1));
                let mut rows_session = rows_handle.session_with_builder(&for_rows);
                let mut bad_session = bad_handle.session_with_builder(&for_bad);
                for (_, info) in dispatch.drain(..) {
                    let taken = instance.take(&info);
                    for mut container in taken.rows {
                        rows_session.give_container(&mut container);
                    }
                    for mut container in taken.bad {
                        bad_session.give_container(&mut container);
                    }
                }
            });
            instance.report();
        }
    });
    [rows_stream, bad_stream]
}

/// What a source takes into one epoch.
#[derive(Default)]
struct Taken {
    rows: Vec<Container>,
    bad: Vec<Container>,
}

/// A split as the source operator sees it.
struct OpenSplit {
    sequence: String,
    number: usize,
    offset: Option<Offset>,
    watermark: EventTime,
    trail: Option<Arc<Trail>>,
    is_idle: bool,
}

/// One source on one worker.
pub struct SourceInstance {
    name: String,
    node: NodeId,
    worker: usize,
    diverts: bool,
    job: Arc<Job>,
    port: Arc<SourcePort>,
    counters: Arc<Counters>,
    outbox: Outbox,
    frames: [FrameId; 2],
    sent: Arc<Unconsumed>,
    open: BTreeMap<SplitId, OpenSplit>,
    /// Which splits wait for others.
    alignment: Option<Alignment>,
    /// How far the slowest one of all workers is, as far as this worker was told.
    slowest: Option<EventTime>,
    /// Splits at their end that no cut has named yet.
    finished: Vec<SplitProgress>,
    begun: BTreeSet<String>,
    /// The split that ended last. One of its sequence that follows it begins with its watermark:
    /// else small splits would show none between one's end and the next one's rows.
    last: Option<OpenSplit>,
    is_ended: bool,
    is_scripted: bool,
    /// The next line of a script.
    head: Option<(SourceItem, Step)>,
    /// What was reported last: waiting bytes (coarsely), watermarks, finished, the next line.
    reported: Option<(usize, Vec<EventTime>, bool, Option<Step>)>,
    rows: u64,
    bad: u64,
}

impl SourceInstance {
    /// Returns the source `node` on `worker`.
    pub fn new(
        job: &Arc<Job>,
        (node, source): (&Node, &SourceNode),
        worker: usize,
        port: Arc<SourcePort>,
        outbox: Outbox,
    ) -> SourceInstance {
        let frame = |port| FrameId::new(job.fingerprint, node.id, port);
        SourceInstance {
            name: node.operator.0.clone(),
            node: node.id,
            worker,
            diverts: source.bad_records == BadRecords::Divert,
            port,
            counters: job.counters[worker - job.first_worker][node.id.0].clone(),
            outbox,
            frames: [frame(0), frame(1)],
            sent: Arc::default(),
            open: BTreeMap::new(),
            alignment: source.alignment.clone().filter(|_| source.source.script().is_none()),
            slowest: None,
            finished: Vec::new(),
            begun: BTreeSet::new(),
            last: None,
            is_ended: false,
            is_scripted: source.source.script().is_some(),
            head: None,
            reported: None,
            rows: 0,
            bad: 0,
            job: job.clone(),
        }
    }

    /// Takes what waits into the epoch of `info`.
    fn take(&mut self, info: &EpochInfo) -> Taken {
        let mut taken = Taken::default();
        let own = info.slowest.iter().find(|(node, _)| *node == self.node);
        self.slowest = own.map(|(_, slowest)| *slowest);
        match info.intake {
            Intake::Waiting if info.ending.is_none() => self.take_waiting(&mut taken),
            Intake::Waiting | Intake::Nothing => {}
            Intake::Line(line) => {
                if let Some((item, _)) = self.head.take_if(|(_, step)| step.line == line) {
                    self.take_item(item, &mut taken);
                }
            }
        }
        // Everything waiting is another reason for an epoch, so it must be reported again.
        self.reported = None;
        if info.is_checkpoint {
            self.cut(info.epoch);
        }
        taken
    }

    fn take_waiting(&mut self, taken: &mut Taken) {
        let mut bytes = 0;
        while bytes < EPOCH_BYTES_MAX && !self.is_ahead() {
            let Some((item, item_bytes)) = self.port.pop() else { break };
            bytes += item_bytes;
            self.take_item(item, taken);
        }
    }

    /// Are all open splits of this worker so far ahead that what waits must go on waiting? What waits is of
    /// any of them, so if one is behind nothing waits: else it could wait for itself.
    fn is_ahead(&self) -> bool {
        let Some(alignment) = &self.alignment else { return false };
        let holds =
            |open: &OpenSplit| alignment.holds(self.slowest, (open.watermark, open.is_idle));
        !self.open.is_empty() && self.open.values().all(holds)
    }

    /// Goes on to the next line of a script; what stands between lines belongs to no epoch.
    fn look_ahead(&mut self) {
        while self.head.is_none()
            && let Some((item, _)) = self.port.pop()
        {
            match &item {
                SourceItem::Rows { step: Some(step), .. } => {
                    let step = **step;
                    self.head = Some((item, step));
                }
                _ => self.take_item(item, &mut Taken::default()),
            }
        }
    }

    fn take_item(&mut self, item: SourceItem, taken: &mut Taken) {
        match item {
            SourceItem::Opened { split, sequence, number, offset, watermark } => {
                self.begun.extend([hold_of_sequence(&sequence), hold_of_split(&split)]);
                let before = self.last.as_ref();
                let before = before.filter(|l| l.sequence == sequence && l.number < number);
                let watermark = before.map_or(watermark, |last| last.watermark.max(watermark));
                let (trail, is_idle) = (None, false);
                let open = OpenSplit { sequence, number, offset, watermark, trail, is_idle };
                self.open.insert(split, open);
            }
            SourceItem::Rows { split, rows, bad, bad_count, next, watermark, trail, .. } => {
                if let Some(open) = self.open.get_mut(&split) {
                    open.offset = Some(next);
                    open.is_idle = false;
                    open.watermark = open.watermark.max(watermark.unwrap_or(EventTime::MIN));
                    open.trail = trail;
                }
                self.rows += rows.len() as u64 + bad_count;
                self.bad += bad_count;
                self.counters.count_rejected(0, bad_count);
                if !rows.is_empty() {
                    let (count, bytes) = (rows.len(), rows.bytes());
                    self.counters.count_in(count, bytes);
                    self.counters.count_out(count, bytes);
                    let rows = Container::sized((rows, bytes), self.frames[0], &self.sent);
                    taken.rows.push(rows);
                }
                if let Some(bad) = bad
                    && self.diverts
                    && bad.num_rows() > 0
                {
                    taken.bad.push(Container::new(Change::append(bad), self.frames[1], &self.sent));
                }
            }
            SourceItem::Idle(split) => {
                if let Some(open) = self.open.get_mut(&split) {
                    open.is_idle = true;
                }
            }
            SourceItem::Finished(split) => {
                if let Some(open) = self.open.remove(&split) {
                    self.finished.push(progress(&split, &open, true));
                    self.last = Some(open);
                }
            }
            SourceItem::End => self.is_ended = true,
        }
    }

    /// Tells the coordinator where the splits are at the end of `epoch`.
    fn cut(&mut self, epoch: Epoch) {
        let mut splits = std::mem::take(&mut self.finished);
        splits.extend(self.open.iter().map(|(split, open)| progress(split, open, false)));
        self.job.tell(Event::Cut {
            node: self.node,
            worker: WorkerId(self.worker),
            epoch,
            splits,
            rows: self.rows,
            bad: self.bad,
        });
    }

    /// Tells the pacer what is new: rows that wait, watermarks, the end.
    fn report(&mut self) {
        if self.is_scripted {
            self.look_ahead();
        }
        let head = self.head.as_ref().map(|(_, step)| *step);
        let (items, bytes) = self.port.waiting();
        // What waits for others is no reason for an epoch; the pacer has one when these have gone on.
        let waiting = if items == 0 || self.is_ahead() { 0 } else { bytes.max(1) };
        let live = self.open.values().filter(|open| !open.is_idle);
        let watermarks: Vec<EventTime> = live.map(|open| open.watermark).collect();
        let is_finished = self.is_ended && items == 0 && head.is_none();
        self.counters.set_watermark(watermarks.iter().copied().min().unwrap_or(EventTime::MIN));
        // Steps of the waiting bytes: nothing, something, a target's worth, more of them.
        let step = if waiting == 0 { 0 } else { 1 + waiting / crate::pacing::TARGET_BYTES };
        let now = (step, watermarks.clone(), is_finished, head);
        if self.reported.as_ref() == Some(&now) && self.begun.is_empty() {
            return;
        }
        self.reported = Some(now);
        self.outbox.send(Report::Source {
            node: self.node,
            worker: self.worker,
            waiting_bytes: waiting,
            watermarks,
            begun: std::mem::take(&mut self.begun).into_iter().collect(),
            is_finished,
            step: head,
        });
    }
}

fn progress(split: &SplitId, open: &OpenSplit, is_finished: bool) -> SplitProgress {
    SplitProgress {
        split: split.clone(),
        offset: open.offset.clone(),
        is_finished,
        watermark: open.watermark,
        trail: open.trail.as_deref().cloned(),
    }
}
