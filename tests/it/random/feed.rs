//! A connector whose tables are handed out step by step, and whose sinks collect changes by epoch.
//!
//! Each table that a query reads is read by a *probe*, too, which goes on to a sink of its own. As a
//! table has one source in a job, the probe says which rows are in an epoch, and a query's
//! result can be compared after each one, however the rows were cut into epochs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::compute::max;
use datafusion::arrow::datatypes::{Int64Type, SchemaRef};
use thalweg_plan::connector::{Connector, TableSpec};
use thalweg_plan::sink::{
    Accepts, Committable, Committer, Delivery, Prepared, Sink, SinkWriter, WriterContext,
};
use thalweg_plan::source::{
    Changes, Discovery, Offset, Replay, Source, SourceBatch, Split, SplitReader,
};
use thalweg_types::{Change, Epoch, Error, Result, SplitId};
use tokio::sync::watch;

use super::schema::{Comes, Input, Row, Step, Table};

/// The name of the result among the sinks.
pub(super) const RESULT: &str = "result";
/// How long an epoch may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What came out of an epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct Epochs(pub(super) BTreeMap<Epoch, Collected>);

/// Changes of an epoch, by sink.
#[derive(Clone, Debug, Default)]
pub(super) struct Collected {
    pub(super) changes: BTreeMap<String, Vec<Change>>,
}

/// What a job has in common with the one who looks at it.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) input: Input,
    /// Steps by which a source may run ahead of what the probes have seen.
    pub(super) ahead: usize,
    pub(super) epochs: Mutex<Epochs>,
    /// Steps whose epochs have ended at the probes, so that what follows is in a later one.
    done: watch::Sender<usize>,
}

impl Feed {
    pub(super) fn new(input: Input, ahead: usize) -> Feed {
        let (done, _) = watch::channel(0);
        Feed { input, ahead, epochs: Mutex::default(), done }
    }

    fn write(&self, epoch: Epoch, sink: &str, changes: Vec<Change>) {
        let mut epochs = self.epochs.lock().unwrap();
        let collected = epochs.0.entry(epoch).or_default();
        collected.changes.entry(sink.to_owned()).or_default().extend(changes);
        // Of whatever epoch: a probe may be told of one after others were told of a later one, and it is not
        // told of an epoch in which nothing comes to it.
        let mut seen = epochs.seen(&self.input, Epoch(u64::MAX));
        let is_seen = |step: &&Step| {
            let is_seen = seen[step.table] > 0;
            seen[step.table] = seen[step.table].saturating_sub(1);
            is_seen
        };
        let done = self.input.steps.iter().take_while(is_seen).count();
        self.done.send_modify(|most| *most = done.max(*most));
    }
}

impl Epochs {
    /// Returns how many steps of each table have been seen up to an epoch.
    pub(super) fn seen(&self, input: &Input, until: Epoch) -> Vec<usize> {
        let table = |(at, table): (usize, &Table)| {
            let probes = self.0.range(..=until).filter_map(|(_, c)| c.changes.get(&table.name));
            let steps = input.steps.iter().filter(|step| step.table == at);
            if table.comes == Comes::Upsert {
                // The last row of a step is there at the end of its epoch.
                let newest = probes.flatten().filter_map(newest).max();
                let number = |step: &Step| step.rows.last().and_then(Row::number);
                return steps.filter(|step| number(step) <= newest).count();
            }
            let mut rows: usize = probes.flatten().map(Change::len).sum();
            let whole = steps.take_while(|step| {
                let is_seen = rows >= step.rows.len();
                rows = rows.saturating_sub(step.rows.len());
                is_seen
            });
            whole.count()
        };
        input.tables.iter().enumerate().map(table).collect()
    }
}

/// Returns the greatest number in what a probe of an upserted table showed.
fn newest(change: &Change) -> Option<i64> {
    max(change.rows.column(0).as_primitive::<Int64Type>())
}

/// The connector.
#[derive(Clone, Debug)]
pub(super) struct FeedConnector(pub(super) Arc<Feed>);

