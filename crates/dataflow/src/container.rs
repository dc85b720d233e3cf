//! What travels on timely's channels: changes, as typed pointers or as Arrow IPC bytes.
//!
//! Invariants: a container's record count is its number of rows, on both sides of a channel; an
//! empty container is never sent. A frame carries the number of its plan and channel, so bytes
//! that belong to another dataflow are an error and never garbage.

use std::cell::OnceCell;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, Int64Array, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::ipc::{self, reader};
use thalweg_types::{Change, Error, Result};
use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::dataflow::channels::ContainerBytes;

use crate::port::Wake;

/// Bytes of an output that nobody consumed yet; shared by sender and receivers in one process.
#[derive(Debug, Default)]
pub struct Unconsumed {
    bytes: AtomicUsize,
    /// Wakes the sender when the bytes fall below the bound.
    waker: Wake,
}

impl Unconsumed {
    /// Returns the bytes under way.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Says whom to wake.
    pub fn wake_by(&self, wake: impl Fn() + Send + Sync + 'static) {
        self.waker.set(wake);
    }
}

/// Counts bytes as under way until it is dropped.
#[derive(Debug)]
pub struct Credit {
    bytes: usize,
    of: Arc<Unconsumed>,
}

impl Credit {
    fn new(bytes: usize, of: &Arc<Unconsumed>) -> Credit {
        of.bytes.fetch_add(bytes, Ordering::Relaxed);
        Credit { bytes, of: of.clone() }
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        let before = self.of.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        let bound = crate::operator::OUTPUT_BYTES_MAX;
        if before >= bound && before - self.bytes < bound {
            self.of.waker.wake();
        }
    }
}

/// Names a channel of a plan: what two processes must agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameId {
    /// Fingerprint of the plan.
    pub plan: u64,
    /// Number of the channel in it.
    pub channel: u64,
}

/// A batch on a channel.
#[derive(Default)]
pub enum Container {
    /// Nothing; only timely's own defaults are this.
    #[default]
    Empty,
    /// A change in this process.
    Typed(Typed),
    /// A change from another process, to be decoded by whoever knows its schema.
    Wire(Bytes),
}

/// A change on its way within a process.
pub struct Typed {
    change: Change,
    frame: FrameId,
    credit: Option<Arc<Credit>>,
    /// The encoded form: timely asks for its length first and for its bytes then.
    encoded: OnceCell<Vec<u8>>,
}

impl Container {
    /// Returns `change` for the channel `frame`, counted in `of` until it is consumed.
    pub fn new(change: Change, frame: FrameId, of: &Arc<Unconsumed>) -> Container {
        let credit = Some(Arc::new(Credit::new(change.bytes(), of)));
        Container::Typed(Typed { change, frame, credit, encoded: OnceCell::new() })
    }

    /// Returns the change, if it is in this process.
    pub fn change(&self) -> Option<&Change> {
        match self {
            Container::Typed(typed) => Some(&typed.change),
            _ => None,
        }
    }

    /// Returns a container with some of this one's rows.
    pub fn part(&self, change: Change) -> Container {
        match self {
            Container::Typed(Typed { frame, credit, .. }) => {
                let (frame, credit) = (*frame, credit.clone());
                Container::Typed(Typed { change, frame, credit, encoded: OnceCell::new() })
            }
            _ => Container::Empty,
        }
    }

    /// Returns the change, decoding it if it came from another process, and what counts it as
    /// under way.
    ///
    /// # Errors
    /// `Internal` if the bytes belong to another channel or do not fit the schema.
    pub fn open(self, frame: FrameId, schema: &SchemaRef) -> Result<(Change, Option<Arc<Credit>>)> {
        match self {
            Container::Empty => Err(Error::internal("an empty container was sent")),
            Container::Typed(typed) => Ok((typed.change, typed.credit)),
            Container::Wire(bytes) => Ok((decode(&bytes, frame, schema)?, None)),
        }
    }
}

impl Clone for Container {
    fn clone(&self) -> Self {
        match self {
            Container::Empty => Container::Empty,
            Container::Typed(typed) => self.part(typed.change.clone()),
            Container::Wire(bytes) => Container::Wire(bytes.clone()),
        }
    }
}

impl Accountable for Container {
    fn record_count(&self) -> i64 {
        match self {
            Container::Empty => 0,
            Container::Typed(typed) => typed.change.len() as i64,
            Container::Wire(bytes) => word(bytes, 2).unwrap_or(0) as i64,
        }
    }
}

/// Words of the header: plan, channel, rows, weighted, length of the message, of the body.
const HEADER_WORDS: usize = 6;

impl ContainerBytes for Container {
    fn from_bytes(bytes: Bytes) -> Self {
        Container::Wire(bytes)
    }

    fn length_in_bytes(&self) -> usize {
        self.encoded().len()
    }

