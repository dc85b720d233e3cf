//! The versions of a table's rows, by key and time.
//!
//! Invariants: there is one version at most of a key and a time; the *end* of a version, where its row
//! was deleted, is one too, that no row can meet. Of those that the watermark passed only the last is
//! kept, and none if it is an end.
//!
//! A row that is taken back is a deletion, at the time that it has; one without a time, or with the very time
//! of the version, ends that where it began. Old halves of updates, which end nothing, do not come here: what
//! follows one cannot tell it from a deletion, since batches are cut anywhere.

use std::collections::BTreeMap;

use arrow::array::{Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, SortField};
use thalweg_plan::join::{TimeColumn, VersionSource};
use thalweg_state::{RowStore, StateReader, StateWriter};
use thalweg_types::fault::is_planted;
use thalweg_types::{Change, Result};

use super::super::super::batches::{BATCH_ROWS, batch};
use super::super::TABLES;
use super::super::expiry::{Now, times_of};
use super::super::keys::Keys;

/// The table of ends in a snapshot.
const ENDS: &str = "ends";

/// What a key's row is from a time on.
#[derive(Clone, Copy, Debug)]
struct Version {
    from: i64,
    /// Slot of the row, among the ends if it is one.
    slot: u32,
    is_end: bool,
}

/// The versions of all keys.
pub(super) struct VersionTable {
    schema: SchemaRef,
    source: VersionSource,
    time: TimeColumn,
    /// Rows that can be met.
    pub(super) rows: RowStore,
    /// Rows that say when others end.
    ends: RowStore,
    /// By group of their key, the earliest first.
    versions: Vec<Vec<Version>>,
    /// Groups with versions.
    live: usize,
    /// Groups whose versions before a time go when the watermark passes it.
    passing: BTreeMap<i64, Vec<u32>>,
}

impl VersionTable {
    /// Returns a table without versions, of rows of `schema` with this time.
    ///
    /// # Errors
    /// `Invalid` if a type cannot be kept.
    pub(super) fn new(
        schema: &SchemaRef,
        source: VersionSource,
        time: TimeColumn,
    ) -> Result<VersionTable> {
        Ok(VersionTable {
            schema: schema.clone(),
            source,
            time,
            rows: RowStore::new(schema.clone())?,
            ends: RowStore::new(schema.clone())?,
            versions: Vec::new(),
            live: 0,
            passing: BTreeMap::new(),
        })
    }

    /// Notes what rows of these groups say, of which there are `total`; a row that is there from no
    /// time on says nothing, and is counted.
    ///
    /// # Errors
    /// `Internal` if the column of the time is none.
    pub(super) fn change(
        &mut self,
        change: &Change,
        groups: &[u32],
        total: usize,
    ) -> Result<usize> {
        self.versions.resize(total.max(self.versions.len()), Vec::new());
        let (columns, times) = (change.rows.columns(), times_of(self.time, &change.rows)?);
        let valid = change.rows.column(self.time.column).logical_nulls();
        let time = |row: usize| {
            let is_there = valid.as_ref().is_none_or(|valid| valid.is_valid(row));
            is_there.then(|| times[row])
        };
        let is_kept = |row: &u32| change.weight(*row as usize) > 0 && time(*row as usize).is_some();
        let kept: Vec<u32> = (0..change.len() as u32).filter(is_kept).collect();
        let mut slots = Vec::new();
        self.rows.insert(columns, &kept, &mut slots)?;
        let (mut slots, mut timeless) = (slots.into_iter(), 0);
        for (row, group) in groups.iter().enumerate() {
            match (change.weight(row) > 0, time(row)) {
                (true, Some(from)) => {
                    let slot = slots.next().expect("each row with a time was kept");
                    self.put(*group, Version { from, slot, is_end: false })?;
                }
                (true, None) => timeless += 1,
                (false, time) => self.end(*group, time, change.rows.slice(row, 1))?,
            }
        }
        Ok(timeless)
    }

    /// Ends the last version: at a time, or where it began.
    fn end(&mut self, group: u32, time: Option<i64>, row: RecordBatch) -> Result<()> {
        let last = self.versions[group as usize].last().filter(|last| !last.is_end).copied();
        let (from, row) = match (time, last) {
            (Some(time), _) => (time, row),
            // Its row has a time, by which a restore finds its place.
            (None, Some(Version { from, slot, .. })) => {
                (from, batch(&self.schema, self.rows.columns(&[slot])?, 1)?)
            }
            (None, None) => return Ok(()),
        };
        let mut slots = Vec::new();
        self.ends.insert(row.columns(), &[0], &mut slots)?;
        slots.into_iter().try_for_each(|slot| self.put(group, Version { from, slot, is_end: true }))
    }

