//! Steps without state: what they send is linear in what they get.

use std::sync::Arc;

use arrow::array::Int64Array;
use arrow::datatypes::SchemaRef;
use thalweg_plan::function::Transform;
use thalweg_plan::node::{BadRecords, MapNode};
use thalweg_types::{Change, Result};

use super::logic::{Came, Logic, Sent};
use crate::chain;
use crate::operators::batches::batch;

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
