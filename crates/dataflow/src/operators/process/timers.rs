//! Timers of keys: which there are, which are due, what of them changed since the last snapshot.
//!
//! Invariant: a key has one timer at most of each time and basis.

use std::collections::BTreeSet;

use thalweg_plan::process::{EPOCH_END, TimerChange};
use thalweg_plan::window::TimeBasis;
use thalweg_types::EventTime;

/// A timer: its basis, its time in nanoseconds, the group of its key.
pub(super) type Timer = (TimeBasis, i64, u32);

/// The timers of some keys.
#[derive(Debug, Default)]
pub(super) struct Timers {
    /// By time, then group.
    event: BTreeSet<(i64, u32)>,
    processing: BTreeSet<(i64, u32)>,
    /// Timers that were set, fired or deleted since the last snapshot.
    changed: BTreeSet<(bool, i64, u32)>,
}

impl Timers {
    fn of(&mut self, basis: TimeBasis) -> &mut BTreeSet<(i64, u32)> {
        match basis {
            TimeBasis::Event => &mut self.event,
            TimeBasis::Processing => &mut self.processing,
        }
    }

    /// Sets a timer, or deletes it.
    pub(super) fn change(&mut self, change: TimerChange) {
        let TimerChange { group, basis, time, is_set } = change;
        let is_other = match is_set {
            true => self.of(basis).insert((time.0, group)),
            false => self.of(basis).remove(&(time.0, group)),
        };
        if is_other {
            self.changed.insert((basis == TimeBasis::Event, time.0, group));
        }
    }

    /// Adds a timer that was saved.
    pub(super) fn restore(&mut self, (basis, time, group): Timer) {
        self.of(basis).insert((time, group));
    }

    /// Returns the earliest timer that is due: by event time first.
    pub(super) fn due(&self, event: i64, processing: i64) -> Option<(TimeBasis, i64)> {
        let first = |set: &BTreeSet<(i64, u32)>, limit: i64| {
            set.first().map(|(time, _)| *time).filter(|time| *time <= limit)
        };
        let event = first(&self.event, event).map(|time| (TimeBasis::Event, time));
        let later = || first(&self.processing, processing).map(|at| (TimeBasis::Processing, at));
        event.or_else(later)
    }

    /// Takes the timers of a time, which is the earliest one; returns their groups.
    pub(super) fn take(&mut self, (basis, time): (TimeBasis, i64)) -> Vec<u32> {
        let set = self.of(basis);
        let later = match time.checked_add(1) {
            Some(next) => set.split_off(&(next, 0)),
            None => BTreeSet::new(),
        };
        let due = std::mem::replace(set, later);
        let is_event = basis == TimeBasis::Event;
        self.changed.extend(due.iter().map(|(time, group)| (is_event, *time, *group)));
        due.into_iter().map(|(_, group)| group).collect()
    }

    /// Returns the clock's time of the first timer by it; the end of an epoch comes by itself.
    pub(super) fn wake(&self) -> Option<EventTime> {
        let mut later = self.processing.range((EPOCH_END.0 + 1, 0)..);
        later.next().map(|(time, _)| EventTime(*time))
    }

    /// Returns all timers.
    pub(super) fn all(&self) -> impl Iterator<Item = Timer> {
        let event = self.event.iter().map(|(time, group)| (TimeBasis::Event, *time, *group));
        let processing = self.processing.iter();
        event.chain(processing.map(|(time, group)| (TimeBasis::Processing, *time, *group)))
    }

    /// Takes what changed: timers that there are now, and ones that are gone.
    pub(super) fn take_changed(&mut self) -> (Vec<Timer>, Vec<Timer>) {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let changed = changed.map(|(is_event, time, group)| match is_event {
            true => (TimeBasis::Event, time, group),
            false => (TimeBasis::Processing, time, group),
        });
        let is_there = |timer: &Timer| match timer.0 {
            TimeBasis::Event => self.event.contains(&(timer.1, timer.2)),
            TimeBasis::Processing => self.processing.contains(&(timer.1, timer.2)),
        };
        changed.partition(is_there)
    }

    /// Gives groups new numbers; nothing changed since the last snapshot.
    pub(super) fn renumber(&mut self, new: &[Option<u32>]) {
        let number = |set: &BTreeSet<(i64, u32)>| {
            let moved = |(time, group): &(i64, u32)| Some((*time, new[*group as usize]?));
            set.iter().filter_map(moved).collect()
        };
        (self.event, self.processing) = (number(&self.event), number(&self.processing));
    }

    /// Returns how many timers there are.
    pub(super) fn len(&self) -> usize {
        self.event.len() + self.processing.len()
    }
}
