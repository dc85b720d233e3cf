//! Pieces cut out of text that is known to be UTF-8, without validating each piece again.
//!
//! The one file with unsafe code: Arrow validates the bytes of every view of a text array, and
//! that took a third of the time of a word count. Text cut at character boundaries is text.
#![allow(unsafe_code)]

use std::ops::Range;

use arrow::array::{StringViewArray, make_view};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};

/// Texts of at most so many bytes stand in their view.
const INLINE_MAX: usize = 12;

/// Returns an array with the text in each of `ranges` of `block`, NULL where `nulls` says so, or
/// `None` if the block is not UTF-8. The array points into the block.
///
/// # Panics
/// If a range does not lie on character boundaries of the block, or `nulls` has another length.
pub fn cut_block(
    block: &Buffer,
    ranges: impl Iterator<Item = (usize, usize)>,
    nulls: Option<NullBuffer>,
) -> Option<StringViewArray> {
    let text = std::str::from_utf8(block).ok()?;
    let cut = |(from, to)| {
        assert!(text.is_char_boundary(from) && text.is_char_boundary(to), "cut within a character");
        view(block, from..to, 0)
    };
    let views: Vec<u128> = ranges.map(cut).collect();
    assert!(nulls.as_ref().is_none_or(|nulls| nulls.len() == views.len()), "a bit for each text");
    // SAFETY: each view is of bytes of the only buffer, which are text between boundaries.
    Some(unsafe {
        StringViewArray::new_unchecked(ScalarBuffer::from(views), [block.clone()], nulls)
    })
}

/// Cuts texts at a delimiter; the pieces point into the memory of the texts.
#[derive(Debug)]
pub struct Splitter<'a> {
    texts: &'a StringViewArray,
    delimiter: u8,
    views: Vec<u128>,
}

impl<'a> Splitter<'a> {
    /// Returns a splitter of `texts`, with room for `capacity` pieces.
    ///
    /// # Panics
    /// If `delimiter` is not ASCII.
    pub fn new(texts: &'a StringViewArray, delimiter: u8, capacity: usize) -> Splitter<'a> {
        assert!(delimiter.is_ascii(), "a byte within characters is no delimiter");
        Splitter { texts, delimiter, views: Vec::with_capacity(capacity) }
    }

    /// Returns the number of pieces so far.
    pub fn len(&self) -> usize {
        self.views.len()
    }

    /// Are there no pieces yet?
    pub fn is_empty(&self) -> bool {
        self.views.is_empty()
    }

    /// Adds the pieces of one text, one more than it has delimiters. `ends` finds a byte.
    pub fn split<I: Iterator<Item = usize>>(
        &mut self,
        row: usize,
        find: impl FnOnce(u8, &'a [u8]) -> I,
    ) {
        let whole = self.texts.views()[row];
        let length = whole as u32 as usize;
        let (block, offset) = ((whole >> 64) as u32, (whole >> 96) as u32 as usize);
        let is_inline = length <= INLINE_MAX;
        let (memory, offset): (&[u8], usize) = match is_inline {
            true => (self.texts.value(row).as_bytes(), 0),
            false => (&self.texts.data_buffers()[block as usize], offset),
        };
        let text = &memory[offset..offset + length];
        let mut start = 0;
        for end in find(self.delimiter, text) {
            assert!(text[end] == self.delimiter && end >= start, "what was found is a delimiter");
            self.views.push(view(memory, offset + start..offset + end, block));
            start = end + 1;
        }
        self.views.push(view(memory, offset + start..offset + length, block));
    }

    /// Returns all pieces.
    pub fn finish(self) -> StringViewArray {
        let buffers = self.texts.data_buffers().to_vec();
        // SAFETY: each view is of bytes of a text of `texts`, between its ends and ASCII bytes,
        // which are character boundaries. A text that is inline has no piece that is not.
        unsafe { StringViewArray::new_unchecked(ScalarBuffer::from(self.views), buffers, None) }
    }
}

/// Returns the view of some bytes of the buffer with number `block`.
#[inline]
fn view(memory: &[u8], range: Range<usize>, block: u32) -> u128 {
    let length = range.len();
    match memory.get(range.start..range.start + 16) {
        // The usual case: read past the end of the piece, and mask what is not of it.
        Some(chunk) if length <= INLINE_MAX => {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(chunk);
            let mask = (1_u128 << (length * 8)) - 1;
            (u128::from_le_bytes(bytes) & mask) << 32 | length as u128
        }
        _ => make_view(&memory[range.clone()], block, range.start as u32),
    }
}

#[cfg(test)]
mod tests;
