//! Window top-N: `ROW_NUMBER() OVER (PARTITION BY window_start, window_end, … ORDER BY …) <= N`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, Window};
use thalweg_plan::node::{Exchange, Input, NodeKind, SortKey, WindowTopNode};
use thalweg_plan::window::{Assigner, WindowSpec};
use thalweg_types::{Error, Result};

use super::{Lowering, Role, Stream, column_of};
use crate::expression::{Expression, Filter};
use crate::text::{RELATIONAL, to_come};
use crate::windowing::{Pick, Reorder};

impl Lowering<'_> {
    /// Lowers a filter on a row number within windows; `None` if it is another filter.
    pub(super) fn window_top(
        &mut self,
        predicate: &Expr,
        input: &LogicalPlan,
    ) -> Result<Option<Stream>> {
        let Some(number) = number_column(input) else { return Ok(None) };
        let Some((limit, rest)) = limit_of(predicate, number, input.schema()) else {
            return Ok(None);
        };
        let mut stream = self.numbered(input, limit)?;
        if let Some(rest) = rest {
            let condition = Expression::new(&rest, input.schema())?;
            let schema = self.schema(&stream);
            self.map(&mut stream, Arc::new(Filter::new(condition, schema)));
        }
        Ok(Some(stream))
    }

    /// Refuses an input whose rows can be taken back, of which no window can be complete.
    pub(super) fn check_append(&self, stream: &Stream, what: &str) -> Result<()> {
        match self.builder.plan().node(stream.node).is_updating {
            true => Err(to_come(
                RELATIONAL,
                &format!("{what} over an updating input are"),
                "use windows over a table that is only inserted into",
            )),
            false => Ok(()),
        }
    }

    /// Lowers what stands between the filter and the `ROW_NUMBER()`, and that itself.
    fn numbered(&mut self, plan: &LogicalPlan, limit: usize) -> Result<Stream> {
        match plan {
            LogicalPlan::SubqueryAlias(alias) => self.numbered(&alias.input, limit),
            LogicalPlan::Projection(projection) => {
                let stream = self.numbered(&projection.input, limit)?;
                self.project(stream, projection.input.schema(), projection)
            }
            LogicalPlan::Window(window) => self.first_rows(window, limit),
            other => Err(super::unsupported(other)),
        }
    }

    fn first_rows(&mut self, window: &Window, limit: usize) -> Result<Stream> {
        let schema = window.input.schema();
        let Some(call) = window.window_expr.first().and_then(call_of) else {
            return Err(Error::internal("a row number that is none"));
        };
        let stream = self.lower(&window.input)?;
        let mut stream = self.settle(stream)?;
        self.check_append(&stream, "row numbers within windows")?;
        let mut partition = Vec::new();
        let mut is_by_window = false;
        for expr in &call.params.partition_by {
            let column = column_of(expr, schema).ok_or_else(|| {
                Error::invalid(format!("PARTITION BY `{expr}` is not supported yet"))
                    .remedy("compute it as a column of a sub-query")
            })?;
            match stream.roles[column].is_window() {
                true => is_by_window = true,
                false => partition.push(column),
            }
        }
        if !is_by_window || stream.window.is_none() {
            let meanwhile = "PARTITION BY window_start, window_end of a windowed input";
            return Err(to_come(RELATIONAL, "ROW_NUMBER() without windows is", meanwhile));
        }
        let at = |role| stream.roles.iter().position(|r| *r == role).ok_or_else(super::lost_window);
        let (start, end) = (at(Role::WindowStart)?, at(Role::WindowEnd)?);
        let node = WindowTopNode {
            window: WindowSpec {
                assigner: Assigner::Attached,
                basis: stream.basis,
                start,
                end,
                zone: stream.zone,
            },
            partition: partition.clone(),
            order: order_of(call, schema)?,
            limit,
            rank: true,
        };
        let mut fields = self.schema(&stream).fields().to_vec();
        fields.push(Arc::new(Field::new("row_number", DataType::Int64, false)));
        let exchange = match partition.is_empty() {
            true => Exchange::Global,
            false => Exchange::ByKey(partition),
        };
        let edge = Input { from: stream.node, port: 0, exchange };
        let made = Arc::new(Schema::new(fields));
        stream.node = self.builder.add(NodeKind::WindowTop(node), vec![edge], made);
        stream.roles.push(Role::Plain);
        self.as_planned(&mut stream, window);
        Ok(stream)
    }

    /// Gives the result the names and types that the plan has for it.
    fn as_planned(&mut self, stream: &mut Stream, window: &Window) {
        let made = self.schema(stream);
        let fields = window.schema.fields().iter().zip(made.fields()).map(|(wanted, made)| {
            wanted.as_ref().clone().with_nullable(made.is_nullable() || wanted.is_nullable())
        });
        let schema: SchemaRef = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let picks = (0..made.fields().len()).map(Pick::Column).collect();
        self.map(stream, Arc::new(Reorder { picks, schema }));
    }
}

