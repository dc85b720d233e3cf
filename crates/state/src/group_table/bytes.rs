//! Keys of one string column, as Arrow views.
//!
//! A key of at most twelve bytes is its view, sixteen bytes that are compared at once; a longer
//! one is its length, its first four bytes and a place in the table's own memory.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, StringViewArray};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use thalweg_types::{Error, Groups, Result};

use super::fold;

/// Longest key that fits into a view.
const INLINE_MAX: u32 = 12;
/// Bytes of one block of long keys; a view's offset has 32 bits.
const BLOCK_BYTES: usize = 1 << 20;

#[derive(Clone, Copy, Debug)]
struct Slot {
    view: u128,
    group: u32,
}

#[derive(Debug)]
pub(super) struct BytesTable {
    kind: DataType,
    slots: HashTable<Slot>,
    /// The view of each group; long ones point into `blocks`.
    views: Vec<u128>,
    blocks: Vec<Vec<u8>>,
    null: Option<u32>,
}

impl BytesTable {
    pub(super) fn takes(kind: &DataType) -> bool {
        matches!(
            kind,
            DataType::Utf8 | DataType::Utf8View | DataType::Binary | DataType::BinaryView
        )
    }

    pub(super) fn new(kind: DataType) -> BytesTable {
        let (slots, views, blocks) = (HashTable::new(), Vec::new(), Vec::new());
        BytesTable { kind, slots, views, blocks, null: None }
    }

    pub(super) fn len(&self) -> usize {
        self.views.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * 33
            + self.views.capacity() * 16
            + self.blocks.iter().map(Vec::capacity).sum::<usize>()
    }

    pub(super) fn clear(&mut self) {
        *self = BytesTable::new(self.kind.clone());
    }

    pub(super) fn intern(&mut self, keys: &ArrayRef, groups: &mut Vec<u32>) -> Result<()> {
        let keys = cast(keys, &DataType::BinaryView)?;
        let keys = keys.as_binary_view();
        let nulls = keys.nulls().cloned();
        for (row, view) in keys.views().iter().enumerate() {
            let group = match &nulls {
                Some(nulls) if nulls.is_null(row) => self.null_group(),
                _ if *view as u32 <= INLINE_MAX => self.short(*view)?,
                _ => self.long(keys.value(row))?,
            };
            groups.push(group);
        }
        Ok(())
    }

    fn null_group(&mut self) -> u32 {
        match self.null {
            Some(group) => group,
            None => {
                let group = self.views.len() as u32;
                self.views.push(0);
                *self.null.insert(group)
            }
        }
    }

    fn next_group(&self) -> Result<u32> {
        u32::try_from(self.views.len()).map_err(|_| Error::failed("more than 4 billion keys"))
    }

    #[inline]
    fn short(&mut self, view: u128) -> Result<u32> {
        let next = self.views.len() as u32;
        let entry = self.slots.entry(
            fold(view),
            |slot| slot.view == view,
            |slot| hash_slot(slot, &self.blocks),
        );
        match entry {
            Entry::Occupied(entry) => Ok(entry.get().group),
            Entry::Vacant(entry) => {
                entry.insert(Slot { view, group: next });
                self.views.push(view);
                Ok(next)
            }
        }
    }

    fn long(&mut self, key: &[u8]) -> Result<u32> {
        let next = self.next_group()?;
        let head = head(key);
        let (hash, blocks) = (hash_long(key), &self.blocks);
        let is_key = |slot: &Slot| slot.view as u64 == head && long_bytes(slot.view, blocks) == key;
        if let Some(slot) = self.slots.find(hash, is_key) {
            return Ok(slot.group);
        }
        let view = self.store(key, head);
        self.slots
            .insert_unique(hash, Slot { view, group: next }, |slot| hash_slot(slot, &self.blocks));
        self.views.push(view);
        Ok(next)
    }

    /// Copies a long key into the table's memory and returns its view.
    fn store(&mut self, key: &[u8], head: u64) -> u128 {
        let is_full = self.blocks.last().is_none_or(|block| block.len() + key.len() > BLOCK_BYTES);
        if is_full {
            self.blocks.push(Vec::with_capacity(key.len().clamp(4096, BLOCK_BYTES)));
        }
        let index = self.blocks.len() as u32 - 1;
        let block = self.blocks.last_mut().expect("pushed above");
        let offset = block.len() as u32;
        block.extend_from_slice(key);
        u128::from(head) | u128::from(index) << 64 | u128::from(offset) << 96
    }

    pub(super) fn keys(&self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut views = Vec::with_capacity(groups.len());
        groups.for_each(|group| views.push(self.views[group]));
        let nulls = self.null.map(|null| {
            let mut valid = Vec::with_capacity(groups.len());
            groups.for_each(|group| valid.push(group as u32 != null));
            NullBuffer::from(valid)
        });
        // Only the blocks that are asked for are copied, and their views moved along.
        let mut copied: Vec<Option<u32>> = vec![None; self.blocks.len()];
        let mut buffers = Vec::new();
        for view in &mut views {
            if *view as u32 > INLINE_MAX {
                let index = (*view >> 64) as u32;
                let place = *copied[index as usize].get_or_insert_with(|| {
                    buffers.push(Buffer::from_slice_ref(&self.blocks[index as usize]));
                    buffers.len() as u32 - 1
                });
                *view = *view & !(u128::from(u32::MAX) << 64) | u128::from(place) << 64;
            }
        }
        let keys = BinaryViewArray::try_new(ScalarBuffer::from(views), buffers, nulls)?;
        let keys = if buffers_are_sparse(&keys) { keys.gc() } else { keys };
        match &self.kind {
            DataType::Utf8View => {
                let text: StringViewArray = keys.to_string_view()?;
                Ok(Arc::new(text))
            }
            kind => Ok(cast(&keys, kind)?),
        }
    }
}

/// Do the rows use less than half of the buffers that they hold on to?
fn buffers_are_sparse(keys: &BinaryViewArray) -> bool {
    let held: usize = keys.data_buffers().iter().map(Buffer::len).sum();
    keys.total_buffer_bytes_used() * 2 < held
}

/// Length and first four bytes, as in an Arrow view.
fn head(key: &[u8]) -> u64 {
    let prefix = [key[0], key[1], key[2], key[3]];
    key.len() as u64 | u64::from(u32::from_le_bytes(prefix)) << 32
}

fn long_bytes(view: u128, blocks: &[Vec<u8>]) -> &[u8] {
    let (length, index) = (view as u32 as usize, (view >> 64) as u32 as usize);
    let offset = (view >> 96) as usize;
    &blocks[index][offset..offset + length]
}

fn hash_long(key: &[u8]) -> u64 {
    let mut hash = fold(key.len() as u128);
    let mut chunks = key.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks are eight bytes"));
        hash = fold(u128::from(hash) << 64 | u128::from(word));
    }
    let mut last = [0u8; 8];
    last[..chunks.remainder().len()].copy_from_slice(chunks.remainder());
    fold(u128::from(hash) << 64 | u128::from(u64::from_le_bytes(last)))
}

fn hash_slot(slot: &Slot, blocks: &[Vec<u8>]) -> u64 {
    if slot.view as u32 <= INLINE_MAX {
        fold(slot.view)
    } else {
        hash_long(long_bytes(slot.view, blocks))
    }
}
