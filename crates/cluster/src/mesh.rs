//! The connections between processes, made anew for each attempt: between each two, one on which
//! workers exchange rows, and one on which they say what of it is consumed.
//!
//! Invariant: a connection is used only after both ends have shown that they run the same plan in
//! the same attempt.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use thalweg_types::{Error, Result};

/// How long connecting may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Marks the first bytes of a connection.
const MAGIC: u64 = 0x7468_616c_7765_6702;

/// What both ends must agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Fingerprint of the plan.
    pub plan: u64,
    /// The attempt.
    pub attempt: u64,
}

/// The connections of a process, by process; none to itself.
#[derive(Debug)]
pub struct Mesh {
    /// Which process this is.
    pub index: usize,
    /// Those for rows.
    pub rows: Vec<Option<TcpStream>>,
    /// Those for what is consumed.
    pub credits: Vec<Option<TcpStream>>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Rows,
    Credits,
}

impl Mesh {
    fn new(index: usize, processes: usize) -> Mesh {
        let none = || (0..processes).map(|_| None).collect();
        Mesh { index, rows: none(), credits: none() }
    }

    /// Returns all connections.
    pub fn connections(&self) -> impl Iterator<Item = &TcpStream> {
        self.rows.iter().chain(&self.credits).flatten()
    }

    fn set(&mut self, other: usize, purpose: Purpose, socket: TcpStream) -> Result<()> {
        let sockets = match purpose {
            Purpose::Rows => &mut self.rows,
            Purpose::Credits => &mut self.credits,
        };
        match sockets.get_mut(other).filter(|_| other != self.index) {
            Some(place @ None) => {
                *place = Some(socket);
                Ok(())
            }
            _ => Err(Error::internal(format!("process {other} is connected already"))),
        }
    }

    fn is_complete(&self) -> bool {
        self.connections().count() == 2 * (self.rows.len() - 1)
    }
}

/// Connects process `index` with all others, which listen at `addresses`; each connects to those
/// before it.
///
/// # Errors
/// `Failed` if a process cannot be reached, `Internal` if it runs another plan or attempt.
pub fn connect(
    index: usize,
    addresses: &[SocketAddr],
    listener: &TcpListener,
    agreement: Agreement,
) -> Result<Mesh> {
    let until = Instant::now() + CONNECT_MAX;
    let mut mesh = Mesh::new(index, addresses.len());
    for (other, address) in addresses.iter().enumerate().take(index) {
        for purpose in [Purpose::Rows, Purpose::Credits] {
            let socket = TcpStream::connect_timeout(address, CONNECT_MAX)
                .map_err(|error| Error::failed(format!("cannot reach process {other}: {error}")))?;
            greet(&socket, index, purpose, agreement)?;
            mesh.set(other, purpose, socket)?;
        }
    }
    while !mesh.is_complete() {
        let socket = accept(listener, until)?;
        let (other, purpose) = greet(&socket, index, Purpose::Rows, agreement)?;
        mesh.set(other, purpose, socket)?;
    }
    for socket in mesh.connections() {
        let prepared = socket.set_read_timeout(None).and_then(|()| socket.set_nodelay(true));
        prepared.map_err(|error| Error::failed(format!("cannot use a connection: {error}")))?;
    }
    Ok(mesh)
}

/// Accepts a connection; gives up at `until`.
///
/// # Errors
/// `Failed` if none came.
pub fn accept(listener: &TcpListener, until: Instant) -> Result<TcpStream> {
    let failed = |error| Error::failed(format!("cannot accept a connection: {error}"));
    listener.set_nonblocking(true).map_err(failed)?;
    loop {
        match listener.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false).map_err(failed)?;
                return Ok(socket);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if Instant::now() >= until {
                    return Err(Error::failed("another process did not connect in time"));
                }
                std::thread::park_timeout(Duration::from_millis(1));
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Tells who we are and what we run, and learns the same of the other end; returns who it is, and
/// what for it connects, which the end that accepts learns only here.
fn greet(
    mut socket: &TcpStream,
    index: usize,
    purpose: Purpose,
    own: Agreement,
) -> Result<(usize, Purpose)> {
    let failed = |error| Error::failed(format!("another process does not greet: {error}"));
    socket.set_read_timeout(Some(CONNECT_MAX)).map_err(failed)?;
    let words = [MAGIC, own.plan, own.attempt, index as u64, purpose as u64];
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    socket.write_all(&bytes).map_err(failed)?;
    let mut bytes = [0; 40];
    socket.read_exact(&mut bytes).map_err(failed)?;
    let word = |at: usize| {
        let bytes = bytes[at * 8..at * 8 + 8].try_into();
        bytes.map(u64::from_le_bytes).unwrap_or_default()
    };
    let others = Agreement { plan: word(1), attempt: word(2) };
    if word(0) != MAGIC || others != own {
        return Err(Error::internal(format!(
            "another process runs plan {:016x} in attempt {}, this one plan {:016x} in attempt {}",
            others.plan, others.attempt, own.plan, own.attempt
        ))
        .remedy("all processes of a job must run the same program and the same script"));
    }
    let purpose = if word(4) == 0 { Purpose::Rows } else { Purpose::Credits };
    let index = usize::try_from(word(3));
    Ok((index.map_err(|_| Error::internal("another process has no number"))?, purpose))
}

#[cfg(test)]
mod tests;
