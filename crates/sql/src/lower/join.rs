//! Joins: keys, conditions, and what time says about how long a row is needed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Expr, ExprSchemable, Join, LogicalPlan, Operator, Projection as ProjectionPlan, Union,
    binary_expr, build_join_schema, cast, lit,
};
use thalweg_plan::function::Transform;
use thalweg_plan::join::{JoinKind, JoinNode, PairCondition, TimeBound};
use thalweg_plan::node::{Exchange, Input, NodeKind};
use thalweg_plan::unique::keys;
use thalweg_plan::window::Assigner;
use thalweg_types::{Error, Result};

use super::broadcast::{Copies, Deal, Size, can_be_copied, copied_side};
use super::temporal::AsOf;
use super::time_bound::{Side, bound};
use super::{Lowering, Role, Stream, column_of, nullable_windows};
use super::{broadcast, temporal};
use crate::as_of::time_of;
use crate::expression::{Expression, Projection, Test};
use crate::text::plan_error;

/// One input of a join, with the columns of its key.
struct Keyed {
    stream: Stream,
    schema: DFSchema,
    /// Columns there were before those that the key needed.
    width: usize,
    keys: Vec<usize>,
}

impl Lowering<'_> {
    pub(super) fn join(&mut self, join: &Join) -> Result<Stream> {
        if join.join_type == JoinType::LeftMark {
            return self.lower(&marked(join).map_err(plan_error)?);
        }
        let (kind, is_swapped) = kind_of(join.join_type)?;
        let Conditions { mut on, mut filter, time } = Conditions::of(join)?;
        let (mut first, mut second) = (&join.left, &join.right);
        if is_swapped {
            std::mem::swap(&mut first, &mut second);
            on.iter_mut().for_each(|(left, right)| std::mem::swap(left, right));
        }
        // A version is chosen before anything is asked of it.
        let (table, asked) = match &time {
            Some(_) => temporal::peel(second),
            None => (second.as_ref(), Vec::new()),
        };
        filter = conjunction(asked.into_iter().chain(filter));
        let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = on.iter().cloned().unzip();
        let (left_keys, right_keys) =
            same_types(left_keys, right_keys, (first.schema(), table.schema()))?;
        let left = self.lower(first)?;
        let mut left = self.keyed(left, (first.schema(), "left"), &left_keys)?;
        let as_of = |time| AsOf::of(&time, (&left.schema, &left.stream), self.is_updating(&left));
        let as_of = time.map(as_of).transpose()?;
        let right = self.table_as_of(as_of, table)?;
        let mut right = self.keyed(right, (table.schema(), "right"), &right_keys)?;
        let is_null_equal = join.null_equality == NullEquality::NullEqualsNull;
        if let Some(AsOf::Rowtime(_)) = as_of {
            let equal = Equal { left: left_keys, right: right_keys, is_null_equal };
            let asked = keep_version_key(&mut left, &mut right, equal)?;
            filter = conjunction(asked.into_iter().chain(filter));
        }
        if as_of.is_none()
            && let Some(copied) = self.copied(kind, [&left, &right])?
        {
            self.broadcast(copied, [&mut left, &mut right])?;
        }
        let whole = left.schema.join(&right.schema).map_err(plan_error)?;
        let conjuncts: Vec<Expr> = filter.iter().flat_map(split_conjunction).cloned().collect();
        let bound = match as_of {
            None => self.bound(&left, &right, &on, &conjuncts)?,
            Some(_) => None,
        };
        let mut output: Vec<usize> = (0..left.width).collect();
        if kind.has_pairs() {
            let from = left.schema.fields().len();
            for column in second.schema().columns() {
                let place = table.schema().index_of_column(&column).map_err(plan_error)?;
                output.push(from + place);
            }
        }
        let condition = filter.map(|filter| pair_condition(&filter, &whole)).transpose()?;
        let node = JoinNode {
            kind,
            keys: left.keys.iter().copied().zip(right.keys.iter().copied()).collect(),
            is_null_equal,
            condition,
            output,
            bound,
            divert_late: false,
            ttl: [None, None],
        };
        let schema = nullable_windows(join.schema.as_arrow());
        match as_of {
            None => Ok(self.regular(node, (left, right), schema)),
            Some(as_of) => self.temporal(node, (left, right), as_of, schema),
        }
    }

    /// Adds a join of rows as they are.
    fn regular(&mut self, node: JoinNode, sides: (Keyed, Keyed), schema: SchemaRef) -> Stream {
        let (left, right) = &sides;
        let ttl = self.ttl_of_sides(node.ends(), [left, right]);
        let roles = roles(&node, left, right);
        self.joined(NodeKind::Join(JoinNode { ttl, ..node }), sides, roles, schema)
    }

    /// Adds a join with a table as it was. A row comes out once, in its own time; what it meets has none.
    fn temporal(
        &mut self,
        node: JoinNode,
        sides: (Keyed, Keyed),
        as_of: AsOf,
        schema: SchemaRef,
    ) -> Result<Stream> {
        let (left, right) = &sides;
        let versions = as_of.versions(&right.stream, self.is_updating(right))?;
        let from = node.output.iter().map(|column| left.stream.roles[..left.width].get(*column));
        let roles = from.map(|role| role.copied().unwrap_or_default()).collect();
        let roles = (roles, left.stream.window.is_some());
        let node = NodeKind::TemporalJoin(temporal::checked(node, versions)?);
        Ok(self.joined(node, sides, roles, schema))
    }

    fn is_updating(&self, side: &Keyed) -> bool {
        self.builder.plan().node(side.stream.node).is_updating
    }

    /// Returns how long rows of the sides are kept; where time says when they are needed no more, that
    /// is when they go.
    fn ttl_of_sides(&self, ends: [bool; 2], sides: [&Keyed; 2]) -> [Option<Duration>; 2] {
        let ttl = |side: usize| self.ttl_of(&sides[side].stream).filter(|_| !ends[side]);
        [ttl(0), ttl(1)]
    }

    /// Adds the node, and says what its columns mean.
    fn joined(
        &mut self,
        node: NodeKind,
        (left, right): (Keyed, Keyed),
        (roles, is_windowed): (Vec<Role>, bool),
        schema: SchemaRef,
    ) -> Stream {
        let exchange = |keys: &[usize]| match keys {
            [] => Exchange::Global,
            keys => Exchange::ByKey(keys.to_vec()),
        };
        let inputs = [&left, &right].map(|side| Input {
            from: side.stream.node,
            port: 0,
            exchange: exchange(&side.keys),
        });
        let node = self.builder.add(node, inputs.to_vec(), schema);
        Stream {
            node,
            roles,
            window: is_windowed.then_some(Assigner::Attached),
            is_bounded: left.stream.is_bounded && right.stream.is_bounded,
            ttl: None,
            is_copied: false,
            emit: None,
            ..left.stream
        }
    }

    /// Gives an input the columns of its key, behind its own where they are computed. Their names tell
    /// the sides apart.
    fn keyed(
        &mut self,
        stream: Stream,
        (schema, side): (&DFSchema, &str),
        keys: &[Expr],
    ) -> Result<Keyed> {
        let mut stream = self.settle(stream)?;
        let width = schema.fields().len();
        let mut exprs: Vec<Expr> = schema.columns().into_iter().map(Expr::Column).collect();
        let mut fields: Vec<_> =
            schema.iter().map(|(table, field)| (table.cloned(), field.clone())).collect();
        let mut columns = Vec::new();
        for key in keys {
            columns.push(match column_of(key, schema) {
                Some(column) => column,
                None => {
                    let (_, field) = key.to_field(schema).map_err(plan_error)?;
                    let name = format!("__{side}_key_{}", exprs.len());
                    let field = Field::new(name, field.data_type().clone(), true);
                    fields.push((None, Arc::new(field)));
                    exprs.push(key.clone());
                    exprs.len() - 1
                }
            });
        }
        if exprs.len() == width {
            return Ok(Keyed { stream, schema: schema.clone(), width, keys: columns });
        }
        let expressions = exprs.iter().map(|expr| Expression::new(expr, schema));
        let expressions = expressions.collect::<Result<Vec<_>>>()?;
        let wide = DFSchema::new_with_metadata(fields, schema.metadata().clone());
        let wide = wide.map_err(plan_error)?;
        let given = self.schema(&stream);
        let added = wide.fields().iter().skip(width).cloned();
        let made: Vec<_> = given.fields().iter().cloned().chain(added).collect();
        self.map(&mut stream, Arc::new(Projection::new(expressions, Arc::new(Schema::new(made)))));
        stream.roles.resize(exprs.len(), Role::Plain);
        Ok(Keyed { stream, schema: wide, width, keys: columns })
    }

    /// Returns the side of a join that is copied to all workers: the one that a hint names, or without
    /// keys one that is small.
    fn copied(&self, kind: JoinKind, sides: [&Keyed; 2]) -> Result<Option<usize>> {
        let hinted = || (0..2).filter(|side| sides[*side].stream.is_copied);
        let copied = hinted().find(|side| can_be_copied(kind, *side));
        if let Some(side) = hinted().next().filter(|_| copied.is_none()) {
            let which = ["left", "right"][side];
            let message = format!(
                "the {which} side of a join cannot be copied to all workers where its rows come out \
                 by themselves, too: one worker must know all that each meets"
            );
            return Err(Error::invalid(message)
                .remedy("leave out the hint BROADCAST, or name the other table"));
        }
        if copied.is_some() || !sides[0].keys.is_empty() {
            return Ok(copied);
        }
        let size = |keyed: &Keyed| Size {
            is_single: keys(self.builder.plan(), keyed.stream.node).contains(&Vec::new()),
            is_bounded: keyed.stream.is_bounded,
        };
        Ok(copied_side(kind, sides.map(size)))
    }

    /// Spreads a join over the workers by buckets: the rows of side `copied` stand in all of them.
    fn broadcast(&mut self, copied: usize, mut sides: [&mut Keyed; 2]) -> Result<()> {
        for (at, (keyed, name)) in sides.iter_mut().zip(["left", "right"]).enumerate() {
            let given = self.schema(&keyed.stream);
            let transform: Arc<dyn Transform> = match at == copied {
                true => Arc::new(Copies::new(&given, name)?),
                false => Arc::new(Deal::new(&given, name)?),
            };
            self.map(&mut keyed.stream, transform);
            keyed.stream.roles.push(Role::Plain);
            keyed.keys.push(given.fields().len());
            let field = (None, Arc::new(broadcast::field(name)));
            let fields = keyed.schema.iter().map(|(table, field)| (table.cloned(), field.clone()));
            let metadata = keyed.schema.metadata().clone();
            keyed.schema = DFSchema::new_with_metadata(fields.chain([field]).collect(), metadata)
                .map_err(plan_error)?;
        }
        Ok(())
    }

    /// Returns how far apart in time pairs can be, as far as keys and condition say it.
    fn bound(
        &self,
        left: &Keyed,
        right: &Keyed,
        on: &[(Expr, Expr)],
        conjuncts: &[Expr],
    ) -> Result<Option<TimeBound>> {
        if left.stream.basis != right.stream.basis {
            return Ok(None);
        }
        if self.is_updating(left) || self.is_updating(right) {
            return Ok(None);
        }
        let equal = on.iter().map(|(left, right)| left.clone().eq(right.clone()));
        let conjuncts: Vec<Expr> = equal.chain(conjuncts.iter().cloned()).collect();
        let side = |keyed: &Keyed| Side {
            schema: keyed.schema.clone(),
            roles: keyed.stream.roles.clone(),
            zone: keyed.stream.zone,
        };
        bound(&side(left), &side(right), left.stream.basis, &conjuncts)
    }
}

