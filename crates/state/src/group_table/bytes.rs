//! Keys of one column of text or bytes, as Arrow views.
//!
//! A key of at most twelve bytes *is* its view, sixteen bytes that are compared at once and never
//! looked into; of a longer one the table keeps the hash, and a view into its own memory. Views
//! of both sorts differ in their length, so one hash table holds them all. The hash of a short
//! key is made of all its bytes, and that of a long one is stored: growing reads no key again.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use hashbrown::HashTable;
use thalweg_types::{Groups, Result};

use super::arena::{Arena, INLINE_MAX};
use super::fold;

/// 32 bytes, two to a cache line; the alignment of `view` leaves room for the hash.
#[derive(Clone, Copy, Debug)]
struct Slot {
    view: u128,
    hash: u64,
    group: u32,
}

#[derive(Debug)]
pub(super) struct BytesTable {
    kind: DataType,
    slots: HashTable<Slot>,
    /// The view of each group; long ones point into `long_keys`.
    views: Vec<u128>,
    long_keys: Arena,
    /// The group of NULL; its view is that of no bytes and in no slot.
    null: Option<u32>,
}

impl BytesTable {
    pub(super) fn takes(kind: &DataType) -> bool {
        use DataType as D;
        matches!(
            kind,
            D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Binary | D::LargeBinary | D::BinaryView
        )
    }

    pub(super) fn new(kind: DataType) -> BytesTable {
        let (slots, views) = (HashTable::new(), Vec::new());
        BytesTable { kind, slots, views, long_keys: Arena::default(), null: None }
    }

    pub(super) fn len(&self) -> usize {
        self.views.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.allocation_size() + self.views.capacity() * 16 + self.long_keys.bytes()
    }

    pub(super) fn clear(&mut self) {
        *self = BytesTable::new(self.kind.clone());
    }

    /// Writes the group of each key to `groups`, of the same length.
    pub(super) fn intern(&mut self, keys: &ArrayRef, groups: &mut [u32]) -> Result<()> {
        // From text views this copies nothing, from offsets no bytes of the keys.
        let keys = cast(keys, &DataType::BinaryView)?;
        let keys = keys.as_binary_view();
        let rows = groups.iter_mut().zip(keys.views().iter()).enumerate();
        match keys.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => rows.for_each(|(row, (group, view))| *group = self.group(*view, keys, row)),
            Some(nulls) => rows.for_each(|(row, (group, view))| {
                *group = if nulls.is_valid(row) {
                    self.group(*view, keys, row)
                } else {
                    self.null_group()
                };
            }),
        }
        Ok(())
    }

    #[inline]
    fn group(&mut self, view: u128, keys: &BinaryViewArray, row: usize) -> u32 {
        if view as u32 > INLINE_MAX {
            return self.long_group(view as u64, keys.value(row));
        }
        let hash = fold(view);
        match self.slots.find(hash, |slot| slot.view == view) {
            Some(slot) => slot.group,
            None => self.insert(view, hash),
        }
    }

    /// `head` is the lower half of the key's view: its length and its first four bytes.
    fn long_group(&mut self, head: u64, key: &[u8]) -> u32 {
        let (hash, long_keys) = (hash_long(key), &self.long_keys);
        let is_key = |slot: &Slot| {
            slot.hash == hash && slot.view as u64 == head && long_keys.get(slot.view) == key
        };
        match self.slots.find(hash, is_key) {
            Some(slot) => slot.group,
            None => {
                let view = self.long_keys.store(head, key);
                self.insert(view, hash)
            }
        }
    }

    #[inline(never)]
    fn insert(&mut self, view: u128, hash: u64) -> u32 {
        let group = self.views.len() as u32;
        self.slots.insert_unique(hash, Slot { view, hash, group }, |slot| slot.hash);
        self.views.push(view);
        group
    }

    fn null_group(&mut self) -> u32 {
        *self.null.get_or_insert_with(|| {
            self.views.push(0);
            self.views.len() as u32 - 1
        })
    }

    pub(super) fn keys(&self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut views = Vec::with_capacity(groups.len());
        let mut copies = Arena::default();
        groups.for_each(|group| {
            let view = self.views[group];
            views.push(match view as u32 {
                0..=INLINE_MAX => view,
                _ => copies.store(view as u64, self.long_keys.get(view)),
            });
        });
        let nulls = self.null.map(|null| {
            let mut valid = Vec::with_capacity(groups.len());
            groups.for_each(|group| valid.push(group as u32 != null));
            NullBuffer::from(valid)
        });
        let nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        let views = ScalarBuffer::from(views);
        let keys: ArrayRef =
            Arc::new(BinaryViewArray::try_new(views, copies.into_buffers(), nulls)?);
        Ok(cast(&keys, &self.kind)?)
    }
}

/// Hashes a key of more than twelve bytes, sixteen at a time.
fn hash_long(key: &[u8]) -> u64 {
    let (chunks, rest) = key.as_chunks::<16>();
    let mut last = [0; 16];
    last[..rest.len()].copy_from_slice(rest);
    // The length tells a key from the same key with zeros behind it.
    let start = fold(key.len() as u128);
    let mix = |hash, chunk: &[u8; 16]| fold(u128::from_le_bytes(*chunk) ^ u128::from(hash));
    chunks.iter().chain([&last]).fold(start, mix)
}
