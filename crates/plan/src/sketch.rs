//! Aggregates that approximate: sketches, whose state is bounded however many rows there are.
//!
//! What must always hold: sketches merge, in any order; values are told apart by the stored hash or by
//! what they are written as, so that all workers agree; reading consumes nothing, and a value read twice
//! is the same. What is stored is one binary column: nothing for a group without values, else the
//! version of the state and the sketch (`fixtures/sketch` must open for ever).
//!
//! | sketch | aggregate | error |
//! |---|---|---|
//! | [`distinct`] | how many values differ | standard error 0.8 % |
//! | [`percentile`] | values by rank | rank by 0.8 %, for 99 of 100 |
//! | [`frequent`] | the most frequent values | 0.35 % of all rows, at most |
//! | [`moment`] | the sum of the squared frequencies | standard error 2 % |

pub mod distinct;
pub mod frequent;
pub mod moment;
pub mod percentile;

use std::fmt::{Debug, Display};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeBinaryArray};
use arrow::datatypes::{DataType, Field, FieldRef};
use thalweg_types::{Error, Groups, Result};

use crate::function::{Accumulator, AggregateFunction, Rows};

/// The version of what is stored, its first byte.
const VERSION: u8 = 1;

/// A kind of sketch: how one is filled, merged, stored and read.
trait Family: Clone + Debug + Send + Sync + 'static {
    /// A sketch over the values of one group.
    type Sketch: Send;
    /// What is read of a column of arguments.
    type Values;

    /// Can values be taken back?
    const IS_RETRACTABLE: bool;

    fn sketch(&self) -> Result<Self::Sketch>;

    fn values(&self, column: &ArrayRef) -> Result<Self::Values>;

    /// Adds the value of `row`, which is not NULL, `weight` times.
    fn add(sketch: &mut Self::Sketch, values: &Self::Values, row: usize, weight: i64)
    -> Result<()>;

    fn merge(sketch: &mut Self::Sketch, stored: &[u8]) -> Result<()>;

    fn store(sketch: &Self::Sketch) -> Vec<u8>;

    /// Returns about how many bytes a sketch takes.
    fn bytes(sketch: &Self::Sketch) -> usize;

    /// Returns the value of each group; there is no sketch where there were no values.
    fn read(&self, sketches: &[Option<&Self::Sketch>]) -> Result<ArrayRef>;
}

/// An aggregate by sketches of one family.
#[derive(Clone, Debug)]
struct Sketched<F> {
    name: String,
    result: FieldRef,
    family: F,
}

impl<F: Family> Sketched<F> {
    /// Names an aggregate by all that decides its state and its value.
    fn make(name: String, result: DataType, family: F) -> Arc<dyn AggregateFunction> {
        let result = Arc::new(Field::new("sketch", result, true));
        Arc::new(Sketched { name, result, family })
    }
}

impl<F: Family> AggregateFunction for Sketched<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn result(&self) -> FieldRef {
        self.result.clone()
    }

    fn state(&self) -> Vec<FieldRef> {
        vec![Arc::new(Field::new("sketch", DataType::LargeBinary, false))]
    }

    fn is_retractable(&self) -> bool {
        F::IS_RETRACTABLE
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let (family, name) = (self.family.clone(), self.name.clone());
        Ok(Box::new(Sketches { family, name, groups: Vec::new(), bytes: 0 }))
    }
}

/// A sketch for each group that has values.
struct Sketches<F: Family> {
    family: F,
    name: String,
    groups: Vec<Option<F::Sketch>>,
    /// Bytes of all sketches.
    bytes: usize,
}

impl<F: Family> Sketches<F> {
    fn resize(&mut self, total: usize) {
        self.groups.resize_with(total.max(self.groups.len()), || None);
    }

    /// Changes the sketch of a group, which is made if there is none.
    fn change(&mut self, group: u32, f: impl FnOnce(&mut F::Sketch) -> Result<()>) -> Result<()> {
        let place = &mut self.groups[group as usize];
        let before = place.as_ref().map_or(0, F::bytes);
        let sketch = match place {
            Some(sketch) => sketch,
            none => none.insert(self.family.sketch()?),
        };
        f(sketch)?;
        self.bytes = self.bytes + F::bytes(sketch) - before;
        Ok(())
    }

    fn of(&self, groups: Groups<'_>) -> Vec<Option<&F::Sketch>> {
        let mut sketches = Vec::with_capacity(groups.len());
        groups.for_each(|group| sketches.push(self.groups.get(group).and_then(Option::as_ref)));
        sketches
    }
}

impl<F: Family> Accumulator for Sketches<F> {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.resize(rows.total);
        let column = &rows.arguments[0];
        let values = self.family.values(column)?;
        for (row, group) in rows.groups.iter().enumerate() {
            let weight = rows.weight(row);
            if weight == 0 || column.is_null(row) {
                continue;
            }
            if weight < 0 && !F::IS_RETRACTABLE {
                return Err(Error::internal(format!("a row was taken back from {}", self.name)));
            }
            self.change(*group, |sketch| F::add(sketch, &values, row, weight))?;
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.resize(total);
        for (group, stored) in groups.iter().zip(partial[0].as_binary::<i64>()) {
            match stored.and_then(<[u8]>::split_first) {
                None => {}
                Some((&VERSION, stored)) => {
                    self.change(*group, |sketch| F::merge(sketch, stored))?
                }
                Some((version, _)) => {
                    let what = format!("{} is stored as version {version}", self.name);
                    return Err(Error::state(what).remedy("run the release that wrote it"));
                }
            }
        }
        Ok(())
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let stored = self.of(groups).into_iter().map(|sketch| {
            let stored = sketch.map(F::store);
            stored.map_or_else(Vec::new, |stored| [&[VERSION], stored.as_slice()].concat())
        });
        Ok(vec![Arc::new(LargeBinaryArray::from_iter_values(stored))])
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        self.family.read(&self.of(groups))
    }

    fn clear(&mut self) {
        (self.groups, self.bytes) = (Vec::new(), 0);
    }

    fn bytes(&self) -> usize {
        self.bytes + self.groups.capacity() * size_of::<Option<F::Sketch>>()
    }
}

/// Returns the aggregate of this module that has this name; `None` if it is none of them.
pub fn named(name: &str) -> Option<Arc<dyn AggregateFunction>> {
    let (kind, arguments) = name.strip_suffix(')')?.split_once('(')?;
    let (argument, number) = match kind {
        "approx_percentile" if arguments.ends_with(']') => {
            arguments.split_at(arguments.rfind(", [")?)
        }
        "approx_percentile" | "approx_top_k" => arguments.split_at(arguments.rfind(", ")?),
        _ => (arguments, ""),
    };
    let argument: DataType = argument.parse().ok()?;
    let number = number.trim_start_matches(", ");
    let made = match kind {
        "approx_count_distinct" => distinct::approx_count_distinct(&argument),
        "approx_percentile" => percentile::approx_percentile(&argument, number.parse().ok()?),
        "approx_top_k" => frequent::approx_top_k(&argument, number.parse().ok()?),
        "approx_f2" => moment::approx_f2(&argument),
        _ => return None,
    };
    made.ok()
}

/// Returns the error of a stored sketch that cannot be read.
fn damaged(reason: impl Display) -> Error {
    Error::state(format!("a stored sketch cannot be read: {reason}"))
}

#[cfg(test)]
mod tests;
