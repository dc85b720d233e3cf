//! Maps as values.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use thalweg_types::Result;

use crate::nested::{Extents, spread};
use crate::value::{Reader, Value, Writer, typed};

/// Returns the fields of an entry. As SQL's, values may be missing whatever the struct says.
fn entry<K: Value, V: Value>() -> Fields {
    let key = Field::new("key", K::data_type(), false);
    [key, Field::new("value", V::data_type(), true)].into_iter().collect()
}

fn entries<K: Value, V: Value>() -> Arc<Field> {
    Arc::new(Field::new("entries", DataType::Struct(entry::<K, V>()), false))
}

/// Reads maps.
#[derive(Debug)]
pub struct Maps<K, V> {
    offsets: OffsetBuffer<i32>,
    keys: K,
    values: V,
}

impl<K: Value + Ord, V: Value> Value for BTreeMap<K, V> {
    type Reader = Maps<K::Reader, V::Reader>;
    type Writer = MapWriter<K::Writer, V::Writer>;

    fn data_type() -> DataType {
        DataType::Map(entries::<K, V>(), false)
    }
}

impl<K: Value + Ord, V: Value> Reader<BTreeMap<K, V>> for Maps<K::Reader, V::Reader> {
    fn open(column: &ArrayRef, needed: Option<&NullBuffer>) -> Result<Self> {
        let maps: MapArray = typed(column, needed)?;
        let needed = NullBuffer::union(needed, maps.nulls());
        let needed = needed.map(|needed| spread(&needed, maps.offsets(), maps.entries().len()));
        let keys = K::Reader::open(maps.keys(), needed.as_ref())?;
        let values = V::Reader::open(maps.values(), needed.as_ref())?;
        Ok(Maps { offsets: maps.offsets().clone(), keys, values })
    }

    fn get(&self, row: usize) -> BTreeMap<K, V> {
        let places = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        places.map(|at| (self.keys.get(at), self.values.get(at))).collect()
    }
}

/// Writes maps.
#[derive(Debug)]
pub struct MapWriter<K, V> {
    extents: Extents,
    keys: K,
    values: V,
}

impl<K: Value + Ord, V: Value> Writer<BTreeMap<K, V>> for MapWriter<K::Writer, V::Writer> {
    fn with_capacity(rows: usize) -> Self {
        let (keys, values) = (K::Writer::with_capacity(rows), V::Writer::with_capacity(rows));
        MapWriter { extents: Extents::with_capacity(rows), keys, values }
    }

    fn push(&mut self, map: &BTreeMap<K, V>) {
        for (key, value) in map {
            self.keys.push(key);
            self.values.push(value);
        }
        self.extents.push(map.len());
    }

    fn push_missing(&mut self) {
        self.extents.push_missing();
    }

    fn finish(&mut self) -> ArrayRef {
        let (offsets, valid) = self.extents.finish();
        let columns = vec![self.keys.finish(), self.values.finish()];
        let pairs = StructArray::new(entry::<K, V>(), columns, None);
        Arc::new(MapArray::new(entries::<K, V>(), offsets, pairs, valid, false))
    }
}
