//! Gives the state of some key groups back.
//!
//! The newest snapshot is read first, and within it the last row: whatever key was seen before is
//! an old version, and no more of the old ones is held in memory than one snapshot at a time.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, UInt16Type};
use bytes::Bytes;
use thalweg_types::{Error, ErrorKind, KeyGroup, KeyGroupRange, Result};

use super::compact::compact;
use super::format::{self, Table};
use super::{IS_DELETED, KEY_GROUP, SHARED};
use crate::group_table::GroupTable;

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

    /// Opens snapshots, and keeps the newest version of each row of the `owned` key groups.
    ///
    /// The snapshots of one worker are in order, oldest first; those of different workers hold
    /// different key groups, so that their order does not matter.
    ///
    /// # Errors
    /// `State` that says which of the files is damaged, of an unknown version, or does not fit
    /// the others, and how.
    pub fn open(files: Vec<Bytes>, owned: KeyGroupRange) -> Result<StateReader> {
        let count = files.len();
        let mut tables = BTreeMap::new();
        for (index, file) in files.into_iter().enumerate().rev() {
            read(&file, owned, &mut tables).map_err(|error| {
                let number = index + 1;
                error.with_kind(ErrorKind::State).context(format!("state file {number} of {count}"))
            })?;
        }
        let tables = tables.into_iter().map(|(name, newest)| (name, newest.finish())).collect();
        Ok(StateReader { tables })
    }

    /// Returns the rows of a table, as they were put, each key once; no batch is without rows.
    ///
    /// # Errors
    /// None today; a reader that loads lazily may fail with `State`.
    pub fn table(&self, name: &str) -> Result<Vec<RecordBatch>> {
        Ok(self.tables.get(name).cloned().unwrap_or_default())
    }
}

/// Adds a snapshot that is older than those before it.
fn read(file: &[u8], owned: KeyGroupRange, tables: &mut BTreeMap<String, Newest>) -> Result<()> {
    for Table { name, key, batches } in format::decode(file)? {
        let in_table = |error: Error| error.context(format!("table `{name}`"));
        for batch in batches.into_iter().rev() {
            let rows = owned_rows(&batch, owned).map_err(in_table)?;
            let newest = match tables.entry(name.clone()) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(Newest::new(key, &batch).map_err(in_table)?),
            };
            newest.add(key, &rows).map_err(in_table)?;
        }
    }
    Ok(())
}

/// Keeps the rows of the owned key groups, and those of none.
fn owned_rows(batch: &RecordBatch, owned: KeyGroupRange) -> Result<RecordBatch> {
    let groups = own_column(batch, 1, KEY_GROUP)?;
    let groups = groups
        .as_primitive_opt::<UInt16Type>()
        .ok_or_else(|| Error::state(format!("column `{KEY_GROUP}` is not of key groups")))?;
    let keep = groups.values().iter();
    let keep = keep.map(|group| *group == SHARED || owned.contains(KeyGroup(*group)));
    let keep = BooleanArray::from(keep.collect::<Vec<_>>());
    match keep.true_count() == batch.num_rows() {
        true => Ok(batch.clone()),
        false => Ok(filter_record_batch(batch, &keep)?),
    }
}

/// Returns the column `from_last` columns before the last one, which must have this name.
fn own_column<'a>(batch: &'a RecordBatch, from_last: usize, name: &str) -> Result<&'a ArrayRef> {
    let schema = batch.schema_ref();
    let at = batch.num_columns().checked_sub(1 + from_last);
    at.filter(|at| schema.field(*at).name() == name)
        .map(|at| batch.column(at))
        .ok_or_else(|| Error::state(format!("there is no column `{name}`")))
}

/// The newest version of each row of a table.
struct Newest {
    key: usize,
    /// Keys that were put or deleted.
    seen: GroupTable,
    /// The last ones first.
    kept: Vec<RecordBatch>,
}

impl Newest {
    fn new(key: usize, batch: &RecordBatch) -> Result<Newest> {
        let types = keys_of(batch, key)?.iter().map(|key| key.data_type().clone());
        let seen = GroupTable::new(&types.collect::<Vec<DataType>>())?;
        Ok(Newest { key, seen, kept: Vec::new() })
    }

    /// Adds rows that are older than those before them.
    fn add(&mut self, key: usize, rows: &RecordBatch) -> Result<()> {
        if key != self.key {
            let newer = self.key;
            return Err(Error::state(format!("its key has {key} columns, later {newer}")));
        }
        let deleted = own_column(rows, 0, IS_DELETED)?;
        let deleted = deleted
            .as_boolean_opt()
            .ok_or_else(|| Error::state(format!("column `{IS_DELETED}` is not of marks")))?;
        let known = self.seen.len();
        let mut groups = Vec::new();
        self.seen.intern(keys_of(rows, key)?, rows.num_rows(), &mut groups)?;
        let mut is_older = vec![false; self.seen.len() - known];
        let mut kept = Vec::new();
        for (row, group) in groups.iter().enumerate().rev() {
            // A group that was there before this batch has a newer row.
            let Some(new) = (*group as usize).checked_sub(known) else { continue };
            if !std::mem::replace(&mut is_older[new], true) && !deleted.value(row) {
                kept.push(row as u32);
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        kept.reverse();
        let rows = take_record_batch(rows, &UInt32Array::from(kept))?;
        let own: Vec<usize> = (0..rows.num_columns() - 2).collect();
        self.kept.push(compact(&rows.project(&own)?)?);
        Ok(())
    }

    /// Returns the rows, those put first in front.
    fn finish(mut self) -> Vec<RecordBatch> {
        self.kept.reverse();
        self.kept
    }
}

/// Returns the key columns of a batch that ends in our own two columns.
fn keys_of(batch: &RecordBatch, key: usize) -> Result<&[ArrayRef]> {
    let columns = batch.num_columns().saturating_sub(2);
    batch.columns()[..columns]
        .get(..key)
        .ok_or_else(|| Error::state(format!("{columns} columns cannot hold a key of {key}")))
}
