//! Two stacks of partial states: the merge of a moving run of slices at constant cost.
//!
//! The *back* holds, for each key, the merge of the newest slices. The *front* holds, for each
//! key of each older slice, the merge of that slice and all newer ones of the front. So a key's
//! share of a window is one state of the front merged with one of the back. When the front runs
//! empty, the slices of the back are turned over into it, newest first. Each slice is merged a
//! fixed number of times, however many windows hold it, and no inverse is needed, so any
//! aggregate works ("two-stacks" in Tangwongsan, Hirzel and Schneider, "General Incremental
//! Sliding-Window Aggregation", VLDB 2015, section 2).
//!
//! The front is kept by key, not by slice: a slice has states of its own keys only, each linked
//! to the next newer one of the same key. So the front has as many states as its slices have
//! rows, also where few keys appear in many slices.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use thalweg_state::GroupTable;
use thalweg_types::{Groups, Result};

use crate::operators::accumulators::Accumulators;
use crate::operators::batches::groups_of;
use crate::operators::keyed::{Blueprint, Keyed};

/// Stands for no slot.
const NONE: u32 = u32::MAX;

/// The merged states of a run of slices.
pub(super) struct Stacks {
    blueprint: Arc<Blueprint>,
    front: Front,
    back: Keyed,
    /// Least end of a slice in the back.
    back_first: Option<i64>,
    /// Slices that end at or before this belong to the front.
    turned: i64,
}

impl Stacks {
    pub(super) fn new(blueprint: &Arc<Blueprint>) -> Result<Stacks> {
        Ok(Stacks {
            front: Front::new(blueprint)?,
            back: blueprint.keyed()?,
            blueprint: blueprint.clone(),
            back_first: None,
            turned: i64::MIN,
        })
    }

    /// Is there no slice?
    pub(super) fn is_empty(&self) -> bool {
        self.front.slices.is_empty() && self.back_first.is_none()
    }

    /// Adds the newest slice.
    pub(super) fn push(&mut self, end: i64, slice: &mut Keyed) -> Result<()> {
        self.back_first = Some(self.back_first.map_or(end, |first| first.min(end)));
        self.back.merge_all(slice)
    }

    /// Adds rows to a slice that was pushed before, or would have been if it had had rows.
    pub(super) fn amend(&mut self, end: i64, rows: &mut Keyed) -> Result<()> {
        match end > self.turned {
            true => self.push(end, rows),
            false => self.front.amend(end, rows, self.blueprint.key_count()),
        }
    }

    /// Removes the slices that end at or before `start`; `held` are those after it up to `last`,
    /// the newest one pushed, in order.
    pub(super) fn evict<'a>(
        &mut self,
        start: i64,
        last: i64,
        held: impl DoubleEndedIterator<Item = (i64, &'a mut Keyed)>,
    ) -> Result<()> {
        self.front.evict(start);
        let is_back_old = self.back_first.is_some_and(|first| first <= start);
        if !self.front.slices.is_empty() || !is_back_old {
            return Ok(());
        }
        self.front.clear();
        self.back.clear();
        self.back_first = None;
        for (end, slice) in held.rev() {
            self.front.push(end, slice, self.blueprint.key_count())?;
        }
        self.turned = last;
        Ok(())
    }

    /// Returns the merge of all slices.
    pub(super) fn total(&mut self) -> Result<Keyed> {
        let mut total = self.blueprint.keyed()?;
        let (columns, rows) = self.front.total()?;
        if rows > 0 {
            total.merge(&columns, rows)?;
        }
        if !self.back.is_empty() {
            total.merge_all(&mut self.back)?;
        }
        Ok(total)
    }

    pub(super) fn bytes(&self) -> usize {
        self.back.bytes() + self.front.bytes()
    }
}

/// A state of the front: of one key, over a slice and all newer ones of the front.
#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Its key's group in the table of the front.
    group: u32,
    /// End of the slice.
    end: i64,
    /// Slot of the same key's entry in the next newer slice that has it.
    next: u32,
}

/// The older slices.
struct Front {
    table: GroupTable,
    /// For each group the slot of its oldest entry.
    heads: Vec<u32>,
    /// Entries by slot; those of evicted slices stay until all are evicted.
    entries: Vec<Entry>,
    /// The state of each slot.
    states: Accumulators,
    /// Slots by slice.
    slices: BTreeMap<i64, Vec<u32>>,
    groups: Vec<u32>,
}

