//! What an operator does, how rows come to it and leave it, and what holds across a crash.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use arrow::datatypes::{DataType, Schema, SchemaRef};
use thalweg_types::NodeId;

use super::text::columns;
use super::{Fact, looped, pane, pattern};
use crate::graph::Plan;
use crate::join::{JoinKind, JoinNode, VersionSource, Versions};
use crate::node::{
    AggregateCall, AggregateNode, BadRecords, Exchange, Frame, Input, MapNode, Node, NodeKind,
    OverFunction, OverNode, Ranking, SortKey, SortNode, SourceNode, Stage, TopNode,
};
use crate::sink::Delivery;
use crate::source::Replay;
use crate::trail::Share;
use crate::window::{Assigner, TimeBasis, WindowSpec, span};

/// Says what an operator does.
pub(super) fn does(plan: &Plan, node: &Node) -> Vec<Fact> {
    match &node.kind {
        NodeKind::Source(source) => reads(node, source),
        NodeKind::Map(map) => {
            let steps = map.transforms.iter().filter_map(|transform| transform.describe());
            let mut facts: Vec<Fact> = steps.map(|step| ("does", step)).collect();
            if facts.is_empty() {
                facts.push(("does", "picks and names columns".to_owned()));
            }
            facts.extend(fails(map));
            facts
        }
        NodeKind::Aggregate(aggregate) => vec![("does", aggregates(plan, node, aggregate))],
        NodeKind::CountWindow(window) => {
            let keys = columns(&input_schema(plan, node), &window.keys);
            vec![("does", format!("{} of each ({keys})", window.described()))]
        }
        NodeKind::Upsert(upsert) => {
            let keys = columns(&node.schema, &upsert.key);
            let facts = vec![("does", format!("makes changes of what is said of each ({keys})"))];
            facts.into_iter().chain(upsert.diverts.then(|| strays(true))).collect()
        }
        NodeKind::Check(check) => vec![strays(check.diverts)],
        NodeKind::Compact(compact) => {
            let keys = columns(&node.schema, &compact.key);
            vec![("does", format!("passes on the last change of each ({keys})"))]
        }
        NodeKind::WindowTop(top) => {
            let schema = input_schema(plan, node);
            let order = order(&schema, &top.order);
            let by = columns(&schema, &top.partition);
            let rows = rows(Ranking::RowNumber, &top.ranks);
            let per = if by.is_empty() { String::new() } else { format!(" and ({by})") };
            vec![("does", format!("keeps {rows} of each window{per}, by {order}"))]
        }
        NodeKind::Top(top) => vec![("does", tops(plan, node, top))],
        NodeKind::Over(over) => vec![("does", overs(plan, node, over))],
        NodeKind::Match(search) => pattern::does(&input_schema(plan, node), search),
        NodeKind::SessionRows(rows) => {
            let (schema, by) = (input_schema(plan, node), columns(&node.schema, &rows.keys));
            let windows = windows(&rows.window, &schema);
            vec![("does", format!("gives each row of ({by}) its {windows}"))]
        }
        NodeKind::Join(join) => vec![("does", joins(plan, node, join))],
        NodeKind::TemporalJoin(temporal) => {
            let when = match temporal.versions {
                Versions::ByTime { from: VersionSource::Changes(_), .. } => {
                    "with the version of each row's time, each change of the table being one"
                }
                Versions::ByTime { .. } => "with the version of each row's time",
                Versions::Current { waits: true } => "with a table that is read whole first",
                Versions::Current { waits: false } => "with what the table holds at the moment",
            };
            vec![("does", format!("{} {when}", joins(plan, node, &temporal.join)))]
        }
        NodeKind::Process(process) => vec![("does", process.function.describe())],
        NodeKind::Loop(node) => looped::does(node),
        NodeKind::Union => vec![("does", "puts its inputs together".to_owned())],
        NodeKind::Sort(sort) => vec![("does", sorts(plan, node, sort))],
        NodeKind::Sink(sink) => {
            vec![("does", format!("writes `{}` ({})", sink.table, sink.sink.connector()))]
        }
    }
}

fn reads(node: &Node, source: &SourceNode) -> Vec<Fact> {
    let bounded = if source.source.is_bounded() { "bounded" } else { "unbounded" };
    let connector = source.source.connector();
    let names = all_columns(&node.schema);
    let mut facts =
        vec![("does", format!("reads {names} of `{}` ({connector}, {bounded})", source.table))];
    facts.extend(source.source.explain().map(|more| ("does", more)));
    if let Some(rate) = source.rows_per_second {
        facts.push(("does", format!("reads {rate} rows per second at most")));
    }
    let bad = match source.bad_records {
        BadRecords::Fail => return facts,
        BadRecords::Skip => "leaves out records that it cannot decode, and counts them",
        BadRecords::Divert => "sends records that it cannot decode to another table",
    };
    facts.push(("does", bad.to_owned()));
    facts
}

