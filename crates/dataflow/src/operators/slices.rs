//! The slices that windows are made of, and the rows of each.
//!
//! Invariants: all numbers are in the unit of the window columns; nothing here costs more for a
//! window of many slices than for one of few. Arithmetic saturates: a time from outside may lie
//! anywhere.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt32Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use thalweg_plan::window::{Assigner, WindowSpec};
use thalweg_types::{Change, Error, Result};

/// End and start of a slice or window: in this order slices are complete one after another.
pub type Slice = (i64, i64);

/// How windows are made of slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slices {
    /// What rows carry is their window already, or what becomes a session.
    Whole,
    /// A window is `size / slide` slices.
    Hop {
        /// Length of a window.
        size: i64,
        /// Length of a slice.
        slide: i64,
        /// Shift of all slices.
        offset: i64,
    },
    /// A window is the slices so far since the last multiple of `size`.
    Cumulate {
        /// Greatest length of a window.
        size: i64,
        /// Length of a slice.
        step: i64,
        /// Shift of all slices.
        offset: i64,
    },
}

impl Slices {
    /// Returns the slices of `assigner`.
    pub fn new(assigner: Assigner) -> Slices {
        match assigner {
            Assigner::Hop { size, slide, offset } if size > slide => {
                Slices::Hop { size, slide, offset }
            }
            Assigner::Cumulate { size, step, offset } if size > step => {
                Slices::Cumulate { size, step, offset }
            }
            _ => Slices::Whole,
        }
    }

    /// Returns the end of the last window that holds the slice `(end, start)`.
    #[inline]
    pub fn last_end(self, (end, start): Slice) -> i64 {
        match self {
            Slices::Whole => end,
            Slices::Hop { size, .. } => start.saturating_add(size),
            Slices::Cumulate { size, offset, .. } => {
                floor(start, size, offset).saturating_add(size)
            }
        }
    }

    /// Returns the start of the window that ends with the slice `(end, start)`.
    pub fn window_start(self, (end, start): Slice) -> i64 {
        match self {
            Slices::Whole => start,
            Slices::Hop { size, .. } => end.saturating_sub(size),
            Slices::Cumulate { size, offset, .. } => floor(start, size, offset),
        }
    }

    /// Returns the first slice that ends after `time`; `None` if rows carry whole windows.
    pub fn after(self, time: i64) -> Option<Slice> {
        let (length, offset) = match self {
            Slices::Whole => return None,
            Slices::Hop { slide, offset, .. } => (slide, offset),
            Slices::Cumulate { step, offset, .. } => (step, offset),
        };
        let start = floor(time, length, offset);
        Some((start.saturating_add(length), start))
    }
}

/// Returns the greatest multiple of `length`, shifted by `offset`, at or before `time`.
fn floor(time: i64, length: i64, offset: i64) -> i64 {
    time.saturating_sub(time.saturating_sub(offset).rem_euclid(length))
}

/// Returns the values of a timestamp column as whole numbers.
///
/// # Errors
/// `Internal` if the column is no timestamp.
pub fn times(column: &ArrayRef) -> Result<Int64Array> {
    match column.data_type() {
        DataType::Timestamp(_, _) => {
            Ok(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        }
        other => Err(Error::internal(format!("a window in a column of type {other}"))),
    }
}

/// Returns whole numbers as a column of the timestamp type `kind`.
///
/// # Errors
/// `Internal` if `kind` is no timestamp.
pub fn column_of(values: Vec<i64>, kind: &DataType) -> Result<ArrayRef> {
    Ok(cast(&Int64Array::from(values), kind)?)
}

/// Returns the columns `[start, end]` of one window, `rows` times, as the first two of `schema`.
///
/// # Errors
/// `Internal` if the columns are no timestamps.
pub fn window_columns(
    schema: &SchemaRef,
    (end, start): Slice,
    rows: usize,
) -> Result<Vec<ArrayRef>> {
    let column =
        |index: usize, value| column_of(vec![value; rows], schema.field(index).data_type());
    Ok(vec![column(0, start)?, column(1, end)?])
}

/// Cuts a change into one for each window that its rows carry, in order; no row is without one.
///
/// Cost: a comparison per row if all have one window, else also a `take` of all rows. Rows mostly
/// come in runs of one window, so that only a change of window looks it up.
///
/// # Errors
/// `Internal` if the columns are no timestamps.
pub fn by_window(spec: &WindowSpec, change: Change) -> Result<Vec<(Slice, Change)>> {
    let starts = times(change.rows.column(spec.start))?;
    let ends = times(change.rows.column(spec.end))?;
    let mut slices = ends.values().iter().copied().zip(starts.values().iter().copied());
    let Some(first) = slices.clone().next() else { return Ok(Vec::new()) };
    if slices.all(|slice| slice == first) {
        return Ok(vec![(first, change)]);
    }
    let mut places: HashMap<Slice, usize> = HashMap::new();
    let mut parts: Vec<(Slice, Vec<u32>)> = Vec::new();
    let (mut last, mut place) = (None, 0);
    for (row, slice) in
        ends.values().iter().copied().zip(starts.values().iter().copied()).enumerate()
    {
        if last != Some(slice) {
            last = Some(slice);
            place = *places.entry(slice).or_insert_with(|| {
                parts.push((slice, Vec::new()));
                parts.len() - 1
            });
        }
        parts[place].1.push(row as u32);
    }
    parts.sort_unstable_by_key(|(slice, _)| *slice);
    let part = |(slice, rows)| Ok((slice, change.take(&UInt32Array::from(rows))?));
    parts.into_iter().map(part).collect()
}

#[cfg(test)]
mod tests;
