//! The other processes of a job, as the first one sees them: started, invited, heard, ended.
//!
//! Invariants: a member that dies or falls silent is told of, with its end named, within
//! [`SILENCE`]; when a [`Group`] is dropped, no member is left.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use thalweg_dataflow::stats::Counts;
use thalweg_types::{Error, NodeId, Result, WorkerId};

use crate::link::{Hearer, Lost, SILENCE, Speaker, link};
use crate::mesh::{self, Agreement, Mesh};
use crate::message::{Message, Tell};
use crate::options::Launch;
use crate::orders::{Invitation, Order, Word};
use crate::splits::Answer;

/// How long a process may take from its start to its first word.
const START_MAX: Duration = Duration::from_secs(10);
/// How long it may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(1);

/// Environment variable by which a member shows whose it is.
pub const TOKEN: &str = "THALWEG_TOKEN";

/// The other processes of a job.
pub struct Group {
    members: Vec<Member>,
    listener: TcpListener,
    threads: usize,
    counts: Arc<Mutex<BTreeMap<usize, Counts>>>,
    is_ending: Arc<AtomicBool>,
}

struct Member {
    index: usize,
    child: Arc<Mutex<Child>>,
    speaker: Speaker<Order>,
    /// Where other processes reach it.
    address: SocketAddr,
    /// Until the member is invited.
    hearer: Option<Hearer>,
    hearing: Option<JoinHandle<()>>,
}

impl Group {
    /// Starts `processes - 1` others, each for `threads` workers, and waits until all are there.
    ///
    /// # Errors
    /// `Failed` if one cannot be started or says nothing.
    pub fn start(launch: &Launch, processes: usize, threads: usize) -> Result<Group> {
        let listener = listen()?;
        let address = own_address(&listener)?;
        let token = format!("{:016x}", RandomState::new().build_hasher().finish());
        let mut group = Group {
            members: Vec::new(),
            listener: listen()?,
            threads,
            counts: Arc::default(),
            is_ending: Arc::default(),
        };
        let mut children = BTreeMap::new();
        for index in 1..processes {
            let spawned = Command::new(&launch.program)
                .args([&launch.command, &address.to_string(), &index.to_string()])
                .envs(launch.environment.iter().map(|(name, value)| (name, value)))
                .env(TOKEN, &token)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                // Ctrl-C is for the first process, which ends the others.
                .process_group(0)
                .spawn();
            let child = spawned
                .map_err(|error| Error::failed(format!("cannot start process {index}: {error}")))?;
            children.insert(index, Reaped(Some(child)));
        }
        let until = Instant::now() + START_MAX;
        while !children.is_empty() {
            let (speaker, mut hearer) = link(mesh::accept(&listener, until)?)?;
            let Ok(Word::Hello { token: shown, index, address }) = hearer.hear() else { continue };
            let awaited = children.get_mut(&index).filter(|_| shown == token);
            let Some(child) = awaited.and_then(|child| child.0.take()) else { continue };
            children.remove(&index);
            let child = Arc::new(Mutex::new(child));
            let hearer = Some(hearer);
            group.members.push(Member { index, child, speaker, address, hearer, hearing: None });
        }
        group.members.sort_by_key(|member| member.index);
        Ok(group)
    }

    /// Invites all members, and connects them with each other and this process.
    ///
    /// # Errors
    /// What a member says went wrong; `Internal` if it planned another dataflow.
    pub fn invite(
        &mut self,
        invitation: impl Fn() -> Invitation,
        own: Agreement,
        tell: &Tell,
    ) -> Result<Mesh> {
        for member in &self.members {
            member.speaker.say(Order::Join(Box::new(invitation())));
        }
        for member in &mut self.members {
            let plan = member.await_ready()?;
            if plan != own.plan {
                return Err(Error::internal(format!(
                    "process {} made plan {plan:016x} of the job, this one {:016x}",
                    member.index, own.plan
                ))
                .remedy("all processes of a job must run the same program"));
            }
        }
        let mut addresses = vec![own_address(&self.listener)?];
        addresses.extend(self.members.iter().map(|member| member.address));
        for member in &self.members {
            member.speaker.say(Order::Connect(addresses.clone()));
        }
        let mesh = mesh::connect(0, &addresses, &self.listener, own)?;
        for member in &mut self.members {
            member.listen(tell.clone(), self.counts.clone(), self.is_ending.clone())?;
        }
        Ok(mesh)
    }

    /// Tells a reader of another process what to read.
    pub fn answer(&self, node: NodeId, worker: WorkerId, answer: Answer) {
        let process = worker.0 / self.threads;
        if let Some(member) = self.members.iter().find(|member| member.index == process) {
            member.speaker.say(Order::Answer(node, worker, answer));
        }
    }