/// Says what becomes of rows that take back what is not there.
fn strays(diverts: bool) -> Fact {
    let bad = match diverts {
        true => "sends what takes back a row that is not there to another table",
        false => "leaves out what takes back a row that is not there, and counts it",
    };
    ("does", bad.to_owned())
}

/// Says what becomes of rows whose expressions fail, where that does not fail the job.
fn fails(map: &MapNode) -> Option<Fact> {
    match map.bad_records {
        BadRecords::Fail => None,
        BadRecords::Skip => Some(("does", "leaves out rows that fail, and counts them".to_owned())),
        BadRecords::Divert => Some(("does", "sends rows that fail to another table".to_owned())),
    }
}

fn aggregates(plan: &Plan, node: &Node, aggregate: &AggregateNode) -> String {
    let schema = input_schema(plan, node);
    let calls = calls(plan, node).join(", ");
    let what = match (aggregate.stage, aggregate.shown_calls().is_empty()) {
        (_, true) => "keeps one row of equal ones".to_owned(),
        (Stage::Partial, false) => format!("aggregates {calls} on its own worker first"),
        (Stage::Final, false) => format!("puts {calls} together"),
        (Stage::Whole, false) => format!("aggregates {calls}"),
    };
    let keys = columns(&schema, &aggregate.keys);
    let by = if keys.is_empty() { String::new() } else { format!(" by ({keys})") };
    let windows = aggregate.window.map(|spec| format!(" per {}", windows(&spec, &schema)));
    format!("{what}{by}{}", windows.unwrap_or_default())
}

/// Names the windows of an aggregation.
fn windows(spec: &WindowSpec, schema: &SchemaRef) -> String {
    let time = match spec.basis {
        TimeBasis::Event => "event time",
        TimeBasis::Processing => "processing time",
    };
    let zone = spec.zone.map(|zone| format!(" in {zone}")).unwrap_or_default();
    match spec.assigner {
        Assigner::Attached => format!("window of {time}{zone}"),
        assigner => {
            let window = assigner.describe(schema.field(spec.end).data_type());
            format!("{window} of {time}{zone}")
        }
    }
}

/// Returns the aggregates of an aggregation, in the user's words; nothing for other operators.
pub fn calls(plan: &Plan, node: &Node) -> Vec<String> {
    let NodeKind::Aggregate(aggregate) = &node.kind else { return Vec::new() };
    let input = plan.node(node.inputs[0].from);
    if let (Stage::Final, NodeKind::Aggregate(_)) = (aggregate.stage, &input.kind) {
        // Its arguments are states; those of the first part are the user's.
        return calls(plan, input);
    }
    let schema = input_schema(plan, node);
    aggregate.shown_calls().iter().map(|one| call(one, &schema)).collect()
}

fn call(call: &AggregateCall, schema: &SchemaRef) -> String {
    let name = call.function.name();
    let (function, rest) = name.split_once('(').unwrap_or((name, ""));
    let is_distinct = call.distinct || rest.starts_with("distinct ");
    let distinct = if is_distinct { "DISTINCT " } else { "" };
    let arguments = columns(schema, &call.arguments);
    let is_of_rows = call.arguments.is_empty() && function == "count";
    let arguments = if is_of_rows { "*" } else { &arguments };
    let filter =
        call.filter.map(|column| format!(" FILTER (WHERE {})", schema.field(column).name()));
    format!("{}({distinct}{arguments}){}", function.to_uppercase(), filter.unwrap_or_default())
}

fn tops(plan: &Plan, node: &Node, top: &TopNode) -> String {
    let schema = input_schema(plan, node);
    let (by, order) = (columns(&schema, &top.partition), order(&schema, &top.order));
    let rows = rows(top.ranking, &top.ranks);
    let of = if by.is_empty() { "all".to_owned() } else { format!("each ({by})") };
    let order = if order.is_empty() { "the whole row" } else { &order };
    let rank = if top.has_rank { ", with its rank" } else { "" };
    format!("keeps {rows} of {of}, ordered by {order}{rank}")
}

