//! Which windows there are of each key, and what is known of each but for its aggregates.
//!
//! Invariants: sessions of a key neither overlap nor touch; windows are found by key and bounds, by
//! their ends and by the clock at which their trigger asks to be looked at. It decides nothing; merging
//! aggregates is the caller's work.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use thalweg_plan::trigger::State;

use crate::operators::group_set::GroupSet;

/// A window of a key.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    /// Group of the key.
    pub(super) group: u32,
    pub(super) start: i64,
    pub(super) end: i64,
    /// Group of its aggregates.
    pub(super) slot: u32,
    /// What its trigger has seen, but for the rows of the open epoch.
    pub(super) trigger: State,
    /// Rows of the open epoch.
    pub(super) arrived: u64,
    /// Rows that no pane has yet, those of the open epoch included.
    pub(super) waiting: u64,
    /// How many panes were sent.
    pub(super) panes: i64,
    /// Rows of the last pane, which a next one takes back; several for sessions that became one.
    pub(super) sent: Vec<u32>,
    /// The clock at which its trigger may fire without another row.
    timer: Option<i64>,
    /// Is a row of state saved under its key and bounds?
    is_saved: bool,
}

/// Windows of all keys, each with a number.
#[derive(Debug, Default)]
pub(super) struct Cells {
    cells: Vec<Option<Cell>>,
    /// Numbers of which there is no window.
    free: Vec<u32>,
    /// By group, start and end.
    places: BTreeMap<(u32, i64, i64), u32>,
    /// By end.
    ends: BTreeSet<(i64, u32)>,
    timers: BTreeSet<(i64, u32)>,
    /// Those with rows in the open epoch.
    touched: GroupSet,
    /// Those to be saved.
    changed: GroupSet,
    /// Groups and bounds under which nothing is saved any more.
    gone: Vec<(u32, i64, i64)>,
}

/// Times of two closes, between which windows become due.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closing {
    /// Windows that end at or before this were complete at the close before.
    pub(super) before: i64,
    /// Windows that end at or before this are complete.
    pub(super) complete: i64,
    /// Windows that end at or before this take no more rows.
    pub(super) over: i64,
    /// The clock, in nanoseconds.
    pub(super) clock: i64,
}

impl Cells {
    /// Returns the number of windows.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Returns how many keys' groups must be kept at most.
    pub(super) fn used(&self) -> usize {
        self.places.len() + self.gone.len()
    }

    /// Returns window `number`.
    pub(super) fn get(&self, number: u32) -> &Cell {
        self.cells[number as usize].as_ref().expect("numbers are those of windows that are there")
    }

    pub(super) fn get_mut(&mut self, number: u32) -> &mut Cell {
        self.cells[number as usize].as_mut().expect("numbers are those of windows that are there")
    }

    /// Returns the window of a group with these bounds.
    pub(super) fn find(&self, place: (u32, i64, i64)) -> Option<u32> {
        self.places.get(&place).copied()
    }

    /// Returns the windows of a group that overlap or touch `start` to `end`, the earliest first; only
    /// where windows are sessions.
    pub(super) fn reached(&self, group: u32, start: i64, end: i64) -> Vec<u32> {
        let places = self.places.range((group, i64::MIN, i64::MIN)..=(group, end, i64::MAX)).rev();
        let mut found: Vec<u32> =
            places.take_while(|((_, _, own), _)| *own >= start).map(|(_, cell)| *cell).collect();
        found.reverse();
        found
    }

    /// Adds a window; returns its number.
    pub(super) fn add(&mut self, (group, start, end): (u32, i64, i64), made: (u32, State)) -> u32 {
        let (slot, trigger) = made;
        let (arrived, waiting, panes, sent, timer) = (0, 0, 0, Vec::new(), None);
        let is_saved = false;
        let cell = Cell {
            group,
            start,
            end,
            slot,
            trigger,
            arrived,
            waiting,
            panes,
            sent,
            timer,
            is_saved,
        };
        let number = self.free.pop().unwrap_or(self.cells.len() as u32);
        if number as usize == self.cells.len() {
            self.cells.push(None);
        }
        self.cells[number as usize] = Some(cell);
        self.place(number);
        number
    }

    /// Adds a restored window, which is saved; returns its number.
    pub(super) fn restore(&mut self, place: (u32, i64, i64), made: (u32, State)) -> u32 {
        let number = self.add(place, made);
        self.get_mut(number).is_saved = true;
        number
    }

    fn place(&mut self, number: u32) {
        let Cell { group, start, end, .. } = *self.get(number);
        self.places.insert((group, start, end), number);
        self.ends.insert((end, number));
    }

    fn displace(&mut self, number: u32) {
        let Cell { group, start, end, is_saved, .. } = *self.get(number);
        self.places.remove(&(group, start, end));
        self.ends.remove(&(end, number));
        if is_saved {
            self.gone.push((group, start, end));
        }
        self.get_mut(number).is_saved = false;
    }

    /// Takes a window out.
    pub(super) fn remove(&mut self, number: u32) -> Cell {
        self.displace(number);
        self.set_timer(number, None);
        self.free.push(number);
        self.cells[number as usize].take().expect("it was there")
    }

    /// Lets a session reach from `start` to `end`.
    pub(super) fn stretch(&mut self, number: u32, (start, end): (i64, i64)) {
        self.displace(number);
        let cell = self.get_mut(number);
        (cell.start, cell.end) = (start, end);
        self.place(number);
        self.changed.insert(number);
    }