    fn into_bytes<W: Write>(&self, writer: &mut W) {
        writer.write_all(self.encoded()).expect("timely writes into memory of the asked length");
    }
}

impl Container {
    /// Returns the frame of a container that leaves the process.
    fn encoded(&self) -> &[u8] {
        match self {
            Container::Empty => &[],
            Container::Wire(bytes) => bytes,
            Container::Typed(typed) => typed.encoded.get_or_init(|| {
                encode(&typed.change, typed.frame).expect("planned: types have an IPC form")
            }),
        }
    }
}

/// Encodes a change without its schema, padded to a multiple of eight bytes.
fn encode(change: &Change, frame: FrameId) -> Result<Vec<u8>> {
    let rows = match &change.weights {
        None => compact(&change.rows)?,
        Some(weights) => with_weights(&compact(&change.rows)?, weights)?,
    };
    let options = IpcWriteOptions::default();
    let mut tracker = DictionaryTracker::new(false);
    let generator = IpcDataGenerator::default();
    let mut context = IpcWriteContext::default();
    let (_, data) = generator.encode(&rows, &mut tracker, &options, &mut context)?;
    let message = data.ipc_message.len().next_multiple_of(8);
    let body = data.arrow_data.len().next_multiple_of(8);
    let mut bytes = Vec::with_capacity(HEADER_WORDS * 8 + message + body);
    let weighted = u64::from(change.weights.is_some());
    let header = [
        frame.plan,
        frame.channel,
        change.len() as u64,
        weighted,
        data.ipc_message.len() as u64,
        body as u64,
    ];
    header.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    bytes.extend_from_slice(&data.ipc_message);
    bytes.resize(HEADER_WORDS * 8 + message, 0);
    bytes.extend_from_slice(&data.arrow_data);
    bytes.resize(HEADER_WORDS * 8 + message + body, 0);
    Ok(bytes)
}

/// Copies views into buffers of their own: a slice would send the whole buffer it points into.
/// Dictionaries are unpacked, since a frame has no place for them.
pub fn compact(rows: &RecordBatch) -> Result<RecordBatch> {
    use arrow::array::AsArray;
    let columns = rows.columns().iter().map(|column| -> Result<_> {
        Ok(match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()) as _,
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()) as _,
            _ => column.clone(),
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new_with_options(
        rows.schema(),
        columns,
        &arrow::array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows())),
    )?)
}

fn with_weights(rows: &RecordBatch, weights: &Int64Array) -> Result<RecordBatch> {
    let schema = weighted_schema(&rows.schema());
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(weights.clone()));
    Ok(RecordBatch::try_new(schema, columns)?)
}

fn weighted_schema(schema: &SchemaRef) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    fields.push(Arc::new(Field::new("__weight", DataType::Int64, false)));
    Arc::new(arrow::datatypes::Schema::new(fields))
}

fn word(bytes: &[u8], index: usize) -> Option<u64> {
    let bytes = bytes.get(index * 8..index * 8 + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

fn decode(bytes: &[u8], frame: FrameId, schema: &SchemaRef) -> Result<Change> {
    let damaged = || Error::internal("a frame from another process is cut short");
    let header = |index| word(bytes, index).ok_or_else(damaged);
    let sent = FrameId { plan: header(0)?, channel: header(1)? };
    if sent != frame {
        return Err(Error::internal(format!(
            "a frame of plan {:016x}, channel {} arrived at plan {:016x}, channel {}",
            sent.plan, sent.channel, frame.plan, frame.channel
        ))
        .remedy("all processes of a job must run the same program and the same script"));
    }
    let (weighted, message, length) = (header(3)? == 1, header(4)? as usize, header(5)? as usize);
    let rest = bytes.get(HEADER_WORDS * 8..).ok_or_else(damaged)?;
    let meta = rest.get(..message).ok_or_else(damaged)?;
    let body = rest.get(message.next_multiple_of(8)..).ok_or_else(damaged)?;
    let body = body.get(..length).ok_or_else(damaged)?;
    let meta = ipc::root_as_message(meta)
        .map_err(|error| Error::internal(format!("a frame has no Arrow message: {error}")))?;
    let batch = meta.header_as_record_batch().ok_or_else(damaged)?;
    // One copy here keeps the receive slab from being pinned by what operators keep.
    let body = Buffer::from(body);
    let schema = if weighted { weighted_schema(schema) } else { schema.clone() };
    let rows = reader::read_record_batch(
        &body,
        batch,
        schema,
        &Default::default(),
        None,
        &meta.version(),
    )?;
    if !weighted {
        return Ok(Change::append(rows));
    }
    let last = rows.num_columns() - 1;
    let weights = rows.column(last).as_any().downcast_ref::<Int64Array>().ok_or_else(damaged)?;
    let weights = weights.clone();
    let rows = rows.project(&(0..last).collect::<Vec<_>>())?;
    Change::weighted(rows, weights)
}

#[cfg(test)]
mod tests;