impl Front {
    fn new(blueprint: &Blueprint) -> Result<Front> {
        Ok(Front {
            table: blueprint.table()?,
            heads: Vec::new(),
            entries: Vec::new(),
            states: blueprint.accumulators()?,
            slices: BTreeMap::new(),
            groups: Vec::new(),
        })
    }

    fn clear(&mut self) {
        self.table.clear();
        self.states.clear();
        (self.heads, self.entries) = (Vec::new(), Vec::new());
        self.slices.clear();
    }

    /// Adds a slice older than all there are.
    fn push(&mut self, end: i64, slice: &mut Keyed, key_count: usize) -> Result<()> {
        let rows = slice.len();
        let columns = slice.keys_and_states(Groups::First(rows))?;
        let (keys, states) = columns.split_at(key_count);
        self.table.intern(keys, rows, &mut self.groups)?;
        self.heads.resize(self.table.len(), NONE);
        let first = self.entries.len();
        let (mut linked, mut newer) = (Vec::new(), Vec::new());
        for (slot, group) in (first as u32..).zip(&self.groups) {
            let next = std::mem::replace(&mut self.heads[*group as usize], slot);
            if next != NONE {
                linked.push(slot);
                newer.push(next);
            }
            self.entries.push(Entry { group: *group, end, next });
        }
        let (slots, total) = (groups_of(first..first + rows), self.entries.len());
        self.states.merge(&slots, states, total)?;
        self.states.merge_groups(&linked, &newer, total)?;
        self.slices.insert(end, slots);
        Ok(())
    }

    /// Adds rows to a slice: to its entries, and to those of all older slices.
    fn amend(&mut self, end: i64, rows: &mut Keyed, key_count: usize) -> Result<()> {
        let columns = rows.keys_and_states(Groups::First(rows.len()))?;
        let (keys, states) = columns.split_at(key_count);
        self.table.intern(keys, rows.len(), &mut self.groups)?;
        self.heads.resize(self.table.len(), NONE);
        // Rows of `states`, and the slots that they go to.
        let (mut places, mut slots): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        let (mut linked, mut newer) = (Vec::new(), Vec::new());
        for (row, group) in (0u32..).zip(&self.groups) {
            let (mut older, mut slot) = (NONE, self.heads[*group as usize]);
            while let Some(entry) = self.entries.get(slot as usize).filter(|e| e.end <= end) {
                places.push(row);
                slots.push(slot);
                (older, slot) = (slot, entry.next);
            }
            if self.entries.get(older as usize).is_some_and(|entry| entry.end == end) {
                continue;
            }
            let new = self.entries.len() as u32;
            self.entries.push(Entry { group: *group, end, next: slot });
            match self.entries.get_mut(older as usize) {
                Some(older) => older.next = new,
                None => self.heads[*group as usize] = new,
            }
            if slot != NONE {
                linked.push(new);
                newer.push(slot);
            }
            places.push(row);
            slots.push(new);
            self.slices.entry(end).or_default().push(new);
        }
        let (places, total) = (UInt32Array::from(places), self.entries.len());
        let states = states.iter().map(|column| Ok(take(column, &places, None)?));
        self.states.merge(&slots, &states.collect::<Result<Vec<ArrayRef>>>()?, total)?;
        self.states.merge_groups(&linked, &newer, total)
    }

    /// Removes the slices that end at or before `start`.
    fn evict(&mut self, start: i64) {
        while let Some(slice) = self.slices.first_entry().filter(|slice| *slice.key() <= start) {
            for slot in slice.remove() {
                let entry = self.entries[slot as usize];
                debug_assert_eq!(self.heads[entry.group as usize], slot, "oldest first");
                self.heads[entry.group as usize] = entry.next;
            }
        }
    }

    /// Returns `[keys…, states…]` of all slices, and how many rows that is.
    fn total(&mut self) -> Result<(Vec<ArrayRef>, usize)> {
        let live = (0u32..).zip(&self.heads).filter(|(_, slot)| **slot != NONE);
        let (groups, slots): (Vec<u32>, Vec<u32>) =
            live.map(|(group, slot)| (group, *slot)).unzip();
        let mut columns = self.table.keys(Groups::At(&groups))?;
        columns.extend(self.states.partial(Groups::At(&slots))?);
        Ok((columns, groups.len()))
    }

    fn bytes(&self) -> usize {
        let links = self.heads.capacity() * 4 + self.entries.capacity() * size_of::<Entry>();
        self.table.bytes() + self.states.bytes() + links
    }
}