fn overs(plan: &Plan, node: &Node, over: &OverNode) -> String {
    let schema = input_schema(plan, node);
    let by = columns(&schema, &over.partition);
    let of = if by.is_empty() { String::new() } else { format!(" of each ({by})") };
    let order = match over.basis {
        Some(_) => schema.field(over.order[0].column).name().clone(),
        None => order(&schema, &over.order),
    };
    format!("computes {} for each row{of}, in order of {order}", functions(plan, node, over))
}

/// Returns the functions of an OVER window, in the user's words, with their frames. One frame is named
/// behind all of them, several each behind its own.
pub fn functions(plan: &Plan, node: &Node, over: &OverNode) -> String {
    let schema = input_schema(plan, node);
    let name = |column: usize| schema.field(column).name();
    let frames = over.frames();
    let function = |function: &OverFunction| match function {
        OverFunction::Aggregate { call: one, frame } => match frames.len() {
            1 => call(one, &schema),
            _ => format!("{} over {}", call(one, &schema), framed(*frame, over, &schema)),
        },
        OverFunction::Number(ranking) => ranking.name().to_owned(),
        OverFunction::Copy => "the numbers of equal rows".to_owned(),
        OverFunction::Shift { column, by, default } => {
            let (function, rows) = if *by < 0 { ("LAG", -by) } else { ("LEAD", *by) };
            let default = default.map(|default| format!(", {}", name(default)));
            format!("{function}({}, {rows}{})", name(*column), default.unwrap_or_default())
        }
    };
    let all = over.functions.iter().map(function).collect::<Vec<_>>().join(", ");
    match frames[..] {
        [frame] => format!("{all} over {}", framed(frame, over, &schema)),
        _ => all,
    }
}

/// Names the rows of a frame.
fn framed(frame: Frame, over: &OverNode, schema: &Schema) -> String {
    let first = schema.field(over.order[0].column);
    match frame {
        Frame::Rows(None) => "all rows up to it".to_owned(),
        Frame::Rows(Some(rows)) => format!("it and {rows} rows before it"),
        Frame::Range(None) if over.basis.is_some() => "all rows up to its time".to_owned(),
        Frame::Range(None) => "all rows up to it and its equals".to_owned(),
        Frame::Range(Some(length)) => match first.data_type() {
            kind @ DataType::Timestamp(_, _) => {
                format!("the rows of the last {}", span(length, kind))
            }
            _ => format!("the rows whose {} is at most {length} before its own", first.name()),
        },
    }
}

/// Names the rows of some ranks.
fn rows(ranking: Ranking, ranks: &RangeInclusive<usize>) -> String {
    match (ranking, *ranks.start(), *ranks.end()) {
        (Ranking::RowNumber, 1, 1) => "the first row".to_owned(),
        (Ranking::RowNumber, 1, last) => format!("the first {last} rows"),
        (Ranking::RowNumber, first, last) => format!("rows {first} to {last}"),
        (Ranking::Rank, first, last) => format!("the rows of rank {first} to {last}"),
        (Ranking::DenseRank, first, last) => format!("the rows of dense rank {first} to {last}"),
    }
}

fn joins(plan: &Plan, node: &Node, join: &JoinNode) -> String {
    let schema = |side: usize| plan.output_schema(node.inputs[side].from, node.inputs[side].port);
    let (left, right) = (schema(0), schema(1));
    let keys =
        join.keys.iter().map(|(l, r)| match (left.field(*l).name(), right.field(*r).name()) {
            (left, right) if left == right => left.clone(),
            (left, right) => format!("{left} = {right}"),
        });
    let keys = keys.collect::<Vec<_>>().join(", ");
    let on = if keys.is_empty() { " of all pairs".to_owned() } else { format!(" on ({keys})") };
    let condition = join.condition.as_ref().map(|c| format!(" where {}", c.condition.describe()));
    format!("{} join{on}{}", join.kind, condition.unwrap_or_default())
}

fn sorts(plan: &Plan, node: &Node, sort: &SortNode) -> String {
    let order = order(&input_schema(plan, node), &sort.order);
    let skip =
        if sort.skip > 0 { format!(", but for the first {}", sort.skip) } else { String::new() };
    let rows = match sort.limit {
        Some(limit) => format!("passes {limit} rows on{skip}"),
        None => format!("passes all rows on{skip}"),
    };
    if order.is_empty() { rows } else { format!("{rows}, ordered by {order}") }
}

fn order(schema: &SchemaRef, keys: &[SortKey]) -> String {
    let key = |key: &SortKey| {
        let direction = if key.descending { " DESC" } else { "" };
        format!("{}{direction}", schema.field(key.column).name())
    };
    keys.iter().map(key).collect::<Vec<_>>().join(", ")
}