impl Connector for FeedConnector {
    fn name(&self) -> &'static str {
        "feed"
    }

    fn changes(&self, table: &TableSpec) -> Changes {
        let own = self.0.input.tables.iter().find(|own| own.name == table.name);
        match own.map_or(Comes::Append, |own| own.comes) {
            Comes::Append => Changes::Append,
            Comes::Changelog => Changes::Changelog,
            Comes::Upsert => Changes::Upsert,
        }
    }

    fn options(&self) -> Vec<&'static str> {
        vec!["connector"]
    }

    fn validate(&self, _: &TableSpec) -> Result<()> {
        Ok(())
    }

    fn source(&self, table: &TableSpec, columns: &[usize]) -> Result<Arc<dyn Source>> {
        let schema = Arc::new(table.schema.project(columns)?);
        let number = self.0.input.tables.iter().position(|own| own.name == table.name);
        let (feed, columns) = (self.0.clone(), columns.to_vec());
        let table = number.expect("only tables of the input are read");
        Ok(Arc::new(FeedSource { feed, table, columns, schema }))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        let name = table.name.trim_start_matches("seen_").to_owned();
        Ok(Arc::new(FeedSink { feed: self.0.clone(), name }))
    }
}

#[derive(Clone, Debug)]
struct FeedSource {
    feed: Arc<Feed>,
    table: usize,
    columns: Vec<usize>,
    schema: SchemaRef,
}

#[async_trait]
impl Source for FeedSource {
    fn connector(&self) -> &str {
        "feed"
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

    async fn enumerate(&self, known: &[Split]) -> Result<Discovery> {
        let name = self.feed.input.tables[self.table].name.clone();
        let split = Split { id: SplitId(name.clone()), sequence: name, payload: String::new() };
        let splits = if known.is_empty() { vec![split] } else { Vec::new() };
        Ok(Discovery { splits, again: None })
    }

    async fn reader(&self, _: &Split, from: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        let next = from.map_or(0, |offset| offset.0.parse().unwrap());
        Ok(Box::new(FeedReader { source: self.clone(), next }))
    }
}

struct FeedReader {
    source: FeedSource,
    /// The step at which to go on.
    next: usize,
}

#[async_trait]
impl SplitReader for FeedReader {
    async fn next(&mut self) -> Result<Option<SourceBatch>> {
        let FeedSource { feed, table, columns, .. } = &self.source;
        let all = feed.input.steps.len();
        let steps = feed.input.steps.iter().enumerate().skip(self.next);
        let step = steps.into_iter().find(|(_, step)| step.table == *table);
        // A table ends in an epoch of its own, so that its watermark says what its rows do until then.
        let before = step.map_or(all, |(at, _)| at.saturating_sub(feed.ahead));
        let mut done = feed.done.subscribe();
        let open = done.wait_for(|done| *done >= before);
        if tokio::time::timeout(PATIENCE, open).await.is_err() {
            return Err(Error::failed(format!("step {before} never ended")));
        }
        let Some((at, step)) = step else { return Ok(None) };
        self.next = at + 1;
        let table = &feed.input.tables[*table];
        let rows = table.batch(&step.rows.iter().collect::<Vec<_>>()).project(columns)?;
        let weights = step.rows.iter().map(|row| row.weight).collect::<Vec<_>>();
        let rows = match table.is_updating() {
            true => Change::weighted(rows, weights.into())?,
            false => Change::append(rows),
        };
        let next = Offset((at + 1).to_string());
        Ok(Some(SourceBatch { rows, bad: Vec::new(), next, bytes: 64 }))
    }
}

/// A sink that collects what it is given.
#[derive(Debug)]
pub(super) struct FeedSink {
    pub(super) feed: Arc<Feed>,
    pub(super) name: String,
}

#[async_trait]
impl Sink for FeedSink {
    fn connector(&self) -> &str {
        "feed"
    }

    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    fn accepts(&self) -> Accepts {
        Accepts::Changelog
    }

    async fn writer(&self, _: WriterContext) -> Result<Box<dyn SinkWriter>> {
        let (feed, name) = (self.feed.clone(), self.name.clone());
        Ok(Box::new(FeedWriter { feed, name, changes: Vec::new() }))
    }

    async fn committer(&self) -> Result<Box<dyn Committer>> {
        Ok(Box::new(Nothing))
    }
}

struct FeedWriter {
    feed: Arc<Feed>,
    name: String,
    /// Of the open epoch.
    changes: Vec<Change>,
}

#[async_trait]
impl SinkWriter for FeedWriter {
    async fn write(&mut self, change: Change) -> Result<()> {
        self.changes.push(change);
        Ok(())
    }

    async fn end_epoch(&mut self, epoch: Epoch) -> Result<()> {
        self.feed.write(epoch, &self.name, std::mem::take(&mut self.changes));
        Ok(())
    }

    async fn prepare(&mut self, _: Epoch, _: bool) -> Result<Prepared> {
        Ok(Prepared::default())
    }
}

/// Commits nothing, since nothing is staged.
struct Nothing;

#[async_trait]
impl Committer for Nothing {
    async fn commit(&self, _: &Committable) -> Result<()> {
        Ok(())
    }
}
