//! An object store: a local directory, or a bucket that speaks S3.
//!
//! Invariants: objects appear whole or not at all; of several writers of an absent object exactly
//! one wins (`put_if_absent`), the only primitive that the checkpoint log needs.

mod local;
mod remote;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use thalweg_types::{Error, Result};

/// A place for objects; cheap to clone.
#[derive(Clone, Debug)]
pub struct ObjectStore(Arc<Backend>);

#[derive(Debug)]
enum Backend {
    Local(local::LocalStore),
    Remote(remote::RemoteStore),
}

impl ObjectStore {
    /// Opens the store at `place`: a directory, `file:///…`, or `s3://bucket/prefix` with the
    /// usual `AWS_*` variables for end point, region and keys.
    ///
    /// # Errors
    /// `Invalid` if the place cannot be understood.
    pub fn open(place: &str) -> Result<ObjectStore> {
        let backend = match place.split_once("://") {
            None => Backend::Local(local::LocalStore::new(PathBuf::from(place))),
            Some(("file", path)) => Backend::Local(local::LocalStore::new(PathBuf::from(path))),
            Some(("s3", _)) => Backend::Remote(remote::RemoteStore::open(place)?),
            Some((scheme, _)) => {
                return Err(Error::invalid(format!("no object store is known for `{scheme}://`"))
                    .remedy("use a directory, file:///… or s3://bucket/prefix"));
            }
        };
        Ok(ObjectStore(Arc::new(backend)))
    }

    /// Returns an object; `None` if it is absent.
    ///
    /// # Errors
    /// `Failed` if the store cannot be read.
    pub async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        match &*self.0 {
            Backend::Local(store) => store.get(path),
            Backend::Remote(store) => store.get(path).await,
        }
    }

    /// Writes an object, replacing it if it is there.
    ///
    /// # Errors
    /// `Failed` if it cannot be written.
    pub async fn put(&self, path: &str, bytes: Bytes) -> Result<()> {
        match &*self.0 {
            Backend::Local(store) => store.put(path, &bytes, true).map(|_| ()),
            Backend::Remote(store) => store.put(path, bytes, true).await.map(|_| ()),
        }
    }

    /// Writes an object unless it is there; returns whether it was absent.
    ///
    /// # Errors
    /// `Failed` if it cannot be written.
    pub async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<bool> {
        match &*self.0 {
            Backend::Local(store) => store.put(path, &bytes, false),
            Backend::Remote(store) => store.put(path, bytes, false).await,
        }
    }

    /// Returns the names of the objects whose names begin with the folder `prefix`, sorted.
    ///
    /// # Errors
    /// `Failed` if the store cannot be listed.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = match &*self.0 {
            Backend::Local(store) => store.list(prefix)?,
            Backend::Remote(store) => store.list(prefix).await?,
        };
        names.sort_unstable();
        Ok(names)
    }

    /// Removes an object; one that is absent is as good as removed.
    ///
    /// # Errors
    /// `Failed` if it cannot be removed.
    pub async fn delete(&self, path: &str) -> Result<()> {
        match &*self.0 {
            Backend::Local(store) => store.delete(path),
            Backend::Remote(store) => store.delete(path).await,
        }
    }
}

#[cfg(test)]
mod tests;
