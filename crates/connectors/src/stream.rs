//! Lines as they come: `'connector' = 'socket'`, a client of `nc -lk 9999` and the like, and
//! `'connector' = 'stdin'`.
//!
//! Invariants: what has come is handed over at once, so rows wait for nobody; a line is handed
//! over when it is whole, or at the end. What was read is gone: such a source cannot be replayed,
//! and the plan says so.

use std::io::Read;
use std::sync::{Arc, OnceLock};

use arrow::buffer::Buffer;
use arrow::datatypes::{Field, SchemaRef};
use async_trait::async_trait;
use thalweg_plan::connector::{Connector, Options, TableSpec};
use thalweg_plan::sink::Sink;
use thalweg_plan::source::{
    BadRecord, Changes, Discovery, Offset, Replay, Source, SourceBatch, Split, SplitReader,
};
use thalweg_types::{Error, Result, SplitId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;

use crate::formats::{self, Decoder};

/// Bytes taken at once.
const BLOCK_BYTES: usize = 256 << 10;
/// Longest line; a longer one is a bad record.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Where lines come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// A TCP server.
    Socket,
    /// Standard input.
    Stdin,
}

impl Lines {
    fn own_options(self) -> &'static [&'static str] {
        match self {
            Lines::Socket => &["connector", "hostname", "port", "format"],
            Lines::Stdin => &["connector", "format"],
        }
    }
}

/// Returns a table with its format; lines are rows unless it names another one.
fn with_format(table: &TableSpec) -> TableSpec {
    let mut table = table.clone();
    table.options.0.entry("format".to_owned()).or_insert_with(|| "raw".to_owned());
    table
}

/// Returns the address of a socket table.
fn address(table: &TableSpec) -> Result<String> {
    let host = table.options.required("hostname")?;
    let port = table.options.number("port")?;
    let port = port.ok_or_else(|| Error::invalid("option 'port' is missing"))?;
    let port = u16::try_from(port).map_err(|_| Error::invalid("option 'port' is above 65535"))?;
    Ok(format!("{host}:{port}"))
}

impl Connector for Lines {
    fn name(&self) -> &'static str {
        match self {
            Lines::Socket => "socket",
            Lines::Stdin => "stdin",
        }
    }

    fn metadata(&self, options: &Options) -> Vec<Field> {
        formats::metadata(options)
    }

    fn changes(&self, table: &TableSpec) -> Changes {
        formats::changes(&table.options)
    }

    fn options(&self) -> Vec<&'static str> {
        formats::with_options(self.own_options())
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        let table = &with_format(table);
        formats::check_options(&table.options, self.own_options())?;
        if *self == Lines::Socket {
            address(table)?;
        }
        let columns: Vec<usize> = (0..table.schema.fields().len()).collect();
        formats::decoder(table, &columns).map(|_| ())
    }

    fn source(&self, table: &TableSpec, columns: &[usize]) -> Result<Arc<dyn Source>> {
        let address = match self {
            Lines::Socket => Some(address(table)?),
            Lines::Stdin => None,
        };
        let table = with_format(table);
        Ok(Arc::new(LineSource {
            address,
            projected: Arc::new(formats::readable(&table)?.project(columns)?),
            columns: columns.to_vec(),
            table,
        }))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        let (name, connector) = (&table.name, self.name());
        Err(Error::invalid(format!("table `{name}`: '{connector}' can only be read")))
    }
}

/// A table of lines.
#[derive(Debug)]
struct LineSource {
    /// Address of the server; `None` for standard input.
    address: Option<String>,
    table: TableSpec,
    columns: Vec<usize>,
    projected: SchemaRef,
}

impl LineSource {
    fn place(&self) -> String {
        self.address.clone().unwrap_or_else(|| "standard input".to_owned())
    }
}

#[async_trait]
impl Source for LineSource {
    fn connector(&self) -> &str {
        if self.address.is_some() { "socket" } else { "stdin" }
    }

    fn schema(&self) -> SchemaRef {
        self.projected.clone()
    }

    fn replay(&self) -> Replay {
        Replay::None
    }

    fn is_local(&self) -> bool {
        self.address.is_none()
    }

    fn is_bounded(&self) -> bool {
        // A pipe ends; a server may never.
        self.address.is_none()
    }

    async fn enumerate(&self, _: &[Split]) -> Result<Discovery> {
        let place = self.place();
        let split = Split { id: SplitId(place.clone()), sequence: place, payload: String::new() };
        Ok(Discovery { splits: vec![split], again: None })
    }

