//! One life of a job's threads: workers, readers, writers, uploader; started together, ended
//! together.
//!
//! Invariant: `end` returns only when no thread of the attempt is left.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use thalweg_dataflow::job::{Command, Commands, Event, Job, Listener, Seat, Start, Stop};
use thalweg_dataflow::port::{Port, SinkPort, SourcePort};
use thalweg_dataflow::stats::{Counters, Counts};
use thalweg_dataflow::worker::{Fabric, run};
use thalweg_plan::node::NodeKind;
use thalweg_plan::sink::{WriterContext, WriterState};
use thalweg_plan::trail::Trail;
use thalweg_plan::{Node, Plan, fingerprint};
use thalweg_state::{StateReader, StateWriter};
use thalweg_storage::CheckpointLog;
use thalweg_storage::checkpoint::manifest::StateFile;
use thalweg_storage::checkpoint::paths;
use thalweg_types::clock::{Clock, FixedClock, SystemClock};
use thalweg_types::{AttemptId, Epoch, Error, JobId, KeyGroups, NodeId, Result, WorkerId};
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::credits;
use crate::group::Group;
use crate::memory::{Gauge, Verdict};
use crate::mesh::Mesh;
use crate::message::{Message, Tell};
use crate::options::{READER_BYTES_MAX, WRITER_BYTES_MAX};
use crate::reader::{Pace, Reader};
use crate::splits::Answer;
use crate::writer::Writer;

/// Everything an attempt begins with.
pub struct Begin {
    /// What to run.
    pub plan: Arc<Plan>,
    /// Key groups and workers.
    pub groups: KeyGroups,
    /// The workers of this process.
    pub local: Range<usize>,
    /// Name of the job.
    pub job: JobId,
    /// Which life of it.
    pub attempt: AttemptId,
    /// What all lives that share a state have in common.
    pub lineage: String,
    /// Epoch, clock, watermarks and holds to go on from.
    pub start: Start,
    /// Restored state, by local worker.
    pub state: Vec<BTreeMap<NodeId, StateReader>>,
    /// What writers left, by operator of the sink.
    pub writers: BTreeMap<String, Vec<String>>,
    /// Where state files go.
    pub log: CheckpointLog,
    /// A clock that stands still, instead of the machine's.
    pub clock: Option<FixedClock>,
    /// Bytes that this process may use.
    pub memory_limit: Option<u64>,
    /// Who hears the threads.
    pub tell: Tell,
    /// Runs what is asynchronous.
    pub runtime: Handle,
}

/// A running attempt.
pub struct Attempt {
    /// The attempt as the engine room sees it; its counters are read by others.
    pub job: Arc<Job>,
    answers: BTreeMap<(NodeId, WorkerId), Sender<Answer>>,
    sources: Vec<Arc<SourcePort>>,
    sinks: Vec<Arc<SinkPort>>,
    tell: Tell,
    /// Becomes true at the end.
    over: watch::Sender<bool>,
    /// Connections to other processes.
    connections: Vec<TcpStream>,
    /// The other processes, if this is the first one.
    group: Option<Group>,
    threads: Vec<JoinHandle<()>>,
}

