//! The driver: maps the operator contract onto timely.
//!
//! Invariants: an operator sees everything of epoch e, then its close, then e+1, also when the
//! frontier jumps several epochs; what arrives early waits; an operator whose output is full is
//! called again when it has drained, and nothing else of it is called before. The driver holds a
//! capability for the open epoch only, never for I/O.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use thalweg_plan::Node;
use thalweg_state::StateWriter;
use thalweg_types::{Change, EpochInfo, Error, EventTime, Moment, Place, Result, WorkerId};
use timely::communication::Pull;
use timely::container::NoopBuilder;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::{DistributorPact, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{InputHandleCore, OutputBuilder};
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::MutableAntichain;
use timely::scheduling::Activator;

use crate::audit::{Auditor, Auditors};
use crate::book::{Book, Outbox, Report};
use crate::container::{Container, FrameId};
use crate::exchange::{AllDistributor, HomeDistributor, KeyDistributor};
use crate::flow::{Credit, Sender, Unconsumed};
use crate::job::{Event, Job};
use crate::operator::{Close, OUTPUT_BYTES_MAX, Operator, Output, Sent, Step};
use crate::stats::Counters;

/// Snapshots after which a full one is taken, so that restores stay short.
const DELTAS_MAX: usize = 32;
/// Stands for the snapshots since a full one before there was any.
const NO_FULL: usize = usize::MAX;
/// How often the state is measured; some of it is counted group by group.
const SIZE_EVERY: Duration = Duration::from_millis(200);

/// Where rows go before an operator.
pub enum Route {
    /// They stay on their worker.
    Stay,
    /// To the owner of their key, which these columns are.
    ByKey(Vec<usize>),
    /// To the first process.
    Home,
    /// To every worker.
    ToAll,
}

/// An input of a driven operator.
pub struct DrivenInput<'scope> {
    /// Where rows come from.
    pub stream: Stream<'scope, u64, Container>,
    /// Where they go.
    pub route: Route,
    /// Schema of the rows.
    pub schema: SchemaRef,
    /// Channel that they were sent on.
    pub frame: FrameId,
    /// What audits them.
    pub audit: Option<Auditor>,
}

/// What a driver needs besides its operator.
pub struct Surroundings {
    /// The attempt.
    pub job: Arc<Job>,
    /// Index of this worker in the job.
    pub worker: usize,
    /// Facts of the open epochs.
    pub book: Book,
    /// Reports to the pacer.
    pub outbox: Outbox,
}

impl Surroundings {
    /// Returns the counters of `node` on this worker.
    pub fn counters(&self, node: &Node) -> Arc<Counters> {
        self.job.counters[self.worker - self.job.first_worker][node.id.0].clone()
    }
}

