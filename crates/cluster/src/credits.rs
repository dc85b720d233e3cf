//! Tells the senders of other processes what of their rows is consumed, and hears the same.
//!
//! What must always hold: a sender hears of everything that is consumed, within about a
//! millisecond; a broken connection ends the threads here without a word, since whoever lost a
//! connection for rows tells of it.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use thalweg_dataflow::flow::{Flow, Sender};
use thalweg_types::{NodeId, WorkerId};

/// Credits are gathered for so long.
const GATHER: Duration = Duration::from_millis(1);
/// Bytes of a credit: node, worker, bytes consumed.
const CREDIT_BYTES: usize = 24;

/// Tells what is consumed here until the attempt is over; `threads` workers are in each process.
pub fn tell(flow: &Flow, mut sockets: Vec<Option<TcpStream>>, threads: usize) {
    while let Some(debts) = flow.debts() {
        for (process, bytes) in frames(&debts, threads) {
            let socket = sockets.get_mut(process).and_then(Option::as_mut);
            if socket.is_some_and(|socket| socket.write_all(&bytes).is_err()) {
                return;
            }
        }
        std::thread::park_timeout(GATHER);
    }
}

/// Returns what is to be said to each process.
fn frames(debts: &BTreeMap<Sender, usize>, threads: usize) -> BTreeMap<usize, Vec<u8>> {
    let mut frames: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    for (sender, bytes) in debts {
        let frame = frames.entry(sender.worker.0 / threads).or_default();
        for word in [sender.node.0, sender.worker.0, *bytes] {
            frame.extend_from_slice(&(word as u64).to_le_bytes());
        }
    }
    frames
}

/// Hears from one process what is consumed there, until the connection ends.
pub fn hear(flow: &Flow, mut socket: TcpStream) {
    let mut credit = [0; CREDIT_BYTES];
    while socket.read_exact(&mut credit).is_ok() {
        let (node, worker, bytes) = read(&credit);
        flow.settle(Sender { node: NodeId(node), worker: WorkerId(worker) }, bytes);
    }
}

fn read(credit: &[u8; CREDIT_BYTES]) -> (usize, usize, usize) {
    let word = |at: usize| {
        let bytes = credit[at * 8..at * 8 + 8].try_into();
        bytes.map(u64::from_le_bytes).unwrap_or_default() as usize
    };
    (word(0), word(1), word(2))
}

#[cfg(test)]
mod tests;
