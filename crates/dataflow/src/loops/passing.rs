//! Steps that keep nothing beyond their epoch: what they send is linear in what they get.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, UInt32Array};
use arrow::datatypes::{SchemaRef, UInt32Type};
use thalweg_plan::function::Transform;
use thalweg_plan::node::{BadRecords, MapNode};
use thalweg_types::{Change, Result};

use super::codes::{Code, Codec};
use super::history::sum;
use super::logic::{Came, Logic, Sent};
use super::time::Rounds;
use crate::chain;
use crate::operators::batches::{BATCH_ROWS, batch};

/// Applies stateless functions.
pub(super) struct Apply(MapNode);

impl Apply {
    /// Returns the step; `name` is what the user calls the loop.
    pub(super) fn new(transforms: &[Arc<dyn Transform>], name: &str) -> Apply {
        Apply(MapNode {
            transforms: transforms.to_vec(),
            bad_records: BadRecords::Fail,
            statement: name.to_owned(),
        })
    }
}

impl Logic for Apply {
    fn batch(&mut self, _: usize, came: Came, out: &mut Sent) -> Result<()> {
        let mapped = chain::apply(&self.0, came.change, &came.moment)?;
        mapped.rows.into_iter().for_each(|change| out.send(came.rounds, change));
        Ok(())
    }
}

/// Passes rows on in later rounds.
pub(super) struct Delay {
    rounds: Apply,
    /// The level whose rounds are meant.
    level: usize,
}

impl Delay {
    /// Returns the step in a loop that the user calls `name`, with `depth` loops around it; `rounds` makes
    /// a column of by how many rounds.
    pub(super) fn new(rounds: Arc<dyn Transform>, name: &str, depth: usize) -> Delay {
        Delay { rounds: Apply::new(&[rounds], name), level: depth - 1 }
    }
}

impl Logic for Delay {
    fn batch(&mut self, _: usize, came: Came, out: &mut Sent) -> Result<()> {
        let delays = chain::apply(&self.rounds.0, came.change.clone(), &came.moment)?.rows;
        let mut by_delay: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let delays = delays.iter().flat_map(|delays| {
            delays.rows.column(0).as_primitive::<UInt32Type>().values().iter().copied()
        });
        for (row, delay) in (0..).zip(delays) {
            by_delay.entry(delay).or_default().push(row);
        }
        for (delay, rows) in by_delay {
            let mut rounds = came.rounds;
            // Rounds that cannot be counted are more than a loop may have, and end it.
            rounds.0[self.level] = rounds.0[self.level].saturating_add(delay);
            out.send(rounds, came.change.take(&UInt32Array::from(rows))?);
        }
        Ok(())
    }
}

/// Passes on the rows of all inputs under the names of one schema, those of some inputs taken back.
pub(super) struct Pass {
    pub(super) schema: SchemaRef,
    /// The input whose rows are taken back, if there is one.
    pub(super) less: Option<usize>,
}

impl Logic for Pass {
    fn batch(&mut self, input: usize, came: Came, out: &mut Sent) -> Result<()> {
        let Came { rounds, change, .. } = came;
        let (count, columns) = (change.len(), change.rows.columns().to_vec());
        let rows = batch(&self.schema, columns, count)?;
        let weights = match self.less == Some(input) {
            true => Some(Int64Array::from_iter_values((0..count).map(|row| -change.weight(row)))),
            false => change.weights,
        };
        out.send(rounds, Change { rows, weights });
        Ok(())
    }
}

/// Passes on what is left of the rows of each round when those that came and went are taken out.
///
/// A loop without reductions needs it: there a row and its retraction would go round for ever.
pub(super) struct Net {
    schema: SchemaRef,
    codec: Codec,
    came: BTreeMap<Rounds, HashMap<Code, i64>>,
}

impl Net {
    /// Returns the step.
    ///
    /// # Errors
    /// `Invalid` if values of a type cannot be compared.
    pub(super) fn new(schema: SchemaRef) -> Result<Net> {
        let codec = Codec::new(&schema, (0..schema.fields().len()).collect())?;
        Ok(Net { schema, codec, came: BTreeMap::new() })
    }
}

impl Logic for Net {
    fn batch(&mut self, _: usize, came: Came, out: &mut Sent) -> Result<()> {
        let rows = self.came.entry(came.rounds).or_default();
        for (row, code) in self.codec.encode(&came.change.rows)?.into_iter().enumerate() {
            let weight = rows.entry(code).or_default();
            *weight = sum(*weight, came.change.weight(row))?;
        }
        out.wait(came.rounds);
        Ok(())
    }

    fn close(&mut self, rounds: Rounds, out: &mut Sent) -> Result<()> {
        let rows = self.came.remove(&rounds).unwrap_or_default();
        let mut rows: Vec<(Code, i64)> = rows.into_iter().filter(|(_, w)| *w != 0).collect();
        rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for rows in rows.chunks(BATCH_ROWS) {
            let columns = self.codec.decode(rows.iter().map(|(code, _)| code.as_ref()))?;
            let weights = rows.iter().map(|(_, weight)| *weight);
            out.send_rows(rounds, batch(&self.schema, columns, rows.len())?, weights)?;
        }
        Ok(())
    }
}
