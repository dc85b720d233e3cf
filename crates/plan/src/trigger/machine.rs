//! Triggers at work: what one has seen of a window, and what it decides; pure.
//!
//! Invariants: the state of a trigger is a few numbers, the same whatever order its rows came in; a
//! trigger that is finished does not fire; sessions that become one merge their states as if their
//! rows had come to one window, as far as nothing fired before. What each kind does is what Beam's
//! state machine of it does (`org.apache.beam.runners.core.triggers`).

use thalweg_types::{Error, EventTime, Result};

use super::Trigger;

/// Version of [`State`] as a stored format: a bit for each part of a trigger that is finished, parts in
/// pre-order, and a number for each part that keeps one, in that order.
pub const FORMAT: u32 = 1;

/// Parts that a trigger may have: there is a bit for each in a stored number.
const PARTS_MAX: usize = 63;

/// What a trigger is told when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The clock of the epoch.
    pub clock: EventTime,
    /// Did the watermark pass the end of the window?
    pub is_over: bool,
}

/// What a trigger has seen of a window, and which of its parts are finished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// A bit for each part, the whole trigger's first.
    pub finished: u64,
    /// For parts that keep a number: how many rows came since the last pane, or at which clock, in
    /// nanoseconds, the part fires.
    pub values: Vec<Option<i64>>,
}

impl State {
    fn is_finished(&self, part: usize) -> bool {
        self.finished & (1 << part) != 0
    }

    fn set_finished(&mut self, part: usize, is_finished: bool) {
        match is_finished {
            true => self.finished |= 1 << part,
            false => self.finished &= !(1 << part),
        }
    }
}

/// What a part does; parts are known by their number.
#[derive(Clone, Debug)]
enum Kind {
    Never,
    /// `passed` is finished once the trigger fired behind the end of the window.
    Watermark {
        passed: usize,
        early: Option<usize>,
        late: Option<usize>,
    },
    Rows {
        count: i64,
        value: usize,
    },
    Delay {
        nanos: i64,
        value: usize,
    },
    Aligned {
        period: i64,
        offset: i64,
        value: usize,
    },
    Epoch {
        value: usize,
    },
    Repeated(usize),
    Once(usize),
    Any(Vec<usize>),
    All(Vec<usize>),
    InOrder(Vec<usize>),
    OrFinally(usize, usize),
}

/// Runs a trigger.
#[derive(Clone, Debug)]
pub struct Machine {
    /// In pre-order.
    parts: Vec<Kind>,
    values: usize,
}

impl Machine {
    /// Returns the machine of `trigger`.
    ///
    /// # Errors
    /// `Invalid` if it has too many parts, or one that could never fire or would fire for nothing.
    pub fn new(trigger: &Trigger) -> Result<Machine> {
        let mut machine = Machine { parts: Vec::new(), values: 0 };
        machine.add(trigger)?;
        match machine.parts.len() {
            0..=PARTS_MAX => Ok(machine),
            parts => Err(Error::invalid(format!("a trigger of {parts} parts"))
                .remedy(format!("put at most {PARTS_MAX} together"))),
        }
    }

    fn add(&mut self, trigger: &Trigger) -> Result<usize> {
        let part = self.parts.len();
        self.parts.push(Kind::Never);
        let kind = match trigger {
            Trigger::Never => Kind::Never,
            Trigger::Watermark { early, late } => {
                let passed = self.add(&Trigger::Never)?;
                let early = early.as_ref().map(|early| self.add(early)).transpose()?;
                let late = late.as_ref().map(|late| self.add(late)).transpose()?;
                Kind::Watermark { passed, early, late }
            }
            Trigger::Rows(count) => {
                Kind::Rows { count: positive(i64::try_from(*count).ok())?, value: self.value() }
            }
            Trigger::Delay(delay) => Kind::Delay { nanos: nanos(*delay)?, value: self.value() },
            Trigger::Aligned { period, offset } => {
                let period = positive(Some(nanos(*period)?))?;
                Kind::Aligned { period, offset: nanos(*offset)?, value: self.value() }
            }
            Trigger::Epoch => Kind::Epoch { value: self.value() },
            Trigger::Repeated(trigger) => Kind::Repeated(self.add(trigger)?),
            Trigger::Once(trigger) => Kind::Once(self.add(trigger)?),
            Trigger::Any(triggers) => Kind::Any(self.add_all(triggers)?),
            Trigger::All(triggers) => Kind::All(self.add_all(triggers)?),
            Trigger::InOrder(triggers) => Kind::InOrder(self.add_all(triggers)?),
            Trigger::OrFinally(trigger, last) => {
                Kind::OrFinally(self.add(trigger)?, self.add(last)?)
            }
        };
        self.parts[part] = kind;
        Ok(part)
    }

