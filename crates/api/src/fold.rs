//! Aggregates by closures: what was accumulated so far and a row become what is accumulated now.
//!
//! Invariants: what is accumulated is kept as Rust, and saved as a column of its own type, so a state
//! of another type is refused like that of any aggregate; rows of a group come in the order in which
//! they came to its worker. Rows are taken back only where a closure says what is left then.
//!
//! Stored format: the column is called `accumulated`, and `accumulated, version 2` and so on from version 2.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, FieldRef};
use thalweg_plan::function::{Accumulator, AggregateFunction, Rows};
use thalweg_types::{Error, Groups, Result};

use crate::value::{Reader, Value, Writer};
use crate::versions::Versions;

/// What the column of state is called: of version 1 this alone.
const ACCUMULATED: &str = "accumulated";
const VERSION: &str = ", version ";

type Step<T, A> = dyn Fn(Option<A>, T) -> A + Send + Sync;
type Merge<A> = dyn Fn(A, A) -> A + Send + Sync;

/// Makes a column of what today's version accumulates.
pub(crate) type Migrate = dyn Fn(&ArrayRef) -> Result<ArrayRef> + Send + Sync;

/// What is accumulated of rows, and how.
pub(crate) struct Fold<T, A> {
    pub(crate) name: &'static str,
    pub(crate) versions: Versions<Migrate>,
    /// The value of no rows.
    pub(crate) empty: Option<A>,
    pub(crate) step: Arc<Step<T, A>>,
    /// What is left when a row is taken back, if it can be.
    pub(crate) undo: Option<Arc<Step<T, A>>>,
    /// How two of them become one, if they can.
    pub(crate) merge: Option<Arc<Merge<A>>>,
}

impl<T, A: Clone> Clone for Fold<T, A> {
    fn clone(&self) -> Self {
        let (step, merge) = (self.step.clone(), self.merge.clone());
        let (versions, undo) = (self.versions.clone(), self.undo.clone());
        Fold { name: self.name, versions, empty: self.empty.clone(), step, undo, merge }
    }
}

impl<T, A> fmt::Debug for Fold<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl<T: Value, A: Value> AggregateFunction for Fold<T, A> {
    fn name(&self) -> &str {
        self.name
    }

    fn result(&self) -> FieldRef {
        let is_nullable = self.empty.is_none() || A::is_nullable();
        Arc::new(Field::new(self.name, A::data_type(), is_nullable))
    }

    fn state(&self) -> Vec<FieldRef> {
        let name = match self.versions.own {
            1 => ACCUMULATED.to_owned(),
            version => format!("{ACCUMULATED}{VERSION}{version}"),
        };
        vec![Arc::new(Field::new(name, A::data_type(), true))]
    }

    fn migrated(&self, saved: &Field, column: &ArrayRef) -> Result<Option<ArrayRef>> {
        let (name, what) = (saved.name(), format!("what the {} accumulated", self.name));
        let version = match name.rsplit_once(VERSION) {
            None => 1,
            Some((_, version)) => version.parse().map_err(|_| {
                Error::state(format!("{what} has no version, but is called `{name}`"))
            })?,
        };
        match self.versions.reader(version, &what)? {
            Some(migrate) => migrate(column).map(Some),
            None if *column.data_type() == A::data_type() => Ok(None),
            None => Err(Error::state(format!(
                "{what} is {}, not {}",
                column.data_type(),
                A::data_type()
            ))
            .remedy("give it a new version, and say how the old values become new ones")),
        }
    }

    /// What is sent is what is kept.
    fn migrated_value(&self, saved: &Field, column: &ArrayRef) -> Result<Option<ArrayRef>> {
        self.migrated(saved, column)
    }

    fn has_versions(&self) -> bool {
        true
    }

    fn is_retractable(&self) -> bool {
        self.undo.is_some()
    }

    fn is_mergeable(&self) -> bool {
        self.merge.is_some()
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let fold: Fold<T, A> = self.clone();
        Ok(Box::new(Folded { fold, values: Vec::new(), rows: PhantomData }))
    }
}

/// What is accumulated of each group; nothing where no row came.
struct Folded<T, A> {
    fold: Fold<T, A>,
    values: Vec<Option<A>>,
    rows: PhantomData<fn(T)>,
}

impl<T, A: Value> Folded<T, A> {
    fn grow(&mut self, total: usize) {
        self.values.resize_with(total.max(self.values.len()), || None);
    }

    /// Returns a column of what is accumulated, or of `empty` where nothing is.
    fn column(&self, groups: Groups<'_>, empty: Option<&A>) -> ArrayRef {
        let mut writer = A::Writer::with_capacity(groups.len());
        groups.for_each(|group| match self.values.get(group).and_then(Option::as_ref).or(empty) {
            Some(value) => writer.push(value),
            None => writer.push_missing(),
        });
        writer.finish()
    }
}

impl<T: Value, A: Value> Accumulator for Folded<T, A> {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.grow(rows.total);
        let [column] = rows.arguments else {
            return Err(Error::internal(format!("a {} is of one column", self.fold.name)));
        };
        let reader = T::Reader::open(column, None)?;
        for (row, group) in rows.groups.iter().enumerate() {
            let weight = rows.weight(row);
            let step = match (weight < 0, &self.fold.undo) {
                (false, _) => &self.fold.step,
                (true, Some(undo)) => undo,
                (true, None) => {
                    let message = format!("a row was taken back from {:?}", self.fold);
                    return Err(Error::internal(message));
                }
            };
            for _ in 0..weight.unsigned_abs() {
                let value = &mut self.values[*group as usize];
                let before = value.take().or_else(|| self.fold.empty.clone());
                *value = Some(step(before, reader.get(row)));
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.grow(total);
        let [column] = partial else {
            return Err(Error::internal(format!("a {:?} has one column of state", self.fold)));
        };
        let reader: <Option<A> as Value>::Reader = Reader::<Option<A>>::open(column, None)?;
        for (row, group) in groups.iter().enumerate() {
            let other: Option<A> = reader.get(row);
            let Some(other) = other else { continue };
            let value = &mut self.values[*group as usize];
            *value = Some(match (value.take(), &self.fold.merge) {
                (None, _) => other,
                (Some(one), Some(merge)) => merge(one, other),
                (Some(_), None) => {
                    let message = format!("two of {:?} were to become one", self.fold);
                    return Err(Error::internal(message));
                }
            });
        }
        Ok(())
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.column(groups, None)])
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        Ok(self.column(groups, self.fold.empty.as_ref()))
    }

    fn clear(&mut self) {
        self.values = Vec::new();
    }

    fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<Option<A>>()
    }
}

#[cfg(test)]
mod tests;
