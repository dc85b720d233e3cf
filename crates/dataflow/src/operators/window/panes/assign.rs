//! Rows to the windows that hold them.
//!
//! Invariants: a row is late if none of its windows takes rows any more: each was over at the close
//! before, or its trigger is finished. A row that reaches a session that takes rows is never late. Rows
//! of one batch that are one session among themselves are judged together.

use arrow::array::{Array, Int64Array};
use thalweg_plan::trigger::{Machine, State};
use thalweg_plan::window::Assigner;

use super::cells::Cells;
use crate::operators::due::Due;

/// Where the rows of a batch went.
#[derive(Debug, Default)]
pub(super) struct Assigned {
    /// Rows and their windows, in order of rows; a row may be in several windows.
    pub(super) pairs: Vec<(u32, u32)>,
    /// Rows that no window takes, in order.
    pub(super) late: Vec<u32>,
    /// Aggregates of sessions that became one: into which slots, and from which.
    pub(super) joined: (Vec<u32>, Vec<u32>),
}

/// What says which windows take rows.
pub(super) struct Rule<'a> {
    pub(super) machine: &'a Machine,
    /// How windows are made; `None` for one of all time.
    pub(super) assigner: Option<Assigner>,
    /// Windows that end at or before this were complete at the last close.
    pub(super) complete: i64,
    /// Tells windows that were over at the last close.
    pub(super) over: Option<Due>,
}

impl Rule<'_> {
    fn is_over(&self, end: i64) -> bool {
        self.over.is_some_and(|over| over.is_late(end))
    }

    /// Assigns rows of these groups to windows, which are made if they are not there; each row carries
    /// its window, its slice, or the session it would have alone. `slots` counts aggregates.
    pub(super) fn assign(
        &self,
        cells: &mut Cells,
        groups: &[u32],
        bounds: Option<(&Int64Array, &Int64Array)>,
        slots: &mut u32,
    ) -> Assigned {
        let mut assigned = Assigned::default();
        let Some((starts, ends)) = bounds else {
            for (row, group) in (0..).zip(groups) {
                let windows = [(i64::MIN, i64::MAX)];
                self.into_windows(cells, (row, *group), &windows, slots, &mut assigned);
            }
            return assigned;
        };
        let mut sessions = Vec::new();
        for (row, group) in (0..).zip(groups) {
            let at = row as usize;
            if starts.is_null(at) || ends.is_null(at) {
                assigned.late.push(row);
                continue;
            }
            let (start, end) = (starts.value(at), ends.value(at));
            match self.assigner {
                Some(Assigner::Session { .. }) => sessions.push((*group, start, end, row)),
                Some(assigner @ (Assigner::Hop { .. } | Assigner::Cumulate { .. })) => {
                    let windows = assigner.windows_of(start);
                    self.into_windows(cells, (row, *group), &windows, slots, &mut assigned);
                }
                _ => {
                    let windows = [(start, end)];
                    self.into_windows(cells, (row, *group), &windows, slots, &mut assigned);
                }
            }
        }
        self.into_sessions(cells, sessions, slots, &mut assigned);
        assigned
    }

    fn into_windows(
        &self,
        cells: &mut Cells,
        (row, group): (u32, u32),
        windows: &[(i64, i64)],
        slots: &mut u32,
        assigned: &mut Assigned,
    ) {
        let before = assigned.pairs.len();
        for (start, end) in windows.iter().filter(|(_, end)| !self.is_over(*end)) {
            let place = (group, *start, *end);
            let number = cells.find(place).unwrap_or_else(|| self.open(cells, place, slots));
            if !self.machine.is_finished(&cells.get(number).trigger) {
                cells.touch(number);
                assigned.pairs.push((row, number));
            }
        }
        if assigned.pairs.len() == before {
            assigned.late.push(row);
        }
    }

    fn open(&self, cells: &mut Cells, place: (u32, i64, i64), slots: &mut u32) -> u32 {
        *slots += 1;
        cells.add(place, (*slots - 1, self.machine.begin()))
    }

    /// Cuts rows into runs that are one session among themselves, and puts each into its session.
    fn into_sessions(
        &self,
        cells: &mut Cells,
        mut rows: Vec<(u32, i64, i64, u32)>,
        slots: &mut u32,
        assigned: &mut Assigned,
    ) {
        rows.sort_unstable();
        let mut rest = rows.as_slice();
        while let Some((group, start, mut end, _)) = rest.first().copied() {
            let mut length = 1;
            for (next_group, next_start, next_end, _) in &rest[1..] {
                if *next_group != group || *next_start > end {
                    break;
                }
                end = end.max(*next_end);
                length += 1;
            }
            let (run, others) = rest.split_at(length);
            rest = others;
            match self.session(cells, (group, start, end), slots, assigned) {
                Some(number) => {
                    run.iter().for_each(|_| cells.touch(number));
                    assigned.pairs.extend(run.iter().map(|(_, _, _, row)| (*row, number)));
                }
                None => assigned.late.extend(run.iter().map(|(_, _, _, row)| *row)),
            }
        }
        assigned.pairs.sort_unstable();
        assigned.late.sort_unstable();
    }

    /// Returns the session that rows from `start` to `end` are part of; sessions that they join become
    /// one. `None` if it takes no rows.
    fn session(
        &self,
        cells: &mut Cells,
        (group, start, end): (u32, i64, i64),
        slots: &mut u32,
        assigned: &mut Assigned,
    ) -> Option<u32> {
        let reached = cells.reached(group, start, end);
        let (Some(first), Some(last)) = (reached.first().copied(), reached.last()) else {
            return (!self.is_over(end)).then(|| self.open(cells, (group, start, end), slots));
        };
        let (own, whole_start) = (cells.get(first), cells.get(first).start.min(start));
        let whole_end = cells.get(*last).end.max(end);
        let has_grown = reached.len() > 1 || (whole_start, whole_end) != (own.start, own.end);
        let trigger = match has_grown {
            false => own.trigger.clone(),
            true => {
                let states: Vec<&State> =
                    reached.iter().map(|number| &cells.get(*number).trigger).collect();
                self.machine.merge(&states, whole_end <= self.complete)
            }
        };
        if self.machine.is_finished(&trigger) {
            return None;
        }
        cells.get_mut(first).trigger = trigger;
        for other in &reached[1..] {
            let other = cells.remove(*other);
            let cell = cells.get_mut(first);
            cell.arrived += other.arrived;
            cell.waiting += other.waiting;
            cell.panes = cell.panes.max(other.panes);
            cell.sent.extend(other.sent);
            assigned.joined.0.push(cell.slot);
            assigned.joined.1.push(other.slot);
        }
        if has_grown {
            cells.stretch(first, whole_start, whole_end);
        }
        Some(first)
    }
}
