//! What an operator keeps, until when, and what bounds it.

use std::time::Duration;

use super::operator::{calls, functions, input_schema, is_updated};
use super::text::{columns, partition_lived};
use super::{Fact, looped, pane, pattern, text};
use crate::graph::Plan;
use crate::join::{JoinKind, JoinNode, Versions};
use crate::node::{
    AggregateNode, Frame, Node, NodeKind, OverNode, Ranking, SortNode, Stage, TopNode,
};
use crate::process::ProcessNode;
use crate::window::{TimeBasis, WindowSpec};

/// Returns the operators whose state nothing bounds: those for which there is help.
pub fn unbounded(plan: &Plan) -> Vec<&Node> {
    let has_help = |node: &&Node| kept(plan, node).iter().any(|(label, _)| *label == "help");
    plan.nodes.iter().filter(has_help).collect()
}

/// Says what state an operator keeps, and what helps where nothing bounds it.
pub(super) fn kept(plan: &Plan, node: &Node) -> Vec<Fact> {
    let text = match &node.kind {
        NodeKind::Map(_) | NodeKind::Union | NodeKind::Sink(_) => return Vec::new(),
        NodeKind::Source(_) => "where to go on in each split".to_owned(),
        NodeKind::Aggregate(aggregate) => match (aggregate.stage, &aggregate.window) {
            (Stage::Partial, _) => "none beyond the epoch".to_owned(),
            (_, Some(spec)) => by_window(plan, node, aggregate, spec),
            (_, None) if aggregate.keys.is_empty() && aggregate.panes.is_some() => {
                format!("{}, one row in all: bounded", values(plan, node))
            }
            (_, None) => return running(plan, node, aggregate),
        },
        NodeKind::CountWindow(window) => {
            let keys = columns(&input_schema(plan, node), &window.keys);
            format!("the windows of each ({keys}) that are not full: grows with the keys")
        }
        NodeKind::Upsert(upsert) => {
            let keys = columns(&node.schema, &upsert.key);
            match upsert.ttl {
                Some(ttl) => {
                    format!("the row of each ({keys}) until it is deleted, {}", lived(ttl))
                }
                None => {
                    format!("the row of each ({keys}) until it is deleted: as large as the table")
                }
            }
        }
        NodeKind::Check(check) => match (check.ttl, &check.key) {
            (_, Some(key)) => {
                let key = columns(&node.schema, key);
                format!("each ({key}) that is there, to check by, until it is deleted")
            }
            (Some(ttl), None) => format!("the rows that are there, to check by, {}", lived(ttl)),
            (None, None) => {
                "the rows that are there, to check by, until they are taken back: as large as the \
                 table"
                    .to_owned()
            }
        },
        NodeKind::Compact(_) => "none beyond the epoch".to_owned(),
        NodeKind::WindowTop(top) => {
            let until = until_due(&top.window);
            format!("the rows of each window that can still be among the first, {until}: bounded")
        }
        NodeKind::Top(top) => return first_rows(plan, node, top),
        NodeKind::Over(over) => return over_rows(plan, node, over),
        NodeKind::Match(search) => {
            let is_bounded = plan.sources().all(|(_, source)| source.source.is_bounded());
            return pattern::kept(&input_schema(plan, node), search, is_bounded);
        }
        NodeKind::SessionRows(rows) => {
            format!("the rows of each session {}: bounded", until_due(&rows.window))
        }
        NodeKind::Join(join) => return joined(plan, node, join),
        NodeKind::Process(process) => processed(process),
        NodeKind::Loop(node) => return looped::keeps(node),
        NodeKind::TemporalJoin(temporal) => match temporal.versions {
            Versions::ByTime { .. } => {
                "rows until the watermark passes them, and of each key the versions from then on: \
                 grows with the table's keys, whatever 'table.exec.state.ttl' is"
            }
            Versions::Current { .. } => {
                "the table: grows with its rows, whatever 'table.exec.state.ttl' is"
            }
        }
        .to_owned(),
        NodeKind::Sort(sort) => sorted(sort, is_updated(plan, node)),
    };
    vec![("state", text)]
}

fn by_window(plan: &Plan, node: &Node, aggregate: &AggregateNode, spec: &WindowSpec) -> String {
    let keys = columns(&input_schema(plan, node), &aggregate.keys);
    let per = if keys.is_empty() { "window".to_owned() } else { format!("(window, {keys})") };
    let what = values(plan, node);
    let (until, sent) = match &aggregate.panes {
        None => (until_due(spec).to_owned(), ""),
        Some(panes) => {
            let sent = if panes.is_updating() { ", and what it sent last," } else { "" };
            (pane::until(panes, until_due(spec)), sent)
        }
    };
    format!("{what} per {per}{sent} {until}: bounded")
}

