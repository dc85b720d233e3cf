//! What of a search goes into a snapshot and comes back, and when partitions are forgotten.
//!
//! Invariants: rows are saved as they are, and of a partition what its rows do not say; how far a search has come
//! is not. A partition is forgotten whole: its next row is its first one.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use thalweg_state::{GroupTable, StateReader, StateWriter, TableSpec};
use thalweg_types::{Groups, Result};

use super::agenda::Entry;
use super::partition::{Partition, SAVED};
use super::{Match, WORK_ROWS};
use crate::operator::Output;
use crate::operators::batches::{batch, check_state};

/// Partitions from which on the memory of those that nothing is kept of is given back.
pub(super) const PACK_PARTITIONS: usize = 4096;

impl Match {
    /// Lets partitions begin anew of which no row has come for so long, save where rows wait for the
    /// watermark.
    pub(super) fn forget_idle(&mut self, out: &mut Output) {
        let (written, clock) = (self.written.take(), self.firing.moment.clock);
        let Some(idle) = &mut self.idle else { return };
        idle.write(&written, clock);
        let mut gone = idle.take(clock);
        if gone.is_empty() {
            return;
        }
        let waiting: HashSet<u32> = self.waiting.groups().collect();
        let (kept, forgotten) = gone.drain(..).partition(|group| waiting.contains(group));
        let (kept, forgotten): (Vec<u32>, Vec<u32>) = (kept, forgotten);
        idle.write(&kept, clock);
        let has_numbers = self.node.counts_for_ever();
        for group in &forgotten {
            let partition = &mut self.partitions[*group as usize];
            if partition.is_blank(has_numbers) {
                continue;
            }
            let slots = partition.begin_anew();
            out.count_forgotten(slots.len().max(1));
            slots.into_iter().for_each(|slot| self.rows.remove(slot));
        }
        self.unsaved.extend(&forgotten);
    }

    fn table(&self) -> TableSpec {
        let keys = self.node.partition.len();
        TableSpec { name: "partitions", key: keys, route: (0..keys).collect() }
    }

    /// Saves what partitions have beside their rows.
    pub(super) fn save(&mut self, groups: &[u32], to: &mut StateWriter) -> Result<()> {
        let has_numbers = self.node.counts_for_ever();
        let (mut there, mut gone, mut saved) = (Vec::new(), Vec::new(), Vec::new());
        for group in groups {
            let partition = &mut self.partitions[*group as usize];
            let numbers = partition.saved(has_numbers);
            let was_saved = std::mem::replace(&mut partition.is_saved, numbers.is_some());
            match numbers {
                Some(numbers) => {
                    there.push(*group);
                    saved.push(numbers);
                }
                None if was_saved && !to.is_full() => gone.push(*group),
                None => {}
            }
        }
        let table = self.table();
        let keys = self.keys.keys(Groups::At(&gone))?;
        let schema = self.state.project(&(0..keys.len()).collect::<Vec<_>>())?;
        to.delete(&table, batch(&Arc::new(schema), keys, gone.len())?)?;
        let mut columns = self.keys.keys(Groups::At(&there))?;
        columns.extend((0..SAVED.len()).map(|at| -> ArrayRef {
            Arc::new(saved.iter().map(|row| row[at]).collect::<Int64Array>())
        }));
        to.put(&table, batch(&self.state, columns, there.len())?)
    }

    /// Puts restored rows back to where they were: into their partitions, or to those that wait.
    pub(super) fn restore_rows(&mut self, slots: &[u32]) -> Result<()> {
        let mut groups = Vec::new();
        for slots in slots.chunks(WORK_ROWS) {
            let columns = self.rows.columns(slots)?;
            self.intern(&columns, slots.len(), &mut groups)?;
            self.wait(&columns, &groups, slots)?;
        }
        for Entry { time, group, slot } in self.take_due()? {
            self.partitions[group as usize].push(time, slot);
            self.restored.push(group);
        }
        Ok(())
    }

    /// Takes what partitions have beside their rows back.
    pub(super) fn restore_partitions(&mut self, from: &StateReader) -> Result<()> {
        let keys = self.node.partition.len();
        for rows in from.table("partitions")? {
            check_state(&rows, &self.state)?;
            let (key, saved) = rows.columns().split_at(keys);
            let mut groups = Vec::new();
            self.keys.intern(key, rows.num_rows(), &mut groups)?;
            self.partitions.resize_with(self.keys.len(), Partition::default);
            for (row, group) in groups.into_iter().enumerate() {
                let number = |at: usize| saved[at].as_primitive::<Int64Type>().value(row);
                self.partitions[group as usize].restore(std::array::from_fn(number));
            }
        }
        Ok(())
    }

    /// Gives the memory of partitions back that nothing is kept of, if they are most; all is saved.
    pub(super) fn pack(&mut self) -> Result<()> {
        if self.partitions.len() < self.pack_from {
            return Ok(());
        }
        let has_numbers = self.node.counts_for_ever();
        let mut is_live: Vec<bool> =
            self.partitions.iter().map(|partition| !partition.is_blank(has_numbers)).collect();
        let waiting = self.waiting.groups().chain(self.timers.groups());
        waiting.for_each(|group| is_live[group as usize] = true);
        let live: Vec<u32> =
            (0..self.partitions.len() as u32).filter(|group| is_live[*group as usize]).collect();
        if live.len() * 2 > self.partitions.len() {
            self.pack_from = self.partitions.len() * 2;
            return Ok(());
        }
        let mut keys = GroupTable::new(&self.key_types)?;
        keys.intern(&self.keys.keys(Groups::At(&live))?, live.len(), &mut Vec::new())?;
        self.keys = keys;
        let partitions =
            live.iter().map(|group| std::mem::take(&mut self.partitions[*group as usize]));
        self.partitions = partitions.collect();
        let new = |group: u32| live.binary_search(&group).map_or(0, |new| new as u32);
        self.waiting.renumber(new);
        self.timers.renumber(new);
        self.restored.iter_mut().for_each(|group| *group = new(*group));
        if let Some(idle) = &mut self.idle {
            idle.renumber(&live);
        }
        self.pack_from = PACK_PARTITIONS.max(live.len() * 2);
        Ok(())
    }
}
