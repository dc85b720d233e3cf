//! Reads and writes the log of manifests.

use bytes::Bytes;
use thalweg_types::{Error, ErrorKind, Result};

use super::manifest::{Kind, Manifest};
use super::{paths, retention};
use crate::object::ObjectStore;

/// The log of one job's checkpoints.
#[derive(Clone, Debug)]
pub struct CheckpointLog {
    store: ObjectStore,
}

impl CheckpointLog {
    /// Returns the log kept in `store`.
    pub fn new(store: ObjectStore) -> CheckpointLog {
        CheckpointLog { store }
    }

    /// Returns the numbers of all manifests, in order.
    ///
    /// # Errors
    /// `Failed` if the store cannot be listed.
    pub async fn numbers(&self) -> Result<Vec<u64>> {
        let names = self.store.list(paths::MANIFESTS).await?;
        Ok(names.iter().filter_map(|name| paths::manifest_number(name)).collect())
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// `State` if it is absent or damaged.
    pub async fn read(&self, number: u64) -> Result<Manifest> {
        let name = paths::manifest(number);
        let bytes = self.store.get(&name).await?;
        let bytes = bytes.ok_or_else(|| Error::state(format!("manifest `{name}` is missing")))?;
        Manifest::decode(&name, &bytes)
    }

    /// Returns the newest record, if there is one.
    ///
    /// # Errors
    /// `State` if it is damaged.
    pub async fn newest(&self) -> Result<Option<Manifest>> {
        match self.numbers().await?.last() {
            None => Ok(None),
            Some(number) => self.read(*number).await.map(Some),
        }
    }

    /// Takes the job over from `from` for a new attempt: from now on whoever wrote before loses.
    ///
    /// # Errors
    /// `Fenced` if somebody else took it over at the same time.
    pub async fn fence(&self, from: &Manifest) -> Result<Manifest> {
        let fence = Manifest {
            number: from.number + 1,
            attempt: from.attempt + 1,
            kind: Kind::Fence,
            ..from.clone()
        };
        self.append(&fence).await?;
        Ok(fence)
    }

    /// Adds a record behind the newest one: the commit point of its checkpoint.
    ///
    /// # Errors
    /// `Fenced` if the number is taken.
    pub async fn append(&self, manifest: &Manifest) -> Result<()> {
        let name = paths::manifest(manifest.number);
        let written = self.store.put_if_absent(&name, manifest.encode()?.into()).await?;
        if written {
            return Ok(());
        }
        let owner = self.read(manifest.number).await;
        let owner = owner.map(|m| format!("attempt {}", m.attempt)).unwrap_or("another".to_owned());
        Err(Error::new(
            ErrorKind::Fenced,
            format!("{owner} took this job over: manifest {} is written", manifest.number),
        ))
    }

    /// Writes a state file.
    ///
    /// # Errors
    /// `Failed` if it cannot be written.
    pub async fn put_state(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.store.put(path, bytes).await
    }

    /// Reads a state file.
    ///
    /// # Errors
    /// `State` if it is missing.
    pub async fn get_state(&self, path: &str) -> Result<Bytes> {
        let bytes = self.store.get(path).await?;
        bytes.ok_or_else(|| Error::state(format!("state file `{path}` is missing")))
    }

    /// Removes what no manifest worth keeping names.
    ///
    /// # Errors
    /// `Failed` if the store cannot be listed or written.
    pub async fn collect(&self, newest: &Manifest, kept: &[Manifest]) -> Result<()> {
        let manifests = self.numbers().await?;
        let files = self.store.list(paths::STATE).await?;
        let garbage = retention::garbage(newest, kept, &manifests, &files);
        // State files last: a manifest that is gone names nothing.
        for number in garbage.manifests {
            self.store.delete(&paths::manifest(number)).await?;
        }
        for file in garbage.files {
            self.store.delete(&file).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
