//! Collects what an operator's state changed.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt16Array};
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use thalweg_types::{Error, KeyGroups, Result, hash};

use super::format::{self, Table};
use super::{IS_DELETED, KEY_GROUP, SHARED, TableSpec};

/// Collects what an operator's state changed since the last snapshot, or all of it.
///
/// Rows are kept as they come; `finish` does the work of encoding and may run elsewhere.
#[derive(Debug)]
pub struct StateWriter {
    is_full: bool,
    /// Will nobody read it?
    is_discarded: bool,
    groups: KeyGroups,
    /// In the order of their first rows, which is the operator's own.
    tables: Vec<Table>,
    rows: usize,
}

impl StateWriter {
    /// Returns a writer; `full` asks for the whole state rather than for changes.
    pub fn new(full: bool, groups: KeyGroups) -> StateWriter {
        StateWriter { is_full: full, is_discarded: false, groups, tables: Vec::new(), rows: 0 }
    }

    /// Returns a writer of changes that nobody will read: it keeps nothing of what is put.
    pub fn discarded(groups: KeyGroups) -> StateWriter {
        StateWriter { is_discarded: true, ..StateWriter::new(false, groups) }
    }

    /// Will nobody read it? Then what is costly to put need not be.
    pub fn is_discarded(&self) -> bool {
        self.is_discarded
    }

    /// Is the whole state asked for?
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Returns the number of rows put or deleted.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds rows; they replace those of the same key, also earlier ones of this batch.
    ///
    /// Shapes: in `n` rows of the operator's own schema, the key columns first.
    ///
    /// # Errors
    /// `Internal` if the rows do not fit `table`, `Invalid` if a routing column cannot be hashed.
    pub fn put<N: AsRef<str>>(&mut self, table: &TableSpec<N>, rows: RecordBatch) -> Result<()> {
        self.add(table, rows, false)
    }

    /// Deletes the rows with these keys; a key that is not there is no error.
    ///
    /// Shapes: in `n` rows of exactly the key columns.
    ///
    /// # Errors
    /// As `put`.
    pub fn delete<N: AsRef<str>>(&mut self, table: &TableSpec<N>, keys: RecordBatch) -> Result<()> {
        if keys.num_columns() != table.key {
            let (name, found, key) = (table.name.as_ref(), keys.num_columns(), table.key);
            return Err(Error::internal(format!(
                "{found} columns to delete from table `{name}`, whose key has {key}"
            )));
        }
        self.add(table, keys, true)
    }

    /// Adds rows of a table that are known by a number, its first column; who calls says to which key
    /// group each belongs.
    ///
    /// # Errors
    /// `Internal` if a row has no group.
    pub(crate) fn put_in(
        &mut self,
        table: &'static str,
        groups: &[u16],
        rows: RecordBatch,
    ) -> Result<()> {
        self.push((table, 1), groups, rows, false)
    }

    /// Deletes the rows with these numbers, as [`StateWriter::put_in`] adds them.
    ///
    /// # Errors
    /// As `put_in`.
    pub(crate) fn delete_in(
        &mut self,
        table: &'static str,
        groups: &[u16],
        numbers: RecordBatch,
    ) -> Result<()> {
        self.push((table, 1), groups, numbers, true)
    }

    /// Adds rows of a table that is the same on all workers, and of which each saves the whole.
    ///
    /// # Errors
    /// As `put`.
    pub fn put_shared<N: AsRef<str>>(
        &mut self,
        table: &TableSpec<N>,
        rows: RecordBatch,
    ) -> Result<()> {
        let groups = vec![SHARED; rows.num_rows()];
        self.push((table.name.as_ref(), table.key), &groups, rows, false)
    }

    /// Deletes the rows with these keys of a table that is the same on all workers.
    ///
    /// # Errors
    /// As `put`.
    pub fn delete_shared<N: AsRef<str>>(
        &mut self,
        table: &TableSpec<N>,
        keys: RecordBatch,
    ) -> Result<()> {
        let groups = vec![SHARED; keys.num_rows()];
        self.push((table.name.as_ref(), table.key), &groups, keys, true)
    }

    /// Returns the key groups of the job.
    pub(crate) fn key_groups(&self) -> KeyGroups {
        self.groups
    }

    fn add<N: AsRef<str>>(
        &mut self,
        table: &TableSpec<N>,
        rows: RecordBatch,
        is_deleted: bool,
    ) -> Result<()> {
        check(table, &rows)?;
        if self.is_discarded {
            return Ok(());
        }
        let route: Vec<ArrayRef> = table.route.iter().map(|c| rows.column(*c).clone()).collect();
        let mut hashes = Vec::new();
        hash::hash_rows(&route, rows.num_rows(), &mut hashes)?;
        let groups: Vec<u16> = hashes.iter().map(|hash| self.groups.group_of(*hash).0).collect();
        self.push((table.name.as_ref(), table.key), &groups, rows, is_deleted)
    }

    fn push(
        &mut self,
        (name, key): (&str, usize),
        groups: &[u16],
        rows: RecordBatch,
        is_deleted: bool,
    ) -> Result<()> {
        if rows.num_rows() == 0 || self.is_discarded {
            return Ok(());
        }
        let at = match self.tables.iter().position(|known| known.name == name) {
            Some(at) => at,
            None => {
                self.tables.push(Table { name: name.to_owned(), key, batches: Vec::new() });
                self.tables.len() - 1
            }
        };
        let known = &mut self.tables[at];
        if known.key != key {
            let key = known.key;
            return Err(Error::internal(format!("table `{name}` had a key of {key} columns")));
        }
        self.rows += rows.num_rows();
        known.batches.push(marked(groups, &rows, is_deleted)?);
        Ok(())
    }

    /// Returns the bytes of the snapshot; `None` if there is nothing to store.
    ///
    /// A whole state without rows is something to store: that there are none.
    ///
    /// # Errors
    /// `Internal` if a column cannot be encoded.
    pub fn finish(self) -> Result<Option<Bytes>> {
        if self.rows == 0 && !self.is_full {
            return Ok(None);
        }
        format::encode(self.tables).map(Some)
    }
}

fn check<N: AsRef<str>>(table: &TableSpec<N>, rows: &RecordBatch) -> Result<()> {
    let (name, key) = (table.name.as_ref(), table.key);
    if rows.num_columns() < key {
        let found = rows.num_columns();
        return Err(Error::internal(format!(
            "{found} columns for table `{name}`, whose key has {key}"
        )));
    }
    if let Some(column) = table.route.iter().find(|column| **column >= key) {
        return Err(Error::internal(format!(
            "table `{name}` is routed by column {column}, which is not in its key"
        )));
    }
    Ok(())
}

/// Returns `rows` with our own two columns behind them.
fn marked(groups: &[u16], rows: &RecordBatch, is_deleted: bool) -> Result<RecordBatch> {
    let groups = UInt16Array::from(groups.to_vec());
    let deleted = BooleanArray::from(vec![is_deleted; rows.num_rows()]);
    let schema = rows.schema();
    let own = [
        Field::new(KEY_GROUP, DataType::UInt16, false),
        Field::new(IS_DELETED, DataType::Boolean, false),
    ];
    let fields: Vec<_> = schema.fields().iter().cloned().chain(own.map(Arc::new)).collect();
    let mut columns = rows.columns().to_vec();
    columns.extend([Arc::new(groups) as ArrayRef, Arc::new(deleted)]);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
