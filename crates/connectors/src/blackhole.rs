//! `'connector' = 'blackhole'`: takes every row and keeps none; for measurements.

use std::sync::Arc;

use async_trait::async_trait;
use thalweg_plan::connector::{Connector, TableSpec};
use thalweg_plan::sink::{
    Accepts, Committable, Committer, Delivery, Prepared, Sink, SinkWriter, WriterContext,
};
use thalweg_plan::source::Source;
use thalweg_types::{Change, Epoch, Error, Result};

/// The connector.
#[derive(Clone, Copy, Debug)]
pub struct Blackhole;

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
        Ok(Arc::new(Blackhole))
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
        Ok(Box::new(Blackhole))
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(Blackhole))
    }
}

#[async_trait]
impl SinkWriter for Blackhole {
    async fn write(&mut self, _: Change) -> Result<()> {
        Ok(())
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
