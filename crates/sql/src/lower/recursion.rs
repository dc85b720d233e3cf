//! `WITH RECURSIVE`: the rows that a relation begins with, and those that follow from its own.
//!
//! A recursive relation is a loop. With `UNION` it is the least relation that its two parts are parts of,
//! whatever the second one does with it: `r = DISTINCT(base UNION step(r))`. With `UNION ALL` each round
//! reads the rows of the round before alone; where the second part treats each row by itself, that is
//! `r = base UNION ALL step(r)`, else the rows of a round and those of all rounds are variables of their
//! own.
//!
//! What of the second part does not read the relation is planned as anywhere else, and brought into the
//! loop. What does is what never takes a row back for another one that comes: so there is one least
//! relation, and rounds lead to it.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, JoinType, NullEquality};
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprSchemable, Join, LogicalPlan, RecursiveQuery, TableScan,
};
use thalweg_plan::function::Transform;
use thalweg_plan::loops::{JoinKeys, LoopBuilder, StepId};
use thalweg_plan::node::{Input, NodeKind};
use thalweg_types::{Error, Result};

use super::join::{Conditions, same_types};
use super::{Lowering, Role, Stream, column_of, forward, nullable_windows};
use crate::catalog::recursive_relation;
use crate::expression::{Expression, Filter, Projection};
use crate::noted::Noted;
use crate::text::{place_in_plan, plan_error};

/// How often does a plan read the recursive relation `name`?
fn reads(plan: &LogicalPlan, name: &str) -> usize {
    match plan {
        LogicalPlan::TableScan(scan) => {
            usize::from(recursive_relation(scan).as_deref() == Some(name))
        }
        LogicalPlan::RecursiveQuery(inner) if inner.name == name => reads(&inner.static_term, name),
        other => other.inputs().into_iter().map(|input| reads(input, name)).sum(),
    }
}

/// Does a plan treat each row of the relation by itself?
fn is_linear(plan: &LogicalPlan, name: &str) -> bool {
    let is_own = match plan {
        LogicalPlan::Distinct(_) | LogicalPlan::Aggregate(_) => false,
        LogicalPlan::Join(join) => {
            join.join_type == JoinType::Inner
                && (reads(&join.left, name) == 0 || reads(&join.right, name) == 0)
        }
        _ => true,
    };
    let mut inputs = plan.inputs().into_iter().filter(|input| reads(input, name) > 0);
    is_own && inputs.all(|input| is_linear(input, name))
}

/// A recursive relation in the making.
struct Body<'q> {
    query: &'q RecursiveQuery,
    steps: LoopBuilder,
    inputs: Vec<Input>,
    /// What the second part reads as the relation.
    variable: StepId,
    is_bounded: bool,
}

/// Rows in a loop, and their names.
struct Rows {
    step: StepId,
    schema: DFSchema,
}

/// Says that the planner did not see that a relation is read by its own second part.
pub(super) fn unseen(name: &str) -> Error {
    Error::invalid(format!("the recursive part of `{name}` reads it in a sub-query alone"))
        .remedy("read it in FROM, and join it")
}

