//! The driver of a loop's steps: maps their contract onto timely.
//!
//! Invariants: a step sees differences of the epoch that its gate has open, and of no other; rounds are
//! closed when no difference of them, or of rounds before, can come any more; the shell holds a
//! capability for what the step waits for, and for nothing else.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use thalweg_types::fault::is_planted;
use thalweg_types::{Change, DomainId, Error, Place, Result, WorkerId};
use timely::communication::Pull;
use timely::container::NoopBuilder;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::{DistributorPact, Pipeline};
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::generic::{InputHandleCore, OutputBuilder};
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::{Antichain, MutableAntichain};
use timely::progress::timestamp::PathSummary;
use timely::scheduling::Activator;

use super::exit::{Gate, Shared};
use super::logic::{Came, Sent};
use super::time::{Path, Rounds, Time};
use crate::book::Book;
use crate::container::{Container, FrameId};
use crate::exchange::KeyDistributor;
use crate::flow::Credit;
use crate::job::Job;
use crate::stats::Counters;

/// Rows on a channel of a loop.
#[derive(Clone)]
pub(super) struct Flowing<'scope> {
    pub(super) stream: Stream<'scope, Time, Container>,
    pub(super) frame: FrameId,
    pub(super) schema: SchemaRef,
}

/// Where a step stands, and what it needs besides its logic.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) job: Arc<Job>,
    pub(super) worker: usize,
    pub(super) book: Book,
    pub(super) gate: Gate,
    pub(super) counters: Arc<Counters>,
    pub(super) domains: Vec<DomainId>,
    /// Name of the operator, for errors.
    pub(super) operator: String,
    /// What the user calls the loop.
    pub(super) name: String,
    pub(super) rounds_max: u32,
    /// How many loops there are around the step.
    pub(super) depth: usize,
    /// The channel of what it sends.
    pub(super) frame: FrameId,
}

/// Builds a step into a loop; each of its inputs goes to the owners of a key, or stays.
pub(super) fn shell<'scope>(
    scope: Scope<'scope, Time>,
    logic: Shared,
    inputs: Vec<(Flowing<'scope>, Option<Vec<usize>>)>,
    site: Site,
) -> Stream<'scope, Time, Container> {
    let mut builder = OperatorBuilder::new(site.operator.clone(), scope);
    let opening = inputs.iter().map(|(from, _)| (from.frame, from.schema.clone())).collect();
    let mut pulls: Vec<PullInto> = Vec::new();
    for (index, (from, key)) in inputs.into_iter().enumerate() {
        pulls.push(match key {
            None => pull(builder.new_input(from.stream, Pipeline), index),
            Some(columns) => {
                let (groups, worker) = (site.job.groups, WorkerId(site.worker));
                let counters = site.counters.clone();
                let pact = DistributorPact(move |_| {
                    KeyDistributor::new(columns, groups, (worker, counters))
                });
                pull(builder.new_input(from.stream, pact), index)
            }
        });
    }
    let (output, stream) = builder.new_output::<Container>();
    let mut output = OutputBuilder::<_, NoopBuilder<Container>>::from(output);
    let address = builder.operator_info().address;
    site.gate.add(scope.activator_for(address.clone()));
    let activator = Rc::new(scope.activator_for(address));
    let mut shell = Shell::new(logic, opening, activator, site);
    builder.build(move |_| {
        move |frontiers| {
            for pull in &mut pulls {
                pull(&mut |at, input, container| shell.receive(at, input, container));
            }
            shell.run(frontiers, &mut output);
        }
    });
    stream
}

type PullInto = Box<dyn FnMut(&mut dyn FnMut(Capability<Time>, usize, Container))>;

/// Returns what hands over all that arrived at an input, with the right to answer it.
fn pull<P>(mut handle: InputHandleCore<Time, Container, P>, index: usize) -> PullInto
where
    P: Pull<Message<Time, Container>> + 'static,
{
    Box::new(move |into| {
        handle.for_each(|time, data| into(time.retain(0), index, std::mem::take(data)));
    })
}

/// Moves times along a path, and leaves rows alone.
pub(super) fn moved<'scope>(
    stream: Stream<'scope, Time, Container>,
    path: Path,
) -> Stream<'scope, Time, Container> {
    let mut builder = OperatorBuilder::new("Rounds".to_owned(), stream.scope());
    let (output, moved) = builder.new_output::<Container>();
    let mut output = OutputBuilder::<_, NoopBuilder<Container>>::from(output);
    let connection = [(0, Antichain::from_elem(path))];
    let mut input = builder.new_input_connection(stream, Pipeline, connection);
    builder.build(move |_| {
        move |_| {
            let mut output = output.activate();
            input.for_each(|time, data| {
                // A loop ends with an error long before its rounds cannot be counted.
                if let Some(next) = path.results_in(time.time()) {
                    let capability = time.delayed(&next, 0);
                    output.session_with_builder(&capability).give_container(data);
                }
            });
        }
    });
    moved
}

