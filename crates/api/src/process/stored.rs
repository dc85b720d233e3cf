//! State by name and version: how values become bytes, and values of older versions new ones.
//!
//! Stored format: MessagePack, structs with the names of their fields. So a struct that lost a field
//! or got one without a default is an error and never garbage, also where somebody forgot to give it
//! a new version.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thalweg_types::{Error, Result};

use crate::versions::Versions;

/// What a state can hold: all that `serde` can write and read.
pub trait State: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> State for T {}

type Read<T> = dyn Fn(&[u8]) -> std::result::Result<T, String> + Send + Sync;

/// A state's name, the version of its values, and how older ones become those of today.
///
/// Where a name alone is given, the version is 1. Whoever changes what a state holds gives it the
/// next version, and says how each version that may still be in a checkpoint becomes the new one:
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use thalweg_api::Stored;
///
/// #[derive(Serialize, Deserialize)]
/// struct Visits { count: u64, last: i64 }
///
/// // Version 1 was a number.
/// let visits: Stored<Visits> =
///     Stored::new("visits").version(2).migrate(1, |count: u64| Visits { count, last: 0 });
/// ```
///
/// A checkpoint with a version that is newer, or that nothing migrates, is refused.
pub struct Stored<T> {
    pub(crate) name: String,
    pub(crate) versions: Versions<Read<T>>,
    pub(crate) ttl: Option<Duration>,
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        let (name, versions) = (self.name.clone(), self.versions.clone());
        Stored { name, versions, ttl: self.ttl }
    }
}

impl<T: State> From<&str> for Stored<T> {
    fn from(name: &str) -> Stored<T> {
        Stored::new(name)
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> std::result::Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
}

impl<T: State> Stored<T> {
    /// Returns a state of version 1.
    pub fn new(name: impl Into<String>) -> Stored<T> {
        Stored { name: name.into(), versions: Versions::default(), ttl: None }
    }

    /// Says which version the values have from now on.
    pub fn version(mut self, version: u32) -> Stored<T> {
        self.versions.own = version;
        self
    }

    /// Says how long the state of a key is kept after it was written last, by the clock; a list or a map is
    /// kept or forgotten as a whole. A restore counts as a writing.
    pub fn ttl(mut self, ttl: Duration) -> Stored<T> {
        self.ttl = Some(ttl);
        self
    }

    /// Says how a value of version `from`, which was an `Old`, becomes one of today.
    pub fn migrate<Old: State>(
        mut self,
        from: u32,
        migration: impl Fn(Old) -> T + Send + Sync + 'static,
    ) -> Stored<T> {
        let migrated = move |bytes: &[u8]| read::<Old>(bytes).map(&migration);
        self.versions.add(from, Arc::new(migrated));
        self
    }

    /// Returns a value as bytes.
    pub(crate) fn encode<V: Serialize>(&self, value: &V) -> Result<Vec<u8>> {
        rmp_serde::to_vec_named(value).map_err(|error| {
            Error::invalid(format!(
                "state `{}` has a value that cannot be saved: {error}",
                self.name
            ))
        })
    }

    /// Returns a value of some version.
    pub(crate) fn decode(&self, version: u32, bytes: &[u8]) -> Result<T> {
        let migrate = self.versions.reader(version, &format!("state `{}`", self.name))?;
        let value = migrate.map_or_else(|| read(bytes), |migrate| migrate(bytes));
        value.map_err(|error| self.damaged(version, &error))
    }

    /// Returns the key of an entry of a map.
    pub(crate) fn decode_key<K: State>(&self, bytes: &[u8]) -> Result<K> {
        read(bytes).map_err(|error| self.damaged(self.versions.own, &error))
    }

    fn damaged(&self, version: u32, error: &str) -> Error {
        let name = &self.name;
        Error::state(format!(
            "state `{name}` has a value of version {version} that its type cannot read: {error}"
        ))
        .remedy("give the state a new version, and say how the old values become new ones")
    }
}

#[cfg(test)]
mod tests;
