//! Which sessions there are: for each key a list in order of time, without their aggregates.
//!
//! Invariants: the live sessions of a key neither overlap nor touch; a session's slot is the
//! group of its aggregates and stays the same while it lives; each live session has exactly one
//! timer, at its end or earlier. It decides only; merging states is the caller's work.

use std::collections::BTreeMap;

use crate::operators::batches::groups_of;

/// Stands for no slot.
const NONE: u32 = u32::MAX;

/// A session of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    /// Group of the key.
    pub(super) group: u32,
    /// Time of the first row.
    pub(super) start: i64,
    /// Time of the last row, plus the gap.
    pub(super) end: i64,
    /// The key's next later session.
    next: u32,
    is_live: bool,
    /// Is a row of state saved under its key and start?
    is_saved: bool,
    /// Did it change since the last snapshot?
    is_changed: bool,
}

/// The sessions of all keys.
#[derive(Debug, Default)]
pub(super) struct SessionList {
    /// By slot; ended ones stay until the list is packed.
    sessions: Vec<Session>,
    /// For each group the slot of its earliest session.
    heads: Vec<u32>,
    /// Slots to look at once windows that end so are complete. A session that grows keeps its
    /// timer and gets a new one when that is due: growing is frequent and must be cheap.
    timers: BTreeMap<i64, Vec<u32>>,
    live: usize,
    changed: Vec<u32>,
    /// Groups and starts of saved sessions that became part of others.
    gone: Vec<(u32, i64)>,
}

impl SessionList {
    /// Returns the number of slots.
    pub(super) fn slots(&self) -> usize {
        self.sessions.len()
    }

    /// Returns the number of live sessions.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// Returns how many slots or groups must be kept.
    pub(super) fn used(&self) -> usize {
        self.live + self.gone.len()
    }

    /// Returns the session in a slot.
    pub(super) fn get(&self, slot: u32) -> Session {
        self.sessions[slot as usize]
    }

    /// Makes room for this many groups.
    pub(super) fn grow(&mut self, groups: usize) {
        self.heads.resize(groups.max(self.heads.len()), NONE);
    }

    /// Returns the slot of the session that rows from `start` to `end` belong to, `None` if they
    /// reach no live session and `is_late` says so of their end. Sessions that they join become
    /// one; the slots to merge are added to `joined`, each as (into, from).
    pub(super) fn place(
        &mut self,
        (group, start, end): (u32, i64, i64),
        is_late: impl Fn(i64) -> bool,
        joined: &mut Vec<(u32, u32)>,
    ) -> Option<u32> {
        let (mut before, mut slot) = (NONE, self.heads[group as usize]);
        while let Some(session) = self.sessions.get(slot as usize).filter(|s| s.end < start) {
            (before, slot) = (slot, session.next);
        }
        match self.sessions.get(slot as usize).copied().filter(|session| session.start <= end) {
            Some(session) => {
                self.extend(slot, session, (start, end), joined);
                Some(slot)
            }
            None if is_late(end) => None,
            None => {
                let new = self.insert((group, start, end), slot);
                match self.sessions.get_mut(before as usize) {
                    Some(before) => before.next = new,
                    None => self.heads[group as usize] = new,
                }
                Some(new)
            }
        }
    }

    fn insert(&mut self, (group, start, end): (u32, i64, i64), next: u32) -> u32 {
        let slot = self.sessions.len() as u32;
        let (is_live, is_saved, is_changed) = (true, false, true);
        self.sessions.push(Session { group, start, end, next, is_live, is_saved, is_changed });
        self.timers.entry(end).or_default().push(slot);
        self.changed.push(slot);
        self.live += 1;
        slot
    }

    /// Lets a session reach from `start` to `end` too, and swallow the later ones it reaches.
    fn extend(
        &mut self,
        slot: u32,
        mut session: Session,
        (start, end): (i64, i64),
        joined: &mut Vec<(u32, u32)>,
    ) {
        if start < session.start {
            self.forget(&session);
            session.is_saved = false;
            session.start = start;
        }
        session.end = session.end.max(end);
        while let Some(later) = self.sessions.get_mut(session.next as usize) {
            if later.start > session.end {
                break;
            }
            joined.push((slot, session.next));
            later.is_live = false;
            let later = *later;
            (session.end, session.next) = (session.end.max(later.end), later.next);
            self.live -= 1;
            self.forget(&later);
        }
        if !std::mem::replace(&mut session.is_changed, true) {
            self.changed.push(slot);
        }
        self.sessions[slot as usize] = session;
    }

