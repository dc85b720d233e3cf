//! Closures over structs as functions over batches.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{filter, filter_record_batch, take};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use thalweg_plan::function::{Transform, Watermarker};
use thalweg_plan::trail::Share;
use thalweg_types::{Change, Error, EventTime, Moment, Result};

use crate::record::{ReadRows, Record, WriteRows, batch, each, name_of};
use crate::scalar::Timestamp;
use crate::value::{Key, KeyColumns, KeyOf};

type Apply = dyn Fn(&Change, &Moment) -> Result<Change> + Send + Sync;

/// A closure from batches to batches, with the line that tells of it.
pub(crate) struct Closure {
    schema: SchemaRef,
    text: String,
    apply: Box<Apply>,
}

impl fmt::Debug for Closure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Transform for Closure {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, at: &Moment, out: &mut Vec<Change>) -> Result<()> {
        out.push((self.apply)(input, at)?);
        Ok(())
    }

    fn explain(&self) -> String {
        self.text.clone()
    }
}

impl Closure {
    /// Makes one row of each.
    pub(crate) fn map<T: Record, U: Record>(
        function: impl Fn(T) -> U + Send + Sync + 'static,
    ) -> Closure {
        let text = format!("map {} to {}", name_of::<T>(), name_of::<U>());
        let apply = Box::new(move |input: &Change, _: &Moment| {
            let (rows, count) = (T::rows(&input.rows)?, input.rows.num_rows());
            let mut made = U::Columns::with_capacity(count);
            (0..count).for_each(|row| made.push(&function(rows.get(row))));
            Ok(Change { rows: batch::<U>(made, count)?, weights: input.weights.clone() })
        });
        Closure { schema: U::schema(), text, apply }
    }

    /// Keeps some rows.
    pub(crate) fn filter<T: Record>(
        function: impl Fn(&T) -> bool + Send + Sync + 'static,
    ) -> Closure {
        let apply = Box::new(move |input: &Change, _: &Moment| {
            let mut kept = Vec::with_capacity(input.rows.num_rows());
            each(&input.rows, |record| kept.push(function(record)))?;
            let kept = BooleanArray::from(kept);
            let weights = input.weights.as_ref().map(|weights| filter(weights, &kept));
            let weights = weights.transpose()?.map(|w| w.as_primitive::<Int64Type>().clone());
            Ok(Change { rows: filter_record_batch(&input.rows, &kept)?, weights })
        });
        Closure { schema: T::schema(), text: format!("filter {}", name_of::<T>()), apply }
    }

    /// Makes any number of rows of each.
    pub(crate) fn flat_map<T: Record, U: Record, I: IntoIterator<Item = U>>(
        function: impl Fn(T) -> I + Send + Sync + 'static,
    ) -> Closure {
        let text = format!("flat map {} to {}", name_of::<T>(), name_of::<U>());
        let apply = Box::new(move |input: &Change, _: &Moment| {
            let (rows, count) = (T::rows(&input.rows)?, input.rows.num_rows());
            let (mut columns, mut made) = (U::Columns::with_capacity(count), 0);
            let mut origins = Vec::new();
            for row in 0..count {
                for record in function(rows.get(row)) {
                    columns.push(&record);
                    made += 1;
                }
                // Only rows with weights need to know where they come from.
                origins.resize(if input.weights.is_some() { made } else { 0 }, row as u32);
            }
            let weights = weights_of(input, origins.into())?;
            Ok(Change { rows: batch::<U>(columns, made)?, weights })
        });
        Closure { schema: U::schema(), text, apply }
    }

    /// Makes a column of by how many rounds each row is delayed.
    pub(crate) fn rounds<T: Record>(rounds: impl Fn(&T) -> u32 + Send + Sync + 'static) -> Closure {
        let schema = Schema::new(vec![Field::new("rounds", DataType::UInt32, false)]);
        Closure::columns(Arc::new(schema), name_of::<T>().to_owned(), move |batch| {
            let mut delays = Vec::with_capacity(batch.num_rows());
            each(batch, |record| delays.push(rounds(record)))?;
            Ok(vec![Arc::new(UInt32Array::from(delays))])
        })
    }

    /// Makes columns of a batch: for what reads columns and not structs.
    pub(crate) fn columns(
        schema: SchemaRef,
        text: String,
        make: impl Fn(&RecordBatch) -> Result<Vec<ArrayRef>> + Send + Sync + 'static,
    ) -> Closure {
        Closure::columns_at(schema, text, move |rows, _| make(rows))
    }

    /// Makes columns of a batch and of the moment in which it is processed.
    pub(crate) fn columns_at(
        schema: SchemaRef,
        text: String,
        make: impl Fn(&RecordBatch, &Moment) -> Result<Vec<ArrayRef>> + Send + Sync + 'static,
    ) -> Closure {
        let made = schema.clone();
        let apply = Box::new(move |input: &Change, at: &Moment| {
            let rows = RecordBatch::try_new(made.clone(), make(&input.rows, at)?)?;
            Ok(Change { rows, weights: input.weights.clone() })
        });
        Closure { schema, text, apply }
    }

