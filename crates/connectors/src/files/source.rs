//! Reads line formats, range by range.
//!
//! A line belongs to the range in which its first byte lies, so the ranges of a file can be read
//! by different workers, in any order, and hold each line once.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thalweg_plan::connector::TableSpec;
use thalweg_plan::source::{
    BadRecord, Discovery, Offset, Replay, Source, SourceBatch, Split, SplitReader,
};
use thalweg_types::{Error, Result, SplitId};

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
    format: String,
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
const TAIL_BYTES: u64 = 256;

impl FileSource {
    pub(super) fn new(table: &TableSpec, columns: &[usize]) -> Result<FileSource> {
        let options = &table.options;
        let format = formats::of(options)?.to_owned();
        formats::decoder(&format, &table.schema, columns)?;
        Ok(FileSource {
            path: local_path(options.required("path")?)?.to_owned(),
            format,
            order: Order::of(options)?,
            range_bytes: options.bytes("scan.range-size")?.unwrap_or(RANGE_BYTES).max(1),
            monitor: options.duration("source.monitor-interval")?,
            projected: Arc::new(table.schema.project(columns)?),
            schema: table.schema.clone(),
            columns: columns.to_vec(),
        })
    }

    /// Returns the ranges of a file behind `from`.
    fn ranges(&self, path: &str, from: u64, bytes: u64) -> Vec<Split> {
        let starts = (from..bytes).step_by(self.range_bytes as usize);
        let split = |start: u64| {
            let to = (start + self.range_bytes).min(bytes);
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
        let decoder = formats::decoder(&self.format, &self.schema, &self.columns)?;
        let range = range_of(split)?;
        let file = open(&range)?;
        let mut reader =
            FileReader { file, at: range.from, range, decoder, rest: Vec::new(), is_over: false };
        reader.seek(from)?;
        Ok(Box::new(reader))
    }
}

fn range_of(split: &Split) -> Result<Range> {
    serde_json::from_str(&split.payload)
        .map_err(|error| Error::state(format!("split `{}` cannot be read: {error}", split.id)))
}

fn open(range: &Range) -> Result<File> {
    let path = &range.path;
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::state(format!("file `{path}` vanished"))
            .remedy("restore the file, or begin anew with --fresh"),
        _ => failed(path, error),
    })?;
    let bytes = file.metadata().map_err(|error| failed(path, error))?.len();
    if bytes < range.to {
        let to = range.to;
        return Err(Error::state(format!(
            "file `{path}` shrank: it had {to} bytes and has {bytes}"
        ))
        .remedy("restore the file, or begin anew with --fresh"));
    }
    Ok(file)
}

fn failed(path: &str, error: std::io::Error) -> Error {
    Error::failed(format!("cannot read `{path}`: {error}")).caused_by(error)
}

struct FileReader {
    file: File,
    range: Range,
    decoder: Box<dyn Decoder>,
    /// First byte that is not handed over yet.
    at: u64,
    /// Bytes read behind `at`: the beginning of a line.
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
                if self.tail(place.byte)? != place.tail {
                    let path = &self.range.path;
                    let byte = place.byte;
                    return Err(Error::state(format!("file `{path}` changed before byte {byte}"))
                        .remedy("restore the file, or begin anew with --fresh"));
                }
                self.at = place.byte;
            }
            None if self.range.from > 0 => {
                // The line that the byte before belongs to is the earlier range's.
                self.at = self.range.from - 1;
                self.skip_line()?;
            }
            None => {}
        }
        self.go_to(self.at)?;
        self.is_over = self.at >= self.range.to;
        Ok(())
    }

    fn go_to(&mut self, byte: u64) -> Result<()> {
        let moved = self.file.seek(SeekFrom::Start(byte));
        moved.map(|_| ()).map_err(|error| failed(&self.range.path, error))
    }

    /// Moves behind the next line feed.
    fn skip_line(&mut self) -> Result<()> {
        self.go_to(self.at)?;
        let mut block = vec![0; 64 << 10];
        loop {
            let count = self.read(&mut block)?;
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

    /// Hashes the bytes before `byte`.
    fn tail(&mut self, byte: u64) -> Result<u64> {
        let from = byte.saturating_sub(TAIL_BYTES);
        let mut bytes = vec![0; (byte - from) as usize];
        self.go_to(from)?;
        self.file.read_exact(&mut bytes).map_err(|error| failed(&self.range.path, error))?;
        Ok(hash(&bytes))
    }

    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            match self.file.read(into) {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&self.range.path, error)),
            }
        }
    }

    /// Reads a block that ends with a line; no bytes at the end of the range.
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
            let count = self.read(&mut block[filled..])?;
            block.truncate(filled + count);
            if count == 0 {
                self.is_over = true;
                return Ok(block);
            }
            // Lines that begin behind the range are the next one's.
            let inside = (self.range.to - self.at) as usize;
            if block.len() >= inside
                && let Some(end) = memchr::memchr(b'\n', &block[inside - 1..])
            {
                block.truncate(inside + end);
                self.is_over = true;
                return Ok(block);
            }
            if block.len() < inside
                && let Some(end) = memchr::memrchr(b'\n', &block)
            {
                self.rest = block.split_off(end + 1);
                return Ok(block);
            }
        }
    }

    /// Returns the number of the line that begins at `byte`, counting from 1.
    fn line_number(&self, byte: u64) -> Result<u64> {
        let path = &self.range.path;
        let file = File::open(path).map_err(|error| failed(path, error))?;
        let mut before = file.take(byte);
        let (mut lines, mut block) = (1, vec![0; 64 << 10]);
        loop {
            let count = before.read(&mut block).map_err(|error| failed(path, error))?;
            if count == 0 {
                return Ok(lines);
            }
            lines += memchr::memchr_iter(b'\n', &block[..count]).count() as u64;
        }
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
        let tail = hash_tail(&mut self.file, &self.range.path, &block, self.at)?;
        let place = Place { byte: self.at, tail };
        let next = serde_json::to_string(&place).map_err(|e| Error::internal(e.to_string()))?;
        let bytes = block.len();
        let decoded = self.decoder.decode(&Buffer::from_vec(block))?;
        let rows: RecordBatch = decoded.rows;
        let bad = if decoded.bad.is_empty() { Vec::new() } else { self.bad(start, decoded.bad)? };
        Ok(Some(SourceBatch { rows, bad, next: Offset(next), bytes }))
    }
}

/// Hashes the last bytes before `byte`, which end `block`, reading more where the block is short.
fn hash_tail(file: &mut File, path: &str, block: &[u8], byte: u64) -> Result<u64> {
    let length = byte.min(TAIL_BYTES) as usize;
    if block.len() >= length {
        return Ok(hash(&block[block.len() - length..]));
    }
    let here = file.stream_position().map_err(|error| failed(path, error))?;
    let mut bytes = vec![0; length];
    let read = file
        .seek(SeekFrom::Start(byte - length as u64))
        .and_then(|_| file.read_exact(&mut bytes))
        .and_then(|()| file.seek(SeekFrom::Start(here)));
    read.map_err(|error| failed(path, error))?;
    Ok(hash(&bytes))
}
