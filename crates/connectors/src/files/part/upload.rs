//! Parts in a bucket: uploads that are completed by a commit.
//!
//! A piece of an upload must have 5 MiB, save the last. What is less waits in memory; at a
//! checkpoint it is put beside the part as an object of its own, under `_staged/`, which nobody
//! lists, and is removed when a later checkpoint needs it no more.

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thalweg_plan::sink::{Committable, WriterState};
use thalweg_storage::Bucket;
use thalweg_storage::bucket::{self, PART_BYTES_MIN};
use thalweg_types::{Error, Result};

use super::{End, OpenPart};

/// Bytes of a piece of an upload.
const PIECE_BYTES: usize = PART_BYTES_MIN + (3 << 20);

/// A folder of a bucket.
#[derive(Clone, Debug)]
pub(in super::super) struct Prefix {
    bucket: Bucket,
    folder: String,
}

/// A part, in manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    bucket: String,
    key: String,
    /// The upload, once it is begun.
    upload: Option<String>,
    /// Tags of its pieces.
    pieces: Vec<String>,
    /// The object that holds what comes behind the pieces.
    tail: Option<String>,
    bytes: u64,
    #[serde(default, skip_serializing_if = "End::is_empty")]
    end: End,
}

/// An object that is needed no more, in manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Remove {
    bucket: String,
    remove: String,
}

impl Prefix {
    pub(super) fn of(bucket: Bucket, path: &str) -> Prefix {
        let (_, folder) = bucket::split(path).unwrap_or_default();
        Prefix { bucket, folder: folder.to_owned() }
    }

    pub(super) fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.folder).trim_start_matches('/').to_owned()
    }

    pub(super) fn open(&self, name: &str) -> Box<dyn OpenPart> {
        let part = Saved {
            bucket: self.bucket.name().to_owned(),
            key: self.key(name),
            upload: None,
            pieces: Vec::new(),
            tail: None,
            bytes: 0,
            end: End::default(),
        };
        let (bucket, beside) = (self.bucket.clone(), self.key(&format!("_staged/{name}")));
        Box::new(Open { bucket, part, beside, tails: 0, waiting: Vec::new(), is_saved: true })
    }
}

struct Open {
    bucket: Bucket,
    part: Saved,
    /// Name of the objects that hold tails, without their number.
    beside: String,
    tails: usize,
    /// Bytes that are no piece yet.
    waiting: Vec<u8>,
    /// Does the part's tail hold just what waits?
    is_saved: bool,
}

impl Open {
    /// Forgets the tail, which is to be removed when the next manifest is durable.
    fn drop_tail(&mut self) -> Result<Vec<Committable>> {
        let Some(remove) = self.part.tail.take() else { return Ok(Vec::new()) };
        let remove = Remove { bucket: self.part.bucket.clone(), remove };
        Ok(vec![Committable(super::Saved::Remove(remove).text()?)])
    }
}

#[async_trait]
impl OpenPart for Open {
    fn bytes(&self) -> u64 {
        self.part.bytes
    }

    async fn append(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.part.bytes += bytes.len() as u64;
        self.is_saved &= bytes.is_empty();
        self.waiting.extend(bytes);
        if self.waiting.len() >= PIECE_BYTES {
            let piece = std::mem::take(&mut self.waiting);
            self.part.upload(&self.bucket, piece.into()).await?;
        }
        Ok(())
    }

    async fn save(&mut self, end: &[u8]) -> Result<(WriterState, Vec<Committable>)> {
        let mut then = Vec::new();
        if !self.is_saved {
            then = self.drop_tail()?;
            if !self.waiting.is_empty() {
                let tail = format!("{}.{}", self.beside, self.tails);
                self.tails += 1;
                self.bucket.put(&tail, Bytes::copy_from_slice(&self.waiting), true).await?;
                self.part.tail = Some(tail);
            }
            self.is_saved = true;
        }
        let saved = Saved { end: End::of(end), ..self.part.clone() };
        Ok((WriterState(super::Saved::Upload(saved).text()?), then))
    }

    async fn finish(mut self: Box<Self>) -> Result<Vec<Committable>> {
        let mut then = self.drop_tail()?;
        let piece = std::mem::take(&mut self.waiting);
        if !piece.is_empty() {
            self.part.upload(&self.bucket, piece.into()).await?;
        }
        then.insert(0, Committable(super::Saved::Upload(self.part).text()?));
        Ok(then)
    }
}

impl Saved {
    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Uploads the next piece.
    async fn upload(&mut self, bucket: &Bucket, piece: Bytes) -> Result<()> {
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => bucket.begin_upload(&self.key).await?,
        };
        self.upload = Some(upload.clone());
        let tag = bucket.upload(&self.key, &upload, self.pieces.len(), piece).await?;
        self.pieces.push(tag);
        Ok(())
    }

    /// Uploads the rest of a part of an earlier attempt. Pieces that came after its manifest are
    /// not named by it, and get lost or replaced.
    pub(super) async fn recover(mut self, bucket: &Bucket) -> Result<Vec<Committable>> {
        let mut rest = Vec::new();
        let tail = self.tail.take();
        if let Some(tail) = &tail {
            let found = bucket.get(tail).await?.ok_or_else(|| {
                Error::state(format!("`{}` vanished, the end of a part", bucket.place(tail)))
                    .remedy("begin anew with --fresh")
            })?;
            rest.extend_from_slice(&found);
        }
        let end = std::mem::take(&mut self.end).bytes()?;
        self.bytes += end.len() as u64;
        rest.extend(end);
        if !rest.is_empty() {
            self.upload(bucket, rest.into()).await?;
        }
        let name = self.bucket.clone();
        let mut then = vec![Committable(super::Saved::Upload(self).text()?)];
        if let Some(remove) = tail {
            let remove = Remove { bucket: name, remove };
            then.push(Committable(super::Saved::Remove(remove).text()?));
        }
        Ok(then)
    }

    pub(super) async fn commit(&self, bucket: &Bucket) -> Result<()> {
        let Some(upload) = &self.upload else { return Ok(()) };
        let completed = bucket.complete(&self.key, upload, &self.pieces).await;
        if let Ok(true) = completed {
            return Ok(());
        }
        // Who completed it before may have been killed before it could say so.
        if bucket.look(&self.key).await?.is_some_and(|found| found.bytes == self.bytes) {
            return Ok(());
        }
        completed.and_then(|_| {
            let place = bucket.place(&self.key);
            Err(Error::state(format!("output part `{place}` is neither uploaded nor published")))
        })
    }
}

impl Remove {
    pub(super) fn bucket(&self) -> &str {
        &self.bucket
    }

    pub(super) async fn commit(&self, bucket: &Bucket) -> Result<()> {
        bucket.delete(&self.remove).await
    }
}
