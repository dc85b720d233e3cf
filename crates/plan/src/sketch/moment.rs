//! The second frequency moment, Σ f², the size of a self-join: the tug-of-war of Alon, Matias and
//! Szegedy (1996), a row of whose counters an item pulls at one of, as of Thorup and Zhang (2004).
//!
//! An item adds ±1 to one counter of each row; where and which is decided by a polynomial over its
//! stored hash, four-wise independent as the theorem asks. The sum of the squares of a row is right on
//! average, with a relative variance of at most 2 / `WIDTH`; the answer is the median of the rows.
//!
//! Invariants: the sketch is linear, so a retraction undoes an insertion without a trace, and the answer
//! depends neither on the order of rows nor on how they were shared out. What is stored are the counters
//! that are not zero.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Float64Array, new_empty_array};
use arrow::datatypes::DataType;
use thalweg_types::Result;
use thalweg_types::hash::hash_bytes;

use super::distinct::hashes;
use super::{Family, Sketched, damaged};
use crate::function::AggregateFunction;

/// Counters of a row, and rows; part of the stored format.
const WIDTH: usize = 2048;
const DEPTH: usize = 5;
/// A Mersenne prime: numbers below it are the field of the polynomials.
const PRIME: u64 = (1 << 61) - 1;
/// Counters that are kept one by one before room is made for all.
const FEW: usize = WIDTH * DEPTH / 16;
/// Bytes of a counter that is kept one by one, with its part of the tree.
const FEW_BYTES: usize = 24;

/// Returns the sum of the squared frequencies of the values, a DOUBLE; 0 over no values.
///
/// # Errors
/// `Invalid` for types that cannot be keys.
pub fn approx_f2(argument: &DataType) -> Result<Arc<dyn AggregateFunction>> {
    hashes(&new_empty_array(argument))?;
    Ok(Sketched::make(format!("approx_f2({argument})"), DataType::Float64, Moment))
}

/// The coefficients of the polynomial of each row, drawn once and for ever.
static POLYNOMIALS: LazyLock<[[u64; 4]; DEPTH]> = LazyLock::new(|| {
    let coefficient =
        |row: usize, power: usize| hash_bytes(&[b'f', b'2', row as u8, power as u8]) % PRIME;
    std::array::from_fn(|row| std::array::from_fn(|power| coefficient(row, power)))
});

/// Returns the counter of `row` at which an item pulls, and in which direction.
fn pull(row: usize, hash: u64) -> (u16, i64) {
    let x = u128::from(hash % PRIME);
    let value = POLYNOMIALS[row]
        .iter()
        .fold(0, |sum: u128, coefficient| (sum * x + u128::from(*coefficient)) % u128::from(PRIME));
    let column = (value >> 1) as usize % WIDTH;
    ((row * WIDTH + column) as u16, if value & 1 == 0 { 1 } else { -1 })
}

/// The counters of all rows, those that are not there zero.
enum Counters {
    Few(BTreeMap<u16, i64>),
    All(Box<[i64]>),
}

impl Counters {
    fn add(&mut self, counter: u16, pull: i64) {
        match self {
            Counters::Few(few) => {
                let sum = few.entry(counter).or_default();
                *sum = sum.wrapping_add(pull);
                if *sum == 0 {
                    few.remove(&counter);
                } else if few.len() > FEW {
                    let mut all = vec![0; WIDTH * DEPTH].into_boxed_slice();
                    few.iter().for_each(|(at, sum)| all[usize::from(*at)] = *sum);
                    *self = Counters::All(all);
                }
            }
            Counters::All(all) => {
                let sum = &mut all[usize::from(counter)];
                *sum = sum.wrapping_add(pull);
            }
        }
    }

    /// Calls `f` with each counter that is not zero, in order.
    fn for_each(&self, mut f: impl FnMut(u16, i64)) {
        match self {
            Counters::Few(few) => few.iter().for_each(|(at, sum)| f(*at, *sum)),
            Counters::All(all) => {
                let all = all.iter().enumerate().filter(|(_, sum)| **sum != 0);
                all.for_each(|(at, sum)| f(at as u16, *sum));
            }
        }
    }

    /// Returns the median of the rows' sums of squares.
    fn value(&self) -> f64 {
        let mut rows = [0.0; DEPTH];
        self.for_each(|at, sum| rows[usize::from(at) / WIDTH] += (sum as f64) * (sum as f64));
        rows.sort_by(f64::total_cmp);
        rows[DEPTH / 2]
    }
}

#[derive(Clone, Debug)]
struct Moment;

impl Family for Moment {
    type Sketch = Counters;
    type Values = Vec<u64>;

    const IS_RETRACTABLE: bool = true;

    fn sketch(&self) -> Result<Counters> {
        Ok(Counters::Few(BTreeMap::new()))
    }

    fn values(&self, column: &ArrayRef) -> Result<Vec<u64>> {
        hashes(column)
    }

    fn add(sketch: &mut Counters, hashes: &Vec<u64>, row: usize, weight: i64) -> Result<()> {
        for level in 0..DEPTH {
            let (counter, sign) = pull(level, hashes[row]);
            sketch.add(counter, weight.wrapping_mul(sign));
        }
        Ok(())
    }

    fn merge(sketch: &mut Counters, stored: &[u8]) -> Result<()> {
        let (counters, rest) = stored.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return Err(damaged(format!("{} bytes at its end", rest.len())));
        }
        for entry in counters {
            let (at, sum) = entry.split_at(size_of::<u16>());
            let at = u16::from_le_bytes(at.try_into().expect("two bytes were split off"));
            if usize::from(at) >= WIDTH * DEPTH {
                return Err(damaged(format!("there is no counter {at}")));
            }
            let sum = i64::from_le_bytes(sum.try_into().expect("eight bytes are left"));
            sketch.add(at, sum);
        }
        Ok(())
    }

    fn store(sketch: &Counters) -> Vec<u8> {
        let mut stored = Vec::new();
        sketch.for_each(|at, sum| {
            stored.extend_from_slice(&at.to_le_bytes());
            stored.extend_from_slice(&sum.to_le_bytes());
        });
        stored
    }

    fn bytes(sketch: &Counters) -> usize {
        match sketch {
            Counters::Few(few) => few.len() * FEW_BYTES,
            Counters::All(all) => size_of_val::<[i64]>(all),
        }
    }

    fn read(&self, sketches: &[Option<&Counters>]) -> Result<ArrayRef> {
        let values = sketches.iter().map(|sketch| sketch.map_or(0.0, Counters::value));
        Ok(Arc::new(Float64Array::from_iter_values(values)))
    }
}

/// Bytes of a stored counter: its number and its sum.
const ENTRY_BYTES: usize = size_of::<u16>() + size_of::<i64>();
