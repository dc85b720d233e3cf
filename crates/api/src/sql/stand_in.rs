//! What stands for streams while a query is planned, and for what becomes of its rows. None of it is
//! ever read or written: its nodes are not taken over.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use thalweg_plan::connector::{Connector, TableSpec};
use thalweg_plan::sink::{Accepts, Committer, Delivery, Sink, SinkWriter, WriterContext};
use thalweg_plan::source::{Changes, Discovery, Offset, Replay, Source, Split, SplitReader};
use thalweg_types::{Error, Result};

/// The name of the connector.
pub(super) const CONNECTOR: &str = "stream";

/// The connector of tables that are streams, and the sink of what a query gives.
#[derive(Clone, Debug, Default)]
pub(super) struct StandIn {
    /// What the rows of each stream say.
    pub(super) changes: Arc<BTreeMap<String, Changes>>,
}

/// A table that is a stream.
#[derive(Debug)]
struct Columns(SchemaRef);

fn not_run() -> Error {
    Error::internal("what stands for a stream was to be run")
}

impl Connector for StandIn {
    fn name(&self) -> &'static str {
        CONNECTOR
    }

    fn has_watermarks(&self) -> bool {
        true
    }

    fn options(&self) -> Vec<&'static str> {
        vec!["connector"]
    }

    fn changes(&self, table: &TableSpec) -> Changes {
        self.changes.get(&table.name).copied().unwrap_or(Changes::Append)
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        table.options.only(&self.options())?;
        match self.changes.contains_key(&table.name) {
            true => Ok(()),
            false => Err(Error::invalid(format!("there is no stream `{}`", table.name))
                .remedy("hand it over with the query")),
        }
    }

    fn source(&self, table: &TableSpec, columns: &[usize]) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(Columns(Arc::new(table.schema.project(columns)?))))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(Error::invalid(format!("table `{}` is a stream, which can only be read", table.name)))
    }
}

#[async_trait]
impl Source for Columns {
    fn connector(&self) -> &str {
        CONNECTOR
    }

    fn schema(&self) -> SchemaRef {
        self.0.clone()
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn is_bounded(&self) -> bool {
        false
    }

    async fn enumerate(&self, _: &[Split]) -> Result<Discovery> {
        Err(not_run())
    }

    async fn reader(&self, _: &Split, _: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        Err(not_run())
    }
}

#[async_trait]
impl Sink for StandIn {
    fn connector(&self) -> &str {
        CONNECTOR
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn accepts(&self) -> Accepts {
        Accepts::Changelog
    }

    async fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Err(not_run())
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Err(not_run())
    }
}