    fn add_all(&mut self, triggers: &[Trigger]) -> Result<Vec<usize>> {
        if triggers.is_empty() {
            return Err(Error::invalid("a trigger of no triggers").remedy("name one at least"));
        }
        triggers.iter().map(|trigger| self.add(trigger)).collect()
    }

    fn value(&mut self) -> usize {
        self.values += 1;
        self.values - 1
    }

    /// Returns how many numbers a state has.
    pub fn values(&self) -> usize {
        self.values
    }

    /// Returns the state of a window without rows.
    pub fn begin(&self) -> State {
        State { finished: 0, values: vec![None; self.values] }
    }

    /// Takes rows of an epoch with this clock.
    pub fn rows(&self, state: &mut State, rows: u64, clock: EventTime) {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        for (part, kind) in self.parts.iter().enumerate() {
            if state.is_finished(part) {
                continue;
            }
            match *kind {
                Kind::Rows { value, .. } | Kind::Epoch { value } => {
                    let count = state.values[value].get_or_insert(0);
                    *count = count.saturating_add(rows);
                }
                // The first row of a pane decides.
                Kind::Delay { nanos, value } => {
                    state.values[value].get_or_insert(clock.0.saturating_add(nanos));
                }
                Kind::Aligned { period, offset, value } => {
                    let since = clock.0.saturating_sub(offset).rem_euclid(period);
                    state.values[value].get_or_insert(clock.0.saturating_add(period - since));
                }
                _ => {}
            }
        }
    }

    /// Is the trigger finished for good? Then the window takes no more rows.
    pub fn is_finished(&self, state: &State) -> bool {
        state.is_finished(0)
    }

    /// Returns the earliest clock at which the trigger may fire without another row.
    pub fn wake(&self, state: &State) -> Option<EventTime> {
        self.wake_of(state, 0).map(EventTime)
    }

    fn wake_of(&self, state: &State, part: usize) -> Option<i64> {
        if state.is_finished(part) {
            return None;
        }
        let earliest =
            |parts: &[usize]| parts.iter().filter_map(|part| self.wake_of(state, *part)).min();
        match &self.parts[part] {
            Kind::Delay { value, .. } | Kind::Aligned { value, .. } => state.values[*value],
            Kind::Never | Kind::Rows { .. } | Kind::Epoch { .. } => None,
            Kind::Watermark { passed, early, late } => {
                let active = if state.is_finished(*passed) { late } else { early };
                active.and_then(|active| self.wake_of(state, active))
            }
            Kind::Repeated(inner) | Kind::Once(inner) => self.wake_of(state, *inner),
            Kind::Any(parts) | Kind::All(parts) => earliest(parts),
            Kind::InOrder(parts) => {
                let first = parts.iter().find(|part| !state.is_finished(**part))?;
                self.wake_of(state, *first)
            }
            Kind::OrFinally(inner, last) => earliest(&[*inner, *last]),
        }
    }

    /// Should the window send a pane?
    pub fn fires(&self, state: &State, now: Now) -> bool {
        self.part_fires(state, 0, now)
    }