type Output = OutputBuilder<Time, NoopBuilder<Container>>;

/// A batch that waits: the right to answer it, its input, its rows, and what counts them as under way.
type Arrived = (Capability<Time>, usize, Change, Option<Arc<Credit>>);

struct Shell {
    logic: Shared,
    /// How to open what comes to each input.
    opening: Vec<(FrameId, SchemaRef)>,
    site: Site,
    activator: Rc<Activator>,
    stash: BTreeMap<u64, Vec<Arrived>>,
    /// What the step waits for.
    waits: BTreeMap<Rounds, Capability<Time>>,
    is_over: bool,
}

impl Shell {
    fn new(
        logic: Shared,
        opening: Vec<(FrameId, SchemaRef)>,
        activator: Rc<Activator>,
        site: Site,
    ) -> Shell {
        let (stash, waits) = (BTreeMap::new(), BTreeMap::new());
        Shell { logic, opening, site, activator, stash, waits, is_over: false }
    }

    fn receive(&mut self, at: Capability<Time>, input: usize, container: Container) {
        if self.is_over {
            return;
        }
        let (frame, schema) = &self.opening[input];
        match container.open((*frame, schema), &self.site.job.flow) {
            Ok((change, credit)) => {
                let arrived = self.stash.entry(at.time().epoch).or_default();
                arrived.push((at, input, change, credit));
            }
            Err(error) => self.fail(error),
        }
    }

    fn run(&mut self, frontiers: &[MutableAntichain<Time>], output: &mut Output) {
        let began = Instant::now();
        if !self.is_over
            && let Err(error) = self.try_run(frontiers, output)
        {
            self.fail(error);
        }
        self.site.counters.count_busy(began.elapsed());
        self.site.book.stay_awake();
    }

    /// Does what can be done now: what came in the open epoch, then the rounds that are over.
    fn try_run(&mut self, frontiers: &[MutableAntichain<Time>], output: &mut Output) -> Result<()> {
        let epoch = self.site.gate.open();
        if self.stash.contains_key(&epoch)
            && !self.site.book.is_open_or_wake(epoch, &self.activator)
        {
            // Rows of another worker, which heard of the epoch first.
            return Ok(());
        }
        for (at, input, change, credit) in self.stash.remove(&epoch).unwrap_or_default() {
            let rounds = self.rounds(at.time())?;
            let moment = self.site.book.moment(epoch, &self.site.domains);
            let moment = moment.ok_or_else(|| Error::internal("an epoch was forgotten"))?;
            let mut sent = Sent::default();
            self.logic.borrow_mut().batch(input, Came { rounds, change, moment }, &mut sent)?;
            drop(credit);
            self.send(&at, sent, output);
        }
        while let Some((rounds, at)) = self.waits.first_key_value() {
            let end = at.time().end(self.site.depth);
            let is_early = is_planted("early-notification");
            if !is_early && frontiers.iter().any(|frontier| frontier.less_equal(&end)) {
                break;
            }
            let (rounds, at) = (*rounds, at.clone());
            self.waits.remove(&rounds);
            let mut sent = Sent::default();
            self.logic.borrow_mut().close(rounds, &mut sent)?;
            self.send(&at, sent, output);
        }
        Ok(())
    }

    /// Returns the rounds of a time, if there may be as many.
    fn rounds(&self, time: &Time) -> Result<Rounds> {
        let (rounds, most) = (time.rounds(self.site.depth), self.site.rounds_max);
        if rounds.0.iter().all(|round| *round <= most) {
            return Ok(rounds);
        }
        let name = &self.site.name;
        Err(Error::data(format!("the loop `{name}` still changes after {most} rounds")).remedy(
            "keep one of equal rows in it, by UNION or distinct(), or bound what it counts; if it only \
             takes long, raise 'table.exec.recursion.max-rounds', or max_rounds() in Rust",
        ))
    }

    /// Sends what the step sent when it was given differences, or a close, at some time.
    fn send(&mut self, at: &Capability<Time>, sent: Sent, output: &mut Output) {
        let depth = self.site.depth;
        for rounds in sent.waits {
            let capability = at.delayed(&at.time().at(&rounds, depth));
            let waits = self.waits.entry(rounds).or_insert_with(|| capability.clone());
            if capability.time() < waits.time() {
                *waits = capability;
            }
        }
        let mut output = output.activate();
        for (rounds, change) in sent.changes {
            let capability = at.delayed(&at.time().at(&rounds, depth));
            let mut container = Container::counted(change, self.site.frame, None);
            output.session_with_builder(&capability).give_container(&mut container);
        }
    }

    /// Tells what failed and where, and ends the attempt.
    fn fail(&mut self, error: Error) {
        let (operator, worker) = (self.site.operator.clone(), self.site.worker);
        let place = Place::Operator { operator, worker, epoch: self.site.gate.open() };
        self.site.job.fail(error.at(place));
        self.is_over = true;
        self.stash.clear();
        self.waits.clear();
    }
}