    async fn reader(&self, _: &Split, from: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        let failure = Failure::default();
        let input: Box<dyn AsyncRead + Send + Unpin> = match &self.address {
            None => Box::new(stdin(failure.clone())?),
            Some(address) => {
                let stream = TcpStream::connect(address).await.map_err(|error| {
                    Error::failed(format!("cannot connect to {address}: {error}"))
                        .remedy("start the server first, for example `nc -lk PORT`")
                })?;
                Box::new(stream)
            }
        };
        // Lines are counted on, so that places stay apart across restarts.
        let line = from.and_then(|offset| offset.0.parse().ok()).unwrap_or(0);
        Ok(Box::new(LineReader {
            input,
            decoder: formats::decoder(&self.table, &self.columns)?,
            place: self.place(),
            failure,
            line,
            rest: Vec::new(),
            is_over: false,
        }))
    }
}

/// Why standard input could not be read on.
type Failure = Arc<OnceLock<String>>;

/// Reads standard input on a thread of its own, which a reader that is gone ends.
///
/// Why it could not be read on, if so, is left in `failure` before the end.
fn stdin(failure: Failure) -> Result<DuplexStream> {
    let (mut to, from) = tokio::io::duplex(BLOCK_BYTES);
    let runtime = tokio::runtime::Handle::current();
    let body = move || {
        let mut input = std::io::stdin();
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            match input.read(&mut block) {
                Ok(0) => return,
                Ok(count) if runtime.block_on(to.write_all(&block[..count])).is_err() => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // Only this thread sets it, once.
                    let _ = failure.set(error.to_string());
                    return;
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("stdin".to_owned()).spawn(body);
    thread.map_err(|error| Error::failed(format!("cannot start a thread: {error}")))?;
    Ok(from)
}

struct LineReader {
    input: Box<dyn AsyncRead + Send + Unpin>,
    decoder: Box<dyn Decoder>,
    place: String,
    failure: Failure,
    /// Lines handed over.
    line: u64,
    /// The beginning of a line that is not whole.
    rest: Vec<u8>,
    is_over: bool,
}

impl LineReader {
    /// Takes what has come, up to the last whole line; waits for one.
    async fn block(&mut self) -> Result<Vec<u8>> {
        loop {
            if let Some(end) = memchr::memrchr(b'\n', &self.rest) {
                let after = self.rest.split_off(end + 1);
                return Ok(std::mem::replace(&mut self.rest, after));
            }
            if self.rest.len() > LINE_BYTES_MAX || self.is_over {
                return Ok(std::mem::take(&mut self.rest));
            }
            self.rest.reserve(BLOCK_BYTES);
            // Dropping the wait loses nothing: bytes are in `rest` or still in the input.
            let count = self.input.read_buf(&mut self.rest).await;
            let count = count.map_err(|error| {
                Error::failed(format!("cannot read from {}: {error}", self.place)).caused_by(error)
            })?;
            self.is_over = count == 0;
            if let Some(why) = self.failure.get().filter(|_| self.is_over) {
                return Err(Error::failed(format!("cannot read from {}: {why}", self.place)));
            }
        }
    }
}

#[async_trait]
impl SplitReader for LineReader {
    async fn next(&mut self) -> Result<Option<SourceBatch>> {
        let block = self.block().await?;
        if block.is_empty() {
            return Ok(None);
        }
        let before = self.line;
        self.line += memchr::memchr_iter(b'\n', &block).count() as u64;
        let is_too_long = block.len() > LINE_BYTES_MAX && !block.ends_with(b"\n");
        let bytes = block.len();
        let block = Buffer::from_vec(block);
        let whole = if is_too_long { Buffer::from_vec(Vec::<u8>::new()) } else { block.clone() };
        let decoded = self.decoder.decode(&whole)?;
        let mut bad = Vec::new();
        for one in decoded.bad {
            let lines = memchr::memchr_iter(b'\n', &block[..one.offset]).count() as u64;
            let place = format!("{}:{}", self.place, before + lines + 1);
            bad.push(BadRecord { record: one.record, place, error: one.error });
        }
        if is_too_long {
            let place = format!("{}:{}", self.place, before + 1);
            let error = format!("the line has more than {LINE_BYTES_MAX} bytes");
            bad.push(BadRecord { record: block.to_vec(), place, error });
        }
        let next = Offset(self.line.to_string());
        Ok(Some(SourceBatch { rows: decoded.rows, bad, next, bytes }))
    }
}

#[cfg(test)]
mod tests;
