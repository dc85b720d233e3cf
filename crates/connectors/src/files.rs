//! `'connector' = 'filesystem'`: files, folders and globs, on the local disk or in a bucket.
//!
//! Invariants: a file is cut into ranges that do not depend on the number of workers; reading on
//! from an offset is refused if the file is not the one that the offset was taken from; what a
//! writer stages is hidden until it is committed.

mod store;

mod input;
mod listing;

mod growth;

mod parquet;

pub mod sample;

mod part;

mod sink;
mod source;

use std::sync::Arc;

use thalweg_plan::connector::{Connector, TableSpec};
use thalweg_plan::sink::Sink;
use thalweg_plan::source::Source;
use thalweg_types::Result;

use self::store::Store;
use crate::formats;
use crate::formats::file::Format;

const OPTIONS: [&str; 10] = [
    "connector",
    "path",
    "format",
    "scan.order",
    "scan.range-size",
    "source.monitor-interval",
    "sink.rolling-policy.file-size",
    "sink.rolling-policy.rollover-interval",
    "sink.rolling-policy.checkpoint-interval",
    formats::file::PARQUET_COMPRESSION,
];

/// The connector.
#[derive(Clone, Copy, Debug)]
pub struct Filesystem;

impl Connector for Filesystem {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn options(&self) -> Vec<&'static str> {
        [&OPTIONS[..], &formats::csv::OPTIONS].concat()
    }

    fn validate(&self, table: &TableSpec) -> Result<()> {
        let options = &table.options;
        options.only(&self.options())?;
        Store::of(options.required("path")?)?;
        options.duration("source.monitor-interval")?;
        options.duration("sink.rolling-policy.rollover-interval")?;
        options.bytes("sink.rolling-policy.file-size")?;
        options.bytes("scan.range-size")?;
        listing::Order::of(options)?;
        options.duration("sink.rolling-policy.checkpoint-interval")?;
        let written = Format::of(options, &table.schema).map(|_| ());
        if formats::of(options)? == "parquet" {
            return written;
        }
        // A format that can neither be read nor written is wrong whatever the table is used for.
        let columns: Vec<usize> = (0..table.schema.fields().len()).collect();
        let read = formats::decoder(options, &table.schema, &columns).map(|_| ());
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

#[cfg(test)]
mod tests;
