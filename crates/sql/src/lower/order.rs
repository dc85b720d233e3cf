//! `ORDER BY`, `LIMIT` and `OFFSET`.

use std::sync::Arc;

use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::logical_expr::LogicalPlan;
use datafusion::logical_expr::{Expr, ExprSchemable, FetchType, Limit, SkipType, Sort as SortPlan};
use thalweg_plan::node::{Exchange, Input, NodeKind, SortKey, SortNode};
use thalweg_types::{Error, Result};

use super::{Lowering, Stream, column_of};
use crate::expression::{Expression, Projection};
use crate::text::{RELATIONAL, plan_error, to_come};
use crate::windowing::{Pick, Reorder};

impl Lowering<'_> {
    pub(super) fn sort(&mut self, sort: &SortPlan) -> Result<Stream> {
        let input = sort.input.schema();
        let stream = self.lower(&sort.input)?;
        let mut stream = self.settle(stream)?;
        let width = input.fields().len();
        let mut exprs: Vec<Expr> = input.columns().into_iter().map(Expr::Column).collect();
        let mut order = Vec::new();
        for key in &sort.expr {
            let column = column_of(&key.expr, input).unwrap_or_else(|| {
                exprs.push(key.expr.clone());
                exprs.len() - 1
            });
            order.push(SortKey { column, descending: !key.asc, nulls_first: key.nulls_first });
        }
        let schema = self.schema(&stream);
        if exprs.len() > width {
            let mut fields: Vec<_> = schema.fields().to_vec();
            for (number, expr) in exprs.iter().enumerate().skip(width) {
                let kind = expr.get_type(input).map_err(plan_error)?;
                fields.push(Arc::new(Field::new(format!("__order_{number}"), kind, true)));
            }
            let exprs = exprs.iter().map(|expr| Expression::new(expr, input));
            let exprs = exprs.collect::<Result<Vec<_>>>()?;
            let wide = Projection::new(exprs, Arc::new(Schema::new(fields)));
            self.map(&mut stream, Arc::new(wide));
        }
        let has_keys = self.schema(&stream).fields().len() > width;
        let mut stream = self.ordered(stream, SortNode { order, skip: 0, limit: sort.fetch })?;
        if has_keys {
            let picks = (0..width).map(Pick::Column).collect();
            self.map(&mut stream, Arc::new(Reorder { picks, schema }));
        }
        Ok(stream)
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
            let fetch = fetch.map(|fetch| fetch.saturating_add(skip));
            let sorted = SortPlan { fetch, ..sort.clone() };
            let stream = self.sort(&sorted)?;
            return match skip {
                0 => Ok(stream),
                skip => self.ordered(stream, SortNode { order: Vec::new(), skip, limit: None }),
            };
        }
        let stream = self.lower(&limit.input)?;
        let stream = self.settle(stream)?;
        self.ordered(stream, SortNode { order: Vec::new(), skip, limit: fetch })
    }

    fn ordered(&mut self, mut stream: Stream, node: SortNode) -> Result<Stream> {
        if !node.order.is_empty() && !stream.is_bounded {
            return Err(Error::invalid(
                "ORDER BY needs an input that ends, and this one never does",
            )
            .remedy(
                "order within windows by ROW_NUMBER() OVER (PARTITION BY window_start, window_end \
                 ORDER BY …)",
            ));
        }
        if self.builder.plan().node(stream.node).is_updating && !stream.is_bounded {
            let error = "ORDER BY and LIMIT over an updating result that never ends are";
            return Err(to_come(RELATIONAL, error, "aggregate over windows first"));
        }
        let schema = self.schema(&stream);
        let input = Input { from: stream.node, port: 0, exchange: Exchange::Global };
        stream.node = self.builder.add(NodeKind::Sort(node), vec![input], schema);
        Ok(stream)
    }
}