impl Lowering<'_> {
    pub(super) fn recursive(&mut self, query: &RecursiveQuery) -> Result<Stream> {
        let stream = self.lower(&query.static_term)?;
        let base = self.settle(stream)?;
        let schema = nullable(query.schema.as_arrow());
        let mut steps = LoopBuilder::new();
        let (first, inputs) = (steps.input(self.schema(&base)), vec![forward(base.node, 0)]);
        let is_split = !query.is_distinct && !is_linear(&query.recursive_term, &query.name);
        let start = is_split.then_some(first);
        let variable = steps.variable(LoopBuilder::OUTERMOST, schema.clone(), start);
        let is_bounded = base.is_bounded;
        let mut body = Body { query, steps, inputs, variable, is_bounded };
        let step = self.within(&query.recursive_term, &mut body)?.step;
        let Body { mut steps, inputs, is_bounded, .. } = body;
        let result = match (query.is_distinct, is_split) {
            (true, _) => {
                let all = steps.union(vec![first, step], schema.clone());
                let all = steps.distinct(all);
                steps.set(variable, all);
                all
            }
            (false, false) => {
                let all = steps.union(vec![first, step], schema.clone());
                steps.set(variable, all);
                all
            }
            (false, true) => {
                let before = steps.variable(LoopBuilder::OUTERMOST, schema.clone(), None);
                let all = steps.union(vec![before, variable], schema.clone());
                steps.set(before, all);
                steps.set(variable, step);
                all
            }
        };
        let node = steps.finish(&query.name, result, self.rounds_max);
        let node = self.builder.add(NodeKind::Loop(node), inputs, schema);
        let roles = vec![Role::Plain; query.schema.fields().len()];
        Ok(Stream {
            node,
            roles,
            window: None,
            is_bounded,
            ttl: None,
            is_copied: false,
            emit: None,
            versioned: None,
            ..base
        })
    }

    /// Lowers what is in the loop: what reads the relation, and, brought there, what does not.
    fn within(&mut self, plan: &LogicalPlan, body: &mut Body<'_>) -> Result<Rows> {
        if reads(plan, &body.query.name) == 0 {
            return self.brought(plan, body);
        }
        match plan {
            LogicalPlan::TableScan(scan) => scanned(scan, body),
            LogicalPlan::SubqueryAlias(alias) => {
                let Rows { step, .. } = self.within(&alias.input, body)?;
                Ok(Rows { step, schema: alias.schema.as_ref().clone() })
            }
            LogicalPlan::Projection(projection) => {
                let input = self.within(&projection.input, body)?;
                computed(input, &projection.expr, &projection.schema, body)
            }
            LogicalPlan::Filter(filter) => {
                let input = self.within(&filter.input, body)?;
                kept(input, &filter.predicate, body)
            }
            LogicalPlan::Union(union) => {
                let inputs = union.inputs.iter().map(|input| Ok(self.within(input, body)?.step));
                let inputs = inputs.collect::<Result<Vec<_>>>()?;
                let step = body.steps.union(inputs, nullable(union.schema.as_arrow()));
                Ok(Rows { step, schema: union.schema.as_ref().clone() })
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let Rows { step, schema } = self.within(input, body)?;
                Ok(Rows { step: body.steps.distinct(step), schema })
            }
            LogicalPlan::Aggregate(aggregate) if is_distinct(aggregate) => {
                let input = self.within(&aggregate.input, body)?;
                let rows = computed(input, &aggregate.group_expr, &aggregate.schema, body)?;
                Ok(Rows { step: body.steps.distinct(rows.step), schema: rows.schema })
            }
            LogicalPlan::Join(join) => self.joined_within(join, body),
            other => match Noted::of(other) {
                Some(noted) => self.within(&noted.input, body),
                None => Err(refused(other, &body.query.name)),
            },
        }
    }

    /// Plans what does not read the relation, and brings it into the loop.
    fn brought(&mut self, plan: &LogicalPlan, body: &mut Body<'_>) -> Result<Rows> {
        let stream = self.lower(plan)?;
        let stream = self.settle(stream)?;
        body.is_bounded &= stream.is_bounded;
        body.inputs.push(forward(stream.node, 0));
        let step = body.steps.input(self.schema(&stream));
        Ok(Rows { step, schema: plan.schema().as_ref().clone() })
    }

    /// Lowers a join of which at least one side reads the relation.
    fn joined_within(&mut self, join: &Join, body: &mut Body<'_>) -> Result<Rows> {
        let is_half = join.join_type == JoinType::LeftSemi;
        let Conditions { on, filter, time } = Conditions::of(join)?;
        if !(is_half || join.join_type == JoinType::Inner)
            || (is_half && filter.is_some())
            || time.is_some()
        {
            return Err(refused_join(join, &body.query.name));
        }
        let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = on.into_iter().unzip();
        let (left_keys, right_keys) =
            same_types(left_keys, right_keys, (join.left.schema(), join.right.schema()))?;
        let left = self.within(&join.left, body)?;
        let right = self.within(&join.right, body)?;
        let width = [&left, &right].map(|side| side.schema.fields().len());
        let (left, left_at) = keyed(left, ("left", &left_keys), body)?;
        let (mut right, mut right_at) = keyed(right, ("right", &right_keys), body)?;
        if is_half {
            // A row that matches several meets their key once.
            right = picked(right, &right_at, body)?;
            right = Rows { step: body.steps.distinct(right.step), ..right };
            right_at = (0..right_at.len()).collect();
        }
        let columns = left_at.into_iter().zip(right_at).collect();
        let nulls_meet = join.null_equality == NullEquality::NullEqualsNull;
        let whole = left.schema.join(&right.schema).map_err(plan_error)?;
        let wide = left.schema.fields().len();
        let step = body.steps.join(left.step, right.step, JoinKeys { columns, nulls_meet });
        let mut pairs = Rows { step, schema: whole };
        if let Some(filter) = &filter {
            pairs = kept(pairs, filter, body)?;
        }
        let right_width = if is_half { 0 } else { width[1] };
        let shown: Vec<usize> = (0..width[0]).chain(wide..wide + right_width).collect();
        if shown.len() < pairs.schema.fields().len() {
            pairs = picked(pairs, &shown, body)?;
        }
        Ok(Rows { schema: join.schema.as_ref().clone(), ..pairs })
    }
}

