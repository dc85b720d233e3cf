//! Keys of whole numbers, dates and times that fit into sixteen bytes together.
//!
//! The columns of a row are packed into one number, the first column lowest, and compared at
//! once. A NULL is packed as zero and marked in a bit mask, so that it differs from zero. What
//! the bits mean does not matter here: equal values have equal bits, which is why floating-point
//! numbers are not among them.

use std::fmt::Debug;
use std::ops::{BitOrAssign, Shl};

use arrow::array::{Array, ArrayData, ArrayRef, make_array};
use arrow::buffer::{Buffer, NullBuffer};
use arrow::datatypes::{ArrowNativeType, DataType};
use hashbrown::HashTable;
use thalweg_types::{Groups, Result};

use super::fold;

/// A number that keys are packed into: `u64`, half the memory, or `u128`.
pub(super) trait Word:
    Copy + Eq + Default + Debug + From<u64> + Into<u128> + Shl<u32, Output = Self> + BitOrAssign
{
}

impl Word for u64 {}
impl Word for u128 {}

/// Returns the width of one value of `kind` in bits; `None` if it cannot be packed.
fn bits_of(kind: &DataType) -> Option<u32> {
    use DataType as D;
    match kind {
        D::Int8 | D::UInt8 => Some(8),
        D::Int16 | D::UInt16 => Some(16),
        D::Int32 | D::UInt32 | D::Date32 | D::Time32(_) => Some(32),
        D::Int64 | D::UInt64 | D::Date64 | D::Time64(_) | D::Timestamp(_, _) | D::Duration(_) => {
            Some(64)
        }
        _ => None,
    }
}

/// Returns the width of all columns in bits; `None` if one cannot be packed.
pub(super) fn bits(types: &[DataType]) -> Option<u32> {
    types.iter().map(bits_of).sum()
}

#[derive(Clone, Debug)]
struct Column {
    kind: DataType,
    bits: u32,
    /// Bits of the columns before.
    shift: u32,
}

/// 16 bytes for a narrow key, 32 for a wide one.
#[derive(Clone, Copy, Debug)]
struct Slot<W> {
    word: W,
    group: u32,
    nulls: u32,
}

#[derive(Debug)]
pub(super) struct FixedTable<W> {
    columns: Vec<Column>,
    slots: HashTable<Slot<W>>,
    /// The key of each group.
    words: Vec<W>,
    /// The mask of NULLs of each group; ends at the last group that has one.
    nulls: Vec<u32>,
}

