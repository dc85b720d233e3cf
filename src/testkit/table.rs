//! The tables of a test: rows come from its steps, and go to its results.
//!
//! Invariant: every table hands over every step, that of another one as no rows, as the tables of a
//! script do.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use thalweg_plan::connector::{Connector, TableSpec};
use thalweg_plan::sink::{
    Accepts, Committable, Committer, Delivery, Prepared, Sink, SinkWriter, WriterContext,
};
use thalweg_plan::source::{
    Discovery, Offset, Replay, Source, SourceBatch, Split, SplitReader, Step,
};
use thalweg_types::{Change, Epoch, Error, Result, SplitId};

use super::board::{Board, Staged};

/// The name of the connector.
pub(super) const TABLE: &str = "test";

/// The tables of a test.
#[derive(Debug)]
pub(super) struct Tables(pub(super) Arc<Board>);

impl Connector for Tables {
    fn name(&self) -> &'static str {
        TABLE
    }

    fn has_watermarks(&self) -> bool {
        true
    }

    fn options(&self) -> Vec<&'static str> {
        vec!["connector"]
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        table.options.only(&self.options())
    }

    fn source(&self, table: &TableSpec, columns: &[usize]) -> Result<Arc<dyn Source>> {
        let schema = Arc::new(table.schema.project(columns)?);
        let (board, columns) = (self.0.clone(), columns.to_vec());
        Ok(Arc::new(Pushed { board, name: table.name.clone(), schema, columns }))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(Kept { board: self.0.clone(), name: table.name.clone() }))
    }
}

/// A table that rows are pushed to.
#[derive(Clone, Debug)]
struct Pushed {
    board: Arc<Board>,
    name: String,
    schema: SchemaRef,
    columns: Vec<usize>,
}

#[async_trait]
impl Source for Pushed {
    fn connector(&self) -> &str {
        TABLE
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn is_bounded(&self) -> bool {
        true
    }

    fn script(&self) -> Option<&str> {
        Some(TABLE)
    }

    fn is_local(&self) -> bool {
        true
    }

    async fn enumerate(&self, known: &[Split]) -> Result<Discovery> {
        let split = || {
            let id = SplitId(TABLE.to_owned());
            Split { id, sequence: TABLE.to_owned(), payload: String::new() }
        };
        let splits = if known.is_empty() { vec![split()] } else { Vec::new() };
        Ok(Discovery { splits, again: None })
    }

    async fn reader(&self, _: &Split, from: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        let taken = match from {
            None => 0,
            Some(Offset(text)) => text
                .parse()
                .map_err(|_| Error::state(format!("there is no step `{text}` of a test")))?,
        };
        Ok(Box::new(Reader { table: self.clone(), taken, step: None }))
    }
}

/// Reads the steps for one table.
struct Reader {
    table: Pushed,
    taken: usize,
    step: Option<Step>,
}

#[async_trait]
impl SplitReader for Reader {
    async fn next(&mut self) -> Result<Option<SourceBatch>> {
        let Some(line) = self.table.board.line(self.taken).await else { return Ok(None) };
        self.taken += 1;
        let is_own = line.table.is_none_or(|table| table == self.table.name);
        let watermark = line.step.watermark.filter(|_| is_own);
        self.step = Some(Step { line: self.taken as u64, watermark, ..line.step });
        let rows = match line.rows.filter(|_| is_own) {
            Some(rows) => rows.project(&self.table.columns)?,
            None => RecordBatch::new_empty(self.table.schema.clone()),
        };
        let (bytes, next) = (rows.get_array_memory_size(), Offset(self.taken.to_string()));
        Ok(Some(SourceBatch { rows: Change::append(rows), bad: Vec::new(), next, bytes }))
    }

    fn step(&self) -> Option<Step> {
        self.step
    }
}

/// A table whose rows are kept for the test.
#[derive(Clone, Debug)]
struct Kept {
    board: Arc<Board>,
    name: String,
}

#[async_trait]
impl Sink for Kept {
    fn connector(&self) -> &str {
        TABLE
    }

    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn accepts(&self) -> Accepts {
        Accepts::Changelog
    }

    fn is_local(&self) -> bool {
        true
    }

    async fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>> {
        let (table, open, rows) = (self.clone(), Vec::new(), Vec::new());
        Ok(Box::new(Writer { table, context, open, rows }))
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl Committer for Kept {
    async fn commit(&self, committable: &Committable) -> Result<()> {
        self.board.commit(&committable.0)
    }
}

/// Writes the rows of one worker.
struct Writer {
    table: Kept,
    context: WriterContext,
    /// Rows of the open epoch.
    open: Vec<Change>,
    /// Rows since the last checkpoint.
    rows: Vec<(Epoch, Change)>,
}

#[async_trait]
impl SinkWriter for Writer {
    async fn write(&mut self, change: Change) -> Result<()> {
        self.open.push(change);
        Ok(())
    }

    async fn end_epoch(&mut self, epoch: Epoch) -> Result<()> {
        self.rows.extend(self.open.drain(..).map(|change| (epoch, change)));
        Ok(())
    }

    async fn prepare(&mut self, epoch: Epoch, _: bool) -> Result<Prepared> {
        let WriterContext { attempt, node, worker, .. } = &self.context;
        let name = format!("{} {} {} {}", attempt.0, node.0, worker.0, epoch.0);
        let (result, writer) = (self.table.name.clone(), (*node, *worker));
        let rows = std::mem::take(&mut self.rows);
        self.table.board.stage(name.clone(), Staged { result, writer, rows });
        Ok(Prepared { committables: vec![Committable(name)], states: Vec::new() })
    }
}