    /// Notes a row of a window in the open epoch.
    pub(super) fn touch(&mut self, number: u32) {
        let cell = self.get_mut(number);
        cell.arrived += 1;
        cell.waiting += 1;
        self.touched.insert(number);
        self.changed.insert(number);
    }

    /// Notes that a window is to be saved.
    pub(super) fn change(&mut self, number: u32) {
        self.changed.insert(number);
    }

    /// Lets a window be looked at when the clock reaches a time, and no more when it did before.
    pub(super) fn set_timer(&mut self, number: u32, timer: Option<i64>) {
        let before = std::mem::replace(&mut self.get_mut(number).timer, timer);
        if before == timer {
            return;
        }
        if let Some(before) = before {
            self.timers.remove(&(before, number));
        }
        if let Some(timer) = timer {
            self.timers.insert((timer, number));
        }
    }

    /// Returns the windows about which something is to be decided at a close, in order of their ends,
    /// then starts, then keys.
    pub(super) fn due(&mut self, closing: &Closing) -> Vec<u32> {
        let mut due = self.awake(closing.clock);
        let completed = (closing.before, closing.complete);
        if completed.0 < completed.1 {
            let ends = (
                Bound::Excluded((completed.0, u32::MAX)),
                Bound::Included((completed.1, u32::MAX)),
            );
            due.extend(self.ends.range(ends).map(|(_, number)| number));
        }
        due.extend(self.ends.range(..=(closing.over, u32::MAX)).map(|(_, number)| number));
        self.in_order(due)
    }

    /// Returns the same where windows go by the rows of their key: of these groups those that end at or
    /// before a time are complete.
    pub(super) fn due_by_key(
        &mut self,
        clock: i64,
        complete: impl Iterator<Item = (u32, i64)>,
    ) -> Vec<u32> {
        let mut due = self.awake(clock);
        for (group, complete) in complete {
            let places =
                self.places.range((group, i64::MIN, i64::MIN)..=(group, i64::MAX, i64::MAX));
            due.extend(places.filter(|((_, _, end), _)| *end <= complete).map(|(_, cell)| *cell));
        }
        self.in_order(due)
    }

    /// Returns the windows with rows in the open epoch, and those whose timers are due.
    fn awake(&mut self, clock: i64) -> Vec<u32> {
        let touched = self.touched.take().into_iter();
        // A window that became part of another one is not there any more.
        let mut awake: Vec<u32> =
            touched.filter(|number| self.cells[*number as usize].is_some()).collect();
        awake.extend(self.timers.range(..=(clock, u32::MAX)).map(|(_, number)| number));
        awake
    }

    fn in_order(&self, mut due: Vec<u32>) -> Vec<u32> {
        due.sort_unstable_by_key(|number| {
            let cell = self.get(*number);
            (cell.end, cell.start, cell.group, *number)
        });
        due.dedup();
        due
    }

    /// Returns the first end behind `complete`.
    pub(super) fn next_end(&self, complete: i64) -> Option<i64> {
        let behind = (Bound::Excluded((complete, u32::MAX)), Bound::Unbounded);
        self.ends.range(behind).next().map(|(end, _)| *end)
    }

    /// Returns the earliest clock at which a window is to be looked at.
    pub(super) fn next_timer(&self) -> Option<i64> {
        self.timers.first().map(|(timer, _)| *timer)
    }

    /// Returns the windows to save, all of them or those that changed, and takes them for saved.
    pub(super) fn save(&mut self, all: bool) -> Vec<u32> {
        let mut changed = self.changed.take();
        match all {
            true => changed = self.places.values().copied().collect(),
            false => changed.retain(|number| self.cells[*number as usize].is_some()),
        }
        changed.iter().for_each(|number| self.get_mut(*number).is_saved = true);
        changed
    }

    /// Returns the groups and bounds under which nothing is saved any more, and forgets them.
    pub(super) fn take_gone(&mut self) -> Vec<(u32, i64, i64)> {
        std::mem::take(&mut self.gone)
    }

    /// Returns the numbers of all windows, in order of groups, then of time.
    pub(super) fn all(&self) -> Vec<u32> {
        self.places.values().copied().collect()
    }

    /// Returns a window of the group that holds `start`.
    pub(super) fn holding(&self, group: u32, start: i64) -> Option<u32> {
        let mut before = self.places.range((group, i64::MIN, i64::MIN)..=(group, start, i64::MAX));
        before.next_back().map(|(_, number)| *number)
    }

    /// Gives windows new groups of keys and aggregates: `numbers`, as [`Cells::all`] returned them, get
    /// those beside them. What is gone was taken before and comes back as `gone`, with its new groups.
    pub(super) fn renumber(&mut self, numbers: &[u32], groups: &[u32], gone: Vec<(u32, i64, i64)>) {
        self.places.clear();
        for (slot, (number, group)) in (0..).zip(numbers.iter().zip(groups)) {
            let cell = self.get_mut(*number);
            (cell.group, cell.slot) = (*group, slot);
            let place = (cell.group, cell.start, cell.end);
            self.places.insert(place, *number);
        }
        self.gone = gone;
    }

    /// Returns about how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        let cell = size_of::<Option<Cell>>() + self.cells.first().map_or(0, |_| 32);
        let lists = self.touched.bytes() + self.changed.bytes() + self.gone.capacity() * 24;
        self.cells.capacity() * cell + self.len() * 64 + self.timers.len() * 24 + lists
    }
}
