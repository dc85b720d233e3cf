//! The bytes of a file, unpacked if its name ends in `.gz` or `.zst`.
//!
//! Offsets are those of the unpacked bytes. A packed file cannot be entered in the middle: going to
//! an offset reads everything before it again.

use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};

use thalweg_types::Result;

use super::store::{Raw, Store, failed};

/// Bytes of a file, from some offset on.
pub(super) struct Input {
    store: Store,
    path: String,
    stored: u64,
    unpacked: Unpacked,
}

enum Unpacked {
    Plain(Raw),
    Packed(Box<dyn Read + Send>),
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
}

fn packing(path: &str) -> Option<Packing> {
    match path.rsplit_once('.')?.1 {
        "gz" | "gzip" => Some(Packing::Gzip),
        "zst" | "zstd" => Some(Packing::Zstd),
        _ => None,
    }
}

/// Is the file packed, so that it is read from its start to its end?
pub(super) fn is_packed(path: &str) -> bool {
    packing(path).is_some()
}

impl Input {
    /// Opens the file at `path`, at its start.
    ///
    /// # Errors
    /// `State` if it vanished, `Failed` if it cannot be read.
    pub(super) async fn open(store: &Store, path: &str) -> Result<Input> {
        let file = store.open(path).await?;
        let stored = file.stored();
        let unpacked = match packing(path) {
            None => Unpacked::Plain(file),
            Some(Packing::Gzip) => {
                // A file may hold several members, as `cat a.gz b.gz` makes them.
                let unpacked = flate2::read::MultiGzDecoder::new(BufReader::new(file));
                Unpacked::Packed(Box::new(unpacked))
            }
            Some(Packing::Zstd) => {
                let unpacked = zstd::stream::read::Decoder::new(file);
                Unpacked::Packed(Box::new(unpacked.map_err(|error| failed(path, error))?))
            }
        };
        Ok(Input { store: store.clone(), path: path.to_owned(), stored, unpacked })
    }

    /// Returns how long the file is as it is stored.
    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    /// Goes to an offset.
    ///
    /// # Errors
    /// `Failed` if the file cannot be read so far.
    pub(super) async fn go_to(&mut self, byte: u64) -> Result<()> {
        if let Unpacked::Plain(file) = &mut self.unpacked {
            let moved = file.seek(SeekFrom::Start(byte));
            return moved.map(|_| ()).map_err(|error| failed(&self.path, error));
        }
        *self = Input::open(&self.store.clone(), &self.path.clone()).await?;
        let mut block = vec![0; 64 << 10];
        let mut left = byte;
        while left > 0 {
            let most = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = self.read(&mut block[..most])?;
            if count == 0 {
                return Err(failed(&self.path, ErrorKind::UnexpectedEof.into()));
            }
            left -= count as u64;
        }
        Ok(())
    }

    /// Reads some bytes; none at the end.
    ///
    /// # Errors
    /// `Failed` if the file cannot be read, or is damaged where it is packed.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            let read = match &mut self.unpacked {
                Unpacked::Plain(file) => file.read(into),
                Unpacked::Packed(unpacked) => unpacked.read(into),
            };
            match read {
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&self.path, error)),
            }
        }
    }

    /// Fills all of `into`.
    ///
    /// # Errors
    /// As [`Input::read`], and if the file ends before.
    pub(super) fn fill(&mut self, mut into: &mut [u8]) -> Result<()> {
        while !into.is_empty() {
            match self.read(into)? {
                0 => return Err(failed(&self.path, ErrorKind::UnexpectedEof.into())),
                count => into = &mut into[count..],
            }
        }
        Ok(())
    }
}
