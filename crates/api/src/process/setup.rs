//! What a function declares before it runs: its states, and its outputs.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use thalweg_plan::process::{SideOutput, StateKind, StateSpec};
use thalweg_types::{Error, Result};

use super::cells::{Cell, Cells, Mapped, Slot};
use super::context::{Rows, Side, SideRows};
use super::handles::{BroadcastState, ListState, MapState, Place, ReducingState, ValueState};
use super::stored::{State, Stored};
use crate::record::Record;

type MakeSlot = Box<dyn Fn() -> Box<dyn Slot> + Send + Sync>;

/// Declares what a function needs. Each state and side output has a name of its own in its step: a
/// checkpoint knows state by that name, so a step may get further states later, and what it no
/// longer declares is forgotten.
#[derive(Default)]
pub struct Setup {
    pub(crate) specs: Vec<StateSpec>,
    slots: Vec<MakeSlot>,
    pub(crate) sides: Vec<SideOutput>,
    side_rows: Vec<fn() -> Box<dyn SideRows>>,
    pub(crate) takes_updates: bool,
    pub(crate) delay: Duration,
}

impl Setup {
    /// Declares state of one value for each key.
    pub fn value<T: State>(&mut self, stored: impl Into<Stored<T>>) -> ValueState<T> {
        ValueState { place: self.add(stored.into(), StateKind::Value) }
    }

    /// Declares state of values in order for each key.
    pub fn list<T: State>(&mut self, stored: impl Into<Stored<T>>) -> ListState<T> {
        ListState { place: self.add(stored.into(), StateKind::List) }
    }

    /// Declares state of values by keys of their own for each key.
    pub fn map<M: State + Ord + Clone, T: State>(
        &mut self,
        stored: impl Into<Stored<T>>,
    ) -> MapState<M, T> {
        MapState { place: self.add::<Mapped<M, T>>(stored.into(), StateKind::Map) }
    }

    /// Declares state of one value for each key, made of all that are added.
    pub fn reducing<T: State>(
        &mut self,
        stored: impl Into<Stored<T>>,
        reduce: impl Fn(T, T) -> T + Send + Sync + 'static,
    ) -> ReducingState<T> {
        let place = self.add(stored.into(), StateKind::Reducing);
        ReducingState { place, reduce: Arc::new(reduce) }
    }

    /// Declares state that all workers have alike; for [`Keyed::broadcast`](crate::Keyed::broadcast).
    pub fn broadcast<M: State + Ord + Clone, T: State>(
        &mut self,
        stored: impl Into<Stored<T>>,
    ) -> BroadcastState<M, T> {
        BroadcastState { place: self.add::<Mapped<M, T>>(stored.into(), StateKind::Broadcast) }
    }

    /// Declares a side output, which [`Stream::side`](crate::Stream::side) reads.
    pub fn side<V: Record>(&mut self, name: &str) -> Side<V> {
        self.sides.push(SideOutput { name: name.to_owned(), schema: V::schema() });
        self.side_rows.push(|| Box::new(Rows::<V>::new()));
        Side { port: self.sides.len(), rows: PhantomData }
    }

    /// Says that the function takes rows of an updating stream; each has a weight then, see
    /// [`Context::weight`](crate::Context::weight).
    pub fn take_updates(&mut self) {
        self.takes_updates = true;
    }

    /// Says by how much rows that are sent may be older than the watermark, so that windows behind
    /// wait for them.
    pub fn delay(&mut self, delay: Duration) {
        self.delay = delay;
    }

    fn add<C: Cell>(&mut self, stored: Stored<C::Value>, kind: StateKind) -> Place<C> {
        let (name, version, ttl) = (stored.name.clone(), stored.versions.own, stored.ttl);
        self.specs.push(StateSpec { name, kind, version, ttl });
        let is_shared = kind.is_shared();
        let make =
            move || -> Box<dyn Slot> { Box::new(Cells::<C>::new(stored.clone(), is_shared)) };
        self.slots.push(Box::new(make));
        Place { index: self.specs.len() - 1, cells: PhantomData }
    }

    /// Checks that no name is given twice, and that state that all share is declared where it can be
    /// written.
    pub(crate) fn check(&self, has_shared: bool) -> Result<()> {
        for (place, spec) in self.specs.iter().enumerate() {
            if self.specs[..place].iter().any(|other| other.name == spec.name) {
                return Err(Error::invalid(format!("two states are called `{}`", spec.name)));
            }
            if spec.kind.is_shared() && spec.ttl.is_some() {
                let name = &spec.name;
                return Err(Error::invalid(format!(
                    "state `{name}`, which all keys share, cannot have a time-to-live"
                ))
                .remedy("let rows of the `broadcast` stream take entries out"));
            }
            if spec.kind.is_shared() && !has_shared {
                let name = &spec.name;
                let said = format!("nothing writes state `{name}`, which all keys share");
                return Err(Error::invalid(said).remedy("use it beside a `broadcast` stream"));
            }
        }
        for (place, side) in self.sides.iter().enumerate() {
            if self.sides[..place].iter().any(|other| other.name == side.name) {
                return Err(Error::invalid(format!("two side outputs are called `{}`", side.name)));
            }
        }
        Ok(())
    }

    /// Makes states without values.
    pub(crate) fn slots(&self) -> Vec<Box<dyn Slot>> {
        self.slots.iter().map(|make| make()).collect()
    }

    /// Makes side outputs without rows.
    pub(crate) fn side_rows(&self) -> Vec<Box<dyn SideRows>> {
        self.side_rows.iter().map(|make| make()).collect()
    }
}
