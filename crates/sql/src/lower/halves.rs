//! Old halves of updates, which say nothing of versions.
//!
//! A temporal join takes what takes a row back as the end of a version. The old half of an update ends
//! none: its new half says when the version ends. So where such a join reads a changelog its source marks
//! old halves, and they are left out on the way to the join; who reads the rows does not see the mark.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::Expr;
use thalweg_plan::connector::{Connector, Metadata, OLD_HALF, TableSpec};
use thalweg_plan::node::{BadRecords, MapNode, NodeKind};
use thalweg_plan::source::{Changes, Source};
use thalweg_types::{NodeId, Result};

use super::{Lowering, Stream, forward};
use crate::catalog::Table;
use crate::expression::{Expression, Filter, Projection};
use crate::text::plan_error;

/// Returns what reads columns of a table and, behind them, which rows are old halves.
///
/// # Errors
/// As [`Connector::source`].
pub(super) fn source(
    connector: &dyn Connector,
    table: &TableSpec,
    columns: &[usize],
) -> Result<Arc<dyn Source>> {
    let mut table = table.clone();
    let mark = table.schema.fields().len() + table.metadata.len();
    let field = Field::new(OLD_HALF, DataType::Boolean, false);
    table.metadata.push(Metadata { key: OLD_HALF.to_owned(), field });
    connector.source(&table, &[columns, &[mark]].concat())
}

impl Lowering<'_> {
    /// Does the source of a table tell which rows are old halves?
    pub(super) fn tells_halves(&self, table: &Table, changes: Changes) -> bool {
        changes == Changes::Changelog
            && !table.spec.primary_key.is_empty()
            && self.awaited.contains(&table.name)
    }

    /// Leaves old halves out of what a source says, and the mark.
    pub(super) fn leave_out_old_halves(&mut self, stream: &mut Stream) -> Result<()> {
        let marked = self.schema(stream);
        let schema = DFSchema::try_from(marked.as_ref().clone()).map_err(plan_error)?;
        let is_kept = !Expr::Column(Column::from_name(OLD_HALF));
        let condition = Expression::new(&is_kept, &schema)?;
        let own = unmarked(&marked);
        let columns = (0..own.fields().len()).collect();
        self.map(stream, Arc::new(Filter::keeping(condition, columns, own)));
        Ok(())
    }

    /// Returns what hands over the rows of a source without the mark.
    pub(super) fn without_halves(&mut self, from: NodeId) -> Result<NodeId> {
        let marked = self.builder.plan().node(from).schema.clone();
        let (given, schema) = (DFSchema::try_from(marked.as_ref().clone()), unmarked(&marked));
        let given = given.map_err(plan_error)?;
        let columns = schema
            .fields()
            .iter()
            .map(|field| Expression::new(&Expr::Column(Column::from_name(field.name())), &given));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let node = MapNode {
            transforms: vec![Arc::new(Projection::new(columns, schema.clone()))],
            // Columns that are only picked are never wrong.
            bad_records: BadRecords::Fail,
            statement: self.statement.clone(),
        };
        Ok(self.builder.add(NodeKind::Map(node), vec![forward(from, 0)], schema))
    }
}

/// Returns the columns of a source before its mark.
fn unmarked(marked: &SchemaRef) -> SchemaRef {
    let own = marked.fields().len() - 1;
    Arc::new(Schema::new(marked.fields()[..own].to_vec()))
}
