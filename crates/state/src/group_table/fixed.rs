//! Keys of one column of whole numbers, dates or timestamps.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use thalweg_types::{Groups, Result};

use super::fold;

#[derive(Debug)]
pub(super) struct FixedTable {
    kind: DataType,
    /// Value and group.
    slots: HashTable<(i64, u32)>,
    values: Vec<i64>,
    null: Option<u32>,
}

impl FixedTable {
    pub(super) fn takes(kind: &DataType) -> bool {
        use DataType as D;
        matches!(
            kind,
            D::Int8
                | D::Int16
                | D::Int32
                | D::Int64
                | D::UInt8
                | D::UInt16
                | D::UInt32
                | D::Date32
                | D::Date64
                | D::Time32(_)
                | D::Time64(_)
                | D::Timestamp(_, _)
        )
    }

    pub(super) fn new(kind: DataType) -> FixedTable {
        FixedTable { kind, slots: HashTable::new(), values: Vec::new(), null: None }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.slots.capacity() * 17 + self.values.capacity() * 8
    }

    pub(super) fn clear(&mut self) {
        *self = FixedTable::new(self.kind.clone());
    }

    pub(super) fn intern(&mut self, keys: &ArrayRef, groups: &mut Vec<u32>) -> Result<()> {
        let keys = widen(keys)?;
        let keys = keys.as_primitive::<Int64Type>();
        let nulls = keys.nulls();
        for (row, value) in keys.values().iter().enumerate() {
            let group = match nulls {
                Some(nulls) if nulls.is_null(row) => self.null_group(),
                _ => self.group(*value),
            };
            groups.push(group);
        }
        Ok(())
    }

    fn null_group(&mut self) -> u32 {
        match self.null {
            Some(group) => group,
            None => {
                let group = self.values.len() as u32;
                self.values.push(0);
                *self.null.insert(group)
            }
        }
    }

    #[inline]
    fn group(&mut self, value: i64) -> u32 {
        let entry = self.slots.entry(
            fold(value as u64 as u128),
            |slot| slot.0 == value,
            |slot| fold(slot.0 as u64 as u128),
        );
        match entry {
            Entry::Occupied(entry) => entry.get().1,
            Entry::Vacant(entry) => {
                let group = self.values.len() as u32;
                entry.insert((value, group));
                self.values.push(value);
                group
            }
        }
    }

    pub(super) fn keys(&self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut values = Vec::with_capacity(groups.len());
        groups.for_each(|group| values.push(self.values[group]));
        let nulls = self.null.map(|null| {
            let mut valid = Vec::with_capacity(groups.len());
            groups.for_each(|group| valid.push(group as u32 != null));
            NullBuffer::from(valid)
        });
        let keys = Int64Array::new(values.into(), nulls);
        match &self.kind {
            // Arrow casts these from 32 bits only.
            DataType::Date32 | DataType::Time32(_) => {
                Ok(cast(&cast(&keys, &DataType::Int32)?, &self.kind)?)
            }
            kind => Ok(cast(&keys, kind)?),
        }
    }
}

/// Returns the values as 64-bit numbers.
fn widen(keys: &ArrayRef) -> Result<ArrayRef> {
    Ok(match keys.data_type() {
        DataType::Date32 | DataType::Time32(_) => {
            cast(&cast(keys, &DataType::Int32)?, &DataType::Int64)?
        }
        _ => cast(keys, &DataType::Int64)?,
    })
}