impl Attempt {
    /// Starts all threads; `group` are the other processes.
    ///
    /// # Errors
    /// `Failed` if a thread cannot be started.
    pub fn start(begin: Begin, mesh: Option<Mesh>, group: Option<Group>) -> Result<Attempt> {
        let workers = begin.local.len();
        let (upload, uploads) = channel();
        let listener = listener(begin.tell.clone(), upload);
        let nodes = begin.plan.nodes.len();
        let mut attempt = Attempt {
            answers: BTreeMap::new(),
            sources: Vec::new(),
            sinks: Vec::new(),
            tell: begin.tell.clone(),
            over: watch::channel(false).0,
            connections: mesh.as_ref().map_or(Ok(Vec::new()), clones)?,
            group,
            threads: Vec::new(),
            job: Arc::new(Job {
                fingerprint: fingerprint::fingerprint(&begin.plan),
                plan: begin.plan.clone(),
                groups: begin.groups,
                clock: clock(begin.clock),
                start: begin.start.clone(),
                first_worker: begin.local.start,
                seats: (0..workers).map(|_| Mutex::new(None)).collect(),
                counters: (0..workers)
                    .map(|_| (0..nodes).map(|_| Arc::<Counters>::default()).collect())
                    .collect(),
                epochs: Arc::default(),
                listener,
                flow: Arc::default(),
                premises: Arc::default(),
                commands: Arc::<Commands>::default(),
                stop: Arc::<Stop>::default(),
            }),
        };
        attempt.upload(&begin, uploads)?;
        let memory_limit = begin.memory_limit;
        attempt.seat(begin)?;
        if let Some(limit) = memory_limit {
            attempt.guard(limit)?;
        }
        let fabric = match mesh {
            None => Fabric::Threads,
            Some(mesh) => {
                attempt.exchange_credits(&mesh)?;
                Fabric::Processes { index: mesh.index, sockets: mesh.rows }
            }
        };
        let (job, tell) = (attempt.job.clone(), attempt.job.listener.clone());
        attempt.spawn("workers", move || {
            if let Err(error) = run(job, fabric) {
                (tell.0)(Event::Failed(error));
            }
        })?;
        Ok(attempt)
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
        let (tell, what) = (self.tell.clone(), name.to_owned());
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            if catch_unwind(AssertUnwindSafe(body)).is_err() {
                // What it said is on standard error.
                let error = Error::internal(format!("a thread ({what}) panicked"));
                tell(Message::Failed(error));
            }
        });
        let thread =
            thread.map_err(|error| Error::failed(format!("cannot start a thread: {error}")))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Starts the threads that tell other processes what is consumed, and hear it.
    fn exchange_credits(&mut self, mesh: &Mesh) -> Result<()> {
        let mut sockets = Vec::new();
        for socket in &mesh.credits {
            let Some(socket) = socket else {
                sockets.push(None);
                continue;
            };
            let (flow, heard) = (self.job.flow.clone(), cloned(socket)?);
            self.spawn("credits", move || credits::hear(&flow, heard))?;
            sockets.push(Some(cloned(socket)?));
        }
        let (flow, threads) = (self.job.flow.clone(), self.job.seats.len());
        self.spawn("credits", move || credits::tell(&flow, sockets, threads))
    }

    /// Makes the ports of every worker, and starts readers and writers at their other ends.
    fn seat(&mut self, mut begin: Begin) -> Result<()> {
        let mut paces: BTreeMap<NodeId, Arc<Pace>> = BTreeMap::new();
        for worker in begin.local.clone() {
            let mut seat = Seat { state: begin.state.remove(0), ..Seat::default() };
            for node in &begin.plan.clone().nodes {
                match &node.kind {
                    NodeKind::Source(source) => {
                        let port = Port::new(READER_BYTES_MAX);
                        let (answer, answers) = channel();
                        self.answers.insert((node.id, WorkerId(worker)), answer);
                        self.sources.push(port.clone());
                        seat.sources.insert(node.id, port.clone());
                        let reader = Reader {
                            node: node.id,
                            source: source.clone(),
                            trail: Trail::default(),
                            worker: WorkerId(worker),
                            pace: paces.entry(node.id).or_default().clone(),
                            port,
                            tell: begin.tell.clone(),
                            answers,
                            stop: self.job.stop.clone(),
                            over: self.over.subscribe(),
                            runtime: begin.runtime.clone(),
                        };
                        self.spawn("reader", move || reader.run())?;
                    }
                    NodeKind::Sink(sink) => {
                        let port = Port::new(WRITER_BYTES_MAX);
                        self.sinks.push(port.clone());
                        seat.sinks.insert(node.id, port.clone());
                        let context = context(&begin, node, worker);
                        let writer = Writer {
                            node: node.id,
                            sink: sink.sink.clone(),
                            context,
                            port,
                            tell: begin.tell.clone(),
                            runtime: begin.runtime.clone(),
                        };
                        self.spawn("writer", move || writer.run())?;
                    }
                    _ => {}
                }
            }
            if let Ok(mut place) = self.job.seats[worker - begin.local.start].lock() {
                *place = Some(seat);
            }
        }
        Ok(())
    }

    /// Starts the thread that encodes snapshots and stores them.
    fn upload(&mut self, begin: &Begin, uploads: Receiver<Upload>) -> Result<()> {
        let (plan, log, tell) = (begin.plan.clone(), begin.log.clone(), begin.tell.clone());
        let (runtime, attempt) = (begin.runtime.clone(), begin.attempt);
        self.spawn("uploader", move || {
            // Ends when the last worker, and with it the last sender, is gone.
            for upload in uploads {
                let message = save(&plan, &log, (&runtime, attempt), upload);
                tell(message.unwrap_or_else(Message::Failed));
            }
        })
    }

    /// Starts the thread that keeps the process below `limit` bytes of memory.
    fn guard(&mut self, limit: u64) -> Result<()> {
        let (stop, tell) = (self.job.stop.clone(), self.tell.clone());
        let sources = self.sources.clone();
        let mut gauge = Gauge::new(limit);
        self.spawn("memory", move || {
            stop.register();
            let mut last = Verdict::Go;
            // Where the system does not say what is used, there is nothing to guard.
            while !stop.is_set()
                && let Some((verdict, shortage)) = gauge.look()
            {
                if verdict != last {
                    sources.iter().for_each(|port| port.hold(verdict != Verdict::Go));
                    match verdict {
                        Verdict::Go | Verdict::Hold => {}
                        Verdict::End => tell(Message::MemoryFull(shortage, true)),
                        Verdict::Abort => tell(Message::MemoryFull(shortage, false)),
                    }
                    last = verdict;
                }
                std::thread::park_timeout(shortage.next_look());
            }
        })
    }

    /// Tells a reader what to read.
    pub fn answer(&self, node: NodeId, worker: WorkerId, answer: Answer) {
        match (self.answers.get(&(node, worker)), &self.group) {
            (Some(reader), _) => {
                // A reader that is gone needs no split.
                let _ = reader.send(answer);
            }
            (None, Some(group)) => group.answer(node, worker, answer),
            (None, None) => {}
        }
    }

    /// Is the worker in this process?
    pub fn has(&self, worker: WorkerId) -> bool {
        worker.0 < self.job.first_worker + self.job.seats.len()
    }

    /// Returns the other processes.
    pub fn group(&self) -> Option<&Group> {
        self.group.as_ref()
    }

    /// Sends a command to the pacer.
    pub fn command(&self, command: Command) {
        self.job.commands.send(command);
    }

    /// Ends the attempt, whatever state it is in, and waits for its threads.
    pub fn end(mut self) {
        if let Some(group) = &self.group {
            group.dismiss();
        }
        self.job.stop.set();
        // Readers that are gone need not hear it.
        let _ = self.over.send(true);
        self.answers.clear();
        self.job.flow.close();
        self.sources.iter().for_each(|port| port.close());
        self.sinks.iter().for_each(|port| port.close());
        for connection in &self.connections {
            // The other end may have gone first.
            let _ = connection.shutdown(Shutdown::Both);
        }
        let Attempt { threads, job, group, .. } = self;
        // The uploader ends with the last sender, which the job holds.
        drop(job);
        for thread in threads {
            // A thread that panicked has told so already; the attempt is over either way.
            let _ = thread.join();
        }
        drop(group);
    }
}

