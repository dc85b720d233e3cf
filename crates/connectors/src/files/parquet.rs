//! Reads Parquet files, each from its first row to its last; only the columns that are needed.
//!
//! Invariants: an offset is a number of rows, so reading on gives the same rows; a file whose size
//! changed since it was found is refused by name.

use std::io::BufReader;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::reader::{ChunkReader, Length};
use serde::{Deserialize, Serialize};
use thalweg_plan::connector::TableSpec;
use thalweg_plan::function::Transform;
use thalweg_plan::source::{Discovery, Offset, Replay, Source, SourceBatch, Split, SplitReader};
use thalweg_types::{Change, Error, Result, SplitId, size};

use super::constant::Constants;
use super::listing::{Listing, Seen};
use super::store::Raw;

/// Rows in a batch.
const BATCH_ROWS: usize = 8192;

/// A table of Parquet files.
#[derive(Clone, Debug)]
pub(super) struct ParquetSource {
    listing: Listing,
    constants: Constants,
    /// The columns of a file that are asked for.
    schema: SchemaRef,
}

/// A file as it was found; stored in manifests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Found {
    path: String,
    bytes: u64,
    /// What was seen of the file, if the table asks for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seen: Option<Seen>,
}

impl ParquetSource {
    pub(super) fn new(table: &TableSpec, columns: &[usize]) -> Result<ParquetSource> {
        let (constants, columns) = Constants::of(table, columns)?;
        let schema = Arc::new(super::in_files(table)?.schema.project(&columns)?);
        Ok(ParquetSource { listing: Listing::of(table)?, constants, schema })
    }
}

#[async_trait]
impl Source for ParquetSource {
    fn connector(&self) -> &str {
        "filesystem"
    }

    fn schema(&self) -> SchemaRef {
        self.constants.schema().clone()
    }

    fn replay(&self) -> Replay {
        Replay::Exact
    }

    fn is_bounded(&self) -> bool {
        self.listing.monitor.is_none()
    }

    fn pruned(&self, filter: Arc<dyn Transform>) -> Option<Arc<dyn Source>> {
        let listing = self.listing.pruned(filter)?;
        Some(Arc::new(ParquetSource { listing, ..self.clone() }))
    }

    fn explain(&self) -> Option<String> {
        self.listing.explain()
    }

    async fn enumerate(&self, known: &[Split]) -> Result<Discovery> {
        let mut splits = Vec::new();
        for found in self.listing.files().await? {
            let seen = self.constants.need_seen().then(|| found.seen());
            let (path, bytes) = (found.path, found.bytes);
            match known.iter().find(|split| split.sequence == path) {
                Some(split) => check(split, bytes).map(|_| ())?,
                None => splits.push(Split {
                    id: SplitId(path.clone()),
                    sequence: path.clone(),
                    payload: serde_json::to_string(&Found { path, bytes, seen })
                        .map_err(|error| Error::internal(error.to_string()))?,
                }),
            }
        }
        Ok(Discovery { splits, again: self.listing.monitor })
    }

    async fn reader(&self, split: &Split, from: Option<&Offset>) -> Result<Box<dyn SplitReader>> {
        let path = &split.sequence;
        let file = self.listing.store.open(path).await?;
        let seen = check(split, file.stored())?;
        let at: u64 = from.map_or(Ok(0), |offset| offset.0.parse()).map_err(|error| {
            Error::state(format!("offset of file `{path}` cannot be read: {error}"))
        })?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file);
        let builder = builder.map_err(|error| damaged(path, &error))?;
        let roots = self.schema.fields().iter().map(|field| {
            let found = builder.schema().index_of(field.name());
            found
                .map_err(|_| Error::data(format!("file `{path}` has no column `{}`", field.name())))
        });
        let roots = roots.collect::<Result<Vec<usize>>>()?;
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let rows = builder.with_batch_size(BATCH_ROWS).with_projection(mask);
        let rows = rows.with_offset(usize::try_from(at).unwrap_or(usize::MAX)).build();
        let rows = rows.map_err(|error| damaged(path, &error))?;
        let (schema, path) = (self.schema.clone(), path.clone());
        let reader = ParquetReader { path: path.clone(), schema, rows, at };
        self.constants.around(Box::new(reader), &path, seen)
    }
}

/// Checks that a file is as long as it was when it was found; returns what else was seen of it.
fn check(split: &Split, bytes: u64) -> Result<Option<Seen>> {
    let found: Found = serde_json::from_str(&split.payload)
        .map_err(|error| Error::state(format!("split `{}` cannot be read: {error}", split.id)))?;
    match found.bytes == bytes {
        true => Ok(found.seen),
        false => Err(Error::state(format!(
            "file `{}` changed: it had {} bytes and has {bytes}",
            found.path, found.bytes
        ))
        .remedy("restore the file, or begin anew with --fresh")),
    }
}

impl Length for Raw {
    fn len(&self) -> u64 {
        self.stored()
    }
}

impl ChunkReader for Raw {
    type T = BufReader<Raw>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<BufReader<Raw>> {
        Ok(BufReader::new(self.again(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        Ok(self.at(start, length)?)
    }
}

fn damaged(path: &str, error: &dyn std::fmt::Display) -> Error {
    Error::failed(format!("cannot read `{path}` as Parquet: {error}"))
}

struct ParquetReader {
    path: String,
    schema: SchemaRef,
    rows: ParquetRecordBatchReader,
    /// Rows before the next one.
    at: u64,
}

impl ParquetReader {
    /// Gives a column of the file the declared type.
    fn column(&self, rows: &RecordBatch, index: usize) -> Result<ArrayRef> {
        let field = self.schema.field(index);
        let name = field.name();
        let column = rows.column_by_name(name);
        let column = column.ok_or_else(|| damaged(&self.path, &format!("no column `{name}`")))?;
        let strict = CastOptions { safe: false, ..CastOptions::default() };
        let column = cast_with_options(column, field.data_type(), &strict).map_err(|error| {
            let (path, found) = (&self.path, column.data_type());
            Error::data(format!(
                "column `{name}` of file `{path}`, a {found}, does not fit: {error}"
            ))
        })?;
        match column.null_count() > 0 && !field.is_nullable() {
            true => Err(Error::data(format!(
                "column `{name}` of file `{}` holds NULL and is declared NOT NULL",
                self.path
            ))),
            false => Ok(column),
        }
    }
}

#[async_trait]
impl SplitReader for ParquetReader {
    async fn next(&mut self) -> Result<Option<SourceBatch>> {
        let Some(rows) = self.rows.next() else { return Ok(None) };
        let rows = rows.map_err(|error| damaged(&self.path, &error))?;
        let columns = (0..self.schema.fields().len()).map(|index| self.column(&rows, index));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        self.at += rows.num_rows() as u64;
        let (bytes, next) = (size::batch_bytes(&rows), Offset(self.at.to_string()));
        Ok(Some(SourceBatch { rows: Change::append(rows), bad: Vec::new(), next, bytes }))
    }
}

#[cfg(test)]
mod tests;
