//! Rows to standard output: `'connector' = 'print'` in Flink's notation, and the result of a bare
//! `SELECT` as JSON, CSV or a table.
//!
//! Rows are shown at once, so after a crash some may be shown again (at least once).

mod render;

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use thalweg_plan::connector::{Connector, TableSpec};
use thalweg_plan::sink::{
    Accepts, Committable, Committer, Delivery, Prepared, Sink, SinkWriter, WriterContext,
};
use thalweg_plan::source::Source;
use thalweg_types::{Change, Epoch, Error, Result};

/// How rows are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Style {
    /// `+I[a, b]`, behind this prefix.
    Flink(String),
    /// One JSON object a line.
    Json,
    /// RFC 4180 with a header.
    Csv,
    /// Columns that stand below each other.
    Table,
}

/// The connector.
#[derive(Clone, Copy, Debug)]
pub struct Print;

impl Connector for Print {
    fn name(&self) -> &'static str {
        "print"
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        table.options.only(&["connector", "print-identifier", "standard-error"])?;
        table.options.flag("standard-error").map(|_| ())
    }

    fn source(&self, table: &TableSpec, _: &[usize]) -> Result<Arc<dyn Source>> {
        Err(Error::invalid(format!("table `{}`: 'print' can only be written", table.name)))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        let prefix = table.options.get("print-identifier");
        let prefix = prefix.map(|name| format!("{name}> ")).unwrap_or_default();
        let out: Screen = match table.options.flag("standard-error")? {
            Some(true) => Arc::new(Mutex::new(std::io::stderr())),
            _ => Arc::new(Mutex::new(std::io::stdout())),
        };
        Ok(Arc::new(Shown { style: Style::Flink(prefix), limit: None, out, shown: Arc::default() }))
    }
}

/// Where rows are shown.
pub type Screen = Arc<Mutex<dyn Write + Send>>;

/// A sink that shows rows.
#[derive(Clone)]
pub struct Shown {
    style: Style,
    limit: Option<u64>,
    out: Screen,
    /// Rows shown by all writers.
    shown: Arc<AtomicU64>,
}

impl Shown {
    /// Returns a sink that shows at most `limit` rows on `out`, and then ends the job.
    pub fn new(style: Style, limit: Option<u64>, out: Screen) -> Shown {
        Shown { style, limit, out, shown: Arc::default() }
    }
}

impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shown({:?})", self.style)
    }
}

#[async_trait]
impl Sink for Shown {
    fn connector(&self) -> &str {
        "print"
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    fn accepts(&self) -> Accepts {
        Accepts::Changelog
    }

    fn is_local(&self) -> bool {
        true
    }

    async fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        Ok(Box::new(ShownWriter { sink: self.clone(), text: String::new(), schema: None }))
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(NoCommitter))
    }
}

struct ShownWriter {
    sink: Shown,
    text: String,
    /// Schema of the last batch; a header stands before the first.
    schema: Option<SchemaRef>,
}

impl ShownWriter {
    fn flush(&mut self) -> Result<()> {
        let mut out = self.sink.out.lock().unwrap_or_else(PoisonError::into_inner);
        let written = out.write_all(self.text.as_bytes()).and_then(|()| out.flush());
        self.text.clear();
        written.map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Error::closed("nobody reads the output"),
            _ => Error::failed(format!("cannot write rows: {error}")).caused_by(error),
        })
    }
}

#[async_trait]
impl SinkWriter for ShownWriter {
    async fn write(&mut self, change: Change) -> Result<()> {
        let before = self.sink.shown.fetch_add(change.len() as u64, Ordering::Relaxed);
        let left = self.sink.limit.map_or(u64::MAX, |limit| limit.saturating_sub(before));
        let change = change.slice(0, change.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
        let is_first = self.schema.is_none() && before == 0;
        self.schema = Some(change.schema());
        render::render(&self.sink.style, &change, is_first, &mut self.text);
        if self.text.len() > 1 << 16 {
            self.flush()?;
        }
        if self.sink.limit.is_some_and(|limit| before + change.len() as u64 >= limit) {
            self.flush()?;
            return Err(Error::closed("the asked number of rows is shown"));
        }
        Ok(())
    }

    async fn end_epoch(&mut self, _: Epoch) -> Result<()> {
        self.flush()
    }

    async fn prepare(&mut self, _: Epoch, _: bool) -> Result<Prepared> {
        self.flush()?;
        Ok(Prepared::default())
    }
}

struct NoCommitter;

#[async_trait]
impl Committer for NoCommitter {
    async fn commit(&self, _: &Committable) -> Result<()> {
        Err(Error::internal("what is shown has nothing to commit"))
    }
}

#[cfg(test)]
mod tests;