/// Returns the relation as its second part reads it.
fn scanned(scan: &TableScan, body: &mut Body<'_>) -> Result<Rows> {
    let schema = DFSchema::try_from_qualified_schema(
        scan.table_name.clone(),
        body.steps.step(body.variable).schema.as_ref(),
    );
    let mut rows = Rows { step: body.variable, schema: schema.map_err(plan_error)? };
    for filter in &scan.filters {
        rows = kept(rows, filter, body)?;
    }
    match &scan.projection {
        Some(columns) => picked(rows, columns, body),
        None => Ok(rows),
    }
}

/// Computes columns.
fn computed(input: Rows, exprs: &[Expr], schema: &DFSchema, body: &mut Body<'_>) -> Result<Rows> {
    let expressions = exprs.iter().map(|expr| Expression::new(expr, &input.schema));
    let expressions = expressions.collect::<Result<Vec<_>>>()?;
    let projection = Projection::new(expressions, nullable(schema.as_arrow()));
    let step = mapped(input.step, Arc::new(projection), body)?;
    Ok(Rows { step, schema: schema.clone() })
}

/// Keeps the rows of a condition.
fn kept(input: Rows, predicate: &Expr, body: &mut Body<'_>) -> Result<Rows> {
    let condition = Expression::new(predicate, &input.schema)?;
    let schema = body.steps.step(input.step).schema.clone();
    let step = mapped(input.step, Arc::new(Filter::new(condition, schema)), body)?;
    Ok(Rows { step, ..input })
}

/// Keeps some columns.
fn picked(input: Rows, columns: &[usize], body: &mut Body<'_>) -> Result<Rows> {
    let fields = columns.iter().map(|column| {
        let (qualifier, field) = input.schema.qualified_field(*column);
        (qualifier.cloned(), field.clone())
    });
    let fields: Vec<_> = fields.collect();
    let exprs: Vec<Expr> =
        columns.iter().map(|column| Expr::from(input.schema.qualified_field(*column))).collect();
    let metadata = input.schema.metadata().clone();
    let schema = DFSchema::new_with_metadata(fields, metadata).map_err(plan_error)?;
    computed(input, &exprs, &schema, body)
}

