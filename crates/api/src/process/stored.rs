//! State by name and version: how values become bytes, and values of older versions new ones.
//!
//! Stored format: MessagePack, structs with the names of their fields. So a struct that lost a field
//! or got one without a default is an error and never garbage, also where somebody forgot to give it
//! a new version.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use thalweg_types::{Error, Result};

/// What a state can hold: all that `serde` can write and read.
pub trait State: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> State for T {}

type Read<T> = Arc<dyn Fn(&[u8]) -> std::result::Result<T, String> + Send + Sync>;

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
    pub(crate) version: u32,
    pub(crate) ttl: Option<Duration>,
    older: BTreeMap<u32, Read<T>>,
}

impl<T> Clone for Stored<T> {
    fn clone(&self) -> Self {
        let (name, older) = (self.name.clone(), self.older.clone());
        Stored { name, version: self.version, ttl: self.ttl, older }
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
        Stored { name: name.into(), version: 1, ttl: None, older: BTreeMap::new() }
    }

    /// Says which version the values have from now on.
    pub fn version(mut self, version: u32) -> Stored<T> {
        self.version = version;
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
        self.older.insert(from, Arc::new(migrated));
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
        let (name, own) = (&self.name, self.version);
        let value = match self.older.get(&version) {
            _ if version == own => read(bytes),
            Some(migrate) if version < own => migrate(bytes),
            Some(_) | None => {
                let said = format!(
                    "state `{name}` was saved in version {version}, and the program has version {own}"
                );
                return Err(Error::state(said).remedy(match version > own {
                    true => "use the program that saved it, or a later one".to_owned(),
                    false => format!("say `.migrate({version}, …)` how its values become new ones"),
                }));
            }
        };
        value.map_err(|error| self.damaged(version, &error))
    }

    /// Returns the key of an entry of a map.
    pub(crate) fn decode_key<K: State>(&self, bytes: &[u8]) -> Result<K> {
        read(bytes).map_err(|error| self.damaged(self.version, &error))
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
