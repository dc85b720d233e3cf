//! `'connector' = 'nexmark'`: the events of the Nexmark benchmark, made on the spot.
//!
//! | Option | Meaning |
//! |---|---|
//! | `nexmark.table` | which events are the rows: `bid` (unless said), `auction` or `person` |
//! | `nexmark.events` | how many events there are, of all three sorts; endless unless said |
//! | `nexmark.rate` | events in a second of event time, 10,000 unless said |
//!
//! Of 50 events one is a person, three are auctions and 46 are bids. A table may declare any of the
//! columns, under their names. To slow events down use `scan.rows-per-second`.
//!
//! Invariants: an event depends on its number and the rate alone, so reading again from any offset
//! gives the same rows, on any number of workers; splits follow each other in event time.

mod rules;

mod columns;

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use columns::{Column, Kind, Table};
use thalweg_plan::connector::{Connector, Options, TableSpec, nearest};
use thalweg_plan::sink::Sink;
use thalweg_plan::source::{Discovery, Offset, Replay, Source, SourceBatch, Split, SplitReader};
use thalweg_types::{Change, Error, Result, SplitId, size};

const OPTIONS: [&str; 4] = ["connector", "nexmark.table", "nexmark.events", "nexmark.rate"];
/// Events in a split of a bounded table.
const SPLIT_EVENTS: u64 = 50_000;
/// Events in a batch.
const BATCH_EVENTS: u64 = 10_000;
const RATE: u64 = 10_000;

/// The connector.
#[derive(Clone, Copy, Debug)]
pub struct Nexmark;

impl Connector for Nexmark {
    fn name(&self) -> &'static str {
        "nexmark"
    }

    fn options(&self) -> Vec<&'static str> {
        OPTIONS.to_vec()
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        let all: Vec<usize> = (0..table.schema.fields().len()).collect();
        NexmarkSource::new(table, &all).map(|_| ())
    }

    fn source(&self, table: &TableSpec, columns: &[usize]) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(NexmarkSource::new(table, columns)?))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(Error::invalid(format!("table `{}`: 'nexmark' can only be read", table.name)))
    }
}

#[derive(Clone, Debug)]
struct NexmarkSource {
    table: Table,
    /// Number of events; `None` for an endless table.
    events: Option<u64>,
    /// Events in a second of event time.
    rate: u64,
    schema: SchemaRef,
    columns: Vec<Column>,
}

impl NexmarkSource {
    fn new(table: &TableSpec, columns: &[usize]) -> Result<NexmarkSource> {
        let options = &table.options;
        options.only(&OPTIONS)?;
        let which = table_of(options)?;
        let rate = options.number("nexmark.rate")?.unwrap_or(RATE);
        if rate == 0 {
            return Err(Error::invalid("option 'nexmark.rate' must be above 0"));
        }
        let schema = Arc::new(table.schema.project(columns)?);
        let columns = schema.fields().iter().map(|field| {
            let known = which.columns();
            let found = known.iter().find(|column| column.name == field.name());
            let Some(column) = found else {
                let names: Vec<&str> = known.iter().map(|column| column.name).collect();
                let error = Error::invalid(format!("'nexmark' has no column `{}`", field.name()));
                return Err(match nearest(field.name(), &names) {
                    Some(near) => error.remedy(format!("did you mean `{near}`?")),
                    None => error.remedy(format!("its columns: {}", names.join(", "))),
                });
            };
            if column.fits(field.data_type()) {
                return Ok(*column);
            }
            let kind = match column.kind {
                Kind::Number => "BIGINT",
                Kind::Text => "STRING",
                Kind::Time => "TIMESTAMP(3)",
            };
            Err(Error::invalid(format!("column `{}` of 'nexmark' is a {kind}", field.name())))
        });
        let columns = columns.collect::<Result<_>>()?;
        Ok(NexmarkSource {
            table: which,
            events: options.number("nexmark.events")?,
            rate,
            schema,
            columns,
        })
    }
}

fn table_of(options: &Options) -> Result<Table> {
    match options.get("nexmark.table").unwrap_or("bid") {
        "bid" => Ok(Table::Bid),
        "auction" => Ok(Table::Auction),
        "person" => Ok(Table::Person),
        other => Err(Error::invalid(format!("option 'nexmark.table' is '{other}'"))
            .remedy("it can be bid, auction or person")),
    }
}

#[async_trait]
impl Source for NexmarkSource {
    fn connector(&self) -> &str {
        "nexmark"
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn is_bounded(&self) -> bool {
        self.events.is_some()
    }

    async fn enumerate(&self, known: &[Split]) -> Result<Discovery> {
        // An endless table is one split: a manifest would have to list ever more of them.
        let events = self.events.unwrap_or(u64::MAX);
        let step = if self.events.is_some() { SPLIT_EVENTS } else { u64::MAX };
        let starts = (0..events.div_ceil(step)).map(|number| number * step);
        let splits = starts.map(|from| Split {
            id: SplitId(format!("events {from}")),
            sequence: "events".to_owned(),
            payload: format!("{from} {}", events.min(from.saturating_add(step))),
        });
        let splits = if known.is_empty() { splits.collect() } else { Vec::new() };
        Ok(Discovery { splits, again: None })
    }

    async fn reader(&self, split: &Split, from: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        let numbers = split.payload.split_once(' ');
        let numbers = numbers.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        let saved = from.map(|offset| offset.0.parse().ok());
        match (numbers, saved) {
            (Some((start, to)), None | Some(Some(_))) => {
                let at = saved.flatten().unwrap_or(start);
                Ok(Box::new(NexmarkReader { source: self.clone(), at, to }))
            }
            _ => Err(Error::state(format!("split `{}` has a damaged offset", split.id))),
        }
    }
}

struct NexmarkReader {
    source: NexmarkSource,
    at: u64,
    to: u64,
}

#[async_trait]
impl SplitReader for NexmarkReader {
    async fn next(&mut self) -> Result<Option<SourceBatch>> {
        if self.at >= self.to {
            return Ok(None);
        }
        let NexmarkSource { table, rate, schema, columns, .. } = &self.source;
        let until = self.to.min(self.at.saturating_add(BATCH_EVENTS));
        let events = table.events(self.at, until);
        let made = columns.iter().zip(schema.fields());
        let made = made.map(|(column, field)| column.make(&events, *rate, field.data_type()));
        let made = made.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(events.len()));
        let rows = RecordBatch::try_new_with_options(schema.clone(), made, &options)?;
        self.at = until;
        let (bytes, next) = (size::batch_bytes(&rows), Offset(until.to_string()));
        Ok(Some(SourceBatch { rows: Change::append(rows), bad: Vec::new(), next, bytes }))
    }
}

#[cfg(test)]
mod tests;
