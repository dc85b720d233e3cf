//! Parts on the local disk: a hidden file that gets its name by a commit.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thalweg_plan::sink::{Committable, WriterState};
use thalweg_types::{Error, Result};

use super::{End, OpenPart};

/// A folder of parts.
#[derive(Clone, Debug)]
pub(in super::super) struct Folder(pub(in super::super) PathBuf);

/// A part, in manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    staged: PathBuf,
    target: PathBuf,
    bytes: u64,
    #[serde(default, skip_serializing_if = "End::is_empty")]
    end: End,
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::failed(format!("cannot {what} `{}`: {error}", path.display())).caused_by(error)
}

fn sync_folder(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| failed("sync", folder, error))
}

/// Returns the folder that a file is in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder and those above it, so that a crash does not take them away again.
fn make(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let above = folder_of(folder);
    make(above)?;
    match fs::create_dir(folder) {
        // Another writer may have been first.
        Err(error) if error.kind() != ErrorKind::AlreadyExists || !folder.is_dir() => {
            Err(failed("make", folder, error))
        }
        _ => sync_folder(above),
    }
}

/// Returns how names of staged parts end.
fn ending(lineage: &str) -> String {
    format!(".{lineage}.inprogress")
}

/// Removes the files of a folder whose names end so, and of those within.
fn remove(folder: &Path, ending: &str, kept: &BTreeSet<PathBuf>) -> Result<()> {
    let looked = |error: std::io::Error| failed("look into", folder, error);
    for entry in fs::read_dir(folder).map_err(looked)? {
        let entry = entry.map_err(looked)?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(looked)?);
        if kind.is_dir() {
            remove(&path, ending, kept)?;
        } else if entry.file_name().to_string_lossy().ends_with(ending) && !kept.contains(&path) {
            fs::remove_file(&path).map_err(|error| failed("remove", &path, error))?;
        }
    }
    Ok(())
}

impl Folder {
    pub(super) fn prepare(&self) -> Result<()> {
        make(&self.0)
    }

    pub(super) fn open(
        &self,
        (inside, name): (&str, &str),
        lineage: &str,
    ) -> Result<Box<dyn OpenPart>> {
        let folder = if inside.is_empty() { self.0.clone() } else { self.0.join(inside) };
        make(&folder)?;
        let staged = folder.join(format!(".{name}{}", ending(lineage)));
        let target = folder.join(name);
        let file = File::create(&staged).map_err(|error| failed("create", &staged, error))?;
        let part = Saved { staged, target, bytes: 0, end: End::default() };
        Ok(Box::new(Open { file, part, is_synced: false }))
    }

    /// Removes the staged parts of a lineage, save those that are kept.
    pub(super) fn clean(&self, lineage: &str, kept: impl Iterator<Item = Saved>) -> Result<()> {
        // A folder may be named in several ways.
        let kept = kept.filter_map(|saved| fs::canonicalize(&saved.staged).ok()).collect();
        match fs::canonicalize(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("look into", &self.0, error)),
            Ok(folder) => remove(&folder, &ending(lineage), &kept),
        }
    }
}

struct Open {
    file: File,
    part: Saved,
    is_synced: bool,
}

impl Open {
    fn sync(&mut self) -> Result<()> {
        if !self.is_synced {
            let path = &self.part.staged;
            self.file.sync_all().map_err(|error| failed("sync", path, error))?;
            sync_folder(folder_of(path))?;
            self.is_synced = true;
        }
        Ok(())
    }
}

#[async_trait]
impl OpenPart for Open {
    fn bytes(&self) -> u64 {
        self.part.bytes
    }

    async fn append(&mut self, bytes: Vec<u8>) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let path = &self.part.staged;
        self.file.write_all(&bytes).map_err(|error| failed("write", path, error))?;
        self.part.bytes += bytes.len() as u64;
        self.is_synced = false;
        Ok(())
    }

    async fn save(&mut self, end: &[u8]) -> Result<(WriterState, Vec<Committable>)> {
        self.sync()?;
        let saved = Saved { end: End::of(end), ..self.part.clone() };
        Ok((WriterState(super::Saved::Disk(saved).text()?), Vec::new()))
    }

    async fn finish(mut self: Box<Self>) -> Result<Vec<Committable>> {
        self.sync()?;
        Ok(vec![Committable(super::Saved::Disk(self.part).text()?)])
    }
}

impl Saved {
    /// Cuts the file back to what the manifest covers, and ends it.
    pub(super) fn recover(mut self) -> Result<Vec<Committable>> {
        let path = &self.staged;
        let opened = OpenOptions::new().write(true).open(path);
        let mut file = opened.map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::state(format!("open part `{}` vanished", path.display()))
                .remedy("begin anew with --fresh"),
            _ => failed("open", path, error),
        })?;
        let bytes = file.metadata().map_err(|error| failed("look at", path, error))?.len();
        if bytes < self.bytes {
            let (path, expected) = (path.display(), self.bytes);
            return Err(Error::state(format!(
                "open part `{path}` is damaged: it had {expected} bytes and has {bytes}"
            )));
        }
        let end = std::mem::take(&mut self.end).bytes()?;
        let ended = file
            .set_len(self.bytes)
            .and_then(|()| file.seek(SeekFrom::Start(self.bytes)))
            .and_then(|_| file.write_all(&end))
            .and_then(|()| file.sync_all());
        ended.map_err(|error| failed("cut", path, error))?;
        sync_folder(folder_of(path))?;
        self.bytes += end.len() as u64;
        Ok(vec![Committable(super::Saved::Disk(self).text()?)])
    }

    pub(super) fn commit(&self) -> Result<()> {
        let Saved { staged, target, .. } = self;
        match fs::rename(staged, target) {
            Ok(()) => sync_folder(folder_of(target)),
            Err(error) if error.kind() == ErrorKind::NotFound && target.exists() => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Error::state(format!(
                "output part `{}` is neither staged nor published",
                target.display()
            ))),
            Err(error) => Err(failed("publish", target, error)),
        }
    }
}
