//! The closed set of node kinds: everything that the engine can do.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use thalweg_types::{DomainId, NodeId, OperatorId};

use crate::alignment::Alignment;
use crate::function::{Transform, Watermarker};
use crate::join::{JoinNode, TemporalJoinNode};
use crate::loops::LoopNode;
use crate::pane::Panes;
use crate::pattern::MatchNode;
use crate::process::ProcessNode;
use crate::sink::Sink;
use crate::source::{Changes, Source};
use crate::trail::Share;
use crate::window::{TimeBasis, WindowSpec};

pub use crate::function::AggregateCall;
pub use crate::order::SortKey;

/// How rows come from one node's workers to the next node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Rows stay on their worker.
    Forward,
    /// Rows go to the owner of the key in these columns.
    ByKey(Vec<usize>),
    /// All rows go to one worker.
    Global,
    /// All rows go to every worker.
    Broadcast,
}

/// An edge into a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The node it comes from.
    pub from: NodeId,
    /// Which output of that node: 0 for results, 1 for late rows or bad records; of a function from
    /// 1 on its side outputs.
    pub port: usize,
    /// How rows travel.
    pub exchange: Exchange,
}

/// What becomes of a record that cannot be decoded, or a row whose expression fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRecords {
    /// The job fails and names the record.
    Fail,
    /// The record is counted and left out.
    Skip,
    /// The record goes to output 1 of the node, as rows of the bad-record schema.
    Divert,
}

/// A node that reads a table.
#[derive(Clone, Debug)]
pub struct SourceNode {
    /// Name of the table; splits and offsets are stored under it.
    pub table: String,
    /// The source itself.
    pub source: Arc<dyn Source>,
    /// What its rows say.
    pub changes: Changes,
    /// Columns of the primary key that the table declares; none if there is none, or not all of it
    /// is read.
    pub key: Vec<usize>,
    /// The time domain of its rows; `None` without a watermark.
    pub domain: Option<DomainId>,
    /// How watermarks are made; present where the domain is.
    pub watermark: Option<Arc<dyn Watermarker>>,
    /// A split that hands over nothing for so long no longer holds the watermark back.
    pub idle_timeout: Option<Duration>,
    /// The watermark is the greatest that this share of the open splits has reached.
    pub split_share: Share,
    /// Which of its splits wait for others; none does without it.
    pub alignment: Option<Alignment>,
    /// Rows per second over all workers; `None` for as fast as it goes.
    pub rows_per_second: Option<u64>,
    /// What becomes of malformed records.
    pub bad_records: BadRecords,
}

/// A chain of stateless functions.
#[derive(Clone, Debug)]
pub struct MapNode {
    /// The functions, first one first.
    pub transforms: Vec<Arc<dyn Transform>>,
    /// What becomes of rows whose expressions fail.
    pub bad_records: BadRecords,
    /// Where rows come from, for error messages: the statement.
    pub statement: String,
}

/// Which part of an aggregation a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Rows in, values out.
    Whole,
    /// Rows in; at the end of each epoch partial states out, nothing kept.
    Partial,
    /// Partial states in, values out.
    Final,
}

/// An aggregation, windowed or not.
///
/// Shapes: in stage `Whole` and `Partial` the input is rows, and `keys`, `calls` and the window's
/// columns count in it. `Partial` puts out `[window start, window end,] keys…, states…` (window
/// columns only if windowed), and `Final` reads that: its `keys` and window columns count there,
/// while its calls are those of the first part, whose states stand behind the keys as
/// [`crate::distinct::state_fields`] says. `Whole` and `Final` put out
/// `[window start, window end,] keys…, values…`, and behind them what `panes` says of panes.
#[derive(Clone, Debug)]
pub struct AggregateNode {
    /// The windows; `None` for a running aggregation with an updating result.
    pub window: Option<WindowSpec>,
    /// Columns of the key; none for one group in all.
    pub keys: Vec<usize>,
    /// The aggregates; none for `DISTINCT`.
    pub calls: Vec<AggregateCall>,
    /// Which part this node does.
    pub stage: Stage,
    /// Do late rows go to output 1 (as rows of the input)? Else they are counted only.
    pub divert_late: bool,
    /// Does the input take rows back? Then the last call counts the rows of a group, to tell when
    /// none is left, and is no column of the result.
    pub retracts: bool,
    /// How long a group of a running aggregation is kept after it was written; `None` for ever.
    pub ttl: Option<Duration>,
    /// What windows send, in stage `Whole`; `None` for one pane when a window is complete. Without
    /// `window` there is one of all time, which ends with the input.
    pub panes: Option<Panes>,
}

