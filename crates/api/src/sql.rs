//! Queries over streams of a job, and streams out of queries.
//!
//! Invariants: who plans queries is told of streams as tables without knowing more of them, and what it
//! plans becomes part of the job: its nodes are added behind those of the streams, under the name
//! of the step. It does *not* know SQL: see [`Language`](crate::language::Language).

mod stand_in;

mod graft;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use thalweg_plan::connector::{Connector, Registry};
use thalweg_plan::node::Input;
use thalweg_plan::source::Changes;
use thalweg_types::{Error, Result};

use self::graft::graft;
use self::stand_in::{CONNECTOR, StandIn};
use crate::closure::Closure;
use crate::job::Job;
use crate::language::{Declared, Question};
use crate::record::{Record, fits};
use crate::stream::{Rows, Stream};

/// A stream as a table of a query.
#[derive(Clone)]
pub struct Table<'j> {
    rows: Rows<'j>,
    rowtime: Option<String>,
}

impl<'j, T: Record> Stream<'j, T> {
    /// Returns the stream as a table for [`Job::sql`]: its columns are the fields of the struct. If the
    /// stream has a watermark and one field is a [`Timestamp`](crate::Timestamp), that is its event time.
    pub fn table(&self) -> Table<'j> {
        let rows = Rows { job: self.job, node: self.node, port: 0 };
        self.job.builder.borrow_mut().share(self.node);
        let schema = rows.schema();
        let mut times = schema.fields().iter().filter(|field| is_time(field));
        let rowtime = match (times.next(), times.next()) {
            (Some(time), None) if rows.has_watermark() => Some(time.name().clone()),
            _ => None,
        };
        Table { rows, rowtime }
    }
}

fn is_time(field: &Field) -> bool {
    *field.data_type() == DataType::Timestamp(TimeUnit::Millisecond, None)
}

impl Table<'_> {
    /// Says which column is the event time, that the watermark of the stream follows.
    pub fn rowtime(mut self, column: &str) -> Self {
        self.rowtime = Some(column.to_owned());
        self
    }

    fn declared(&self, name: &str) -> Result<Declared> {
        let (schema, rowtime) = (self.rows.schema(), self.rowtime.clone());
        if let Some(column) = &rowtime {
            if !schema.fields().iter().any(|field| field.name() == column && is_time(field)) {
                let error = Error::invalid(format!("table `{name}` has no time `{column}`"));
                return Err(error.remedy("the event time is a field of the type Timestamp"));
            }
            if !self.rows.has_watermark() {
                let message = format!("the stream of table `{name}` has no watermark");
                return Err(Error::invalid(message).remedy("give its source one: watermark(…)"));
            }
        }
        Ok(Declared { name: name.to_owned(), schema, rowtime })
    }
}

impl Job {
    /// Returns the rows of a query over streams, and over tables that the text itself declares before the
    /// query. The fields of `T` are its columns, in order; its state is kept under `name`.
    ///
    /// # Errors
    /// `Invalid` at the place in the text, or saying of each column that is no field of `T` what is wrong
    /// with it.
    pub fn sql<T: Record>(
        &self,
        name: &str,
        text: &str,
        tables: &[(&str, Table<'_>)],
    ) -> Result<Stream<'_, T>> {
        self.step(name)?;
        let ask = || {
            let result = self.ask(text, tables)?.ok_or_else(|| {
                Error::invalid("the text has no query whose rows could be a stream")
                    .remedy("let it end in a SELECT, or use sql_script")
            })?;
            let Input { from: node, port, .. } = result;
            let rows = Rows { job: self, node, port };
            let columns: Vec<Field> =
                rows.schema().fields().iter().map(|field| field.as_ref().clone()).collect();
            fits::<T>(&columns)?;
            Ok(rows.then(Closure::shaped::<T>(|rows| Ok(rows.columns().to_vec()))))
        };
        ask().map_err(|error: Error| error.context(format!("step `{name}`")))
    }

    /// Adds what a text inserts into tables that it declares, of streams and of such tables. State is
    /// kept under `name`.
    ///
    /// # Errors
    /// `Invalid` at the place in the text.
    pub fn sql_script(&self, name: &str, text: &str, tables: &[(&str, Table<'_>)]) -> Result<()> {
        self.step(name)?;
        let ask = || match self.ask(text, tables)? {
            None => Ok(()),
            Some(_) => Err(Error::invalid("the script has a SELECT that goes nowhere")
                .remedy("use sql for it, whose result is a stream, or INSERT INTO a table")),
        };
        ask().map_err(|error: Error| error.context(format!("step `{name}`")))
    }

    /// Adds the nodes of a text; returns where the rows of its query come from.
    fn ask(&self, text: &str, tables: &[(&str, Table<'_>)]) -> Result<Option<Input>> {
        let language = self.language.as_ref().ok_or_else(|| {
            Error::invalid("the job knows no SQL").remedy("make it by thalweg::job()")
        })?;
        let (mut nodes, mut changes) = (BTreeMap::new(), BTreeMap::new());
        for (name, table) in tables {
            if !std::ptr::eq(table.rows.job, self) {
                return Err(Error::invalid(format!("table `{name}` is a stream of another job")));
            }
            let said = match table.rows.is_updating() {
                true => Changes::Changelog,
                false => Changes::Append,
            };
            changes.insert((*name).to_owned(), said);
            nodes.insert((*name).to_owned(), (table.rows.node, table.rows.schema()));
        }
        let stand_in: Arc<dyn Connector> = Arc::new(StandIn { changes: Arc::new(changes) });
        let own = stand_in.clone();
        let connectors = self.registry.all().cloned().chain([own]).collect();
        let declared = tables.iter().map(|(name, table)| table.declared(name));
        let question = Question {
            text,
            registry: Registry::new(connectors),
            connector: CONNECTOR,
            tables: declared.collect::<Result<_>>()?,
            result: Arc::new(|| Arc::new(StandIn::default())),
        };
        let Some(plan) = language.plan(question)? else { return Ok(None) };
        graft(&mut self.builder.borrow_mut(), plan, &nodes)
    }
}
