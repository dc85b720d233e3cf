//! `'connector' = 'filesystem'`: files, folders and globs, on the local disk or in a bucket.
//!
//! Invariants: a file is cut into ranges that do not depend on the number of workers; reading on
//! from an offset is refused if the file is not the one that the offset was taken from; what a
//! writer stages is hidden until it is committed.

mod store;

mod partition;

mod input;
mod natural;

mod listing;

mod constant;

mod growth;

mod parquet;

pub mod sample;

mod part;

mod sink;
mod source;

use std::sync::Arc;

use arrow::datatypes::Field;
use thalweg_plan::connector::{Connector, Options, TableSpec};
use thalweg_plan::sink::Sink;
use thalweg_plan::source::{Changes, Source};
use thalweg_types::{Error, Result};

use self::listing::Listing;
use self::partition::Partitions;
use crate::formats;
use crate::formats::file::Format;

const OPTIONS: [&str; 15] = [
    "connector",
    "path",
    "format",
    "scan.order",
    "scan.range-size",
    "source.monitor-interval",
    "sink.rolling-policy.file-size",
    "sink.rolling-policy.rollover-interval",
    "sink.rolling-policy.checkpoint-interval",
    "sink.rolling-policy.check-interval",
    sink::INACTIVITY,
    "source.report-statistics",
    AUTO_COMPACTION,
    listing::PATTERN,
    partition::DEFAULT_NAME,
];

/// Merges small files in Flink.
const AUTO_COMPACTION: &str = "auto-compaction";
/// Beginnings of options that are Flink's, and why they are not obeyed.
const REFUSED: [(&str, &str); 3] = [
    ("sink.partition-commit.", "rows of a partition are seen as soon as a checkpoint covers them"),
    ("partition.time-extractor.", "partitions are not committed by their time"),
    ("compaction.", "files are not merged"),
];

/// The connector.
#[derive(Clone, Copy, Debug)]
pub struct Filesystem;

impl Connector for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn metadata(&self, options: &Options) -> Vec<Field> {
        constant::metadata().into_iter().chain(formats::metadata(options)).collect()
    }

    fn has_partitions(&self) -> bool {
        true
    }

    fn changes(&self, table: &TableSpec) -> Changes {
        formats::changes(&table.options)
    }

    fn options(&self) -> Vec<&'static str> {
        formats::with_options(&OPTIONS)
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        let options = &table.options;
        refuse(options)?;
        formats::check_options(options, &OPTIONS)?;
        options.duration("sink.rolling-policy.rollover-interval")?;
        // Parts are looked at whenever a checkpoint is made.
        options.duration("sink.rolling-policy.check-interval")?;
        options.duration(sink::INACTIVITY)?;
        options.bytes("sink.rolling-policy.file-size")?;
        options.bytes("scan.range-size")?;
        options.duration("sink.rolling-policy.checkpoint-interval")?;
        Listing::of(table)?;
        formats::accepts(table)?;
        let in_files = in_files(table)?;
        let written = Format::of(&in_files).map(|_| ());
        if formats::of(options)? == "parquet" {
            return written;
        }
        // A format that can neither be read nor written is wrong whatever the table is used for.
        let columns: Vec<usize> = (0..in_files.schema.fields().len()).collect();
        let read = formats::decoder(&in_files, &columns).map(|_| ());
        if written.is_ok() { Ok(()) } else { read }
    }

    fn source(&self, table: &TableSpec, columns: &[usize]) -> Result<Arc<dyn Source>> {
        Ok(match formats::of(&table.options)? {
            "parquet" => Arc::new(parquet::ParquetSource::new(table, columns)?),
            _ => Arc::new(source::FileSource::new(table, columns)?),
        })
    }

    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>> {
        Ok(Arc::new(sink::FileSink::new(table)?))
    }
}

/// Refuses what Flink has and is not here.
fn refuse(options: &Options) -> Result<()> {
    for (key, value) in &options.0 {
        if let Some((_, why)) = REFUSED.iter().find(|(prefix, _)| key.starts_with(prefix)) {
            return Err(Error::invalid(format!("option '{key}' is not supported: {why}"))
                .remedy("leave it out"));
        }
        if key == "source.report-statistics" && !matches!(value.as_str(), "NONE" | "ALL") {
            return Err(Error::invalid(format!(
                "option '{key}' is neither NONE nor ALL: '{value}'"
            )));
        }
    }
    match options.flag(AUTO_COMPACTION)? {
        Some(true) => {
            let message =
                format!("option '{AUTO_COMPACTION}' is not supported: files are not merged");
            Err(Error::invalid(message).remedy(
                "make larger files by 'sink.rolling-policy.file-size' and '….rollover-interval'",
            ))
        }
        _ => Ok(()),
    }
}

/// Returns a table of those columns that stand in its files.
fn in_files(table: &TableSpec) -> Result<TableSpec> {
    let columns = Partitions::of(table)?.in_files(&table.schema);
    let schema = Arc::new(table.schema.project(&columns)?);
    let is_in = |column: &String| schema.column_with_name(column).is_some();
    let primary_key = table.primary_key.iter().filter(|column| is_in(column)).cloned().collect();
    Ok(TableSpec { schema, primary_key, partitions: Vec::new(), ..table.clone() })
}

#[cfg(test)]
mod tests;
