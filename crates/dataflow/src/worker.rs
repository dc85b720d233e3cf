//! Runs one attempt's worker threads: build, step, park, end.
//!
//! Invariants: a thread that has nothing to do is parked; a panic or an error in one ends the
//! attempt for all of them; when `run` returns, no thread of the attempt is left.

use std::cell::RefCell;
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thalweg_types::{Epoch, Error, Result, WorkerId};
use timely::communication::Hooks;
use timely::communication::allocator::thread::ThreadBuilder;
use timely::communication::allocator::zero_copy::initialize::{
    CommsGuard, initialize_networking_from_sockets,
};
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};
use timely::dataflow::Scope;
use timely::dataflow::Stream;
use timely::dataflow::channels::pact::Exchange;
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::probe::Handle;
use timely::scheduling::Activator;
use timely::worker::Worker;

use crate::book::{Book, Outbox, Report};
use crate::job::{Event, Job, Seat};
use crate::lower::Lowering;
use crate::pacer::{Dispatch, Inbox, pacer};

/// How long a worker parks at most; it looks whether it is to stop then.
const PARK_MAX: Duration = Duration::from_secs(1);

/// How the workers of an attempt reach each other.
pub enum Fabric {
    /// They are threads of this process.
    Threads,
    /// They are threads of this and of other processes, as many in each.
    Processes {
        /// Which one this process is.
        index: usize,
        /// A connection to each process, without one to itself. Shutting one down from outside
        /// ends the attempt.
        sockets: Vec<Option<TcpStream>>,
    },
}

impl Fabric {
    /// Returns what makes the channels of each local worker, and the threads behind them.
    fn build(self, threads: usize) -> Result<(Vec<AllocatorBuilder>, Option<CommsGuard>)> {
        match self {
            Fabric::Threads if threads == 1 => {
                Ok((vec![AllocatorBuilder::Thread(ThreadBuilder)], None))
            }
            Fabric::Threads => {
                let config = timely::CommunicationConfig::Process(threads);
                Ok((config.try_build().map_err(Error::failed)?.0, None))
            }
            Fabric::Processes { index, sockets } => {
                let hooks = Hooks::default();
                let local = ProcessBuilder::new_typed_vector(threads, hooks.refill.clone(), None);
                let built =
                    initialize_networking_from_sockets(local, sockets, index, threads, hooks);
                let (builders, guard) = built.map_err(|error| {
                    Error::failed(format!("cannot start the threads of connections: {error}"))
                })?;
                Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Some(guard)))
            }
        }
    }
}

/// Runs the local workers of `job` until the attempt is over.
///
/// # Errors
/// `Failed` if threads cannot be started. What goes wrong inside is told by events.
pub fn run(job: Arc<Job>, fabric: Fabric) -> Result<()> {
    let (builders, connections) = fabric.build(job.seats.len())?;
    let config = timely::WorkerConfig::default();
    let attempted = job.clone();
    let guards = timely::execute::execute_from(builders, Box::new(()), config, move |worker| {
        let job = &attempted;
        match catch_unwind(AssertUnwindSafe(|| attempt(worker, job))) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => job.fail(error),
            Err(panic) => panicked(job, &panic, worker.index()),
        }
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
        job.tell(Event::Ended(WorkerId(worker.index())));
    });
    let guards = guards.map_err(Error::failed)?;
    let outcomes = guards.join();
    let is_spread = connections.is_some();
    // Threads of a connection that broke have panicked, and were told of by the workers.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(connections)));
    match outcomes.into_iter().find_map(Result::err) {
        // A worker leaves its channels behind, too, and may only then find that one is broken.
        Some(_) if is_spread => job.tell(Event::Severed),
        Some(error) => return Err(Error::internal(error)),
        None => {}
    }
    Ok(())
}

/// Tells of a panic. Timely panics, too, when a connection to another process breaks.
fn panicked(job: &Job, panic: &Box<dyn std::any::Any + Send>, worker: usize) {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_default();
    if text.contains("MergeQueue poisoned") || text.contains("timely communication error") {
        job.tell(Event::Severed);
        job.stop.set();
    } else {
        job.fail(Error::internal(format!("worker {worker} panicked: {text}")));
    }
}

