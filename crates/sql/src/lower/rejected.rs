//! Late rows and bad records on their way to the tables that want them.
//!
//! Invariants: a table of rejected rows has one writer, whoever sends rows to it; columns are
//! matched by name, since what is rejected does not have the shape of any query. Late rows of an input that is
//! updated keep their weights, so their table must be able to tell them.

use std::sync::Arc;

use datafusion::arrow::compute::can_cast_types;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use thalweg_plan::node::{BadRecords, Input, MapNode, NodeKind};
use thalweg_plan::sink::Accepts;
use thalweg_plan::source::bad_record_schema;
use thalweg_types::{Error, Result};

use super::{Lowering, Target, forward};
use crate::catalog::Table;
use crate::windowing::{Pick, Reorder};

impl Lowering<'_> {
    /// Remembers that rows of an output go to `table`.
    pub(super) fn reject(&mut self, table: &str, from: Input) {
        let inputs = self.rejected.entry(table.to_owned()).or_default();
        if !inputs.contains(&from) {
            inputs.push(from);
        }
    }

    /// Returns the table called `name` that rejected rows go to.
    pub(super) fn rejected_table(&self, name: &str) -> Result<Arc<Table>> {
        self.session.table(name).cloned().ok_or_else(|| {
            Error::invalid(format!("rejected rows go to table `{name}`, which does not exist"))
                .remedy(format!("create table `{name}` before the query"))
        })
    }

    /// Gives each table of rejected rows its sink, behind all that send rows to it.
    pub(super) fn finish_rejected(&mut self) -> Result<()> {
        for (name, outputs) in std::mem::take(&mut self.rejected) {
            let table = self.rejected_table(&name)?;
            self.statement = format!("rejected rows of {name}");
            self.builder.statement(self.statement.clone());
            let schema = table.spec.schema.clone();
            let mut inputs = Vec::new();
            for from in outputs {
                inputs.push(self.fitting(from, &name, &schema)?);
            }
            let node = match inputs.as_slice() {
                [one] => one.from,
                _ => self.builder.add(NodeKind::Union, inputs, schema),
            };
            let sink = self.registry.get(table.connector()?)?.sink(&table.spec)?;
            if self.builder.plan().node(node).is_updating && sink.accepts() == Accepts::Append {
                return Err(Error::invalid(format!(
                    "late rows of an input that is updated may take others back, and table `{name}` \
                     takes inserts only"
                ))
                .remedy("give it 'format' = 'debezium-json'"));
            }
            self.sink(node, Target { name, sink })?;
        }
        Ok(())
    }

    /// Gives rejected rows the columns of the table that they go to.
    fn fitting(&mut self, from: Input, name: &str, schema: &SchemaRef) -> Result<Input> {
        let rows = self.builder.plan().output_schema(from.from, from.port);
        let picks = picks_by_name(&rows, schema, name)?;
        let map = MapNode {
            transforms: vec![Arc::new(Reorder { picks, schema: schema.clone() })],
            bad_records: BadRecords::Fail,
            statement: self.statement.clone(),
        };
        Ok(forward(self.builder.add(NodeKind::Map(map), vec![from], schema.clone()), 0))
    }
}

/// Finds each column of `table` in `rows`; a late row may lack some, which are NULL then.
fn picks_by_name(rows: &Schema, table: &Schema, name: &str) -> Result<Vec<Pick>> {
    let is_bad = rows == bad_record_schema().as_ref();
    let has = || {
        let columns = rows.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type()));
        format!("its columns can be: {}", columns.collect::<Vec<_>>().join(", "))
    };
    let mut picks = Vec::new();
    for wanted in table.fields() {
        let found = rows.fields().iter().position(|field| field.name() == wanted.name());
        picks.push(match found {
            Some(column) if can_cast_types(rows.field(column).data_type(), wanted.data_type()) => {
                Pick::Column(column)
            }
            Some(column) => {
                return Err(Error::invalid(format!(
                    "column `{}` of table `{name}` is {}, and rejected rows have {}",
                    wanted.name(),
                    wanted.data_type(),
                    rows.field(column).data_type()
                ))
                .remedy(has()));
            }
            None if wanted.is_nullable() && !is_bad => Pick::Null,
            None => {
                let column = wanted.name();
                let error = format!("rejected rows have no column `{column}` for table `{name}`");
                return Err(Error::invalid(error).remedy(has()));
            }
        });
    }
    if picks.iter().all(|pick| *pick == Pick::Null) {
        let error = format!("rejected rows have none of the columns of table `{name}`");
        return Err(Error::invalid(error).remedy(has()));
    }
    Ok(picks)
}
