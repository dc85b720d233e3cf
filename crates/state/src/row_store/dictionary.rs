//! Values that a column has again and again, kept once.
//!
//! Invariants: a value has one form for as long as there are rows, its number if it stands in the
//! dictionary and itself if not, so equal values are equal bytes; once the dictionary is full nothing is
//! added to it, and before that every value is that may stand there at all. Nothing is taken out.

use hashbrown::HashTable;
use thalweg_types::hash;

/// Values in a dictionary at most.
const VALUES_MAX: usize = 1 << 14;
/// Bytes of all values at most, but for the last one.
const BYTES_MAX: usize = 1 << 20;
/// Lengths of values that gain by a number and do not fill the dictionary alone.
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=1024;

/// Numbered values of one column.
#[derive(Debug, Default)]
pub(super) struct Dictionary {
    numbers: HashTable<u32>,
    /// The values, one behind the other, and where each ends.
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

/// The number of a value that does not stand in the dictionary.
const NONE: u32 = u32::MAX;

impl Dictionary {
    /// Finds the numbers of values, which those that are new may get now; [`Dictionary::put`] takes
    /// them. (For many values at a time: then the processor does not wait for the memory of each.)
    pub(super) fn find<'a>(&mut self, values: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<u32> {
        let hash_of = |value: &[u8]| match LENGTHS.contains(&value.len()) {
            true => hash::hash_bytes(value),
            false => 0,
        };
        let hashes: Vec<u64> = values.clone().map(hash_of).collect();
        let number_of = |(value, hash)| self.number_of(value, hash).unwrap_or(NONE);
        values.zip(hashes).map(number_of).collect()
    }

    /// Writes a value as it is kept: the number that was found for it, or its length and itself.
    pub(super) fn put(number: u32, value: &[u8], to: &mut Vec<u8>) {
        match number {
            NONE => {
                put_number(to, value.len() << 1);
                to.extend_from_slice(value);
            }
            number => put_number(to, (number as usize) << 1 | 1),
        }
    }

    /// Reads a value as it is kept, and goes on behind it.
    pub(super) fn take<'a>(&'a self, from: &mut &'a [u8]) -> &'a [u8] {
        let number = take_number(from);
        if number & 1 == 1 {
            return self.value((number >> 1) as u32);
        }
        let (value, rest) = from.split_at(number >> 1);
        *from = rest;
        value
    }

    /// Returns the number of a value, which it may get now.
    fn number_of(&mut self, value: &[u8], hash: u64) -> Option<u32> {
        if !LENGTHS.contains(&value.len()) {
            return None;
        }
        let is_same = |number: &u32| self.value(*number) == value;
        if let Some(number) = self.numbers.find(hash, is_same) {
            return Some(*number);
        }
        if self.ends.len() == VALUES_MAX || self.bytes.len() >= BYTES_MAX {
            return None;
        }
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(value);
        self.ends.push(self.bytes.len() as u32);
        let (bytes, ends) = (&self.bytes, &self.ends);
        let hash_of = |number: &u32| hash::hash_bytes(slice(bytes, ends, *number));
        self.numbers.insert_unique(hash, number, hash_of);
        Some(number)
    }

    fn value(&self, number: u32) -> &[u8] {
        slice(&self.bytes, &self.ends, number)
    }

    /// Returns how many bytes the dictionary takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 4 + self.numbers.allocation_size()
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[u32], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &bytes[start as usize..ends[number] as usize]
}

/// Writes a number as LEB128.
fn put_number(to: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

fn take_number(from: &mut &[u8]) -> usize {
    let (mut number, mut shift) = (0, 0);
    loop {
        let (byte, rest) = from.split_first().expect("a number stands before each value");
        *from = rest;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return number;
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests;