/// Builds `operator` into the dataflow; returns its outputs.
pub fn driven<'scope>(
    scope: Scope<'scope, u64>,
    node: &Node,
    operator: Box<dyn Operator>,
    inputs: Vec<DrivenInput<'scope>>,
    around: Surroundings,
) -> Vec<Stream<'scope, u64, Container>> {
    let mut builder = OperatorBuilder::new(node.operator.0.clone(), scope);
    let mut pulls: Vec<PullInto> = Vec::new();
    let schemas: Vec<_> = inputs.iter().map(|i| (i.frame, i.schema.clone())).collect();
    let mut audits = Vec::new();
    for (index, input) in inputs.into_iter().enumerate() {
        let stream = input.stream;
        audits.push(input.audit);
        pulls.push(match input.route {
            Route::Stay => pull(builder.new_input(stream, Pipeline), index),
            Route::ByKey(columns) => {
                let (groups, sender) = (around.job.groups, WorkerId(around.worker));
                let counters = around.counters(node);
                let pact = DistributorPact(move |_| {
                    KeyDistributor::new(columns, groups, (sender, counters))
                });
                pull(builder.new_input(stream, pact), index)
            }
            Route::ToAll => {
                pull(builder.new_input(stream, DistributorPact(|_| AllDistributor)), index)
            }
            Route::Home => {
                let home = around.job.home_of(around.worker);
                pull(
                    builder.new_input(stream, DistributorPact(move |_| HomeDistributor(home))),
                    index,
                )
            }
        });
    }
    let ports = (0..node.kind.outputs()).map(|_| builder.new_output::<Container>());
    let (outputs, streams): (Vec<_>, Vec<_>) = ports.unzip();
    let mut outputs: Outputs = outputs.into_iter().map(OutputBuilder::from).collect();
    let address = builder.operator_info().address.to_vec();
    let waker = || {
        let activator = scope.worker().sync_activator_for(address.clone());
        move || {
            // A worker that is gone needs no waking.
            let _ = activator.activate();
        }
    };
    let activator = Rc::new(scope.activator_for(address.clone().into()));
    let mut driver = Driver::new(node, operator, (schemas, activator), around);
    driver.audits = Auditors(audits);
    driver.sent.wake_by(waker());
    driver.operator.resumed_by(Box::new(waker()));
    builder.build(move |capabilities| {
        driver.capabilities = capabilities;
        driver.advance();
        move |frontiers| {
            for pull in &mut pulls {
                pull(&mut |time, input, container| driver.receive(time, input, container));
            }
            driver.run(frontiers, &mut outputs);
        }
    });
    streams
}

type PullInto = Box<dyn FnMut(&mut dyn FnMut(u64, usize, Container))>;

/// Returns what hands over all that arrived at an input, with the input's number.
fn pull<P>(mut handle: InputHandleCore<u64, Container, P>, index: usize) -> PullInto
where
    P: Pull<Message<u64, Container>> + 'static,
{
    Box::new(move |into| {
        handle.for_each(|time, data| into(*time.time(), index, std::mem::take(data)));
    })
}

type Outputs = Vec<OutputBuilder<u64, NoopBuilder<Container>>>;

/// A batch that waits: its input, its rows, and what counts them as under way.
type Arrived = (usize, Change, Option<Arc<Credit>>);

/// What an operator that said `More` was doing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    Batch,
    Close,
}

struct Driver {
    operator: Box<dyn Operator>,
    node: Node,
    around: Surroundings,
    schemas: Vec<(FrameId, SchemaRef)>,
    audits: Auditors,
    activator: Rc<Activator>,
    /// The channel of each output.
    frames: Vec<FrameId>,
    counters: Arc<Counters>,
    sent: Arc<Unconsumed>,
    capabilities: Vec<Capability<u64>>,
    /// The open epoch, and whether the operator was told of it.
    next: u64,
    is_told: bool,
    /// Batches by epoch, in the order of arrival.
    stash: BTreeMap<u64, VecDeque<Arrived>>,
    stashed_rows: usize,
    /// Set while the operator has more to send.
    unfinished: Option<Doing>,
    wake: Option<EventTime>,
    /// By how much rows that come may be older than the watermark of their sources.
    delay: Duration,
    deltas: usize,
    /// When the state was measured last.
    sized: Instant,
    is_over: bool,
}

impl Driver {
    fn new(
        node: &Node,
        operator: Box<dyn Operator>,
        (schemas, activator): (Vec<(FrameId, SchemaRef)>, Rc<Activator>),
        around: Surroundings,
    ) -> Driver {
        let job = &around.job;
        let frame = |port| FrameId::new(job.fingerprint, node.id, port);
        Driver {
            operator,
            node: node.clone(),
            schemas,
            audits: Auditors::default(),
            activator,
            frames: (0..node.kind.outputs()).map(frame).collect(),
            counters: around.counters(node),
            sent: job.flow.count(Sender { node: node.id, worker: WorkerId(around.worker) }),
            capabilities: Vec::new(),
            next: job.start.epoch.next().0,
            is_told: false,
            stash: BTreeMap::new(),
            stashed_rows: 0,
            unfinished: None,
            wake: None,
            delay: job.plan.delay_before(node),
            deltas: NO_FULL,
            sized: Instant::now(),
            is_over: false,
            around,
        }
    }

