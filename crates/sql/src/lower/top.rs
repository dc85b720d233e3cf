//! The first rows of each partition: top-N and deduplication, of windows and of all time.

use std::ops::RangeInclusive;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::logical_expr::{Expr, LogicalPlan, SortExpr, Window};
use thalweg_plan::join::VersionSource;
use thalweg_plan::node::{Exchange, Input, NodeKind, Ranking, SortKey, TopNode, WindowTopNode};
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_types::{Error, Result};

use super::ranking::Numbered;
use super::{Lowering, Role, Stream, Versioned};
use crate::copies::ties_of;
use crate::expression::{Expression, Filter};
use crate::windowing::{Pick, Reorder};

/// Which rows of which partitions, in which order.
#[derive(Debug)]
pub(super) struct First {
    /// Columns of the partition.
    pub(super) partition: Vec<usize>,
    /// The order.
    pub(super) order: Vec<SortKey>,
    /// How rows are numbered.
    pub(super) ranking: Ranking,
    /// The numbers of the rows.
    pub(super) ranks: RangeInclusive<usize>,
    /// Is the number a column of the result?
    pub(super) has_rank: bool,
}

impl Lowering<'_> {
    /// Lowers a filter on the number of a row, behind which the columns `read` are read; `None` if
    /// it is another filter.
    pub(super) fn numbered_filter(
        &mut self,
        predicate: &Expr,
        input: &LogicalPlan,
        read: &[usize],
    ) -> Result<Option<Stream>> {
        let Some(numbered) = Numbered::of(predicate, input, read) else { return Ok(None) };
        let mut stream = self.numbered(input, &numbered)?;
        if let Some(rest) = &numbered.rest {
            let condition = Expression::new(rest, input.schema())?;
            let schema = self.schema(&stream);
            self.map(&mut stream, Arc::new(Filter::new(condition, schema)));
        }
        Ok(Some(stream))
    }

    /// Lowers what stands between the filter and the function, and that itself.
    pub(super) fn numbered(
        &mut self,
        plan: &LogicalPlan,
        numbered: &Numbered<'_>,
    ) -> Result<Stream> {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => self.numbered(&alias.input, numbered),
            LogicalPlan::Projection(projection) => {
                let stream = self.numbered(&projection.input, numbered)?;
                self.project(stream, projection.input.schema(), projection)
            }
            LogicalPlan::Window(window) => self.first_rows(window, numbered),
            other => Err(super::unsupported(other)),
        }
    }

    fn first_rows(&mut self, window: &Window, numbered: &Numbered<'_>) -> Result<Stream> {
        let schema = window.input.schema();
        let params = &numbered.call.params;
        let stream = self.lower(&window.input)?;
        let mut stream = self.settle(stream)?;
        let (order_by, _) = ties_of(numbered.call);
        let keys = order_by.iter().map(|key| &key.expr);
        let exprs: Vec<&Expr> = params.partition_by.iter().chain(keys).collect();
        let columns = self.columns_of(&mut stream, schema, &exprs)?;
        let (partition, keys) = columns.split_at(params.partition_by.len());
        let first = First {
            partition: partition.to_vec(),
            order: sort_keys(order_by, keys),
            ranking: numbered.ranking,
            ranks: numbered.ranks.clone(),
            has_rank: numbered.has_rank,
        };
        let has = |role| partition.iter().any(|column| stream.roles[*column] == role);
        let is_updating = self.builder.plan().node(stream.node).is_updating;
        // As in Flink: one end alone does not tell windows apart that share it.
        let is_windowed = stream.window.is_some() && has(Role::WindowStart) && has(Role::WindowEnd);
        let is_plain = is_updating || !is_windowed;
        match numbered.are_versions && !is_updating && is_last_by_time(&stream, &first) {
            true => self.versions_of(&mut stream, &first),
            false if is_plain => self.first_of_all(&mut stream, first),
            false => self.first_of_windows(&mut stream, first)?,
        }
        let rank = match numbered.has_rank {
            true => Pick::Column(self.schema(&stream).fields().len() - 1),
            // It is the same in all rows, or nobody reads it.
            false => Pick::Number(*numbered.ranks.start() as i64),
        };
        let picks = (0..schema.fields().len()).map(Pick::Column).chain([rank]).collect();
        self.as_planned(&mut stream, window, picks);
        Ok(stream)
    }

    /// Lets all rows pass, as versions of their partitions.
    fn versions_of(&self, stream: &mut Stream, last: &First) {
        let schema = self.schema(stream);
        for column in &last.partition {
            stream.roles[*column] = Role::VersionKey;
        }
        let key = last.partition.iter().map(|column| schema.field(*column).name().clone());
        stream.versioned =
            Some(Versioned { source: VersionSource::Deduplicated, key: key.collect() });
    }

    /// Adds the first rows of each partition at any time.
    pub(super) fn first_of_all(&mut self, stream: &mut Stream, first: First) {
        let is_retracted = self.builder.plan().node(stream.node).is_updating;
        let final_by = first_by(stream, &first).filter(|_| !is_retracted);
        let First { partition, order, ranking, ranks, has_rank } = first;
        let exchange = exchange_by(&partition);
        let ttl = self.ttl;
        let node =
            TopNode { partition, order, ranking, ranks, has_rank, is_retracted, final_by, ttl };
        let made = self.with_rank(stream, has_rank);
        let edge = Input { from: stream.node, port: 0, exchange };
        stream.node = self.builder.add(NodeKind::Top(node), vec![edge], made);
        if final_by.is_none() {
            // A time that comes and goes says nothing of what is still to come.
            stream.roles.iter_mut().for_each(|role| *role = Role::Plain);
            stream.window = None;
        }
        stream.roles.extend(has_rank.then_some(Role::Plain));
    }

    /// Adds the first rows of each window, sent when it is complete.
    fn first_of_windows(&mut self, stream: &mut Stream, first: First) -> Result<()> {
        if first.ranking != Ranking::RowNumber {
            return Err(Error::invalid(
                "the first rows of a window are counted by ROW_NUMBER() only",
            )
            .remedy("write ROW_NUMBER(), or leave the window out of PARTITION BY"));
        }
        let at = |role| {
            let found = first.partition.iter().find(|column| stream.roles[**column] == role);
            found.copied().ok_or_else(super::lost_window)
        };
        let (start, end) = (at(Role::WindowStart)?, at(Role::WindowEnd)?);
        let (basis, zone) = (stream.basis, stream.zone);
        let spec = WindowSpec { assigner: Assigner::Attached, basis, start, end, zone };
        // Another window that ends there may start elsewhere: it is told apart like any other column.
        let of_window = |column: usize| match stream.roles[column] {
            Role::WindowStart => column == start,
            role => role.is_window(),
        };
        let partition: Vec<usize> =
            first.partition.iter().copied().filter(|column| !of_window(*column)).collect();
        let exchange = exchange_by(&partition);
        let node = WindowTopNode {
            window: spec,
            partition,
            order: first.order,
            ranks: first.ranks,
            rank: first.has_rank,
        };
        let made = self.with_rank(stream, first.has_rank);
        let edge = Input { from: stream.node, port: 0, exchange };
        stream.node = self.builder.add(NodeKind::WindowTop(node), vec![edge], made);
        stream.pass_times();
        stream.roles.extend(first.has_rank.then_some(Role::Plain));
        Ok(())
    }

    /// Returns the schema of a stream, with a rank behind it if there is one.
    fn with_rank(&self, stream: &Stream, has_rank: bool) -> SchemaRef {
        let mut fields = self.schema(stream).fields().to_vec();
        fields.extend(has_rank.then(|| Arc::new(Field::new("rank", DataType::Int64, false))));
        Arc::new(Schema::new(fields))
    }

    /// Gives the result the columns, names and types that the plan has for it.
    pub(super) fn as_planned(&mut self, stream: &mut Stream, window: &Window, picks: Vec<Pick>) {
        let made = self.schema(stream);
        let fields = window.schema.fields().iter().zip(&picks).map(|(wanted, pick)| {
            let is_nullable = match pick {
                Pick::Column(column) => made.field(*column).is_nullable(),
                _ => false,
            };
            wanted.as_ref().clone().with_nullable(is_nullable || wanted.is_nullable())
        });
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let roles = picks.iter().map(|pick| match pick {
            Pick::Column(column) => stream.roles[*column],
            _ => Role::Plain,
        });
        stream.roles = roles.collect();
        self.map(stream, Arc::new(Reorder { picks, schema }));
    }
}

