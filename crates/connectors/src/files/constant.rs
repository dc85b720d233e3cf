//! Columns that are the same in all rows of a file: its partition, its path, its size.
//!
//! Invariant: such a column is made only if it is asked for, and is one value that all rows of a
//! batch point to.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray,
    TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use async_trait::async_trait;
use thalweg_plan::connector::TableSpec;
use thalweg_plan::source::{SourceBatch, SplitReader};
use thalweg_types::{Change, Result};

use super::listing::Seen;
use super::partition::Partitions;
use super::store;
use crate::formats;

/// What is known of a file beside its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact {
    Path,
    Name,
    Size,
    Modified,
}

const FACTS: [(&str, Fact); 4] = [
    ("file.path", Fact::Path),
    ("file.name", Fact::Name),
    ("file.size", Fact::Size),
    ("file.modification-time", Fact::Modified),
];

/// Returns the metadata of files.
pub(super) fn metadata() -> Vec<Field> {
    FACTS.iter().map(|(key, fact)| Field::new(*key, fact.kind(), false)).collect()
}

impl Fact {
    fn kind(self) -> DataType {
        match self {
            Fact::Path | Fact::Name => DataType::Utf8View,
            Fact::Size => DataType::Int64,
            Fact::Modified => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        }
    }

    /// Returns the fact of a file, as one value.
    fn value(self, path: &str, seen: Seen) -> Result<ArrayRef> {
        Ok(match self {
            Fact::Path => Arc::new(StringViewArray::from_iter_values([store::absolute(path)?])),
            Fact::Name => {
                let name = path.rsplit('/').next().unwrap_or(path);
                Arc::new(StringViewArray::from_iter_values([name]))
            }
            Fact::Size => Arc::new(Int64Array::from(vec![seen.bytes as i64])),
            Fact::Modified => {
                let time = TimestampMillisecondArray::from(vec![seen.modified_ms]);
                Arc::new(time.with_timezone("UTC"))
            }
        })
    }
}

/// Where a column of a source comes from.
#[derive(Clone, Copy, Debug)]
enum Origin {
    /// A column of what a file's reader hands over.
    File(usize),
    /// A column of the partition.
    Partition(usize),
    Fact(Fact),
}

/// Which columns of a source stand in its files, and which do not.
#[derive(Clone, Debug)]
pub(super) struct Constants {
    partitions: Partitions,
    origins: Vec<Origin>,
    schema: SchemaRef,
}

impl Constants {
    /// Tells `columns` of a table apart; returns also those of its columns in files that are
    /// asked for.
    ///
    /// # Errors
    /// `Invalid` if a column cannot name a folder.
    pub(super) fn of(table: &TableSpec, columns: &[usize]) -> Result<(Constants, Vec<usize>)> {
        let partitions = Partitions::of(table)?;
        let in_files = partitions.in_files(&table.schema);
        let physical = table.schema.fields().len();
        let (mut origins, mut asked) = (Vec::new(), Vec::new());
        for column in columns {
            let key = partitions.keys().iter().position(|key| key == column);
            origins.push(match key {
                Some(key) => Origin::Partition(key),
                None if *column >= physical => {
                    let place = column - physical;
                    let key = &table.metadata[place].key;
                    match FACTS.iter().find(|(known, _)| known == key) {
                        Some((_, fact)) => Origin::Fact(*fact),
                        // The format knows it.
                        None => {
                            asked.push(in_files.len() + place);
                            Origin::File(asked.len() - 1)
                        }
                    }
                }
                None => {
                    asked.extend(in_files.iter().position(|place| place == column));
                    Origin::File(asked.len() - 1)
                }
            });
        }
        let schema = Arc::new(formats::readable(table)?.project(columns)?);
        Ok((Constants { partitions, origins, schema }, asked))
    }

    /// Returns the schema of rows with constants.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Is something asked for that must be seen while the files are listed?
    pub(super) fn need_seen(&self) -> bool {
        let is_seen = |o: &Origin| matches!(o, Origin::Fact(Fact::Size | Fact::Modified));
        self.origins.iter().any(is_seen)
    }

    /// Adds what is known of the file at `path` to the rows of its reader.
    ///
    /// # Errors
    /// `Data` if a folder's name is no value of its column.
    pub(super) fn around(
        &self,
        reader: Box<dyn SplitReader>,
        path: &str,
        seen: Option<Seen>,
    ) -> Result<Box<dyn SplitReader>> {
        if self.origins.iter().all(|origin| matches!(origin, Origin::File(_))) {
            return Ok(reader);
        }
        let partition = self.partitions.values(path)?;
        let columns = self.origins.iter().map(|origin| {
            Ok(match origin {
                Origin::File(column) => Column::File(*column),
                Origin::Partition(key) => Column::Constant(partition.column(*key).clone()),
                Origin::Fact(fact) => Column::Constant(fact.value(path, seen.unwrap_or_default())?),
            })
        });
        let columns = columns.collect::<Result<_>>()?;
        Ok(Box::new(Reader { reader, columns, schema: self.schema.clone() }))
    }
}

enum Column {
    File(usize),
    /// One value.
    Constant(ArrayRef),
}

/// A reader of a file, and what is known of the file.
struct Reader {
    reader: Box<dyn SplitReader>,
    columns: Vec<Column>,
    schema: SchemaRef,
}

#[async_trait]
impl SplitReader for Reader {
    async fn next(&mut self) -> Result<Option<SourceBatch>> {
        let Some(batch) = self.reader.next().await? else { return Ok(None) };
        let Change { rows, weights } = batch.rows;
        let count = rows.num_rows();
        let first = UInt32Array::from(vec![0; count]);
        let columns = self.columns.iter().map(|column| match column {
            Column::File(column) => Ok(rows.column(*column).clone()),
            Column::Constant(value) => Ok(take(value, &first, None)?),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        Ok(Some(SourceBatch { rows: Change { rows, weights }, ..batch }))
    }
}
