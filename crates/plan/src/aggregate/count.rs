//! `COUNT`: how many rows, or how many values that are not NULL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use thalweg_types::{Groups, Result};

use crate::function::{Accumulator, Rows};

#[derive(Debug, Default)]
pub(super) struct Count(Vec<i64>);

impl Accumulator for Count {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.0.resize(rows.total, 0);
        let nulls = rows.arguments.first().and_then(|argument| argument.logical_nulls());
        if nulls.is_none() && rows.filter.is_none() && rows.weights.is_none() {
            for group in rows.groups {
                self.0[*group as usize] += 1;
            }
            return Ok(());
        }
        for (row, group) in rows.groups.iter().enumerate() {
            if nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)) {
                self.0[*group as usize] += rows.weight(row);
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.0.resize(total, 0);
        let counts = partial[0].as_primitive::<Int64Type>().values();
        for (group, count) in groups.iter().zip(counts) {
            self.0[*group as usize] += count;
        }
        Ok(())
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        let mut counts = Vec::with_capacity(groups.len());
        groups.for_each(|group| counts.push(self.0.get(group).copied().unwrap_or(0)));
        Ok(Arc::new(Int64Array::from(counts)))
    }

    fn clear(&mut self) {
        self.0 = Vec::new();
    }

    fn bytes(&self) -> usize {
        self.0.capacity() * 8
    }
}
