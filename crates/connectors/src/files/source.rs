//! Reads formats of lines or records, range by range.
//!
//! A line belongs to the range in which its first byte lies, so the ranges of a file can be read
//! by different workers, in any order, and hold each line once.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thalweg_plan::connector::TableSpec;
use thalweg_plan::function::Transform;
use thalweg_plan::source::{
    BadRecord, Discovery, Offset, Replay, Source, SourceBatch, Split, SplitReader,
};
use thalweg_types::{Error, Result, SplitId};

use super::constant::Constants;
use super::growth::{self, TAIL_BYTES};
use super::input::{Input, is_packed};
use super::listing::{Found, Listing, Seen};
use super::store::{Store, failed};
use crate::formats::{self, Decoder, Malformed};

/// Bytes of a range unless the table says otherwise.
const RANGE_BYTES: u64 = 32 << 20;
/// Bytes read at once.
const BLOCK_BYTES: usize = 1 << 20;
/// Longest line.
const LINE_BYTES_MAX: usize = 64 << 20;

/// A table of files.
#[derive(Clone, Debug)]
pub(super) struct FileSource {
    listing: Listing,
    range_bytes: u64,
    constants: Constants,
    /// What a file holds, and which columns of it are asked for.
    in_files: TableSpec,
    columns: Vec<usize>,
}

/// A range of a file; stored in manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Range {
    path: String,
    from: u64,
    to: u64,
    /// Does the file hold no byte behind `to` that was seen? Then the last record ends there, also
    /// without a line feed; else it ends where its line does.
    #[serde(default)]
    is_last: bool,
    /// Does a record begin at `from`, whatever stands before it?
    #[serde(default)]
    is_whole: bool,
    /// Hash of the last bytes before `to`, for the last range of a file that may grow.
    #[serde(default)]
    tail: Option<u64>,
    /// What was seen of the file, if the table asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
}

/// A place in a range, and how to know the file again; stored in manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    byte: u64,
    /// Hash of the last bytes before the place.
    tail: u64,
}

impl FileSource {
    pub(super) fn new(table: &TableSpec, columns: &[usize]) -> Result<FileSource> {
        let options = &table.options;
        let in_files = super::in_files(table)?;
        let (constants, columns) = Constants::of(table, columns)?;
        formats::decoder(&in_files, &columns)?;
        let range_bytes = match formats::is_multi_line(options)? {
            true => u64::MAX,
            false => options.bytes("scan.range-size")?.unwrap_or(RANGE_BYTES).max(1),
        };
        let listing = Listing::of(table)?;
        Ok(FileSource { listing, range_bytes, constants, in_files, columns })
    }

    /// Returns the ranges of what is new in a file: nothing before `known` is.
    async fn ranges(&self, found: &Found, known: Option<&Range>) -> Result<Vec<Split>> {
        let path = &found.path;
        let from = known.map_or(0, |range| range.to);
        if let Some(known) = known {
            self.check_growth(found, known).await?;
        }
        if from == found.bytes {
            return Ok(Vec::new());
        }
        let seen = self.constants.need_seen().then(|| found.seen());
        if is_packed(path) {
            let range = Range { to: found.bytes, seen, ..Range::of(path) };
            return Ok(vec![range.split()?]);
        }
        let (to, tail) = match &self.listing.store {
            // Objects do not grow.
            Store::Bucket(_) => (found.bytes, None),
            store @ Store::Disk => {
                let mut raw = store.open(path).await?;
                let end = growth::end(&mut raw, found, from, self.listing.monitor);
                let (to, tail) = end.map_err(|error| failed(path, error))?;
                (to, Some(tail))
            }
        };
        let most = usize::try_from(self.range_bytes).unwrap_or(usize::MAX);
        let split = |start: u64| {
            let end = start.saturating_add(self.range_bytes).min(to);
            let is_last = end == to;
            let tail = tail.filter(|_| is_last);
            let is_whole = start == from;
            let (path, from, to) = (path.clone(), start, end);
            Range { path, from, to, is_last, is_whole, tail, seen }.split()
        };
        (from..to).step_by(most).map(split).collect()
    }

