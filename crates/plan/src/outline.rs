//! A plan as short text, a line for each node: what two processes compare before they start, and
//! what tests of planning read. People read [`crate::explain`].

use std::fmt::Write;

use thalweg_types::NodeId;

use crate::explain::functions;
use crate::graph::Plan;
use crate::join::JoinNode;
use crate::node::{
    AggregateCall, AggregateNode, BadRecords, CheckNode, Exchange, Node, NodeKind, OverNode,
    SourceNode, Stage, TopNode,
};
use crate::pattern::operands_text;
use crate::process::ProcessNode;
use crate::sink::Delivery;
use crate::source::Replay;
use crate::trail::Share;
use crate::window::{TimeBasis, WindowSpec};

/// Returns the plan as trees, one for each sink, inputs indented below what reads them.
pub fn outline(plan: &Plan) -> String {
    let mut text = String::new();
    for node in &plan.nodes {
        if matches!(node.kind, NodeKind::Sink(_)) {
            tree(plan, node.id, 0, &mut text);
        }
    }
    text
}

fn tree(plan: &Plan, id: NodeId, depth: usize, text: &mut String) {
    let node = plan.node(id);
    let mode = if node.is_updating { "updating" } else { "append" };
    let watermark: Vec<&str> = node.domains.iter().map(|d| plan.domains[d.0].as_str()).collect();
    let watermark = match watermark.as_slice() {
        [] => String::new(),
        names => format!(", watermark of {}", names.join(" and ")),
    };
    let indent = "  ".repeat(depth);
    let ttl = match node.kind.ttl() {
        [None, None] => String::new(),
        ttl => format!("; kept for {ttl:?}"),
    };
    let _ = writeln!(text, "{indent}{}{ttl} [{mode}{watermark}]", describe(plan, node));
    for input in &node.inputs {
        let port = match (input.port, &plan.node(input.from).kind) {
            (0, _) => "".to_owned(),
            (side, NodeKind::Process(_)) => format!(", side output {side}"),
            _ => ", rejected rows".to_owned(),
        };
        match &input.exchange {
            Exchange::Forward if input.port == 0 => tree(plan, input.from, depth + 1, text),
            exchange => {
                let how = match exchange {
                    Exchange::Forward => "Forward".to_owned(),
                    Exchange::Global => "Exchange to one worker".to_owned(),
                    Exchange::Broadcast => "Exchange to every worker".to_owned(),
                    Exchange::ByKey(columns) => {
                        format!("Exchange by {}", names(plan, input.from, input.port, columns))
                    }
                };
                let _ = writeln!(text, "{indent}  {how}{port}");
                tree(plan, input.from, depth + 2, text);
            }
        }
    }
}

fn names(plan: &Plan, id: NodeId, port: usize, columns: &[usize]) -> String {
    let schema = plan.output_schema(id, port);
    let names: Vec<&str> = columns.iter().map(|c| schema.field(*c).name().as_str()).collect();
    names.join(", ")
}

fn describe(plan: &Plan, node: &Node) -> String {
    match &node.kind {
        NodeKind::Source(source) => describe_source(node, source),
        NodeKind::Map(map) => {
            let steps: Vec<String> = map.transforms.iter().map(|t| t.explain()).collect();
            format!("Map {}", steps.join(" then "))
        }
        NodeKind::Aggregate(aggregate) => describe_aggregate(plan, node, aggregate),
        NodeKind::CountWindow(window) => {
            let input = &node.inputs[0];
            let keys = names(plan, input.from, input.port, &window.keys);
            format!("CountWindow {} by [{keys}]", window.described())
        }
        NodeKind::Upsert(upsert) => {
            let keys = names(plan, node.id, 0, &upsert.key);
            format!(
                "Upsert by [{keys}]; keeps every row; changes come out at the end of each epoch"
            )
        }
        NodeKind::Check(check) => describe_check(plan, node, check),
        NodeKind::Compact(compact) => {
            let keys = names(plan, node.id, 0, &compact.key);
            format!("Compact by [{keys}]; last changes come out at the end of each epoch")
        }
        NodeKind::WindowTop(top) => format!(
            "WindowTop {} to {} by {}; a row comes out when the watermark passes its window",
            top.ranks.start(),
            top.ranks.end(),
            names(plan, node.inputs[0].from, node.inputs[0].port, &top.partition)
        ),
        NodeKind::Top(top) => describe_top(plan, node, top),
        NodeKind::Over(over) => describe_over(plan, node, over),
        NodeKind::Match(search) => {
            let names = |columns| names(plan, node.inputs[0].from, node.inputs[0].port, columns);
            let put_out = operands_text(&search.operands);
            let order: Vec<usize> = search.order.iter().map(|key| key.column).collect();
            let (by, order) = (names(&search.partition), names(&order));
            let (search, rows) = (search.described(), search.rows);
            format!("Match {search} by [{by}] order {order}: {rows:?} [{put_out}]")
        }
        NodeKind::SessionRows(rows) => format!(
            "SessionRows {} by [{}]; rows come out when the watermark passes their session",
            rows.window.assigner,
            names(plan, node.inputs[0].from, node.inputs[0].port, &rows.keys)
        ),
        NodeKind::Join(join) => describe_join(plan, node, join),
        NodeKind::TemporalJoin(temporal) => {
            let join = describe_join(plan, node, &temporal.join);
            format!("Temporal{join} by {:?}", temporal.versions)
        }
        NodeKind::Process(process) => describe_process(plan, node, process),
        NodeKind::Loop(node) => {
            format!("Loop {} in at most {} rounds", node.described(), node.rounds_max)
        }
        NodeKind::Union => "Union".to_owned(),
        NodeKind::Sort(sort) => match sort.limit {
            Some(limit) => format!("Sort, first {limit}; rows come out at the end of the input"),
            None => "Sort; rows come out at the end of the input".to_owned(),
        },
        NodeKind::Sink(sink) => {
            let delivery = match sink.sink.delivery() {
                Delivery::ExactlyOnce => "exactly once",
                Delivery::AtLeastOnce => "at least once across a crash",
                Delivery::AtMostOnce => "nothing kept",
            };
            format!("Sink {} ({}, {delivery})", sink.table, sink.sink.connector())
        }
    }
}

