//! What the columns of an operator's state are: noted beside it, so that single values can be read
//! without the script that wrote them.
//!
//! Stored format, version 1: JSON with these names; `fixtures/layout/v1.json` must open for ever.
//! Nothing is restored by it: what decides that is [`crate::fingerprint`].

use serde::{Deserialize, Serialize};
use thalweg_types::{Error, Result};

use crate::distinct::distinct_sets;
use crate::explain::calls;
use crate::graph::Plan;
use crate::node::{AggregateCall, AggregateNode, Node, NodeKind, Stage, WindowTopNode};
use crate::pattern::MatchNode;
use crate::process::{ProcessNode, StateKind};
use crate::trigger::Machine;
use crate::window::{Assigner, WindowSpec};

/// Version that this program writes.
const VERSION: u32 = 1;

/// The columns of a table of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Version of the format.
    version: u32,
    /// Name of the table; empty for a user's function, which has one for each state, and one for its timers.
    pub table: String,
    /// Columns of the key.
    pub key: Vec<KeyColumn>,
    /// Where the first of them stands; the others follow.
    pub key_at: usize,
    /// Windows, and where their bounds stand.
    pub window: Option<WindowSpec>,
    /// Time domains whose least watermark says which windows are over.
    pub domains: Vec<String>,
    /// Where values begin: the states of the calls, or columns as they are.
    pub values_at: usize,
    /// Aggregates, in the order of their states.
    pub calls: Vec<KeptCall>,
    /// Column of the time in whose order rows are shown, where they have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<usize>,
    /// States of a user's function, each with a table of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<KeptState>,
}

/// A column of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumn {
    /// Its name.
    pub name: String,
    /// Its type, as Arrow writes it.
    pub kind: String,
}

/// An aggregate whose states are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCall {
    /// The user's words.
    pub text: String,
    /// Name of the function, as [`crate::aggregate::named`] reads those of ours.
    pub function: String,
    /// How many columns its states take.
    pub states: usize,
    /// Where its arguments are, if it reads each of them once; its function is then that over these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distinct: Option<DistinctArguments>,
}

/// Arguments that are kept one by one: behind windows and keys, as far as there are some, stand the values, then
/// for each filter how often there is each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DistinctArguments {
    /// The table that they are in.
    pub table: String,
    /// How many columns they take.
    pub values: usize,
    /// Which of the columns of counts is that of the call.
    pub filter: usize,
}

/// A state of a user's function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptState {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: StateKind,
}

impl Layout {
    /// Reads what [`Layout::write`] wrote.
    ///
    /// # Errors
    /// `State` if it is damaged or of a newer version.
    pub fn read(value: &serde_json::Value) -> Result<Layout> {
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        if version != Some(u64::from(VERSION)) {
            let version = version.map_or_else(|| "none".to_owned(), |version| version.to_string());
            return Err(Error::state(format!(
                "the layout of a state has version {version}, this program reads {VERSION}"
            ))
            .remedy("use the release that wrote it, or a later one"));
        }
        Layout::deserialize(value)
            .map_err(|error| Error::state(format!("the layout of a state is damaged: {error}")))
    }

    /// Returns the layout as a document.
    ///
    /// # Errors
    /// `Internal` if it cannot be written as JSON.
    pub fn write(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self).map_err(|error| Error::internal(error.to_string()))
    }
}

/// Returns the layout of the state of `node`; `None` if it has none that has a key.
pub fn layout(plan: &Plan, node: &Node) -> Option<Layout> {
    let layout = match &node.kind {
        NodeKind::Aggregate(aggregate) if aggregate.panes.is_some() => {
            of_panes(plan, node, aggregate)?
        }
        NodeKind::Aggregate(aggregate) if aggregate.stage != Stage::Partial => {
            of_aggregate(plan, node, aggregate)
        }
        NodeKind::WindowTop(top) => of_window_top(plan, node, top),
        NodeKind::Top(top) => of_rows(plan, node, &top.partition),
        NodeKind::Over(over) => of_rows(plan, node, &over.partition),
        NodeKind::Match(search) => of_search(plan, node, search)?,
        NodeKind::Process(process) => of_process(plan, node, process),
        _ => return None,
    };
    (!layout.key.is_empty()).then_some(layout)
}

fn of_aggregate(plan: &Plan, node: &Node, aggregate: &AggregateNode) -> Layout {
    let keys = aggregate.keys.len();
    let (table, key_at, window, values_at) = match aggregate.window {
        None => ("groups", 0, None, keys),
        Some(spec) if spec.assigner.is_merging() => {
            ("sessions", 0, Some(WindowSpec { start: keys, end: keys + 1, ..spec }), keys + 2)
        }
        Some(spec) => ("panes", 2, Some(WindowSpec { start: 0, end: 1, ..spec }), keys + 2),
    };
    Layout {
        version: VERSION,
        table: table.to_owned(),
        key: key_columns(plan, node, &aggregate.keys),
        key_at,
        window,
        domains: domains(plan, node),
        values_at,
        calls: match table {
            // They are saved whole.
            "sessions" => kept_calls(plan, node, aggregate, AggregateCall::has_entries),
            _ => {
                let calls = kept_calls(plan, node, aggregate, AggregateCall::has_entries);
                with_distinct(calls, &aggregate.calls)
            }
        },
        order: None,
        states: Vec::new(),
    }
}

