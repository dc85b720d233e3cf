//! Functions over keyed rows, as users write them.

use std::marker::PhantomData;

use arrow::array::RecordBatch;
use thalweg_types::Result;

use super::context::{BroadcastContext, Context, Site, Timer};
use crate::record::Record;
use crate::value::Key;

/// A function over the rows of type `T` of keys of type `K`, which sends rows of type `U`.
///
/// # Contract
/// The rows of a key come in the order of their channel, its timers in the order of their times, at
/// the end of an epoch. What a function remembers is in the states that it declares: one value of it
/// serves all workers, and after a crash rows come again from the last checkpoint on.
pub trait Process<K, T, U: Record>: Send + Sync + 'static {
    /// Takes a row.
    ///
    /// # Errors
    /// Whatever is to end the job.
    fn row(&self, row: T, context: &mut Context<'_, K, U>) -> Result<()>;

    /// Is told that a timer of the key is due.
    ///
    /// # Errors
    /// As `row`.
    fn timer(&self, timer: Timer, context: &mut Context<'_, K, U>) -> Result<()> {
        let _ = (timer, context);
        Ok(())
    }

    /// Is told that no row of this epoch is still to come, on any worker, if it asked for it by
    /// [`Context::notify_at_epoch_end`].
    ///
    /// # Errors
    /// As `row`.
    fn epoch_end(&self, context: &mut Context<'_, K, U>) -> Result<()> {
        let _ = context;
        Ok(())
    }
}

impl<K, T, U: Record, F> Process<K, T, U> for F
where
    F: Fn(T, &mut Context<'_, K, U>) -> Result<()> + Send + Sync + 'static,
{
    fn row(&self, row: T, context: &mut Context<'_, K, U>) -> Result<()> {
        self(row, context)
    }
}

/// A function over the rows of two streams with keys of type `K`, which share the state of a key.
///
/// # Contract
/// As that of [`Process`]. Which of two rows of different streams comes first is not said.
pub trait CoProcess<K, A, B, U: Record>: Send + Sync + 'static {
    /// Takes a row of the first stream.
    ///
    /// # Errors
    /// Whatever is to end the job.
    fn left(&self, row: A, context: &mut Context<'_, K, U>) -> Result<()>;

    /// Takes a row of the second stream.
    ///
    /// # Errors
    /// As `left`.
    fn right(&self, row: B, context: &mut Context<'_, K, U>) -> Result<()>;

    /// Is told that a timer of the key is due.
    ///
    /// # Errors
    /// As `left`.
    fn timer(&self, timer: Timer, context: &mut Context<'_, K, U>) -> Result<()> {
        let _ = (timer, context);
        Ok(())
    }

    /// As [`Process::epoch_end`].
    ///
    /// # Errors
    /// As `left`.
    fn epoch_end(&self, context: &mut Context<'_, K, U>) -> Result<()> {
        let _ = context;
        Ok(())
    }
}

/// A function over the rows of keys of type `K`, beside a stream that every worker gets.
///
/// # Contract
/// As that of [`CoProcess`]. Each worker calls `broadcast` with every row, and keeps state of its
/// own: what a row does to it must depend on that row and that state alone.
pub trait BroadcastProcess<K, T, B, U: Record>: Send + Sync + 'static {
    /// Takes a row of a key.
    ///
    /// # Errors
    /// Whatever is to end the job.
    fn row(&self, row: T, context: &mut Context<'_, K, U>) -> Result<()>;

    /// Takes a row that every worker gets.
    ///
    /// # Errors
    /// As `row`.
    fn broadcast(&self, row: B, context: &mut BroadcastContext<'_>) -> Result<()>;

    /// Is told that a timer of a key is due.
    ///
    /// # Errors
    /// As `row`.
    fn timer(&self, timer: Timer, context: &mut Context<'_, K, U>) -> Result<()> {
        let _ = (timer, context);
        Ok(())
    }

    /// As [`Process::epoch_end`].
    ///
    /// # Errors
    /// As `row`.
    fn epoch_end(&self, context: &mut Context<'_, K, U>) -> Result<()> {
        let _ = context;
        Ok(())
    }
}

/// A function over batches.
pub(crate) trait Body<K, U: Record>: Send + Sync + 'static {
    /// Takes rows of an input, without the columns of their keys.
    fn rows(&self, input: usize, rows: &RecordBatch, site: &mut Site<'_, K, U>) -> Result<()>;

    /// Is told that a timer is due.
    fn timer(&self, timer: Timer, context: &mut Context<'_, K, U>) -> Result<()>;

    /// Is told that all of the epoch has been seen.
    fn epoch_end(&self, context: &mut Context<'_, K, U>) -> Result<()>;
}

/// A [`Process`].
pub(crate) struct Single<P, T>(pub(crate) P, pub(crate) PhantomData<fn(T)>);

impl<K: Key, T: Record, U: Record, P: Process<K, T, U>> Body<K, U> for Single<P, T> {
    fn rows(&self, _: usize, rows: &RecordBatch, site: &mut Site<'_, K, U>) -> Result<()> {
        site.each(rows, |row, context| self.0.row(row, context))
    }

    fn timer(&self, timer: Timer, context: &mut Context<'_, K, U>) -> Result<()> {
        self.0.timer(timer, context)
    }

    fn epoch_end(&self, context: &mut Context<'_, K, U>) -> Result<()> {
        self.0.epoch_end(context)
    }
}

/// A [`CoProcess`].
pub(crate) struct Double<P, A, B>(pub(crate) P, pub(crate) PhantomData<fn(A, B)>);

impl<K, A, B, U, P> Body<K, U> for Double<P, A, B>
where
    K: Key,
    A: Record,
    B: Record,
    U: Record,
    P: CoProcess<K, A, B, U>,
{
    fn rows(&self, input: usize, rows: &RecordBatch, site: &mut Site<'_, K, U>) -> Result<()> {
        match input {
            0 => site.each(rows, |row, context| self.0.left(row, context)),
            _ => site.each(rows, |row, context| self.0.right(row, context)),
        }
    }

    fn timer(&self, timer: Timer, context: &mut Context<'_, K, U>) -> Result<()> {
        self.0.timer(timer, context)
    }

    fn epoch_end(&self, context: &mut Context<'_, K, U>) -> Result<()> {
        self.0.epoch_end(context)
    }
}

/// A [`BroadcastProcess`].
pub(crate) struct Beside<P, T, B>(pub(crate) P, pub(crate) PhantomData<fn(T, B)>);

impl<K, T, B, U, P> Body<K, U> for Beside<P, T, B>
where
    K: Key,
    T: Record,
    B: Record,
    U: Record,
    P: BroadcastProcess<K, T, B, U>,
{
    fn rows(&self, input: usize, rows: &RecordBatch, site: &mut Site<'_, K, U>) -> Result<()> {
        match input {
            0 => site.each(rows, |row, context| self.0.row(row, context)),
            _ => site.each_shared(rows, |row, context| self.0.broadcast(row, context)),
        }
    }

    fn timer(&self, timer: Timer, context: &mut Context<'_, K, U>) -> Result<()> {
        self.0.timer(timer, context)
    }

    fn epoch_end(&self, context: &mut Context<'_, K, U>) -> Result<()> {
        self.0.epoch_end(context)
    }
}