fn describe_source(node: &Node, source: &SourceNode) -> String {
    let guarantee = match source.source.replay() {
        Replay::Exact => "replayable",
        Replay::None => "cannot be replayed",
    };
    let bounded = if source.source.is_bounded() { "bounded" } else { "unbounded" };
    let columns: Vec<String> = node.schema.fields().iter().map(|f| f.name().clone()).collect();
    let share = match source.split_share {
        Share::ALL => String::new(),
        share => format!(" of {share} of the splits"),
    };
    let watermark = source.watermark.as_ref();
    let watermark = watermark.map(|w| format!(", watermark {}{share}", w.explain()));
    let aligned = source.alignment.as_ref().map(|alignment| format!(", {alignment}"));
    let aligned = aligned.unwrap_or_default();
    let bad = match source.bad_records {
        BadRecords::Fail => "",
        BadRecords::Skip => ", bad records skipped",
        BadRecords::Divert => ", bad records diverted",
    };
    format!(
        "Source {} ({}, {bounded}, {guarantee}){bad} columns: {}{}{aligned}",
        source.table,
        source.source.connector(),
        columns.join(", "),
        watermark.unwrap_or_default()
    )
}

fn describe_check(plan: &Plan, node: &Node, check: &CheckNode) -> String {
    let of = match &check.key {
        None => "of every row".to_owned(),
        Some(key) => format!("by [{}]", names(plan, node.id, 0, key)),
    };
    format!("Check {of}; diverts {}", check.diverts)
}

fn describe_top(plan: &Plan, node: &Node, top: &TopNode) -> String {
    let (first, last) = (top.ranks.start(), top.ranks.end());
    let by = names(plan, node.inputs[0].from, node.inputs[0].port, &top.partition);
    let rank = if top.has_rank { " with its rank" } else { "" };
    let kept = match (top.is_retracted, top.final_by) {
        (true, _) => ", keeps every row",
        (false, Some(TimeBasis::Processing)) => ", the first to come",
        (false, Some(TimeBasis::Event)) => ", the first by event time",
        (false, None) => "",
    };
    let when = match top.final_by {
        Some(TimeBasis::Event) => "a row comes out when the watermark passes it",
        _ => "changes come out at the end of each epoch",
    };
    format!("Top {:?} {first} to {last}{rank} by {by}{kept}; {when}", top.ranking)
}

fn describe_over(plan: &Plan, node: &Node, over: &OverNode) -> String {
    let names = |columns| names(plan, node.inputs[0].from, node.inputs[0].port, columns);
    let order: Vec<usize> = over.order.iter().map(|key| key.column).collect();
    let (order, by) = (names(&order), names(&over.partition));
    let functions = functions(plan, node, over);
    let (which, when) = match over.basis {
        Some(basis) => (format!("{basis:?} time"), "a row comes out when its time has passed"),
        None => (format!("{:?}", over.order), "changes come out at the end of each epoch"),
    };
    format!("Over {which} {order} by {by}: {functions}; {when}")
}

fn describe_aggregate(plan: &Plan, node: &Node, aggregate: &AggregateNode) -> String {
    let input = &node.inputs[0];
    let keys = names(plan, input.from, input.port, &aggregate.keys);
    let calls: Vec<String> = aggregate.calls.iter().map(AggregateCall::name).collect();
    let zone = |w: WindowSpec| w.zone.map_or(String::new(), |zone| format!(" in {zone}"));
    let window = aggregate.window.map(|w| format!(" {} {:?} time{}", w.assigner, w.basis, zone(w)));
    let when = match (aggregate.stage, &window) {
        (Stage::Partial, _) => "partial states come out at the end of each epoch",
        (_, Some(_)) => "a row comes out when the watermark passes its window",
        (_, None) => "keeps every key; changes come out at the end of each epoch",
    };
    let when = match &aggregate.panes {
        Some(panes) => format!("{panes}; {:?}", panes.columns),
        None => when.to_owned(),
    };
    let window = window.unwrap_or_default();
    format!("{}{window} by [{keys}]: {}; {when}", node.kind.name(), calls.join(", "))
}

fn describe_process(plan: &Plan, node: &Node, process: &ProcessNode) -> String {
    let keys = process.keys.iter().zip(&node.inputs);
    let keys: Vec<String> =
        keys.map(|(keys, input)| names(plan, input.from, input.port, keys)).collect();
    let (function, states) = (process.function.describe(), process.function.states());
    format!("Process {function} by {keys:?}: {states:?} to {:?}", process.sides)
}

fn describe_join(plan: &Plan, node: &Node, join: &JoinNode) -> String {
    let columns = |side: usize| {
        let keys = join.keys.iter().map(|keys| if side == 0 { keys.0 } else { keys.1 });
        let input = &node.inputs[side];
        names(plan, input.from, input.port, &keys.collect::<Vec<_>>())
    };
    let condition = join.condition.as_ref().map(|c| format!(" where {}", c.condition.describe()));
    let bound = join.bound.map(|bound| format!("; {bound:?}")).unwrap_or_default();
    let (kind, condition, output) = (join.kind, condition.unwrap_or_default(), &join.output);
    let (left, right) = (columns(0), columns(1));
    format!("Join {kind} ({left}) = ({right}){condition} to {output:?}{bound}")
}
