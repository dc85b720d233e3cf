//! Handles of states: what a function reads and writes the state of its key by.

use std::any::Any;
use std::marker::PhantomData;
use std::ops::RangeBounds;
use std::sync::Arc;

use super::cells::{Cell, Cells, Many, Mapped, One, Slot};
use super::context::{BroadcastContext, Context};
use super::stored::State;
use crate::record::Record;

/// The place of a state whose cells are of type `C`.
pub(crate) struct Place<C> {
    pub(crate) index: usize,
    pub(crate) cells: PhantomData<fn() -> C>,
}

impl<C> Clone for Place<C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<C> Copy for Place<C> {}

const SET_UP: &str = "set up: the state has this type";

impl<C: Cell> Place<C> {
    fn cells(self, slots: &[Box<dyn Slot>]) -> &Cells<C> {
        let slot: &dyn Any = slots[self.index].as_ref();
        slot.downcast_ref().expect(SET_UP)
    }

    fn cells_mut(self, slots: &mut [Box<dyn Slot>]) -> &mut Cells<C> {
        let slot: &mut dyn Any = slots[self.index].as_mut();
        slot.downcast_mut().expect(SET_UP)
    }

    fn get<'c, K, U: Record>(self, context: &'c Context<'_, K, U>) -> &'c C {
        self.cells(context.slots).get(context.group)
    }

    fn get_mut<'c, K, U: Record>(self, context: &'c mut Context<'_, K, U>) -> &'c mut C {
        self.cells_mut(context.slots).get_mut(context.group)
    }
}

/// State of one value for each key, or none.
pub struct ValueState<T> {
    pub(crate) place: Place<One<T>>,
}

impl<T> Clone for ValueState<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ValueState<T> {}

impl<T: State> ValueState<T> {
    /// Returns the value of the key.
    pub fn get<'c, K, U: Record>(&self, context: &'c Context<'_, K, U>) -> Option<&'c T> {
        self.place.get(context).0.as_ref()
    }

    /// Gives the key a value.
    pub fn set<K, U: Record>(&self, context: &mut Context<'_, K, U>, value: T) {
        self.place.get_mut(context).0 = Some(value);
    }

    /// Returns the value to be changed in place; it is `T::default()` if there was none.
    pub fn or_default<'c, K, U: Record>(&self, context: &'c mut Context<'_, K, U>) -> &'c mut T
    where
        T: Default,
    {
        self.place.get_mut(context).0.get_or_insert_default()
    }

    /// Takes the value; the key has none from then on.
    pub fn take<K, U: Record>(&self, context: &mut Context<'_, K, U>) -> Option<T> {
        self.place.get_mut(context).0.take()
    }
}

/// State of values in order for each key.
pub struct ListState<T> {
    pub(crate) place: Place<Many<T>>,
}

impl<T> Clone for ListState<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ListState<T> {}

impl<T: State> ListState<T> {
    /// Returns the values of the key, first one first.
    pub fn get<'c, K, U: Record>(&self, context: &'c Context<'_, K, U>) -> &'c [T] {
        &self.place.get(context).values
    }

    /// Adds a value behind the others. Only what was added is saved at the next checkpoint.
    pub fn push<K, U: Record>(&self, context: &mut Context<'_, K, U>, value: T) {
        self.place.get_mut(context).values.push(value);
    }

    /// Gives the key other values.
    pub fn set<K, U: Record>(&self, context: &mut Context<'_, K, U>, values: Vec<T>) {
        let cell = self.place.get_mut(context);
        (cell.values, cell.unchanged) = (values, 0);
    }

    /// Takes all values; the key has none from then on.
    pub fn take<K, U: Record>(&self, context: &mut Context<'_, K, U>) -> Vec<T> {
        self.place.get_mut(context).take()
    }
}

/// State of values by keys of their own, for each key; in the order of these.
pub struct MapState<M, T> {
    pub(crate) place: Place<Mapped<M, T>>,
}

impl<M, T> Clone for MapState<M, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, T> Copy for MapState<M, T> {}

