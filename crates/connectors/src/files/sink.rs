//! Writes rows into parts, which appear when they are committed.
//!
//! Life of a part: it grows out of sight; at each checkpoint it is made durable and its length
//! stands in the manifest; after a crash it is cut back to that length; when it is large or old
//! enough, or the job ends, it becomes a committable, and committing makes it appear.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use thalweg_plan::connector::TableSpec;
use thalweg_plan::sink::{
    Accepts, Committable, Committer, Delivery, Prepared, Sink, SinkWriter, WriterContext,
};
use thalweg_types::{Change, Epoch, Result};

use super::part::{OpenPart, PartCommitter, Place};
use crate::formats::FileEncoder;
use crate::formats::file::Format;

/// Size at which a part is finished unless the table says otherwise.
const PART_BYTES: u64 = 128 << 20;
/// Age at which a part of lines is finished unless the table says otherwise.
const PART_AGE: Duration = Duration::from_secs(30 * 60);
/// Age at which a part of another format is finished, which nobody can read before.
const CLOSED_PART_AGE: Duration = Duration::from_secs(60);
/// Bytes gathered before they are written.
const BUFFER_BYTES: usize = 1 << 18;

/// A table of part files in a directory or bucket.
#[derive(Clone, Debug)]
pub(super) struct FileSink {
    place: Place,
    format: Format,
    part_bytes: u64,
    part_age: Duration,
}

impl FileSink {
    pub(super) fn new(table: &TableSpec) -> Result<FileSink> {
        let options = &table.options;
        let format = Format::of(options, &table.schema)?;
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
        self.format.accepts()
    }

    async fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        self.place.prepare()?;
        let mut finished = Vec::new();
        for state in &context.restored {
            finished.extend(self.place.recover(state).await?);
        }
        let sink = self.clone();
        Ok(Box::new(FileWriter { sink, context, open: None, finished, next: 0 }))
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(PartCommitter(self.place.clone())))
    }
}

struct Open {
    part: Box<dyn OpenPart>,
    encoder: Box<dyn FileEncoder>,
    since: Instant,
}

struct FileWriter {
    sink: FileSink,
    context: WriterContext,
    open: Option<Open>,
    /// What the next checkpoint is to hand over.
    finished: Vec<Committable>,
    next: u64,
}

impl FileWriter {
    fn open(&mut self) -> Result<&mut Open> {
        if self.open.is_none() {
            let WriterContext { job, attempt, worker, .. } = &self.context;
            let extension = self.sink.format.extension();
            let name = format!("part-{job}-{attempt}-{worker}-{}.{extension}", self.next);
            self.next += 1;
            let encoder = self.sink.format.encoder()?;
            let part = self.sink.place.open(&name)?;
            self.open = Some(Open { part, encoder, since: Instant::now() });
        }
        Ok(self.open.as_mut().expect("opened above"))
    }

    fn is_due(&self, open: &Open) -> bool {
        open.part.bytes() >= self.sink.part_bytes || open.since.elapsed() >= self.sink.part_age
    }
}

#[async_trait]
impl SinkWriter for FileWriter {
    async fn write(&mut self, change: Change) -> Result<()> {
        if change.is_empty() {
            return Ok(());
        }
        let open = self.open()?;
        open.encoder.write(&change)?;
        if open.encoder.waiting() >= BUFFER_BYTES {
            open.part.append(open.encoder.take()).await?;
        }
        Ok(())
    }

    async fn end_epoch(&mut self, _: Epoch) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, _: Epoch, last: bool) -> Result<Prepared> {
        let mut prepared = Prepared::default();
        if let Some(mut open) = self.open.take() {
            let end = open.encoder.cut()?;
            open.part.append(open.encoder.take()).await?;
            if last || self.is_due(&open) {
                open.part.append(end).await?;
                self.finished.extend(open.part.finish().await?);
            } else {
                let (state, then) = open.part.save(&end).await?;
                prepared.states.push(state);
                self.finished.extend(then);
                self.open = Some(open);
            }
        }
        prepared.committables = std::mem::take(&mut self.finished);
        Ok(prepared)
    }
}
