//! A process of a job that another one started: it plans the same script, runs its share of the
//! workers, and passes what they say on to the coordinator.
//!
//! Invariant: it ends when it is asked to, and when the first process is gone or silent.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use thalweg_dataflow::stats::Counters;
use thalweg_plan::{Plan, fingerprint};
use thalweg_storage::{CheckpointLog, ObjectStore};
use thalweg_types::{Error, Result};
use tokio::runtime::Handle;

use crate::attempt::{Attempt, Begin, counts};
use crate::group::{listen, own_address};
use crate::link::{Hearer, Lost, Speaker, link};
use crate::mesh::{self, Agreement};
use crate::message::Message;
use crate::orders::{Invitation, Order, Word};
use crate::restore;

/// How often counters are told.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// A process that was left alone ends after so long, whatever its threads do.
const END_MAX: Duration = Duration::from_secs(1);

/// Takes part in the job of the process at `address`, as its process `index`, until that ends.
/// `plan` makes the plan from what the first process sends.
///
/// # Errors
/// `Failed` if the first process is gone. What fails the job is told there, not here.
pub fn serve(
    address: &str,
    index: usize,
    token: String,
    plan: impl FnOnce(&str) -> Result<Plan>,
    runtime: Handle,
) -> Result<()> {
    let stream = TcpStream::connect(address)
        .map_err(|error| Error::failed(format!("cannot reach {address}: {error}")))?;
    let (speaker, mut hearer) = link(stream)?;
    let listener = listen()?;
    speaker.say(Word::Hello { token, index, address: own_address(&listener)? });
    let Order::Join(invitation) = next(&mut hearer)? else {
        return Err(Error::internal("an order came before the invitation"));
    };
    let begin = match begin(&invitation, index, plan, &speaker, runtime) {
        Ok(begin) => begin,
        Err(error) => return excuse(error, &speaker, hearer),
    };
    let own = Agreement { plan: fingerprint::fingerprint(&begin.plan), attempt: begin.attempt.0 };
    speaker.say(Word::Ready(own.plan));
    let addresses = match next(&mut hearer)? {
        Order::Connect(addresses) => addresses,
        Order::End => return Ok(()),
        _ => return Err(Error::internal("an order came before the connections")),
    };
    let mesh = match mesh::connect(index, &addresses, &listener, own) {
        Ok(mesh) => mesh,
        Err(error) => return excuse(error, &speaker, hearer),
    };
    let attempt = Attempt::start(begin, Some(mesh), None)?;
    let counting = count(attempt.job.counters.clone(), speaker.clone())?;
    let end = obey(&attempt, &mut hearer);
    if end.is_err() {
        // Nobody is left to end a process whose threads hang.
        std::thread::spawn(|| {
            std::thread::park_timeout(END_MAX);
            std::process::exit(1);
        });
    }
    drop(counting);
    let local = attempt.job.counters.clone();
    attempt.end();
    speaker.say(Word::Bye(counts(&local)));
    drop(speaker);
    // The first process closes the connection once it has heard everything.
    while hearer.hear::<Order>().is_ok() {}
    end
}

fn next(hearer: &mut Hearer) -> Result<Order> {
    hearer.hear().map_err(|lost| match lost {
        Lost::Gone => Error::failed("the first process of the job is gone"),
        Lost::Silent => Error::failed("the first process of the job says nothing"),
        Lost::Garbled(what) => Error::internal(format!("the first process talks nonsense: {what}")),
    })
}

/// Tells why this process cannot take part, and waits to be dismissed.
fn excuse(error: Error, speaker: &Speaker<Word>, mut hearer: Hearer) -> Result<()> {
    speaker.say(Word::Tell(Message::Failed(error)));
    while !matches!(next(&mut hearer)?, Order::End) {}
    Ok(())
}

fn begin(
    invitation: &Invitation,
    index: usize,
    plan: impl FnOnce(&str) -> Result<Plan>,
    speaker: &Speaker<Word>,
    runtime: Handle,
) -> Result<Begin> {
    let plan = Arc::new(plan(&invitation.script)?);
    let log = CheckpointLog::new(ObjectStore::open(&invitation.state)?);
    let first = index * invitation.threads;
    let local = first..first + invitation.threads;
    let (groups, manifest) = (invitation.groups, &invitation.manifest);
    let state = restore::states(&plan, &log, manifest, (groups, local.clone()));
    let state = runtime.block_on(state)?;
    let (job, attempt) = (&invitation.job, invitation.attempt.0);
    tracing::info!(%job, attempt, process = index, "Process takes part.");
    let speaker = speaker.clone();
    Ok(Begin {
        plan,
        groups,
        local,
        job: invitation.job.clone(),
        attempt: invitation.attempt,
        lineage: restore::lineage(&invitation.state),
        start: invitation.start.clone(),
        state,
        writers: manifest.writers.clone(),
        log,
        clock: invitation.clock,
        memory_limit: invitation.memory_limit,
        tell: Arc::new(move |message| match message {
            // The first process notices by itself, and knows why.
            Message::Severed => {}
            message => speaker.say(Word::Tell(message)),
        }),
        runtime,
    })
}

/// Does what the coordinator says, until it says that the attempt ends.
fn obey(attempt: &Attempt, hearer: &mut Hearer) -> Result<()> {
    loop {
        match next(hearer)? {
            Order::Answer(node, worker, answer) => attempt.answer(node, worker, answer),
            Order::End => return Ok(()),
            Order::Join(_) | Order::Connect(_) => {
                return Err(Error::internal("an order came twice"));
            }
        }
    }
}

/// Starts the thread that tells counters; it ends when what is returned is dropped.
fn count(local: Vec<Vec<Arc<Counters>>>, speaker: Speaker<Word>) -> Result<Sender<()>> {
    let (over, is_over) = channel::<()>();
    let thread = std::thread::Builder::new().name("counters".to_owned()).spawn(move || {
        while is_over.recv_timeout(COUNT_EVERY) == Err(RecvTimeoutError::Timeout) {
            speaker.say(Word::Counters(counts(&local)));
        }
    });
    thread.map_err(|error| Error::failed(format!("cannot start a thread: {error}")))?;
    Ok(over)
}
