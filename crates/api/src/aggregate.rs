//! Aggregates over a field of a struct, or over whole structs.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use thalweg_plan::aggregate as functions;
use thalweg_plan::function::AggregateFunction;
use thalweg_types::{Error, Result};

use crate::fold::{Fold, Migrate};
use crate::record::Record;
use crate::value::{Reader, Value, Writer};
use crate::versions::Versions;

/// Collects an argument of structs in a column.
pub(crate) trait Argument<T> {
    /// Adds that of a struct.
    fn push(&mut self, record: &T);

    /// Returns the column.
    fn finish(&mut self) -> ArrayRef;
}

/// The argument that a closure makes, and its column.
struct Computed<V: Value, F> {
    value: Arc<F>,
    column: V::Writer,
}

impl<T, V: Value, F: Fn(&T) -> V> Argument<T> for Computed<V, F> {
    fn push(&mut self, record: &T) {
        self.column.push(&(self.value)(record));
    }

    fn finish(&mut self) -> ArrayRef {
        self.column.finish()
    }
}

/// Makes what collects an argument of so many structs.
pub(crate) type Collect<T> = Arc<dyn Fn(usize) -> Box<dyn Argument<T>> + Send + Sync>;

/// What an aggregate reads.
pub(crate) enum Reads<T> {
    /// Nothing: it counts rows.
    Nothing,
    /// What a closure makes of a struct.
    Value(DataType, Collect<T>),
    /// The row.
    Row,
}

/// An aggregate over structs of type `T`.
pub struct Aggregate<T> {
    pub(crate) function: Result<Arc<dyn AggregateFunction>>,
    pub(crate) reads: Reads<T>,
}

impl<T: 'static> Aggregate<T> {
    fn of<V: Value, F: Fn(&T) -> V + Send + Sync + 'static>(
        function: fn(&DataType) -> Result<Arc<dyn AggregateFunction>>,
        value: F,
    ) -> Aggregate<T> {
        let value = Arc::new(value);
        let collect: Collect<T> = Arc::new(move |rows| {
            let (value, column) = (value.clone(), V::Writer::with_capacity(rows));
            Box::new(Computed::<V, F> { value, column })
        });
        let kind = V::data_type();
        Aggregate { function: function(&kind), reads: Reads::Value(kind, collect) }
    }
}

/// Returns the number of rows, an `i64`.
pub fn count<T>() -> Aggregate<T> {
    Aggregate { function: Ok(functions::count()), reads: Reads::Nothing }
}

/// Returns the sum of an `i64`, `f64` or decimal; missing over no values.
pub fn sum<T: 'static, V: Value>(value: impl Fn(&T) -> V + Send + Sync + 'static) -> Aggregate<T> {
    Aggregate::of(functions::sum, value)
}

/// Returns the mean of an `f64` or decimal; missing over no values.
pub fn average<T: 'static, V: Value>(
    value: impl Fn(&T) -> V + Send + Sync + 'static,
) -> Aggregate<T> {
    Aggregate::of(functions::average, value)
}

/// Returns the least value; missing over no values.
pub fn min<T: 'static, V: Value>(value: impl Fn(&T) -> V + Send + Sync + 'static) -> Aggregate<T> {
    Aggregate::of(functions::min, value)
}

/// Returns the greatest value; missing over no values.
pub fn max<T: 'static, V: Value>(value: impl Fn(&T) -> V + Send + Sync + 'static) -> Aggregate<T> {
    Aggregate::of(functions::max, value)
}

/// What a fold accumulates: its value of no rows, and its version.
///
/// Where a value alone is given, the version is 1. Whoever changes the type or the meaning of what is
/// accumulated gives it the next version, and says how each version that may still be in a checkpoint
/// becomes the new one:
///
/// ```
/// # extern crate thalweg_api as thalweg;
/// use thalweg::{Accumulated, Record};
///
/// #[derive(Clone, Debug, Record)]
/// struct Sum { points: i64, rows: i64 }
///
/// // Version 1 was a number.
/// let sum = Accumulated::new(Sum { points: 0, rows: 0 })
///     .version(2)
///     .migrate(1, |points: i64| Sum { points, rows: 1 });
/// # let _ = sum;
/// ```
///
/// A checkpoint with a version that is newer, or that nothing migrates, is refused.
pub struct Accumulated<A> {
    empty: A,
    versions: Versions<Migrate>,
}

