//! How long a join keeps rows that nothing else bounds: the time-to-live of each side.

use thalweg_types::EventTime;

use super::side::Side;
use crate::operators::idle::Idle;

/// The times at which the rows of both sides were written.
pub(super) struct Lifetimes {
    idle: [Option<Idle>; 2],
    /// Slots written in the open epoch, whose clock is known at its close.
    fresh: [Vec<u32>; 2],
}

impl Lifetimes {
    /// Returns the lifetimes of sides with these times-to-live.
    pub(super) fn new(ttl: [Option<std::time::Duration>; 2]) -> Lifetimes {
        Lifetimes { idle: ttl.map(|ttl| ttl.map(Idle::new)), fresh: Default::default() }
    }

    /// Can rows of a side be forgotten?
    pub(super) fn ends(&self, side: usize) -> bool {
        self.idle[side].is_some()
    }

    /// Notes that rows of a side were written.
    pub(super) fn write(&mut self, side: usize, slots: &[u32]) {
        if self.ends(side) {
            self.fresh[side].extend_from_slice(slots);
        }
    }

    /// Notes that rows of a side were restored.
    pub(super) fn restore(&mut self, side: usize, slots: &[u32], clock: EventTime) {
        if let Some(idle) = &mut self.idle[side] {
            idle.write(slots, clock);
        }
    }

    /// Forgets the rows whose time is over; returns how many.
    pub(super) fn close(&mut self, sides: &mut [Side; 2], clock: EventTime) -> usize {
        let mut forgotten = 0;
        for (side, idle) in self.idle.iter_mut().enumerate() {
            let Some(idle) = idle else { continue };
            idle.write(&std::mem::take(&mut self.fresh[side]), clock);
            for slot in idle.take(clock) {
                if sides[side].rows.is_alive(slot) {
                    sides[side].forget(slot);
                    forgotten += 1;
                }
            }
        }
        forgotten
    }

    /// Returns when a row is forgotten next.
    pub(super) fn wake(&self) -> Option<EventTime> {
        self.idle.iter().flatten().filter_map(Idle::wake).min()
    }

    /// Returns about how many bytes this takes.
    pub(super) fn bytes(&self) -> usize {
        self.idle.iter().flatten().map(Idle::bytes).sum()
    }
}