/// What a join asks of its pairs.
pub(super) struct Conditions {
    /// Expressions of the two sides that must be equal.
    pub(super) on: Vec<(Expr, Expr)>,
    /// What else must be true.
    pub(super) filter: Option<Expr>,
    /// The time whose version of the right side counts.
    pub(super) time: Option<Expr>,
}

impl Conditions {
    pub(super) fn of(join: &Join) -> Result<Conditions> {
        let (mut on, mut filter) = (join.on.clone(), join.filter.clone());
        let time = time_of(&filter).map(|(time, rest)| {
            filter = rest;
            time
        });
        if join.null_aware && is_nullable(join)? {
            // `x NOT IN (…)` is true only if x differs from every value for sure.
            let equal = on.iter().map(|(left, right)| left.clone().eq(right.clone()));
            let may_be = conjunction(equal).map(|equal| Expr::IsNotFalse(Box::new(equal)));
            filter = conjunction(may_be.into_iter().chain(filter));
            on = Vec::new();
        }
        Ok(Conditions { on, filter, time })
    }
}

/// What must be equal in a join, side by side.
struct Equal {
    left: Vec<Expr>,
    right: Vec<Expr>,
    is_null_equal: bool,
}

/// Leaves of the keys those of the versions of a table; returns what else must be equal, which is asked
/// of the version that was chosen.
fn keep_version_key(left: &mut Keyed, right: &mut Keyed, equal: Equal) -> Result<Vec<Expr>> {
    let is_key = temporal::version_key(&right.keys, &right.stream)?;
    let same = |(left, right): (Expr, Expr)| match equal.is_null_equal {
        true => binary_expr(left, Operator::IsNotDistinctFrom, right),
        false => left.eq(right),
    };
    let pairs = equal.left.into_iter().zip(equal.right).zip(&is_key);
    let asked = pairs.filter(|(_, is_key)| !**is_key).map(|(pair, _)| same(pair)).collect();
    for side in [left, right] {
        let keys = side.keys.iter().zip(&is_key);
        side.keys = keys.filter(|(_, is_key)| **is_key).map(|(column, _)| *column).collect();
    }
    Ok(asked)
}