impl AggregateNode {
    /// Returns the calls whose values are columns of the result.
    pub fn shown_calls(&self) -> &[AggregateCall] {
        &self.calls[..self.calls.len() - usize::from(self.retracts)]
    }
}

/// An aggregation of so many rows of each key, in the order in which they come; an input that only
/// grows.
///
/// Shapes: out `keys…, values…`, a row for each window, which is sent when its last row is there. A window
/// that the input ends within is not sent.
#[derive(Clone, Debug)]
pub struct CountWindowNode {
    /// Columns of the key; none for one group in all.
    pub keys: Vec<usize>,
    /// The aggregates.
    pub calls: Vec<AggregateCall>,
    /// How many rows a window has; the first ones fewer, where `slide` is less.
    pub size: u64,
    /// After how many rows there is a next one.
    pub slide: u64,
}

impl CountWindowNode {
    /// Says which aggregates there are of which rows.
    pub fn described(&self) -> String {
        let calls: Vec<String> = self.calls.iter().map(AggregateCall::name).collect();
        format!("[{}] of {} rows every {}", calls.join(", "), self.size, self.slide)
    }
}

/// Makes changes of what a source says of keys ([`crate::source::Changes::Upsert`]): keeps the row
/// that each key has, and puts out what becomes of it at the end of each epoch.
///
/// Shapes: out the input's columns; a row that retracts is whole.
#[derive(Clone, Debug)]
pub struct UpsertNode {
    /// Name of the table; the state is stored under it.
    pub table: String,
    /// Columns of the key.
    pub key: Vec<usize>,
    /// How long a row is kept after it was written; `None` until it is deleted.
    pub ttl: Option<Duration>,
    /// Do deletions of keys that are not there go to output 1, as bad records?
    pub diverts: bool,
}

/// Leaves out what takes back a row that is not there, of a changelog from outside, and counts it.
///
/// With a key, rows are versions of it: each that comes replaces the one before, and what takes back any
/// row of a key that is there takes that back. So it is with what a source says of keys, too.
///
/// Shapes: out the input's columns; output 1 rows of the bad-record schema.
#[derive(Clone, Debug)]
pub struct CheckNode {
    /// Name of the table; the state is stored under it.
    pub table: String,
    /// Columns of the key whose versions the rows are; `None` where a row is told by all of its columns.
    pub key: Option<Vec<usize>>,
    /// How long a row is known after it came; `None` until it is taken back.
    pub ttl: Option<Duration>,
    /// Does what is left out go to output 1?
    pub diverts: bool,
}

/// Of the changes of each key in an epoch the last one: what its row is then, or that it is gone.
/// Nothing is kept beyond the epoch.
///
/// Shapes: out the input's columns, one row at most for each key and epoch.
#[derive(Clone, Debug)]
pub struct CompactNode {
    /// Columns of the key.
    pub key: Vec<usize>,
}

/// The first rows of each window and partition, put out when the window is complete.
///
/// Shapes: out the input's columns, and if `rank` a BIGINT column behind them.
#[derive(Clone, Debug)]
pub struct WindowTopNode {
    /// The windows; always attached.
    pub window: WindowSpec,
    /// Further columns of the partition.
    pub partition: Vec<usize>,
    /// The order; ties are broken by the whole row, column by column.
    pub order: Vec<SortKey>,
    /// Numbers of the rows that are put out.
    pub ranks: RangeInclusive<usize>,
    /// Is the row number a column of the result?
    pub rank: bool,
}

