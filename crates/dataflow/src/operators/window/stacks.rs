//! Two stacks of partial states: the merge of a moving run of slices at constant cost.
//!
//! The back holds the merge of the newest slices; the front holds, for each older slice, the
//! merge of it and all slices between it and the back. The total of a window is one front entry
//! merged with the back. When the front runs empty, the slices of the back are turned over into
//! it, newest first. So each slice is merged a fixed number of times, however many windows hold
//! it, and no inverse is needed, so any aggregate works ("two-stacks" in Tangwongsan, Hirzel and
//! Schneider, "General Incremental Sliding-Window Aggregation", VLDB 2015, section 2).

use arrow::array::ArrayRef;
use thalweg_types::{Groups, Result};

use crate::operators::accumulators::Keyed;

/// The merged states of a run of slices.
pub(super) struct Stacks {
    /// End of a slice, and the merge of it and all later slices of the front; the oldest last.
    front: Vec<(i64, Keyed)>,
    back: Keyed,
    /// Ends of the slices in the back, in order.
    back_ends: Vec<i64>,
}

impl Stacks {
    pub(super) fn new(empty: Keyed) -> Stacks {
        Stacks { front: Vec::new(), back: empty, back_ends: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.back_ends.is_empty()
    }

    /// Adds the newest slice: its `[keys…, states…]`.
    pub(super) fn push(&mut self, end: i64, columns: &[ArrayRef], rows: usize) -> Result<()> {
        self.back_ends.push(end);
        self.back.merge_columns(columns, rows)
    }

    /// Adds rows to a slice that was pushed before, or would have been if it had had rows.
    pub(super) fn add_late(
        &mut self,
        end: i64,
        columns: &[ArrayRef],
        rows: usize,
        fresh: impl Fn() -> Result<Keyed>,
    ) -> Result<()> {
        let is_in_back = match (self.front.first(), self.back_ends.first()) {
            (Some((newest, _)), _) => end > *newest,
            (None, _) => true,
        };
        if is_in_back {
            if let Err(at) = self.back_ends.binary_search(&end) {
                self.back_ends.insert(at, end);
            }
            return self.back.merge_columns(columns, rows);
        }
        // A front entry holds its own slice and all newer ones up to the back.
        if !self.front.iter().any(|(slice, _)| *slice == end) {
            let at = self.front.partition_point(|(slice, _)| *slice > end);
            let mut keyed = fresh()?;
            if let Some(newer) = at.checked_sub(1).and_then(|at| self.front.get_mut(at)) {
                let newer = &mut newer.1;
                keyed.merge_columns(
                    &newer.keys_and_states(Groups::First(newer.len()))?,
                    newer.len(),
                )?;
            }
            self.front.insert(at, (end, keyed));
        }
        for (slice, keyed) in &mut self.front {
            if *slice <= end {
                keyed.merge_columns(columns, rows)?;
            }
        }
        Ok(())
    }

    /// Removes the slices that end at or before `start`.
    pub(super) fn evict(
        &mut self,
        start: i64,
        mut pane: impl FnMut(i64) -> Result<(Vec<ArrayRef>, usize)>,
        fresh: impl Fn() -> Result<Keyed>,
    ) -> Result<()> {
        while self.front.last().is_some_and(|(end, _)| *end <= start) {
            self.front.pop();
        }
        if !self.front.is_empty() || self.back_ends.first().is_none_or(|end| *end > start) {
            return Ok(());
        }
        let ends = std::mem::take(&mut self.back_ends);
        self.back.clear();
        for end in ends.into_iter().rev().take_while(|end| *end > start) {
            let mut keyed = fresh()?;
            if let Some((_, newer)) = self.front.last_mut() {
                let columns = newer.keys_and_states(Groups::First(newer.len()))?;
                keyed.merge_columns(&columns, newer.len())?;
            }
            let (columns, rows) = pane(end)?;
            if rows > 0 {
                keyed.merge_columns(&columns, rows)?;
            }
            self.front.push((end, keyed));
        }
        Ok(())
    }

    /// Returns the merge of all slices.
    pub(super) fn total(&mut self, fresh: impl Fn() -> Result<Keyed>) -> Result<Keyed> {
        let mut total = fresh()?;
        let front = self.front.last_mut().map(|(_, keyed)| keyed);
        for part in front.into_iter().chain([&mut self.back]) {
            let columns = part.keys_and_states(Groups::First(part.len()))?;
            total.merge_columns(&columns, part.len())?;
        }
        Ok(total)
    }

    pub(super) fn bytes(&self) -> usize {
        self.back.bytes() + self.front.iter().map(|(_, keyed)| keyed.bytes()).sum::<usize>()
    }
}