/// Returns the time by which this is the first row of each partition, where that is its order.
fn first_by(stream: &Stream, first: &First) -> Option<TimeBasis> {
    let order = one_by(first).filter(|order| !order.descending)?;
    match stream.roles[order.column] {
        Role::Proctime => Some(TimeBasis::Processing),
        Role::Rowtime => Some(TimeBasis::Event),
        Role::WindowTime if stream.zone.is_none() => {
            Some(stream.basis).filter(|basis| *basis == TimeBasis::Event)
        }
        _ => None,
    }
}

/// Is this the last row of each partition by event time?
fn is_last_by_time(stream: &Stream, first: &First) -> bool {
    let order = one_by(first).filter(|order| order.descending);
    order.is_some_and(|order| stream.roles[order.column] == Role::Rowtime)
}

/// Returns the one column by which one row of each partition is first.
fn one_by(first: &First) -> Option<SortKey> {
    let is_one = first.ranking == Ranking::RowNumber && first.ranks == (1..=1);
    match first.order.as_slice() {
        [order] if is_one => Some(*order),
        _ => None,
    }
}

/// Returns the order by some keys, whose expressions are `columns`.
pub(super) fn sort_keys(keys: &[SortExpr], columns: &[usize]) -> Vec<SortKey> {
    let key = |(key, column): (&SortExpr, &usize)| SortKey {
        column: *column,
        descending: !key.asc,
        nulls_first: key.nulls_first,
    };
    keys.iter().zip(columns).map(key).collect()
}

/// Returns how rows come to the worker of their partition.
pub(super) fn exchange_by(partition: &[usize]) -> Exchange {
    match partition.is_empty() {
        true => Exchange::Global,
        false => Exchange::ByKey(partition.to_vec()),
    }
}
