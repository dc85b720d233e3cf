//! Writes Apache Parquet, so that a file can be ended wherever its rows were cut.
//!
//! A cut ends a row group. The footer of a file is a list of its row groups, so what would end the
//! file after each of them is known there and then. Page indexes stand behind the last row group
//! and are left out.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter, add_encoded_arrow_schema_to_metadata};
use parquet::basic;
use parquet::errors::ParquetError;
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataWriter};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::SchemaDescPtr;
use thalweg_plan::connector::{Options, nearest};
use thalweg_types::{Change, Error, Result};

use super::FileEncoder;

/// Bytes of rows gathered before a row group is ended between two cuts.
const ROW_GROUP_BYTES: usize = 64 << 20;
/// The option that says how pages are packed.
const COMPRESSION: &str = "parquet.compression";
/// The option that asks for times in UTC, which they are in any case.
const UTC: &str = "parquet.utc-timezone";
/// Options of the format.
pub(super) const OPTIONS: [&str; 2] = [COMPRESSION, UTC];

/// How pages are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    Uncompressed,
    /// Quickly.
    #[default]
    Snappy,
    /// Well.
    Zstd,
}

impl Compression {
    /// Returns what a table asks for.
    ///
    /// # Errors
    /// `Invalid` if it is unknown.
    pub fn of(options: &Options) -> Result<Compression> {
        options.flag(UTC)?;
        let Some(name) = options.get(COMPRESSION) else { return Ok(Compression::default()) };
        match name.to_ascii_uppercase().as_str() {
            "UNCOMPRESSED" => Ok(Compression::Uncompressed),
            "SNAPPY" => Ok(Compression::Snappy),
            "ZSTD" => Ok(Compression::Zstd),
            upper => {
                let known = ["UNCOMPRESSED", "SNAPPY", "ZSTD"];
                let error = Error::invalid(format!("option '{COMPRESSION}' cannot be '{name}'"));
                Err(error.remedy(match nearest(upper, &known) {
                    Some(near) => format!("did you mean '{near}'?"),
                    None => format!("known: {}", known.join(", ")),
                }))
            }
        }
    }

    fn codec(self) -> basic::Compression {
        match self {
            Compression::Uncompressed => basic::Compression::UNCOMPRESSED,
            Compression::Snappy => basic::Compression::SNAPPY,
            Compression::Zstd => basic::Compression::ZSTD(basic::ZstdLevel::default()),
        }
    }
}

/// Writes one file.
pub(super) struct ParquetEncoder {
    writer: ArrowWriter<Vec<u8>>,
    schema: SchemaDescPtr,
    properties: WriterProperties,
}

fn failed(error: &ParquetError) -> Error {
    Error::internal(format!("rows cannot be written as Parquet: {error}"))
}

impl ParquetEncoder {
    pub(super) fn new(schema: SchemaRef, compression: Compression) -> Result<ParquetEncoder> {
        let mut properties = WriterProperties::builder()
            .set_compression(compression.codec())
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_created_by(concat!("thalweg ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let refused = |error: ParquetError| {
            Error::invalid(format!("format 'parquet' cannot hold it: {error}"))
        };
        let descriptor = ArrowSchemaConverter::new().convert(&schema).map_err(refused)?;
        let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties.clone()));
        let writer = writer.map_err(refused)?;
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        Ok(ParquetEncoder { writer, schema: Arc::new(descriptor), properties })
    }

    /// Ends the row group.
    fn flush(&mut self) -> Result<()> {
        self.writer.flush().map_err(|error| failed(&error))?;
        self.writer.sync().map_err(|error| failed(&error.into()))
    }
}

impl FileEncoder for ParquetEncoder {
    fn write(&mut self, change: &Change) -> Result<()> {
        self.writer.write(&change.rows).map_err(|error| failed(&error))?;
        if self.writer.in_progress_size() >= ROW_GROUP_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.writer.inner().len()
    }

    fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.writer.inner_mut())
    }

    fn cut(&mut self) -> Result<Vec<u8>> {
        self.flush()?;
        let groups = self.writer.flushed_row_groups().to_vec();
        let facts = FileMetaData::new(
            self.properties.writer_version().as_num(),
            groups.iter().map(|group| group.num_rows()).sum(),
            Some(self.properties.created_by().to_owned()),
            self.properties.key_value_metadata().cloned(),
            self.schema.clone(),
            None,
        );
        let metadata = ParquetMetaData::new(facts, groups);
        let mut end = Vec::new();
        let written = ParquetMetaDataWriter::new(&mut end, &metadata).finish();
        written.map_err(|error| failed(&error))?;
        Ok(end)
    }
}

#[cfg(test)]
mod tests;