impl<A: Value> From<A> for Accumulated<A> {
    fn from(empty: A) -> Accumulated<A> {
        Accumulated::new(empty)
    }
}

impl<A: Value> Accumulated<A> {
    /// Returns what is accumulated in version 1.
    pub fn new(empty: A) -> Accumulated<A> {
        Accumulated { empty, versions: Versions::default() }
    }

    /// Says which version is accumulated from now on.
    pub fn version(mut self, version: u32) -> Accumulated<A> {
        self.versions.own = version;
        self
    }

    /// Says how what was accumulated in version `from`, which was an `Old`, becomes what is today.
    pub fn migrate<Old: Value>(
        mut self,
        from: u32,
        migration: impl Fn(Old) -> A + Send + Sync + 'static,
    ) -> Accumulated<A> {
        self.versions.add(from, Arc::new(move |saved: &ArrayRef| migrated(saved, &migration)));
        self
    }
}

/// Returns a column of what was accumulated as a column of what is today.
fn migrated<Old: Value, A: Value>(
    saved: &ArrayRef,
    migration: &dyn Fn(Old) -> A,
) -> Result<ArrayRef> {
    if *saved.data_type() != Old::data_type() {
        let (found, expected) = (saved.data_type(), Old::data_type());
        return Err(Error::state(format!("what was accumulated is {found}, not {expected}"))
            .remedy("migrate it from the type that it had in that version"));
    }
    let reader: <Option<Old> as Value>::Reader = Reader::<Option<Old>>::open(saved, None)?;
    let mut writer = A::Writer::with_capacity(saved.len());
    for row in 0..saved.len() {
        match reader.get(row) {
            Some(old) => writer.push(&migration(old)),
            None => writer.push_missing(),
        }
    }
    Ok(writer.finish())
}

/// Returns what a closure makes of all rows, one by one, beginning with `empty`; that may have a version,
/// see [`Accumulated`].
///
/// Sessions may become one: their rows wait until they are complete, unless they are accumulated by
/// [`combine`], which says what becomes of two.
pub fn fold<T: Record, A: Value>(
    empty: impl Into<Accumulated<A>>,
    step: impl Fn(A, T) -> A + Send + Sync + 'static,
) -> Aggregate<T> {
    folding("fold", empty.into(), step, None)
}

/// Returns what closures make of all rows: `step` of one by one, beginning with `empty`, and `merge` of
/// two that were made of different rows. In which order and how often rows are merged may change from
/// run to run, so `merge` must not care.
pub fn combine<T: Record, A: Value>(
    empty: impl Into<Accumulated<A>>,
    step: impl Fn(A, T) -> A + Send + Sync + 'static,
    merge: impl Fn(A, A) -> A + Send + Sync + 'static,
) -> Aggregate<T> {
    folding("combine", empty.into(), step, Some(Arc::new(merge)))
}

/// Returns what closures make of all rows, one by one: `step` of one that comes, beginning with `empty`, and
/// `undo` of one that is taken back. Over a stream that is updated, where a row of an epoch may be taken back
/// before it comes: so `undo` must not care for which rows there are.
pub fn fold_with_undo<T: Record, A: Value>(
    empty: impl Into<Accumulated<A>>,
    step: impl Fn(A, T) -> A + Send + Sync + 'static,
    undo: impl Fn(A, T) -> A + Send + Sync + 'static,
) -> Aggregate<T> {
    let accumulated = empty.into();
    let undo = from_empty(accumulated.empty.clone(), undo);
    let step = from_empty(accumulated.empty.clone(), step);
    let Accumulated { empty, versions } = accumulated;
    let undo = Some(undo);
    let fold: Fold<T, A> =
        Fold { name: "fold", versions, empty: Some(empty), step, undo, merge: None };
    Aggregate { function: Ok(Arc::new(fold)), reads: Reads::Row }
}

fn folding<T: Record, A: Value>(
    name: &'static str,
    Accumulated { empty, versions }: Accumulated<A>,
    step: impl Fn(A, T) -> A + Send + Sync + 'static,
    merge: Option<Arc<dyn Fn(A, A) -> A + Send + Sync>>,
) -> Aggregate<T> {
    let step = from_empty(empty.clone(), step);
    let fold: Fold<T, A> = Fold { name, versions, empty: Some(empty), step, undo: None, merge };
    Aggregate { function: Ok(Arc::new(fold)), reads: Reads::Row }
}

