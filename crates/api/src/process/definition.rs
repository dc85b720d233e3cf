//! A user's function as the plan holds it, and as one worker runs it.

use std::fmt;
use std::sync::Arc;

use thalweg_plan::process::{
    DueTimers, EPOCH_END, Effects, KeyedRows, ProcessFunction, Processor, SavedState, StateChanges,
    StateSpec,
};
use thalweg_plan::window::TimeBasis;
use thalweg_types::{Moment, Result};

use super::cells::Slot;
use super::context::{Keys, Outbox, Rows, Site, Timer};
use super::function::Body;
use super::setup::Setup;
use crate::record::Record;
use crate::scalar::Timestamp;
use crate::value::Key;

/// A function with all that it declared.
pub(crate) struct Definition<K, U: Record> {
    pub(crate) name: String,
    pub(crate) setup: Setup,
    pub(crate) body: Box<dyn Body<K, U>>,
}

/// A definition that is shared by plan and workers.
pub(crate) struct Shared<K, U: Record>(pub(crate) Arc<Definition<K, U>>);

impl<K, U: Record> fmt::Debug for Shared<K, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

impl<K: Key, U: Record> ProcessFunction for Shared<K, U> {
    fn describe(&self) -> String {
        format!("function `{}`", self.0.name)
    }

    fn states(&self) -> &[StateSpec] {
        &self.0.setup.specs
    }

    fn takes_updates(&self) -> bool {
        self.0.setup.takes_updates
    }

    fn processor(&self) -> Box<dyn Processor> {
        let setup = &self.0.setup;
        let outbox = Outbox { rows: Rows::new(), sides: setup.side_rows(), timers: Vec::new() };
        Box::new(Running { definition: self.0.clone(), slots: setup.slots(), outbox })
    }
}

/// A function on one worker.
struct Running<K, U: Record> {
    definition: Arc<Definition<K, U>>,
    slots: Vec<Box<dyn Slot>>,
    outbox: Outbox<U>,
}

impl<K: Key, U: Record> Running<K, U> {
    /// Says in which step an error happened.
    fn in_step<V>(&self, result: Result<V>) -> Result<V> {
        result.map_err(|error| error.context(format!("step `{}`", self.definition.name)))
    }

    fn run(&mut self, rows: KeyedRows<'_>, at: &Moment) -> Result<()> {
        let columns = rows.change.rows.columns();
        let width = if rows.groups.is_empty() { 0 } else { K::fields().len() };
        let own: Vec<usize> = (width..columns.len()).collect();
        let mut site = Site {
            keys: Keys::new(&columns[..width]),
            groups: rows.groups,
            weights: rows.change.weights.as_ref(),
            at,
            slots: &mut self.slots,
            outbox: &mut self.outbox,
        };
        self.definition.body.rows(rows.input, &rows.change.rows.project(&own)?, &mut site)
    }

    fn fire(&mut self, due: DueTimers<'_>, at: &Moment) -> Result<()> {
        let timer = match due.basis {
            TimeBasis::Event => Some(Timer::Event(Timestamp::of(due.time))),
            TimeBasis::Processing if due.time == EPOCH_END => None,
            TimeBasis::Processing => Some(Timer::Clock(Timestamp::of(due.time))),
        };
        let body = &self.definition.body;
        let mut site = Site {
            keys: Keys::new(due.keys),
            groups: due.groups,
            weights: None,
            at,
            slots: &mut self.slots,
            outbox: &mut self.outbox,
        };
        (0..due.groups.len()).try_for_each(|row| match timer {
            Some(timer) => body.timer(timer, &mut site.context(row)),
            None => body.epoch_end(&mut site.context(row)),
        })
    }
}

impl<K: Key, U: Record> Processor for Running<K, U> {
    fn grow(&mut self, total: usize) {
        self.slots.iter_mut().for_each(|slot| slot.grow(total));
    }

    fn rows(&mut self, rows: KeyedRows<'_>, at: &Moment, effects: &mut Effects) -> Result<()> {
        let run = self.run(rows, at);
        self.in_step(run)?;
        self.outbox.empty(effects)
    }

    fn timers(&mut self, due: DueTimers<'_>, at: &Moment, effects: &mut Effects) -> Result<()> {
        let fired = self.fire(due, at);
        self.in_step(fired)?;
        self.outbox.empty(effects)
    }

    fn take_changes(&mut self, all: bool) -> Result<Vec<StateChanges>> {
        let changes = self.slots.iter_mut().map(|slot| slot.take_changes(all)).collect();
        self.in_step(changes)
    }

    fn restore(&mut self, saved: SavedState<'_>) -> Result<()> {
        let restored = self.slots[saved.state].restore(saved);
        self.in_step(restored)
    }

    fn restored(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.restored());
    }

    fn take_written(&mut self, state: usize) -> Vec<u32> {
        self.slots[state].take_written()
    }

    fn forget(&mut self, state: usize, groups: &[u32]) -> usize {
        self.slots[state].forget(groups)
    }

    fn is_live(&self, group: u32) -> bool {
        self.slots.iter().any(|slot| slot.is_live(group))
    }

    fn retain(&mut self, groups: &[u32]) {
        self.slots.iter_mut().for_each(|slot| slot.retain(groups));
    }

    fn bytes(&self) -> usize {
        self.slots.iter().map(|slot| slot.bytes()).sum()
    }
}
