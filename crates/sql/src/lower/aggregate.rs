//! `GROUP BY` and `DISTINCT`, with windows and without.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan};
use thalweg_plan::graph::Aggregation;
use thalweg_plan::node::AggregateCall;
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_types::{Error, Result};

use super::{Lowering, Role, Stream, column_of, unit_of};
use crate::aggregate::function;
use crate::expression::{Expression, Projection};
use crate::text::plan_error;
use crate::window_tvf::in_unit;
use crate::windowing::{Pick, Reorder};

impl Lowering<'_> {
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Stream> {
        let mut stream = self.lower(&aggregate.input)?;
        let input = aggregate.input.schema();
        let groups = &aggregate.group_expr;
        if groups.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
            return Err(Error::invalid("GROUPING SETS, CUBE and ROLLUP are not supported yet")
                .remedy("write one GROUP BY for each and put them together by UNION ALL"));
        }
        let role = |expr: &Expr| column_of(expr, input).map_or(Role::Plain, |c| stream.roles[c]);
        let roles: Vec<Role> = groups.iter().map(role).collect();
        let is_windowed = stream.window.is_some()
            && roles.iter().any(|role| matches!(role, Role::WindowStart | Role::WindowEnd));
        if !is_windowed {
            stream = self.settle(stream)?;
        }
        let mut columns = Columns::default();
        if is_windowed {
            for wanted in [Role::WindowStart, Role::WindowEnd] {
                let column = stream.roles.iter().position(|role| *role == wanted);
                let column = column.ok_or_else(super::lost_window)?;
                let (qualifier, field) = input.qualified_field(column);
                columns.add(&Expr::from((qualifier, field)), input)?;
            }
        }
        let is_part = |role: &Role| is_windowed && *role != Role::Plain && *role != Role::Rowtime;
        let mut keys = Vec::new();
        for (expr, _) in groups.iter().zip(&roles).filter(|(_, role)| !is_part(role)) {
            keys.push(columns.add(expr, input)?);
        }
        let mut calls = Vec::new();
        for expr in &aggregate.aggr_expr {
            calls.push(self.call(expr, &mut columns, input)?);
        }
        let schema = columns.schema();
        let calls = calls
            .into_iter()
            .map(|(expr, arguments, filter)| {
                let function = function(&expr, &arguments, &schema)?;
                Ok(AggregateCall { function, arguments, filter })
            })
            .collect::<Result<Vec<_>>>()?;
        let late_table = stream.late_table.clone().filter(|_| is_windowed);
        self.map(&mut stream, Arc::new(Projection::new(columns.expressions, schema.clone())));
        let window = match (is_windowed, stream.window) {
            (true, Some(assigner)) => Some(WindowSpec {
                assigner: in_unit(assigner, unit_of(&schema, 0)?),
                basis: TimeBasis::Event,
                start: 0,
                end: 1,
            }),
            _ => None,
        };
        let divert_late = late_table.is_some();
        let aggregation = Aggregation { window, keys, calls, divert_late };
        let made = self.builder.aggregate(stream.node, aggregation)?;
        if let Some(name) = late_table {
            self.late_rows(&made, &name, &schema)?;
        }
        stream.node = made.result;
        self.reorder(&mut stream, aggregate, (&roles, is_windowed))
    }

    /// Sends late rows, as the aggregation saw them, to the table that wants them.
    fn late_rows(
        &mut self,
        made: &thalweg_plan::graph::Aggregated,
        name: &str,
        schema: &SchemaRef,
    ) -> Result<()> {
        let side = self.session.table(name).cloned().ok_or_else(|| {
            Error::invalid(format!("late rows go to table `{name}`, which does not exist"))
                .remedy(format!("create table `{name}` before the query"))
        })?;
        let target = self.side_target(&side, name, schema)?;
        self.sink(made.late, 1, target);
        Ok(())
    }

    /// Returns an aggregate, its argument columns and its filter column.
    fn call(
        &self,
        expr: &Expr,
        columns: &mut Columns,
        input: &datafusion::common::DFSchema,
    ) -> Result<(datafusion::logical_expr::expr::AggregateFunction, Vec<usize>, Option<usize>)>
    {
        let call = match expr {
            Expr::Alias(alias) => return self.call(&alias.expr, columns, input),
            Expr::AggregateFunction(call) => call.clone(),
            other => return Err(Error::invalid(format!("`{other}` is no aggregate"))),
        };
        let is_count_of_rows = call.func.name() == "count"
            && !call.params.distinct
            && call
                .params
                .args
                .iter()
                .all(|arg| matches!(arg, Expr::Literal(value, _) if !value.is_null()));
        let mut arguments = Vec::new();
        if !is_count_of_rows {
            for argument in &call.params.args {
                arguments.push(columns.add(argument, input)?);
            }
        }
        let filter = match &call.params.filter {
            None => None,
            Some(filter) => Some(columns.add(filter, input)?),
        };
        Ok((call, arguments, filter))
    }

    /// Puts the result's columns into the order that the query asks for.
    fn reorder(
        &mut self,
        stream: &mut Stream,
        aggregate: &Aggregate,
        (roles, is_windowed): (&[Role], bool),
    ) -> Result<Stream> {
        let mut next = if is_windowed { 2 } else { 0 };
        let mut picks = Vec::new();
        let mut result = Vec::new();
        for role in roles {
            let (pick, role) = match role {
                Role::WindowStart if is_windowed => (Pick::Column(0), Role::WindowStart),
                Role::WindowEnd if is_windowed => (Pick::Column(1), Role::WindowEnd),
                Role::WindowTime if is_windowed => (Pick::LastOf(1), Role::WindowTime),
                _ => {
                    next += 1;
                    (Pick::Column(next - 1), Role::Plain)
                }
            };
            picks.push(pick);
            result.push(role);
        }
        for _ in &aggregate.aggr_expr {
            picks.push(Pick::Column(next));
            result.push(Role::Plain);
            next += 1;
        }
        let is_plain = picks.iter().enumerate().all(|(index, pick)| *pick == Pick::Column(index));
        let made = self.schema(stream);
        let fields = aggregate.schema.fields().iter().zip(&picks).map(|(wanted, pick)| {
            let column = match pick {
                Pick::Column(column) | Pick::LastOf(column) => made.field(*column),
            };
            // Names are the query's; types stay until something asks for another.
            Field::new(
                wanted.name(),
                wanted.data_type().clone(),
                column.is_nullable() || wanted.is_nullable(),
            )
        });
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        if !is_plain || picks.len() != made.fields().len() || schema != made {
            self.map(stream, Arc::new(Reorder { picks, schema }));
        }
        stream.roles = result;
        stream.window = is_windowed.then_some(Assigner::Attached);
        Ok(stream.clone())
    }

    pub(super) fn distinct(&mut self, input: &LogicalPlan) -> Result<Stream> {
        let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
        let aggregate = Aggregate::try_new(Arc::new(input.clone()), columns, Vec::new());
        self.aggregate(&aggregate.map_err(plan_error)?)
    }
}

/// The columns that an aggregation reads, each computed once.
#[derive(Default)]
struct Columns {
    exprs: Vec<Expr>,
    expressions: Vec<Expression>,
    fields: Vec<Field>,
}

impl Columns {
    /// Adds an expression, unless it is there; returns its column.
    fn add(&mut self, expr: &Expr, input: &datafusion::common::DFSchema) -> Result<usize> {
        if let Some(found) = self.exprs.iter().position(|known| known == expr) {
            return Ok(found);
        }
        let (_, field) = expr.to_field(input).map_err(plan_error)?;
        let is_time =
            matches!(field.data_type(), datafusion::arrow::datatypes::DataType::Timestamp(_, _));
        let is_nullable = field.is_nullable() || is_time;
        let name = column_of(expr, input).map(|column| input.field(column).name().clone());
        let name = name.unwrap_or_else(|| field.name().clone());
        self.fields.push(Field::new(name, field.data_type().clone(), is_nullable));
        self.expressions.push(Expression::new(expr, input)?);
        self.exprs.push(expr.clone());
        Ok(self.exprs.len() - 1)
    }

    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields.clone()))
    }
}