/// Returns which rows a join puts out, and whether its inputs change places for it.
fn kind_of(join: JoinType) -> Result<(JoinKind, bool)> {
    Ok(match join {
        JoinType::Inner => (JoinKind::Inner, false),
        JoinType::Left => (JoinKind::Left, false),
        JoinType::Right => (JoinKind::Right, false),
        JoinType::Full => (JoinKind::Full, false),
        JoinType::LeftSemi => (JoinKind::Semi, false),
        JoinType::LeftAnti => (JoinKind::Anti, false),
        JoinType::RightSemi => (JoinKind::Semi, true),
        JoinType::RightAnti => (JoinKind::Anti, true),
        JoinType::LeftMark | JoinType::RightMark => {
            return Err(Error::internal("a mark join in an unexpected place"));
        }
    })
}

/// Returns a join that says of each row whether it matches as the two joins that it is: rows that match
/// something, and rows that match nothing.
fn marked(join: &Join) -> datafusion::common::Result<LogicalPlan> {
    let part = |join_type: JoinType, mark: bool| {
        let schema =
            Arc::new(build_join_schema(join.left.schema(), join.right.schema(), &join_type)?);
        let part = LogicalPlan::Join(Join { join_type, schema, ..join.clone() });
        let columns = part.schema().columns().into_iter().map(Expr::Column);
        let exprs = columns.chain([lit(mark).alias("mark")]).collect();
        ProjectionPlan::try_new_with_schema(exprs, Arc::new(part), join.schema.clone())
            .map(|projection| Arc::new(LogicalPlan::Projection(projection)))
    };
    let inputs = vec![part(JoinType::LeftSemi, true)?, part(JoinType::LeftAnti, false)?];
    Ok(LogicalPlan::Union(Union { inputs, schema: join.schema.clone() }))
}

