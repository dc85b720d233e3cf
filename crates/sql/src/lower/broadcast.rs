//! Joins on all workers whatever their keys, or without any: the rows of a small side are copied, those of
//! the other dealt out.
//!
//! Each row of the one side gets the number of a bucket, made of its values; each row of the other
//! stands in every bucket; and the bucket is a key of the join, beside those that it has. So what a join keeps is keyed as ever, and
//! goes to other numbers of workers as ever.
//!
//! Invariants: a row gets the same bucket whenever it comes, so that what takes it back finds it; the
//! buckets, and with them the plan, do not depend on the number of workers.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array, new_empty_array};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_plan::function::Transform;
use thalweg_plan::join::JoinKind;
use thalweg_types::fault::is_planted;
use thalweg_types::{Change, Moment, Result, hash};

/// Copies of each row of the small side; so many workers have something to do at most.
const BUCKETS: usize = 16;
/// Numbers among which buckets are found.
const CANDIDATES: i64 = 4096;

/// What is known of a side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    /// Has it one row at most?
    pub(super) is_single: bool,
    /// Does it end?
    pub(super) is_bounded: bool,
}

/// Can the rows of a side be copied? Those that come out by themselves must know all they match.
pub(super) fn can_be_copied(kind: JoinKind, side: usize) -> bool {
    match side {
        0 => kind.left_alone().is_none() && kind.has_pairs(),
        _ => kind.right_alone().is_none(),
    }
}

/// Returns the side whose rows are to be copied: one row, or a static table that a stream is joined
/// with.
pub(super) fn copied_side(kind: JoinKind, sizes: [Size; 2]) -> Option<usize> {
    let is_static = |side: usize| sizes[side].is_bounded && !sizes[1 - side].is_bounded;
    let is_small = |side: &usize| sizes[*side].is_single || is_static(*side);
    [1, 0].into_iter().filter(|side| can_be_copied(kind, *side)).find(is_small)
}

/// Returns the field of a bucket; its name tells the sides of a join apart.
pub(super) fn field(side: &str) -> Field {
    Field::new(format!("__{side}_bucket"), DataType::Int64, false)
}

/// Returns numbers whose hashes lie as far apart as they can, so that workers get equally many.
fn buckets() -> Result<Vec<i64>> {
    let candidates: ArrayRef = Arc::new(Int64Array::from_iter_values(0..CANDIDATES));
    let mut hashes = Vec::new();
    hash::hash_rows(&[candidates], CANDIDATES as usize, &mut hashes)?;
    let share = |hash: u64| ((u128::from(hash) * BUCKETS as u128) >> 64) as usize;
    let found = (0..BUCKETS).filter_map(|bucket| hashes.iter().position(|h| share(*h) == bucket));
    Ok(found.map(|number| number as i64).collect())
}

fn with_bucket(schema: &Schema, side: &str) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone());
    Arc::new(Schema::new(fields.chain([field(side)]).collect::<Vec<_>>()))
}

/// Returns the rows of a change with their buckets.
fn placed(change: Change, buckets: Vec<i64>, schema: &SchemaRef) -> Result<Change> {
    let mut columns = change.rows.columns().to_vec();
    columns.push(Arc::new(Int64Array::from(buckets)));
    Ok(Change { rows: RecordBatch::try_new(schema.clone(), columns)?, weights: change.weights })
}

/// Gives each row a bucket.
#[derive(Debug)]
pub(super) struct Deal {
    schema: SchemaRef,
    /// Columns that can be hashed.
    columns: Vec<usize>,
    buckets: Vec<i64>,
}

impl Deal {
    /// Deals out rows of `schema`.
    ///
    /// # Errors
    /// None that a plan can cause.
    pub(super) fn new(schema: &Schema, side: &str) -> Result<Deal> {
        let can_hash = |column: &usize| {
            let none = new_empty_array(schema.field(*column).data_type());
            hash::hash_rows(&[none], 0, &mut Vec::new()).is_ok()
        };
        let columns = (0..schema.fields().len()).filter(can_hash).collect();
        Ok(Deal { columns, schema: with_bucket(schema, side), buckets: buckets()? })
    }
}

impl Transform for Deal {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let columns: Vec<ArrayRef> =
            self.columns.iter().map(|column| input.rows.column(*column).clone()).collect();
        let mut hashes = Vec::new();
        hash::hash_rows(&columns, input.len(), &mut hashes)?;
        let buckets = hashes.iter().map(|hash| self.buckets[*hash as usize % self.buckets.len()]);
        out.push(placed(input.clone(), buckets.collect(), &self.schema)?);
        Ok(())
    }

    fn explain(&self) -> String {
        format!("deals rows out to {} buckets", self.buckets.len())
    }

    fn origin(&self, column: usize) -> Option<usize> {
        (column + 1 < self.schema.fields().len()).then_some(column)
    }
}

/// Puts each row into every bucket.
#[derive(Debug)]
pub(super) struct Copies {
    schema: SchemaRef,
    buckets: Vec<i64>,
}

impl Copies {
    /// Copies rows of `schema`.
    ///
    /// # Errors
    /// None that a plan can cause.
    pub(super) fn new(schema: &Schema, side: &str) -> Result<Copies> {
        Ok(Copies { schema: with_bucket(schema, side), buckets: buckets()? })
    }
}

impl Transform for Copies {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let rows = 0..input.len() as u32;
        let copies = match is_planted("fewer-copies") {
            true => &self.buckets[BUCKETS - 2..],
            false => &self.buckets[..],
        };
        let all: UInt32Array =
            copies.iter().flat_map(|_| rows.clone()).collect::<Vec<u32>>().into();
        let buckets = copies.iter().flat_map(|bucket| rows.clone().map(|_| *bucket));
        out.push(placed(input.take(&all)?, buckets.collect(), &self.schema)?);
        Ok(())
    }

    fn explain(&self) -> String {
        format!("copies rows to {} buckets", self.buckets.len())
    }

    fn origin(&self, column: usize) -> Option<usize> {
        (column + 1 < self.schema.fields().len()).then_some(column)
    }

    fn copy(&self) -> Option<usize> {
        Some(self.schema.fields().len() - 1)
    }
}

#[cfg(test)]
mod tests;
