//! What a join keeps of one input: rows by key.
//!
//! Invariants: the rows of a key are a list through their slots, in both directions where rows can
//! go; the first row of a list knows its key. Rows that must be found by their values stand in an
//! index of all rows, since a list may be long.

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use thalweg_state::RowStore;
use thalweg_state::row_store::{Encoded, RowIndex};
use thalweg_types::Result;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;
/// Marks, in the place of the row before, the first row of a list; the rest is its key's group.
const FIRST: u32 = 1 << 31;

/// What is asked of the rows of a side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Needs {
    /// Can single rows go?
    pub(super) removal: bool,
    /// Are rows found by their values?
    pub(super) search: bool,
    /// Is the number of rows of a key asked for?
    pub(super) counts: bool,
}

/// Rows by the group of their key.
pub(super) struct Side {
    /// The rows.
    pub(super) rows: RowStore,
    needs: Needs,
    /// First row of each group.
    heads: Vec<u32>,
    next: Vec<u32>,
    before: Vec<u32>,
    counts: Vec<u32>,
    index: RowIndex,
    /// Groups with rows.
    live: usize,
}

impl Side {
    /// Returns a side without rows.
    ///
    /// # Errors
    /// `Invalid` if a type cannot be kept.
    pub(super) fn new(schema: SchemaRef, needs: Needs) -> Result<Side> {
        Ok(Side {
            rows: RowStore::new(schema)?,
            needs,
            heads: Vec::new(),
            next: Vec::new(),
            before: Vec::new(),
            counts: Vec::new(),
            index: RowIndex::default(),
            live: 0,
        })
    }

    /// Makes room for groups up to `total`.
    pub(super) fn resize(&mut self, total: usize) {
        self.heads.resize(total, NONE);
        if self.needs.counts {
            self.counts.resize(total, 0);
        }
    }

    /// Returns the first row of a group, or [`NONE`].
    #[inline]
    pub(super) fn first(&self, group: u32) -> u32 {
        self.heads[group as usize]
    }

    /// Returns the row behind `slot` in its list, or [`NONE`].
    #[inline]
    pub(super) fn next(&self, slot: u32) -> u32 {
        self.next[slot as usize]
    }

    /// Returns the number of rows of a group.
    #[inline]
    pub(super) fn count(&self, group: u32) -> u32 {
        self.counts[group as usize]
    }

    /// Returns how many groups have rows.
    pub(super) fn live_groups(&self) -> usize {
        self.live
    }

    /// Keeps rows of some columns, whose groups these are; appends their slots.
    ///
    /// # Errors
    /// `Failed` if there are too many rows.
    pub(super) fn insert(
        &mut self,
        columns: &[ArrayRef],
        rows: &[u32],
        groups: &[u32],
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        let encoded = self.rows.encode(columns, rows)?;
        for (number, row) in rows.iter().enumerate() {
            let slot = self.rows.insert_row(&encoded, number)?;
            self.link(slot, groups[*row as usize]);
            slots.push(slot);
        }
        Ok(())
    }

    /// Puts a row in front of the list of its group.
    pub(super) fn link(&mut self, slot: u32, group: u32) {
        let slots = self.rows.slots();
        self.next.resize(slots, NONE);
        let head = std::mem::replace(&mut self.heads[group as usize], slot);
        self.next[slot as usize] = head;
        self.live += usize::from(head == NONE);
        if self.needs.removal {
            self.before.resize(slots, NONE);
            self.before[slot as usize] = FIRST | group;
            if head != NONE {
                self.before[head as usize] = slot;
            }
        }
        if self.needs.counts {
            self.counts[group as usize] += 1;
        }
        if self.needs.search {
            self.index.insert(&self.rows, slot);
        }
    }

    /// Removes a row of a group; the group is asked for only where rows are counted.
    pub(super) fn remove(&mut self, slot: u32, group: u32) {
        self.uncount(group);
        self.forget(slot);
    }

    /// Counts a row less for a group.
    pub(super) fn uncount(&mut self, group: u32) {
        if let Some(count) = self.counts.get_mut(group as usize) {
            *count = count.saturating_sub(1);
        }
    }

    /// Removes a row whose time is over: it still counts as one of its key, since what came out for it
    /// stays.
    pub(super) fn forget(&mut self, slot: u32) {
        let (before, next) = (self.before[slot as usize], self.next[slot as usize]);
        if before & FIRST != 0 {
            let group = before & !FIRST;
            self.heads[group as usize] = next;
            self.live -= usize::from(next == NONE);
        } else {
            self.next[before as usize] = next;
        }
        if next != NONE {
            self.before[next as usize] = before;
        }
        if self.needs.search {
            self.hide(slot);
        }
        self.rows.remove(slot);
    }

    /// Returns a row that equals this one.
    pub(super) fn find(&self, rows: &Encoded, row: usize) -> Option<u32> {
        self.index.find(&self.rows, rows, row)
    }

    /// Lets a row not be found again; it is about to be removed.
    pub(super) fn hide(&mut self, slot: u32) {
        self.index.remove(&self.rows, slot);
    }

    /// Returns the rows of a group.
    pub(super) fn list(&self, group: u32) -> impl Iterator<Item = u32> + '_ {
        let there = |slot: u32| (slot != NONE).then_some(slot);
        std::iter::successors(there(self.first(group)), move |slot| there(self.next(*slot)))
    }

    /// Gives groups new numbers: `old[new]` is what a group was called. All others have no rows.
    pub(super) fn renumber(&mut self, old: &[u32]) {
        let heads: Vec<u32> = old.iter().map(|old| self.heads[*old as usize]).collect();
        for (group, head) in heads.iter().enumerate() {
            if *head != NONE && self.needs.removal {
                self.before[*head as usize] = FIRST | group as u32;
            }
        }
        if self.needs.counts {
            self.counts = old.iter().map(|old| self.counts[*old as usize]).collect();
        }
        self.heads = heads;
    }

    /// Returns about how many bytes there are.
    pub(super) fn bytes(&self) -> usize {
        let by_slot = self.next.capacity() + self.before.capacity();
        let by_group = self.heads.capacity() + self.counts.capacity();
        self.rows.bytes() + (by_slot + by_group) * 4 + self.index.bytes()
    }
}
