//! Values by rank: the sketch of Karnin, Lang and Liberty (KLL, 2016) with k = 400.
//!
//! Invariants: what is returned is one of the values; its rank is off by at most 0.8 % of the number of
//! values, for 99 of 100 sketches, whatever the values are. Up to 400 values are exact. NaN is the
//! greatest value. The sketch throws coins, so two runs over more values may differ within that bound.

use std::fmt;
use std::num::ParseFloatError;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Float64Builder, ListBuilder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Float64Type};
use datasketches::common::SearchCriteria;
use datasketches::kll::KllSketch;
use thalweg_types::{Error, Result};

use super::{Family, Sketched, damaged};
use crate::function::AggregateFunction;

/// How many values the widest level of a sketch has; part of the stored format.
const K: u16 = 400;

/// Returns the values of these shares, from 0 to 1, of numbers that become DOUBLE: one DOUBLE, or
/// for [`Shares::Each`] an ARRAY of them; NULL over no values.
///
/// # Errors
/// `Invalid` for an argument that is no number, or a share that is not from 0 to 1.
pub fn approx_percentile(
    argument: &DataType,
    shares: Shares,
) -> Result<Arc<dyn AggregateFunction>> {
    if !argument.is_numeric() {
        let what = format!("APPROX_PERCENTILE does not take {argument}");
        return Err(Error::invalid(what).remedy("write APPROX_PERCENTILE(number, 0.5)"));
    }
    if !shares.all().iter().all(|share| (0.0..=1.0).contains(share)) {
        return Err(Error::invalid("a share of APPROX_PERCENTILE is not from 0 to 1"));
    }
    let result = match shares {
        Shares::One(_) => DataType::Float64,
        Shares::Each(_) => DataType::List(item()),
    };
    let name = format!("approx_percentile({argument}, {shares})");
    Ok(Sketched::make(name, result, Percentile { shares }))
}

/// Which values are asked for: each is the least that has so great a share of all values at or below.
#[derive(Clone, Debug, PartialEq)]
pub enum Shares {
    /// One.
    One(f64),
    /// An array of them.
    Each(Vec<f64>),
}

impl Shares {
    fn all(&self) -> &[f64] {
        match self {
            Shares::One(share) => std::slice::from_ref(share),
            Shares::Each(shares) => shares,
        }
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shares::One(share) => write!(f, "{share}"),
            Shares::Each(shares) => write!(f, "{shares:?}"),
        }
    }
}

impl FromStr for Shares {
    type Err = ParseFloatError;

    fn from_str(text: &str) -> Result<Shares, ParseFloatError> {
        match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            None => Ok(Shares::One(text.parse()?)),
            Some("") => Ok(Shares::Each(Vec::new())),
            Some(each) => {
                Ok(Shares::Each(each.split(", ").map(str::parse).collect::<Result<_, _>>()?))
            }
        }
    }
}

fn item() -> FieldRef {
    Arc::new(Field::new("item", DataType::Float64, true))
}

/// Returns a number that sorts as `value` does: −0.0 as 0.0, every NaN as one, above all others.
fn sortable(value: f64) -> i64 {
    let one_of_its_kind = if value.is_nan() { f64::NAN.abs() } else { value + 0.0 };
    flipped(one_of_its_kind.to_bits() as i64)
}

/// Turns the order of negative numbers around; its own inverse.
fn flipped(bits: i64) -> i64 {
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

fn unsortable(number: i64) -> f64 {
    f64::from_bits(flipped(number) as u64)
}

#[derive(Clone, Debug)]
struct Percentile {
    shares: Shares,
}

impl Percentile {
    fn of(&self, sketch: &KllSketch<i64>) -> Result<Vec<f64>> {
        let found = sketch.quantiles(self.shares.all(), SearchCriteria::Inclusive);
        let found = found.map_err(|error| Error::internal(error.to_string()))?;
        Ok(found.unwrap_or_default().into_iter().map(unsortable).collect())
    }
}

impl Family for Percentile {
    type Sketch = KllSketch<i64>;
    type Values = ArrayRef;

    const IS_RETRACTABLE: bool = false;

    fn sketch(&self) -> Result<KllSketch<i64>> {
        KllSketch::new(K).map_err(|error| Error::internal(error.to_string()))
    }

    fn values(&self, column: &ArrayRef) -> Result<ArrayRef> {
        Ok(cast(column, &DataType::Float64)?)
    }

    fn add(sketch: &mut KllSketch<i64>, values: &ArrayRef, row: usize, weight: i64) -> Result<()> {
        let value = sortable(values.as_primitive::<Float64Type>().value(row));
        (0..weight).for_each(|_| sketch.update(value));
        Ok(())
    }

    fn merge(sketch: &mut KllSketch<i64>, stored: &[u8]) -> Result<()> {
        let other = KllSketch::deserialize(stored).map_err(damaged)?;
        sketch.merge(&other).map_err(damaged)
    }

    fn store(sketch: &KllSketch<i64>) -> Vec<u8> {
        sketch.serialize()
    }

    fn bytes(sketch: &KllSketch<i64>) -> usize {
        size_of::<KllSketch<i64>>() + sketch.num_retained() * size_of::<i64>()
    }

    fn read(&self, sketches: &[Option<&KllSketch<i64>>]) -> Result<ArrayRef> {
        let found = sketches.iter().map(|sketch| sketch.map(|sketch| self.of(sketch)).transpose());
        let found = found.collect::<Result<Vec<_>>>()?.into_iter();
        Ok(match &self.shares {
            Shares::One(_) => {
                Arc::new(found.map(|values| values?.first().copied()).collect::<Float64Array>())
            }
            Shares::Each(_) => {
                let mut lists = ListBuilder::new(Float64Builder::new()).with_field(item());
                found.for_each(|values| {
                    lists.append_option(values.map(|values| values.into_iter().map(Some)));
                });
                Arc::new(lists.finish())
            }
        })
    }
}
