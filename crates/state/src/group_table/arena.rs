//! Memory for keys that do not fit into an Arrow view.
//!
//! Invariant: a view made by `store` stays valid for the life of the arena, since blocks only
//! ever grow at their ends. The views are Arrow's own: with the blocks as data buffers they make
//! an array.

use arrow::buffer::Buffer;

/// Longest key that fits into a view.
pub(super) const INLINE_MAX: u32 = 12;
/// Bytes of a block before the next one is begun; a longer key has a block to itself.
const BLOCK_BYTES: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Arena {
    blocks: Vec<Vec<u8>>,
}

impl Arena {
    /// Copies a key that is longer than a view.
    ///
    /// `head` is the lower half of any view of that key: its length and its first four bytes.
    pub(super) fn store(&mut self, head: u64, key: &[u8]) -> u128 {
        debug_assert_eq!(head as u32 as usize, key.len());
        if self.blocks.last().is_none_or(|block| block.len() + key.len() > BLOCK_BYTES) {
            self.blocks.push(Vec::new());
        }
        let index = self.blocks.len() - 1;
        let block = &mut self.blocks[index];
        let offset = block.len();
        block.extend_from_slice(key);
        u128::from(head) | (index as u128) << 64 | (offset as u128) << 96
    }

    /// Returns the key of a view that `store` made.
    pub(super) fn get(&self, view: u128) -> &[u8] {
        let (length, index) = (view as u32 as usize, (view >> 64) as u32 as usize);
        let offset = (view >> 96) as usize;
        &self.blocks[index][offset..offset + length]
    }

    pub(super) fn bytes(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }

    pub(super) fn into_buffers(self) -> Vec<Buffer> {
        self.blocks.into_iter().map(Buffer::from_vec).collect()
    }
}