    /// Moves the capabilities to the open epoch.
    fn advance(&mut self) {
        for capability in &mut self.capabilities {
            capability.downgrade(&self.next);
        }
    }

    fn receive(&mut self, time: u64, input: usize, container: Container) {
        if self.is_over {
            return;
        }
        let (frame, schema) = &self.schemas[input];
        match container.open((*frame, schema), &self.around.job.flow) {
            Ok((change, credit)) => {
                self.counters.count_in(change.len(), change.bytes());
                self.stashed_rows += change.len();
                self.stash.entry(time).or_default().push_back((input, change, credit));
            }
            Err(error) => self.fail(error),
        }
    }

    fn run(&mut self, frontiers: &[MutableAntichain<u64>], outputs: &mut Outputs) {
        let began = Instant::now();
        if !self.is_over
            && let Err(error) = self.try_run(frontiers, outputs)
        {
            self.fail(error);
        }
        self.report_wake();
        self.counters.set_backlog(self.stashed_rows);
        self.counters.count_busy(began.elapsed());
    }

    /// Does what can be done now: batches of the open epoch, its close, the next epoch.
    fn try_run(
        &mut self,
        frontiers: &[MutableAntichain<u64>],
        outputs: &mut Outputs,
    ) -> Result<()> {
        loop {
            if let Some(doing) = self.unfinished {
                if self.sent.bytes() >= OUTPUT_BYTES_MAX {
                    return Ok(());
                }
                let mut output = Output::new(self.sent.bytes());
                let step = self.operator.resume(&mut output)?;
                let was_full = output.is_full();
                self.flush(output, outputs);
                if step == Step::More {
                    if !was_full {
                        // Not the channels are full but something behind the operator.
                        return Ok(());
                    }
                    // What left the process may count less than it did here, so that there is room
                    // again, and nobody would wake us.
                    continue;
                }
                self.unfinished = None;
                if doing == Doing::Close {
                    self.closed()?;
                }
                continue;
            }
            if self.stash.get(&self.next).is_some_and(|rows| !rows.is_empty())
                && !self.around.book.is_open_or_wake(self.next, &self.activator)
            {
                // Rows of another worker, which heard of the epoch first.
                return Ok(());
            }
            if let Some((input, change, credit)) = self.pop_open() {
                self.stashed_rows -= change.len();
                self.tell();
                self.audits.see(input, &change)?;
                let mut output = Output::new(self.sent.bytes());
                let step = self.operator.batch(input, change, &mut output)?;
                drop(credit);
                self.flush(output, outputs);
                self.unfinished = (step == Step::More).then_some(Doing::Batch);
                continue;
            }
            if self.is_over || frontiers.iter().any(|frontier| frontier.less_equal(&self.next)) {
                return Ok(());
            }
            let Some(info) = self.around.book.get(self.next) else {
                // The attempt ended before this epoch was opened.
                self.end();
                return Ok(());
            };
            // Before a close the state is at its largest.
            if self.sized.elapsed() >= SIZE_EVERY || info.ending.is_some() {
                self.measure();
            }
            self.audits.close()?;
            let mut output = Output::new(self.sent.bytes());
            let close = self.close_of(&info);
            let step = self.operator.close(&close, &mut output)?;
            self.flush(output, outputs);
            match step {
                Step::More => self.unfinished = Some(Doing::Close),
                Step::Done => self.closed()?,
            }
        }
    }

    /// Tells the operator of the epoch whose rows come.
    fn tell(&mut self) {
        if !std::mem::replace(&mut self.is_told, true)
            && let Some(moment) = self.around.book.moment(self.next, &self.node.domains)
        {
            let watermark = moment.watermark.minus(self.delay);
            self.operator.open(&Moment { watermark, ..moment });
        }
    }

