//! Joins: what two inputs kept of each other's keys.
//!
//! Two operators over the same lists of rows by key: one for results that only grow, which sends rows
//! as they come, and one for results that are updated, which sends what changed at the end of each
//! epoch. Which one a join needs is decided when it is planned.

mod side;

mod expiry;
mod keys;
mod lifetime;
mod pairs;

mod appending;
mod current;
mod updating;
mod versions;

use arrow::datatypes::SchemaRef;
use thalweg_plan::join::{JoinNode, TemporalJoinNode, Versions};
use thalweg_types::{Epoch, EventTime, Moment, Result};

use self::expiry::Expiry;
use self::keys::Keys;
use self::pairs::Shape;
use self::side::Side;
use crate::operator::Operator;

/// Names of the tables of state: rows of the left input, rows of the right.
const TABLES: [&str; 2] = ["left", "right"];

/// The moment of an operator that has seen no close.
const BEFORE_ALL: Moment =
    Moment { epoch: Epoch(0), clock: EventTime::MIN, watermark: EventTime::MIN };

/// Makes the operator of a join.
///
/// # Errors
/// `Invalid` if a type is not supported.
pub fn make(
    node: JoinNode,
    inputs: [SchemaRef; 2],
    output: SchemaRef,
    is_updating: bool,
) -> Result<Box<dyn Operator>> {
    let shape = Shape::new(node, inputs, output);
    Ok(match is_updating {
        false => Box::new(appending::AppendJoin::new(shape)?),
        true => Box::new(updating::UpdatingJoin::new(shape)?),
    })
}

/// Makes the operator of a join with versions of a table.
///
/// # Errors
/// `Invalid` if a type is not supported.
pub fn make_temporal(
    node: TemporalJoinNode,
    inputs: [SchemaRef; 2],
    output: SchemaRef,
) -> Result<Box<dyn Operator>> {
    let shape = Shape::new(node.join, inputs, output);
    Ok(match node.versions {
        Versions::Current { waits } => Box::new(current::CurrentJoin::new(shape, waits)?),
        Versions::ByTime { left, right, from } => {
            Box::new(versions::VersionJoin::new(shape, [left, right], from)?)
        }
    })
}

/// Returns about how many bytes and rows a join keeps.
fn size(keys: &Keys, sides: &[Side; 2], expiry: Option<&[Expiry; 2]>) -> (usize, usize) {
    let rows = sides.iter().map(|side| side.rows.len()).sum();
    let expiry: usize = expiry.into_iter().flatten().map(Expiry::bytes).sum();
    let sides: usize = sides.iter().map(Side::bytes).sum();
    (keys.bytes() + sides + expiry, rows)
}

#[cfg(test)]
mod tests;
