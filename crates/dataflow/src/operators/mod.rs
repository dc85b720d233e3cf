//! The operators, one file each. None knows timely.
//!
//! [`make`] is the one place that knows which node kind is which operator.

pub mod batches;
pub mod group_set;
pub mod idle;

pub mod bad_rows;

pub mod distinct_values;

pub mod accumulators;

pub mod keyed;

pub mod slices;

pub mod due;
pub mod ordering;

pub mod coded_rows;

pub mod kept;
pub mod netted;

#[cfg(test)]
mod testing;

pub mod pre_aggregate;

pub mod aggregate;
pub mod check;
pub mod compact;
pub mod count_window;
pub mod first_row;
pub mod join;
pub mod over;
pub mod pattern;
pub mod process;
pub mod sort;
pub mod top;
pub mod upsert;
pub mod window;
pub mod window_top;

use arrow::datatypes::SchemaRef;
use thalweg_plan::node::{Node, NodeKind, Stage};
use thalweg_plan::window::TimeBasis;
use thalweg_types::Result;

use crate::operator::Operator;

/// Makes the operator of `node`, whose inputs have these schemas; `None` if the node needs none.
///
/// # Errors
/// `Invalid` if its types are not supported.
pub fn make(node: &Node, inputs: &[SchemaRef]) -> Result<Option<Box<dyn Operator>>> {
    let output = node.schema.clone();
    let Some(input) = inputs.first().cloned() else { return Ok(None) };
    Ok(match (&node.kind, inputs) {
        (NodeKind::Join(join), [left, right]) => {
            let inputs = [left.clone(), right.clone()];
            Some(join::make(join.clone(), inputs, output, node.is_updating)?)
        }
        (NodeKind::TemporalJoin(join), [left, right]) => {
            let inputs = [left.clone(), right.clone()];
            Some(join::make_temporal(join.clone(), inputs, output)?)
        }
        (NodeKind::Process(process), inputs) => {
            let has_watermark = !node.domains.is_empty();
            Some(Box::new(process::Process::new(process, inputs, has_watermark)?))
        }
        (kind, _) => make_single(kind, input, output)?,
    })
}

/// Makes an operator of one input.
fn make_single(
    kind: &NodeKind,
    input: SchemaRef,
    output: SchemaRef,
) -> Result<Option<Box<dyn Operator>>> {
    Ok(match kind {
        NodeKind::Aggregate(aggregate) => Some(match (aggregate.stage, aggregate.window) {
            _ if let Some(panes) = &aggregate.panes => {
                window::make_panes(aggregate, panes.clone(), &input, output)?
            }
            (Stage::Partial, _) => {
                Box::new(pre_aggregate::PreAggregate::new(aggregate, &input, output)?)
            }
            (_, None) => Box::new(aggregate::Aggregate::new(aggregate, &input, output)?),
            (_, Some(spec)) => window::make(aggregate, spec, &input, output)?,
        }),
        NodeKind::WindowTop(top) => {
            Some(Box::new(window_top::WindowTop::new(top.clone(), input, output)?))
        }
        NodeKind::Top(top) if top.final_by == Some(TimeBasis::Event) => {
            Some(Box::new(first_row::FirstRow::new(top, &input, output)?))
        }
        NodeKind::Top(top) => Some(Box::new(top::Top::new(top, &input, output)?)),
        NodeKind::Over(over) if over.basis.is_none() => {
            Some(Box::new(over::UpdatingOver::new(over, &input, output)?))
        }
        NodeKind::Over(over) => Some(Box::new(over::Over::new(over, &input, output)?)),
        NodeKind::Match(search) => Some(Box::new(pattern::Match::new(search, &input, output)?)),
        NodeKind::SessionRows(node) => Some(window::make_session_rows(node, input)?),
        NodeKind::CountWindow(window) => {
            Some(Box::new(count_window::CountWindow::new(window, &input, output)?))
        }
        NodeKind::Upsert(upsert) => Some(Box::new(upsert::Upsert::new(upsert, output)?)),
        NodeKind::Check(node) => Some(Box::new(check::Check::new(node, &output)?)),
        NodeKind::Compact(compact) => {
            Some(Box::new(compact::Compact::new(compact.key.clone(), output)?))
        }
        NodeKind::Sort(sort) => Some(Box::new(sort::Sort::new(sort.clone(), input)?)),
        NodeKind::Source(_)
        | NodeKind::Map(_)
        | NodeKind::Join(_)
        | NodeKind::TemporalJoin(_)
        | NodeKind::Process(_)
        | NodeKind::Loop(_)
        | NodeKind::Union
        | NodeKind::Sink(_) => None,
    })
}
