//! Rows with weights: the one thing that flows.
//!
//! Invariants: weights, where present, are as many as the rows and never zero by construction
//! of the operators that make them; absent weights mean that every row is an insert.

use arrow::array::{Array, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute;
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};

/// A batch of rows, each with a weight: +1 inserts the row, −1 retracts it (a Z-set).
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The rows, `n` of schema S.
    pub rows: RecordBatch,
    /// The weights, `n` of them without nulls; `None` on an append-only stream.
    pub weights: Option<Int64Array>,
}

impl Change {
    /// Returns inserts of `rows`.
    pub fn append(rows: RecordBatch) -> Change {
        Change { rows, weights: None }
    }

    /// Returns `rows` with `weights`.
    ///
    /// # Errors
    /// `Internal` if the lengths differ.
    pub fn weighted(rows: RecordBatch, weights: Int64Array) -> Result<Change> {
        if rows.num_rows() != weights.len() {
            let (r, w) = (rows.num_rows(), weights.len());
            return Err(Error::internal(format!("{w} weights for {r} rows")));
        }
        Ok(Change { rows, weights: Some(weights) })
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    /// Is there no row?
    pub fn is_empty(&self) -> bool {
        self.rows.num_rows() == 0
    }

    /// Returns the schema of the rows.
    pub fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    /// Returns the weight of row `row`.
    pub fn weight(&self, row: usize) -> i64 {
        self.weights.as_ref().map_or(1, |weights| weights.value(row))
    }

    /// Returns the memory that the rows hold on to, in bytes; shared buffers count each time.
    pub fn bytes(&self) -> usize {
        let weights = self.weights.as_ref().map_or(0, |weights| weights.len() * 8);
        crate::size::batch_bytes(&self.rows) + weights
    }

    /// Returns `length` rows from `offset` on, without copying.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Change {
        Change {
            rows: self.rows.slice(offset, length),
            weights: self.weights.as_ref().map(|weights| weights.slice(offset, length)),
        }
    }

    /// Returns the rows at `indices`, in that order.
    ///
    /// # Errors
    /// Whatever Arrow's `take` refuses.
    pub fn take(&self, indices: &UInt32Array) -> Result<Change> {
        let rows = take_rows(&self.rows, indices)?;
        let weights = match &self.weights {
            None => None,
            Some(weights) => {
                let taken = compute::take(weights, indices, None)?;
                Some(taken.as_any().downcast_ref::<Int64Array>().expect("take keeps types").clone())
            }
        };
        Ok(Change { rows, weights })
    }

    /// Returns one change with the rows of all, in order; `None` where there are none.
    ///
    /// # Errors
    /// Whatever Arrow's `concat` refuses.
    pub fn concat(changes: &[Change]) -> Result<Option<Change>> {
        let Some(first) = changes.first() else { return Ok(None) };
        if changes.len() == 1 {
            return Ok(Some(first.clone()));
        }
        let rows = compute::concat_batches(&first.schema(), changes.iter().map(|c| &c.rows))?;
        if changes.iter().all(|change| change.weights.is_none()) {
            return Ok(Some(Change::append(rows)));
        }
        let weights = changes.iter().flat_map(|c| (0..c.len()).map(|row| c.weight(row)));
        let weights = Int64Array::from_iter_values(weights);
        Ok(Some(Change { rows, weights: Some(weights) }))
    }
}

/// Returns the rows at `indices`, in that order, also where rows have no columns: of those of a join
/// without keys only the number may count, and Arrow's own `take_record_batch` loses it.
///
/// # Errors
/// Whatever Arrow's `take` refuses.
pub fn take_rows(rows: &RecordBatch, indices: &UInt32Array) -> Result<RecordBatch> {
    let columns = compute::take_arrays(rows.columns(), indices, None)?;
    let options = RecordBatchOptions::new().with_row_count(Some(indices.len()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), columns, &options)?)
}
