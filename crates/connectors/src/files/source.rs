//! Reads formats of lines or records, range by range.
//!
//! A line belongs to the range in which its first byte lies, so the ranges of a file can be read
//! by different workers, in any order, and hold each line once.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thalweg_plan::connector::{Options, TableSpec};
use thalweg_plan::source::{
    BadRecord, Discovery, Offset, Replay, Source, SourceBatch, Split, SplitReader,
};
use thalweg_types::{Error, Result, SplitId};

use super::input::{Input, is_packed};
use super::listing::{Order, list};
use super::local_path;
use crate::formats::{self, Decoder, Malformed};

/// Bytes of a range unless the table says otherwise.
const RANGE_BYTES: u64 = 32 << 20;
/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Longest line.
const LINE_BYTES_MAX: usize = 64 << 20;

/// A table of files.
#[derive(Debug)]
pub(super) struct FileSource {
    path: String,
    options: Options,
    order: Order,
    range_bytes: u64,
    monitor: Option<Duration>,
    schema: SchemaRef,
    columns: Vec<usize>,
    projected: SchemaRef,
}

/// A range of a file; stored in manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Range {
    path: String,
    from: u64,
    to: u64,
}

/// A place in a range, and how to know the file again; stored in manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    byte: u64,
    /// Hash of the last bytes before the place.
    tail: u64,
}

/// Bytes before an offset that must be the same after a restart.
const TAIL_BYTES: usize = 256;

impl FileSource {
    pub(super) fn new(table: &TableSpec, columns: &[usize]) -> Result<FileSource> {
        let options = &table.options;
        formats::decoder(options, &table.schema, columns)?;
        let range_bytes = match formats::is_multi_line(formats::of(options)?) {
            true => u64::MAX,
            false => options.bytes("scan.range-size")?.unwrap_or(RANGE_BYTES).max(1),
        };
        Ok(FileSource {
            path: local_path(options.required("path")?)?.to_owned(),
            options: options.clone(),
            order: Order::of(options)?,
            range_bytes,
            monitor: options.duration("source.monitor-interval")?,
            projected: Arc::new(table.schema.project(columns)?),
            schema: table.schema.clone(),
            columns: columns.to_vec(),
        })
    }

    /// Returns the ranges of a file behind `from`.
    fn ranges(&self, path: &str, from: u64, bytes: u64) -> Vec<Split> {
        let most = if is_packed(path) { u64::MAX } else { self.range_bytes };
        let starts = (from..bytes).step_by(usize::try_from(most).unwrap_or(usize::MAX));
        let split = |start: u64| {
            let to = start.saturating_add(most).min(bytes);
            let range = Range { path: path.to_owned(), from: start, to };
            Split {
                id: SplitId(format!("{path}@{start}")),
                sequence: path.to_owned(),
                payload: serde_json::to_string(&range).unwrap_or_default(),
            }
        };
        starts.map(split).collect()
    }
}

#[async_trait]
impl Source for FileSource {
    fn connector(&self) -> &str {
        "filesystem"
    }

    fn schema(&self) -> SchemaRef {
        self.projected.clone()
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn is_bounded(&self) -> bool {
        self.monitor.is_none()
    }

    async fn enumerate(&self, known: &[Split]) -> Result<Discovery> {
        let mut ends = std::collections::BTreeMap::new();
        for split in known {
            let range = range_of(split)?;
            let end: &mut u64 = ends.entry(range.path).or_default();
            *end = range.to.max(*end);
        }
        let mut splits = Vec::new();
        for found in list(&self.path, self.order)? {
            match ends.get(&found.path) {
                None => splits.extend(self.ranges(&found.path, 0, found.bytes)),
                Some(end) if found.bytes < *end => {
                    let path = &found.path;
                    return Err(Error::state(format!(
                        "file `{path}` shrank: it had {end} bytes and has {}",
                        found.bytes
                    ))
                    .remedy("restore the file, or begin anew with --fresh"));
                }
                Some(_) => {}
            }
        }
        Ok(Discovery { splits, again: self.monitor })
    }

    async fn reader(&self, split: &Split, from: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        let range = range_of(split)?;
        let input = open(&range)?;
        let mut reader = FileReader {
            input,
            // The range of a packed file is that of its packed bytes.
            to: if is_packed(&range.path) { u64::MAX } else { range.to },
            at: range.from,
            range,
            decoder: formats::decoder(&self.options, &self.schema, &self.columns)?,
            tail: Vec::new(),
            rest: Vec::new(),
            is_over: false,
        };
        reader.seek(from)?;
        Ok(Box::new(reader))
    }
}

fn range_of(split: &Split) -> Result<Range> {
    serde_json::from_str(&split.payload)
        .map_err(|error| Error::state(format!("split `{}` cannot be read: {error}", split.id)))
}

/// Opens a range's file, which must be as long as it was.
fn open(range: &Range) -> Result<Input> {
    let path = &range.path;
    let input = Input::open(path)?;
    let bytes = std::fs::metadata(path).map(|metadata| metadata.len());
    let bytes = bytes.map_err(|error| {
        Error::failed(format!("cannot read `{path}`: {error}")).caused_by(error)
    })?;
    if bytes < range.to {
        let to = range.to;
        return Err(Error::state(format!(
            "file `{path}` shrank: it had {to} bytes and has {bytes}"
        ))
        .remedy("restore the file, or begin anew with --fresh"));
    }
    Ok(input)
}

struct FileReader {
    input: Input,
    range: Range,
    /// End of the range in the bytes that are read.
    to: u64,
    decoder: Box<dyn Decoder>,
    /// First byte that is not handed over yet.
    at: u64,
    /// The last bytes before `at`.
    tail: Vec<u8>,
    /// Bytes read behind `at`: the beginning of a record.
    rest: Vec<u8>,
    is_over: bool,
}

impl FileReader {
    /// Goes to an offset, or to the first line of the range.
    fn seek(&mut self, from: Option<&Offset>) -> Result<()> {
        match from {
            Some(Offset(text)) => {
                let place: Place = serde_json::from_str(text).map_err(|error| {
                    Error::state(format!("offset `{text}` cannot be read: {error}"))
                })?;
                self.at = place.byte;
                self.enter()?;
                if hash(&self.tail) != place.tail {
                    let (path, byte) = (&self.range.path, place.byte);
                    return Err(Error::state(format!("file `{path}` changed before byte {byte}"))
                        .remedy("restore the file, or begin anew with --fresh"));
                }
            }
            None if self.range.from > 0 => {
                // The line that the byte before belongs to is the earlier range's.
                self.at = self.range.from - 1;
                self.skip_line()?;
                self.enter()?;
            }
            None => {}
        }
        self.is_over = self.at >= self.to;
        Ok(())
    }

