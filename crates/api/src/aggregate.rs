//! Aggregates over a field of a struct.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use thalweg_plan::aggregate as functions;
use thalweg_plan::function::AggregateFunction;
use thalweg_types::Result;

use crate::value::{Value, Writer};

/// Collects an argument of structs in a column.
pub(crate) trait Argument<T> {
    /// Adds that of a struct.
    fn push(&mut self, record: &T);

    /// Returns the column.
    fn finish(&mut self) -> ArrayRef;
}

/// The argument that a closure makes, and its column.
struct Computed<V: Value, F> {
    value: Arc<F>,
    column: V::Writer,
}

impl<T, V: Value, F: Fn(&T) -> V> Argument<T> for Computed<V, F> {
    fn push(&mut self, record: &T) {
        self.column.push(&(self.value)(record));
    }

    fn finish(&mut self) -> ArrayRef {
        self.column.finish()
    }
}

/// Makes what collects an argument of so many structs.
pub(crate) type Collect<T> = Arc<dyn Fn(usize) -> Box<dyn Argument<T>> + Send + Sync>;

/// An aggregate over structs of type `T`.
pub struct Aggregate<T> {
    pub(crate) function: Result<Arc<dyn AggregateFunction>>,
    pub(crate) argument: Option<(DataType, Collect<T>)>,
}

impl<T: 'static> Aggregate<T> {
    fn of<V: Value, F: Fn(&T) -> V + Send + Sync + 'static>(
        function: fn(&DataType) -> Result<Arc<dyn AggregateFunction>>,
        value: F,
    ) -> Aggregate<T> {
        let value = Arc::new(value);
        let collect: Collect<T> = Arc::new(move |rows| {
            let (value, column) = (value.clone(), V::Writer::with_capacity(rows));
            Box::new(Computed::<V, F> { value, column })
        });
        let kind = V::data_type();
        Aggregate { function: function(&kind), argument: Some((kind, collect)) }
    }
}

/// Returns the number of rows, an `i64`.
pub fn count<T>() -> Aggregate<T> {
    Aggregate { function: Ok(functions::count()), argument: None }
}

/// Returns the sum of an `i64` or `f64`, of the same type; missing over no values.
pub fn sum<T: 'static, V: Value>(value: impl Fn(&T) -> V + Send + Sync + 'static) -> Aggregate<T> {
    Aggregate::of(functions::sum, value)
}

/// Returns the mean of an `f64`; missing over no values.
pub fn average<T: 'static, V: Value>(
    value: impl Fn(&T) -> V + Send + Sync + 'static,
) -> Aggregate<T> {
    Aggregate::of(functions::average, value)
}

/// Returns the least value; missing over no values.
pub fn min<T: 'static, V: Value>(value: impl Fn(&T) -> V + Send + Sync + 'static) -> Aggregate<T> {
    Aggregate::of(functions::min, value)
}

/// Returns the greatest value; missing over no values.
pub fn max<T: 'static, V: Value>(value: impl Fn(&T) -> V + Send + Sync + 'static) -> Aggregate<T> {
    Aggregate::of(functions::max, value)
}