/// One worker's life.
fn attempt(worker: &mut Worker, job: &Arc<Job>) -> Result<()> {
    job.stop.register();
    let local = worker.index() - job.first_worker;
    let seat = job.seats.get(local).and_then(|seat| seat.lock().ok()?.take());
    let seat = seat.ok_or_else(|| Error::internal(format!("worker {local} has no seat")))?;
    let (book, outbox) = (Book::default(), Outbox::default());
    let probe = Handle::new();
    let inbox = Inbox::default();
    let pacer = build(worker, job, seat, (&book, &outbox), (&probe, &inbox))?;
    reports(worker, &outbox, inbox, pacer.clone());
    let is_scripted = job.plan.is_scripted();
    let mut seen = 0;
    while !probe.done() && !job.stop.is_set() {
        match book.is_awake() {
            true => worker.step(),
            false => worker.step_or_park(Some(PARK_MAX)),
        };
        let frontier = probe.with_frontier(|frontier| frontier.first().copied());
        if let Some(frontier) = frontier
            && frontier != seen
        {
            seen = frontier;
            book.forget_before(frontier);
            if is_scripted {
                // Behind the wakes: operators told them when they closed their epochs.
                let (worker, epoch) = (worker.index(), Epoch(frontier));
                outbox.send(Report::Reached { worker, epoch });
            }
            pacer.activate();
        }
    }
    Ok(())
}

/// Builds the main dataflow; returns what activates the pacer.
fn build(
    worker: &mut Worker,
    job: &Arc<Job>,
    seat: Seat,
    (book, outbox): (&Book, &Outbox),
    (probe, inbox): (&Handle<u64>, &Inbox),
) -> Result<Activator> {
    worker.dataflow::<u64, _, _>(|scope| {
        let (epochs, activator) = pacer(scope, job, inbox.clone(), probe);
        let epochs = herald(scope, epochs, book.clone());
        Lowering::new(job, seat, (book.clone(), outbox.clone()), epochs).build(probe)?;
        Ok(activator)
    })
}

/// Writes the facts of each epoch down on every worker before its sources hear of it.
fn herald<'scope>(
    scope: Scope<'scope, u64>,
    epochs: Stream<'scope, u64, Dispatch>,
    book: Book,
) -> Stream<'scope, u64, Dispatch> {
    let mut builder = OperatorBuilder::new("Herald".to_owned(), scope);
    let mut input = builder.new_input(epochs, Exchange::new(|(worker, _): &(u64, _)| *worker));
    let (output, stream) = builder.new_output::<Dispatch>();
    let mut output = OutputBuilder::from(output);
    builder.build(move |_| {
        move |_| {
            let mut output = output.activate();
            input.for_each(|time, dispatch| {
                for (_, info) in dispatch.iter() {
                    book.open(info.clone());
                }
                let mut session = output.session(&time);
                session.give_container(dispatch);
            });
        }
    });
    stream
}

/// Builds the dataflow that carries reports to the pacer on worker 0.
fn reports(worker: &mut Worker, outbox: &Outbox, inbox: Inbox, pacer: Activator) {
    let outbox = outbox.clone();
    worker.dataflow::<u64, _, _>(|scope| {
        let mut builder = OperatorBuilder::new("Reports".to_owned(), scope);
        let (output, stream) = builder.new_output::<Vec<Report>>();
        let mut output = OutputBuilder::from(output);
        outbox.sent_by(scope.activator_for(builder.operator_info().address));
        builder.build(move |capabilities| {
            let capability = capabilities.into_iter().next().expect("one output, one capability");
            move |_| {
                let mut output = output.activate();
                let mut session = output.session(&capability);
                session.give_iterator(outbox.take().into_iter());
            }
        });
        let mut builder = OperatorBuilder::new("Inbox".to_owned(), scope);
        let mut input = builder.new_input(stream, Exchange::new(|_: &Report| 0));
        let inbox: Rc<RefCell<Vec<Report>>> = inbox;
        builder.build(move |_| {
            move |_| {
                let mut has_some = false;
                input.for_each(|_, reports| {
                    has_some = true;
                    inbox.borrow_mut().append(reports);
                });
                if has_some {
                    pacer.activate();
                }
            }
        });
    });
}

#[cfg(test)]
mod tests;
