//! Can this plan go on with that plan's state?
//!
//! Invariant: the signature of a stateful operator depends only on what decides its state
//! (kind, windows, keys and aggregates by name and type, the time zone of what it keeps), so a script
//! may change in white space, comments, rates, sinks and stateless parts and still find its state.

use std::collections::BTreeSet;

use arrow::datatypes::Schema;
use thalweg_types::{Zone, hash};

use crate::explain::{calls, functions};
use crate::graph::Plan;
use crate::join::JoinNode;
use crate::node::{AggregateCall, CountWindowNode, Node, NodeKind, SortKey, TopNode};
use crate::process::ProcessNode;
use crate::trigger;
use crate::window::{Assigner, TimeBasis, WindowSpec};

/// Returns what decides the state of `node`, as text; `None` if it keeps none.
pub fn signature(plan: &Plan, node: &Node) -> Option<String> {
    if !node.kind.is_stateful() {
        return None;
    }
    let input = &node.inputs[0];
    let schema = plan.output_schema(input.from, input.port);
    let kinds = |columns: &[usize]| -> Vec<String> {
        columns.iter().map(|column| schema.field(*column).data_type().to_string()).collect()
    };
    let decided = match &node.kind {
        NodeKind::Aggregate(aggregate) => {
            let states: Vec<String> = aggregate.calls.iter().map(AggregateCall::name).collect();
            let per = aggregate.window.map(|window| per(plan, node, &window)).unwrap_or_default();
            let (calls, states) = (calls(plan, node).join(", "), states.join(", "));
            let keys: Vec<String> = std::iter::zip(kinds(&aggregate.keys), &aggregate.keys)
                .map(|(kind, key)| format!("{} {kind}", schema.field(*key).name()))
                .collect();
            let panes = aggregate.panes.as_ref();
            let state = trigger::FORMAT;
            let panes = panes.map_or_else(String::new, |p| format!(" {p} (state {state})"));
            format!("{} {calls} by ({}){per}{panes} [{states}]", node.kind.name(), keys.join(", "))
        }
        NodeKind::CountWindow(window) => {
            let (of, by) = (unversioned(&schema, window), kinds(&window.keys));
            format!("{} by {by:?} of {of}", window.described())
        }
        NodeKind::Check(check) => match &check.key {
            None => format!("check of {schema}"),
            Some(key) => format!("check by {key:?} of {schema}"),
        },
        NodeKind::Upsert(upsert) => format!("upsert by {:?} of {schema}", upsert.key),
        NodeKind::WindowTop(top) => {
            let order = order(&top.order);
            let last = top.ranks.end();
            format!("top {last} by {:?} order {order} of {schema}", kinds(&top.partition))
        }
        NodeKind::Top(top) => {
            let (by, order) = (kinds(&top.partition), order(&top.order));
            format!("{} by {by:?} order {order} of {schema}", first(top))
        }
        NodeKind::Over(over) => {
            let (functions, by) = (functions(plan, node, over), kinds(&over.partition));
            let order = match over.basis {
                Some(basis) => format!("{} of {basis:?} time", over.order[0].column),
                None => order(&over.order),
            };
            format!("over {functions} by {by:?} order {order} of {schema}")
        }
        NodeKind::Match(search) => {
            let by = kinds(&search.partition);
            format!("{} by {by:?} order {} of {schema}", search.described(), order(&search.order))
        }
        NodeKind::SessionRows(rows) => {
            let per = per(plan, node, &rows.window);
            format!("rows{per} by {:?} of {schema}", kinds(&rows.keys))
        }
        NodeKind::Join(join) => join_state(plan, node, join),
        NodeKind::TemporalJoin(temporal) => {
            format!("{:?} of {}", temporal.versions, join_state(plan, node, &temporal.join))
        }
        NodeKind::Process(process) => process_state(plan, node, process),
        NodeKind::Loop(looped) => looped.described(),
        NodeKind::Sort(sort) => format!("sort {} of {schema}", order(&sort.order)),
        _ => node.kind.name().to_owned(),
    };
    let mut zones = BTreeSet::new();
    collect_zones(plan, node, &mut zones);
    Some(zones.iter().fold(decided, |decided, zone| format!("{decided} in {zone}")))
}

/// Can an operator go on with a state of this signature?
pub fn accepts(plan: &Plan, node: &Node, saved: &str) -> bool {
    let own = signature(plan, node);
    if own.as_deref() == Some(saved) {
        return true;
    }
    // Before arguments were left out whose aggregates have versions, all columns were named.
    let NodeKind::CountWindow(window) = &node.kind else { return false };
    let schema = plan.output_schema(node.inputs[0].from, node.inputs[0].port);
    let named = |schema: &Schema| format!(" of {schema}");
    let (now, before) = (named(&unversioned(&schema, window)), named(&schema));
    own.is_some_and(|own| own.replacen(&now, &before, 1) == saved)
}