    /// Notes that nothing is saved under a session's key and start any more.
    fn forget(&mut self, session: &Session) {
        if session.is_saved {
            self.gone.push((session.group, session.start));
        }
    }

    /// Ends the sessions that end at or before `complete`; returns their slots, in order of ends.
    pub(super) fn end(&mut self, complete: i64) -> Vec<u32> {
        let mut ended = Vec::new();
        while let Some(timer) = self.timers.first_entry().filter(|t| *t.key() <= complete) {
            let (time, slots) = timer.remove_entry();
            for slot in slots {
                let session = &mut self.sessions[slot as usize];
                if !session.is_live {
                    continue;
                }
                if session.end > time {
                    let end = session.end;
                    self.timers.entry(end).or_default().push(slot);
                    continue;
                }
                session.is_live = false;
                let (group, next) = (session.group, session.next);
                debug_assert_eq!(self.heads[group as usize], slot, "earlier ones ended before");
                self.heads[group as usize] = next;
                self.live -= 1;
                ended.push(slot);
            }
        }
        ended
    }

    /// Returns a time at or before the earliest end.
    pub(super) fn first_end(&self) -> Option<i64> {
        self.timers.keys().next().copied()
    }

    /// Returns the slots of live sessions to save, all of them or those that changed, and takes
    /// them for saved.
    pub(super) fn save(&mut self, all: bool) -> Vec<u32> {
        let changed = std::mem::take(&mut self.changed);
        let mut slots = if all { groups_of(0..self.slots()) } else { changed };
        slots.retain(|slot| {
            let session = &mut self.sessions[*slot as usize];
            (session.is_saved, session.is_changed) = (session.is_live, false);
            session.is_live
        });
        slots
    }

    /// Returns the groups and starts under which nothing is saved any more, and forgets them.
    pub(super) fn take_gone(&mut self) -> Vec<(u32, i64)> {
        std::mem::take(&mut self.gone)
    }

    /// Takes a restored session, which is saved; returns its slot.
    pub(super) fn restore(&mut self, group: u32, start: i64, end: i64) -> u32 {
        let (mut before, mut next) = (NONE, self.heads[group as usize]);
        while let Some(session) = self.sessions.get(next as usize).filter(|s| s.start < start) {
            (before, next) = (next, session.next);
        }
        let slot = self.insert((group, start, end), next);
        self.changed.pop();
        let session = &mut self.sessions[slot as usize];
        (session.is_saved, session.is_changed) = (true, false);
        match self.sessions.get_mut(before as usize) {
            Some(before) => before.next = slot,
            None => self.heads[group as usize] = slot,
        }
        slot
    }

    /// Returns the live slots in order; [`SessionList::renumber`] makes them dense.
    pub(super) fn live_slots(&self) -> Vec<u32> {
        let is_live = |slot: &u32| self.sessions[*slot as usize].is_live;
        groups_of(0..self.slots()).into_iter().filter(is_live).collect()
    }

    /// Keeps the live sessions alone, slot by slot; each gets its group of `live`, of `groups` in
    /// all. What is gone was taken before and comes back as `gone`, with its new groups.
    pub(super) fn renumber(&mut self, live: &[u32], gone: Vec<(u32, i64)>, groups: usize) {
        let old = std::mem::take(self);
        self.grow(groups);
        let kept = old.sessions.into_iter().filter(|session| session.is_live).zip(live);
        self.sessions = kept.map(|(session, group)| Session { group: *group, ..session }).collect();
        self.live = self.sessions.len();
        self.gone = gone;
        // Latest first, so that each becomes the head in front of the ones behind it.
        let mut slots = groups_of(0..self.slots());
        slots.sort_unstable_by_key(|slot| std::cmp::Reverse(self.get(*slot).start));
        for slot in slots {
            let session = &mut self.sessions[slot as usize];
            let head = &mut self.heads[session.group as usize];
            session.next = std::mem::replace(head, slot);
            self.timers.entry(session.end).or_default().push(slot);
            if session.is_changed {
                self.changed.push(slot);
            }
        }
    }

    /// Returns about how many bytes the list takes.
    pub(super) fn bytes(&self) -> usize {
        let timers = self.live * 4 + self.timers.len() * 48;
        self.sessions.capacity() * size_of::<Session>() + self.heads.capacity() * 4 + timers
    }
}