impl<M: State + Ord + Clone, T: State> MapState<M, T> {
    /// Returns the value of an entry.
    pub fn get<'c, K, U: Record>(
        &self,
        context: &'c Context<'_, K, U>,
        entry: &M,
    ) -> Option<&'c T> {
        self.place.get(context).values.get(entry)
    }

    /// Returns all entries, in the order of their keys.
    pub fn iter<'c, K, U: Record>(
        &self,
        context: &'c Context<'_, K, U>,
    ) -> impl DoubleEndedIterator<Item = (&'c M, &'c T)> {
        self.place.get(context).values.iter()
    }

    /// Returns the entries of a range, in the order of their keys.
    pub fn range<'c, K, U: Record>(
        &self,
        context: &'c Context<'_, K, U>,
        range: impl RangeBounds<M>,
    ) -> impl DoubleEndedIterator<Item = (&'c M, &'c T)> {
        self.place.get(context).values.range(range)
    }

    /// Returns how many entries there are.
    pub fn len<K, U: Record>(&self, context: &Context<'_, K, U>) -> usize {
        self.place.get(context).values.len()
    }

    /// Is there no entry?
    pub fn is_empty<K, U: Record>(&self, context: &Context<'_, K, U>) -> bool {
        self.place.get(context).values.is_empty()
    }

    /// Gives an entry a value; returns the one that it had.
    pub fn insert<K, U: Record>(
        &self,
        context: &mut Context<'_, K, U>,
        entry: M,
        value: T,
    ) -> Option<T> {
        insert(self.place.get_mut(context), entry, value)
    }

    /// Returns the value of an entry to be changed in place; it is `T::default()` if there was none.
    pub fn or_default<'c, K, U: Record>(
        &self,
        context: &'c mut Context<'_, K, U>,
        entry: M,
    ) -> &'c mut T
    where
        T: Default,
    {
        let cell = self.place.get_mut(context);
        cell.changed.insert(entry.clone());
        cell.values.entry(entry).or_default()
    }

    /// Takes an entry out; returns the value that it had.
    pub fn remove<K, U: Record>(&self, context: &mut Context<'_, K, U>, entry: &M) -> Option<T> {
        remove(self.place.get_mut(context), entry)
    }

    /// Takes all entries out, in the order of their keys.
    pub fn take<K, U: Record>(&self, context: &mut Context<'_, K, U>) -> Vec<(M, T)> {
        self.place.get_mut(context).take().into_iter().collect()
    }
}

fn insert<M: Ord + Clone, T>(cell: &mut Mapped<M, T>, entry: M, value: T) -> Option<T> {
    cell.changed.insert(entry.clone());
    cell.values.insert(entry, value)
}

fn remove<M: Ord + Clone, T>(cell: &mut Mapped<M, T>, entry: &M) -> Option<T> {
    let removed = cell.values.remove(entry)?;
    cell.changed.insert(entry.clone());
    Some(removed)
}

/// State of one value for each key, made of all that were added.
pub struct ReducingState<T> {
    pub(crate) place: Place<One<T>>,
    pub(crate) reduce: Arc<dyn Fn(T, T) -> T + Send + Sync>,
}

impl<T> Clone for ReducingState<T> {
    fn clone(&self) -> Self {
        ReducingState { place: self.place, reduce: self.reduce.clone() }
    }
}

impl<T: State> ReducingState<T> {
    /// Returns what all values of the key made; `None` before there was one.
    pub fn get<'c, K, U: Record>(&self, context: &'c Context<'_, K, U>) -> Option<&'c T> {
        self.place.get(context).0.as_ref()
    }

    /// Adds a value.
    pub fn add<K, U: Record>(&self, context: &mut Context<'_, K, U>, value: T) {
        let cell = self.place.get_mut(context);
        cell.0 = Some(match cell.0.take() {
            Some(before) => (self.reduce)(before, value),
            None => value,
        });
    }

    /// Takes what all values made; the key begins anew.
    pub fn take<K, U: Record>(&self, context: &mut Context<'_, K, U>) -> Option<T> {
        self.place.get_mut(context).0.take()
    }
}

/// State of values by keys of their own that all workers have alike: rows of the stream that is
/// broadcast write it, those of keys read it.
pub struct BroadcastState<M, T> {
    pub(crate) place: Place<Mapped<M, T>>,
}

impl<M, T> Clone for BroadcastState<M, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M, T> Copy for BroadcastState<M, T> {}

impl<M: State + Ord + Clone, T: State> BroadcastState<M, T> {
    /// Returns the value of an entry.
    pub fn get<'c, K, U: Record>(
        &self,
        context: &'c Context<'_, K, U>,
        entry: &M,
    ) -> Option<&'c T> {
        self.place.cells(context.slots).get(0).values.get(entry)
    }

    /// Returns all entries, in the order of their keys.
    pub fn iter<'c, K, U: Record>(
        &self,
        context: &'c Context<'_, K, U>,
    ) -> impl DoubleEndedIterator<Item = (&'c M, &'c T)> {
        self.place.cells(context.slots).get(0).values.iter()
    }

    /// Gives an entry a value; returns the one that it had.
    pub fn insert(&self, context: &mut BroadcastContext<'_>, entry: M, value: T) -> Option<T> {
        insert(self.place.cells_mut(context.slots).get_mut(0), entry, value)
    }

    /// Takes an entry out; returns the value that it had.
    pub fn remove(&self, context: &mut BroadcastContext<'_>, entry: &M) -> Option<T> {
        remove(self.place.cells_mut(context.slots).get_mut(0), entry)
    }
}