/// Says how rows come to an operator, where they do not just stay where they are.
pub(super) fn arrives(plan: &Plan, node: &Node) -> Vec<Fact> {
    node.inputs.iter().filter_map(|input| arrival(plan, input)).map(|how| ("input", how)).collect()
}

fn arrival(plan: &Plan, input: &Input) -> Option<String> {
    let schema = plan.output_schema(input.from, input.port);
    let how = match &input.exchange {
        Exchange::Forward => None,
        Exchange::Global => Some("all rows go to one worker".to_owned()),
        Exchange::Broadcast => Some("all rows go to every worker".to_owned()),
        Exchange::ByKey(keys) => {
            Some(format!("each row goes to the worker of its ({})", columns(&schema, keys)))
        }
    };
    let from = plan.node(input.from);
    match (input.port, &from.kind) {
        (0, _) => how,
        (
            _,
            NodeKind::Aggregate(_)
            | NodeKind::Over(_)
            | NodeKind::Match(_)
            | NodeKind::SessionRows(_),
        ) => Some(format!("late rows of {}", from.operator)),
        (side, NodeKind::Join(_)) => {
            let side = if side == 1 { "left" } else { "right" };
            Some(format!("late rows of the {side} input of {}", from.operator))
        }
        (side, NodeKind::Process(process)) => {
            Some(format!("`{}` of {}", process.sides[side - 1].name, from.operator))
        }
        _ => Some(format!("bad records of {}", from.operator)),
    }
}

/// Says which watermark an operator makes or follows.
pub(super) fn watermark(plan: &Plan, node: &Node) -> Vec<Fact> {
    if let NodeKind::Source(source) = &node.kind {
        let watermark = source.watermark.as_ref().map(|watermark| watermark.explain());
        let idle = source
            .idle_timeout
            .map(|after| format!("; not held back by what is idle for {after:?}"));
        let share = match source.split_share {
            Share::ALL => String::new(),
            share => format!("; the greatest that {share} of the splits have reached"),
        };
        let aligned = source.alignment.as_ref().map(|alignment| format!("; {alignment}"));
        let more = idle.unwrap_or_default() + &aligned.unwrap_or_default();
        return watermark
            .map(|text| ("watermark", format!("{text}{share}{more}")))
            .into_iter()
            .collect();
    }
    let sources = plan.sources().filter_map(|(_, source)| {
        let domain = source.domain.filter(|domain| node.domains.contains(domain))?;
        let made = source.watermark.as_ref()?.explain();
        Some((domain, format!("{made} of `{}`", plan.domains[domain.0])))
    });
    let made: BTreeSet<_> = sources.collect();
    let made: Vec<String> = made.into_iter().map(|(_, made)| made).collect();
    match (made.as_slice(), &node.kind) {
        // Nothing of theirs depends on it.
        ([], _) | (_, NodeKind::Map(_) | NodeKind::Union | NodeKind::Sink(_)) => Vec::new(),
        ([one], _) => vec![("watermark", format!("follows {one}"))],
        (all, _) => vec![("watermark", format!("follows the least of {}", all.join(" and ")))],
    }
}

/// Says when rows leave an operator, where that is not as they come.
pub(super) fn leaves(plan: &Plan, node: &Node) -> Vec<Fact> {
    let when = match &node.kind {
        NodeKind::Sink(_)
        | NodeKind::Source(_)
        | NodeKind::Map(_)
        | NodeKind::Union
        | NodeKind::Check(_) => return Vec::new(),
        NodeKind::Aggregate(AggregateNode { panes: Some(panes), window, .. }) => {
            return vec![("emits", pane::emits(panes, window.as_ref()))];
        }
        NodeKind::Aggregate(aggregate) => match (aggregate.stage, &aggregate.window) {
            (Stage::Partial, _) => "what came in, at the end of each epoch",
            (_, None) => "what changed, at the end of each epoch",
            (_, Some(spec)) => when_due(spec),
        },
        NodeKind::CountWindow(_) => "a window, at the end of the epoch of its last row",
        NodeKind::Upsert(_) | NodeKind::Compact(_) => "what changed, at the end of each epoch",
        NodeKind::WindowTop(top) => when_due(&top.window),
        NodeKind::Top(top) => match top.final_by {
            None => "what changed, at the end of each epoch",
            Some(TimeBasis::Processing) => "first rows, at the end of their epoch",
            Some(TimeBasis::Event) => "first rows, when the watermark passes them",
        },
        NodeKind::Over(over) => return vec![("emits", when_over(over))],
        NodeKind::Match(search) => return vec![("emits", pattern::leaves(search))],
        NodeKind::SessionRows(rows) => when_due(&rows.window),
        NodeKind::TemporalJoin(temporal) => match temporal.versions {
            Versions::ByTime { .. } => "when the watermark passes the time of a row",
            Versions::Current { waits: true } => "at the end of each epoch, once the table is read",
            Versions::Current { waits: false } => "at the end of each epoch",
        },
        NodeKind::Process(_) => "rows as they come, and those of timers at the end of each epoch",
        NodeKind::Loop(_) => {
            "what changed, at the end of each epoch, when no round changes anything"
        }
        NodeKind::Join(_) if node.is_updating => "what changed, at the end of each epoch",
        NodeKind::Join(join) => match join.kind {
            JoinKind::Inner | JoinKind::Semi => "rows as they match",
            JoinKind::Anti => "rows that match nothing, when nothing can match them any more",
            _ => "pairs as they match, other rows when nothing can match them any more",
        },
        NodeKind::Sort(sort) if sort.order.is_empty() && !is_updated(plan, node) => {
            return Vec::new();
        }
        NodeKind::Sort(_) => "at the end of the input",
    };
    vec![("emits", when.to_owned())]
}

