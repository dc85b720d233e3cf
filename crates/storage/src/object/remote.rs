//! Objects in a bucket.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions};
use thalweg_types::{Error, Result};

#[derive(Debug)]
pub(super) struct RemoteStore {
    store: AmazonS3,
    prefix: String,
    place: String,
}

impl RemoteStore {
    pub(super) fn open(place: &str) -> Result<RemoteStore> {
        let rest = place.trim_start_matches("s3://");
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        // Retries are object_store's: bounded in number and time, with back-off.
        let store = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .build()
            .map_err(|error| Error::invalid(format!("cannot open `{place}`: {error}")))?;
        let prefix = prefix.trim_matches('/').to_owned();
        Ok(RemoteStore { store, prefix, place: place.to_owned() })
    }

    fn path(&self, path: &str) -> Path {
        Path::from(format!("{}/{path}", self.prefix))
    }

    fn failed(&self, what: &str, path: &str, error: object_store::Error) -> Error {
        let place = self.place.trim_end_matches('/');
        Error::failed(format!("cannot {what} `{place}/{path}`: {error}")).caused_by(error)
    }

    pub(super) async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        match self.store.get(&self.path(path)).await {
            Ok(found) => {
                let bytes = found.bytes().await;
                bytes.map(Some).map_err(|error| self.failed("read", path, error))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("read", path, error)),
        }
    }

    pub(super) async fn put(&self, path: &str, bytes: Bytes, replace: bool) -> Result<bool> {
        let mode = if replace { PutMode::Overwrite } else { PutMode::Create };
        let options = PutOptions::from(mode);
        match self.store.put_opts(&self.path(path), bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.failed("write", path, error)),
        }
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let found = self.store.list(Some(&self.path(prefix)));
        let found: Vec<_> =
            found.try_collect().await.map_err(|error| self.failed("list", prefix, error))?;
        let skip = if self.prefix.is_empty() { 0 } else { self.prefix.len() + 1 };
        let names = found.iter().map(|meta| meta.location.as_ref());
        Ok(names.filter_map(|name| name.get(skip..)).map(str::to_owned).collect())
    }

    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        match self.store.delete(&self.path(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", path, error)),
        }
    }
}
