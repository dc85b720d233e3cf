//! The most frequent values: the frequent-items sketch of Anderson, Bevan, Lang, Liberty, Rhodes and
//! Thaler (2017), a variant of Misra and Gries (1982) whose parts merge.
//!
//! Invariants: with 1,024 places (more for a large k) a count is never too low, and too high by at most
//! 3.5 / 1,024 of all rows; a value with a greater share of them is never missed, and where values have
//! less there may be fewer of them than asked for. Up to 768 different values are exact. Values are kept as the text that they are written as, which reads back to the same.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int64Array, ListArray, StringArray, StructArray, UInt32Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortColumn, SortOptions, cast, lexsort_to_indices, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datasketches::frequencies::{ErrorType, FrequentItemsSketch};
use thalweg_types::{Error, Result};

use super::{Family, Sketched, damaged};
use crate::function::AggregateFunction;

/// The fewest places of a sketch, and how many there are for each value asked for.
const PLACES_MIN: usize = 1024;
const PLACES_EACH: usize = 4;
/// The most values that can be asked for.
pub const K_MAX: usize = 10_000;

/// Returns the type of a list of the most frequent values of `argument`: ARRAY<ROW<value, count>>.
pub fn type_of(argument: &DataType) -> DataType {
    DataType::List(item(argument))
}

fn item(argument: &DataType) -> FieldRef {
    Arc::new(Field::new("item", DataType::Struct(columns(argument)), true))
}

fn columns(argument: &DataType) -> Fields {
    let value = Field::new("value", argument.clone(), true);
    Fields::from(vec![value, Field::new("count", DataType::Int64, true)])
}

/// Returns the `k` most frequent values with their counts, by count and then by value; NULL over no
/// values.
///
/// # Errors
/// `Invalid` for types that are not written as text and read back, and for a `k` that is not from 1 to
/// [`K_MAX`].
pub fn approx_top_k(argument: &DataType, k: usize) -> Result<Arc<dyn AggregateFunction>> {
    let is_written = argument.is_numeric()
        || matches!(
            argument,
            DataType::Boolean
                | DataType::Utf8
                | DataType::Utf8View
                | DataType::LargeUtf8
                | DataType::Date32
                | DataType::Time32(_)
                | DataType::Time64(_)
                | DataType::Timestamp(_, None)
        );
    if !is_written {
        return Err(Error::invalid(format!("APPROX_TOP_K does not take {argument}"))
            .remedy("take a column of it, or CAST(… AS STRING)"));
    }
    if !(1..=K_MAX).contains(&k) {
        return Err(Error::invalid(format!("APPROX_TOP_K is asked for {k} values"))
            .remedy(format!("ask for 1 to {K_MAX}")));
    }
    let name = format!("approx_top_k({argument}, {k})");
    let family = Frequent { argument: argument.clone(), k };
    Ok(Sketched::make(name, type_of(argument), family))
}

#[derive(Clone, Debug)]
struct Frequent {
    argument: DataType,
    k: usize,
}

type Counts = FrequentItemsSketch<String>;

/// All values of some sketches.
#[derive(Default)]
struct Kept {
    groups: Vec<u32>,
    values: Vec<String>,
    counts: Vec<i64>,
}

impl Kept {
    fn add(&mut self, group: usize, sketch: &Counts) {
        for row in sketch.frequent_items(ErrorType::NoFalseNegatives) {
            self.groups.push(group as u32);
            self.values.push(row.item().clone());
            self.counts.push(i64::try_from(row.estimate()).unwrap_or(i64::MAX));
        }
    }

    /// Returns the rows by group, the most frequent value first, and of equal ones the least.
    fn order(&self, values: &ArrayRef, counts: &ArrayRef) -> Result<UInt32Array> {
        let column = |values: &ArrayRef, descending| SortColumn {
            values: values.clone(),
            options: Some(SortOptions { descending, nulls_first: true }),
        };
        let groups: ArrayRef = Arc::new(UInt32Array::from(self.groups.clone()));
        let by = [column(&groups, false), column(counts, true), column(values, false)];
        Ok(lexsort_to_indices(&by, None)?)
    }
}

impl Family for Frequent {
    type Sketch = Counts;
    type Values = ArrayRef;

    const IS_RETRACTABLE: bool = false;

    fn sketch(&self) -> Result<Counts> {
        let places = (self.k * PLACES_EACH).next_power_of_two().max(PLACES_MIN);
        FrequentItemsSketch::new(places).map_err(|error| Error::internal(error.to_string()))
    }

    fn values(&self, column: &ArrayRef) -> Result<ArrayRef> {
        Ok(cast(column, &DataType::Utf8)?)
    }

    fn add(sketch: &mut Counts, values: &ArrayRef, row: usize, weight: i64) -> Result<()> {
        let value = match values.as_string::<i32>().value(row) {
            "-0.0" => "0.0",
            value => value,
        };
        sketch.update_with_count_ref(value, weight.unsigned_abs());
        Ok(())
    }

    fn merge(sketch: &mut Counts, stored: &[u8]) -> Result<()> {
        sketch.merge(&FrequentItemsSketch::deserialize(stored).map_err(damaged)?);
        Ok(())
    }

    fn store(sketch: &Counts) -> Vec<u8> {
        sketch.serialize()
    }

    fn bytes(sketch: &Counts) -> usize {
        sketch.estimated_size()
    }

    fn read(&self, sketches: &[Option<&Counts>]) -> Result<ArrayRef> {
        let mut kept = Kept::default();
        let sketches = sketches.iter().enumerate();
        let mut sizes = Vec::with_capacity(sketches.len());
        for (group, sketch) in sketches {
            if let Some(sketch) = sketch {
                kept.add(group, sketch);
            }
            sizes.push(sketch.map(FrequentItemsSketch::num_active_items));
        }
        let values = StringArray::from_iter_values(&kept.values);
        let values = cast(&values, &self.argument)?;
        let counts: ArrayRef = Arc::new(Int64Array::from(kept.counts.clone()));
        let order = kept.order(&values, &counts)?;
        let starts = sizes.iter().scan(0, |next, size| {
            *next += size.unwrap_or(0);
            Some(*next - size.unwrap_or(0))
        });
        let first = starts.zip(&sizes).flat_map(|(start, size)| {
            (start..start + size.unwrap_or(0).min(self.k)).map(|at| order.value(at))
        });
        let first = UInt32Array::from_iter_values(first);
        let rows = vec![take(&values, &first, None)?, take(&counts, &first, None)?];
        let rows = StructArray::try_new(columns(&self.argument), rows, None)?;
        let lengths = sizes.iter().map(|size| size.unwrap_or(0).min(self.k));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let nulls = sizes.iter().map(Option::is_some).collect::<NullBuffer>();
        let lists = ListArray::try_new(item(&self.argument), offsets, Arc::new(rows), Some(nulls))?;
        Ok(Arc::new(lists))
    }
}