    /// Returns where the counters of members are kept, by process.
    pub fn counts(&self) -> Arc<Mutex<BTreeMap<usize, Counts>>> {
        self.counts.clone()
    }

    /// Asks all members to end; from now on nobody misses them.
    pub fn dismiss(&self) {
        self.is_ending.store(true, Ordering::SeqCst);
        for member in &self.members {
            member.speaker.say(Order::End);
        }
    }
}

impl Drop for Group {
    /// Waits for all members, and kills those that take too long.
    fn drop(&mut self) {
        self.dismiss();
        let until = Instant::now() + END_MAX;
        for member in self.members.drain(..) {
            let mut child = lock(&member.child);
            if wait(&mut child, until).is_none() {
                // It may end by itself just now.
                let _ = child.kill();
                let _ = child.wait();
            }
            drop(child);
            if let Some(hearing) = member.hearing {
                // It has told what it had to tell.
                let _ = hearing.join();
            }
        }
    }
}

impl Member {
    fn await_ready(&mut self) -> Result<u64> {
        let Some(hearer) = &mut self.hearer else {
            return Err(Error::internal("a member was invited twice"));
        };
        match hearer.hear() {
            Ok(Word::Ready(plan)) => Ok(plan),
            Ok(Word::Tell(Message::Failed(error))) => Err(error),
            Ok(_) => Err(Error::internal(format!("process {} speaks out of turn", self.index))),
            Err(lost) => Err(obituary(self.index, &self.child, &lost)),
        }
    }

    /// Starts the thread that passes on what the member says.
    fn listen(
        &mut self,
        tell: Tell,
        counts: Arc<Mutex<BTreeMap<usize, Counts>>>,
        is_ending: Arc<AtomicBool>,
    ) -> Result<()> {
        let (index, child) = (self.index, self.child.clone());
        let Some(mut hearer) = self.hearer.take() else {
            return Err(Error::internal("a member is listened to already"));
        };
        let thread = std::thread::Builder::new().name("hearer".to_owned()).spawn(move || {
            loop {
                match hearer.hear() {
                    Ok(Word::Tell(message)) => tell(message),
                    Ok(Word::Counters(now)) => {
                        lock(&counts).insert(index, now);
                    }
                    Ok(Word::Bye(now)) => {
                        lock(&counts).insert(index, now);
                        return hearer.close();
                    }
                    Ok(Word::Hello { .. } | Word::Ready(_)) => {
                        let text = format!("process {index} speaks out of turn");
                        tell(Message::Failed(Error::internal(text)));
                        return;
                    }
                    Err(lost) => {
                        if !is_ending.load(Ordering::SeqCst) {
                            tell(Message::Failed(obituary(index, &child, &lost)));
                        }
                        return;
                    }
                }
            }
        });
        let thread =
            thread.map_err(|error| Error::failed(format!("cannot start a thread: {error}")))?;
        self.hearing = Some(thread);
        Ok(())
    }
}

/// A child that does not outlive a failed start.
struct Reaped(Option<Child>);

impl Drop for Reaped {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Says how a member was lost.
fn obituary(index: usize, child: &Mutex<Child>, lost: &Lost) -> Error {
    let mut child = lock(child);
    let name = format!("process {index} (pid {})", child.id());
    let how = match lost {
        Lost::Silent => {
            format!("has said nothing for {} s: it hangs or was stopped", SILENCE.as_secs())
        }
        Lost::Garbled(what) => format!("talks nonsense: {what}"),
        Lost::Gone => match wait(&mut child, Instant::now() + Duration::from_millis(500)) {
            Some(status) => end_of(status),
            None => "closed its connection".to_owned(),
        },
    };
    Error::failed(format!("{name} {how}")).remedy(
        "start the job again with the same --state-dir: it goes on from its last checkpoint",
    )
}

fn end_of(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Waits for a child to end, but not beyond `until`.
fn wait(child: &mut Child, until: Instant) -> Option<ExitStatus> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if Instant::now() >= until {
            return None;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Listens on this machine only.
///
/// # Errors
/// `Failed` if no port is free.
pub fn listen() -> Result<TcpListener> {
    TcpListener::bind("127.0.0.1:0")
        .map_err(|error| Error::failed(format!("cannot listen on 127.0.0.1: {error}")))
}

/// Returns where `listener` listens.
///
/// # Errors
/// `Failed` if the system does not say.
pub fn own_address(listener: &TcpListener) -> Result<SocketAddr> {
    listener.local_addr().map_err(|error| Error::failed(format!("a port has no address: {error}")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
