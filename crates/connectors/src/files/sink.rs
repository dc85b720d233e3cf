//! Writes rows into parts, which appear when they are committed.
//!
//! Life of a part: it grows out of sight; at each checkpoint it is made durable and its length
//! stands in the manifest; after a crash it is cut back to that length; when it is large or old
//! enough, or the job ends, it becomes a committable, and committing makes it appear. A table with
//! partitions has a part for each of them, and no more than some are open at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use thalweg_plan::connector::TableSpec;
use thalweg_plan::sink::{
    Accepts, Committable, Committer, Delivery, Prepared, Sink, SinkWriter, WriterContext,
};
use thalweg_types::{Change, Epoch, Result};

use super::part::{OpenPart, PartCommitter, Place};
use super::partition::Partitions;
use crate::formats::file::Format;
use crate::formats::{self, FileEncoder};

/// Size at which a part is finished unless the table says otherwise.
const PART_BYTES: u64 = 128 << 20;
/// Age at which a part of lines is finished unless the table says otherwise.
const PART_AGE: Duration = Duration::from_secs(30 * 60);
/// Age at which a part of another format is finished, which nobody can read before.
const CLOSED_PART_AGE: Duration = Duration::from_secs(60);
/// Age at which a part is finished that no row came for, unless the table says otherwise.
const PART_IDLE: Duration = Duration::from_secs(30 * 60);
/// Parts of one writer that are open at once.
const PARTS_OPEN_MAX: usize = 64;
/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 18;

/// The option that says how long a part waits for a row.
pub(super) const INACTIVITY: &str = "sink.rolling-policy.inactivity-interval";

/// A table of part files in a directory or bucket.
#[derive(Clone, Debug)]
pub(super) struct FileSink {
    place: Place,
    format: Format,
    part_bytes: u64,
    part_age: Duration,
    part_idle: Duration,
    partitions: Partitions,
    accepts: Accepts,
}

impl FileSink {
    pub(super) fn new(table: &TableSpec) -> Result<FileSink> {
        let options = &table.options;
        let format = Format::of(&super::in_files(table)?)?;
        let ages = [
            options.duration("sink.rolling-policy.rollover-interval")?,
            options.duration("sink.rolling-policy.checkpoint-interval")?,
        ];
        let usual = match format {
            Format::Lines(_) => PART_AGE,
            Format::Parquet(..) => CLOSED_PART_AGE,
        };
        Ok(FileSink {
            place: Place::of(options.required("path")?)?,
            format,
            part_bytes: options.bytes("sink.rolling-policy.file-size")?.unwrap_or(PART_BYTES),
            part_age: ages.into_iter().flatten().min().unwrap_or(usual),
            part_idle: options.duration(INACTIVITY)?.unwrap_or(PART_IDLE),
            partitions: Partitions::of(table)?,
            accepts: formats::accepts(table)?,
        })
    }
}

#[async_trait]
impl Sink for FileSink {
    fn connector(&self) -> &str {
        "filesystem"
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn accepts(&self) -> Accepts {
        self.accepts.clone()
    }

    async fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        self.place.prepare()?;
        let mut finished = Vec::new();
        for state in &context.restored {
            finished.extend(self.place.recover(state).await?);
        }
        let sink = self.clone();
        Ok(Box::new(FileWriter { sink, context, open: BTreeMap::new(), finished, next: 0 }))
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(PartCommitter(self.place.clone())))
    }
}

struct Open {
    part: Box<dyn OpenPart>,
    encoder: Box<dyn FileEncoder>,
    since: Instant,
    /// When the last row came.
    used: Instant,
}

impl Open {
    async fn write(&mut self, change: &Change) -> Result<()> {
        self.used = Instant::now();
        self.encoder.write(change)?;
        if self.encoder.waiting() >= BUFFER_BYTES {
            self.part.append(self.encoder.take()).await?;
        }
        Ok(())
    }

    /// Gives the part all rows; returns what would end it here.
    async fn cut(&mut self) -> Result<Vec<u8>> {
        let end = self.encoder.cut()?;
        self.part.append(self.encoder.take()).await?;
        Ok(end)
    }

    async fn finish(mut self) -> Result<Vec<Committable>> {
        let end = self.cut().await?;
        self.part.append(end).await?;
        self.part.finish().await
    }
}

struct FileWriter {
    sink: FileSink,
    context: WriterContext,
    /// Open parts, by the folder that they are in.
    open: BTreeMap<String, Open>,
    /// What the next checkpoint is to hand over.
    finished: Vec<Committable>,
    next: u64,
}

impl FileWriter {
    /// Returns the open part of a folder.
    async fn open(&mut self, folder: &str) -> Result<&mut Open> {
        if !self.open.contains_key(folder) {
            self.make_room().await?;
            let WriterContext { job, attempt, node, worker, lineage, .. } = &self.context;
            let extension = self.sink.format.extension();
            let whose = format!("{job}-{lineage}-{attempt}-{node}-{worker}");
            let name = format!("part-{whose}-{}.{extension}", self.next);
            self.next += 1;
            let encoder = self.sink.format.encoder()?;
            let part = self.sink.place.open((folder, &name), lineage)?;
            let now = Instant::now();
            let open = Open { part, encoder, since: now, used: now };
            self.open.insert(folder.to_owned(), open);
        }
        Ok(self.open.get_mut(folder).expect("opened above"))
    }

    /// Finishes the part that was not used for longest, if as many are open as may be.
    async fn make_room(&mut self) -> Result<()> {
        if self.open.len() < PARTS_OPEN_MAX {
            return Ok(());
        }
        let oldest = self.open.iter().min_by_key(|(_, open)| open.used);
        let oldest = oldest.map(|(folder, _)| folder.clone()).unwrap_or_default();
        if let Some(open) = self.open.remove(&oldest) {
            self.finished.extend(open.finish().await?);
        }
        Ok(())
    }

    fn is_due(&self, open: &Open) -> bool {
        open.part.bytes() >= self.sink.part_bytes
            || open.since.elapsed() >= self.sink.part_age
            || open.used.elapsed() >= self.sink.part_idle
    }
}

#[async_trait]
impl SinkWriter for FileWriter {
    async fn write(&mut self, change: Change) -> Result<()> {
        if change.is_empty() {
            return Ok(());
        }
        for (folder, change) in self.sink.partitions.apart(&change)? {
            self.open(&folder).await?.write(&change).await?;
        }
        Ok(())
    }

    async fn end_epoch(&mut self, _: Epoch) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, _: Epoch, last: bool) -> Result<Prepared> {
        let mut prepared = Prepared::default();
        for (folder, mut open) in std::mem::take(&mut self.open) {
            let end = open.cut().await?;
            if last || self.is_due(&open) {
                open.part.append(end).await?;
                self.finished.extend(open.part.finish().await?);
            } else {
                let (state, then) = open.part.save(&end).await?;
                prepared.states.push(state);
                self.finished.extend(then);
                self.open.insert(folder, open);
            }
        }
        prepared.committables = std::mem::take(&mut self.finished);
        Ok(prepared)
    }
}