    /// Checks that a file that is read up to the end of `known` has only become longer since.
    async fn check_growth(&self, found: &Found, known: &Range) -> Result<()> {
        let (path, from, now) = (&found.path, known.to, found.bytes);
        if now < from {
            return Err(changed(format!(
                "file `{path}` shrank: it had {from} bytes and has {now}"
            )));
        }
        if now == from {
            return Ok(());
        }
        if is_packed(path) || matches!(self.listing.store, Store::Bucket(_)) {
            return Err(changed(format!(
                "file `{path}` changed: it had {from} bytes and has {now}"
            )));
        }
        let mut raw = self.listing.store.open(path).await?;
        let tail = growth::tail(&mut raw, from).map_err(|error| failed(path, error))?;
        match known.tail {
            Some(known) if known != tail => {
                Err(changed(format!("file `{path}` changed before byte {from}")))
            }
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Source for FileSource {
    fn connector(&self) -> &str {
        "filesystem"
    }

    fn schema(&self) -> SchemaRef {
        self.constants.schema().clone()
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn is_bounded(&self) -> bool {
        self.listing.monitor.is_none()
    }

    fn pruned(&self, filter: Arc<dyn Transform>) -> Option<Arc<dyn Source>> {
        let listing = self.listing.pruned(filter)?;
        Some(Arc::new(FileSource { listing, ..self.clone() }))
    }

    fn explain(&self) -> Option<String> {
        self.listing.explain()
    }

    async fn enumerate(&self, known: &[Split]) -> Result<Discovery> {
        let mut ends: BTreeMap<String, Range> = BTreeMap::new();
        for split in known {
            let range = range_of(split)?;
            let end = ends.entry(range.path.clone()).or_insert_with(|| range.clone());
            if range.to > end.to {
                *end = range;
            }
        }
        let mut splits = Vec::new();
        for found in self.listing.files().await? {
            splits.extend(self.ranges(&found, ends.get(&found.path)).await?);
        }
        Ok(Discovery { splits, again: self.listing.monitor })
    }

    async fn reader(&self, split: &Split, from: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        let range = range_of(split)?;
        let store = &self.listing.store;
        let input = Input::open(store, &range.path).await?;
        let (stored, path) = (input.stored(), &range.path);
        if stored < range.to {
            let to = range.to;
            return Err(changed(format!(
                "file `{path}` shrank: it had {to} bytes and has {stored}"
            )));
        }
        let mut reader = FileReader {
            store: store.clone(),
            input,
            // The range of a packed file is that of its packed bytes.
            to: if is_packed(&range.path) { u64::MAX } else { range.to },
            at: range.from,
            range,
            decoder: formats::decoder(&self.in_files, &self.columns)?,
            tail: Vec::new(),
            rest: Vec::new(),
            spare: Vec::new(),
            is_over: false,
        };
        reader.seek(from).await?;
        let (path, seen) = (reader.range.path.clone(), reader.range.seen);
        self.constants.around(Box::new(reader), &path, seen)
    }
}

fn range_of(split: &Split) -> Result<Range> {
    serde_json::from_str(&split.payload)
        .map_err(|error| Error::state(format!("split `{}` cannot be read: {error}", split.id)))
}

fn changed(what: String) -> Error {
    Error::state(what).remedy("restore the file, or begin anew with --fresh")
}

impl Range {
    /// Returns the range of all of a file whose length nobody asked for.
    fn of(path: &str) -> Range {
        let path = path.to_owned();
        Range {
            path,
            from: 0,
            to: u64::MAX,
            is_last: false,
            is_whole: false,
            tail: None,
            seen: None,
        }
    }

    fn split(&self) -> Result<Split> {
        let Range { path, from, .. } = self;
        let payload = serde_json::to_string(self).map_err(|e| Error::internal(e.to_string()))?;
        Ok(Split { id: SplitId(format!("{path}@{from}")), sequence: path.clone(), payload })
    }
}

struct FileReader {
    store: Store,
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
    /// Memory of the last block, if no row points into it; what stands there does not matter.
    spare: Vec<u8>,
    is_over: bool,
}

impl FileReader {
    /// Goes to an offset, or to the first line of the range.
    async fn seek(&mut self, from: Option<&Offset>) -> Result<()> {
        match from {
            Some(Offset(text)) => {
                let place: Place = serde_json::from_str(text).map_err(|error| {
                    Error::state(format!("offset `{text}` cannot be read: {error}"))
                })?;
                self.at = place.byte;
                self.enter().await?;
                if growth::hash(&self.tail) != place.tail {
                    let (path, byte) = (&self.range.path, place.byte);
                    return Err(changed(format!("file `{path}` changed before byte {byte}")));
                }
            }
            None if self.range.is_whole => self.enter().await?,
            None if self.range.from > 0 => {
                // The line that the byte before belongs to is the earlier range's.
                self.at = self.range.from - 1;
                self.skip_line().await?;
                self.enter().await?;
            }
            None => {}
        }
        self.is_over = self.at >= self.to;
        Ok(())
    }

    /// Goes to `at`, reading the bytes before it.
    async fn enter(&mut self) -> Result<()> {
        let from = self.at.saturating_sub(TAIL_BYTES as u64);
        self.tail = vec![0; (self.at - from) as usize];
        self.input.go_to(from).await?;
        self.input.fill(&mut self.tail)
    }

    /// Moves behind the next line feed.
    async fn skip_line(&mut self) -> Result<()> {
        self.input.go_to(self.at).await?;
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
        let (mut block, mut filled) = (std::mem::take(&mut self.spare), self.rest.len());
        block.splice(..filled.min(block.len()), self.rest.drain(..));
        loop {
            if filled > LINE_BYTES_MAX {
                let path = &self.range.path;
                return Err(Error::data(format!(
                    "a line at byte {} of `{path}` has more than {LINE_BYTES_MAX} bytes",
                    self.at
                )));
            }
            let most = match self.range.is_last && !is_packed(&self.range.path) {
                true => usize::try_from(self.to - self.at).unwrap_or(usize::MAX) - filled,
                false => usize::MAX,
            };
            block.resize(filled + most.min(BLOCK_BYTES), 0);
            let count = self.input.read(&mut block[filled..])?;
            filled += count;
            block.truncate(filled);
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
                self.rest.extend_from_slice(&block[end..]);
                block.truncate(end);
                return Ok(block);
            }
        }
    }
}

/// Returns the number of the line of a file that begins at `byte`, counting from 1.
async fn line_number(store: &Store, path: &str, byte: u64) -> Result<u64> {
    let mut before = Input::open(store, path).await?;
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

/// Says where in their file the malformed records of a block are, which begins at `start`.
async fn placed(
    store: &Store,
    path: &str,
    start: u64,
    bad: Vec<Malformed>,
) -> Result<Vec<BadRecord>> {
    let mut found = Vec::new();
    for one in bad {
        let line = line_number(store, path, start + one.offset as u64).await?;
        let place = format!("{path}:{line}");
        found.push(BadRecord { record: one.record, place, error: one.error });
    }
    Ok(found)
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
        let place = Place { byte: self.at, tail: growth::hash(&self.tail) };
        let next = serde_json::to_string(&place).map_err(|e| Error::internal(e.to_string()))?;
        let bytes = block.len();
        let header = if start == 0 { self.decoder.header(&block) } else { 0 };
        let block = Buffer::from_vec(block);
        let decoded = self.decoder.decode(&block.slice(header))?;
        self.spare = block.into_vec().unwrap_or_default();
        let (store, path) = (self.store.clone(), self.range.path.clone());
        let bad = placed(&store, &path, start + header as u64, decoded.bad).await?;
        Ok(Some(SourceBatch { rows: decoded.rows, bad, next: Offset(next), bytes }))
    }
}
