//! Aggregates over a field of a struct.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use thalweg_plan::aggregate as functions;
use thalweg_plan::function::AggregateFunction;
use thalweg_types::Result;

use crate::value::Value;

/// Reads the argument of some structs.
pub(crate) type Read<T> = Arc<dyn Fn(&[T]) -> ArrayRef + Send + Sync>;

/// An aggregate over structs of type `T`.
pub struct Aggregate<T> {
    pub(crate) function: Result<Arc<dyn AggregateFunction>>,
    pub(crate) argument: Option<(DataType, Read<T>)>,
}

impl<T> Aggregate<T> {
    fn of<V: Value>(
        function: fn(&DataType) -> Result<Arc<dyn AggregateFunction>>,
        value: impl Fn(&T) -> V + Send + Sync + 'static,
    ) -> Aggregate<T> {
        let read: Read<T> = Arc::new(move |records: &[T]| {
            V::column(records.iter().map(|record| Some(value(record))))
        });
        let kind = V::data_type();
        Aggregate { function: function(&kind), argument: Some((kind, read)) }
    }
}

/// Returns the number of rows, an `i64`.
pub fn count<T>() -> Aggregate<T> {
    Aggregate { function: Ok(functions::count()), argument: None }
}

/// Returns the sum of an `i64` or `f64`, of the same type; missing over no values.
pub fn sum<T, V: Value>(value: impl Fn(&T) -> V + Send + Sync + 'static) -> Aggregate<T> {
    Aggregate::of(functions::sum, value)
}

/// Returns the mean of an `f64`; missing over no values.
pub fn average<T, V: Value>(value: impl Fn(&T) -> V + Send + Sync + 'static) -> Aggregate<T> {
    Aggregate::of(functions::average, value)
}

/// Returns the least value; missing over no values.
pub fn min<T, V: Value>(value: impl Fn(&T) -> V + Send + Sync + 'static) -> Aggregate<T> {
    Aggregate::of(functions::min, value)
}

/// Returns the greatest value; missing over no values.
pub fn max<T, V: Value>(value: impl Fn(&T) -> V + Send + Sync + 'static) -> Aggregate<T> {
    Aggregate::of(functions::max, value)
}
