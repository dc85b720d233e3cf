//! The contract of sources: splits, offsets, readers.
//!
//! Invariants: a split's name and content do not depend on the number of workers; reading a
//! replayable split again from an offset gives the same rows as before.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{BinaryBuilder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thalweg_types::{Change, EventTime, Result, SplitId};

use crate::function::Transform;

/// A part of a source that one worker reads in order: a range of a file, a partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Name of the split, unique in its source.
    pub id: SplitId,
    /// Splits of one sequence (the ranges of one file) follow each other in event time: a later
    /// one that is not begun does not hold the watermark back. Splits of other sequences do.
    pub sequence: String,
    /// What the connector needs to open the split; only the connector reads it.
    pub payload: String,
}

/// Where to go on reading in a split; only the connector that wrote it reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(pub String);

/// A record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// The bytes as they came.
    pub record: Vec<u8>,
    /// File and line, or topic, partition and offset.
    pub place: String,
    /// Column and reason.
    pub error: String,
}

/// Returns the schema of a table of bad records.
pub fn bad_record_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("record", DataType::Binary, true),
        Field::new("place", DataType::Utf8, true),
        Field::new("error", DataType::Utf8, true),
    ]))
}

/// Returns `bad` as rows of [`bad_record_schema`].
///
/// # Errors
/// None that data can cause.
pub fn bad_record_batch(bad: &[BadRecord]) -> Result<RecordBatch> {
    let (mut record, mut place) = (BinaryBuilder::new(), StringBuilder::new());
    let mut error = StringBuilder::new();
    for one in bad {
        record.append_value(&one.record);
        place.append_value(&one.place);
        error.append_value(&one.error);
    }
    Ok(RecordBatch::try_new(
        bad_record_schema(),
        vec![Arc::new(record.finish()), Arc::new(place.finish()), Arc::new(error.finish())],
    )?)
}

/// What a reader hands over at once.
#[derive(Clone, Debug)]
pub struct SourceBatch {
    /// Good rows, in the order of the split, with the weights that [`Changes`] has; may be none.
    pub rows: Change,
    /// Records that could not be decoded, in order.
    pub bad: Vec<BadRecord>,
    /// Where to go on after these rows and bad records.
    pub next: Offset,
    /// Bytes read from outside for these rows.
    pub bytes: usize,
}

/// What one line of a script does, beside the row that it may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The number of the line, counted from 1; 0 is before all of them.
    pub line: u64,
    /// The watermark that the source claims from here on.
    pub watermark: Option<EventTime>,
    /// The time to which the clock moves.
    pub clock: Option<EventTime>,
    /// Is its epoch to be a checkpoint?
    pub is_checkpoint: bool,
}

/// Reads one split.
///
/// # Contract
/// `next` is called again only after it returned; it may be dropped while it waits, and then
/// nothing of what it would have returned is lost: the split is opened again at the last offset
/// handed out. A batch should hold between 1 and about 65,536 rows or a few MiB, whichever is
/// less; a source that waits for input returns what it has rather than wait for more.
#[async_trait]
pub trait SplitReader: Send {
    /// Returns the next rows; `None` at the end of the split.
    ///
    /// # Errors
    /// `Data` never: bad records travel in the batch. `Failed` if the split cannot be read,
    /// `State` if it is not what the offset was taken from.
    async fn next(&mut self) -> Result<Option<SourceBatch>>;

    /// Returns what the last batch did in the script of the source; each is one line of it.
    fn step(&self) -> Option<Step> {
        None
    }
}

/// What `enumerate` found.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// Splits not among the known ones, in the order in which they should be read.
    pub splits: Vec<Split>,
    /// Ask again after this time; `None` if the source is bounded and this was all.
    pub again: Option<Duration>,
}

/// What a source promises about reading again after a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The same rows come again: results can be exactly once.
    Exact,
    /// What was read is gone: after a crash rows may be missing.
    None,
}

/// What the rows of a source say.
///
/// Where they change others, their order matters: the splits of such a source are read one after
/// the other, by one worker, as they were enumerated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// Each row is there for good; there are no weights.
    Append,
    /// Weight +1: the row of its key is now this. Weight −1: the key is gone, and of the row only
    /// the columns of the key mean something.
    Upsert,
    /// Weight +1: the row is there. Weight −1: this very row is gone. The old half of an update
    /// stands directly before the new one.
    Changelog,
}

/// A script and its tables.
#[derive(Clone, Debug)]
pub struct Script {
    /// What [`Source::script`] says of it.
    pub name: String,
    /// The tables that the job reads.
    pub read: BTreeSet<String>,
    /// All that are declared.
    pub known: BTreeSet<String>,
}

/// A table that can be read.
///
/// # Contract
/// `enumerate` runs on one process only; `reader` on any, for any split ever enumerated, also by
/// an earlier attempt. Opening a split at an offset that no longer fits it is an error of kind
/// `State` that names the file or partition.
#[async_trait]
pub trait Source: Send + Sync + Debug {
    /// Returns the connector's name, as `'connector' = '…'` has it.
    fn connector(&self) -> &str;

    /// Returns the schema of the rows that readers hand over.
    fn schema(&self) -> SchemaRef;

    /// Returns what it promises about replay.
    fn replay(&self) -> Replay;

    /// Does the source end by itself?
    fn is_bounded(&self) -> bool;

    /// Returns the script of which this table is a part. The lines of a script are read by all its
    /// tables alike, one in an epoch, and time is what they say.
    fn script(&self) -> Option<&str> {
        None
    }

    /// Returns this table as part of the job that follows `script`; `None` if it is what it was.
    fn among(&self, _script: &Script) -> Option<Arc<dyn Source>> {
        None
    }

    /// Can only the process that the user started read it? So it is with its standard input.
    fn is_local(&self) -> bool {
        false
    }

    /// Returns this source without the partitions whose columns do not pass `filter`, which reads
    /// them as rows; `None` if it has none to leave out.
    fn pruned(&self, _filter: Arc<dyn Transform>) -> Option<Arc<dyn Source>> {
        None
    }

    /// Returns what `EXPLAIN` says beyond the columns.
    fn explain(&self) -> Option<String> {
        None
    }

    /// Finds splits that are not among `known`. Of the finished splits of a sequence only the last
    /// one may be among them.
    ///
    /// # Errors
    /// `Invalid` if the source does not exist; `State` if a known split vanished.
    async fn enumerate(&self, known: &[Split]) -> Result<Discovery>;

    /// Opens `split` at `from`, or at its start.
    ///
    /// # Errors
    /// `Failed` if it cannot be opened, `State` if it changed since `from` was taken.
    async fn reader(&self, split: &Split, from: Option<&Offset>) -> Result<Box<dyn SplitReader>>;
}
