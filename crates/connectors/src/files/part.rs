//! A part of a table: staged out of sight, kept across crashes, published by a commit.
//!
//! Invariants: what `save` returned for is durable and stands in the manifest with its length; a
//! part that is recovered holds exactly that; a part appears when its committable is committed,
//! and committing twice equals committing once.

mod disk;
mod upload;

use std::path::PathBuf;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thalweg_plan::sink::{Committable, Committer, WriterState};
use thalweg_storage::Bucket;
use thalweg_types::{Error, Result};

pub(super) use disk::Folder;

use super::store::Store;
use crate::formats::text;

/// What manifests say of a part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Saved {
    Disk(disk::Saved),
    Upload(upload::Saved),
    Remove(upload::Remove),
}

impl Saved {
    fn text(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal(error.to_string()))
    }

    fn of(text: &str) -> Result<Saved> {
        serde_json::from_str(text)
            .map_err(|error| Error::state(format!("part `{text}` cannot be read: {error}")))
    }
}

/// Bytes that would end an open part, as manifests hold them: base 64.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct End(String);

impl End {
    fn of(bytes: &[u8]) -> End {
        let mut end = String::new();
        text::push_base64(bytes, &mut end);
        End(end)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        text::read_base64(&self.0)
            .ok_or_else(|| Error::state(format!("the end of a part cannot be read: {}", self.0)))
    }
}

/// A part that is being written.
#[async_trait]
pub(super) trait OpenPart: Send {
    /// Returns how many bytes it has.
    fn bytes(&self) -> u64;

    /// Adds bytes.
    ///
    /// # Errors
    /// `Failed` if they cannot be written.
    async fn append(&mut self, bytes: Vec<u8>) -> Result<()>;

    /// Makes what was added durable; `end` would end it here, if nobody could write on. Returns
    /// what stands in the manifest, and what is to be done once that is durable.
    ///
    /// # Errors
    /// As `append`.
    async fn save(&mut self, end: &[u8]) -> Result<(WriterState, Vec<Committable>)>;

    /// Makes it durable as it is, to be published; returns what is to be done once the manifest
    /// that says so is.
    ///
    /// # Errors
    /// As `append`.
    async fn finish(self: Box<Self>) -> Result<Vec<Committable>>;
}

/// Where the parts of a table are.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Disk(Folder),
    Bucket(upload::Prefix),
}

impl Place {
    pub(super) fn of(path: &str) -> Result<Place> {
        Ok(match Store::of(path)? {
            (Store::Disk, path) => Place::Disk(Folder(PathBuf::from(path))),
            (Store::Bucket(bucket), path) => Place::Bucket(upload::Prefix::of(bucket, &path)),
        })
    }

    /// Makes what must be there before a part is.
    ///
    /// # Errors
    /// `Failed` if it cannot be made.
    pub(super) fn prepare(&self) -> Result<()> {
        match self {
            Place::Disk(folder) => folder.prepare(),
            Place::Bucket(_) => Ok(()),
        }
    }

    /// Begins a part of a lineage, in a folder within: nothing, or a path that ends with `/`.
    ///
    /// # Errors
    /// `Failed` if the place cannot be written.
    pub(super) fn open(
        &self,
        (folder, name): (&str, &str),
        lineage: &str,
    ) -> Result<Box<dyn OpenPart>> {
        match self {
            Place::Disk(place) => place.open((folder, name), lineage),
            Place::Bucket(prefix) => Ok(prefix.open(&format!("{folder}{name}"))),
        }
    }

    /// Makes a part of an earlier attempt what its manifest says it is, and ends it; returns what
    /// is to be done once the next manifest is durable. The table may write elsewhere now.
    ///
    /// # Errors
    /// `State` if it vanished or is damaged.
    pub(super) async fn recover(&self, state: &WriterState) -> Result<Vec<Committable>> {
        match Saved::of(&state.0)? {
            Saved::Disk(saved) => saved.recover(),
            Saved::Upload(saved) => {
                let bucket = self.bucket(saved.bucket())?;
                saved.recover(&bucket).await
            }
            Saved::Remove(_) => Err(Error::state(format!("`{}` is no open part", state.0))),
        }
    }

    fn bucket(&self, name: &str) -> Result<Bucket> {
        match self {
            Place::Bucket(prefix) if prefix.bucket().name() == name => Ok(prefix.bucket().clone()),
            _ => Bucket::open(name),
        }
    }
}

/// Publishes parts, of whatever place.
pub(super) struct PartCommitter(pub(super) Place);

#[async_trait]
impl Committer for PartCommitter {
    async fn commit(&self, committable: &Committable) -> Result<()> {
        match Saved::of(&committable.0)? {
            Saved::Disk(saved) => saved.commit(),
            Saved::Upload(saved) => saved.commit(&self.0.bucket(saved.bucket())?).await,
            Saved::Remove(remove) => remove.commit(&self.0.bucket(remove.bucket())?).await,
        }
    }

    async fn clean(&self, lineage: &str, kept: &[WriterState]) -> Result<()> {
        match &self.0 {
            Place::Disk(folder) => {
                // What is no part of ours is another sink's.
                let kept = kept.iter().filter_map(|state| match Saved::of(&state.0) {
                    Ok(Saved::Disk(saved)) => Some(saved),
                    _ => None,
                });
                folder.clean(lineage, kept)
            }
            // An upload that nobody completes is no object; buckets have rules to end them.
            Place::Bucket(_) => Ok(()),
        }
    }
}
