//! Time-to-live: what was not written for so long is forgotten.
//!
//! Invariants: something is forgotten at a close at which the clock has passed its last writing by the
//! time-to-live, and at most a sixteenth of it later; being written again costs a comparison, however
//! often. After a restore everything counts as written then: nothing is forgotten too early.

use std::collections::VecDeque;
use std::time::Duration;

use thalweg_types::EventTime;

/// Parts of a time-to-live that are told apart.
const PARTS: i64 = 16;
/// Something that is not there.
const NEVER: u32 = u32::MAX;

/// When numbered things (groups, rows) were written last.
#[derive(Debug)]
pub struct Idle {
    /// Nanoseconds of a tick.
    tick: i64,
    /// The tick in which each was written last.
    last: Vec<u32>,
    /// By tick what was written in it, the oldest first; some were written again later.
    written: VecDeque<(u32, Vec<u32>)>,
    /// The first tick of all, from which others count.
    origin: Option<i64>,
}

impl Idle {
    /// Returns a watch of things that live for `ttl`.
    pub fn new(ttl: Duration) -> Idle {
        let nanos = i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX);
        let tick = (nanos / PARTS).max(1);
        Idle { tick, last: Vec::new(), written: VecDeque::new(), origin: None }
    }

    fn tick_of(&mut self, clock: EventTime) -> u32 {
        let tick = clock.0.div_euclid(self.tick);
        let origin = *self.origin.get_or_insert(tick);
        (tick - origin).clamp(0, i64::from(NEVER - 1)) as u32
    }

    /// Notes that these were written.
    pub fn write(&mut self, things: &[u32], clock: EventTime) {
        let now = self.tick_of(clock);
        let Some(greatest) = things.iter().max() else { return };
        let needed = *greatest as usize + 1;
        if needed > self.last.len() {
            self.last.resize(needed.next_power_of_two(), NEVER);
        }
        if self.written.back().is_none_or(|(tick, _)| *tick < now) {
            self.written.push_back((now, Vec::new()));
        }
        let (_, written) = self.written.back_mut().expect("a tick was just opened");
        for thing in things {
            let last = &mut self.last[*thing as usize];
            if *last != now {
                *last = now;
                written.push(*thing);
            }
        }
    }

    /// Returns what was not written for the time-to-live, and forgets it; who asks knows which of them
    /// are there still.
    pub fn take(&mut self, clock: EventTime) -> Vec<u32> {
        let now = self.tick_of(clock);
        let mut gone = Vec::new();
        while let Some((tick, _)) = self.written.front()
            && now > *tick + PARTS as u32
        {
            let (tick, things) = self.written.pop_front().expect("there is a first one");
            for thing in things {
                let last = &mut self.last[thing as usize];
                if *last == tick {
                    *last = NEVER;
                    gone.push(thing);
                }
            }
        }
        gone
    }

    /// Returns when something is forgotten next.
    pub fn wake(&self) -> Option<EventTime> {
        let (tick, _) = self.written.front()?;
        let tick = self.origin? + i64::from(*tick) + PARTS + 1;
        Some(EventTime(tick.saturating_mul(self.tick)))
    }

    /// Gives things new numbers: `old[new]` is what one was called.
    pub fn renumber(&mut self, old: &[u32]) {
        let mut new = vec![NEVER; self.last.len()];
        for (number, old) in old.iter().enumerate() {
            if let Some(place) = new.get_mut(*old as usize) {
                *place = number as u32;
            }
        }
        self.last =
            old.iter().map(|old| self.last.get(*old as usize).copied().unwrap_or(NEVER)).collect();
        for (_, things) in &mut self.written {
            things.retain_mut(|thing| {
                *thing = new[*thing as usize];
                *thing != NEVER
            });
        }
    }

    /// Returns about how many bytes this takes.
    pub fn bytes(&self) -> usize {
        let written: usize = self.written.iter().map(|(_, things)| things.capacity()).sum();
        (self.last.capacity() + written) * 4
    }
}

#[cfg(test)]
mod tests;