/// How the rows of a partition are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranking {
    /// Each row has a number of its own.
    RowNumber,
    /// Rows of equal order share a rank; behind them as many ranks are left out.
    Rank,
    /// Rows of equal order share a rank; none is left out.
    DenseRank,
}

impl Ranking {
    /// Returns the function, as SQL calls it.
    pub fn name(self) -> &'static str {
        match self {
            Ranking::RowNumber => "ROW_NUMBER()",
            Ranking::Rank => "RANK()",
            Ranking::DenseRank => "DENSE_RANK()",
        }
    }
}

/// The first rows of each partition at any time: an updating result.
///
/// Shapes: out the input's columns, and if `has_rank` a BIGINT column behind them.
#[derive(Clone, Debug)]
pub struct TopNode {
    /// Columns of the partition; none for one partition in all.
    pub partition: Vec<usize>,
    /// The order; ties are broken by the whole row, column by column.
    pub order: Vec<SortKey>,
    /// How rows are numbered.
    pub ranking: Ranking,
    /// Ranks of the rows that are put out.
    pub ranks: RangeInclusive<usize>,
    /// Is the rank a column of the result?
    pub has_rank: bool,
    /// Does the input take rows back? Then all of its rows are kept, else those that can be first.
    pub is_retracted: bool,
    /// The time that the order is by, where what is first by it stays so and the result is
    /// append-only: at the end of an epoch if that is the time of arrival, and if it is event time
    /// when the watermark passes it. For the first row of each partition alone.
    pub final_by: Option<TimeBasis>,
    /// How long a partition is kept after one of its rows was written; `None` for ever.
    pub ttl: Option<Duration>,
}

/// Which rows up to a row its aggregates are over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// The row and so many before it; `None` for all.
    Rows(Option<usize>),
    /// The rows of its time and of so much before it, in the unit of the time column, or of its
    /// number and of numbers so much before it; `None` for all.
    Range(Option<i64>),
}

impl Frame {
    /// Does it begin at some row or time behind the first?
    pub fn is_bounded(self) -> bool {
        matches!(self, Frame::Rows(Some(_)) | Frame::Range(Some(_)))
    }
}

/// A function over the rows around a row.
#[derive(Clone, Debug)]
pub enum OverFunction {
    /// An aggregate.
    Aggregate {
        /// The aggregate.
        call: AggregateCall,
        /// The rows that it is over.
        frame: Frame,
    },
    /// The number of the row in its partition.
    Number(Ranking),
    /// The number of the row among those that are equal to it in all columns, from 1 on.
    Copy,
    /// The value of another row.
    Shift {
        /// Column of the value.
        column: usize,
        /// How many rows behind the row that is; below 0 how many before it.
        by: isize,
        /// Column of what it is if there is no such row; `None` for NULL.
        default: Option<usize>,
    },
}

/// Functions over the rows up to each row, in their order.
///
/// Shapes: out the input's columns, then one for each function.
#[derive(Clone, Debug)]
pub struct OverNode {
    /// Columns of the partition; none for one partition in all.
    pub partition: Vec<usize>,
    /// The order, of one column at least; ties are broken by the whole row.
    pub order: Vec<SortKey>,
    /// Where the order is event time or the time of arrival, rising, of an input that takes nothing
    /// back: which of the two. A row is then sent once, when no row before it can come any more.
    /// `None` for any other order and input: an updating result.
    pub basis: Option<TimeBasis>,
    /// The functions.
    pub functions: Vec<OverFunction>,
    /// Do late rows go to output 1 (as rows of the input)? Else they are counted only.
    pub divert_late: bool,
    /// How long a partition is kept after one of its rows was written; `None` for as long as it has
    /// something to keep.
    pub ttl: Option<Duration>,
}

impl OverNode {
    /// Returns the aggregates among the functions, each with its frame.
    pub fn calls(&self) -> impl Iterator<Item = (&AggregateCall, Frame)> {
        self.functions.iter().filter_map(|function| match function {
            OverFunction::Aggregate { call, frame } => Some((call, *frame)),
            OverFunction::Number(_) | OverFunction::Copy | OverFunction::Shift { .. } => None,
        })
    }