impl<W: Word> FixedTable<W> {
    /// Returns an empty table for types whose `bits` fit into `W`.
    pub(super) fn new(types: &[DataType]) -> FixedTable<W> {
        let mut shift = 0;
        let columns = types.iter().map(|kind| {
            let bits = bits_of(kind).expect("validated: `bits` of the types is known");
            let column = Column { kind: kind.clone(), bits, shift };
            shift += bits;
            column
        });
        let columns: Vec<Column> = columns.collect();
        assert!(shift as usize <= size_of::<W>() * 8, "a key wider than its word");
        FixedTable { columns, slots: HashTable::new(), words: Vec::new(), nulls: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.words.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.allocation_size()
            + self.words.capacity() * size_of::<W>()
            + self.nulls.capacity() * 4
    }

    pub(super) fn clear(&mut self) {
        (self.slots, self.words, self.nulls) = (HashTable::new(), Vec::new(), Vec::new());
    }

    /// Writes the group of each row of `keys` to `groups`, of the same length.
    pub(super) fn intern(&mut self, keys: &[ArrayRef], groups: &mut [u32]) {
        let mut packed = Packed { words: vec![W::default(); groups.len()], nulls: Vec::new() };
        for (index, (key, column)) in keys.iter().zip(&self.columns).enumerate() {
            packed.add(key, column, index);
        }
        let rows = groups.iter_mut().zip(&packed.words);
        if packed.nulls.is_empty() {
            rows.for_each(|(group, word)| *group = self.group(*word, 0));
        } else {
            let rows = rows.zip(&packed.nulls);
            rows.for_each(|((group, word), nulls)| *group = self.group(*word, *nulls));
        }
    }

    #[inline]
    fn group(&mut self, word: W, nulls: u32) -> u32 {
        let hash = hash(word, nulls);
        match self.slots.find(hash, |slot| slot.word == word && slot.nulls == nulls) {
            Some(slot) => slot.group,
            None => self.insert(word, nulls),
        }
    }

    #[inline(never)]
    fn insert(&mut self, word: W, nulls: u32) -> u32 {
        let group = self.words.len() as u32;
        let slot = Slot { word, group, nulls };
        self.slots.insert_unique(hash(word, nulls), slot, |slot| hash(slot.word, slot.nulls));
        self.words.push(word);
        if nulls != 0 {
            self.nulls.resize(group as usize, 0);
            self.nulls.push(nulls);
        }
        group
    }

    pub(super) fn keys(&self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let key = |(index, column): (usize, &Column)| {
            let shift = column.shift;
            let values = match column.bits {
                8 => self.unpack(groups, |word| (word >> shift) as u8),
                16 => self.unpack(groups, |word| (word >> shift) as u16),
                32 => self.unpack(groups, |word| (word >> shift) as u32),
                _ => self.unpack(groups, |word| (word >> shift) as u64),
            };
            let data = ArrayData::builder(column.kind.clone())
                .len(groups.len())
                .add_buffer(values)
                .nulls(self.nulls_of(groups, index));
            Ok(make_array(data.build()?))
        };
        self.columns.iter().enumerate().map(key).collect()
    }

    fn unpack<T: ArrowNativeType>(&self, groups: Groups<'_>, value: impl Fn(u128) -> T) -> Buffer {
        let mut values = Vec::with_capacity(groups.len());
        groups.for_each(|group| values.push(value(self.words[group].into())));
        Buffer::from_vec(values)
    }

    fn nulls_of(&self, groups: Groups<'_>, column: usize) -> Option<NullBuffer> {
        if self.nulls.is_empty() {
            return None;
        }
        let mut valid = Vec::with_capacity(groups.len());
        groups.for_each(|group| {
            valid.push(self.nulls.get(group).is_none_or(|nulls| nulls >> column & 1 == 0));
        });
        Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0)
    }
}

#[inline]
fn hash<W: Word>(word: W, nulls: u32) -> u64 {
    fold(word.into() ^ u128::from(nulls) << 64)
}

/// The rows of one batch, packed.
struct Packed<W> {
    words: Vec<W>,
    /// One mask for each row; empty as long as there is no NULL.
    nulls: Vec<u32>,
}

impl<W: Word> Packed<W> {
    fn add(&mut self, key: &ArrayRef, column: &Column, index: usize) {
        let nulls = key.nulls().filter(|nulls| nulls.null_count() > 0);
        if let Some(nulls) = nulls {
            self.nulls.resize(self.words.len(), 0);
            for (mask, is_valid) in self.nulls.iter_mut().zip(nulls) {
                *mask |= u32::from(!is_valid) << index;
            }
        }
        let data = key.to_data();
        match column.bits {
            8 => self.place(data.buffer::<u8>(0), nulls, column.shift),
            16 => self.place(data.buffer::<u16>(0), nulls, column.shift),
            32 => self.place(data.buffer::<u32>(0), nulls, column.shift),
            _ => self.place(data.buffer::<u64>(0), nulls, column.shift),
        }
    }

    fn place<T: Copy + Into<u64>>(&mut self, values: &[T], nulls: Option<&NullBuffer>, shift: u32) {
        let rows = self.words.iter_mut().zip(values);
        match nulls {
            None => rows.for_each(|(word, value)| *word |= W::from((*value).into()) << shift),
            Some(nulls) => rows.zip(nulls).for_each(|((word, value), is_valid)| {
                let value = if is_valid { (*value).into() } else { 0 };
                *word |= W::from(value) << shift;
            }),
        }
    }
}
