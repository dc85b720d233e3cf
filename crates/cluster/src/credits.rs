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
mod tests {
    use super::*;

    /// Would fail if a credit went to another process, or said something else there.
    #[test]
    fn a_credit_goes_to_the_process_of_its_sender() {
        let sender = |node, worker| Sender { node: NodeId(node), worker: WorkerId(worker) };
        let debts = [(sender(4, 1), 77), (sender(2, 3), 8 << 20), (sender(5, 3), 1)];
        let frames = frames(&debts.into_iter().collect(), 2);
        assert_eq!(frames.keys().copied().collect::<Vec<_>>(), [0, 1]);
        let read_all = |frame: &[u8]| -> Vec<_> {
            frame.chunks(CREDIT_BYTES).map(|chunk| read(chunk.try_into().unwrap())).collect()
        };
        assert_eq!(read_all(&frames[&0]), [(4, 1, 77)]);
        assert_eq!(read_all(&frames[&1]), [(2, 3, 8 << 20), (5, 3, 1)]);
    }
}
