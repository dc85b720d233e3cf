//! Values of fields and keys, as Rust and as columns.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, PrimitiveArray, StringViewArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Field, Float64Type, Int32Type, Int64Type, TimeUnit,
    TimestampMillisecondType,
};
use serde::{Deserialize, Serialize};
use thalweg_types::{Error, EventTime, Result};

/// A point in time: SQL's `TIMESTAMP(3)`, in milliseconds since 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Before all times: the watermark before there is one.
    pub const MIN: Timestamp = Timestamp(i64::MIN);
    /// Behind all times: the watermark at the end of all input.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// Returns the millisecond that an instant of the engine is in.
    pub(crate) fn of(time: EventTime) -> Timestamp {
        match time {
            EventTime::MIN => Timestamp::MIN,
            EventTime::MAX => Timestamp::MAX,
            EventTime(nanos) => Timestamp(nanos.div_euclid(NANOS)),
        }
    }

    /// Returns the instant as the engine counts it.
    pub(crate) fn instant(self) -> EventTime {
        EventTime(self.0.saturating_mul(NANOS))
    }
}

/// Nanoseconds of a millisecond.
const NANOS: i64 = 1_000_000;

/// A type that a field or a key can have.
pub trait Value: Clone + Debug + Send + Sync + Sized + 'static {
    /// Returns the type of a column of such values.
    fn data_type() -> DataType;

    /// May a value be missing?
    fn is_nullable() -> bool {
        false
    }

    /// Makes a column; its value is missing where there is none.
    fn column(values: impl Iterator<Item = Option<Self>>) -> ArrayRef;

    /// Returns the values of a column of this type.
    ///
    /// # Errors
    /// `Data` if one is missing.
    fn values(column: &ArrayRef) -> Result<Vec<Self>>;

    /// Returns the field of a column called `name`.
    fn field(name: &str) -> Field {
        Field::new(name, Self::data_type(), Self::is_nullable())
    }
}

fn missing() -> Error {
    Error::data("a value is NULL where the struct has none").remedy("make the field an Option")
}

fn primitive<P: ArrowPrimitiveType>(values: impl Iterator<Item = Option<P::Native>>) -> ArrayRef {
    Arc::new(values.collect::<PrimitiveArray<P>>())
}

fn natives<P: ArrowPrimitiveType>(column: &ArrayRef) -> Result<Vec<P::Native>> {
    let column = column.as_primitive::<P>();
    match column.null_count() {
        0 => Ok(column.values().to_vec()),
        _ => Err(missing()),
    }
}

macro_rules! primitive_value {
    ($native:ty, $arrow:ty) => {
        impl Value for $native {
            fn data_type() -> DataType {
                <$arrow>::DATA_TYPE
            }

            fn column(values: impl Iterator<Item = Option<Self>>) -> ArrayRef {
                primitive::<$arrow>(values)
            }

            fn values(column: &ArrayRef) -> Result<Vec<Self>> {
                natives::<$arrow>(column)
            }
        }
    };
}

primitive_value!(i32, Int32Type);
primitive_value!(i64, Int64Type);
primitive_value!(f64, Float64Type);

impl Value for Timestamp {
    fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Millisecond, None)
    }

    fn column(values: impl Iterator<Item = Option<Self>>) -> ArrayRef {
        primitive::<TimestampMillisecondType>(values.map(|value| value.map(|time| time.0)))
    }

    fn values(column: &ArrayRef) -> Result<Vec<Self>> {
        let natives = natives::<TimestampMillisecondType>(column)?;
        Ok(natives.into_iter().map(Timestamp).collect())
    }
}

impl Value for bool {
    fn data_type() -> DataType {
        DataType::Boolean
    }

    fn column(values: impl Iterator<Item = Option<Self>>) -> ArrayRef {
        Arc::new(values.collect::<BooleanArray>())
    }

    fn values(column: &ArrayRef) -> Result<Vec<Self>> {
        column.as_boolean().iter().map(|value| value.ok_or_else(missing)).collect()
    }
}

impl Value for String {
    fn data_type() -> DataType {
        DataType::Utf8View
    }

    fn column(values: impl Iterator<Item = Option<Self>>) -> ArrayRef {
        Arc::new(values.collect::<StringViewArray>())
    }

    fn values(column: &ArrayRef) -> Result<Vec<Self>> {
        let texts = column.as_string_view().iter();
        texts.map(|value| value.map(str::to_owned).ok_or_else(missing)).collect()
    }
}

impl<V: Value> Value for Option<V> {
    fn data_type() -> DataType {
        V::data_type()
    }

    fn is_nullable() -> bool {
        true
    }

    fn column(values: impl Iterator<Item = Option<Self>>) -> ArrayRef {
        V::column(values.map(Option::flatten))
    }

    fn values(column: &ArrayRef) -> Result<Vec<Self>> {
        let valid: Vec<bool> = (0..column.len()).map(|row| column.is_valid(row)).collect();
        let is_there = BooleanArray::from(valid.clone());
        let there = arrow::compute::filter(column, &is_there)?;
        let mut there = V::values(&there)?.into_iter();
        Ok(valid.into_iter().map(|valid| if valid { there.next() } else { None }).collect())
    }
}

/// What rows can be grouped by: a value, or a tuple of values.
pub trait Key: Clone + Send + Sync + 'static {
    /// Returns the number of its columns.
    fn width() -> usize;

    /// Returns the fields of its columns.
    fn fields() -> Vec<Field>;

    /// Returns its columns.
    fn columns(keys: Vec<Self>) -> Vec<ArrayRef>;

    /// Returns the keys whose columns these are.
    ///
    /// # Errors
    /// `Data` if a value is missing.
    fn values(columns: &[ArrayRef]) -> Result<Vec<Self>>;
}

impl<V: Value> Key for V {
    fn width() -> usize {
        1
    }

    fn fields() -> Vec<Field> {
        vec![V::field("key")]
    }

    fn columns(keys: Vec<Self>) -> Vec<ArrayRef> {
        vec![V::column(keys.into_iter().map(Some))]
    }

    fn values(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        <V as Value>::values(&columns[0])
    }
}

macro_rules! tuple_key {
    ($count:literal: $($value:ident $index:tt),*) => {
        impl<$($value: Value),*> Key for ($($value,)*) {
            fn width() -> usize {
                $count
            }

            fn fields() -> Vec<Field> {
                vec![$($value::field(concat!("key", $index))),*]
            }

            fn columns(keys: Vec<Self>) -> Vec<ArrayRef> {
                vec![$($value::column(keys.iter().map(|key| Some(key.$index.clone())))),*]
            }

            fn values(columns: &[ArrayRef]) -> Result<Vec<Self>> {
                let parts = ($(<$value as Value>::values(&columns[$index])?,)*);
                Ok((0..parts.0.len()).map(|row| ($(parts.$index[row].clone(),)*)).collect())
            }
        }
    };
}

tuple_key!(2: A 0, B 1);
tuple_key!(3: A 0, B 1, C 2);

#[cfg(test)]
mod tests;
