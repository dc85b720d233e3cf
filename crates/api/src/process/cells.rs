//! State of keys as typed values: one cell for each key, and what of it changed.
//!
//! Invariants: `entries` of everything, restored into a fresh cell, gives the cell again; what changed
//! is handed over once. A cell that never was written takes no memory but its own size.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{BinaryArray, BinaryBuilder};
use thalweg_plan::process::{SavedState, StateChanges};
use thalweg_types::{Error, Result};

use super::stored::{State, Stored};

/// Takes an entry and its value, `None` if the entry is gone.
type Push<'a> = &'a mut dyn FnMut(&[u8], Option<&[u8]>);

/// What a state is of one key.
pub(crate) trait Cell: Default + Send + 'static {
    /// What is saved under the state's version.
    type Value: State;

    /// Hands over what changed, or `all`, and takes it for saved.
    fn entries(&mut self, stored: &Stored<Self::Value>, all: bool, push: Push<'_>) -> Result<()>;

    /// Takes an entry that was saved.
    fn restore(
        &mut self,
        stored: &Stored<Self::Value>,
        entry: &[u8],
        value: Self::Value,
    ) -> Result<()>;

    /// Everything that was saved was handed to `restore`.
    fn restored(&mut self) {}

    /// Is there nothing?
    fn is_empty(&self) -> bool;

    /// Forgets everything.
    fn clear(&mut self);
}

/// One value or none.
pub(crate) struct One<T>(pub(crate) Option<T>);

impl<T> Default for One<T> {
    fn default() -> Self {
        One(None)
    }
}

impl<T: State> Cell for One<T> {
    type Value = T;

    fn entries(&mut self, stored: &Stored<T>, all: bool, push: Push<'_>) -> Result<()> {
        match &self.0 {
            Some(value) => push(&[], Some(&stored.encode(value)?)),
            None if !all => push(&[], None),
            None => {}
        }
        Ok(())
    }

    fn restore(&mut self, _: &Stored<T>, _: &[u8], value: T) -> Result<()> {
        self.0 = Some(value);
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn clear(&mut self) {
        self.0 = None;
    }
}

/// Values in order.
pub(crate) struct Many<T> {
    pub(crate) values: Vec<T>,
    /// How many of the first are saved as they are.
    pub(crate) unchanged: usize,
    /// How many are saved.
    saved: usize,
    /// Values that are being restored, by their places.
    restoring: BTreeMap<[u8; 8], T>,
}

impl<T> Default for Many<T> {
    fn default() -> Self {
        Many { values: Vec::new(), unchanged: 0, saved: 0, restoring: BTreeMap::new() }
    }
}

impl<T> Many<T> {
    /// Takes all values.
    pub(crate) fn take(&mut self) -> Vec<T> {
        self.unchanged = 0;
        std::mem::take(&mut self.values)
    }
}

impl<T: State> Cell for Many<T> {
    type Value = T;

    fn entries(&mut self, stored: &Stored<T>, all: bool, push: Push<'_>) -> Result<()> {
        let from = if all { 0 } else { self.unchanged };
        for (place, value) in self.values.iter().enumerate().skip(from) {
            push(&(place as u64).to_be_bytes(), Some(&stored.encode(value)?));
        }
        if !all {
            (self.values.len()..self.saved)
                .for_each(|gone| push(&(gone as u64).to_be_bytes(), None));
        }
        (self.unchanged, self.saved) = (self.values.len(), self.values.len());
        Ok(())
    }

    fn restore(&mut self, stored: &Stored<T>, entry: &[u8], value: T) -> Result<()> {
        let place = entry.try_into().map_err(|_| {
            Error::state(format!("state `{}` has a value without a place", stored.name))
        })?;
        self.restoring.insert(place, value);
        Ok(())
    }

    fn restored(&mut self) {
        self.values = std::mem::take(&mut self.restoring).into_values().collect();
        (self.unchanged, self.saved) = (self.values.len(), self.values.len());
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn clear(&mut self) {
        self.take();
    }
}

/// Values by keys of their own.
pub(crate) struct Mapped<M, T> {
    pub(crate) values: BTreeMap<M, T>,
    pub(crate) changed: BTreeSet<M>,
}

impl<M, T> Default for Mapped<M, T> {
    fn default() -> Self {
        Mapped { values: BTreeMap::new(), changed: BTreeSet::new() }
    }
}

impl<M: Ord + Clone, T> Mapped<M, T> {
    /// Takes all entries.
    pub(crate) fn take(&mut self) -> BTreeMap<M, T> {
        self.changed.extend(self.values.keys().cloned());
        std::mem::take(&mut self.values)
    }
}

impl<M: State + Ord + Clone, T: State> Cell for Mapped<M, T> {
    type Value = T;

    fn entries(&mut self, stored: &Stored<T>, all: bool, push: Push<'_>) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        if all {
            for (key, value) in &self.values {
                push(&stored.encode(key)?, Some(&stored.encode(value)?));
            }
            return Ok(());
        }
        for key in changed {
            let value = self.values.get(&key).map(|value| stored.encode(value)).transpose()?;
            push(&stored.encode(&key)?, value.as_deref());
        }
        Ok(())
    }

