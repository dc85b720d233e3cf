//! Memory for what has no fixed width.
//!
//! Invariants: a piece stays where it is until it is freed or the heap is compacted by its owner; a
//! block without pieces gives its memory back at once, so that rows which live about equally long
//! leave no holes.

/// Bytes of a block before the next one is begun; a longer piece has a block to itself.
const BLOCK_BYTES: usize = 256 << 10;
/// Garbage below this is not worth moving pieces.
const GARBAGE_MIN: usize = 4 << 20;

/// Where a piece is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Piece {
    block: u32,
    offset: u32,
    length: u32,
}

impl Piece {
    /// Bytes of a piece's place, as it is written.
    pub(super) const WIDTH: usize = 12;

    pub(super) fn write(self, to: &mut [u8]) {
        to[..4].copy_from_slice(&self.block.to_ne_bytes());
        to[4..8].copy_from_slice(&self.offset.to_ne_bytes());
        to[8..12].copy_from_slice(&self.length.to_ne_bytes());
    }

    pub(super) fn read(from: &[u8]) -> Piece {
        let number = |at: usize| {
            u32::from_ne_bytes(*from[at..].first_chunk().expect("a place has its width"))
        };
        Piece { block: number(0), offset: number(4), length: number(8) }
    }
}

#[derive(Debug, Default)]
struct Block {
    bytes: Vec<u8>,
    /// Bytes of pieces that are not freed.
    live: usize,
}

#[derive(Debug, Default)]
pub(super) struct Heap {
    blocks: Vec<Block>,
    /// Blocks that gave their memory back.
    empty: Vec<u32>,
    /// The block that is being filled.
    open: Option<u32>,
    live: usize,
    held: usize,
}

impl Heap {
    /// Copies a piece.
    pub(super) fn store(&mut self, bytes: &[u8]) -> Piece {
        if bytes.is_empty() {
            return Piece::default();
        }
        let index = match self.open {
            Some(open) if self.has_room(open, bytes.len()) => open,
            _ => self.begin(bytes.len()),
        };
        let block = &mut self.blocks[index as usize];
        let piece =
            Piece { block: index, offset: block.bytes.len() as u32, length: bytes.len() as u32 };
        block.bytes.extend_from_slice(bytes);
        block.live += bytes.len();
        self.live += bytes.len();
        piece
    }

    fn has_room(&self, index: u32, length: usize) -> bool {
        let bytes = &self.blocks[index as usize].bytes;
        bytes.len() + length <= bytes.capacity()
    }

    fn begin(&mut self, length: usize) -> u32 {
        let capacity = length.max(BLOCK_BYTES);
        let block = Block { bytes: Vec::with_capacity(capacity), live: 0 };
        self.held += capacity;
        let index = match self.empty.pop() {
            Some(index) => {
                self.blocks[index as usize] = block;
                index
            }
            None => {
                self.blocks.push(block);
                self.blocks.len() as u32 - 1
            }
        };
        self.open = Some(index);
        index
    }

    pub(super) fn get(&self, piece: Piece) -> &[u8] {
        if piece.length == 0 {
            return &[];
        }
        let start = piece.offset as usize;
        &self.blocks[piece.block as usize].bytes[start..start + piece.length as usize]
    }

    pub(super) fn free(&mut self, piece: Piece) {
        let length = piece.length as usize;
        if length == 0 {
            return;
        }
        let block = &mut self.blocks[piece.block as usize];
        block.live -= length;
        self.live -= length;
        if block.live == 0 && self.open != Some(piece.block) {
            self.held -= block.bytes.capacity();
            block.bytes = Vec::new();
            self.empty.push(piece.block);
        }
    }

    /// Is more than half of the memory garbage?
    pub(super) fn is_wasteful(&self) -> bool {
        self.held > 2 * self.live + GARBAGE_MIN
    }

    pub(super) fn bytes(&self) -> usize {
        self.held + self.blocks.len() * size_of::<Block>()
    }
}
