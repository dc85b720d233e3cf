//! Sums with the number of their values: what `SUM` and `AVG` keep.
//!
//! Invariants: a sum that does not fit is an error, unless it was asked to wrap; taking a row back
//! undoes adding it (exactly for whole numbers and decimals).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int64Type};
use thalweg_types::{Error, Groups, Result};

use crate::function::Rows;

/// Numbers that can be summed with weights.
pub(super) trait Summand: ArrowPrimitiveType {
    /// Returns `sum + value`; `None` if it does not fit.
    fn plus(sum: Self::Native, value: Self::Native) -> Option<Self::Native>;

    /// Returns `value × weight`; `None` if it does not fit.
    fn times(value: Self::Native, weight: i64) -> Option<Self::Native>;

    /// Returns `sum + value × weight`, wrapped around if that does not fit and may be.
    #[inline]
    fn wrapping_plus(sum: Self::Native, value: Self::Native, weight: i64) -> Option<Self::Native> {
        Self::plus(sum, Self::times(value, weight)?)
    }
}

impl Summand for Int64Type {
    #[inline]
    fn plus(sum: i64, value: i64) -> Option<i64> {
        sum.checked_add(value)
    }

    #[inline]
    fn times(value: i64, weight: i64) -> Option<i64> {
        value.checked_mul(weight)
    }

    #[inline]
    fn wrapping_plus(sum: i64, value: i64, weight: i64) -> Option<i64> {
        Some(sum.wrapping_add(value.wrapping_mul(weight)))
    }
}

impl Summand for Decimal128Type {
    #[inline]
    fn plus(sum: i128, value: i128) -> Option<i128> {
        sum.checked_add(value)
    }

    #[inline]
    fn times(value: i128, weight: i64) -> Option<i128> {
        value.checked_mul(i128::from(weight))
    }
}

impl Summand for Float64Type {
    #[inline]
    fn plus(sum: f64, value: f64) -> Option<f64> {
        Some(sum + value)
    }

    #[inline]
    fn times(value: f64, weight: i64) -> Option<f64> {
        Some(value * weight as f64)
    }
}

/// For each group, a sum and of how many values it is.
#[derive(Debug)]
pub(super) struct Totals<T: Summand> {
    /// Type of the sums in a partial state.
    kind: DataType,
    /// Does a whole number that is too large wrap around?
    wraps: bool,
    sums: Vec<T::Native>,
    counts: Vec<i64>,
}

impl<T: Summand> Totals<T> {
    pub(super) fn new(kind: DataType) -> Totals<T> {
        Totals { kind, wraps: false, sums: Vec::new(), counts: Vec::new() }
    }

    pub(super) fn wrapping(self) -> Totals<T> {
        Totals { wraps: true, ..self }
    }

    fn resize(&mut self, total: usize) {
        self.sums.resize(total, T::Native::default());
        self.counts.resize(total, 0);
    }

    #[inline]
    fn add(&mut self, group: usize, value: T::Native, weight: i64, count: i64) -> Result<()> {
        let before = self.sums[group];
        let sum = match (self.wraps, weight) {
            (true, weight) => T::wrapping_plus(before, value, weight),
            (false, 1) => T::plus(before, value),
            (false, weight) => T::times(value, weight).and_then(|value| T::plus(before, value)),
        };
        self.sums[group] = sum.ok_or_else(|| too_large(&self.kind))?;
        self.counts[group] += count;
        Ok(())
    }

    pub(super) fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.resize(rows.total);
        let column = rows.arguments[0].as_primitive::<T>();
        let values = column.values();
        if column.null_count() == 0 && rows.filter.is_none() && rows.weights.is_none() {
            for (group, value) in rows.groups.iter().zip(values) {
                self.add(*group as usize, *value, 1, 1)?;
            }
            return Ok(());
        }
        for (row, group) in rows.groups.iter().enumerate() {
            let weight = rows.weight(row);
            if weight != 0 && column.is_valid(row) {
                self.add(*group as usize, values[row], weight, weight)?;
            }
        }
        Ok(())
    }

    pub(super) fn merge(
        &mut self,
        groups: &[u32],
        partial: &[ArrayRef],
        total: usize,
    ) -> Result<()> {
        self.resize(total);
        let sums = partial[0].as_primitive::<T>().values();
        let counts = partial[1].as_primitive::<Int64Type>().values();
        for ((group, sum), count) in groups.iter().zip(sums).zip(counts) {
            self.add(*group as usize, *sum, 1, *count)?;
        }
        Ok(())
    }

    pub(super) fn partial(&self, groups: Groups<'_>) -> Vec<ArrayRef> {
        let mut sums = Vec::with_capacity(groups.len());
        let mut counts = Vec::with_capacity(groups.len());
        groups.for_each(|group| {
            sums.push(self.sums.get(group).copied().unwrap_or_default());
            counts.push(self.counts.get(group).copied().unwrap_or(0));
        });
        let sums = PrimitiveArray::<T>::new(sums.into(), None).with_data_type(self.kind.clone());
        vec![Arc::new(sums), Arc::new(Int64Array::from(counts))]
    }

    /// Returns `f(sum, count)` for each of `groups`, NULL for those without values.
    pub(super) fn values(
        &self,
        groups: Groups<'_>,
        f: impl Fn(T::Native, i64) -> Option<T::Native>,
    ) -> Result<PrimitiveArray<T>> {
        let mut values = Vec::with_capacity(groups.len());
        let mut fits = true;
        groups.for_each(|group| {
            let count = self.counts.get(group).copied().unwrap_or(0);
            let value = if count == 0 { None } else { f(self.sums[group], count) };
            fits &= count == 0 || value.is_some();
            values.push(value);
        });
        match fits {
            true => Ok(PrimitiveArray::from_iter(values)),
            false => Err(too_large(&self.kind)),
        }
    }

    pub(super) fn clear(&mut self) {
        (self.sums, self.counts) = (Vec::new(), Vec::new());
    }

    pub(super) fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.counts.capacity() * 8
    }
}

/// Gives numbers the type of a result.
///
/// # Errors
/// `Data` if a decimal has more digits than the type.
pub(super) fn typed<T: Summand>(values: PrimitiveArray<T>, kind: &DataType) -> Result<ArrayRef> {
    let values: ArrayRef = Arc::new(values.with_data_type(kind.clone()));
    if let DataType::Decimal128(precision, _) = kind {
        let decimals = values.as_primitive::<Decimal128Type>();
        decimals.validate_decimal_precision(*precision).map_err(|_| too_large(kind))?;
    }
    Ok(values)
}

fn too_large(kind: &DataType) -> Error {
    Error::data(format!("SUM or AVG is too large for {kind}"))
        .remedy("cast the argument to a wider DECIMAL or a DOUBLE")
}
