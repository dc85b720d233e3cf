use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use thalweg_types::{Change, Moment, Result};

use super::*;
use crate::function::Transform;
use crate::graph::PlanBuilder;
use crate::join::{TemporalJoinNode, VersionSource};
use crate::node::{BadRecords, Exchange, Input, TopNode, UpsertNode};
use crate::pane::{Accumulation, Panes};
use crate::trigger::Trigger;
use crate::window::{Assigner, TimeBasis, WindowSpec};

/// So many columns, the first two of them times.
fn schema(columns: usize) -> SchemaRef {
    let kind = |column: usize| match column {
        0 | 1 => DataType::Timestamp(TimeUnit::Millisecond, None),
        _ => DataType::Int64,
    };
    let fields = (0..columns).map(|column| Field::new(format!("c{column}"), kind(column), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn input(from: NodeId) -> Input {
    Input { from, port: 0, exchange: Exchange::Forward }
}

/// A plan that grows; its nodes have four columns, joins eight.
#[derive(Default)]
struct Plans(PlanBuilder);

impl Plans {
    fn add(&mut self, kind: NodeKind, inputs: &[NodeId], columns: usize) -> NodeId {
        let inputs = inputs.iter().map(|from| input(*from)).collect();
        self.0.add(kind, inputs, schema(columns))
    }

    /// A table whose rows some columns tell apart.
    fn table(&mut self, key: &[usize]) -> NodeId {
        let node =
            UpsertNode { table: "t".to_owned(), key: key.to_vec(), ttl: None, diverts: false };
        self.add(NodeKind::Upsert(node), &[], 4)
    }

    /// Rows of which nothing is known.
    fn rows(&mut self) -> NodeId {
        self.add(NodeKind::Union, &[], 4)
    }

    fn map(&mut self, from: NodeId, origins: &[Option<usize>]) -> NodeId {
        let node = MapNode {
            transforms: vec![Arc::new(Picked(origins.to_vec()))],
            bad_records: BadRecords::Fail,
            statement: "1".to_owned(),
        };
        self.add(NodeKind::Map(node), &[from], origins.len())
    }

    fn top(&mut self, from: NodeId, ranking: Ranking, last: usize, has_rank: bool) -> NodeId {
        let node = TopNode {
            partition: vec![2],
            order: Vec::new(),
            ranking,
            ranks: 1..=last,
            has_rank,
            is_retracted: true,
            final_by: None,
            ttl: None,
        };
        self.add(NodeKind::Top(node), &[from], 4 + usize::from(has_rank))
    }

    fn join(&mut self, kind: JoinKind, (left, right): (NodeId, NodeId), on: usize) -> NodeId {
        let node = join(kind, on, (0..if kind.has_pairs() { 8 } else { 4 }).collect());
        let columns = node.output.len();
        self.add(NodeKind::Join(node), &[left, right], columns)
    }

    fn keys(&self, id: NodeId) -> Vec<Key> {
        keys(self.0.plan(), id)
    }
}

/// A join by one column, which has the same place on both sides.
fn join(kind: JoinKind, on: usize, output: Vec<usize>) -> JoinNode {
    let (is_null_equal, condition, bound) = (false, None, None);
    let (keys, divert_late, ttl) = (vec![(on, on)], false, [None, None]);
    JoinNode { kind, keys, is_null_equal, condition, output, bound, divert_late, ttl }
}

/// Picks columns of its input; `None` is a computed one.
#[derive(Debug)]
struct Picked(Vec<Option<usize>>);

impl Transform for Picked {
    fn schema(&self) -> SchemaRef {
        schema(self.0.len())
    }

    fn apply(&self, _: &Change, _: &Moment, _: &mut Vec<Change>) -> Result<()> {
        unreachable!("a plan of this test is not run")
    }

    fn explain(&self) -> String {
        format!("{:?}", self.0)
    }

    fn origin(&self, column: usize) -> Option<usize> {
        self.0[column]
    }
}

const NONE: &[Key] = &[];

#[test]
fn a_key_passes_a_projection_that_has_all_of_it() {
    let mut plan = Plans::default();
    let table = plan.table(&[0, 2]);
    let moved = plan.map(table, &[None, Some(2), Some(3), Some(0)]);
    let cut = plan.map(table, &[Some(0), Some(1)]);
    let rows = plan.rows();
    let picked = plan.map(rows, &[Some(0)]);
    assert_eq!(plan.keys(table), [[0, 2]]);
    assert_eq!(plan.keys(moved), [[1, 3]]);
    assert_eq!(plan.keys(cut), NONE, "column 2 is gone");
    assert_eq!(plan.keys(picked), NONE);
}

/// Would fail if one row in all were still one behind a flat map.
#[test]
fn one_row_in_all_stays_one_unless_it_may_become_several() {
    let mut plan = Plans::default();
    let table = plan.table(&[]);
    let named = plan.map(table, &[Some(1), None]);
    let flat = plan.map(table, &[None, None]);
    assert_eq!(plan.keys(named), [Key::new()]);
    assert_eq!(plan.keys(flat), NONE);
}

#[test]
fn groups_are_told_apart_by_their_columns_and_windows() {
    let mut plan = Plans::default();
    let rows = plan.rows();
    let (assigner, basis) = (Assigner::Attached, TimeBasis::Event);
    let window = Some(WindowSpec { assigner, basis, start: 0, end: 1, zone: None });
    let mut groups = |window: Option<WindowSpec>, stage| {
        let node = AggregateNode {
            window,
            keys: vec![3, 2],
            calls: Vec::new(),
            stage,
            divert_late: false,
            retracts: false,
            ttl: None,
            panes: None,
        };
        plan.add(NodeKind::Aggregate(node), &[rows], 4)
    };
    let whole = groups(None, Stage::Whole);
    let windowed = groups(window, Stage::Final);
    // A worker's part of a group is not the group.
    let partial = groups(None, Stage::Partial);
    assert_eq!(plan.keys(whole), [[0, 1]]);
    assert_eq!(plan.keys(windowed), [[0, 1, 2, 3]]);
    assert_eq!(plan.keys(partial), NONE);
}

/// Would fail if panes that are added to each other were taken for one row of their window.
#[test]
fn panes_are_told_apart_by_their_number() {
    let mut plan = Plans::default();
    let rows = plan.rows();
    let mut panes = |accumulation, columns: Vec<PaneColumn>| {
        let (trigger, lateness) = (Trigger::on_time(), Duration::ZERO);
        let width = 1 + columns.len();
        let node = AggregateNode {
            window: None,
            keys: vec![3],
            calls: Vec::new(),
            stage: Stage::Whole,
            divert_late: false,
            retracts: false,
            ttl: None,
            panes: Some(Panes { trigger, accumulation, lateness, columns, own_time: None }),
        };
        plan.add(NodeKind::Aggregate(node), &[rows], width)
    };
    let both = || vec![PaneColumn::Timing, PaneColumn::Index];
    let alike = panes(Accumulation::Accumulating, vec![PaneColumn::Timing]);
    let numbered = panes(Accumulation::Discarding, both());
    let retracted = panes(Accumulation::Retracting, both());
    assert_eq!(plan.keys(alike), NONE);
    assert_eq!(plan.keys(numbered), [[0, 2]]);
    assert_eq!(plan.keys(retracted), [[0]]);
}

#[test]
fn first_rows_are_told_apart_by_partition_and_number() {
    let mut plan = Plans::default();
    let (rows, table) = (plan.rows(), plan.table(&[0]));
    let one = plan.top(rows, Ranking::RowNumber, 1, false);
    let numbered = plan.top(rows, Ranking::RowNumber, 3, true);
    let unnumbered = plan.top(rows, Ranking::RowNumber, 3, false);
    let shared = plan.top(rows, Ranking::Rank, 1, false);
    let of_table = plan.top(table, Ranking::RowNumber, 1, false);
    let shared_of_table = plan.top(table, Ranking::DenseRank, 3, true);
    assert_eq!(plan.keys(one), [[2]]);
    assert_eq!(plan.keys(numbered), [[2, 4]]);
    assert_eq!(plan.keys(unnumbered), NONE);
    assert_eq!(plan.keys(shared), NONE, "several rows share a rank");
    assert_eq!(plan.keys(of_table), [[0], [2]]);
    assert_eq!(plan.keys(shared_of_table), [[0]]);
}

#[test]
fn a_pair_is_told_by_both_keys_or_by_that_of_the_side_that_meets_one_row() {
    let mut plan = Plans::default();
    let (left, right) = (plan.table(&[2]), plan.table(&[3]));
    let mut keys = |kind, on| {
        let join = plan.join(kind, (left, right), on);
        plan.keys(join)
    };
    let pair = vec![2, 7];
    assert_eq!(keys(JoinKind::Inner, 0), [[2, 7]]);
    assert_eq!(keys(JoinKind::Inner, 3), [pair.clone(), vec![2]], "a left row meets one right row");
    assert_eq!(keys(JoinKind::Inner, 2), [pair.clone(), vec![7]], "a right row meets one left row");
    assert_eq!(keys(JoinKind::Left, 3), [pair.clone(), vec![2]]);
    assert_eq!(keys(JoinKind::Left, 2), [[2, 7]], "left rows alone have no right key");
    assert_eq!(keys(JoinKind::Right, 2), [pair, vec![7]]);
    assert_eq!(keys(JoinKind::Full, 2), NONE, "both keys may be NULL in several rows");
    assert_eq!(keys(JoinKind::Semi, 0), [vec![2]]);
    assert_eq!(keys(JoinKind::Anti, 0), [vec![2]]);
}

/// Would fail if a row counted as meeting several versions, or keys were kept that do not come out.
#[test]
fn a_row_that_meets_one_version_keeps_its_key() {
    let mut plan = Plans::default();
    let (left, right) = (plan.table(&[2]), plan.rows());
    let mut temporal = |versions, output: &[usize]| {
        let node = TemporalJoinNode { join: join(JoinKind::Left, 3, output.to_vec()), versions };
        let node = plan.add(NodeKind::TemporalJoin(node), &[left, right], output.len());
        plan.keys(node)
    };
    let by_time = Versions::ByTime { left: 0, right: 0, from: VersionSource::Rows };
    assert_eq!(temporal(by_time, &[4, 2]), [[1]]);
    assert_eq!(temporal(by_time, &[4, 3]), NONE);
    let current = Versions::Current { waits: false };
    assert_eq!(temporal(current, &[4, 2]), NONE, "a table without a key may hold several rows");
}

#[test]
fn of_rows_put_together_nothing_is_known() {
    let mut plan = Plans::default();
    let (one, other) = (plan.table(&[0]), plan.table(&[0]));
    let union = plan.add(NodeKind::Union, &[one, other], 4);
    assert_eq!(plan.keys(union), NONE);
}