/// Returns the order of a window function.
fn order_of(call: &WindowFunction, schema: &DFSchema) -> Result<Vec<SortKey>> {
    let order = call.params.order_by.iter().map(|key| {
        let column = column_of(&key.expr, schema).ok_or_else(|| {
            Error::invalid(format!("ORDER BY `{}` is not supported yet", key.expr))
                .remedy("compute it as a column of a sub-query")
        })?;
        Ok(SortKey { column, descending: !key.asc, nulls_first: key.nulls_first })
    });
    order.collect()
}

/// Looks through projections and aliases for the one `ROW_NUMBER()`; returns its column.
fn number_column(plan: &LogicalPlan) -> Option<usize> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => number_column(&alias.input),
        LogicalPlan::Projection(projection) => {
            let below = number_column(&projection.input)?;
            let input = projection.input.schema();
            projection.expr.iter().position(|expr| column_of(expr, input) == Some(below))
        }
        LogicalPlan::Window(window) => match window.window_expr.as_slice() {
            [expr] => call_of(expr).map(|_| window.input.schema().fields().len()),
            _ => None,
        },
        _ => None,
    }
}

fn call_of(expr: &Expr) -> Option<&WindowFunction> {
    match expr {
        Expr::Alias(alias) => call_of(&alias.expr),
        Expr::WindowFunction(call) if call.fun.name().eq_ignore_ascii_case("row_number") => {
            Some(call)
        }
        _ => None,
    }
}

/// Returns N of `number <= N`, and the other conditions beside it.
fn limit_of(predicate: &Expr, number: usize, schema: &DFSchema) -> Option<(usize, Option<Expr>)> {
    let Expr::BinaryExpr(both) = predicate else { return None };
    if both.op == Operator::And {
        return match (limit_of(&both.left, number, schema), limit_of(&both.right, number, schema)) {
            (Some((limit, rest)), _) => Some((limit, and(rest, &both.right))),
            (None, Some((limit, rest))) => Some((limit, and(rest, &both.left))),
            (None, None) => None,
        };
    }
    let is_number = |expr: &Expr| column_of(expr, schema) == Some(number);
    let (op, bound) = match (is_number(&both.left), is_number(&both.right)) {
        (true, false) => (both.op, &*both.right),
        (false, true) => (both.op.swap()?, &*both.left),
        _ => return None,
    };
    let Expr::Literal(bound, _) = bound else { return None };
    let bound = match bound {
        ScalarValue::Int64(Some(bound)) => usize::try_from(*bound).ok()?,
        ScalarValue::UInt64(Some(bound)) => usize::try_from(*bound).ok()?,
        _ => return None,
    };
    match op {
        Operator::LtEq => Some((bound, None)),
        Operator::Lt => Some((bound.checked_sub(1)?, None)),
        Operator::Eq if bound == 1 => Some((1, None)),
        _ => None,
    }
}

fn and(rest: Option<Expr>, other: &Expr) -> Option<Expr> {
    Some(match rest {
        None => other.clone(),
        Some(rest) => rest.and(other.clone()),
    })
}
