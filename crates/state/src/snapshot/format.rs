//! The bytes of a snapshot.
//!
//! Version 2, which is written: `THST`, version (u32), then for each table: length of the name
//! (u32), name, number of key columns (u32), length of the body (u64), body; at the end the hash
//! of all bytes before it (u64). Version 1, which is still read, has the hash of the body before
//! each body and none at the end, so that a table missing at its end goes unnoticed.
//!
//! Numbers are little-endian; hashes are [`hash::hash_bytes`]. A body is a sequence of Arrow IPC
//! streams, one for each run of batches with one schema, each with its length (u64) in front.

use std::io::Cursor;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use thalweg_types::size::batch_bytes;
use thalweg_types::{Error, Result, hash};

use super::compact::compact;

const MAGIC: &[u8; 4] = b"THST";
/// The version that is written.
const VERSION: u32 = 2;
/// About how many bytes a batch takes beside its rows.
const BATCH_BYTES: usize = 2048;
/// Bytes of a hash.
const HASH: usize = 8;

/// A table with our own two columns at its end.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: String,
    /// Number of key columns, the first ones.
    pub(super) key: usize,
    /// Oldest first; those that delete have the key columns only.
    pub(super) batches: Vec<RecordBatch>,
}

pub(super) fn encode(tables: Vec<Table>) -> Result<Bytes> {
    let mut bytes = MAGIC.to_vec();
    let batches = tables.iter().flat_map(|table| &table.batches);
    // About what is needed: a state that is large must not be copied as its bytes grow.
    bytes.reserve(batches.map(|batch| batch_bytes(batch) + BATCH_BYTES).sum());
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    for table in tables {
        bytes.extend_from_slice(&(table.name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(table.name.as_bytes());
        bytes.extend_from_slice(&(table.key as u32).to_le_bytes());
        with_length(&mut bytes, |bytes| encode_batches(table.batches, bytes))?;
    }
    let hash = hash::hash_bytes(&bytes);
    bytes.extend_from_slice(&hash.to_le_bytes());
    Ok(bytes.into())
}

/// Writes batches, and lets go of each once it is written.
fn encode_batches(batches: Vec<RecordBatch>, bytes: &mut Vec<u8>) -> Result<()> {
    let mut batches = batches.into_iter().peekable();
    while let Some(first) = batches.next() {
        let schema = first.schema();
        with_length(bytes, |bytes| {
            let mut writer = StreamWriter::try_new(bytes, &schema)?;
            let mut next = Some(first);
            while let Some(batch) = next {
                writer.write(&compact(&batch)?)?;
                next = batches.next_if(|batch| batch.schema() == schema);
            }
            Ok(writer.finish()?)
        })?;
    }
    Ok(())
}

/// Appends what `write` appends, with its length in front.
fn with_length(bytes: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Result<()>) -> Result<()> {
    let start = bytes.len() + size_of::<u64>();
    bytes.extend_from_slice(&[0; size_of::<u64>()]);
    write(bytes)?;
    let length = (bytes.len() - start) as u64;
    bytes[start - size_of::<u64>()..start].copy_from_slice(&length.to_le_bytes());
    Ok(())
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Table>> {
    let mut rest = Rest(bytes);
    if rest.take(MAGIC.len())? != MAGIC {
        return Err(Error::state("does not begin with `THST`"));
    }
    match rest.u32()? {
        1 => decode_tables(rest, true),
        VERSION => {
            let (before, after) = bytes.split_at_checked(bytes.len() - HASH).ok_or_else(ends)?;
            check_hash(before, Rest(after).u64()?, "it")?;
            let tables = rest.0.len().checked_sub(HASH).ok_or_else(ends)?;
            decode_tables(Rest(rest.take(tables)?), false)
        }
        version => Err(Error::state(format!("has version {version}, not one of 1 to {VERSION}"))
            .remedy("open it with the release that wrote it, or a later one")),
    }
}

fn decode_tables(mut rest: Rest<'_>, are_hashed: bool) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    while !rest.0.is_empty() {
        let length = rest.u32()? as usize;
        let name = std::str::from_utf8(rest.take(length)?)
            .map_err(|error| Error::state("has a table with a damaged name").caused_by(error))?;
        let key = rest.u32()? as usize;
        let length = rest.length()?;
        let hash = if are_hashed { Some(rest.u64()?) } else { None };
        let body = rest.take(length)?;
        if let Some(hash) = hash {
            check_hash(body, hash, &format!("table `{name}`"))?;
        }
        let batches = decode_batches(body)
            .map_err(|error| error.context(format!("table `{name}` cannot be read")))?;
        tables.push(Table { name: name.to_owned(), key, batches });
    }
    Ok(tables)
}

fn check_hash(bytes: &[u8], expected: u64, what: &str) -> Result<()> {
    let found = hash::hash_bytes(bytes);
    if found != expected {
        let (hash, length) = (format!("{found:016x}, not {expected:016x}"), bytes.len());
        return Err(Error::state(format!("{what} is damaged: {length} bytes hash to {hash}")));
    }
    Ok(())
}

fn decode_batches(body: &[u8]) -> Result<Vec<RecordBatch>> {
    let mut rest = Rest(body);
    let mut batches = Vec::new();
    while !rest.0.is_empty() {
        let length = rest.length()?;
        for batch in StreamReader::try_new(Cursor::new(rest.take(length)?), None)? {
            batches.push(batch?);
        }
    }
    Ok(batches)
}

/// The bytes that are left; takes them off the front.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(ends)?;
        self.0 = rest;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32> {
        let (head, rest) = self.0.split_first_chunk().ok_or_else(ends)?;
        self.0 = rest;
        Ok(u32::from_le_bytes(*head))
    }

    fn u64(&mut self) -> Result<u64> {
        let (head, rest) = self.0.split_first_chunk().ok_or_else(ends)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*head))
    }

    fn length(&mut self) -> Result<usize> {
        usize::try_from(self.u64()?).map_err(|_| ends())
    }
}

fn ends() -> Error {
    Error::state("ends too early")
}