fn when_over(over: &OverNode) -> String {
    let when = match over.basis {
        Some(TimeBasis::Event) => "a row when the watermark reaches its time",
        Some(TimeBasis::Processing) => "what came in, at the end of each epoch",
        None => return "what changed, at the end of each epoch".to_owned(),
    };
    match over.rows_ahead() {
        0 => when.to_owned(),
        1 => format!("{when} and the next row is there"),
        rows => format!("{when} and the next {rows} rows are there"),
    }
}

/// Does the first input of an operator carry retractions?
pub(super) fn is_updated(plan: &Plan, node: &Node) -> bool {
    plan.node(node.inputs[0].from).is_updating
}

fn when_due(spec: &WindowSpec) -> &'static str {
    match spec.basis {
        TimeBasis::Event => "when the watermark passes the end of the window",
        TimeBasis::Processing => "when the clock reaches the end of the window",
    }
}

/// Says what holds across a crash, where rows or state could be lost or doubled.
pub(super) fn guarantee(plan: &Plan, node: &Node) -> Vec<Fact> {
    let lost = unreplayable(plan, node.id);
    let names = lost.iter().map(|table| format!("`{table}`")).collect::<Vec<_>>().join(", ");
    let from_source = match lost.is_empty() {
        true => "exactly once".to_owned(),
        false => format!("at most once: rows of {names} that a crash loses do not come again"),
    };
    let text = match &node.kind {
        NodeKind::Source(source) => match source.source.replay() {
            Replay::Exact => {
                "exactly once: rows behind the last checkpoint are read again".to_owned()
            }
            Replay::None => {
                "at most once: rows behind the last checkpoint are gone after a crash".to_owned()
            }
        },
        NodeKind::Sink(sink) => match sink.sink.delivery() {
            Delivery::ExactlyOnce => {
                format!("{from_source}; rows appear once their checkpoint is durable")
            }
            Delivery::AtLeastOnce => {
                "at least once: rows appear at once, and again after a crash".to_owned()
            }
            Delivery::AtMostOnce => "none: rows are not kept".to_owned(),
        },
        kind if kind.is_stateful() && lost.is_empty() => {
            "exactly once: state and offsets of sources are of one checkpoint".to_owned()
        }
        kind if kind.is_stateful() => from_source,
        _ => return Vec::new(),
    };
    vec![("guarantee", text)]
}

/// Returns the tables above which rows may be lost in a crash.
fn unreplayable(plan: &Plan, id: NodeId) -> BTreeSet<&str> {
    let node = plan.node(id);
    match &node.kind {
        NodeKind::Source(source) => {
            let is_lost = source.source.replay() == Replay::None;
            is_lost.then_some(source.table.as_str()).into_iter().collect()
        }
        _ => node.inputs.iter().flat_map(|input| unreplayable(plan, input.from)).collect(),
    }
}

/// Returns the schema of an operator's first input.
pub(super) fn input_schema(plan: &Plan, node: &Node) -> SchemaRef {
    let input = &node.inputs[0];
    plan.output_schema(input.from, input.port)
}

fn all_columns(schema: &SchemaRef) -> String {
    match schema.fields().len() {
        0 => "no columns".to_owned(),
        count => columns(schema, &(0..count).collect::<Vec<_>>()),
    }
}