    fn part_fires(&self, state: &State, part: usize, now: Now) -> bool {
        if state.is_finished(part) {
            return false;
        }
        let fires = |part: usize| self.part_fires(state, part, now);
        match &self.parts[part] {
            Kind::Never => false,
            Kind::Watermark { passed, early, late } => match state.is_finished(*passed) {
                true => late.is_some_and(fires),
                false => now.is_over || early.is_some_and(fires),
            },
            Kind::Rows { count, value } => state.values[*value].is_some_and(|rows| rows >= *count),
            Kind::Delay { value, .. } | Kind::Aligned { value, .. } => {
                state.values[*value].is_some_and(|at| now.clock.0 >= at)
            }
            Kind::Epoch { value } => state.values[*value].is_some(),
            Kind::Repeated(inner) | Kind::Once(inner) => fires(*inner),
            Kind::Any(parts) => parts.iter().any(|part| fires(*part)),
            Kind::All(parts) => parts.iter().all(|part| state.is_finished(*part) || fires(*part)),
            Kind::InOrder(parts) => {
                let first = parts.iter().find(|part| !state.is_finished(**part));
                first.is_some_and(|part| fires(*part))
            }
            Kind::OrFinally(inner, last) => fires(*inner) || fires(*last),
        }
    }

    /// Goes on behind a pane; only where the trigger fires.
    pub fn fire(&self, state: &mut State, now: Now) {
        debug_assert!(self.fires(state, now), "a trigger is fired that does not fire");
        self.fire_part(state, 0, now);
    }

    fn fire_part(&self, state: &mut State, part: usize, now: Now) {
        let is_finished = match &self.parts[part] {
            Kind::Never => false,
            Kind::Rows { .. } | Kind::Delay { .. } | Kind::Aligned { .. } => {
                self.clear(state, part);
                true
            }
            Kind::Epoch { .. } => {
                self.clear(state, part);
                false
            }
            Kind::Watermark { passed, early, late } => {
                self.fire_watermark(state, now, (*passed, *early, *late))
            }
            Kind::Repeated(inner) => {
                self.fire_part(state, *inner, now);
                if state.is_finished(*inner) {
                    self.reset(state, *inner);
                }
                false
            }
            Kind::Once(inner) => {
                self.fire_part(state, *inner, now);
                true
            }
            Kind::Any(parts) => {
                for part in parts {
                    match self.part_fires(state, *part, now) {
                        true => self.fire_part(state, *part, now),
                        // The pane that it waited for is gone.
                        false => self.clear(state, *part),
                    }
                }
                true
            }
            Kind::All(parts) => {
                for part in parts {
                    if !state.is_finished(*part) {
                        self.fire_part(state, *part, now);
                    }
                }
                true
            }
            Kind::InOrder(parts) => self.fire_first(state, now, parts),
            Kind::OrFinally(inner, last) => {
                match self.part_fires(state, *last, now) {
                    true => {
                        self.fire_part(state, *last, now);
                        self.clear(state, *inner);
                    }
                    // The last one goes on over panes.
                    false => self.fire_part(state, *inner, now),
                }
                state.is_finished(*inner) || state.is_finished(*last)
            }
        };
        state.set_finished(part, is_finished);
    }

    /// Fires early, on time, or late; returns whether that is all.
    fn fire_watermark(
        &self,
        state: &mut State,
        now: Now,
        (passed, early, late): (usize, Option<usize>, Option<usize>),
    ) -> bool {
        let active = match (state.is_finished(passed), now.is_over) {
            (true, _) => late,
            (false, false) => early,
            (false, true) => {
                state.set_finished(passed, true);
                None
            }
        };
        if let Some(active) = active {
            self.fire_part(state, active, now);
        }
        // Both are told of all rows, since a session that grows may come back to the early one.
        early.into_iter().chain(late).for_each(|part| self.reset(state, part));
        state.is_finished(passed) && late.is_none()
    }

    /// Fires the first part that is not finished; returns whether it is the last one and finished.
    fn fire_first(&self, state: &mut State, now: Now, parts: &[usize]) -> bool {
        if let Some(first) = parts.iter().find(|part| !state.is_finished(**part)) {
            self.fire_part(state, *first, now);
        }
        // All of them are told of all rows; what came goes with the pane.
        parts.iter().for_each(|part| self.clear(state, *part));
        parts.iter().all(|part| state.is_finished(*part))
    }

    /// Returns the parts that `part` is put together from.
    fn inner(&self, part: usize) -> Vec<usize> {
        match &self.parts[part] {
            Kind::Watermark { passed, early, late } => {
                [Some(*passed), *early, *late].into_iter().flatten().collect()
            }
            Kind::Repeated(inner) | Kind::Once(inner) => vec![*inner],
            Kind::Any(parts) | Kind::All(parts) | Kind::InOrder(parts) => parts.clone(),
            Kind::OrFinally(inner, last) => vec![*inner, *last],
            _ => Vec::new(),
        }
    }