/// A running aggregation keeps its keys as long as it runs.
fn running(plan: &Plan, node: &Node, aggregate: &AggregateNode) -> Vec<Fact> {
    let what = values(plan, node);
    let keys = columns(&input_schema(plan, node), &aggregate.keys);
    if keys.is_empty() {
        return vec![("state", format!("{what}, one row in all: bounded"))];
    }
    if let Some(ttl) = aggregate.ttl {
        return vec![("state", format!("{what} per ({keys}), {}", lived(ttl)))];
    }
    if plan.sources().all(|(_, source)| source.source.is_bounded()) {
        let text = format!("{what} per ({keys}) until the input ends: grows with its keys");
        return vec![("state", text)];
    }
    let help = "aggregate per window (TUMBLE, HOP, CUMULATE, SESSION) to have state that ends";
    vec![
        ("state", format!("{what} per ({keys}) for ever: unbounded, grows with every new key")),
        ("help", help.to_owned()),
    ]
}

/// The first rows of a partition are kept as long as the job runs.
fn first_rows(plan: &Plan, node: &Node, top: &TopNode) -> Vec<Fact> {
    let by = columns(&input_schema(plan, node), &top.partition);
    let rows = match (top.ranking, *top.ranks.end()) {
        _ if top.is_retracted => {
            let text = "every row of the input, since any may become one of the first when others \
                        are taken back";
            let until = top.ttl.map_or(": grows with the input".to_owned(), partition_lived);
            return vec![("state", format!("{text}{until}"))];
        }
        (Ranking::RowNumber, 1) if top.final_by == Some(TimeBasis::Event) => {
            "one row, after it was sent its key alone,".to_owned()
        }
        (Ranking::RowNumber, 1) => "one row".to_owned(),
        (Ranking::RowNumber, last) => format!("{last} rows"),
        (Ranking::Rank | Ranking::DenseRank, last) => format!("the rows up to rank {last}"),
    };
    if by.is_empty() {
        return vec![("state", format!("{rows} in all: bounded"))];
    }
    if let Some(ttl) = top.ttl {
        return vec![("state", format!("{rows} per ({by}){}", partition_lived(ttl)))];
    }
    if plan.sources().all(|(_, source)| source.source.is_bounded()) {
        let text = format!("{rows} per ({by}) until the input ends: grows with its keys");
        return vec![("state", text)];
    }
    let help =
        "rank within windows (PARTITION BY window_start, window_end, …) to have state that ends";
    vec![
        ("state", format!("{rows} per ({by}) for ever: unbounded, grows with every new key")),
        ("help", help.to_owned()),
    ]
}

/// What a frame needs no more is dropped; what it says of all earlier rows is kept.
fn over_rows(plan: &Plan, node: &Node, over: &OverNode) -> Vec<Fact> {
    let by = columns(&input_schema(plan, node), &over.partition);
    let is_bounded = plan.sources().all(|(_, source)| source.source.is_bounded());
    let Some(basis) = over.basis else { return all_over_rows(&by, over, is_bounded) };
    let (frames, only_aggregates) = (over.frames(), over.calls().count() == over.functions.len());
    let is_of_time = |frame: &Frame| matches!(frame, Frame::Range(Some(_)));
    let ends = only_aggregates && frames.iter().all(is_of_time);
    let rows = match !frames.is_empty() && frames.iter().all(|frame| frame.is_bounded()) {
        true => "the rows of each frame".to_owned(),
        false => functions(plan, node, over),
    };
    let per = if by.is_empty() { String::new() } else { format!(" per ({by})") };
    let waiting = match basis {
        TimeBasis::Event => ", and rows that the watermark has not reached",
        TimeBasis::Processing => "",
    };
    let text = format!("{rows}{per}{waiting}");
    if ends || by.is_empty() {
        return vec![("state", format!("{text}: bounded"))];
    }
    if let Some(ttl) = over.ttl {
        return vec![("state", format!("{text}{}", partition_lived(ttl)))];
    }
    if is_bounded {
        return vec![("state", format!("{text}, until the input ends: grows with its keys"))];
    }
    let help = "RANGE BETWEEN INTERVAL … PRECEDING AND CURRENT ROW has state that ends";
    vec![
        ("state", format!("{text}, for ever: unbounded, grows with every new key")),
        ("help", help.to_owned()),
    ]
}