fn clock(fixed: Option<FixedClock>) -> Arc<dyn Clock> {
    match fixed {
        Some(clock) => Arc::new(clock),
        None => Arc::new(SystemClock),
    }
}

fn cloned(socket: &TcpStream) -> Result<TcpStream> {
    let clone = socket.try_clone();
    clone.map_err(|error| Error::failed(format!("cannot use a connection: {error}")))
}

/// Returns handles by which the connections can be shut down.
fn clones(mesh: &Mesh) -> Result<Vec<TcpStream>> {
    mesh.connections().map(cloned).collect()
}

/// Reads the counters of some workers.
pub fn counts(workers: &[Vec<Arc<Counters>>]) -> Counts {
    let of = |counters: &Vec<Arc<Counters>>| counters.iter().map(|one| one.read()).collect();
    workers.iter().map(of).collect()
}

/// A snapshot on its way to the store.
struct Upload {
    node: NodeId,
    worker: WorkerId,
    epoch: Epoch,
    state: Box<StateWriter>,
    late: u64,
    bad: u64,
}

/// Turns what workers say into messages; snapshots take the way over the uploader.
fn listener(tell: Tell, upload: Sender<Upload>) -> Listener {
    Listener(Arc::new(move |event| match event {
        Event::Cut { node, worker, epoch, splits, rows, bad } => {
            tell(Message::Cut { node, worker, epoch, splits, rows, bad });
        }
        Event::Snapshot { node, worker, epoch, state, late, bad } => {
            let sent = upload.send(Upload { node, worker, epoch, state, late, bad });
            if sent.is_err() {
                tell(Message::Failed(Error::internal("the uploader is gone")));
            }
        }
        Event::Checkpoint { info } => tell(Message::Opened(info)),
        Event::Ended(worker) => tell(Message::Ended(worker)),
        Event::Failed(error) => tell(Message::Failed(error)),
        Event::Severed => tell(Message::Severed),
    }))
}

/// Encodes and stores a snapshot; stateless operators send empty ones, for their counters.
fn save(
    plan: &Plan,
    log: &CheckpointLog,
    (runtime, attempt): (&Handle, AttemptId),
    upload: Upload,
) -> Result<Message> {
    let Upload { node, worker, epoch, state, late, bad } = upload;
    let (is_full, rows) = (state.is_full(), state.rows() as u64);
    let is_stateful = plan.node(node).kind.is_stateful();
    let bytes = if is_stateful { state.finish()? } else { None };
    let mut file = None;
    if let Some(bytes) = bytes {
        let operator = plan.node(node).operator.as_str();
        let path = paths::state(operator, attempt.0, epoch.0, worker.0);
        let size = bytes.len() as u64;
        runtime.block_on(log.put_state(&path, bytes))?;
        file = Some(StateFile { path, bytes: size, rows });
    }
    Ok(Message::Saved { node, worker, epoch, is_full, file, late, bad })
}

/// Returns who a writer is; states of the last attempt's writers are dealt out in turn.
fn context(begin: &Begin, node: &Node, worker: usize) -> WriterContext {
    let states = begin.writers.get(node.operator.as_str()).map_or(&[][..], Vec::as_slice);
    let own = states.iter().skip(worker).step_by(begin.groups.workers);
    WriterContext {
        job: begin.job.clone(),
        attempt: begin.attempt,
        node: node.id,
        worker: WorkerId(worker),
        workers: begin.groups.workers,
        lineage: begin.lineage.clone(),
        restored: own.cloned().map(WriterState).collect(),
    }
}