/// Can one of the keys be NULL?
fn is_nullable(join: &Join) -> Result<bool> {
    let mut nullable = false;
    for (left, right) in &join.on {
        nullable |= left.nullable(join.left.schema()).map_err(plan_error)?;
        nullable |= right.nullable(join.right.schema()).map_err(plan_error)?;
    }
    Ok(nullable)
}

/// Gives keys that are compared one type.
pub(super) fn same_types(
    left: Vec<Expr>,
    right: Vec<Expr>,
    (left_schema, right_schema): (&DFSchema, &DFSchema),
) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let pairs = left.into_iter().zip(right).map(|(left, right)| {
        let kind = left.get_type(left_schema).map_err(plan_error)?;
        let other = right.get_type(right_schema).map_err(plan_error)?;
        Ok(match kind == other {
            true => (left, right),
            false => {
                let both = datafusion::logical_expr::type_coercion::binary::comparison_coercion(
                    &kind, &other,
                );
                let both = both.ok_or_else(|| {
                    Error::invalid(format!("`{left}` of {kind} and `{right}` of {other} differ"))
                })?;
                (as_type(left, &kind, &both), as_type(right, &other, &both))
            }
        })
    });
    Ok(pairs.collect::<Result<Vec<(Expr, Expr)>>>()?.into_iter().unzip())
}