/// Where rows may change, those before and behind them are needed again.
fn all_over_rows(by: &str, over: &OverNode, is_bounded: bool) -> Vec<Fact> {
    let per = if by.is_empty() { String::new() } else { format!(" per ({by})") };
    let text = format!("every row of the input{per}, since one that changes changes others");
    match (over.ttl, is_bounded) {
        (Some(ttl), _) => vec![("state", format!("{text}{}", partition_lived(ttl)))],
        (None, true) => vec![("state", format!("{text}, until the input ends: grows with it"))],
        (None, false) => {
            let help = "order rows that are only inserted by the time of their WATERMARK";
            vec![
                ("state", format!("{text}, for ever: unbounded, grows with every row")),
                ("help", help.to_owned()),
            ]
        }
    }
}

/// Says what is kept for one group.
fn values(plan: &Plan, node: &Node) -> String {
    match calls(plan, node).join(", ") {
        calls if calls.is_empty() => "one row".to_owned(),
        calls => calls,
    }
}

/// What has no time-to-live is kept until the function clears it.
fn processed(process: &ProcessNode) -> String {
    let states = process.function.states().iter().map(|state| {
        let ttl = state.ttl.map(|ttl| format!(" for {} after it was written", text::span(ttl)));
        format!("{} `{}`{}", state.kind, state.name, ttl.unwrap_or_default())
    });
    let states: Vec<String> = states.chain(["timers".to_owned()]).collect();
    format!("{} of each key until the function clears them", states.join(", "))
}

/// A join keeps rows as long as others may match them.
fn joined(plan: &Plan, node: &Node, join: &JoinNode) -> Vec<Fact> {
    let sides = match join.kind {
        JoinKind::Semi | JoinKind::Anti if !node.is_updating => {
            "rows of the left input until they match, rows of the right"
        }
        _ => "rows of both inputs",
    };
    let is_bounded = plan.sources().all(|(_, source)| source.source.is_bounded());
    if is_bounded && join.ttl == [None, None] {
        return vec![("state", format!("{sides} until the input ends: grows with the input"))];
    }
    let until = "until the watermark says that nothing matches";
    let ends = |side: usize| match (join.ends()[side], join.ttl[side]) {
        (true, _) => Some(until.to_owned()),
        (false, ttl) => ttl.map(|ttl| format!("for {} after they were written", text::span(ttl))),
    };
    let help = "join on windows, or on times that are at most an interval apart".to_owned();
    let for_ever = "for ever: unbounded, grows with every row";
    match (ends(0), ends(1)) {
        (Some(left), Some(right)) if left == right && left == until => {
            vec![("state", format!("{sides} {until}: bounded"))]
        }
        (Some(left), Some(right)) => match join.ttl {
            [Some(left), Some(right)] if left == right => {
                vec![("state", format!("{sides}, {}", lived(left)))]
            }
            _ => vec![("state", by_side(&left, &right))],
        },
        (None, None) => vec![("state", format!("{sides} {for_ever}")), ("help", help)],
        (left, right) => {
            let [left, right] = [left, right].map(|ends| ends.unwrap_or(for_ever.to_owned()));
            vec![("state", by_side(&left, &right)), ("help", help)]
        }
    }
}

/// Says how long rows of each side of a join are kept.
fn by_side(left: &str, right: &str) -> String {
    format!("rows of the left input {left}; rows of the right {right}")
}

/// Says how long rows of a state are kept that have a time-to-live.
fn lived(ttl: Duration) -> String {
    format!("each row for {} after it was written", text::span(ttl))
}

fn until_due(spec: &WindowSpec) -> &'static str {
    match spec.basis {
        TimeBasis::Event => "until the watermark passes the end of the window",
        TimeBasis::Processing => "until the clock reaches the end of the window",
    }
}

fn sorted(sort: &SortNode, is_updating: bool) -> String {
    match (sort.order.is_empty(), sort.limit) {
        _ if is_updating => "all rows until the input ends: grows with the result".to_owned(),
        (true, _) => "how many rows passed: bounded".to_owned(),
        (false, Some(limit)) => {
            let rows = limit.saturating_add(sort.skip);
            format!("the first {rows} rows until the input ends: bounded")
        }
        (false, None) => "all rows until the input ends: grows with the input".to_owned(),
    }
}
