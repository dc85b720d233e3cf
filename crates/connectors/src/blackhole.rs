//! `'connector' = 'blackhole'`: takes every row and keeps none; for measurements.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use thalweg_plan::connector::{Connector, TableSpec};
use thalweg_plan::sink::{
    Accepts, Committable, Committer, Delivery, Prepared, Sink, SinkWriter, WriterContext,
};
use thalweg_plan::source::Source;
use thalweg_types::{Change, Epoch, Error, Result};

/// The connector, and each of its sinks.
#[derive(Clone, Debug, Default)]
pub struct Blackhole {
    /// Rows after which a sink ends the job.
    limit: Option<u64>,
    /// Rows taken by all writers of a sink.
    taken: Arc<AtomicU64>,
}

impl Blackhole {
    /// Returns a sink that takes about `limit` rows in this process, and then ends the job.
    pub fn of(limit: Option<u64>) -> Blackhole {
        Blackhole { limit, taken: Arc::default() }
    }
}

impl Connector for Blackhole {
    fn name(&self) -> &'static str {
        "blackhole"
    }

    fn options(&self) -> Vec<&'static str> {
        vec!["connector"]
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        table.options.only(&self.options())
    }

    fn source(&self, table: &TableSpec, _: &[usize]) -> Result<Arc<dyn Source>> {
        Err(Error::invalid(format!("table `{}`: 'blackhole' can only be written", table.name)))
    }

    fn sink(&self, _: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(Blackhole::default()))
    }
}

#[async_trait]
impl Sink for Blackhole {
    fn connector(&self) -> &str {
        "blackhole"
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtMostOnce
    }

    fn accepts(&self) -> Accepts {
        Accepts::Changelog
    }

    async fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(self.clone()))
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl SinkWriter for Blackhole {
    async fn write(&mut self, change: Change) -> Result<()> {
        let rows = change.len() as u64;
        let before = self.taken.fetch_add(rows, Ordering::Relaxed);
        match self.limit {
            Some(limit) if before + rows >= limit => Err(Error::closed("enough rows were taken")),
            _ => Ok(()),
        }
    }

    async fn end_epoch(&mut self, _: Epoch) -> Result<()> {
        Ok(())
    }

    async fn prepare(&mut self, _: Epoch, _: bool) -> Result<Prepared> {
        Ok(Prepared::default())
    }
}

#[async_trait]
impl Committer for Blackhole {
    async fn commit(&self, _: &Committable) -> Result<()> {
        Err(Error::internal("a blackhole has nothing to commit"))
    }
}
