//! Rows to the windows that hold them.
//!
//! Invariants: a row is late if none of its windows takes rows any more: each was over at the close
//! before, or its trigger is finished. A row that reaches a session that takes rows is never late. Rows
//! of one batch that are one session among themselves are judged together.

use arrow::array::{Array, Int64Array};
use thalweg_plan::trigger::{Machine, State};
use thalweg_plan::window::Assigner;

use super::cells::Cells;
use super::own_time::OwnTime;
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
    /// Says both for each key, where windows go by its rows.
    pub(super) own: Option<&'a OwnTime>,
}

impl Rule<'_> {
    fn is_over(&self, group: u32, end: i64) -> bool {
        match self.own {
            Some(own) => end <= own.over(group),
            None => self.over.is_some_and(|over| over.is_late(end)),
        }
    }

    fn is_complete(&self, group: u32, end: i64) -> bool {
        end <= self.own.map_or(self.complete, |own| own.complete(group))
    }
}

/// Assigns the rows of a batch.
pub(super) struct Assigning<'a> {
    pub(super) rule: Rule<'a>,
    pub(super) cells: &'a mut Cells,
    /// How many groups of aggregates there are.
    pub(super) slots: &'a mut u32,
    pub(super) assigned: Assigned,
}

/// A row, or several that are one session, of a group: from when to when.
type Stretch = (u32, i64, i64);

impl Assigning<'_> {
    /// Assigns rows of these groups to windows, which are made if they are not there; each row carries
    /// its window, its slice, or the session that it would have alone.
    pub(super) fn rows(
        mut self,
        groups: &[u32],
        bounds: Option<(&Int64Array, &Int64Array)>,
    ) -> Assigned {
        let mut sessions = Vec::new();
        for (row, group) in (0..).zip(groups.iter().copied()) {
            let Some((starts, ends)) = bounds else {
                self.row((row, group), &[(i64::MIN, i64::MAX)]);
                continue;
            };
            let at = row as usize;
            if starts.is_null(at) || ends.is_null(at) {
                self.assigned.late.push(row);
                continue;
            }
            let (start, end) = (starts.value(at), ends.value(at));
            match self.rule.assigner {
                Some(assigner) if assigner.is_merging() => {
                    sessions.push(((group, start, end), row))
                }
                Some(assigner @ (Assigner::Hop { .. } | Assigner::Cumulate { .. })) => {
                    self.row((row, group), &assigner.windows_of(start));
                }
                _ => self.row((row, group), &[(start, end)]),
            }
        }
        self.sessions(sessions);
        self.assigned
    }

    /// Assigns a row to those of its windows that take rows.
    fn row(&mut self, (row, group): (u32, u32), windows: &[(i64, i64)]) {
        let before = self.assigned.pairs.len();
        for (start, end) in windows {
            if self.rule.is_over(group, *end) {
                continue;
            }
            let place = (group, *start, *end);
            let number = self.cells.find(place).unwrap_or_else(|| self.open(place));
            if !self.rule.machine.is_finished(&self.cells.get(number).trigger) {
                self.cells.touch(number);
                self.assigned.pairs.push((row, number));
            }
        }
        if self.assigned.pairs.len() == before {
            self.assigned.late.push(row);
        }
    }

    fn open(&mut self, place: Stretch) -> u32 {
        *self.slots += 1;
        self.cells.add(place, (*self.slots - 1, self.rule.machine.begin()))
    }

    /// Cuts rows into runs that are one session among themselves, and puts each into its session.
    fn sessions(&mut self, mut rows: Vec<(Stretch, u32)>) {
        rows.sort_unstable();
        let mut rest = rows.as_slice();
        while let Some(((group, start, mut end), _)) = rest.first().copied() {
            let mut length = 1;
            for ((next_group, next_start, next_end), _) in &rest[1..] {
                if *next_group != group || *next_start > end {
                    break;
                }
                end = end.max(*next_end);
                length += 1;
            }
            let (run, others) = rest.split_at(length);
            rest = others;
            match self.session((group, start, end)) {
                Some(number) => {
                    run.iter().for_each(|_| self.cells.touch(number));
                    self.assigned.pairs.extend(run.iter().map(|(_, row)| (*row, number)));
                }
                None => self.assigned.late.extend(run.iter().map(|(_, row)| *row)),
            }
        }
        self.assigned.pairs.sort_unstable();
        self.assigned.late.sort_unstable();
    }

    /// Returns the session that rows are part of; sessions that they join become one. `None` if it
    /// takes no rows.
    fn session(&mut self, (group, start, end): Stretch) -> Option<u32> {
        let reached = self.cells.reached(group, start, end);
        let (Some(first), Some(last)) = (reached.first().copied(), reached.last()) else {
            return (!self.rule.is_over(group, end)).then(|| self.open((group, start, end)));
        };
        let own = self.cells.get(first);
        let whole = (own.start.min(start), self.cells.get(*last).end.max(end));
        let has_grown = reached.len() > 1 || whole != (own.start, own.end);
        let trigger = match has_grown {
            false => own.trigger.clone(),
            true => {
                let states: Vec<&State> =
                    reached.iter().map(|number| &self.cells.get(*number).trigger).collect();
                self.rule.machine.merge(&states, self.rule.is_complete(group, whole.1))
            }
        };
        if self.rule.machine.is_finished(&trigger) {
            return None;
        }
        self.cells.get_mut(first).trigger = trigger;
        reached[1..].iter().for_each(|other| self.join(first, *other));
        if has_grown {
            self.cells.stretch(first, whole);
        }
        Some(first)
    }

    /// Lets a session become part of another one.
    fn join(&mut self, into: u32, other: u32) {
        let other = self.cells.remove(other);
        let cell = self.cells.get_mut(into);
        cell.arrived += other.arrived;
        cell.waiting += other.waiting;
        cell.panes = cell.panes.max(other.panes);
        cell.sent.extend(other.sent);
        self.assigned.joined.0.push(cell.slot);
        self.assigned.joined.1.push(other.slot);
    }
}
