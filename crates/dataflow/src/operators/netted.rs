//! What an epoch changed of rows that are kept, netted.
//!
//! Invariant: no row both goes and comes; a row of weight n is there n times.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::datatypes::SchemaRef;
use thalweg_state::RowStore;
use thalweg_types::change::take_rows;
use thalweg_types::{Change, Result};

/// The rows that go, and those that come.
pub struct Delta {
    /// Rows that go.
    pub gone: RecordBatch,
    /// Rows that come.
    pub new: RecordBatch,
}

impl Delta {
    /// Nets changes to rows of `store`.
    ///
    /// # Errors
    /// Whatever Arrow's kernels refuse.
    pub fn of(changes: &[Change], store: &mut RowStore) -> Result<Delta> {
        let schema = &store.schema().clone();
        let Some(change) = Change::concat(changes)? else {
            return Ok(Delta { gone: none(schema), new: none(schema) });
        };
        let Some(weights) = &change.weights else {
            return Ok(Delta { gone: none(schema), new: change.rows });
        };
        let mut net: Vec<i64> = weights.values().to_vec();
        if net.iter().any(|weight| *weight < 0) {
            net_equal(&change, store, &mut net)?;
        }
        let pick = |sign: i64| {
            let rows = net.iter().enumerate().flat_map(|(row, weight)| {
                std::iter::repeat_n(row as u32, (weight * sign).max(0) as usize)
            });
            UInt32Array::from(rows.collect::<Vec<u32>>())
        };
        let gone = take_rows(&change.rows, &pick(-1))?;
        let new = take_rows(&change.rows, &pick(1))?;
        Ok(Delta { gone, new })
    }
}

fn none(schema: &SchemaRef) -> RecordBatch {
    RecordBatch::new_empty(schema.clone())
}

/// Puts the weights of equal rows together, at the first of them.
fn net_equal(change: &Change, store: &mut RowStore, net: &mut [i64]) -> Result<()> {
    let all: Vec<u32> = (0..change.len() as u32).collect();
    let rows = store.encode(change.rows.columns(), &all)?;
    for (row, first) in rows.first_equal().into_iter().enumerate() {
        if first as usize != row {
            net[first as usize] += std::mem::take(&mut net[row]);
        }
    }
    Ok(())
}
