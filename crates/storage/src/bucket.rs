//! A bucket that speaks S3: whole objects, ranges of them, and uploads in parts.
//!
//! Invariants: an object appears whole or not at all, and an upload when it is completed; requests
//! are tried again a bounded number of times (by `object_store`), then fail with the address.
//!
//! End point, region and keys come from the usual `AWS_*` variables.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    ObjectMeta, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions, RetryConfig,
};
use thalweg_types::{Error, Result};

/// Times that a request is tried again.
const RETRIES_MAX: usize = 6;
/// Time after which a request is not tried again.
const RETRY_FOR: Duration = Duration::from_secs(60);
/// Least bytes of a part of an upload, save the last: a rule of S3.
pub const PART_BYTES_MIN: usize = 5 << 20;

/// An object as a listing tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// When it was written.
    pub modified: SystemTime,
}

/// A bucket; cheap to clone.
#[derive(Clone, Debug)]
pub struct Bucket {
    name: String,
    store: Arc<AmazonS3>,
}

/// Splits `s3://bucket/key` into bucket and key; `None` for any other place.
pub fn split(place: &str) -> Option<(&str, &str)> {
    let rest = place.strip_prefix("s3://")?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    Some((bucket, key.trim_matches('/')))
}

impl Bucket {
    /// Opens the bucket called `name`; nothing is sent yet.
    ///
    /// # Errors
    /// `Invalid` if the name or the settings cannot be understood.
    pub fn open(name: &str) -> Result<Bucket> {
        let retries = RetryConfig {
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_FOR,
            ..RetryConfig::default()
        };
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(name)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(retries)
            .build()
            .map_err(|error| Error::invalid(format!("cannot open `s3://{name}`: {error}")))?;
        Ok(Bucket { name: name.to_owned(), store: Arc::new(store) })
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address of an object.
    pub fn place(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    fn path(&self, key: &str) -> Result<Path> {
        Path::parse(key)
            .map_err(|error| Error::invalid(format!("no object can be `{key}`: {error}")))
    }

    fn failed(&self, what: &str, key: &str, error: object_store::Error) -> Error {
        Error::failed(format!("cannot {what} `{}`: {error}", self.place(key))).caused_by(error)
    }

    /// Returns what is known of an object; `None` if it is absent.
    ///
    /// # Errors
    /// `Failed` if the bucket cannot be read.
    pub async fn look(&self, key: &str) -> Result<Option<Object>> {
        match self.store.head(&self.path(key)?).await {
            Ok(meta) => Ok(Some(object(&meta))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look at", key, error)),
        }
    }

    /// Returns an object; `None` if it is absent.
    ///
    /// # Errors
    /// `Failed` if the bucket cannot be read.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        match self.store.get(&self.path(key)?).await {
            Ok(found) => {
                let bytes = found.bytes().await;
                bytes.map(Some).map_err(|error| self.failed("read", key, error))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", key, error)),
        }
    }

    /// Returns some bytes of an object, which must have them.
    ///
    /// # Errors
    /// `State` if the object is absent, `Failed` if it cannot be read.
    pub async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes> {
        self.store.get_range(&self.path(key)?, range).await.map_err(|error| match error {
            object_store::Error::NotFound { .. } => {
                Error::state(format!("object `{}` vanished", self.place(key)))
                    .remedy("restore the object, or begin anew with --fresh")
            }
            error => self.failed("read", key, error),
        })
    }

    /// Writes an object; one that is there is replaced only if `replace` says so. Returns whether
    /// it was written.
    ///
    /// # Errors
    /// `Failed` if it cannot be written.
    pub async fn put(&self, key: &str, bytes: Bytes, replace: bool) -> Result<bool> {
        let mode = if replace { PutMode::Overwrite } else { PutMode::Create };
        let options = PutOptions::from(mode);
        match self.store.put_opts(&self.path(key)?, bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.failed("write", key, error)),
        }
    }

    /// Returns the objects in the folder `prefix`, and in those within it; all for ``.
    ///
    /// # Errors
    /// `Failed` if the bucket cannot be listed.
    pub async fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let folder = self.path(prefix)?;
        let found = self.store.list((!prefix.is_empty()).then_some(&folder));
        let found: Vec<ObjectMeta> =
            found.try_collect().await.map_err(|error| self.failed("list", prefix, error))?;
        Ok(found.iter().map(object).collect())
    }

    /// Removes an object; one that is absent is as good as removed.
    ///
    /// # Errors
    /// `Failed` if it cannot be removed.
    pub async fn delete(&self, key: &str) -> Result<()> {
        match self.store.delete(&self.path(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", key, error)),
        }
    }

    /// Begins an upload of an object in parts; returns its name.
    ///
    /// # Errors
    /// `Failed` if the bucket does not take it.
    pub async fn begin_upload(&self, key: &str) -> Result<String> {
        let begun = self.store.create_multipart(&self.path(key)?).await;
        begun.map_err(|error| self.failed("begin an upload of", key, error))
    }

    /// Uploads part `number`, counting from 0, of at least [`PART_BYTES_MIN`] bytes unless it is
    /// the last; returns its tag.
    ///
    /// # Errors
    /// `Failed` if the bucket does not take it.
    pub async fn upload(
        &self,
        key: &str,
        upload: &str,
        number: usize,
        bytes: Bytes,
    ) -> Result<String> {
        let (path, upload) = (self.path(key)?, upload.to_owned());
        let sent = self.store.put_part(&path, &upload, number, bytes.into()).await;
        let part = sent.map_err(|error| self.failed("upload a part of", key, error))?;
        Ok(part.content_id)
    }

    /// Makes an object of the parts with these tags. Returns whether the upload was there; one
    /// that is not was completed before, or given up.
    ///
    /// # Errors
    /// `Failed` if the bucket does not take it, as when a part was replaced since.
    pub async fn complete(&self, key: &str, upload: &str, parts: &[String]) -> Result<bool> {
        let parts = parts.iter().map(|tag| PartId { content_id: tag.clone() }).collect();
        let upload = upload.to_owned();
        match self.store.complete_multipart(&self.path(key)?, &upload, parts).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.failed("complete the upload of", key, error)),
        }
    }
}

fn object(meta: &ObjectMeta) -> Object {
    Object {
        key: meta.location.as_ref().to_owned(),
        bytes: meta.size,
        modified: meta.last_modified.into(),
    }
}

#[cfg(test)]
mod tests;
