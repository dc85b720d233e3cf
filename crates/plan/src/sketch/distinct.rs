//! How many values differ: HyperLogLog with 2¹⁴ registers (Flajolet, Fusy, Gandouet, Meunier 2007).
//!
//! Invariants: the estimate depends on the set of values alone, neither on their order nor on how they
//! were shared out before they were merged, so it is made of the registers and not of their history
//! (no HIP estimator). A few hundred values are kept as they hash, and counted almost exactly.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, new_empty_array};
use arrow::datatypes::DataType;
use datasketches::hll::{HllSketch, HllType, HllUnion};
use thalweg_types::hash::hash_rows;
use thalweg_types::{Error, Result};

use super::{Family, Sketched, damaged};
use crate::function::AggregateFunction;

/// The binary logarithm of the number of registers; part of the stored format.
const LG_REGISTERS: u8 = 14;

/// Returns the number of values that differ, a BIGINT; 0 over no values.
///
/// # Errors
/// `Invalid` for types that cannot be keys.
pub fn approx_count_distinct(argument: &DataType) -> Result<Arc<dyn AggregateFunction>> {
    hashes(&new_empty_array(argument))?;
    let name = format!("approx_count_distinct({argument})");
    Ok(Sketched::make(name, DataType::Int64, Distinct))
}

/// Returns the stored hash of each value.
pub(super) fn hashes(column: &ArrayRef) -> Result<Vec<u64>> {
    let mut hashes = Vec::new();
    hash_rows(std::slice::from_ref(column), column.len(), &mut hashes)?;
    Ok(hashes)
}

#[derive(Clone, Debug)]
struct Distinct;

impl Family for Distinct {
    type Sketch = HllUnion;
    type Values = Vec<u64>;

    const IS_RETRACTABLE: bool = false;

    fn sketch(&self) -> Result<HllUnion> {
        HllUnion::new(LG_REGISTERS).map_err(|error| Error::internal(error.to_string()))
    }

    fn values(&self, column: &ArrayRef) -> Result<Vec<u64>> {
        hashes(column)
    }

    fn add(sketch: &mut HllUnion, hashes: &Vec<u64>, row: usize, _: i64) -> Result<()> {
        // Bytes, since a number is hashed in the byte order of the machine.
        sketch.update_value(hashes[row].to_le_bytes());
        Ok(())
    }

    fn merge(sketch: &mut HllUnion, stored: &[u8]) -> Result<()> {
        sketch.update(&HllSketch::deserialize(stored).map_err(damaged)?);
        Ok(())
    }

    fn store(sketch: &HllUnion) -> Vec<u8> {
        sketch.to_sketch(HllType::Hll8).serialize()
    }

    fn bytes(sketch: &HllUnion) -> usize {
        sketch.estimated_size()
    }

    fn read(&self, sketches: &[Option<&HllUnion>]) -> Result<ArrayRef> {
        let count = |sketch: &HllUnion| sketch.composite_estimate().round() as i64;
        let counts = sketches.iter().map(|sketch| sketch.map_or(0, count));
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }
}