/// Returns a step that begins with `empty`.
fn from_empty<T: Record, A: Value>(
    empty: A,
    step: impl Fn(A, T) -> A + Send + Sync + 'static,
) -> Arc<dyn Fn(Option<A>, T) -> A + Send + Sync> {
    Arc::new(move |before: Option<A>, row| step(before.unwrap_or_else(|| empty.clone()), row))
}

/// Returns the row that a closure makes of all rows, two by two. In which order they are put together
/// may change from run to run, so it must not care. [`Reduced`] gives it a version.
pub fn reduce<T: Record>(reduce: impl Fn(T, T) -> T + Send + Sync + 'static) -> Aggregate<T> {
    reducing(reduce, Versions::default())
}

/// The name of a step that reduces, and the version of the rows that it keeps.
///
/// Where a name alone is given, the version is 1. Whoever changes the fields of the rows, or what they
/// mean, gives them the next version, and says how each version that may still be in a checkpoint becomes
/// the new one:
///
/// ```
/// # extern crate thalweg_api as thalweg;
/// use thalweg::{Record, Reduced, Result, Stream};
///
/// #[derive(Clone, Debug, Record)]
/// struct First { player: i64, points: i64 }
///
/// #[derive(Clone, Debug, Record)]
/// struct Score { player: i64, points: i64, rows: i64 }
///
/// fn sums(scores: Stream<'_, Score>) -> Result<Stream<'_, Score>> {
///     let kept = Reduced::new("sums").version(2).migrate(1, |old: First| Score {
///         player: old.player,
///         points: old.points,
///         rows: 1,
///     });
///     scores.key_by(|score| score.player).reduce(kept, |a, b| Score {
///         player: a.player,
///         points: a.points + b.points,
///         rows: a.rows + b.rows,
///     })
/// }
/// ```
///
/// A checkpoint with a version that is newer, or that nothing migrates, is refused.
pub struct Reduced<T> {
    name: String,
    versions: Versions<Migrate>,
    rows: PhantomData<fn() -> T>,
}

impl<T: Record, N: Into<String>> From<N> for Reduced<T> {
    fn from(name: N) -> Reduced<T> {
        Reduced::new(name)
    }
}

impl<T: Record> Reduced<T> {
    /// Returns rows of version 1, kept under a name.
    pub fn new(name: impl Into<String>) -> Reduced<T> {
        Reduced { name: name.into(), versions: Versions::default(), rows: PhantomData }
    }

    /// Says which version the rows have from now on.
    pub fn version(mut self, version: u32) -> Reduced<T> {
        self.versions.own = version;
        self
    }

    /// Says how a row of version `from`, which was an `Old`, becomes one of today.
    pub fn migrate<Old: Value>(
        mut self,
        from: u32,
        migration: impl Fn(Old) -> T + Send + Sync + 'static,
    ) -> Reduced<T> {
        self.versions.add(from, Arc::new(move |saved: &ArrayRef| migrated(saved, &migration)));
        self
    }

    /// Returns the name of a step, and what it keeps.
    pub(crate) fn step(
        mut self,
        function: impl Fn(T, T) -> T + Send + Sync + 'static,
    ) -> (String, Aggregate<T>) {
        let name = std::mem::take(&mut self.name);
        (name, self.by(function))
    }

    /// Returns the aggregate, for a list of several; its state is kept under the name of their step.
    pub fn by(self, function: impl Fn(T, T) -> T + Send + Sync + 'static) -> Aggregate<T> {
        reducing(function, self.versions)
    }
}

fn reducing<T: Record>(
    reduce: impl Fn(T, T) -> T + Send + Sync + 'static,
    versions: Versions<Migrate>,
) -> Aggregate<T> {
    let merge = Arc::new(reduce);
    let reduce = merge.clone();
    let step = Arc::new(move |before: Option<T>, row| match before {
        Some(before) => reduce(before, row),
        None => row,
    });
    let fold: Fold<T, T> =
        Fold { name: "reduce", versions, empty: None, step, undo: None, merge: Some(merge) };
    Aggregate { function: Ok(Arc::new(fold)), reads: Reads::Row }
}