    /// Returns the frames of the aggregates, each once, in the order in which they come.
    pub fn frames(&self) -> Vec<Frame> {
        let mut frames = Vec::new();
        for (_, frame) in self.calls() {
            if !frames.contains(&frame) {
                frames.push(frame);
            }
        }
        frames
    }

    /// Are equal rows numbered?
    pub fn has_copies(&self) -> bool {
        self.functions.iter().any(|function| matches!(function, OverFunction::Copy))
    }

    /// Returns how many rows behind a row must be there before its functions are known.
    pub fn rows_ahead(&self) -> usize {
        self.shifts().map(|by| usize::try_from(by).unwrap_or(0)).max().unwrap_or(0)
    }

    /// Returns how many rows before a row its functions look back, the frame aside.
    pub fn rows_back(&self) -> usize {
        self.shifts().map(|by| usize::try_from(-by).unwrap_or(0)).max().unwrap_or(0)
    }

    fn shifts(&self) -> impl Iterator<Item = isize> {
        self.functions.iter().filter_map(|function| match function {
            OverFunction::Shift { by, .. } => Some(*by),
            OverFunction::Aggregate { .. } | OverFunction::Number(_) | OverFunction::Copy => None,
        })
    }
}

/// The rows of sessions, with the true start and end of each, put out when the session is complete.
///
/// Shapes: out the input's columns. Output 1 has late rows.
#[derive(Clone, Debug)]
pub struct SessionRowsNode {
    /// The sessions; rows carry the ones they would have alone.
    pub window: WindowSpec,
    /// Columns by which sessions are told apart.
    pub keys: Vec<usize>,
    /// Do late rows go to output 1? Else they are counted only.
    pub divert_late: bool,
    /// Are rows of the input taken back?
    pub retracts: bool,
}

/// All rows of a bounded input in order.
#[derive(Clone, Debug)]
pub struct SortNode {
    /// The order; empty keeps that of arrival. Ties are broken by the whole row.
    pub order: Vec<SortKey>,
    /// Rows to leave out at the start.
    pub skip: usize,
    /// Rows to put out at most.
    pub limit: Option<usize>,
}

/// A node that writes a table.
#[derive(Clone, Debug)]
pub struct SinkNode {
    /// Name of the table.
    pub table: String,
    /// The sink itself.
    pub sink: Arc<dyn Sink>,
}

/// What a node does.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// Reads a table.
    Source(SourceNode),
    /// Applies stateless functions.
    Map(MapNode),
    /// Aggregates by key, and by window.
    Aggregate(AggregateNode),
    /// Aggregates so many rows of each key.
    CountWindow(CountWindowNode),
    /// Keeps the row of each key.
    Upsert(UpsertNode),
    /// Passes on the last change of each key.
    Compact(CompactNode),
    /// Keeps the first rows of each window.
    WindowTop(WindowTopNode),
    /// Keeps the first rows of each partition.
    Top(TopNode),
    /// Computes functions over the rows up to each row.
    Over(OverNode),
    /// Searches rows for a pattern.
    Match(MatchNode),
    /// Keeps rows until their sessions are complete.
    SessionRows(SessionRowsNode),
    /// Joins two inputs.
    Join(JoinNode),
    /// Joins rows with versions of a table.
    TemporalJoin(TemporalJoinNode),
    /// Applies a user's function to keyed rows.
    Process(ProcessNode),
    /// Repeats steps until nothing changes.
    Loop(LoopNode),
    /// Puts several inputs of one schema together.
    Union,
    /// Leaves out what takes back a row that is not there.
    Check(CheckNode),
    /// Orders a bounded input.
    Sort(SortNode),
    /// Writes a table.
    Sink(SinkNode),
}

