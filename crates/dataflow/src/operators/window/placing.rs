//! Rows into sessions: what aggregates of sessions and their rows themselves have in common.

use arrow::array::{Array, Int64Array};

use super::session_list::SessionList;
use crate::operators::due::Due;

/// Where the rows of a batch went.
#[derive(Default)]
pub(super) struct Placed {
    /// For each row the slot of its session; of no meaning for late rows.
    pub(super) slots: Vec<u32>,
    /// Rows that are late or have no time, in order.
    pub(super) late: Vec<u32>,
    /// Slots of sessions that became one, each as (into, from).
    pub(super) joined: Vec<(u32, u32)>,
}

impl Placed {
    /// Returns the rows that are in time, in order, if some are not.
    pub(super) fn good(&self) -> Option<Vec<u32>> {
        let is_good = |row: &u32| self.late.binary_search(row).is_err();
        (!self.late.is_empty()).then(|| (0..self.slots.len() as u32).filter(is_good).collect())
    }
}

/// Places rows of these groups, each from its start to its end; rows that are one session among
/// themselves are placed together.
pub(super) fn place(
    list: &mut SessionList,
    due: &Due,
    groups: &[u32],
    (starts, ends): (&Int64Array, &Int64Array),
) -> Placed {
    let mut placed = Placed { slots: vec![0; groups.len()], ..Placed::default() };
    let mut order: Vec<(u32, i64, u32)> = Vec::with_capacity(groups.len());
    for (row, group) in groups.iter().enumerate() {
        match starts.is_valid(row) && ends.is_valid(row) {
            true => order.push((*group, starts.value(row), row as u32)),
            false => placed.late.push(row as u32),
        }
    }
    order.sort_unstable();
    let mut rest = order.as_slice();
    while let Some((group, start, first)) = rest.first().copied() {
        let mut end = ends.value(first as usize);
        let mut length = 1;
        for (next_group, next_start, row) in &rest[1..] {
            if *next_group != group || *next_start > end {
                break;
            }
            end = end.max(ends.value(*row as usize));
            length += 1;
        }
        let (run, others) = rest.split_at(length);
        rest = others;
        match list.place((group, start, end), |end| due.is_late(end), &mut placed.joined) {
            Some(slot) => run.iter().for_each(|(_, _, row)| placed.slots[*row as usize] = slot),
            None => placed.late.extend(run.iter().map(|(_, _, row)| *row)),
        }
    }
    placed.late.sort_unstable();
    placed
}
