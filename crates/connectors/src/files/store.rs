//! Where files are: on the local disk, or in a bucket that speaks S3.
//!
//! A path says which: `s3://bucket/key`, or a local path, plain or behind `file://`. Readers are
//! threads of their own, so they may wait for a bucket's answer as they do for a disk's.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};

use bytes::Bytes;
use thalweg_storage::bucket::{self, Bucket};
use thalweg_types::{Error, Result};
use tokio::runtime::Handle;

/// Bytes asked of a bucket at once.
const CHUNK_BYTES: u64 = 8 << 20;

/// A place of files.
#[derive(Clone, Debug)]
pub(super) enum Store {
    Disk,
    Bucket(Bucket),
}

impl Store {
    /// Returns the store that `place` names, and the path in it.
    ///
    /// # Errors
    /// `Invalid` if there is no such kind of store.
    pub(super) fn of(place: &str) -> Result<(Store, String)> {
        match place.split_once("://") {
            None => Ok((Store::Disk, place.to_owned())),
            Some(("file", path)) => Ok((Store::Disk, path.to_owned())),
            Some(("s3", _)) => {
                let (name, _) = bucket::split(place).unwrap_or_default();
                Ok((Store::Bucket(Bucket::open(name)?), place.to_owned()))
            }
            Some((scheme, _)) => {
                Err(Error::invalid(format!("option 'path': `{scheme}://` is not supported"))
                    .remedy("use a path of the local disk, file:///… or s3://bucket/…"))
            }
        }
    }

    /// Opens the file at `path`, at its start.
    ///
    /// # Errors
    /// `State` if it vanished, `Failed` if it cannot be read.
    pub(super) async fn open(&self, path: &str) -> Result<Raw> {
        match self {
            Store::Disk => {
                let file = File::open(path).map_err(|error| match error.kind() {
                    ErrorKind::NotFound => vanished(path),
                    _ => failed(path, error),
                })?;
                let bytes = file.metadata().map_err(|error| failed(path, error))?.len();
                Ok(Raw { bytes, from: From::Disk(file) })
            }
            Store::Bucket(bucket) => {
                let (_, key) = bucket::split(path).unwrap_or_default();
                let found = bucket.look(key).await?.ok_or_else(|| vanished(path))?;
                let object = Object {
                    bucket: bucket.clone(),
                    key: key.to_owned(),
                    runtime: Handle::current(),
                    chunk: Bytes::new(),
                    begin: 0,
                    at: 0,
                };
                Ok(Raw { bytes: found.bytes, from: From::Bucket(object) })
            }
        }
    }
}

fn vanished(path: &str) -> Error {
    Error::state(format!("file `{path}` vanished"))
        .remedy("restore the file, or begin anew with --fresh")
}

/// Returns the path of a file from the root of its disk or bucket on.
///
/// # Errors
/// `Failed` if the working directory is not known.
pub(super) fn absolute(path: &str) -> Result<String> {
    if let Some((_, key)) = bucket::split(path) {
        return Ok(format!("/{key}"));
    }
    let whole = std::path::absolute(path).map_err(|error| failed(path, error))?;
    Ok(whole.to_string_lossy().into_owned())
}

/// Returns the error of a file that cannot be read.
pub(super) fn failed(path: &str, error: io::Error) -> Error {
    Error::failed(format!("cannot read `{path}`: {error}")).caused_by(error)
}

/// The bytes of a file as they are stored.
pub(super) struct Raw {
    bytes: u64,
    from: From,
}

enum From {
    Disk(File),
    Bucket(Object),
}

impl Raw {
    /// Returns how long the file was when it was opened.
    pub(super) fn stored(&self) -> u64 {
        self.bytes
    }

    /// Returns a second reader of the same file, at `byte`.
    pub(super) fn again(&self, byte: u64) -> io::Result<Raw> {
        let from = match &self.from {
            From::Disk(file) => From::Disk(file.try_clone()?),
            From::Bucket(object) => From::Bucket(object.clone()),
        };
        let mut raw = Raw { bytes: self.bytes, from };
        raw.seek(SeekFrom::Start(byte))?;
        Ok(raw)
    }

    /// Returns `count` bytes from `byte` on.
    pub(super) fn at(&self, byte: u64, count: usize) -> io::Result<Bytes> {
        match &self.from {
            From::Disk(_) => {
                let mut bytes = vec![0; count];
                self.again(byte)?.read_exact(&mut bytes)?;
                Ok(bytes.into())
            }
            From::Bucket(object) => object.fetch(byte, byte + count as u64),
        }
    }
}

impl Read for Raw {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.from {
            From::Disk(file) => file.read(into),
            From::Bucket(object) => object.read(self.bytes, into),
        }
    }
}

impl Seek for Raw {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match (&mut self.from, to) {
            (From::Disk(file), to) => file.seek(to),
            (From::Bucket(object), SeekFrom::Start(byte)) => {
                object.at = byte;
                Ok(byte)
            }
            (From::Bucket(_), _) => Err(ErrorKind::Unsupported.into()),
        }
    }
}

/// An object that is read chunk by chunk.
#[derive(Clone)]
struct Object {
    bucket: Bucket,
    key: String,
    /// Runs the requests, while the reader's thread waits.
    runtime: Handle,
    /// Bytes that are here, and where in the object they begin.
    chunk: Bytes,
    begin: u64,
    /// The next byte to be read.
    at: u64,
}

impl Object {
    /// Waits for some bytes. The wait ends, since the bucket's retries are bounded.
    fn fetch(&self, from: u64, to: u64) -> io::Result<Bytes> {
        let (bucket, key) = (self.bucket.clone(), self.key.clone());
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        self.runtime.spawn(async move {
            // Nobody waits any more if the reader is gone.
            let _ = tell.send(bucket.read(&key, from..to).await);
        });
        match told.recv() {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(error)) => Err(io::Error::other(error.to_string())),
            Err(_) => Err(io::Error::other("the program ends")),
        }
    }

    fn read(&mut self, bytes: u64, into: &mut [u8]) -> io::Result<usize> {
        if self.at >= bytes || into.is_empty() {
            return Ok(0);
        }
        let is_here = (self.begin..self.begin + self.chunk.len() as u64).contains(&self.at);
        if !is_here {
            self.chunk = self.fetch(self.at, bytes.min(self.at + CHUNK_BYTES))?;
            self.begin = self.at;
        }
        let here = &self.chunk[(self.at - self.begin) as usize..];
        let count = here.len().min(into.len());
        into[..count].copy_from_slice(&here[..count]);
        self.at += count as u64;
        Ok(count)
    }
}