/// Returns the aggregates, and how many columns of states each has; none where they are `apart`.
fn kept_calls(
    plan: &Plan,
    node: &Node,
    aggregate: &AggregateNode,
    apart: fn(&AggregateCall) -> bool,
) -> Vec<KeptCall> {
    let calls = aggregate.shown_calls().iter().zip(calls(plan, node));
    let calls = calls.map(|(call, text)| KeptCall {
        text,
        function: call.name(),
        states: if apart(call) { 0 } else { call.function.state().len() },
        distinct: None,
    });
    calls.collect()
}

/// Says of `kept` calls, the first of `calls`, where the arguments are that they read once. Their tables follow
/// those of the calls that have one to themselves.
fn with_distinct(mut kept: Vec<KeptCall>, calls: &[AggregateCall]) -> Vec<KeptCall> {
    let own = calls.iter().filter(|call| !call.distinct && call.has_entries()).count();
    for (place, set) in distinct_sets(calls).into_iter().enumerate() {
        for (call, filter) in set.calls {
            if let Some(kept) = kept.get_mut(call) {
                let table = entry_table(own + place);
                let values = set.arguments.len();
                calls[call].function.name().clone_into(&mut kept.function);
                kept.distinct = Some(DistinctArguments { table, values, filter });
            }
        }
    }
    kept
}

/// Returns the name of a table of what calls keep one by one.
pub fn entry_table(place: usize) -> String {
    format!("entries {place}")
}

/// Behind the bounds of a window stands what its trigger has seen, how many panes there were, and how
/// many rows wait. Windows that are over are not kept, so that no watermark need say it.
fn of_panes(plan: &Plan, node: &Node, aggregate: &AggregateNode) -> Option<Layout> {
    let machine = Machine::new(&aggregate.panes.as_ref()?.trigger).ok()?;
    let keys = aggregate.keys.len();
    let window = aggregate.window.map(|spec| WindowSpec {
        assigner: Assigner::Attached,
        start: keys,
        end: keys + 1,
        ..spec
    });
    let bounds = if window.is_some() { 2 } else { 0 };
    Some(Layout {
        version: VERSION,
        table: "panes".to_owned(),
        key: key_columns(plan, node, &aggregate.keys),
        key_at: 0,
        window,
        domains: Vec::new(),
        values_at: keys + bounds + 3 + machine.values(),
        calls: kept_calls(plan, node, aggregate, |call| call.distinct),
        order: None,
        states: Vec::new(),
    })
}

/// Behind the partition and the number of a row stand the columns of the input.
fn of_window_top(plan: &Plan, node: &Node, top: &WindowTopNode) -> Layout {
    let values_at = top.partition.len() + 1;
    let WindowSpec { start, end, .. } = top.window;
    Layout {
        version: VERSION,
        table: "rows".to_owned(),
        key: key_columns(plan, node, &top.partition),
        key_at: 0,
        window: Some(WindowSpec { start: values_at + start, end: values_at + end, ..top.window }),
        domains: domains(plan, node),
        values_at,
        calls: Vec::new(),
        order: None,
        states: Vec::new(),
    }
}

/// Behind the partition and the number of a row stand the other columns of the input.
fn of_rows(plan: &Plan, node: &Node, partition: &[usize]) -> Layout {
    Layout {
        version: VERSION,
        table: "rows".to_owned(),
        key: key_columns(plan, node, partition),
        key_at: 0,
        window: None,
        domains: domains(plan, node),
        values_at: partition.len() + 1,
        calls: Vec::new(),
        order: None,
        states: Vec::new(),
    }
}

/// Behind the number of a row stand the columns of the input. What a search has found so far is not kept; the rows
/// are, from which a restore begins it again.
fn of_search(plan: &Plan, node: &Node, search: &MatchNode) -> Option<Layout> {
    let first = *search.partition.first()?;
    let follows = |(column, expected): (&usize, usize)| *column == expected;
    if !search.partition.iter().zip(first..).all(follows) {
        return None;
    }
    let order = search.order.first().map(|key| key.column + 1);
    let rows = of_rows(plan, node, &search.partition);
    Some(Layout { key_at: first + 1, values_at: 1, order, ..rows })
}

/// Each state has a table: behind the key what tells its entries apart, the version, and the value. That of
/// broadcast state begins with the entries, since it is of no key.
fn of_process(plan: &Plan, node: &Node, process: &ProcessNode) -> Layout {
    let states = process.function.states().iter();
    let kept = states.map(|state| KeptState { name: state.name.clone(), kind: state.kind });
    let keys = &process.keys[0];
    Layout {
        version: VERSION,
        table: String::new(),
        key: key_columns(plan, node, keys),
        key_at: 0,
        window: None,
        domains: domains(plan, node),
        values_at: keys.len(),
        calls: Vec::new(),
        order: None,
        states: kept.collect(),
    }
}

fn key_columns(plan: &Plan, node: &Node, keys: &[usize]) -> Vec<KeyColumn> {
    let input = &node.inputs[0];
    let schema = plan.output_schema(input.from, input.port);
    let column = |key: &usize| {
        let field = schema.field(*key);
        KeyColumn { name: field.name().clone(), kind: field.data_type().to_string() }
    };
    keys.iter().map(column).collect()
}

fn domains(plan: &Plan, node: &Node) -> Vec<String> {
    node.domains.iter().map(|domain| plan.domains[domain.0].clone()).collect()
}

#[cfg(test)]
mod tests;
