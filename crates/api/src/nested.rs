//! Values made of values: what may be missing, and lists.

use std::sync::Arc;

use arrow::array::NullBufferBuilder;
use arrow::array::{Array, ArrayRef, ListArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use thalweg_types::Result;

use crate::value::{Reader, Value, Writer, typed};

/// Reads values that may be missing.
#[derive(Debug)]
pub struct Optional<R> {
    valid: Option<NullBuffer>,
    values: R,
}

impl<V: Value> Value for Option<V> {
    type Reader = Optional<V::Reader>;
    type Writer = OptionalWriter<V::Writer>;

    fn data_type() -> DataType {
        V::data_type()
    }

    fn is_nullable() -> bool {
        true
    }
}

impl<V: Value> Reader<Option<V>> for Optional<V::Reader> {
    fn open(column: &ArrayRef, needed: Option<&NullBuffer>) -> Result<Self> {
        let valid = column.nulls().cloned();
        let needed = NullBuffer::union(needed, valid.as_ref());
        Ok(Optional { valid, values: V::Reader::open(column, needed.as_ref())? })
    }

    #[inline]
    fn get(&self, row: usize) -> Option<V> {
        let is_there = self.valid.as_ref().is_none_or(|valid| valid.is_valid(row));
        is_there.then(|| self.values.get(row))
    }
}

/// Writes values that may be missing.
#[derive(Debug)]
pub struct OptionalWriter<W>(W);

impl<V: Value> Writer<Option<V>> for OptionalWriter<V::Writer> {
    fn with_capacity(rows: usize) -> Self {
        OptionalWriter(V::Writer::with_capacity(rows))
    }

    #[inline]
    fn push(&mut self, value: &Option<V>) {
        match value {
            Some(value) => self.0.push(value),
            None => self.0.push_missing(),
        }
    }

    fn push_missing(&mut self) {
        self.0.push_missing();
    }

    fn finish(&mut self) -> ArrayRef {
        self.0.finish()
    }
}

/// Returns the field of the values of a list. As SQL's, they may be missing whatever the struct says.
fn item<V: Value>() -> FieldRef {
    Arc::new(Field::new("item", V::data_type(), true))
}

/// Reads lists.
#[derive(Debug)]
pub struct Lists<R> {
    offsets: OffsetBuffer<i32>,
    values: R,
}

impl<V: Value> Value for Vec<V> {
    type Reader = Lists<V::Reader>;
    type Writer = ListWriter<V::Writer>;

    fn data_type() -> DataType {
        DataType::List(item::<V>())
    }
}

impl<V: Value> Reader<Vec<V>> for Lists<V::Reader> {
    fn open(column: &ArrayRef, needed: Option<&NullBuffer>) -> Result<Self> {
        let lists: ListArray = typed(column, needed)?;
        let needed = NullBuffer::union(needed, lists.nulls());
        let needed = needed.map(|needed| spread(&needed, lists.offsets(), lists.values().len()));
        let values = V::Reader::open(lists.values(), needed.as_ref())?;
        Ok(Lists { offsets: lists.offsets().clone(), values })
    }

    fn get(&self, row: usize) -> Vec<V> {
        let (start, end) = (self.offsets[row], self.offsets[row + 1]);
        (start..end).map(|at| self.values.get(at as usize)).collect()
    }
}

/// Returns which of so many values of lists are needed, if these lists are.
pub(crate) fn spread(needed: &NullBuffer, lists: &OffsetBuffer<i32>, values: usize) -> NullBuffer {
    let mut values = vec![false; values];
    for row in (0..needed.len()).filter(|row| needed.is_valid(*row)) {
        values[lists[row] as usize..lists[row + 1] as usize].fill(true);
    }
    NullBuffer::new(BooleanBuffer::from(values))
}

/// Writes lists.
#[derive(Debug)]
pub struct ListWriter<W> {
    extents: Extents,
    values: W,
}

impl<V: Value> Writer<Vec<V>> for ListWriter<V::Writer> {
    fn with_capacity(rows: usize) -> Self {
        let extents = Extents::with_capacity(rows);
        ListWriter { extents, values: V::Writer::with_capacity(rows) }
    }

    fn push(&mut self, value: &Vec<V>) {
        value.iter().for_each(|value| self.values.push(value));
        self.extents.push(value.len());
    }

    fn push_missing(&mut self) {
        self.extents.push_missing();
    }

    fn finish(&mut self) -> ArrayRef {
        let (offsets, valid) = self.extents.finish();
        Arc::new(ListArray::new(item::<V>(), offsets, self.values.finish(), valid))
    }
}

/// Where lists, or maps, end that are being written, and which are there.
#[derive(Debug)]
pub(crate) struct Extents {
    /// The end of each.
    ends: Vec<i32>,
    valid: NullBufferBuilder,
}

impl Extents {
    pub(crate) fn with_capacity(rows: usize) -> Extents {
        Extents { ends: vec![0], valid: NullBufferBuilder::new(rows) }
    }

    /// Adds one of so many values.
    pub(crate) fn push(&mut self, values: usize) {
        self.end(values);
        self.valid.append_non_null();
    }

    /// Adds one that is missing.
    pub(crate) fn push_missing(&mut self) {
        self.end(0);
        self.valid.append_null();
    }

    /// Returns where they end and which are there, and begins anew.
    pub(crate) fn finish(&mut self) -> (OffsetBuffer<i32>, Option<NullBuffer>) {
        let ends = std::mem::replace(&mut self.ends, vec![0]);
        (OffsetBuffer::new(ends.into()), self.valid.finish())
    }

    /// Ends a list of so many values.
    ///
    /// # Panics
    /// If a batch has more than 2³¹ values in its lists, more than fits into memory in practice.
    fn end(&mut self, values: usize) {
        let last = self.ends.last().copied().unwrap_or_default();
        let end = i32::try_from(values).ok().and_then(|values| last.checked_add(values));
        self.ends.push(end.expect("a batch has less than 2^31 values in its lists"));
    }
}

#[cfg(test)]
mod tests;