/// Returns the columns that decide what windows of so many rows keep: not what only aggregates read that
/// have versions.
fn unversioned(schema: &Schema, window: &CountWindowNode) -> Schema {
    let is_versioned = |call: &&AggregateCall| call.function.has_versions() && !call.distinct;
    let (versioned, others): (Vec<&AggregateCall>, Vec<_>) =
        window.calls.iter().partition(is_versioned);
    let reads = |calls: &[&AggregateCall], column: usize| {
        calls.iter().any(|call| call.arguments.contains(&column))
    };
    let decides = |column: &usize| {
        window.keys.contains(column) || !reads(&versioned, *column) || reads(&others, *column)
    };
    let fields = (0..schema.fields().len()).filter(decides);
    Schema::new(fields.map(|column| schema.field(column).clone()).collect::<Vec<_>>())
}

/// Names the first rows that are kept. The rank of a row is not kept, so that showing it changes no state.
fn first(top: &TopNode) -> String {
    let (first, last) = (top.ranks.start(), top.ranks.end());
    let to_come = match top.final_by {
        None => "",
        Some(TimeBasis::Processing) => " to come",
        Some(TimeBasis::Event) => " by event time",
    };
    format!("{:?} {first} to {last}{to_come}", top.ranking)
}

/// Says what decides what a function keeps: the types of its keys alone. States are matched by name, so
/// that it may get more of them.
fn process_state(plan: &Plan, node: &Node, process: &ProcessNode) -> String {
    let keys = process.keys.iter().zip(&node.inputs).map(|(keys, input)| {
        let schema = plan.output_schema(input.from, input.port);
        let kinds = keys.iter().map(|key| schema.field(*key).data_type().to_string());
        format!("({})", kinds.collect::<Vec<_>>().join(", "))
    });
    format!("process by {}", keys.collect::<Vec<_>>().join(" and "))
}

/// Says what decides what a join keeps.
fn join_state(plan: &Plan, node: &Node, join: &JoinNode) -> String {
    let mut text = format!("{} join", join.kind);
    for (side, input) in node.inputs.iter().enumerate() {
        let schema = plan.output_schema(input.from, input.port);
        let fields = schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type()));
        let fields: Vec<String> = fields.collect();
        let keys = join.keys.iter().map(|keys| if side == 0 { keys.0 } else { keys.1 });
        let keys: Vec<String> = keys.map(|key| schema.field(key).name().clone()).collect();
        text += &format!(" ({}) by ({})", fields.join(", "), keys.join(", "));
    }
    if let Some(condition) = &join.condition {
        text += &format!(" where {}", condition.condition.describe());
    }
    let bound = join.bound.map(|bound| format!(" {bound:?}"));
    text + &bound.unwrap_or_default()
}

/// Names the windows of an aggregation; those that rows carry already were given further up.
fn per(plan: &Plan, node: &Node, spec: &WindowSpec) -> String {
    let mut windows = vec![spec.assigner];
    if spec.assigner == Assigner::Attached {
        windows.clear();
        collect_windows(plan, node, &mut windows);
    }
    let windows: Vec<String> = windows.iter().map(Assigner::to_string).collect();
    format!(" per {} of {:?} time", windows.join(" or "), spec.basis)
}

/// Adds the windows that the input of `node` was given, back to what keeps state itself.
fn collect_windows(plan: &Plan, node: &Node, windows: &mut Vec<Assigner>) {
    for input in &node.inputs {
        let before = plan.node(input.from);
        if let NodeKind::Map(map) = &before.kind {
            windows.extend(map.transforms.iter().filter_map(|transform| transform.windows()));
        }
        if !before.kind.is_stateful() {
            collect_windows(plan, before, windows);
        }
    }
}

/// Adds the zones in whose local time the input of `node` was computed, back to what keeps state
/// itself: days of one zone must not be mixed with those of another.
fn collect_zones(plan: &Plan, node: &Node, zones: &mut BTreeSet<Zone>) {
    for input in &node.inputs {
        let before = plan.node(input.from);
        if let NodeKind::Map(map) = &before.kind {
            zones.extend(map.transforms.iter().filter_map(|transform| transform.zone()));
        }
        if !before.kind.is_stateful() {
            collect_zones(plan, before, zones);
        }
    }
}

fn order(keys: &[SortKey]) -> String {
    let keys = keys.iter().map(|k| format!("{}{}{}", k.column, k.descending, k.nulls_first));
    keys.collect::<Vec<_>>().join(",")
}

/// Returns a number that two processes share only if they would run the same dataflow.
pub fn fingerprint(plan: &Plan) -> u64 {
    let text = crate::outline::outline(plan);
    let column = std::sync::Arc::new(arrow::array::StringArray::from(vec![text]));
    let mut hashes = Vec::new();
    hash::hash_rows(&[column], 1, &mut hashes).expect("text can be hashed");
    hashes[0]
}
