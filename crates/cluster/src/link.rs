//! A connection between two processes of a job: whole messages, and silence noticed.
//!
//! A message is the length of its JSON text, four bytes little-endian, and the text.
//!
//! Invariants: both ends say something at least every [`BEAT`]; an end that hears nothing for
//! [`SILENCE`] gives the connection up; no call waits longer than that.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thalweg_types::{Error, Result};

/// How often each end says that it is alive.
pub const BEAT: Duration = Duration::from_millis(500);
/// Without a word for so long, the other end is taken for frozen.
pub const SILENCE: Duration = Duration::from_secs(3);
/// Bytes of a message at most: a manifest of many splits is the largest.
const MESSAGE_BYTES_MAX: u32 = 1 << 28;

/// What travels: a message, or a sign of life.
#[derive(Serialize, Deserialize)]
enum Frame<M> {
    Beat,
    Message(M),
}

/// Sends messages; cheap to clone.
#[derive(Debug)]
pub struct Speaker<M>(Sender<M>);

impl<M> Clone for Speaker<M> {
    fn clone(&self) -> Self {
        Speaker(self.0.clone())
    }
}

impl<M> Speaker<M> {
    /// Sends a message. What is said to a process that is gone is lost; that it is gone is heard
    /// on the listening side.
    pub fn say(&self, message: M) {
        let _ = self.0.send(message);
    }
}

/// Hears messages.
#[derive(Debug)]
pub struct Hearer {
    stream: TcpStream,
}

/// Makes the two ends of `stream`, and a thread that sends what is said and signs of life. It ends
/// when all speakers are gone or the connection is.
///
/// # Errors
/// `Failed` if the connection cannot be used.
pub fn link<M: Serialize + Send + 'static>(stream: TcpStream) -> Result<(Speaker<M>, Hearer)> {
    let failed = |error| Error::failed(format!("cannot use a connection: {error}"));
    stream.set_nodelay(true).map_err(failed)?;
    stream.set_read_timeout(Some(SILENCE)).map_err(failed)?;
    stream.set_write_timeout(Some(SILENCE)).map_err(failed)?;
    let writer = stream.try_clone().map_err(failed)?;
    let (sender, receiver) = channel();
    let spawned = std::thread::Builder::new()
        .name("speaker".to_owned())
        .spawn(move || speak(&receiver, writer));
    spawned.map_err(failed)?;
    Ok((Speaker(sender), Hearer { stream }))
}

fn speak<M: Serialize>(receiver: &Receiver<M>, mut stream: TcpStream) {
    loop {
        let frame = match receiver.recv_timeout(BEAT) {
            Ok(message) => Frame::Message(message),
            Err(RecvTimeoutError::Timeout) => Frame::Beat,
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if let Err(error) = write_frame(&mut stream, &frame) {
            tracing::debug!(%error, "A connection is given up.");
            break;
        }
    }
    // The other end may have gone first.
    let _ = stream.shutdown(Shutdown::Write);
}

fn write_frame<M: Serialize>(stream: &mut TcpStream, frame: &Frame<M>) -> std::io::Result<()> {
    let text = serde_json::to_vec(frame)?;
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= MESSAGE_BYTES_MAX);
    let length = length.ok_or_else(|| std::io::Error::other("a message is too long"))?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend_from_slice(&text);
    stream.write_all(&bytes)
}

/// Why nothing more is heard.
#[derive(Debug)]
pub enum Lost {
    /// The other end closed the connection, or its process ended.
    Gone,
    /// It says nothing.
    Silent,
    /// What it says makes no sense.
    Garbled(String),
}

impl Hearer {
    /// Waits for the next message.
    ///
    /// # Errors
    /// Why there will be none.
    pub fn hear<M: DeserializeOwned>(&mut self) -> Result<M, Lost> {
        loop {
            let mut length = [0; 4];
            self.fill(&mut length)?;
            let length = u32::from_le_bytes(length);
            if length > MESSAGE_BYTES_MAX {
                return Err(Lost::Garbled(format!("a message of {length} bytes")));
            }
            let mut text = vec![0; length as usize];
            self.fill(&mut text)?;
            let frame = serde_json::from_slice(&text);
            match frame.map_err(|error| Lost::Garbled(error.to_string()))? {
                Frame::Beat => {}
                Frame::Message(message) => return Ok(message),
            }
        }
    }

    /// Ends the connection for both sides.
    pub fn close(self) {
        // The other end may have gone first.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Lost> {
        self.stream.read_exact(bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => Lost::Silent,
            _ => Lost::Gone,
        })
    }
}

#[cfg(test)]
mod tests;
