//! Runs one attempt's worker threads: build, step, park, end.
//!
//! Invariants: a thread that has nothing to do is parked; a panic or an error in one ends the
//! attempt for all of them; when `run` returns, no thread of the attempt is left.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use thalweg_types::{Error, Result, WorkerId};
use timely::communication::allocator::AllocatorBuilder;
use timely::communication::allocator::thread::ThreadBuilder;
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
const PARK_MAX: Duration = Duration::from_millis(100);

/// How the workers of an attempt reach each other.
pub enum Fabric {
    /// Threads of this process only.
    Threads(usize),
}

/// Runs the local workers of `job` until the attempt is over.
///
/// # Errors
/// `Failed` if threads cannot be started. What goes wrong inside is told by events.
pub fn run(job: Arc<Job>, fabric: Fabric) -> Result<()> {
    let builders = match fabric {
        Fabric::Threads(1) => vec![AllocatorBuilder::Thread(ThreadBuilder)],
        Fabric::Threads(count) => {
            let config = timely::CommunicationConfig::Process(count);
            let built = config.try_build().map_err(Error::failed)?;
            built.0
        }
    };
    let config = timely::WorkerConfig::default();
    let guards = timely::execute::execute_from(builders, Box::new(()), config, move |worker| {
        let outcome = catch_unwind(AssertUnwindSafe(|| attempt(worker, &job)));
        let error = match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error),
            Err(panic) => Some(panicked(&panic, worker.index())),
        };
        if let Some(error) = error {
            job.fail(error);
        }
        for dataflow in worker.installed_dataflows() {
            worker.drop_dataflow(dataflow);
        }
        job.tell(Event::Ended(WorkerId(worker.index())));
    });
    let guards = guards.map_err(Error::failed)?;
    for outcome in guards.join() {
        outcome.map_err(Error::internal)?;
    }
    Ok(())
}

fn panicked(panic: &Box<dyn std::any::Any + Send>, worker: usize) -> Error {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    Error::internal(format!("worker {worker} panicked: {}", text.unwrap_or_default()))
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
    let mut seen = 0;
    while !probe.done() && !job.stop.is_set() {
        worker.step_or_park(Some(PARK_MAX));
        let frontier = probe.with_frontier(|frontier| frontier.first().copied());
        if let Some(frontier) = frontier
            && frontier != seen
        {
            seen = frontier;
            book.forget_before(frontier);
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
