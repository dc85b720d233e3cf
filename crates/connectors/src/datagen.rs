//! `'connector' = 'datagen'`: rows made up, with the options of Flink's connector of that name.
//!
//! | Option | Meaning |
//! |---|---|
//! | `rows-per-second` | how fast, 10,000 unless said |
//! | `number-of-rows` | how many; endless unless said or a sequence ends |
//! | `fields.NAME.kind` | `random` (unless said) or `sequence` |
//! | `fields.NAME.min`, `.max` | bounds of a random number, both included |
//! | `fields.NAME.length` | characters of a random text, 100 unless said |
//! | `fields.NAME.max-past` | how long before the start of the job a random time may lie |
//! | `fields.NAME.null-rate` | share of NULLs |
//! | `fields.NAME.start`, `.end` | bounds of a sequence, both included |
//!
//! Invariant: a row depends on its number, its column's options and the time at which the job
//! began, which stands in its checkpoints: reading again gives the same rows.

mod field;

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use field::Field;
use thalweg_plan::connector::{Connector, TableSpec};
use thalweg_plan::sink::Sink;
use thalweg_plan::source::{Discovery, Offset, Replay, Source, SourceBatch, Split, SplitReader};
use thalweg_types::clock::{Clock, SystemClock};
use thalweg_types::{Change, Error, Result, SplitId, size};

/// Rows in a second unless something else is said, as in Flink.
const ROWS_PER_SECOND: u64 = 10_000;
/// Rows in a batch at most.
const BATCH_ROWS: u64 = 8192;
/// Batches in a second at least, so that slow rows come evenly.
const BATCHES_PER_SECOND: u64 = 50;

/// The connector.
#[derive(Clone, Copy, Debug)]
pub struct Datagen;

/// Options of the table; those of its columns are named after them.
const OPTIONS: [&str; 3] = ["connector", "rows-per-second", "number-of-rows"];

impl Connector for Datagen {
    fn name(&self) -> &'static str {
        "datagen"
    }

    fn options(&self) -> Vec<&'static str> {
        OPTIONS.to_vec()
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        let all: Vec<usize> = (0..table.schema.fields().len()).collect();
        DatagenSource::new(table, &all).map(|_| ())
    }

    fn source(&self, table: &TableSpec, columns: &[usize]) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(DatagenSource::new(table, columns)?))
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Err(Error::invalid(format!("table `{}`: 'datagen' can only be read", table.name)))
    }
}

#[derive(Clone, Debug)]
struct DatagenSource {
    rows_per_second: u64,
    /// Number of rows; `None` for an endless table.
    rows: Option<u64>,
    schema: SchemaRef,
    fields: Vec<Field>,
}

impl DatagenSource {
    fn new(table: &TableSpec, columns: &[usize]) -> Result<DatagenSource> {
        let options = &table.options;
        let names: Vec<&str> = table.schema.fields().iter().map(|f| f.name().as_str()).collect();
        let mut known = OPTIONS.map(str::to_owned).to_vec();
        known.extend(names.iter().flat_map(|name| field::options_of(name)));
        options.only(&known.iter().map(String::as_str).collect::<Vec<_>>())?;
        let rows_per_second = options.number("rows-per-second")?.unwrap_or(ROWS_PER_SECOND);
        if rows_per_second == 0 {
            return Err(Error::invalid("option 'rows-per-second' must be above 0"));
        }
        let all = table.schema.fields().iter().enumerate();
        let all = all.map(|(place, field)| Field::new(options, field, place));
        let all = all.collect::<Result<Vec<Field>>>()?;
        let sequences = all.iter().filter_map(Field::rows);
        Ok(DatagenSource {
            rows_per_second,
            rows: sequences.chain(options.number("number-of-rows")?).min(),
            schema: Arc::new(table.schema.project(columns)?),
            fields: columns.iter().map(|column| all[*column].clone()).collect(),
        })
    }
}

#[async_trait]
impl Source for DatagenSource {
    fn connector(&self) -> &str {
        "datagen"
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn is_bounded(&self) -> bool {
        self.rows.is_some()
    }

    async fn enumerate(&self, known: &[Split]) -> Result<Discovery> {
        let split = || Split {
            id: SplitId("rows".to_owned()),
            sequence: "rows".to_owned(),
            // When the job began, in milliseconds since 1970.
            payload: (SystemClock.now().0 / 1_000_000).to_string(),
        };
        let splits = if known.is_empty() { vec![split()] } else { Vec::new() };
        Ok(Discovery { splits, again: None })
    }

    async fn reader(&self, split: &Split, from: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        let at = from.map_or(Ok(0), |offset| offset.0.parse());
        let (Ok(began_ms), Ok(at)) = (split.payload.parse(), at) else {
            return Err(Error::state(format!("split `{}` has a damaged offset", split.id)));
        };
        let source = self.clone();
        Ok(Box::new(DatagenReader { source, began_ms, at, first: at, since: Instant::now() }))
    }
}

struct DatagenReader {
    source: DatagenSource,
    began_ms: i64,
    /// The next row.
    at: u64,
    /// The first row of this reader, and when it was due.
    first: u64,
    since: Instant,
}

#[async_trait]
impl SplitReader for DatagenReader {
    async fn next(&mut self) -> Result<Option<SourceBatch>> {
        let DatagenSource { rows_per_second, rows, schema, fields } = &self.source;
        if rows.is_some_and(|rows| self.at >= rows) {
            return Ok(None);
        }
        let step = (rows_per_second / BATCHES_PER_SECOND).clamp(1, BATCH_ROWS);
        let until = self.at.saturating_add(step).min(rows.unwrap_or(u64::MAX));
        let made = fields.iter().map(|field| field.make(self.at..until, self.began_ms));
        let made = made.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some((until - self.at) as usize));
        let rows = RecordBatch::try_new_with_options(schema.clone(), made, &options)?;
        let due = (self.at - self.first) as f64 / *rows_per_second as f64;
        // Dropping the wait loses nothing: the row is counted behind it.
        tokio::time::sleep_until((self.since + Duration::from_secs_f64(due)).into()).await;
        self.at = until;
        let (bytes, next) = (size::batch_bytes(&rows), Offset(until.to_string()));
        Ok(Some(SourceBatch { rows: Change::append(rows), bad: Vec::new(), next, bytes }))
    }
}

#[cfg(test)]
mod tests;
