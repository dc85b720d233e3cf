//! Windows of so many rows of each group.

use thalweg_plan::node::CountWindowNode;
use thalweg_types::Result;

use crate::aggregate::{Accumulated, Aggregate, Reduced, fold};
use crate::aggregation::{shaped, unpacked_of, without_time};
use crate::keyed::Keyed;
use crate::record::Record;
use crate::stream::{Rows, Stream};
use crate::value::Key;

/// Rows in groups, so many at a time, in the order in which they come.
pub struct Counted<'j, T, K> {
    keyed: Keyed<'j, T, K>,
    size: u64,
    slide: u64,
}

impl<'j, T: Record, K: Key> Keyed<'j, T, K> {
    /// Puts `size` rows of each group into a window, which is complete when the last one comes. One that
    /// the input ends within has no result.
    pub fn count_window(self, size: u64) -> Counted<'j, T, K> {
        Counted { keyed: self, size, slide: size }
    }
}

impl<'j, T: Record, K: Key> Counted<'j, T, K> {
    /// Begins a window every `slide` rows: each has the last rows of its group, fewer at first.
    pub fn every(mut self, slide: u64) -> Self {
        self.slide = slide;
        self
    }

    /// Aggregates the rows of each window. The fields of `U` are the key's, and the aggregates' in order.
    /// As for state and `name`, see [`Keyed::aggregate`].
    ///
    /// # Errors
    /// As [`Keyed::aggregate`]; `Invalid` for windows of no rows, and for rows that are taken back.
    pub fn aggregate<U: Record>(
        self,
        name: &str,
        calls: Vec<Aggregate<T>>,
    ) -> Result<Stream<'j, U>> {
        shaped(self.rows(name, calls)?, (name, false))
    }

    /// Makes one row of the rows of each window; see [`Keyed::reduce`].
    ///
    /// # Errors
    /// As [`Counted::aggregate`].
    pub fn reduce(
        self,
        name: impl Into<Reduced<T>>,
        function: impl Fn(T, T) -> T + Send + Sync + 'static,
    ) -> Result<Stream<'j, T>> {
        let (name, call) = name.into().step(function);
        Ok(unpacked_of(self.rows(&name, vec![call])?))
    }

    /// Accumulates the rows of each window; see [`Keyed::fold`].
    ///
    /// # Errors
    /// As [`Counted::aggregate`].
    pub fn fold<A: Record>(
        self,
        name: &str,
        empty: impl Into<Accumulated<A>>,
        step: impl Fn(A, T) -> A + Send + Sync + 'static,
    ) -> Result<Stream<'j, A>> {
        Ok(unpacked_of(self.rows(name, vec![fold(empty, step)])?))
    }

    fn rows(self, name: &str, calls: Vec<Aggregate<T>>) -> Result<Rows<'j>> {
        let Counted { keyed, size, slide } = self;
        let job = keyed.stream.job;
        job.step(name)?;
        let made = (|| {
            let (prepared, calls) = without_time(keyed, name, calls)?;
            let keys = (0..K::fields().len()).collect();
            let node = CountWindowNode { keys, calls, size, slide };
            job.builder.borrow_mut().count_windows(prepared.node, node)
        })();
        let node = made.map_err(|error| error.context(format!("step `{name}`")))?;
        Ok(Rows { job, node, port: 0 })
    }
}