fn as_type(expr: Expr, kind: &DataType, wanted: &DataType) -> Expr {
    if kind == wanted { expr } else { cast(expr, wanted.clone()) }
}

/// Plans a condition over the columns that it reads.
fn pair_condition(filter: &Expr, whole: &DFSchema) -> Result<PairCondition> {
    let refs: BTreeSet<&Column> = filter.column_refs().into_iter().collect();
    let columns: BTreeSet<usize> =
        refs.into_iter().filter_map(|column| whole.maybe_index_of_column(column)).collect();
    let columns: Vec<usize> = columns.into_iter().collect();
    let fields = columns.iter().map(|column| {
        let (table, field) = whole.qualified_field(*column);
        (table.cloned(), field.clone())
    });
    let read = DFSchema::new_with_metadata(fields.collect(), whole.metadata().clone());
    let condition = Expression::new(filter, &read.map_err(plan_error)?)?;
    let condition = Test::new(condition, "the join condition")?;
    Ok(PairCondition { condition: Arc::new(condition), columns })
}

/// Returns what the columns of a join mean, and whether its rows carry windows.
///
/// Times stay times only where the bound says how old a row can be that comes out.
fn roles(node: &JoinNode, left: &Keyed, right: &Keyed) -> (Vec<Role>, bool) {
    let bound = node.bound.filter(|b| b.earlier.is_some() && b.later.is_some());
    let is_at_once = bound.is_some_and(|b| b.earlier == Some(0) && b.later == Some(0));
    let may_lack = [
        matches!(node.kind, JoinKind::Right | JoinKind::Full),
        matches!(node.kind, JoinKind::Left | JoinKind::Full),
    ];
    let mut result = Vec::new();
    let mut is_windowed = false;
    for (side, keyed) in [left, right].into_iter().enumerate() {
        if side == 1 && !node.kind.has_pairs() {
            break;
        }
        let time = bound.map(|b| if side == 0 { b.left } else { b.right });
        let is_window =
            time.is_some_and(|t| is_at_once && keyed.stream.roles[t.column].is_window());
        for (column, role) in keyed.stream.roles[..keyed.width].iter().enumerate() {
            let is_time = time.is_some_and(|time| time.column == column);
            let keeps = match role {
                Role::Rowtime => is_time && !may_lack[side],
                role if role.is_window() => is_window && !may_lack[side],
                _ => false,
            };
            is_windowed |= keeps && role.is_window();
            result.push(if keeps { *role } else { Role::Plain });
        }
    }
    (result, is_windowed)
}
