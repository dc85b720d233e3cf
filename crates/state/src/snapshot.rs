//! Snapshots of one operator's state: written at checkpoints, read at restore.
//!
//! Invariants: each row names its key group; of several versions of a row the newest counts; a
//! snapshot that is not whole is an error of kind `State` and never a panic. The format is stored
//! and has a version: a later program opens what an earlier one wrote.

mod format;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, UInt16Array, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, UInt16Type};
use arrow::row::{OwnedRow, RowConverter, SortField};
use bytes::Bytes;
use thalweg_types::{Error, KeyGroup, KeyGroupRange, KeyGroups, Result, hash};

const KEY_GROUP: &str = "__key_group";
const IS_DELETED: &str = "__deleted";

/// Describes a table of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// Its name, unique in the operator.
    pub name: &'static str,
    /// The first so many columns identify a row.
    pub key: usize,
    /// Columns that decide the key group, all among the key; none for one group in all.
    pub route: Vec<usize>,
}

/// Collects what an operator's state changed.
#[derive(Debug)]
pub struct StateWriter {
    full: bool,
    groups: KeyGroups,
    /// Batches by table: rows with key group and deletion mark, and the number of key columns.
    tables: BTreeMap<&'static str, (usize, Vec<RecordBatch>)>,
    rows: usize,
}

impl StateWriter {
    /// Returns a writer; `full` asks for the whole state rather than for changes.
    pub fn new(full: bool, groups: KeyGroups) -> StateWriter {
        StateWriter { full, groups, tables: BTreeMap::new(), rows: 0 }
    }

    /// Is the whole state asked for?
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Returns the number of rows put or deleted.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds rows; they replace those of the same key.
    ///
    /// # Errors
    /// `Invalid` if a routing column cannot be hashed.
    pub fn put(&mut self, table: &TableSpec, rows: RecordBatch) -> Result<()> {
        self.add(table, rows, false)
    }

    /// Deletes the rows with these keys.
    ///
    /// # Errors
    /// As `put`.
    pub fn delete(&mut self, table: &TableSpec, keys: RecordBatch) -> Result<()> {
        self.add(table, keys, true)
    }

    fn add(&mut self, table: &TableSpec, rows: RecordBatch, is_deleted: bool) -> Result<()> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        debug_assert!(table.route.iter().all(|column| *column < table.key));
        let route: Vec<ArrayRef> = table.route.iter().map(|c| rows.column(*c).clone()).collect();
        let mut hashes = Vec::new();
        hash::hash_rows(&route, rows.num_rows(), &mut hashes)?;
        let groups = hashes.iter().map(|hash| self.groups.group_of(*hash).0);
        let groups = UInt16Array::from_iter_values(groups);
        let deleted = BooleanArray::from(vec![is_deleted; rows.num_rows()]);
        let mut fields = rows.schema().fields().to_vec();
        fields.push(Arc::new(Field::new(KEY_GROUP, DataType::UInt16, false)));
        fields.push(Arc::new(Field::new(IS_DELETED, DataType::Boolean, false)));
        let mut columns = rows.columns().to_vec();
        columns.extend([Arc::new(groups) as ArrayRef, Arc::new(deleted)]);
        self.rows += rows.num_rows();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
        let entry = self.tables.entry(table.name).or_insert((table.key, Vec::new()));
        entry.1.push(batch);
        Ok(())
    }

    /// Returns the bytes of the snapshot; `None` if there is nothing to store.
    ///
    /// # Errors
    /// `Internal` if a column cannot be encoded.
    pub fn finish(self) -> Result<Option<Bytes>> {
        if self.rows == 0 && !self.full {
            return Ok(None);
        }
        format::encode(&self.tables).map(Some)
    }
}

/// Gives the state of some key groups back.
#[derive(Debug, Default)]
pub struct StateReader {
    tables: BTreeMap<String, Vec<RecordBatch>>,
}

impl StateReader {
    /// Returns a reader of nothing.
    pub fn empty() -> StateReader {
        StateReader::default()
    }

    /// Opens snapshots, oldest first, and keeps the rows of `owned` key groups.
    ///
    /// # Errors
    /// `State` if a snapshot is damaged or of a newer version.
    pub fn open(files: Vec<Bytes>, owned: KeyGroupRange) -> Result<StateReader> {
        let mut tables: BTreeMap<String, (usize, Vec<RecordBatch>)> = BTreeMap::new();
        for file in files {
            for (name, key, batches) in format::decode(&file)? {
                let table = tables.entry(name).or_insert((key, Vec::new()));
                for batch in batches {
                    table.1.push(owned_rows(batch, owned)?);
                }
            }
        }
        let newest = |(name, (key, batches))| Ok((name, newest_rows(key, batches)?));
        Ok(StateReader { tables: tables.into_iter().map(newest).collect::<Result<_>>()? })
    }

    /// Returns the rows of a table, without order.
    ///
    /// # Errors
    /// None today; a reader that loads lazily may fail with `State`.
    pub fn table(&self, name: &str) -> Result<Vec<RecordBatch>> {
        Ok(self.tables.get(name).cloned().unwrap_or_default())
    }
}

/// Keeps the rows of the owned key groups.
fn owned_rows(batch: RecordBatch, owned: KeyGroupRange) -> Result<RecordBatch> {
    let groups = batch.column_by_name(KEY_GROUP).and_then(|c| c.as_primitive_opt::<UInt16Type>());
    let groups = groups.ok_or_else(|| Error::state("a snapshot has no key groups"))?;
    let keep = groups.values().iter().map(|group| owned.contains(KeyGroup(*group)));
    let keep: BooleanArray = keep.map(Some).collect();
    Ok(filter_record_batch(&batch, &keep)?)
}

/// Keeps the newest version of each row, unless it is a deletion, and drops our own columns.
fn newest_rows(key: usize, batches: Vec<RecordBatch>) -> Result<Vec<RecordBatch>> {
    let mut seen: HashSet<OwnedRow> = HashSet::new();
    let mut converter = None;
    let mut kept = Vec::new();
    for batch in batches.into_iter().rev().filter(|batch| batch.num_rows() > 0) {
        let fields = batch.schema();
        let columns = batch
            .columns()
            .get(..key)
            .ok_or_else(|| Error::state("a snapshot has too few columns"))?;
        let deleted = batch.column_by_name(IS_DELETED).and_then(|c| c.as_boolean_opt());
        let deleted = deleted.ok_or_else(|| Error::state("a snapshot has no deletion marks"))?;
        let mut rows = Vec::new();
        if key == 0 {
            // One row in all: the last one.
            if seen.is_empty() && kept.is_empty() && !deleted.value(batch.num_rows() - 1) {
                rows.push(batch.num_rows() as u32 - 1);
            }
        } else {
            let sort = fields.fields()[..key].iter().map(|f| SortField::new(f.data_type().clone()));
            let converter = match &mut converter {
                Some(converter) => converter,
                none => none.insert(RowConverter::new(sort.collect())?),
            };
            let keys = converter.convert_columns(columns)?;
            for row in (0..batch.num_rows()).rev() {
                if seen.insert(keys.row(row).owned()) && !deleted.value(row) {
                    rows.push(row as u32);
                }
            }
        }
        if !rows.is_empty() {
            let width = batch.num_columns() - 2;
            let batch = batch.project(&(0..width).collect::<Vec<_>>())?;
            rows.reverse();
            kept.push(take_record_batch(&batch, &UInt32Array::from(rows))?);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests;
