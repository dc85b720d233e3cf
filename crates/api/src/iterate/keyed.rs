//! Rows in a loop, in groups.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::Field;
use thalweg_plan::loops::{JoinKeys, KeyedRows, Reduced, Reducing, Reduction};
use thalweg_types::Result;

use super::Looped;
use crate::closure::{Closure, shared};
use crate::record::{ReadRows, Record, WriteRows, batch, name_of};
use crate::value::{Key, KeyOf};

/// Rows in a loop, in groups.
pub struct LoopedKeyed<T, K> {
    rows: Looped<T>,
    key: KeyOf<T, K>,
}

impl<T: Record> Looped<T> {
    /// Groups rows by a key.
    pub fn key_by<K: Key>(
        self,
        key: impl Fn(&T) -> K + Send + Sync + 'static,
    ) -> LoopedKeyed<T, K> {
        LoopedKeyed { rows: self, key: Arc::new(key) }
    }
}

impl<T: Record, K: Key> LoopedKeyed<T, K> {
    /// Puts the columns of the key before those of the rows.
    fn keyed(self) -> Looped<T> {
        self.rows.then(Closure::keyed("a loop", self.key))
    }

    /// Makes a row of each pair of rows that have the same key.
    pub fn join<B: Record, U: Record>(
        self,
        other: LoopedKeyed<B, K>,
        function: impl Fn(T, B) -> U + Send + Sync + 'static,
    ) -> Looped<U> {
        let (left, right) = (self.keyed(), other.keyed());
        let columns = (0..K::fields().len()).map(|key| (key, key)).collect();
        let keys = JoinKeys { columns, nulls_meet: true };
        let pair = shared(pairs::<T, B, U>(K::fields().len(), function));
        left.within.add(|steps| {
            let pairs = steps.join(left.step, right.step, keys);
            steps.map(pairs, pair)
        })
    }

    /// Keeps the least row of each key, field by field.
    pub fn least(self) -> Looped<T> {
        self.one(Reducing::Least)
    }

    /// Keeps the greatest row of each key, field by field.
    pub fn greatest(self) -> Looped<T> {
        self.one(Reducing::Greatest)
    }

    fn one(self, reducing: Reducing) -> Looped<T> {
        let (rows, keys) = (self.keyed(), K::fields().len());
        let own = Closure::shaped::<T>(move |rows| Ok(rows.columns()[keys..].to_vec()));
        rows.within.add(|steps| {
            let reduced = steps.reduce(rows.step, keys, reducing);
            steps.map(reduced, shared(own))
        })
    }

    /// Makes any number of rows of all rows that a key has, each with how many there are of it; a key
    /// without rows has none. The function must not depend on their order.
    pub fn reduce<U: Record, I: IntoIterator<Item = U>>(
        self,
        function: impl Fn(&K, &[(T, i64)]) -> I + Send + Sync + 'static,
    ) -> Looped<U> {
        let (rows, keys) = (self.keyed(), K::fields().len());
        let function = move |key: &K, rows: &[(T, i64)]| function(key, rows).into_iter().collect();
        let reduction: Arc<dyn Reduction> = Arc::new(By(Box::new(function)));
        let own = Closure::shaped::<U>(move |rows| Ok(rows.columns()[keys..].to_vec()));
        rows.within.add(|steps| {
            let reduced = steps.reduce(rows.step, keys, Reducing::By(reduction));
            steps.map(reduced, shared(own))
        })
    }
}

/// Makes a row of each pair, whose columns are the key and the row of each side.
fn pairs<A: Record, B: Record, U: Record>(
    keys: usize,
    function: impl Fn(A, B) -> U + Send + Sync + 'static,
) -> Closure {
    let (left, right, made) = (name_of::<A>(), name_of::<B>(), name_of::<U>());
    let width = keys + A::fields().len();
    Closure::columns(U::schema(), format!("pair {left} and {right} to {made}"), move |rows| {
        let (left, right) = rows.columns().split_at(width);
        let left = A::Rows::open(&left[keys..], None)?;
        let right = B::Rows::open(&right[keys..], None)?;
        let mut made = U::Columns::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            made.push(&function(left.get(row), right.get(row)));
        }
        Ok(batch::<U>(made, rows.num_rows())?.columns().to_vec())
    })
}

type Function<K, T, U> = dyn Fn(&K, &[(T, i64)]) -> Vec<U> + Send + Sync;

/// A closure over the rows of a key.
struct By<K, T, U>(Box<Function<K, T, U>>);

impl<K, T, U> fmt::Debug for By<K, T, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reduce {} to {}", name_of::<T>(), name_of::<U>())
    }
}

impl<K: Key, T: Record, U: Record> Reduction for By<K, T, U> {
    fn fields(&self) -> Vec<Field> {
        U::fields()
    }

    fn reduce(&self, given: &KeyedRows<'_>) -> Result<Reduced> {
        let (keys, rows) = (K::of_columns(given.keys.columns())?, T::rows(given.rows)?);
        let (mut columns, mut origins) = (U::Columns::with_capacity(keys.len()), Vec::new());
        let mut first = 0;
        for (at, (key, end)) in keys.iter().zip(given.ends).enumerate() {
            let rows: Vec<(T, i64)> =
                (first..*end).map(|row| (rows.get(row), given.counts[row])).collect();
            for record in (self.0)(key, &rows) {
                columns.push(&record);
                origins.push(at);
            }
            first = *end;
        }
        Ok(Reduced { rows: batch::<U>(columns, origins.len())?, keys: origins })
    }

    fn explain(&self) -> String {
        format!("{self:?}")
    }
}