    /// Makes columns of a batch whose rows are those of the input, or any of them any number of times:
    /// `make` says then which row each was made of.
    pub(crate) fn copies(
        schema: SchemaRef,
        text: String,
        make: impl Fn(&RecordBatch) -> Result<(Vec<ArrayRef>, Option<UInt32Array>)>
        + Send
        + Sync
        + 'static,
    ) -> Closure {
        let made = schema.clone();
        let apply = Box::new(move |input: &Change, _: &Moment| {
            let (columns, origins) = make(&input.rows)?;
            let weights = match origins {
                Some(origins) => weights_of(input, origins)?,
                None => input.weights.clone(),
            };
            Ok(Change { rows: RecordBatch::try_new(made.clone(), columns)?, weights })
        });
        Closure { schema, text, apply }
    }

    /// Makes as many rows of those of a batch.
    pub(crate) fn made(
        schema: SchemaRef,
        text: String,
        make: impl Fn(&RecordBatch) -> Result<RecordBatch> + Send + Sync + 'static,
    ) -> Closure {
        let apply = Box::new(move |input: &Change, _: &Moment| {
            Ok(Change { rows: make(&input.rows)?, weights: input.weights.clone() })
        });
        Closure { schema, text, apply }
    }

    /// Puts the columns of a key before those of a row.
    pub(crate) fn keyed<T: Record, K: Key>(step: &str, key: KeyOf<T, K>) -> Closure {
        let schema: SchemaRef =
            Arc::new(Schema::new(K::fields().into_iter().chain(T::fields()).collect::<Vec<_>>()));
        let text = format!("key of {step}");
        Closure::columns(schema, text, move |rows| {
            let mut keys = K::Columns::with_capacity(rows.num_rows());
            each(rows, |record| keys.push(&key(record)))?;
            let mut columns = keys.finish();
            columns.extend(rows.columns().iter().cloned());
            Ok(columns)
        })
    }

    /// Makes the columns of `U` of those of a batch.
    pub(crate) fn shaped<U: Record>(
        columns: impl Fn(&RecordBatch) -> Result<Vec<ArrayRef>> + Send + Sync + 'static,
    ) -> Closure {
        let apply = Box::new(move |input: &Change, _: &Moment| {
            let rows = RecordBatch::try_new(U::schema(), columns(&input.rows)?)
                .map_err(|error| Error::data(format!("a row is no {}: {error}", name_of::<U>())))?;
            Ok(Change { rows, weights: input.weights.clone() })
        });
        Closure { schema: U::schema(), text: format!("as {}", name_of::<U>()), apply }
    }
}

fn weights_of(input: &Change, origins: UInt32Array) -> Result<Option<Int64Array>> {
    let Some(weights) = &input.weights else { return Ok(None) };
    let taken = take(weights, &origins, None)?;
    Ok(Some(taken.as_primitive::<Int64Type>().clone()))
}

/// A watermark that follows the greatest time, at a distance.
pub(crate) struct Behind<T, F> {
    pub(crate) time: F,
    pub(crate) delay_ms: i64,
    pub(crate) record: PhantomData<fn(T)>,
}

impl<T, F> fmt::Debug for Behind<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "time of {} - {} ms", name_of::<T>(), self.delay_ms)
    }
}

impl<T: Record, F: Fn(&T) -> Timestamp + Send + Sync> Watermarker for Behind<T, F> {
    fn watermark(&self, rows: &RecordBatch) -> Result<Option<EventTime>> {
        let mut greatest = None;
        each(rows, |record| greatest = greatest.max(Some((self.time)(record))))?;
        Ok(greatest.map(|time| {
            EventTime((time.0.saturating_sub(self.delay_ms)).saturating_mul(1_000_000))
        }))
    }

    fn explain(&self) -> String {
        format!("{self:?}")
    }
}

/// A watermark that trails the newest row by a share of the delays seen so far.
pub(crate) struct Trailing<T, F> {
    pub(crate) newest: Behind<T, F>,
    pub(crate) share: Share,
}

impl<T, F> fmt::Debug for Trailing<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "time of {} at percentile {} of the delays", name_of::<T>(), self.share)
    }
}

impl<T: Record, F: Fn(&T) -> Timestamp + Send + Sync> Watermarker for Trailing<T, F> {
    fn watermark(&self, rows: &RecordBatch) -> Result<Option<EventTime>> {
        self.newest.watermark(rows)
    }

    fn trailing(&self, rows: &RecordBatch) -> Result<Option<(Int64Array, Share)>> {
        let mut nanos = Vec::with_capacity(rows.num_rows());
        each(rows, |record| nanos.push((self.newest.time)(record).0.saturating_mul(1_000_000)))?;
        Ok(Some((nanos.into(), self.share)))
    }

    fn explain(&self) -> String {
        format!("{self:?}")
    }
}

/// The watermark that a source claims itself: rows say nothing.
#[derive(Debug)]
pub(crate) struct Claimed;

impl Watermarker for Claimed {
    fn watermark(&self, _: &RecordBatch) -> Result<Option<EventTime>> {
        Ok(None)
    }

    fn explain(&self) -> String {
        "SOURCE_WATERMARK()".to_owned()
    }
}

/// Returns a shared function that can stand in a plan.
pub(crate) fn shared(closure: Closure) -> Arc<dyn Transform> {
    Arc::new(closure)
}

#[cfg(test)]
mod tests;
