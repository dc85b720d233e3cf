//! Values of fields and keys, as Rust and as columns.
//!
//! What must always hold: values move between structs and columns through a reader or a writer of their
//! own type, which is chosen at compile time; only a column is `dyn`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field};
use thalweg_types::{Error, Result};

/// A type that a field or a key can have.
///
/// # Contract
/// A writer makes columns of `data_type`, and a reader of them gives the same values.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a value of a row",
    label = "no value of a row",
    note = "values are bool, i8 to i64, f32, f64, String, Timestamp, Instant, Date, Time, Decimal, Vec<u8>, \
            Vec, Option and BTreeMap of values, and structs with #[derive(Clone, Record)]"
)]
pub trait Value: Clone + Send + Sync + Sized + 'static {
    /// Reads columns of such values.
    type Reader: Reader<Self>;
    /// Writes columns of such values.
    type Writer: Writer<Self>;

    /// Returns the type of a column of such values.
    fn data_type() -> DataType;

    /// May a value be missing?
    fn is_nullable() -> bool {
        false
    }

    /// Returns the field of a column called `name`.
    fn field(name: &str) -> Field {
        Field::new(name, Self::data_type(), Self::is_nullable())
    }
}

/// Reads the values of a column.
pub trait Reader<V>: Sized {
    /// Opens a column, of which the rows that are valid in `needed` are going to be read; all if there
    /// is none.
    ///
    /// # Errors
    /// `Data` if one of these is missing, `Internal` if the column is of another type.
    fn open(column: &ArrayRef, needed: Option<&NullBuffer>) -> Result<Self>;

    /// Returns the value of a row.
    fn get(&self, row: usize) -> V;

    /// Puts the value of a row in the place of another one, whose memory may be used.
    #[inline]
    fn fill(&self, row: usize, value: &mut V) {
        *value = self.get(row);
    }
}

/// Writes values to a column.
pub trait Writer<V>: Sized {
    /// Returns a writer of an empty column, with room for some rows.
    fn with_capacity(rows: usize) -> Self;

    /// Adds a value.
    fn push(&mut self, value: &V);

    /// Adds a row without a value.
    fn push_missing(&mut self);

    /// Returns the column, and begins an empty one.
    fn finish(&mut self) -> ArrayRef;
}

/// Returns a column of values.
pub fn column<'a, V: Value>(values: impl ExactSizeIterator<Item = &'a V>) -> ArrayRef {
    let mut writer = V::Writer::with_capacity(values.len());
    values.for_each(|value| writer.push(value));
    writer.finish()
}

/// Returns the column as one of type `A`, if no value is missing that is needed.
///
/// # Errors
/// As [`Reader::open`].
pub(crate) fn typed<A: Array + Clone + 'static>(
    column: &ArrayRef,
    needed: Option<&NullBuffer>,
) -> Result<A> {
    require(column, needed)?;
    column.as_any().downcast_ref::<A>().cloned().ok_or_else(|| {
        Error::internal(format!(
            "a column is {} where a struct has another type",
            column.data_type()
        ))
    })
}

/// Checks that no value is missing that is needed.
///
/// # Errors
/// `Data` if one is.
pub(crate) fn require(column: &ArrayRef, needed: Option<&NullBuffer>) -> Result<()> {
    let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) else { return Ok(()) };
    let is_missing = match needed {
        None => true,
        Some(needed) => needed.iter().zip(nulls).any(|(needed, valid)| needed && !valid),
    };
    match is_missing {
        false => Ok(()),
        true => Err(Error::data("a value is NULL where the struct has none")
            .remedy("make the field an Option")),
    }
}

/// What rows can be grouped by: a value, or a tuple of values.
pub trait Key: Clone + Send + Sync + 'static {
    /// Writes keys to columns.
    type Columns: KeyColumns<Self>;

    /// Returns the fields of its columns.
    fn fields() -> Vec<Field>;

    /// Returns the keys whose columns these are.
    ///
    /// # Errors
    /// As [`Reader::open`].
    fn of_columns(columns: &[ArrayRef]) -> Result<Vec<Self>>;
}

/// Returns all values of a column.
fn values<V: Value>(column: &ArrayRef) -> Result<Vec<V>> {
    let reader = V::Reader::open(column, None)?;
    Ok((0..column.len()).map(|row| reader.get(row)).collect())
}

/// Returns the key of a struct.
pub(crate) type KeyOf<T, K> = Arc<dyn Fn(&T) -> K + Send + Sync>;

/// Writes keys to columns.
pub trait KeyColumns<K> {
    /// Returns columns without rows, with room for some.
    fn with_capacity(rows: usize) -> Self;

    /// Adds a key.
    fn push(&mut self, key: &K);

    /// Returns the columns.
    fn finish(&mut self) -> Vec<ArrayRef>;
}

/// The column of a key of one value.
#[derive(Debug)]
pub struct One<W>(W);

impl<V: Value> Key for V {
    type Columns = One<V::Writer>;

    fn fields() -> Vec<Field> {
        vec![V::field("key")]
    }

    fn of_columns(columns: &[ArrayRef]) -> Result<Vec<Self>> {
        values(&columns[0])
    }
}

impl<V: Value> KeyColumns<V> for One<V::Writer> {
    fn with_capacity(rows: usize) -> Self {
        One(V::Writer::with_capacity(rows))
    }

    #[inline]
    fn push(&mut self, key: &V) {
        self.0.push(key);
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        vec![self.0.finish()]
    }
}

macro_rules! tuple_key {
    ($($value:ident $index:tt),*) => {
        impl<$($value: Value),*> Key for ($($value,)*) {
            type Columns = ($($value::Writer,)*);

            fn fields() -> Vec<Field> {
                vec![$($value::field(concat!("key", $index))),*]
            }

            fn of_columns(columns: &[ArrayRef]) -> Result<Vec<Self>> {
                let parts = ($(values::<$value>(&columns[$index])?,)*);
                Ok((0..parts.0.len()).map(|row| ($(parts.$index[row].clone(),)*)).collect())
            }
        }

        impl<$($value: Value),*> KeyColumns<($($value,)*)> for ($($value::Writer,)*) {
            fn with_capacity(rows: usize) -> Self {
                ($($value::Writer::with_capacity(rows),)*)
            }

            #[inline]
            fn push(&mut self, key: &($($value,)*)) {
                $(self.$index.push(&key.$index);)*
            }

            fn finish(&mut self) -> Vec<ArrayRef> {
                vec![$(self.$index.finish()),*]
            }
        }
    };
}

tuple_key!(A 0, B 1);
tuple_key!(A 0, B 1, C 2);
tuple_key!(A 0, B 1, C 2, D 3);
