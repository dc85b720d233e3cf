//! What travels on timely's channels: changes, as typed pointers or as Arrow IPC bytes.
//!
//! Invariants: a container's record count is its number of rows, on both sides of a channel; an
//! empty container is never sent. A frame carries the number of its plan and channel, so bytes
//! that belong to another dataflow are an error and never garbage.

use std::cell::OnceCell;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, SchemaRef};
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteContext, IpcWriteOptions};
use arrow::ipc::{self, reader};
use thalweg_types::{Change, Error, NodeId, Result, WorkerId};
use timely::Accountable;
use timely::bytes::arc::Bytes;
use timely::dataflow::channels::ContainerBytes;

use crate::flow::{Credit, Flow, Sender, Unconsumed};

/// Names a channel of a plan: what two processes must agree on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameId {
    /// Fingerprint of the plan.
    pub plan: u64,
    /// Number of the channel in it.
    pub channel: u64,
}

impl FrameId {
    /// Returns the channel of an output of a node.
    pub fn new(plan: u64, node: NodeId, port: usize) -> FrameId {
        FrameId { plan, channel: ((node.0 as u64) << 32) | port as u64 }
    }
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
        let bytes = change.bytes();
        Container::sized((change, bytes), frame, of)
    }

    /// Returns a change whose bytes are known already for the channel `frame`, counted as [`Container::new`]
    /// does.
    pub fn sized(
        (change, bytes): (Change, usize),
        frame: FrameId,
        of: &Arc<Unconsumed>,
    ) -> Container {
        Container::counted(change, frame, Some(Arc::new(Credit::new(bytes, of))))
    }

    /// Returns `change` for the channel `frame`, counted as what it was made of.
    pub fn counted(change: Change, frame: FrameId, credit: Option<Arc<Credit>>) -> Container {
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
                Container::counted(change, *frame, credit.clone())
            }
            _ => Container::Empty,
        }
    }

    /// Returns the change, decoding it if it came from another process, and what counts it as
    /// under way.
    ///
    /// # Errors
    /// `Internal` if the bytes belong to another channel or do not fit the schema.
    pub fn open(
        self,
        (frame, schema): (FrameId, &SchemaRef),
        flow: &Arc<Flow>,
    ) -> Result<(Change, Option<Arc<Credit>>)> {
        match self {
            Container::Empty => Err(Error::internal("an empty container was sent")),
            Container::Typed(typed) => Ok((typed.change, typed.credit)),
            Container::Wire(bytes) => {
                let (change, sender) = decode(&bytes, frame, schema)?;
                let credit = sender.map(|sender| Credit::received(bytes.len(), sender, flow));
                Ok((change, credit.map(Arc::new)))
            }
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

/// Words of the header: plan, channel, rows, weighted, length of the message, of the body; node and
/// worker that want to know when the frame is consumed.
const HEADER_WORDS: usize = 8;
/// The node of a frame whose sender does not want to know.
const NOBODY: u64 = u64::MAX;

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
                let mut bytes =
                    encode(&typed.change, typed.frame).expect("planned: types have an IPC form");
                let credit = typed.credit.as_ref();
                if let Some(sender) = credit.and_then(|credit| credit.lend(bytes.len())) {
                    address(&mut bytes, sender);
                }
                bytes
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
        NOBODY,
        0,
    ];
    header.iter().for_each(|word| bytes.extend_from_slice(&word.to_le_bytes()));
    bytes.extend_from_slice(&data.ipc_message);
    bytes.resize(HEADER_WORDS * 8 + message, 0);
    bytes.extend_from_slice(&data.arrow_data);
    bytes.resize(HEADER_WORDS * 8 + message + body, 0);
    Ok(bytes)
}

/// Writes into a frame who wants to know when it is consumed.
fn address(frame: &mut [u8], sender: Sender) {
    frame[6 * 8..7 * 8].copy_from_slice(&(sender.node.0 as u64).to_le_bytes());
    frame[7 * 8..8 * 8].copy_from_slice(&(sender.worker.0 as u64).to_le_bytes());
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

/// Returns the change of a frame, and who wants to know when it is consumed.
fn decode(bytes: &[u8], frame: FrameId, schema: &SchemaRef) -> Result<(Change, Option<Sender>)> {
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
    let (node, worker) = (NodeId(header(6)? as usize), WorkerId(header(7)? as usize));
    let sender = (header(6)? != NOBODY).then_some(Sender { node, worker });
    if !weighted {
        return Ok((Change::append(rows), sender));
    }
    let last = rows.num_columns() - 1;
    let weights = rows.column(last).as_any().downcast_ref::<Int64Array>().ok_or_else(damaged)?;
    let weights = weights.clone();
    let rows = rows.project(&(0..last).collect::<Vec<_>>())?;
    Ok((Change::weighted(rows, weights)?, sender))
}

#[cfg(test)]
mod tests;