    fn pop_open(&mut self) -> Option<Arrived> {
        self.stash.get_mut(&self.next)?.pop_front()
    }

    fn close_of(&self, info: &EpochInfo) -> Close {
        let watermark = info.watermark(&self.node.domains).minus(self.delay);
        let moment = Moment { epoch: info.epoch, clock: info.clock, watermark };
        let plan = &self.around.job.plan;
        let inputs = [0, 1].map(|input| match self.node.inputs.get(input) {
            Some(input) => info.watermark(&plan.node(input.from).domains),
            None => EventTime::MAX,
        });
        Close { moment, inputs, is_checkpoint: info.is_checkpoint, ending: info.ending }
    }

    /// The close of the open epoch is done: keep its state if asked, go on to the next.
    fn closed(&mut self) -> Result<()> {
        let info = self.around.book.get(self.next);
        let info = info.ok_or_else(|| Error::internal("an epoch was forgotten while open"))?;
        self.counters.set_watermark(info.watermark(&self.node.domains).minus(self.delay));
        if info.is_checkpoint {
            self.snapshot(&info)?;
        }
        self.stash.remove(&self.next);
        (self.next, self.is_told) = (self.next + 1, false);
        match info.ending {
            None => self.advance(),
            Some(_) => self.end(),
        }
        Ok(())
    }

    fn measure(&mut self) {
        self.counters.set_state(self.operator.size());
        self.sized = Instant::now();
    }

    fn snapshot(&mut self, info: &EpochInfo) -> Result<()> {
        let full = match info.ending {
            None => self.deltas >= DELTAS_MAX,
            // The last one is kept small: memory may be what ended the attempt.
            Some(_) => self.deltas == NO_FULL,
        };
        self.deltas = if full { 0 } else { self.deltas.saturating_add(1) };
        let groups = self.around.job.groups;
        let mut state = match self.around.job.start.is_temporary {
            false => StateWriter::new(full, groups),
            // Operators still forget what they noted down for a snapshot.
            true => StateWriter::discarded(groups),
        };
        self.operator.snapshot(&mut state)?;
        self.measure();
        let (late, bad) = self.counters.rejected();
        self.around.job.tell(Event::Snapshot {
            node: self.node.id,
            worker: WorkerId(self.around.worker),
            epoch: info.epoch,
            state: Box::new(state),
            late,
            bad,
        });
        Ok(())
    }

    /// Sends what the operator put out in the open epoch.
    fn flush(&mut self, mut output: Output, outputs: &mut Outputs) {
        let (late, bad) = output.counted();
        self.counters.count_rejected(late, bad);
        self.counters.count_forgotten(output.forgotten());
        let mut outputs: Vec<_> = outputs.iter_mut().map(OutputBuilder::activate).collect();
        for Sent { port, change, bytes } in output.take_sized() {
            if port == 0 {
                self.counters.count_out(change.len(), bytes);
            }
            let mut container = Container::sized((change, bytes), self.frames[port], &self.sent);
            let mut session = outputs[port].session_with_builder(&self.capabilities[port]);
            session.give_container(&mut container);
        }
    }

    fn report_wake(&mut self) {
        let wake = if self.is_over { None } else { self.operator.wake() };
        // A wake that is due is reported again: the pacer forgets the ones it serves.
        if wake != self.wake {
            self.wake = wake;
            let (node, worker) = (self.node.id, self.around.worker);
            self.around.outbox.send(Report::Wake { node, worker, at: wake });
        }
    }

    fn end(&mut self) {
        self.is_over = true;
        self.capabilities.clear();
        self.stash.clear();
        self.stashed_rows = 0;
    }

    /// Tells what failed and where, and ends the attempt.
    fn fail(&mut self, error: Error) {
        let operator = self.node.operator.0.clone();
        let place = Place::Operator { operator, worker: self.around.worker, epoch: self.next };
        self.around.job.fail(error.at(place));
        self.end();
    }
}
