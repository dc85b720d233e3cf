//! Streams in groups.

use std::sync::Arc;

use crate::record::Record;
use crate::stream::Stream;
use crate::value::{Key, KeyOf};

/// Rows in groups.
pub struct Keyed<'j, T, K> {
    pub(crate) stream: Stream<'j, T>,
    pub(crate) key: KeyOf<T, K>,
}

impl<'j, T: Record> Stream<'j, T> {
    /// Groups rows by a key.
    pub fn key_by<K: Key>(self, key: impl Fn(&T) -> K + Send + Sync + 'static) -> Keyed<'j, T, K> {
        Keyed { stream: self, key: Arc::new(key) }
    }
}