    /// Forgets the rows of a pane.
    fn clear(&self, state: &mut State, part: usize) {
        match self.parts[part] {
            Kind::Rows { value, .. }
            | Kind::Delay { value, .. }
            | Kind::Aligned { value, .. }
            | Kind::Epoch { value } => state.values[value] = None,
            _ => self.inner(part).into_iter().for_each(|inner| self.clear(state, inner)),
        }
    }

    /// Begins anew.
    fn reset(&self, state: &mut State, part: usize) {
        state.set_finished(part, false);
        match self.inner(part).as_slice() {
            [] => self.clear(state, part),
            inner => inner.iter().for_each(|inner| self.reset(state, *inner)),
        }
    }

    /// Returns the state of a window that some windows became, or that one window grew to be; `is_over`
    /// says whether the watermark passed its end.
    pub fn merge(&self, states: &[&State], is_over: bool) -> State {
        let mut merged = self.begin();
        self.merge_part(&mut merged, 0, (states, is_over));
        merged
    }

    fn merge_part(&self, merged: &mut State, part: usize, from: (&[&State], bool)) {
        let (states, is_over) = from;
        let was_finished = |part: usize| states.iter().any(|state| state.is_finished(part));
        let values = |value: usize| states.iter().filter_map(move |state| state.values[value]);
        let is_finished = match &self.parts[part] {
            Kind::Never => false,
            Kind::Rows { value, .. } | Kind::Delay { value, .. } | Kind::Aligned { value, .. }
                if was_finished(part) =>
            {
                merged.values[*value] = None;
                true
            }
            Kind::Rows { value, .. } | Kind::Epoch { value } => {
                merged.values[*value] = values(*value).reduce(i64::saturating_add);
                false
            }
            Kind::Delay { value, .. } | Kind::Aligned { value, .. } => {
                merged.values[*value] = values(*value).min();
                false
            }
            Kind::Watermark { passed, early, late } => {
                // While one of them waits for its end, rows may wait with it.
                let has_passed = is_over && states.iter().all(|state| state.is_finished(*passed));
                merged.set_finished(*passed, has_passed);
                for part in early.iter().chain(late) {
                    self.merge_part(merged, *part, from);
                }
                has_passed && late.is_none()
            }
            Kind::Repeated(inner) => {
                self.merge_part(merged, *inner, from);
                if merged.is_finished(*inner) {
                    self.reset(merged, *inner);
                }
                false
            }
            Kind::Once(inner) => {
                self.merge_part(merged, *inner, from);
                was_finished(part) || merged.is_finished(*inner)
            }
            Kind::Any(parts) => {
                parts.iter().for_each(|part| self.merge_part(merged, *part, from));
                parts.iter().any(|part| merged.is_finished(*part))
            }
            Kind::All(parts) => {
                parts.iter().for_each(|part| self.merge_part(merged, *part, from));
                parts.iter().all(|part| merged.is_finished(*part))
            }
            Kind::InOrder(parts) => {
                // One that is active again makes those behind it wait.
                for part in parts {
                    self.merge_part(merged, *part, from);
                    if !merged.is_finished(*part) {
                        break;
                    }
                }
                parts.iter().all(|part| merged.is_finished(*part))
            }
            Kind::OrFinally(inner, last) => {
                [inner, last].into_iter().for_each(|part| self.merge_part(merged, *part, from));
                merged.is_finished(*inner) || merged.is_finished(*last)
            }
        };
        merged.set_finished(part, is_finished);
    }
}

fn positive(number: Option<i64>) -> Result<i64> {
    number.filter(|number| *number > 0).ok_or_else(|| {
        Error::invalid("a trigger of no rows or of no time").remedy("use a number above 0")
    })
}

fn nanos(length: std::time::Duration) -> Result<i64> {
    i64::try_from(length.as_nanos()).map_err(|_| {
        Error::invalid("a trigger that waits for more than 292 years").remedy("use a shorter span")
    })
}
