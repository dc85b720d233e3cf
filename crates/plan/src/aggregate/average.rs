//! `AVG` of floating-point numbers.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array};
use arrow::datatypes::{Float64Type, Int64Type};
use thalweg_types::{Groups, Result};

use crate::function::{Accumulator, Rows};

/// Sum and number of values.
#[derive(Debug, Default)]
pub(super) struct Average {
    sums: Vec<f64>,
    counts: Vec<i64>,
}

impl Average {
    fn resize(&mut self, total: usize) {
        self.sums.resize(total, 0.0);
        self.counts.resize(total, 0);
    }
}

impl Accumulator for Average {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.resize(rows.total);
        let values = rows.arguments[0].as_primitive::<Float64Type>();
        for (row, group) in rows.groups.iter().enumerate() {
            let weight = rows.weight(row);
            if weight != 0 && values.is_valid(row) {
                self.sums[*group as usize] += values.value(row) * weight as f64;
                self.counts[*group as usize] += weight;
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.resize(total);
        let sums = partial[0].as_primitive::<Float64Type>().values();
        let counts = partial[1].as_primitive::<Int64Type>().values();
        for ((group, sum), count) in groups.iter().zip(sums).zip(counts) {
            self.sums[*group as usize] += sum;
            self.counts[*group as usize] += count;
        }
        Ok(())
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let mut sums = Vec::with_capacity(groups.len());
        let mut counts = Vec::with_capacity(groups.len());
        groups.for_each(|group| {
            sums.push(self.sums.get(group).copied().unwrap_or(0.0));
            counts.push(self.counts.get(group).copied().unwrap_or(0));
        });
        Ok(vec![Arc::new(Float64Array::from(sums)), Arc::new(Int64Array::from(counts))])
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut means = Vec::with_capacity(groups.len());
        groups.for_each(|group| {
            let count = self.counts.get(group).copied().unwrap_or(0);
            means.push((count != 0).then(|| self.sums[group] / count as f64));
        });
        Ok(Arc::new(Float64Array::from(means)))
    }

    fn clear(&mut self) {
        *self = Average::default();
    }

    fn bytes(&self) -> usize {
        (self.sums.capacity() + self.counts.capacity()) * 8
    }
}
