//! Plan → timely graph; the only `match` on node kinds in the engine room.
//!
//! Invariant: every worker of every process builds the same operators in the same order, since
//! timely knows channels by their number alone.

use std::sync::Arc;

use thalweg_plan::loops::LoopNode;
use thalweg_plan::node::{BadRecords, Exchange, Input, MapNode, Node, NodeKind};
use thalweg_types::{Change, Error, NodeId, Place, Result};
use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::probe::{Handle, Probe};
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::MutableAntichain;

use crate::audit::{Audit, Tap};
use crate::book::{Book, Outbox};
use crate::chain::{self, ChainOperator};
use crate::container::{Container, FrameId};
use crate::driven::{DrivenInput, Route, Surroundings, driven};
use crate::job::{Job, Seat};
use crate::loops;
use crate::operator::Operator;
use crate::operators;
use crate::pacer::Dispatch;
use crate::sink::SinkOperator;
use crate::source::{SourceInstance, source};

type Outputs<'scope> = Vec<Stream<'scope, u64, Container>>;

/// Builds a plan's dataflow on one worker.
pub struct Lowering<'scope> {
    scope: Scope<'scope, u64>,
    job: Arc<Job>,
    seat: Seat,
    worker: usize,
    book: Book,
    outbox: Outbox,
    audit: Audit,
    epochs: Stream<'scope, u64, Dispatch>,
    outputs: Vec<Outputs<'scope>>,
}

