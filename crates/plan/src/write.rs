//! How a result comes to a sink: as inserts, by key, or as a changelog.
//!
//! Invariant: a sink gets what it accepts; a result that it cannot take is refused here, where all
//! ways in pass. A key that tells the rows of a result apart may be part of the sink's key: then
//! each row that the result takes back is taken back under its own key. Where whole rows are taken back
//! they are the same as when they were inserted, so none of them was shown a clock that went on since.

use std::collections::BTreeSet;

use thalweg_types::{Error, NodeId, Result};

use crate::Plan;
use crate::graph::PlanBuilder;
use crate::node::{CompactNode, Exchange, Input, NodeKind, SinkNode};
use crate::sink::Accepts;
use crate::unique;

/// Adds a sink behind an output of a node.
///
/// # Errors
/// `Invalid` if the result is updated in a way that the sink cannot take.
pub fn add(builder: &mut PlanBuilder, input: Input, sink: SinkNode) -> Result<NodeId> {
    let plan = builder.plan();
    let (schema, is_updating) =
        (plan.output_schema(input.from, input.port), plan.is_updating(&input));
    let is_by_key = matches!(sink.sink.accepts(), Accepts::Upsert(_));
    check_clock(plan, (input.from, is_by_key))?;
    let input = match (sink.sink.accepts(), is_updating) {
        (Accepts::Append, true) => return Err(takes_inserts_only(&sink.table)),
        (Accepts::Append, false) | (Accepts::Changelog, _) => input,
        // What comes later of a key must not be written by somebody who is faster.
        (Accepts::Upsert(key), false) => Input { exchange: Exchange::ByKey(key), ..input },
        (Accepts::Upsert(key), true) => {
            check_key(builder, &input, (&key, &sink.table))?;
            let input = Input { exchange: Exchange::ByKey(key.clone()), ..input };
            let compact = NodeKind::Compact(CompactNode { key });
            let from = builder.add(compact, vec![input], schema.clone());
            Input { from, port: 0, exchange: Exchange::Forward }
        }
    };
    Ok(builder.add(NodeKind::Sink(sink), vec![input], schema))
}

fn takes_inserts_only(table: &str) -> Error {
    Error::invalid(format!(
        "the result of this query is updated as rows come, and table `{table}` takes inserts only"
    ))
    .remedy(
        "aggregate over windows (TUMBLE, HOP, …), or write to a table with 'format' = \
         'debezium-json', or with a PRIMARY KEY and 'format' = 'upsert-json'",
    )
}

/// Checks that no rows are shown the clock that may be taken back when it shows another time; those
/// that a sink `by_key` gets may be, since it is told of their keys alone.
fn check_clock(plan: &Plan, (from, by_key): (NodeId, bool)) -> Result<()> {
    let (mut known, mut left) = (BTreeSet::new(), vec![(from, by_key)]);
    while let Some((from, by_key)) = left.pop() {
        if !known.insert((from, by_key)) {
            continue;
        }
        let node = plan.node(from);
        let is_shown = match &node.kind {
            NodeKind::Map(map) => map.transforms.iter().any(|map| map.is_processing_time()),
            _ => false,
        };
        if is_shown && node.is_updating && !by_key {
            return Err(Error::invalid(
                "rows that may be taken back are shown the clock, which shows another time by then",
            )
            .remedy(
                "ask for the clock before rows are grouped, joined or ranked, or write the result by \
                 key: to a table with a PRIMARY KEY and 'format' = 'upsert-json'",
            ));
        }
        let is_stateless = matches!(node.kind, NodeKind::Map(_) | NodeKind::Union);
        left.extend(node.inputs.iter().map(|input| (input.from, by_key && is_stateless)));
    }
    Ok(())
}

/// Checks that rows of the result that differ in the sink's key are different rows, and equal ones
/// the same.
fn check_key(builder: &PlanBuilder, input: &Input, (key, table): (&[usize], &str)) -> Result<()> {
    let known = unique::keys(builder.plan(), input.from);
    if known.iter().any(|known| known.iter().all(|column| key.contains(column))) {
        return Ok(());
    }
    let schema = builder.plan().output_schema(input.from, input.port);
    let names = |key: &[usize]| {
        let names: Vec<&str> = key.iter().map(|c| schema.field(*c).name().as_str()).collect();
        format!("({})", names.join(", "))
    };
    let own = names(key);
    let message = format!("table `{table}` has PRIMARY KEY {own}, and");
    Err(match known.first() {
        Some(known) => {
            let known = names(known);
            let message = format!("{message} the rows of this query are told apart by {known}");
            Error::invalid(message)
                .remedy(format!("declare PRIMARY KEY {known}, or group by {own}"))
        }
        None => Error::invalid(format!(
            "{message} nothing is known to tell the rows of this query apart"
        ))
        .remedy(format!("group by {own}, or write with 'format' = 'debezium-json'")),
    })
}
