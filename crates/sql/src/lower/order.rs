//! `ORDER BY`, `LIMIT` and `OFFSET`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::{Expr, ExprSchemable, FetchType, Limit, SkipType, Sort as SortPlan};
use thalweg_plan::node::{Exchange, Input, NodeKind, Ranking, SortNode};
use thalweg_types::{Error, Result};

use super::top::{First, sort_keys};
use super::{Lowering, Role, Stream, column_of};
use crate::expression::{Expression, Projection};
use crate::text::plan_error;
use crate::windowing::{Pick, Reorder};

impl Lowering<'_> {
    /// Lowers `ORDER BY`, of which the first `skip` rows are left out and `limit` are wanted.
    pub(super) fn sort(
        &mut self,
        sort: &SortPlan,
        skip: usize,
        limit: Option<usize>,
    ) -> Result<Stream> {
        let input = sort.input.schema();
        let stream = self.lower(&sort.input)?;
        let mut stream = self.settle(stream)?;
        let schema = self.schema(&stream);
        let keys: Vec<&Expr> = sort.expr.iter().map(|key| &key.expr).collect();
        let columns = self.columns_of(&mut stream, input, &keys)?;
        let order = sort_keys(&sort.expr, &columns);
        let mut stream = self.ordered(stream, SortNode { order, skip, limit })?;
        if self.schema(&stream).fields().len() > schema.fields().len() {
            let picks = (0..schema.fields().len()).map(Pick::Column).collect();
            stream.roles.truncate(schema.fields().len());
            self.map(&mut stream, Arc::new(Reorder { picks, schema }));
        }
        Ok(stream)
    }

    /// Returns the columns of expressions over a stream; those that are no columns yet are computed
    /// behind the others.
    pub(super) fn columns_of(
        &mut self,
        stream: &mut Stream,
        input: &DFSchema,
        wanted: &[&Expr],
    ) -> Result<Vec<usize>> {
        let width = input.fields().len();
        let mut exprs: Vec<Expr> = input.columns().into_iter().map(Expr::Column).collect();
        let columns = wanted.iter().map(|expr| {
            column_of(expr, input).unwrap_or_else(|| {
                exprs.push((*expr).clone());
                exprs.len() - 1
            })
        });
        let columns: Vec<usize> = columns.collect();
        if exprs.len() == width {
            return Ok(columns);
        }
        let mut fields: Vec<_> = self.schema(stream).fields().to_vec();
        for (number, expr) in exprs.iter().enumerate().skip(width) {
            let kind = expr.get_type(input).map_err(plan_error)?;
            fields.push(Arc::new(Field::new(format!("__computed_{number}"), kind, true)));
        }
        let computed = exprs.iter().map(|expr| Expression::new(expr, input));
        let computed = computed.collect::<Result<Vec<_>>>()?;
        let wide = Projection::new(computed, Arc::new(Schema::new(fields)));
        self.map(stream, Arc::new(wide));
        stream.roles.resize(exprs.len(), Role::Plain);
        Ok(columns)
    }

    pub(super) fn limit(&mut self, limit: &Limit) -> Result<Stream> {
        let number = |what: &str| Error::invalid(format!("{what} must be a whole number"));
        let SkipType::Literal(skip) = limit.get_skip_type().map_err(plan_error)? else {
            return Err(number("OFFSET"));
        };
        let FetchType::Literal(fetch) = limit.get_fetch_type().map_err(plan_error)? else {
            return Err(number("LIMIT"));
        };
        if let LogicalPlan::Sort(sort) = limit.input.as_ref() {
            return self.sort(sort, skip, fetch);
        }
        let stream = self.lower(&limit.input)?;
        let stream = self.settle(stream)?;
        self.ordered(stream, SortNode { order: Vec::new(), skip, limit: fetch })
    }

    /// Adds an order. Of an input that never ends the first rows are those so far; the first ones
    /// without an order stay the first if none is taken back.
    fn ordered(&mut self, mut stream: Stream, node: SortNode) -> Result<Stream> {
        let is_updating = self.builder.plan().node(stream.node).is_updating;
        if !stream.is_bounded && (is_updating || !node.order.is_empty()) {
            let Some(limit) = node.limit else { return Err(endless(&node)) };
            let first = First {
                partition: Vec::new(),
                order: node.order,
                ranking: Ranking::RowNumber,
                ranks: node.skip.saturating_add(1)..=node.skip.saturating_add(limit),
                has_rank: false,
            };
            self.first_of_all(&mut stream, first);
            return Ok(stream);
        }
        let schema = self.schema(&stream);
        let input = Input { from: stream.node, port: 0, exchange: Exchange::Global };
        stream.node = self.builder.add(NodeKind::Sort(node), vec![input], schema);
        Ok(stream)
    }
}

/// Says why the order of all rows of an endless input cannot be known.
fn endless(node: &SortNode) -> Error {
    let error = match node.order.is_empty() {
        true => "OFFSET without LIMIT needs an input that ends or is never updated",
        false => "ORDER BY without LIMIT needs an input that ends, and this one never does",
    };
    Error::invalid(error).remedy(
        "add LIMIT, or order within windows by ROW_NUMBER() OVER (PARTITION BY window_start, \
         window_end ORDER BY …)",
    )
}
