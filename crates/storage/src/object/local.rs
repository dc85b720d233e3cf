//! Objects as files of a directory.
//!
//! An object is written to a hidden file, synced, and given its name by `link` (which fails if
//! the name is taken) or `rename`; then its directory is synced. So what a put returned for is on
//! disk, and a torn write leaves a hidden file only.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use thalweg_types::{Error, Result};

/// Distinguishes hidden files of one process.
static NEXT: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
pub(super) struct LocalStore {
    root: PathBuf,
}

impl LocalStore {
    pub(super) fn new(root: PathBuf) -> LocalStore {
        LocalStore { root }
    }

    fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(super) fn get(&self, path: &str) -> Result<Option<Bytes>> {
        let file = self.file(path);
        match fs::read(&file) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &file, error)),
        }
    }

    /// Returns whether the object was written.
    pub(super) fn put(&self, path: &str, bytes: &[u8], replace: bool) -> Result<bool> {
        let file = self.file(path);
        let folder = file.parent().unwrap_or(&self.root).to_owned();
        fs::create_dir_all(&folder).map_err(|error| failed("create", &folder, error))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let hidden = folder.join(format!(".{}-{number}.tmp", std::process::id()));
        if let Err(error) = write_synced(&hidden, bytes) {
            // A disk that is full must not be left fuller by each attempt.
            let _ = fs::remove_file(&hidden);
            return Err(failed("write", &file, error));
        }
        let named = if replace {
            fs::rename(&hidden, &file).map(|()| true)
        } else {
            let linked = match fs::hard_link(&hidden, &file) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
                Err(error) => Err(error),
            };
            // A hidden file that cannot be removed is litter, not damage.
            let _ = fs::remove_file(&hidden);
            linked
        };
        let named = named.map_err(|error| failed("name", &file, error))?;
        sync_folder(&folder).map_err(|error| failed("sync", &folder, error))?;
        Ok(named)
    }

    pub(super) fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        self.walk(&self.file(prefix), &mut names)?;
        Ok(names)
    }

    fn walk(&self, folder: &Path, names: &mut Vec<String>) -> Result<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(failed("list", folder, error)),
        };
        for entry in entries {
            let path = entry.map_err(|error| failed("list", folder, error))?.path();
            let is_hidden =
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
            if path.is_dir() {
                self.walk(&path, names)?;
            } else if !is_hidden && let Ok(name) = path.strip_prefix(&self.root) {
                names.push(name.to_string_lossy().into_owned());
            }
        }
        Ok(())
    }

    pub(super) fn delete(&self, path: &str) -> Result<()> {
        let file = self.file(path);
        match fs::remove_file(&file) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed("remove", &file, error)),
        }
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::failed(format!("cannot {what} `{}`: {error}", path.display())).caused_by(error)
}
