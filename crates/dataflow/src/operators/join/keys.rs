//! The keys of a join: one table for both inputs.

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, SchemaRef};
use thalweg_plan::join::JoinNode;
use thalweg_state::GroupTable;
use thalweg_types::{Change, Error, Groups, Result};

use super::super::batches::BATCH_ROWS;
use super::side::Side;

/// Groups below which making room is not worth the work.
const GROUPS_MIN: usize = 4096;

/// Numbers for the keys of both inputs.
pub(super) struct Keys {
    table: GroupTable,
    types: Vec<DataType>,
    columns: [Vec<usize>; 2],
    is_null_equal: bool,
}

/// A change in two: what can match something, and what never will.
pub(super) struct Split {
    /// Rows whose keys can equal others.
    pub(super) can_match: Change,
    /// Rows with a NULL where NULL equals nothing.
    pub(super) cannot: Option<Change>,
}

impl Keys {
    /// Returns the table of keys of `node`.
    ///
    /// # Errors
    /// `Invalid` if a type cannot be a key, `Internal` if those of the two sides differ.
    pub(super) fn new(node: &JoinNode, schemas: &[SchemaRef; 2]) -> Result<Keys> {
        let columns: [Vec<usize>; 2] = [
            node.keys.iter().map(|(left, _)| *left).collect(),
            node.keys.iter().map(|(_, right)| *right).collect(),
        ];
        let types = |side: usize| -> Vec<DataType> {
            columns[side].iter().map(|c| schemas[side].field(*c).data_type().clone()).collect()
        };
        let (types, other) = (types(0), types(1));
        if types != other {
            return Err(Error::internal(format!("a join of keys {types:?} and {other:?}")));
        }
        let table = GroupTable::new(&types)?;
        Ok(Keys { table, types, columns, is_null_equal: node.is_null_equal })
    }

    /// Returns the key columns of a side.
    pub(super) fn columns(&self, side: usize) -> &[usize] {
        &self.columns[side]
    }

    /// Takes apart what can match and what cannot; a NULL in one of `further` columns never matches.
    ///
    /// # Errors
    /// Whatever Arrow's `take` refuses.
    pub(super) fn split(&self, side: usize, change: Change, further: &[usize]) -> Result<Split> {
        let keys = self.columns[side].iter().filter(|_| !self.is_null_equal);
        let valid = keys.chain(further).fold(None, |valid, column| {
            let nulls = change.rows.column(*column).logical_nulls();
            NullBuffer::union(valid.as_ref(), nulls.as_ref())
        });
        let Some(valid) = valid.filter(|valid| valid.null_count() > 0) else {
            return Ok(Split { can_match: change, cannot: None });
        };
        let all = 0..change.len() as u32;
        let (can, cannot): (Vec<u32>, Vec<u32>) =
            all.partition(|row| valid.is_valid(*row as usize));
        Ok(Split {
            can_match: change.take(&can.into())?,
            cannot: Some(change.take(&cannot.into())?),
        })
    }

    /// Writes the group of each row to `groups`; returns how many groups there are.
    ///
    /// # Errors
    /// As [`GroupTable::intern`].
    pub(super) fn number(
        &mut self,
        side: usize,
        rows: &RecordBatch,
        groups: &mut Vec<u32>,
    ) -> Result<usize> {
        let keys: Vec<ArrayRef> =
            self.columns[side].iter().map(|column| rows.column(*column).clone()).collect();
        self.table.intern(&keys, rows.num_rows(), groups)?;
        Ok(self.table.len())
    }

    /// Writes the group of each row to `groups`; makes room for them in both sides.
    ///
    /// # Errors
    /// As [`GroupTable::intern`].
    pub(super) fn intern(
        &mut self,
        side: usize,
        rows: &RecordBatch,
        sides: &mut [Side; 2],
        groups: &mut Vec<u32>,
    ) -> Result<()> {
        let total = self.number(side, rows, groups)?;
        sides.iter_mut().for_each(|side| side.resize(total));
        Ok(())
    }

    /// Puts restored rows of a side into the lists of their groups.
    ///
    /// # Errors
    /// `Internal` if a row cannot be read.
    pub(super) fn link(&mut self, side: usize, slots: &[u32], sides: &mut [Side; 2]) -> Result<()> {
        let mut groups = Vec::new();
        for slots in slots.chunks(BATCH_ROWS) {
            let keys = sides[side].rows.project(&self.columns[side], slots)?;
            self.table.intern(&keys, slots.len(), &mut groups)?;
            sides.iter_mut().for_each(|side| side.resize(self.table.len()));
            slots.iter().zip(&groups).for_each(|(slot, group)| sides[side].link(*slot, *group));
        }
        Ok(())
    }

    /// Forgets keys without rows, if they are most.
    ///
    /// # Errors
    /// `Internal` if keys cannot be read.
    pub(super) fn forget_dead(&mut self, sides: &mut [Side; 2]) -> Result<()> {
        let live = sides[0].live_groups() + sides[1].live_groups();
        let is_live = |group: u32| sides.iter().any(|side| side.list(group).next().is_some());
        if let Some(old) = self.retain(live, is_live)? {
            sides.iter_mut().for_each(|side| side.renumber(&old));
        }
        Ok(())
    }

    /// Forgets all keys but the `live` ones, if those are few; returns what the others were called.
    ///
    /// # Errors
    /// `Internal` if keys cannot be read.
    pub(super) fn retain(
        &mut self,
        live: usize,
        is_live: impl Fn(u32) -> bool,
    ) -> Result<Option<Vec<u32>>> {
        if self.table.len() < GROUPS_MIN || live > self.table.len() / 2 || self.types.is_empty() {
            return Ok(None);
        }
        let groups = 0..self.table.len() as u32;
        let old: Vec<u32> = groups.filter(|group| is_live(*group)).collect();
        let keys = self.table.keys(Groups::At(&old))?;
        self.table = GroupTable::new(&self.types)?;
        let mut new = Vec::new();
        self.table.intern(&keys, old.len(), &mut new)?;
        debug_assert!(
            new.iter().copied().eq(0..old.len() as u32),
            "new keys are numbered in order"
        );
        Ok(Some(old))
    }

    /// Returns about how many bytes the table takes.
    pub(super) fn bytes(&self) -> usize {
        self.table.bytes()
    }
}
