//! Versions of what is stored: which one a program writes, and how it reads those before.

use std::collections::BTreeMap;
use std::sync::Arc;

use thalweg_types::{Error, Result};

/// What a program knows of the versions of a stored value; `R` reads an older one.
pub(crate) struct Versions<R: ?Sized> {
    /// The version that it writes.
    pub(crate) own: u32,
    older: BTreeMap<u32, Arc<R>>,
}

impl<R: ?Sized> Clone for Versions<R> {
    fn clone(&self) -> Self {
        Versions { own: self.own, older: self.older.clone() }
    }
}

impl<R: ?Sized> Default for Versions<R> {
    fn default() -> Self {
        Versions { own: 1, older: BTreeMap::new() }
    }
}

impl<R: ?Sized> Versions<R> {
    /// Says how values of version `from` are read.
    pub(crate) fn add(&mut self, from: u32, read: Arc<R>) {
        self.older.insert(from, read);
    }

    /// Returns what reads values of `version` that `what` has saved; nothing for those of today.
    ///
    /// # Errors
    /// `State` if nothing does.
    pub(crate) fn reader(&self, version: u32, what: &str) -> Result<Option<&R>> {
        let own = self.own;
        match self.older.get(&version) {
            _ if version == own => Ok(None),
            Some(migrate) if version < own => Ok(Some(migrate)),
            Some(_) | None => {
                let said = format!(
                    "{what} was saved in version {version}, and the program has version {own}"
                );
                Err(Error::state(said).remedy(match version > own {
                    true => "use the program that saved it, or a later one".to_owned(),
                    false => format!("say `.migrate({version}, …)` how its values become new ones"),
                }))
            }
        }
    }
}