/// Gives rows the columns of a key, behind their own where they are computed; returns where they stand.
fn keyed(
    input: Rows,
    (side, keys): (&str, &[Expr]),
    body: &mut Body<'_>,
) -> Result<(Rows, Vec<usize>)> {
    let schema = &input.schema;
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
                fields.push((None, Arc::new(field.as_ref().clone().with_name(name))));
                exprs.push(key.clone());
                exprs.len() - 1
            }
        });
    }
    if exprs.len() == schema.fields().len() {
        return Ok((input, columns));
    }
    let wide = DFSchema::new_with_metadata(fields, schema.metadata().clone());
    let wide = wide.map_err(plan_error)?;
    Ok((computed(input, &exprs, &wide, body)?, columns))
}

/// Adds a function whose result is the same whenever it is computed: what a row once explained must be
/// found again when it is taken back.
fn mapped(from: StepId, transform: Arc<dyn Transform>, body: &mut Body<'_>) -> Result<StepId> {
    if transform.is_processing_time() {
        let name = &body.query.name;
        return Err(Error::invalid(format!("the recursive part of `{name}` reads the clock"))
            .remedy("compute PROCTIME() and the like before WITH RECURSIVE, or behind it"));
    }
    Ok(body.steps.map(from, transform))
}

/// Columns of the recursive relation can be NULL, whatever those that it begins with are.
fn nullable(schema: &Schema) -> SchemaRef {
    let fields = nullable_windows(schema);
    let fields = fields.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new(fields.collect::<Vec<Field>>()))
}

/// Does an aggregation do no more than keeping one row of equal ones?
fn is_distinct(aggregate: &Aggregate) -> bool {
    aggregate.aggr_expr.is_empty()
        && !aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)))
}

/// Says that the relation cannot be read so.
fn refused(plan: &LogicalPlan, name: &str) -> Error {
    let (what, remedy) = match plan {
        LogicalPlan::Aggregate(_) => (
            "an aggregate",
            "aggregate what WITH RECURSIVE returns; Stream::iterate in Rust takes the least or greatest \
             row of a key within a loop",
        ),
        LogicalPlan::Window(_) => {
            ("ROW_NUMBER or an OVER window", "rank or number what WITH RECURSIVE returns")
        }
        LogicalPlan::Sort(_) | LogicalPlan::Limit(_) => {
            ("ORDER BY or LIMIT", "order and cut what WITH RECURSIVE returns")
        }
        LogicalPlan::RecursiveQuery(_) => {
            ("another recursive relation", "let the inner one not read the outer one")
        }
        LogicalPlan::Unnest(_) => ("UNNEST", "unnest before WITH RECURSIVE, into a view"),
        _ => ("such a relation", "use joins, WHERE, DISTINCT and UNION ALL there"),
    };
    through(what, name, plan).remedy(remedy)
}

/// Says that the relation cannot be joined so.
fn refused_join(join: &Join, name: &str) -> Error {
    let what = match join.join_type {
        JoinType::LeftAnti | JoinType::RightAnti => "NOT IN or NOT EXISTS",
        JoinType::Left | JoinType::Right | JoinType::Full => "an outer join",
        JoinType::Inner => "a temporal join",
        _ => "a sub-query whose condition is no equality",
    };
    through(what, name, &LogicalPlan::Join(join.clone())).remedy(
        "use inner joins, or IN and EXISTS by equality: a row must not go because another one comes",
    )
}

/// Points at the first column that is used in a place where the relation cannot be read.
fn through(what: &str, name: &str, plan: &LogicalPlan) -> Error {
    let said = format!("the recursive part of `{name}` reads it through {what}");
    let columns = match plan {
        LogicalPlan::Aggregate(aggregate) => aggregate.aggr_expr.clone(),
        plan => plan.expressions(),
    };
    let columns = columns.iter().flat_map(|expr| expr.column_refs());
    let spans = columns.filter_map(|column| column.spans.first());
    match spans.min_by_key(|span| (span.start.line, span.start.column)) {
        Some(span) => Error::invalid(said).at(place_in_plan(span)),
        None => Error::invalid(said),
    }
}
