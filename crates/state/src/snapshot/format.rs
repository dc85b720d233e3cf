//! The bytes of a snapshot, version 1.
//!
//! `THST`, version (u32), then for each table: length of the name (u32), name, number of key
//! columns (u32), length of the body (u64), hash of the body (u64), body; numbers are
//! little-endian, the body is an Arrow IPC stream for each schema in it, one after the other.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use thalweg_types::{Error, Result, hash};

const MAGIC: &[u8; 4] = b"THST";
const VERSION: u32 = 1;

pub(super) type Tables = BTreeMap<&'static str, (usize, Vec<RecordBatch>)>;

pub(super) fn encode(tables: &Tables) -> Result<Bytes> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    for (name, (key, batches)) in tables {
        let body = encode_batches(batches)?;
        bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&(*key as u32).to_le_bytes());
        bytes.extend_from_slice(&(body.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&checksum(&body)?.to_le_bytes());
        bytes.extend_from_slice(&body);
    }
    Ok(bytes.into())
}

/// Each run of batches with one schema is a stream of its own, with its length in front.
fn encode_batches(batches: &[RecordBatch]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    for run in batches.chunk_by(|left, right| left.schema() == right.schema()) {
        let mut writer = StreamWriter::try_new(Vec::new(), &run[0].schema())?;
        for batch in run {
            writer.write(&compact(batch)?)?;
        }
        let stream = writer.into_inner()?;
        body.extend_from_slice(&(stream.len() as u64).to_le_bytes());
        body.extend_from_slice(&stream);
    }
    Ok(body)
}

/// Copies views into buffers of their own, so that a row does not bring a whole buffer along.
fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|column| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => column.clone(),
        }
    });
    Ok(RecordBatch::try_new(batch.schema(), columns.collect())?)
}

fn checksum(body: &[u8]) -> Result<u64> {
    let mut hashes = Vec::new();
    hash::hash_rows(&[Arc::new(BinaryArray::from(vec![body])) as ArrayRef], 1, &mut hashes)?;
    Ok(hashes[0])
}

/// Takes bytes off the front.
struct Cursored<'a>(&'a [u8]);

impl<'a> Cursored<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(cut_short)?;
        self.0 = rest;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().map_err(|_| cut_short())?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().map_err(|_| cut_short())?))
    }

    fn length(&mut self) -> Result<usize> {
        usize::try_from(self.u64()?).map_err(|_| cut_short())
    }
}

fn cut_short() -> Error {
    Error::state("a state file is cut short")
}

pub(super) fn decode(bytes: &[u8]) -> Result<Vec<(String, usize, Vec<RecordBatch>)>> {
    let mut bytes = Cursored(bytes);
    if bytes.take(4)? != MAGIC {
        return Err(Error::state("a state file does not begin with `THST`"));
    }
    let version = bytes.u32()?;
    if version != VERSION {
        return Err(Error::state(format!("a state file has version {version}, not {VERSION}"))
            .remedy("open it with the release that wrote it, or a later one"));
    }
    let mut tables = Vec::new();
    while !bytes.0.is_empty() {
        let name = bytes.u32()? as usize;
        let name = String::from_utf8_lossy(bytes.take(name)?).into_owned();
        let key = bytes.u32()? as usize;
        let length = bytes.length()?;
        let expected = bytes.u64()?;
        let body = bytes.take(length)?;
        if checksum(body)? != expected {
            return Err(Error::state(format!("table `{name}` of a state file is damaged")));
        }
        tables.push((name, key, decode_batches(body)?));
    }
    Ok(tables)
}

fn decode_batches(body: &[u8]) -> Result<Vec<RecordBatch>> {
    let mut body = Cursored(body);
    let mut batches = Vec::new();
    while !body.0.is_empty() {
        let length = body.length()?;
        let reader = StreamReader::try_new(Cursor::new(body.take(length)?), None)?;
        for batch in reader {
            batches.push(batch?);
        }
    }
    Ok(batches)
}