    fn restore(&mut self, stored: &Stored<T>, entry: &[u8], value: T) -> Result<()> {
        self.values.insert(stored.decode_key(entry)?, value);
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn clear(&mut self) {
        self.take();
    }
}

/// The cells of one state.
pub(crate) struct Cells<C: Cell> {
    stored: Stored<C::Value>,
    /// Is there one cell for all keys?
    is_shared: bool,
    cells: Vec<C>,
    /// Groups whose cells changed, and which those are.
    changed: Vec<u32>,
    is_changed: Vec<bool>,
    /// Groups whose cells were written, where there is a time-to-live.
    written: Option<Vec<u32>>,
}

impl<C: Cell> Cells<C> {
    pub(crate) fn new(stored: Stored<C::Value>, is_shared: bool) -> Cells<C> {
        let mut cells = Cells {
            written: stored.ttl.map(|_| Vec::new()),
            stored,
            is_shared,
            cells: Vec::new(),
            changed: Vec::new(),
            is_changed: Vec::new(),
        };
        cells.resize(usize::from(is_shared));
        cells
    }

    fn resize(&mut self, total: usize) {
        let total = total.max(self.cells.len());
        self.cells.resize_with(total, C::default);
        self.is_changed.resize(total, false);
    }

    pub(crate) fn get(&self, group: u32) -> &C {
        &self.cells[group as usize]
    }

    /// Returns a cell that is about to change.
    pub(crate) fn get_mut(&mut self, group: u32) -> &mut C {
        if !std::mem::replace(&mut self.is_changed[group as usize], true) {
            self.changed.push(group);
        }
        if let Some(written) = &mut self.written
            && written.last() != Some(&group)
        {
            written.push(group);
        }
        &mut self.cells[group as usize]
    }
}

/// The cells of a state of some type.
pub(crate) trait Slot: Any {
    /// As [`thalweg_plan::process::Processor::grow`].
    fn grow(&mut self, total: usize);
    /// As [`thalweg_plan::process::Processor::take_changes`].
    fn take_changes(&mut self, all: bool) -> Result<StateChanges>;
    /// As [`thalweg_plan::process::Processor::restore`].
    fn restore(&mut self, saved: SavedState<'_>) -> Result<()>;
    /// As [`thalweg_plan::process::Processor::restored`].
    fn restored(&mut self);
    /// As [`thalweg_plan::process::Processor::take_written`].
    fn take_written(&mut self) -> Vec<u32>;
    /// As [`thalweg_plan::process::Processor::forget`].
    fn forget(&mut self, groups: &[u32]) -> usize;
    /// As [`thalweg_plan::process::Processor::is_live`].
    fn is_live(&self, group: u32) -> bool;
    /// As [`thalweg_plan::process::Processor::retain`].
    fn retain(&mut self, groups: &[u32]);
    /// As [`thalweg_plan::process::Processor::bytes`].
    fn bytes(&self) -> usize;
}

impl<C: Cell> Slot for Cells<C> {
    fn grow(&mut self, total: usize) {
        if !self.is_shared {
            self.resize(total);
        }
    }

    fn take_changes(&mut self, all: bool) -> Result<StateChanges> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.iter().for_each(|group| self.is_changed[*group as usize] = false);
        if all {
            changed = (0..self.cells.len() as u32).collect();
        }
        let (mut groups, mut entries) = (Vec::new(), BinaryBuilder::new());
        let mut values = BinaryBuilder::new();
        for group in changed {
            let mut push = |entry: &[u8], value: Option<&[u8]>| {
                groups.push(group);
                entries.append_value(entry);
                values.append_option(value);
            };
            self.cells[group as usize].entries(&self.stored, all, &mut push)?;
        }
        if self.is_shared {
            groups.clear();
        }
        let (entries, values): (BinaryArray, BinaryArray) = (entries.finish(), values.finish());
        Ok(StateChanges { groups, entries, values })
    }

    fn restore(&mut self, saved: SavedState<'_>) -> Result<()> {
        for (row, entry) in saved.entries.iter().enumerate() {
            let value = self.stored.decode(saved.versions.value(row), saved.values.value(row))?;
            let group = saved.groups.get(row).copied().unwrap_or(0);
            let entry = entry.unwrap_or_default();
            self.cells[group as usize].restore(&self.stored, entry, value)?;
        }
        Ok(())
    }

    fn restored(&mut self) {
        self.cells.iter_mut().for_each(C::restored);
    }

    fn take_written(&mut self) -> Vec<u32> {
        self.written.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn forget(&mut self, groups: &[u32]) -> usize {
        let live = groups.iter().filter(|group| self.is_live(**group));
        let live: Vec<u32> = live.copied().collect();
        live.iter().for_each(|group| self.get_mut(*group).clear());
        // That was no writing.
        self.take_written();
        live.len()
    }

    fn is_live(&self, group: u32) -> bool {
        !self.is_shared && !self.cells[group as usize].is_empty()
    }

    fn retain(&mut self, groups: &[u32]) {
        if self.is_shared {
            return;
        }
        let cells = groups.iter().map(|group| std::mem::take(&mut self.cells[*group as usize]));
        self.cells = cells.collect();
        self.is_changed = vec![false; groups.len()];
        self.changed = Vec::new();
    }

    fn bytes(&self) -> usize {
        self.cells.capacity() * (size_of::<C>() + 1)
    }
}

#[cfg(test)]
mod tests;
