//! `SUM` of whole numbers, floating-point numbers and decimals.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, PrimitiveArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Float64Type, Int64Type};
use thalweg_types::{Error, Groups, Result};

use crate::function::{Accumulator, Rows};

/// Numbers that can be summed with weights.
pub(super) trait Summand: ArrowPrimitiveType {
    /// Returns `sum + value × weight`; `None` if it does not fit.
    fn add(sum: Self::Native, value: Self::Native, weight: i64) -> Option<Self::Native>;
}

impl Summand for Int64Type {
    #[inline]
    fn add(sum: i64, value: i64, weight: i64) -> Option<i64> {
        value.checked_mul(weight).and_then(|value| sum.checked_add(value))
    }
}

impl Summand for Decimal128Type {
    #[inline]
    fn add(sum: i128, value: i128, weight: i64) -> Option<i128> {
        value.checked_mul(i128::from(weight)).and_then(|value| sum.checked_add(value))
    }
}

impl Summand for Float64Type {
    #[inline]
    fn add(sum: f64, value: f64, weight: i64) -> Option<f64> {
        Some(sum + value * weight as f64)
    }
}

pub(super) fn accumulator(argument: &DataType, result: &DataType) -> Result<Box<dyn Accumulator>> {
    let result = result.clone();
    Ok(match argument {
        DataType::Int64 => Box::new(Sum::<Int64Type>::new(result)),
        DataType::Float64 => Box::new(Sum::<Float64Type>::new(result)),
        DataType::Decimal128(_, _) => Box::new(Sum::<Decimal128Type>::new(result)),
        other => return Err(Error::invalid(format!("SUM of {other} is not supported"))),
    })
}

/// Sums, and of how many values each is: without values the sum is NULL.
#[derive(Debug)]
struct Sum<T: Summand> {
    result: DataType,
    sums: Vec<T::Native>,
    counts: Vec<i64>,
}

impl<T: Summand> Sum<T> {
    fn new(result: DataType) -> Sum<T> {
        Sum { result, sums: Vec::new(), counts: Vec::new() }
    }

    fn resize(&mut self, total: usize) {
        self.sums.resize(total, T::Native::default());
        self.counts.resize(total, 0);
    }

    #[inline]
    fn add(&mut self, group: u32, value: T::Native, weight: i64) -> Result<()> {
        let sum = &mut self.sums[group as usize];
        *sum = T::add(*sum, value, weight).ok_or_else(|| {
            Error::data(format!("SUM is too large for {}", self.result))
                .remedy("cast the argument to a DECIMAL or a DOUBLE")
        })?;
        self.counts[group as usize] += weight;
        Ok(())
    }
}

impl<T: Summand> Accumulator for Sum<T> {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.resize(rows.total);
        let values = rows.arguments[0].as_primitive::<T>();
        if values.null_count() == 0 && rows.filter.is_none() && rows.weights.is_none() {
            for (group, value) in rows.groups.iter().zip(values.values()) {
                self.add(*group, *value, 1)?;
            }
            return Ok(());
        }
        for (row, group) in rows.groups.iter().enumerate() {
            let weight = rows.weight(row);
            if weight != 0 && values.is_valid(row) {
                self.add(*group, values.value(row), weight)?;
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.resize(total);
        let sums = partial[0].as_primitive::<T>().values();
        let counts = partial[1].as_primitive::<Int64Type>().values();
        for ((group, sum), count) in groups.iter().zip(sums).zip(counts) {
            self.add(*group, *sum, 1)?;
            self.counts[*group as usize] += count - 1;
        }
        Ok(())
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let mut sums = Vec::with_capacity(groups.len());
        let mut counts = Vec::with_capacity(groups.len());
        groups.for_each(|group| {
            sums.push(self.sums.get(group).copied().unwrap_or_default());
            counts.push(self.counts.get(group).copied().unwrap_or(0));
        });
        let sums = PrimitiveArray::<T>::new(sums.into(), None).with_data_type(self.result.clone());
        Ok(vec![Arc::new(sums), Arc::new(Int64Array::from(counts))])
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut sums = Vec::with_capacity(groups.len());
        groups.for_each(|group| {
            let has_values = self.counts.get(group).is_some_and(|count| *count != 0);
            sums.push(has_values.then(|| self.sums[group]));
        });
        let sums = PrimitiveArray::<T>::from_iter(sums).with_data_type(self.result.clone());
        Ok(Arc::new(sums))
    }

    fn clear(&mut self) {
        *self = Sum::new(self.result.clone());
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<T::Native>() + self.counts.capacity() * 8
    }
}
