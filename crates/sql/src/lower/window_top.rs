//! Window top-N: `ROW_NUMBER() OVER (PARTITION BY window_start, window_end, … ORDER BY …) <= N`.

use std::sync::Arc;

use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Expr, LogicalPlan, Operator};
use thalweg_plan::node::{Exchange, Input, NodeKind, SortKey, WindowTopNode};
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};
use thalweg_types::{Error, Result};

use super::{Lowering, Role, Stream, column_of};
use crate::windowing::{Pick, Reorder};

impl Lowering<'_> {
    /// Lowers a filter on a row number within windows; `None` if it is another filter.
    pub(super) fn window_top(
        &mut self,
        predicate: &Expr,
        input: &LogicalPlan,
    ) -> Result<Option<Stream>> {
        let Some(found) = numbered(input) else { return Ok(None) };
        let (window, call) = (found.window, found.call);
        let Some((limit, rest)) = limit_of(predicate, &found.names) else { return Ok(None) };
        let below = self.lower(window)?;
        let below = self.settle(below)?;
        let schema = window.schema();
        let mut partition = Vec::new();
        let (mut start, mut end) = (None, None);
        for expr in &call.params.partition_by {
            let column = column_of(expr, schema).ok_or_else(|| {
                Error::invalid(format!("PARTITION BY `{expr}` is not supported yet"))
                    .remedy("compute it as a column of a sub-query")
            })?;
            match below.roles[column] {
                Role::WindowStart => start = Some(column),
                Role::WindowEnd => end = Some(column),
                Role::WindowTime => {}
                _ => partition.push(column),
            }
        }
        let at = |role| below.roles.iter().position(|r| *r == role);
        if start.is_none() && end.is_none() || below.window.is_none() {
            return Err(Error::invalid("ROW_NUMBER() without windows is not supported yet")
                .remedy("PARTITION BY window_start, window_end of a windowed input"));
        }
        let (start, end) = (start.or(at(Role::WindowStart)), end.or(at(Role::WindowEnd)));
        let (Some(start), Some(end)) = (start, end) else { return Err(super::lost_window()) };
        let order = order_of(call, schema)?;
        let (assigner, basis) = (Assigner::Attached, TimeBasis::Event);
        let node = WindowTopNode {
            window: WindowSpec { assigner, basis, start, end },
            partition: partition.clone(),
            order,
            limit,
            rank: true,
        };
        let mut fields = self.schema(&below).fields().to_vec();
        let rank = datafusion::arrow::datatypes::DataType::Int64;
        fields.push(Arc::new(datafusion::arrow::datatypes::Field::new("row_number", rank, false)));
        let made = Arc::new(datafusion::arrow::datatypes::Schema::new(fields));
        let exchange = match partition.is_empty() {
            true => Exchange::Global,
            false => Exchange::ByKey(partition),
        };
        let mut stream = below;
        let input_edge = Input { from: stream.node, port: 0, exchange };
        stream.node = self.builder.add(NodeKind::WindowTop(node), vec![input_edge], made);
        stream.roles.push(Role::Plain);
        self.pick(&mut stream, &found.picks, input)?;
        match rest {
            None => Ok(Some(stream)),
            Some(rest) => {
                let condition = crate::expression::Expression::new(&rest, input.schema())?;
                let schema = self.schema(&stream);
                let filter = crate::expression::Filter::new(condition, schema);
                self.map(&mut stream, Arc::new(filter));
                Ok(Some(stream))
            }
        }
    }

    /// Gives the result the columns of the filtered relation.
    fn pick(&mut self, stream: &mut Stream, picks: &[usize], shape: &LogicalPlan) -> Result<()> {
        let made = self.schema(stream);
        let fields = shape.schema().fields().iter().zip(picks).map(|(wanted, pick)| {
            let is_nullable = made.field(*pick).is_nullable() || wanted.is_nullable();
            wanted.as_ref().clone().with_nullable(is_nullable)
        });
        let schema =
            Arc::new(datafusion::arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        stream.roles = picks.iter().map(|pick| stream.roles[*pick]).collect();
        let picks = picks.iter().map(|pick| Pick::Column(*pick)).collect();
        self.map(stream, Arc::new(Reorder { picks, schema }));
        Ok(())
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

/// A relation with a row number among its columns.
struct Numbered<'a> {
    /// What the rows are numbered over.
    window: &'a LogicalPlan,
    call: &'a WindowFunction,
    /// For each column of the relation, its column in the input, or behind it for the number.
    picks: Vec<usize>,
    /// Names under which the number is known.
    names: Vec<String>,
}

/// Looks through projections and aliases for the one `ROW_NUMBER()`.
fn numbered(plan: &LogicalPlan) -> Option<Numbered<'_>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => numbered(&alias.input),
        LogicalPlan::Projection(projection) => {
            let below = numbered(&projection.input)?;
            let width = below.window.schema().fields().len();
            let input = projection.input.schema();
            let columns = projection.expr.iter().map(|expr| column_of(expr, input));
            let picks: Vec<usize> =
                columns.map(|c| c.map(|c| below.picks[c])).collect::<Option<_>>()?;
            let fields = projection.schema.fields().iter().zip(&picks);
            let names =
                fields.filter(|(_, p)| **p == width).map(|(f, _)| f.name().clone()).collect();
            Some(Numbered { picks, names, ..below })
        }
        LogicalPlan::Window(window) => match window.window_expr.as_slice() {
            [expr] => {
                let call = call_of(expr)?;
                let width = window.input.schema().fields().len();
                let names = vec![window.schema.field(width).name().clone()];
                Some(Numbered { window: &window.input, call, picks: (0..=width).collect(), names })
            }
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
fn limit_of(predicate: &Expr, names: &[String]) -> Option<(usize, Option<Expr>)> {
    if let Expr::BinaryExpr(both) = predicate {
        if both.op == Operator::And {
            return match (limit_of(&both.left, names), limit_of(&both.right, names)) {
                (Some((limit, rest)), _) => Some((limit, and(rest, &both.right))),
                (None, Some((limit, rest))) => Some((limit, and(rest, &both.left))),
                (None, None) => None,
            };
        }
        let is_number = |expr: &Expr| matches!(expr, Expr::Column(c) if names.contains(&c.name));
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
        return match op {
            Operator::LtEq => Some((bound, None)),
            Operator::Lt => Some((bound.checked_sub(1)?, None)),
            Operator::Eq if bound == 1 => Some((1, None)),
            _ => None,
        };
    }
    None
}

fn and(rest: Option<Expr>, other: &Expr) -> Option<Expr> {
    Some(match rest {
        None => other.clone(),
        Some(rest) => rest.and(other.clone()),
    })
}
