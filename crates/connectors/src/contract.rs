//! What every connector must do, whatever it connects: one suite for all sources, one for all
//! sinks. A new connector, format or store adds a case, not a test.

mod sinks;
mod sources;

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringViewArray, TimestampMillisecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use thalweg_plan::connector::{Connector, Options, TableSpec};
use thalweg_plan::source::{Offset, Source, SourceBatch, Split};
use thalweg_types::Result;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

fn block<T>(future: impl Future<Output = T>) -> T {
    RUNTIME.block_on(future)
}

/// A table of some connector.
struct Case {
    connector: Arc<dyn Connector>,
    spec: TableSpec,
}

impl Case {
    fn new(
        connector: impl Connector + 'static,
        schema: SchemaRef,
        options: &[(&str, &str)],
    ) -> Case {
        let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let name = ("connector".to_owned(), connector.name().to_owned());
        let spec = keyed(schema, Options(options.chain([name]).collect()));
        connector.validate(&spec).unwrap();
        Case { connector: Arc::new(connector), spec }
    }

    /// Returns the same table, cut into partitions by two columns.
    fn partitioned(mut self) -> Case {
        self.spec.partitions = vec!["day".to_owned(), "flag".to_owned()];
        self.connector.validate(&self.spec).unwrap();
        self
    }

    fn name(&self) -> String {
        format!("{:?} {:?}", self.spec.partitions, self.spec.options.0)
    }

    fn all_columns(&self) -> Vec<usize> {
        (0..self.spec.schema.fields().len()).collect()
    }

    fn source(&self, columns: &[usize]) -> Arc<dyn Source> {
        self.connector.source(&self.spec, columns).unwrap()
    }
}

fn read(
    source: &Arc<dyn Source>,
    split: &Split,
    from: Option<&Offset>,
) -> Result<Vec<SourceBatch>> {
    block(async {
        let mut reader = source.reader(split, from).await?;
        let mut batches = Vec::new();
        while let Some(batch) = reader.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    })
}

fn rows_of(schema: &SchemaRef, batches: &[SourceBatch]) -> RecordBatch {
    concat_batches(schema, batches.iter().map(|batch| &batch.rows.rows)).unwrap()
}

/// Reads all splits, each from its start.
fn read_all(source: &Arc<dyn Source>) -> RecordBatch {
    let splits = block(source.enumerate(&[])).unwrap().splits;
    let batches: Vec<_> =
        splits.iter().flat_map(|split| read(source, split, None).unwrap()).collect();
    rows_of(&source.schema(), &batches)
}

/// Rows with everything that is difficult: NULLs, quotes, line feeds, the ends of ranges.
fn rows(from: i64, to: i64) -> RecordBatch {
    const TEXTS: [Option<&str>; 7] = [
        Some("plain"),
        None,
        Some(""),
        Some("a, \"b\"\nc"),
        Some("ü\\\t"),
        Some("NULL"),
        Some(" "),
    ];
    let ids = from..to;
    let some = |n: i64, every: i64| n % every > 0;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(ids.clone()))),
        ("text", Arc::new(ids.clone().map(|n| TEXTS[n as usize % 7]).collect::<StringViewArray>())),
        (
            "x",
            Arc::new(
                ids.clone().map(|n| some(n, 5).then_some(n as f64 / 7.0)).collect::<Float64Array>(),
            ),
        ),
        (
            "flag",
            Arc::new(
                ids.clone().map(|n| some(n, 4).then_some(n % 2 == 0)).collect::<BooleanArray>(),
            ),
        ),
        (
            "day",
            Arc::new(
                ids.clone().map(|n| some(n, 3).then_some(n as i32 - 40)).collect::<Date32Array>(),
            ),
        ),
        (
            "at",
            Arc::new(
                ids.clone()
                    .map(|n| some(n, 6).then_some(n * 1001 - 9))
                    .collect::<TimestampMillisecondArray>(),
            ),
        ),
        (
            "price",
            Arc::new(
                ids.map(|n| some(n, 8).then_some(i128::from(n) * 37 - 999))
                    .collect::<Decimal128Array>()
                    .with_precision_and_scale(12, 2)
                    .unwrap(),
            ),
        ),
    ];
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

/// Formats that hold every column of [`rows`], with the options that they need for it.
const FORMATS: [&[(&str, &str)]; 8] = [
    &[("format", "json")],
    &[("format", "csv"), ("csv.null-literal", "\\N")],
    &[("format", "debezium-json")],
    &[("format", "canal-json")],
    &[("format", "maxwell-json")],
    &[("format", "upsert-json"), ("upsert-json.value.fields-include", "EXCEPT_KEY")],
    &[("format", "parquet")],
    &[("format", "parquet"), ("parquet.compression", "zstd")],
];

/// Returns a table with a key, if it has the columns for one.
fn keyed(schema: SchemaRef, options: Options) -> TableSpec {
    let key = ["id", "flag", "day"].into_iter().filter(|name| schema.index_of(name).is_ok());
    let primary_key = key.map(str::to_owned).collect();
    TableSpec { primary_key, ..TableSpec::new("t", schema, options) }
}

/// Returns the places where files can be: a directory, and a folder of a bucket if there is a
/// server, which the gate starts.
fn places(folder: &tempfile::TempDir) -> Vec<String> {
    let local = folder.path().join("files").to_str().unwrap().to_owned();
    let bucket = std::env::var("THALWEG_TEST_S3").ok().map(|bucket| {
        let folder = folder.path().file_name().unwrap().to_str().unwrap();
        format!("{bucket}/contract-{}-{folder}/", std::process::id())
    });
    [Some(local), bucket].into_iter().flatten().collect()
}