    /// Goes to `at`, reading the bytes before it.
    fn enter(&mut self) -> Result<()> {
        let from = self.at.saturating_sub(TAIL_BYTES as u64);
        self.tail = vec![0; (self.at - from) as usize];
        self.input.go_to(from)?;
        self.input.fill(&mut self.tail)
    }

    /// Moves behind the next line feed.
    fn skip_line(&mut self) -> Result<()> {
        self.input.go_to(self.at)?;
        let mut block = vec![0; 64 << 10];
        loop {
            let count = self.input.read(&mut block)?;
            match memchr::memchr(b'\n', &block[..count]) {
                Some(end) => {
                    self.at += end as u64 + 1;
                    return Ok(());
                }
                None => self.at += count as u64,
            }
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// Reads a block that ends with a record; no bytes at the end of the range.
    fn block(&mut self) -> Result<Vec<u8>> {
        let mut block = std::mem::take(&mut self.rest);
        loop {
            let filled = block.len();
            if filled > LINE_BYTES_MAX {
                let path = &self.range.path;
                return Err(Error::data(format!(
                    "a line at byte {} of `{path}` has more than {LINE_BYTES_MAX} bytes",
                    self.at
                )));
            }
            block.resize(filled + BLOCK_BYTES, 0);
            let count = self.input.read(&mut block[filled..])?;
            block.truncate(filled + count);
            if count == 0 {
                self.is_over = true;
                return Ok(block);
            }
            // Lines that begin behind the range are the next one's.
            let inside = usize::try_from(self.to - self.at).unwrap_or(usize::MAX);
            if block.len() >= inside
                && let Some(end) = memchr::memchr(b'\n', &block[inside - 1..])
            {
                block.truncate(inside + end);
                self.is_over = true;
                return Ok(block);
            }
            if block.len() < inside
                && let Some(end) = self.decoder.end_of_last(&block)
            {
                self.rest = block.split_off(end);
                return Ok(block);
            }
        }
    }

    /// Returns the number of the line that begins at `byte`, counting from 1.
    fn line_number(&self, byte: u64) -> Result<u64> {
        let mut before = Input::open(&self.range.path)?;
        let (mut lines, mut left, mut block) = (1, byte, vec![0; 64 << 10]);
        while left > 0 {
            let most = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = before.read(&mut block[..most])?;
            if count == 0 {
                break;
            }
            left -= count as u64;
            lines += memchr::memchr_iter(b'\n', &block[..count]).count() as u64;
        }
        Ok(lines)
    }

    fn bad(&self, start: u64, bad: Vec<Malformed>) -> Result<Vec<BadRecord>> {
        let place = |one: Malformed| {
            let line = self.line_number(start + one.offset as u64)?;
            let place = format!("{}:{line}", self.range.path);
            Ok(BadRecord { record: one.record, place, error: one.error })
        };
        bad.into_iter().map(place).collect()
    }
}

/// Hashes bytes; stored in offsets.
fn hash(bytes: &[u8]) -> u64 {
    // FNV-1a, 64 bits.
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[async_trait]
impl SplitReader for FileReader {
    async fn next(&mut self) -> Result<Option<SourceBatch>> {
        if self.is_over {
            return Ok(None);
        }
        let start = self.at;
        let block = self.block()?;
        if block.is_empty() {
            return Ok(None);
        }
        self.at += block.len() as u64;
        self.tail.extend_from_slice(&block[block.len().saturating_sub(TAIL_BYTES)..]);
        let surplus = self.tail.len().saturating_sub(TAIL_BYTES);
        self.tail.drain(..surplus);
        let place = Place { byte: self.at, tail: hash(&self.tail) };
        let next = serde_json::to_string(&place).map_err(|e| Error::internal(e.to_string()))?;
        let bytes = block.len();
        let header = if start == 0 { self.decoder.header(&block) } else { 0 };
        let decoded = self.decoder.decode(&Buffer::from_vec(block).slice(header))?;
        let rows: RecordBatch = decoded.rows;
        let bad = if decoded.bad.is_empty() {
            Vec::new()
        } else {
            self.bad(start + header as u64, decoded.bad)?
        };
        Ok(Some(SourceBatch { rows, bad, next: Offset(next), bytes }))
    }
}
