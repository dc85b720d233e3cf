//! Writes line formats into part files that appear when they are committed.
//!
//! Life of a part: it grows under a hidden name; at each checkpoint it is synced and its length
//! stands in the manifest; after a crash it is cut back to that length; when it is large or old
//! enough, or the job ends, it becomes a committable, and committing renames it.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thalweg_plan::connector::TableSpec;
use thalweg_plan::sink::{
    Accepts, Committable, Committer, Delivery, Prepared, Sink, SinkWriter, WriterContext,
    WriterState,
};
use thalweg_types::{Change, Epoch, Error, Result};

use super::store::Store;
use crate::formats::encode::Encoder;

/// Size at which a part is finished unless the table says otherwise.
const PART_BYTES: u64 = 128 << 20;
/// Age at which a part is finished unless the table says otherwise.
const PART_AGE: Duration = Duration::from_secs(30 * 60);
/// Bytes of text gathered before they are written.
const BUFFER_BYTES: usize = 1 << 18;

/// A table of part files in a directory.
#[derive(Clone, Debug)]
pub(super) struct FileSink {
    folder: PathBuf,
    encoder: Encoder,
    part_bytes: u64,
    part_age: Duration,
}

impl FileSink {
    pub(super) fn new(table: &TableSpec) -> Result<FileSink> {
        let options = &table.options;
        let age = options.duration("sink.rolling-policy.rollover-interval")?;
        Ok(FileSink {
            folder: PathBuf::from(Store::of(options.required("path")?)?.1),
            encoder: Encoder::of(options, &table.schema)?,
            part_bytes: options.bytes("sink.rolling-policy.file-size")?.unwrap_or(PART_BYTES),
            part_age: age.unwrap_or(PART_AGE),
        })
    }
}

/// A part that is written and not published; stored in manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    staged: PathBuf,
    target: PathBuf,
    bytes: u64,
}

impl Part {
    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal(error.to_string()))
    }

    fn of(text: &str) -> Result<Part> {
        serde_json::from_str(text)
            .map_err(|error| Error::state(format!("part `{text}` cannot be read: {error}")))
    }
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::failed(format!("cannot {what} `{}`: {error}", path.display())).caused_by(error)
}

fn sync_folder(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| failed("sync", folder, error))
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
        self.encoder.accepts()
    }

    async fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        fs::create_dir_all(&self.folder).map_err(|error| failed("make", &self.folder, error))?;
        let mut recovered = Vec::new();
        for state in &context.restored {
            recovered.push(recover(Part::of(&state.0)?)?);
        }
        if !recovered.is_empty() {
            sync_folder(&self.folder)?;
        }
        Ok(Box::new(FileWriter {
            sink: self.clone(),
            context,
            text: String::new(),
            open: None,
            finished: recovered,
            next: 0,
        }))
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(FileCommitter))
    }
}

/// Cuts an open part of the last attempt back to what its checkpoint covers.
fn recover(part: Part) -> Result<Part> {
    let path = &part.staged;
    let file = OpenOptions::new().write(true).open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::state(format!("open part `{}` vanished", path.display()))
            .remedy("begin anew with --fresh"),
        _ => failed("open", path, error),
    })?;
    let bytes = file.metadata().map_err(|error| failed("look at", path, error))?.len();
    if bytes < part.bytes {
        let (path, expected) = (path.display(), part.bytes);
        return Err(Error::state(format!(
            "open part `{path}` is damaged: it had {expected} bytes and has {bytes}"
        )));
    }
    let cut = file.set_len(part.bytes).and_then(|()| file.sync_all());
    cut.map_err(|error| failed("cut", path, error))?;
    Ok(part)
}

struct OpenPart {
    file: File,
    part: Part,
    since: Instant,
    is_synced: bool,
}

struct FileWriter {
    sink: FileSink,
    context: WriterContext,
    text: String,
    open: Option<OpenPart>,
    /// Parts that wait for the next checkpoint to become committables.
    finished: Vec<Part>,
    next: u64,
}

impl FileWriter {
    fn open(&mut self) -> Result<&mut OpenPart> {
        if self.open.is_none() {
            let WriterContext { job, attempt, worker, .. } = &self.context;
            let extension = self.sink.encoder.extension();
            let name = format!("part-{job}-{attempt}-{worker}-{}.{extension}", self.next);
            self.next += 1;
            let staged = self.sink.folder.join(format!(".{name}.inprogress"));
            let target = self.sink.folder.join(name);
            let file = File::create(&staged).map_err(|error| failed("create", &staged, error))?;
            let part = Part { staged, target, bytes: 0 };
            self.open = Some(OpenPart { file, part, since: Instant::now(), is_synced: false });
        }
        Ok(self.open.as_mut().expect("opened above"))
    }

    /// Writes the gathered text.
    fn flush(&mut self) -> Result<()> {
        if self.text.is_empty() {
            return Ok(());
        }
        let text = std::mem::take(&mut self.text);
        let open = self.open()?;
        let path = open.part.staged.clone();
        open.file.write_all(text.as_bytes()).map_err(|error| failed("write", &path, error))?;
        open.part.bytes += text.len() as u64;
        open.is_synced = false;
        self.text = text;
        self.text.clear();
        Ok(())
    }

    fn is_due(&self) -> bool {
        self.open.as_ref().is_some_and(|open| {
            open.part.bytes >= self.sink.part_bytes || open.since.elapsed() >= self.sink.part_age
        })
    }

    fn sync(&mut self) -> Result<()> {
        if let Some(open) = &mut self.open
            && !open.is_synced
        {
            let path = &open.part.staged;
            open.file.sync_all().map_err(|error| failed("sync", path, error))?;
            open.is_synced = true;
            sync_folder(&self.sink.folder)?;
        }
        Ok(())
    }
}

#[async_trait]
impl SinkWriter for FileWriter {
    async fn write(&mut self, change: Change) -> Result<()> {
        self.sink.encoder.encode(&change, &mut self.text);
        if self.text.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    async fn end_epoch(&mut self, _: Epoch) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, _: Epoch, last: bool) -> Result<Prepared> {
        self.flush()?;
        self.sync()?;
        if (last || self.is_due())
            && let Some(open) = self.open.take()
        {
            self.finished.push(open.part);
        }
        let mut prepared = Prepared::default();
        for part in std::mem::take(&mut self.finished) {
            prepared.committables.push(Committable(part.text()?));
        }
        if let Some(open) = &self.open {
            prepared.states.push(WriterState(open.part.text()?));
        }
        Ok(prepared)
    }
}

struct FileCommitter;

#[async_trait]
impl Committer for FileCommitter {
    async fn commit(&self, committable: &Committable) -> Result<()> {
        let Part { staged, target, .. } = Part::of(&committable.0)?;
        match fs::rename(&staged, &target) {
            Ok(()) => sync_folder(target.parent().unwrap_or(Path::new("."))),
            Err(error) if error.kind() == ErrorKind::NotFound && target.exists() => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::state(format!(
                "output part `{}` is neither staged nor published",
                target.display()
            ))),
            Err(error) => Err(failed("publish", &target, error)),
        }
    }
}