    /// Puts a version in its place, unless another one of its time counts.
    fn put(&mut self, group: u32, version: Version) -> Result<()> {
        let versions = &self.versions[group as usize];
        let at = versions.partition_point(|other| other.from < version.from);
        let Some(other) = versions.get(at).filter(|other| other.from == version.from).copied()
        else {
            self.live += usize::from(versions.is_empty());
            self.versions[group as usize].insert(at, version);
            self.passing.entry(version.from).or_default().push(group);
            return Ok(());
        };
        let counts = match self.source {
            VersionSource::Rows => is_less(&self.rows, other.slot, version.slot)?,
            VersionSource::Deduplicated => is_less(&self.rows, version.slot, other.slot)?,
            VersionSource::Changes(_) => true,
        };
        if counts {
            self.versions[group as usize][at] = version;
        }
        self.remove(if counts { other } else { version });
        Ok(())
    }

    fn remove(&mut self, version: Version) {
        let rows = if version.is_end { &mut self.ends } else { &mut self.rows };
        rows.remove(version.slot);
    }

    /// Returns the slot of the row that a group has at a time.
    pub(super) fn at(&self, group: u32, time: i64) -> Option<u32> {
        let versions = self.versions.get(group as usize)?;
        let time = if is_planted("newest-version") { i64::MAX } else { time };
        let later = versions.partition_point(|version| version.from <= time);
        let version = versions[later.checked_sub(1)?];
        (!version.is_end).then_some(version.slot)
    }

    /// Lets versions go that no row can meet any more.
    pub(super) fn forget(&mut self, now: &Now) {
        let later = match now.time().checked_add(1) {
            Some(next) => self.passing.split_off(&next),
            None => BTreeMap::new(),
        };
        for group in std::mem::replace(&mut self.passing, later).into_values().flatten() {
            let versions = &mut self.versions[group as usize];
            let passed = versions.partition_point(|version| now.is_late(version.from));
            let is_ended = passed > 0 && versions[passed - 1].is_end;
            let gone: Vec<Version> =
                versions.drain(..passed.saturating_sub(usize::from(!is_ended))).collect();
            self.live -= usize::from(!gone.is_empty() && versions.is_empty());
            gone.into_iter().for_each(|version| self.remove(version));
        }
    }

    /// Forgets keys without versions, if they are most.
    ///
    /// # Errors
    /// `Internal` if keys cannot be read.
    pub(super) fn forget_dead(&mut self, keys: &mut Keys) -> Result<()> {
        let has_some =
            |group: u32| self.versions.get(group as usize).is_some_and(|v| !v.is_empty());
        let Some(old) = keys.retain(self.live, has_some)? else { return Ok(()) };
        let versions = old.iter().map(|group| std::mem::take(&mut self.versions[*group as usize]));
        self.versions = versions.collect();
        let new: BTreeMap<u32, u32> = old.into_iter().zip(0..).collect();
        for groups in self.passing.values_mut() {
            groups.retain_mut(|group| new.get(group).map(|new| *group = *new).is_some());
        }
        Ok(())
    }

    /// Saves what changed, or all; the columns `key` are those of the key.
    ///
    /// # Errors
    /// As [`RowStore::snapshot`].
    pub(super) fn snapshot(&mut self, key: &[usize], to: &mut StateWriter) -> Result<()> {
        self.rows.snapshot(TABLES[1], key, to)?;
        self.ends.snapshot(ENDS, key, to)
    }

    /// Takes what was saved.
    ///
    /// # Errors
    /// `State` if it is of another table.
    pub(super) fn restore(&mut self, from: &StateReader, keys: &mut Keys) -> Result<()> {
        for (table, is_end) in [(TABLES[1], false), (ENDS, true)] {
            let store = if is_end { &mut self.ends } else { &mut self.rows };
            for slots in store.restore(table, from)?.chunks(BATCH_ROWS) {
                let store = if is_end { &self.ends } else { &self.rows };
                let rows = batch(&self.schema, store.columns(slots)?, slots.len())?;
                let mut groups = Vec::new();
                let total = keys.number(1, &rows, &mut groups)?;
                self.versions.resize(total.max(self.versions.len()), Vec::new());
                let times = times_of(self.time, &rows)?;
                for ((slot, group), from) in slots.iter().zip(groups).zip(times) {
                    self.put(group, Version { from, slot: *slot, is_end })?;
                }
            }
        }
        Ok(())
    }

    /// Returns about how many bytes and rows there are.
    pub(super) fn size(&self) -> (usize, usize) {
        let by_group = self.versions.capacity() * size_of::<Vec<Version>>();
        let rows = self.rows.len() + self.ends.len();
        let passing: usize = self.passing.values().map(|groups| 48 + groups.capacity() * 4).sum();
        let bytes = self.rows.bytes() + self.ends.bytes() + by_group + passing;
        (bytes + rows * size_of::<Version>(), rows)
    }
}

/// Is a row less than another, column by column?
fn is_less(rows: &RowStore, row: u32, other: u32) -> Result<bool> {
    let columns = rows.columns(&[row, other])?;
    let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
    let rows = RowConverter::new(fields.collect())?.convert_columns(&columns)?;
    Ok(rows.row(0) < rows.row(1))
}
