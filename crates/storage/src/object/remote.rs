//! Objects in a folder of a bucket.

use bytes::Bytes;
use thalweg_types::Result;

use crate::bucket::{self, Bucket};

#[derive(Debug)]
pub(super) struct RemoteStore {
    bucket: Bucket,
    prefix: String,
}

impl RemoteStore {
    pub(super) fn open(place: &str) -> Result<RemoteStore> {
        let (name, prefix) = bucket::split(place).unwrap_or((place, ""));
        Ok(RemoteStore { bucket: Bucket::open(name)?, prefix: prefix.to_owned() })
    }

    fn key(&self, path: &str) -> String {
        format!("{}/{path}", self.prefix).trim_matches('/').to_owned()
    }

    pub(super) async fn get(&self, path: &str) -> Result<Option<Bytes>> {
        self.bucket.get(&self.key(path)).await
    }

    pub(super) async fn put(&self, path: &str, bytes: Bytes, replace: bool) -> Result<bool> {
        self.bucket.put(&self.key(path), bytes, replace).await
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>> {
        let found = self.bucket.list(&self.key(prefix)).await?;
        let skip = if self.prefix.is_empty() { 0 } else { self.prefix.len() + 1 };
        let names = found.iter().map(|object| object.key.as_str());
        Ok(names.filter_map(|name| name.get(skip..)).map(str::to_owned).collect())
    }

    pub(super) async fn delete(&self, path: &str) -> Result<()> {
        self.bucket.delete(&self.key(path)).await
    }
}
