//! By which columns the rows of a result are told apart.
//!
//! Invariant: at the end of each epoch no two rows of the node's result are equal in all columns of
//! a key. A key that a table declares is taken at its word. Whoever adds a node kind says here what
//! it keeps of the keys of its inputs; nothing is always right.

use std::ops::RangeInclusive;

use thalweg_types::NodeId;

use crate::graph::Plan;
use crate::join::{JoinKind, JoinNode, Versions};
use crate::loops::{LoopNode, Reducing, StepKind};
use crate::node::{AggregateNode, MapNode, Node, NodeKind, Ranking, Stage};
use crate::pane::PaneColumn;

/// Columns that tell rows apart; none if there is one row at most.
pub type Key = Vec<usize>;

/// Returns the known keys of output 0 of node `id`, each in ascending order.
pub fn keys(plan: &Plan, id: NodeId) -> Vec<Key> {
    let node = plan.node(id);
    let mut keys = match &node.kind {
        NodeKind::Source(source) if source.key.is_empty() => Vec::new(),
        NodeKind::Source(source) => vec![source.key.clone()],
        NodeKind::Upsert(upsert) => vec![upsert.key.clone()],
        NodeKind::Compact(compact) => vec![compact.key.clone()],
        NodeKind::Map(map) => through(map, input_keys(plan, node)),
        NodeKind::Aggregate(aggregate) => of_aggregate(aggregate),
        NodeKind::WindowTop(top) => {
            let partition =
                [top.window.start, top.window.end].into_iter().chain(top.partition.clone());
            let ranked = of_rank(partition, &top.ranks, top.rank.then(|| last_column(node)));
            input_keys(plan, node).into_iter().chain(ranked).collect()
        }
        NodeKind::Top(top) if top.ranking == Ranking::RowNumber => {
            let rank = top.has_rank.then(|| last_column(node));
            let ranked = of_rank(top.partition.iter().copied(), &top.ranks, rank);
            input_keys(plan, node).into_iter().chain(ranked).collect()
        }
        NodeKind::Top(_) | NodeKind::Over(_) => input_keys(plan, node),
        NodeKind::Join(join) => of_join(plan, node, join),
        NodeKind::TemporalJoin(temporal) => match temporal.versions {
            // A row meets one version at most.
            Versions::ByTime { .. } => {
                let left = node.inputs.first().map(|input| keys(plan, input.from));
                put_out(left.unwrap_or_default(), &temporal.join.output)
            }
            Versions::Current { .. } => of_join(plan, node, &temporal.join),
        },
        NodeKind::Sort(_) | NodeKind::SessionRows(_) | NodeKind::Check(_) => input_keys(plan, node),
        NodeKind::Loop(node) => of_loop(node),
        NodeKind::CountWindow(_)
        | NodeKind::Match(_)
        | NodeKind::Process(_)
        | NodeKind::Union
        | NodeKind::Sink(_) => Vec::new(),
    };
    keys.iter_mut().for_each(|key| key.sort_unstable());
    keys
}

/// A reduction makes one row of each key, unless a function does it; a loop within leaves them as they are.
fn of_loop(node: &LoopNode) -> Vec<Key> {
    match &node.steps[node.result.0].kind {
        StepKind::Reduce { reducing: Reducing::By(_), .. } => Vec::new(),
        StepKind::Reduce { keys, .. } => vec![(0..*keys).collect()],
        _ => Vec::new(),
    }
}

fn input_keys(plan: &Plan, node: &Node) -> Vec<Key> {
    match node.inputs.as_slice() {
        [input] if input.port == 0 => keys(plan, input.from),
        _ => Vec::new(),
    }
}

/// Returns the keys that all functions of a chain pass on.
fn through(map: &MapNode, keys: Vec<Key>) -> Vec<Key> {
    map.transforms.iter().fold(keys, |keys, transform| {
        let columns = 0..transform.schema().fields().len();
        let origins: Vec<Option<usize>> = columns.map(|column| transform.origin(column)).collect();
        let place = |column: &usize| origins.iter().position(|origin| *origin == Some(*column));
        // A key of no columns says that there is one row, which a flat map may multiply.
        let is_flat = !transform.is_row_by_row() && origins.iter().all(Option::is_none);
        let moved = |key: Key| {
            key.iter().map(place).chain(transform.copy().map(Some)).collect::<Option<Key>>()
        };
        keys.into_iter().filter(|key| !(key.is_empty() && is_flat)).filter_map(moved).collect()
    })
}

fn of_aggregate(aggregate: &AggregateNode) -> Vec<Key> {
    let head = if aggregate.window.is_some() { 2 } else { 0 };
    let group: Key = (0..head + aggregate.keys.len()).collect();
    match (aggregate.stage, &aggregate.panes) {
        (Stage::Partial, _) => Vec::new(),
        // Panes that are not taken back differ in their number, where that is a column.
        (_, Some(panes)) if !panes.is_updating() => {
            let said = group.len() + aggregate.shown_calls().len();
            let index = panes.columns.iter().position(|column| *column == PaneColumn::Index);
            index.map(|index| [group, vec![said + index]].concat()).into_iter().collect()
        }
        _ => vec![group],
    }
}

fn last_column(node: &Node) -> usize {
    node.schema.fields().len() - 1
}

/// Rows of one partition differ in their number, where it is a column; there may be one only.
fn of_rank(
    partition: impl Iterator<Item = usize>,
    ranks: &RangeInclusive<usize>,
    column: Option<usize>,
) -> Option<Key> {
    match column {
        Some(column) => Some(partition.chain([column]).collect()),
        None if ranks.start() == ranks.end() => Some(partition.collect()),
        None => None,
    }
}

/// A pair is told by the keys of both its rows, or by that of one where it meets one row at most.
fn of_join(plan: &Plan, node: &Node, join: &JoinNode) -> Vec<Key> {
    let [left, right] = node.inputs.as_slice() else { return Vec::new() };
    let width = plan.output_schema(left.from, left.port).fields().len();
    let (left, right) = (keys(plan, left.from), keys(plan, right.from));
    let (left_on, right_on): (Vec<usize>, Vec<usize>) = join.keys.iter().copied().unzip();
    let meets_one = |keys: &[Key], on: &[usize]| {
        keys.iter().any(|key| key.iter().all(|column| on.contains(column)))
    };
    let alone_left = meets_one(&right, &right_on);
    let alone_right = meets_one(&left, &left_on);
    let right: Vec<Key> =
        right.iter().map(|key| key.iter().map(|column| width + column).collect()).collect();
    let pairs = left.iter().flat_map(|l| right.iter().map(|r| [l.as_slice(), r].concat()));
    let mut found: Vec<Key> = match join.kind {
        JoinKind::Semi | JoinKind::Anti => left.clone(),
        // Two rows that match nothing may both have NULLs for a key.
        JoinKind::Full => Vec::new(),
        JoinKind::Inner | JoinKind::Left | JoinKind::Right => pairs.collect(),
    };
    if alone_left && matches!(join.kind, JoinKind::Inner | JoinKind::Left) {
        found.extend(left);
    }
    if alone_right && matches!(join.kind, JoinKind::Inner | JoinKind::Right) {
        found.extend(right);
    }
    put_out(found, &join.output)
}

/// Returns the keys of which all columns come out, where they do.
fn put_out(keys: Vec<Key>, output: &[usize]) -> Vec<Key> {
    let place = |column: &usize| output.iter().position(|out| out == column);
    keys.iter().filter_map(|key| key.iter().map(place).collect()).collect()
}

#[cfg(test)]
mod tests;
