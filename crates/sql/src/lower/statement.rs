//! One statement of a script: its query, what was set when it was read, and the sink behind it.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, LogicalPlan};
use thalweg_plan::node::SinkNode;
use thalweg_plan::sink::Sink;
use thalweg_plan::write;
use thalweg_types::{NodeId, Result, Zone};

use super::{Lowering, Stream, forward};
use crate::expression::{Expression, Projection};
use crate::local_time::{is_instant, to_local};
use crate::text::plan_error;

/// An optimised query, and what was set when it was read.
pub(crate) struct Query {
    pub(crate) plan: LogicalPlan,
    /// The session's time zone.
    pub(crate) zone: Zone,
    /// How long rows of state are kept after they were written; `None` for ever.
    pub(crate) ttl: Option<Duration>,
    /// Rounds after which its recursive relations end the job.
    pub(crate) rounds_max: u32,
}

/// Where a statement's rows go.
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) sink: Arc<dyn Sink>,
}

impl Lowering<'_> {
    /// Adds a statement: its query, and the sink behind it.
    pub(crate) fn statement(&mut self, name: &str, query: &Query, target: Target) -> Result<()> {
        (self.statement, self.zone, self.ttl) = (name.to_owned(), query.zone, query.ttl);
        self.rounds_max = query.rounds_max;
        self.builder.statement(name);
        let stream = self.lower(&query.plan)?;
        let mut stream = self.settle(stream)?;
        if target.sink.is_for_people() {
            self.show_local(&mut stream)?;
        }
        self.sink(stream.node, target)?;
        self.to_come = self.to_come.saturating_sub(1);
        if self.to_come == 0 { self.finish_rejected() } else { Ok(()) }
    }

    /// Shows instants as clocks in the session's time zone do.
    fn show_local(&mut self, stream: &mut Stream) -> Result<()> {
        let given = self.schema(stream);
        let input = DFSchema::try_from(given.as_ref().clone()).map_err(plan_error)?;
        if !given.fields().iter().any(|field| is_instant(field.data_type())) {
            return Ok(());
        }
        let columns = given.fields().iter().enumerate().map(|(index, field)| {
            let column = Expr::from(input.qualified_field(index));
            match field.data_type() {
                DataType::Timestamp(unit, Some(_)) => {
                    let kind = DataType::Timestamp(*unit, None);
                    (to_local(column, self.zone), field.as_ref().clone().with_data_type(kind))
                }
                _ => (column, field.as_ref().clone()),
            }
        });
        let (columns, fields): (Vec<Expr>, Vec<Field>) = columns.unzip();
        let expressions = columns.iter().map(|column| Expression::new(column, &input));
        let expressions = expressions.collect::<Result<_>>()?;
        let schema = Arc::new(Schema::new(fields));
        self.map(stream, Arc::new(Projection::new(expressions, schema)));
        Ok(())
    }

    pub(super) fn sink(&mut self, from: NodeId, target: Target) -> Result<()> {
        let node = SinkNode { table: target.name, sink: target.sink };
        write::add(&mut self.builder, forward(from, 0), node).map(|_| ())
    }

    /// Returns how long rows of a stream are kept by what reads it: as its hint says, or else for as
    /// long as is set.
    pub(super) fn ttl_of(&self, stream: &Stream) -> Option<Duration> {
        stream.ttl.map_or(self.ttl, |ttl| Some(ttl).filter(|ttl| !ttl.is_zero()))
    }
}