impl<'scope> Lowering<'scope> {
    /// Returns a lowering of `job` for this worker; `epochs` tells what the pacer opened.
    pub fn new(
        job: &Arc<Job>,
        seat: Seat,
        (book, outbox): (Book, Outbox),
        epochs: Stream<'scope, u64, Dispatch>,
    ) -> Lowering<'scope> {
        let scope = epochs.scope();
        let worker = scope.index();
        let (job, audit, outputs) = (job.clone(), job.audit(), Vec::new());
        Lowering { scope, job, seat, worker, book, outbox, audit, epochs, outputs }
    }

    /// Builds all nodes, with `probe` behind every sink.
    ///
    /// # Errors
    /// `Internal` if a seat lacks an edge, `State` if restored state does not fit.
    pub fn build(mut self, probe: &Handle<u64>) -> Result<()> {
        let plan = self.job.plan.clone();
        for node in &plan.nodes {
            let outputs = self.node(node)?;
            if matches!(node.kind, NodeKind::Sink(_)) {
                outputs[0].clone().probe_with(probe);
            }
            self.outputs.push(outputs);
        }
        // A job needs its epochs watched even if it has no sink.
        self.epochs.clone().probe_with(probe);
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<Outputs<'scope>> {
        match &node.kind {
            NodeKind::Source(source_node) => {
                let port = self.seat.sources.get(&node.id).cloned();
                let port = port.ok_or_else(|| missing(node, "reader"))?;
                let outbox = self.outbox.clone();
                let instance =
                    SourceInstance::new(&self.job, (node, source_node), self.worker, port, outbox);
                Ok(source(self.scope, self.epochs.clone(), instance).into())
            }
            NodeKind::Map(map) if map.bad_records == BadRecords::Fail => Ok(self.chain(node, map)),
            NodeKind::Map(map) => {
                let first = self.job.start.epoch.next().0;
                let domains = node.domains.clone();
                let chain = ChainOperator::new(map.clone(), self.book.clone(), domains, first);
                Ok(self.driven(node, Box::new(chain)))
            }
            NodeKind::Union => Ok(self.union(node)),
            NodeKind::Loop(looped) => self.looped(node, looped),
            NodeKind::Sink(_) => {
                let port = self.seat.sinks.get(&node.id).cloned();
                let port = port.ok_or_else(|| missing(node, "writer"))?;
                Ok(self.driven(node, Box::new(SinkOperator::new(port))))
            }
            NodeKind::Aggregate(_)
            | NodeKind::CountWindow(_)
            | NodeKind::Upsert(_)
            | NodeKind::Check(_)
            | NodeKind::Compact(_)
            | NodeKind::WindowTop(_)
            | NodeKind::Top(_)
            | NodeKind::Over(_)
            | NodeKind::Match(_)
            | NodeKind::SessionRows(_)
            | NodeKind::Sort(_)
            | NodeKind::Join(_)
            | NodeKind::TemporalJoin(_)
            | NodeKind::Process(_) => {
                let schema = |input: &Input| self.job.plan.output_schema(input.from, input.port);
                let schemas: Vec<_> = node.inputs.iter().map(schema).collect();
                let operator = operators::make(node, &schemas)?;
                let operator = operator.ok_or_else(|| missing(node, "operator"))?;
                let operator = self.restored(node, operator)?;
                Ok(self.driven(node, operator))
            }
        }
    }

    /// Builds a loop, and behind it the operator that takes what leaves it.
    fn looped(&mut self, node: &Node, looped: &LoopNode) -> Result<Outputs<'scope>> {
        let (inputs, around) = (self.inputs(node), self.surroundings());
        let built = loops::build::build(self.scope, (node, looped), inputs, &around)?;
        let operator = self.restored(node, built.operator)?;
        Ok(driven(self.scope, node, operator, vec![built.input], around))
    }

    /// Gives an operator the state of its key groups, if there is any.
    fn restored(
        &mut self,
        node: &Node,
        mut operator: Box<dyn Operator>,
    ) -> Result<Box<dyn Operator>> {
        if let Some(state) = self.seat.state.remove(&node.id) {
            let start = &self.job.start;
            let watermark = node.domains.iter().map(|d| start.watermarks[d.0]).min();
            let watermark = watermark.unwrap_or(thalweg_types::EventTime::MAX);
            let moment = thalweg_types::Moment {
                epoch: start.epoch,
                clock: start.clock,
                watermark: watermark.minus(self.job.plan.delay_before(node)),
            };
            let operator_name = node.operator.0.clone();
            let (worker, epoch) = (self.worker, start.epoch.0);
            let place = Place::Operator { operator: operator_name, worker, epoch };
            operator.restore(&state, &moment).map_err(|error| error.at(place))?;
        }
        Ok(operator)
    }

    fn stream(&self, input: &Input) -> Stream<'scope, u64, Container> {
        self.outputs[input.from.0][input.port].clone()
    }

    fn frame(&self, from: NodeId, port: usize) -> FrameId {
        FrameId::new(self.job.fingerprint, from, port)
    }

    fn driven(&self, node: &Node, operator: Box<dyn Operator>) -> Outputs<'scope> {
        driven(self.scope, node, operator, self.inputs(node), self.surroundings())
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            job: self.job.clone(),
            worker: self.worker,
            book: self.book.clone(),
            outbox: self.outbox.clone(),
        }
    }

    fn inputs(&self, node: &Node) -> Vec<DrivenInput<'scope>> {
        let is_spread = self.job.groups.workers > self.job.seats.len();
        let inputs = node.inputs.iter().enumerate().map(|(number, input)| DrivenInput {
            stream: self.stream(input),
            route: match (&input.exchange, &node.kind) {
                (Exchange::ByKey(columns), _) => Route::ByKey(columns.clone()),
                (Exchange::Global, _) => Route::ByKey(Vec::new()),
                (Exchange::Broadcast, _) => Route::ToAll,
                (Exchange::Forward, NodeKind::Sink(sink)) if is_spread && sink.sink.is_local() => {
                    Route::Home
                }
                (Exchange::Forward, _) => Route::Stay,
            },
            schema: self.job.plan.output_schema(input.from, input.port),
            frame: self.frame(input.from, input.port),
            audit: self.audit.of(&self.job.plan, input, format!("input {number}")),
        });
        inputs.collect()
    }

    /// Returns what audits an input of what is not driven.
    fn tap(&self, number: usize, input: &Input) -> Option<Tap> {
        let auditor = self.audit.of(&self.job.plan, input, format!("input {number}"))?;
        Some(Tap::new(auditor, self.job.start.epoch.next()))
    }

    /// Puts the inputs together; each batch gets the channel of the union.
    fn union(&self, node: &Node) -> Outputs<'scope> {
        let mut builder = OperatorBuilder::new(node.operator.0.clone(), self.scope);
        let handles = node.inputs.iter().enumerate().map(|(number, input)| {
            let handle = builder.new_input(self.stream(input), Pipeline);
            (handle, self.frame(input.from, input.port), self.tap(number, input))
        });
        let mut handles: Vec<_> = handles.collect();
        let (output, stream) = builder.new_output::<Container>();
        let mut output = OutputBuilder::<_, NoopBuilder<Container>>::from(output);
        let frame = self.frame(node.id, 0);
        let (schema, job) = (node.schema.clone(), self.job.clone());
        let (name, worker) = (node.operator.0.clone(), self.worker);
        builder.build(move |_| {
            move |frontiers| {
                let mut output = output.activate();
                for ((handle, from, tap), frontier) in handles.iter_mut().zip(frontiers) {
                    handle.for_each(|time, data| {
                        let opened = std::mem::take(data).open((*from, &schema), &job.flow);
                        match opened.and_then(|(change, credit)| {
                            see(tap, *time.time(), &change)?;
                            Ok(Container::counted(rename(change, &schema)?, frame, credit))
                        }) {
                            Ok(mut container) => {
                                output.session_with_builder(&time).give_container(&mut container);
                            }
                            Err(error) => job.fail(error),
                        }
                    });
                    advance(tap, frontier, (&job, &name, worker));
                }
            }
        });
        vec![stream]
    }

    /// A stateless chain: rows leave as they come.
    fn chain(&self, node: &Node, map: &MapNode) -> Outputs<'scope> {
        let input = &node.inputs[0];
        let mut builder = OperatorBuilder::new(node.operator.0.clone(), self.scope);
        let mut handle = builder.new_input(self.stream(input), Pipeline);
        let (output, stream) = builder.new_output::<Container>();
        let mut output = OutputBuilder::<_, NoopBuilder<Container>>::from(output);
        let from = (
            self.frame(input.from, input.port),
            self.job.plan.output_schema(input.from, input.port),
        );
        let frame = self.frame(node.id, 0);
        let (map, book, job, domains) =
            (map.clone(), self.book.clone(), self.job.clone(), node.domains.clone());
        let counters = job.counters[self.worker - job.first_worker][node.id.0].clone();
        let (name, worker) = (node.operator.0.clone(), self.worker);
        let mut tap = self.tap(0, input);
        builder.build(move |_| {
            move |frontiers| {
                let began = std::time::Instant::now();
                let mut output = output.activate();
                handle.for_each(|time, data| {
                    let opened = std::mem::take(data).open((from.0, &from.1), &job.flow);
                    let mapped = opened.and_then(|(change, credit)| {
                        see(&mut tap, *time.time(), &change)?;
                        let moment = book.moment(*time.time(), &domains);
                        let moment = moment
                            .ok_or_else(|| Error::internal("rows of an epoch that is not open"))?;
                        counters.count_in(change.len(), change.bytes());
                        // What it becomes counts for whoever sent it, until that is consumed.
                        Ok((chain::apply(&map, change, &moment)?, credit))
                    });
                    match mapped {
                        Ok((mapped, credit)) => {
                            let mut session = output.session_with_builder(&time);
                            for change in mapped.rows {
                                counters.count_out(change.len(), change.bytes());
                                let credit = credit.clone();
                                let mut container = Container::counted(change, frame, credit);
                                session.give_container(&mut container);
                            }
                        }
                        Err(error) => {
                            let (operator, epoch) = (name.clone(), *time.time());
                            job.fail(error.at(Place::Operator { operator, worker, epoch }));
                        }
                    }
                });
                advance(&mut tap, &frontiers[0], (&job, &name, worker));
                counters.count_busy(began.elapsed());
            }
        });
        vec![stream]
    }
}

/// Shows rows of an epoch to what audits them.
fn see(tap: &mut Option<Tap>, epoch: u64, change: &Change) -> Result<()> {
    tap.as_mut().map_or(Ok(()), |tap| tap.see(epoch, change))
}

/// Lets what audits an input close the epochs that are over there.
fn advance(
    tap: &mut Option<Tap>,
    frontier: &MutableAntichain<u64>,
    (job, operator, worker): (&Job, &str, usize),
) {
    let next = frontier.frontier().first().copied().unwrap_or(u64::MAX);
    if let Some(Err((epoch, error))) = tap.as_mut().map(|tap| tap.advance(next)) {
        job.fail(error.at(Place::Operator { operator: operator.to_owned(), worker, epoch }));
    }
}

/// Gives the rows of one input the names of the union's columns.
fn rename(change: Change, schema: &arrow::datatypes::SchemaRef) -> Result<Change> {
    let columns = change.rows.columns().to_vec();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(change.len()));
    let rows = arrow::array::RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    Ok(Change { rows, weights: change.weights })
}

fn missing(node: &Node, what: &str) -> Error {
    Error::internal(format!("operator `{}` has no {what}", node.operator))
}