impl NodeKind {
    /// Does the node keep state between epochs?
    pub fn is_stateful(&self) -> bool {
        match self {
            NodeKind::Aggregate(node) => node.stage != Stage::Partial,
            NodeKind::CountWindow(_)
            | NodeKind::Upsert(_)
            | NodeKind::Check(_)
            | NodeKind::WindowTop(_)
            | NodeKind::Top(_)
            | NodeKind::Over(_)
            | NodeKind::Match(_)
            | NodeKind::SessionRows(_)
            | NodeKind::Sort(_)
            | NodeKind::Join(_)
            | NodeKind::TemporalJoin(_)
            | NodeKind::Process(_)
            | NodeKind::Loop(_) => true,
            NodeKind::Source(_) | NodeKind::Map(_) | NodeKind::Union => false,
            NodeKind::Compact(_) | NodeKind::Sink(_) => false,
        }
    }

    /// Returns how many outputs there are.
    pub fn outputs(&self) -> usize {
        match self {
            NodeKind::Process(process) => 1 + process.sides.len(),
            NodeKind::Source(_) | NodeKind::Map(_) | NodeKind::Aggregate(_) => 2,
            NodeKind::Over(_) | NodeKind::Match(_) | NodeKind::SessionRows(_) => 2,
            NodeKind::Join(join) if join.divert_late => 3,
            NodeKind::Upsert(UpsertNode { diverts: true, .. })
            | NodeKind::Check(CheckNode { diverts: true, .. }) => 2,
            _ => 1,
        }
    }

    /// Returns how long rows of the state are kept after they were written, those of the first and of
    /// the second input; `None` for as long as they may be needed.
    pub fn ttl(&self) -> [Option<Duration>; 2] {
        match self {
            NodeKind::Aggregate(node) => [node.ttl, None],
            NodeKind::Upsert(node) => [node.ttl, None],
            NodeKind::Check(node) => [node.ttl, None],
            NodeKind::Top(node) => [node.ttl, None],
            NodeKind::Over(node) => [node.ttl, None],
            NodeKind::Match(node) => [node.ttl, None],
            NodeKind::Join(node) => node.ttl,
            _ => [None, None],
        }
    }

    /// Returns the kind's name, as `EXPLAIN` prints it.
    pub fn name(&self) -> &'static str {
        match self {
            NodeKind::Source(_) => "Source",
            NodeKind::Map(_) => "Map",
            NodeKind::Aggregate(node) => match (node.stage, node.window.is_some()) {
                (Stage::Partial, _) => "PreAggregate",
                _ if node.panes.is_some() => "PaneAggregate",
                (_, true) => "WindowAggregate",
                (_, false) => "Aggregate",
            },
            NodeKind::CountWindow(_) => "CountWindow",
            NodeKind::Upsert(_) => "Upsert",
            NodeKind::Check(_) => "Check",
            NodeKind::Compact(_) => "Compact",
            NodeKind::WindowTop(_) => "WindowTop",
            NodeKind::Top(_) => "Top",
            NodeKind::Over(_) => "Over",
            NodeKind::Match(_) => "Match",
            NodeKind::SessionRows(_) => "SessionRows",
            NodeKind::Join(_) => "Join",
            NodeKind::TemporalJoin(_) => "TemporalJoin",
            NodeKind::Process(_) => "Process",
            NodeKind::Loop(_) => "Loop",
            NodeKind::Union => "Union",
            NodeKind::Sort(_) => "Sort",
            NodeKind::Sink(_) => "Sink",
        }
    }
}

/// A node of a plan.
#[derive(Clone, Debug)]
pub struct Node {
    /// Position in the plan.
    pub id: NodeId,
    /// Stable name, under which state is stored.
    pub operator: OperatorId,
    /// What it does.
    pub kind: NodeKind,
    /// Where its rows come from.
    pub inputs: Vec<Input>,
    /// Schema of output 0.
    pub schema: SchemaRef,
    /// Does output 0 carry retractions?
    pub is_updating: bool,
    /// The time domains upstream; their least watermark is the node's.
    pub domains: Vec<DomainId>,
    /// By how much rows of output 0 may be older than that watermark when they come.
    pub delay: Duration,
}
