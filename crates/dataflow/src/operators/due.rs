//! When a window is complete: the one rule that firing and lateness share.
//!
//! A watermark `w` claims that no row at or before `w` is still to come. A window `[start, end)`
//! of a column with unit `u` holds times up to `end − 1 u`, so it is complete once
//! `w ≥ end − 1 u`. A row is late if its window was complete at the close of the epoch before.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};
use thalweg_plan::window::{TimeBasis, WindowSpec};
use thalweg_types::{Error, EventTime, Moment, Result};

/// Tells complete windows from open ones.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    unit: TimeUnit,
    basis: TimeBasis,
}

impl Due {
    /// Returns the rule for windows in column `spec.end` of `input`.
    ///
    /// # Errors
    /// `Internal` if the column is not a timestamp.
    pub fn new(spec: &WindowSpec, input: &SchemaRef) -> Result<Due> {
        match input.field(spec.end).data_type() {
            DataType::Timestamp(unit, _) => Ok(Due { unit: *unit, basis: spec.basis }),
            other => Err(Error::internal(format!("a window ends in a column of type {other}"))),
        }
    }

    /// Returns the greatest end of a window that is complete at `moment`, in the column's unit.
    pub fn horizon(&self, moment: &Moment) -> i64 {
        match (self.basis, moment.watermark) {
            // Later epochs have this clock or a later one: a window that ends with it is over.
            (TimeBasis::Processing, EventTime::MAX) => i64::MAX,
            (TimeBasis::Processing, _) => moment.clock.to_unit(self.unit),
            (TimeBasis::Event, EventTime::MIN) => i64::MIN,
            (TimeBasis::Event, EventTime::MAX) => i64::MAX,
            (TimeBasis::Event, time) => time.to_unit(self.unit).saturating_add(1),
        }
    }

    /// Returns the wall-clock time at which a window with this end fires, if the clock drives it.
    pub fn wake(&self, end: i64) -> Option<EventTime> {
        (self.basis == TimeBasis::Processing).then(|| EventTime::from_unit(end, self.unit))
    }
}

/// Returns the values of a timestamp column as whole numbers.
///
/// # Errors
/// `Internal` if the column is no timestamp.
pub fn times(column: &ArrayRef) -> Result<Int64Array> {
    let values = cast(column, &DataType::Int64)?;
    Ok(values.as_primitive::<Int64Type>().clone())
}

/// Returns whole numbers as a column of type `kind`.
///
/// # Errors
/// `Internal` if `kind` is no timestamp.
pub fn column_of(values: Vec<i64>, kind: &DataType) -> Result<ArrayRef> {
    Ok(cast(&Int64Array::from(values), kind)?)
}

/// Splits rows by whether their window, which ends at `end(row)`, is complete at `horizon`.
/// Rows without a time count as late. Returns the rows in time and the late ones.
pub fn split_late(
    ends: &Int64Array,
    horizon: i64,
    end: impl Fn(usize) -> i64,
) -> (Vec<u32>, Vec<u32>) {
    let is_late = |row: usize| ends.is_null(row) || end(row) <= horizon;
    let rows = 0..ends.len() as u32;
    rows.partition(|row| !is_late(*row as usize))
}

#[cfg(test)]
mod tests;
