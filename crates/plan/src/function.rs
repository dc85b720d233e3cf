//! Functions over whole batches: what SQL expressions and Rust closures become.
//!
//! Invariants: functions are deterministic in their arguments and the moment, hold no clock and
//! do no I/O; one value may be called from several workers at once, so all state is in the
//! accumulators, of which each worker makes its own.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow::datatypes::{Field, FieldRef, SchemaRef};
use thalweg_types::{Change, EventTime, Groups, Moment, Result, Zone};

use crate::trail::Share;
use crate::window::Assigner;

/// A stateless function from changes to changes: projection, filter, flat map.
///
/// # Contract
/// Each output row carries the weight of the row it was made from. Rows of the result may be
/// fewer or more than those of the input, but depend on each input row alone: the caller cuts a
/// batch that fails with `Data` into pieces to find the row at fault.
pub trait Transform: Send + Sync + Debug {
    /// Returns the schema of the result.
    fn schema(&self) -> SchemaRef;

    /// Appends what becomes of `input` to `out`.
    ///
    /// # Errors
    /// `Data` if a value cannot be computed (a cast, a division).
    fn apply(&self, input: &Change, moment: &Moment, out: &mut Vec<Change>) -> Result<()>;

    /// Returns all that decides the result, on one line; two processes compare it.
    fn explain(&self) -> String;

    /// Returns what is done, in the user's words, for `EXPLAIN`; `None` if columns are only named and
    /// picked.
    fn describe(&self) -> Option<String> {
        Some(self.explain())
    }

    /// Does the result depend on the wall clock?
    fn is_processing_time(&self) -> bool {
        false
    }

    /// Is each row that comes out made of one that came in, and of another one than any other?
    fn is_row_by_row(&self) -> bool {
        false
    }

    /// Returns the column of the input that stands in `column` of the result, as it is or so that
    /// different values stay different; `None` also wherever a row may become several, unless there is
    /// a column that tells these apart.
    fn origin(&self, column: usize) -> Option<usize> {
        let _ = column;
        None
    }

    /// Returns the column of the result that tells apart what one row becomes, if it becomes several rows
    /// that are equal otherwise.
    fn copy(&self) -> Option<usize> {
        None
    }

    /// Returns the windows that rows are given, if they are given any.
    fn windows(&self) -> Option<Assigner> {
        None
    }

    /// Returns the time zone whose local time the result depends on, if it depends on one.
    fn zone(&self) -> Option<Zone> {
        None
    }
}

/// A condition over rows.
pub trait Condition: Send + Sync + Debug {
    /// Says of each row whether the condition is true; NULL is "no".
    ///
    /// # Errors
    /// `Data` if it fails for a row.
    fn holds(&self, rows: &RecordBatch, moment: &Moment) -> Result<BooleanArray>;

    /// Returns it in the user's words.
    fn describe(&self) -> String;
}

/// The watermark strategy of a source: how far event time has come, given rows.
pub trait Watermarker: Send + Sync + Debug {
    /// Returns the highest watermark that `rows` allow; `None` if all are NULL or there are none.
    ///
    /// # Errors
    /// `Data` if the expression fails.
    fn watermark(&self, rows: &RecordBatch) -> Result<Option<EventTime>>;

    /// Returns the times of rows, in nanoseconds, and the share of their delays by which the watermark
    /// trails the newest; `None` where it is what `watermark` says.
    ///
    /// # Errors
    /// `Data` if the expression fails.
    fn trailing(&self, _rows: &RecordBatch) -> Result<Option<(Int64Array, Share)>> {
        Ok(None)
    }

    /// Returns a line for `EXPLAIN`.
    fn explain(&self) -> String;
}

/// The rows of one call to [`Accumulator::update`].
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The group of each row, `n` of them.
    pub groups: &'a [u32],
    /// The argument columns, `n` rows each.
    pub arguments: &'a [ArrayRef],
    /// Rows that count; `None` for all. NULL is "no".
    pub filter: Option<&'a BooleanArray>,
    /// The weight of each row; `None` for +1.
    pub weights: Option<&'a Int64Array>,
    /// Number of groups there are from now on; every group number is below it.
    pub total: usize,
}

impl Rows<'_> {
    /// Returns the weight of `row`, 0 if the filter leaves it out.
    #[inline]
    pub fn weight(&self, row: usize) -> i64 {
        use arrow::array::Array;
        if let Some(filter) = self.filter
            && !(filter.is_valid(row) && filter.value(row))
        {
            return 0;
        }
        self.weights.map_or(1, |weights| weights.value(row))
    }
}

/// Entries of some groups: of a group that keeps many values, each value is one.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// The group of each entry, `n` of them.
    pub groups: Vec<u32>,
    /// What entries are told apart by, and behind that how often there is each, in one or more
    /// columns of BIGINT; nothing but zeros for an entry that is gone. `n` rows each.
    pub columns: Vec<ArrayRef>,
}

/// The running aggregates of one call over many groups.
///
/// # Contract
/// Groups are numbered densely from 0; a group that was never updated has the value of the
/// aggregate over no rows. Nothing here consumes: `partial` and `evaluate` may be called at any
/// time, for any groups. `merge(partial(x))` into a fresh group gives x again, and so does
/// `merge_entries(take_entries(true))` where the function has entries.
pub trait Accumulator: Send {
    /// Adds rows; those of negative weight are taken back.
    ///
    /// # Errors
    /// `Data` on overflow; `Internal` on a retraction by an aggregate that is not retractable.
    fn update(&mut self, rows: Rows<'_>) -> Result<()>;

    /// Adds partial states, one per entry of `groups`.
    ///
    /// # Errors
    /// As `update`.
    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()>;

    /// Returns the partial state of `groups`, a column for each of the aggregate's state fields.
    ///
    /// # Errors
    /// `Internal` if the state cannot be read.
    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>>;

    /// Returns the value of `groups`.
    ///
    /// # Errors
    /// `Data` if the value cannot be represented.
    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef>;

    /// Notes from now on which entries change, for `take_entries`.
    fn track(&mut self) {}

    /// Returns the entries that changed since this was asked last, or `all` there are.
    ///
    /// # Errors
    /// `Internal` if the state cannot be read.
    fn take_entries(&mut self, _all: bool) -> Result<Entries> {
        Ok(Entries::default())
    }

    /// Adds entries that were saved; they are no changes.
    ///
    /// # Errors
    /// `Internal` if columns are missing.
    fn merge_entries(&mut self, _entries: &Entries, _total: usize) -> Result<()> {
        Ok(())
    }

    /// Returns a group from which more was taken back than it had, if there is one; asked between
    /// epochs, since within one a retraction may come before its insert.
    fn overdrawn(&self) -> Option<u32> {
        None
    }

    /// Forgets every group and gives memory back.
    fn clear(&mut self);

    /// Returns about how many bytes the states take.
    fn bytes(&self) -> usize;
}

/// An aggregate function over fixed argument types.
pub trait AggregateFunction: Send + Sync + Debug {
    /// Returns the name, as `EXPLAIN` prints it; part of the fingerprint of the state.
    fn name(&self) -> &str;

    /// Returns the field of the value.
    fn result(&self) -> FieldRef;

    /// Returns the fields of the partial state.
    fn state(&self) -> Vec<FieldRef>;

    /// Returns the fields by which the entries of a group are told apart, behind which stands how
    /// often there is each; none if the state of a group is small, and saved as `state` says.
    fn entries(&self) -> Vec<FieldRef> {
        Vec::new()
    }

    /// Can rows be taken back?
    fn is_retractable(&self) -> bool;

    /// Can partial states of one group be merged? If not, `merge` is only asked for groups that were
    /// never updated.
    fn is_mergeable(&self) -> bool {
        true
    }

    /// Does a group into which the partial state of another one was merged go on just as that one, to the last
    /// bit, at a cost that does not grow with its rows?
    fn resumes(&self) -> bool {
        false
    }

    /// Returns a column of the partial state as this version of the function has it, where `saved` says
    /// that an earlier one wrote it.
    ///
    /// # Errors
    /// `State` if it cannot be read.
    fn migrated(&self, _saved: &Field, _column: &ArrayRef) -> Result<Option<ArrayRef>> {
        Ok(None)
    }

    /// Returns a column of values that were sent, as this version of the function has them, where `saved`
    /// says that an earlier one kept what they were made of.
    ///
    /// # Errors
    /// As `migrated`.
    fn migrated_value(&self, _saved: &Field, _column: &ArrayRef) -> Result<Option<ArrayRef>> {
        Ok(None)
    }

    /// Does what is kept have a version, so that the type of the argument may change without it?
    fn has_versions(&self) -> bool {
        false
    }

    /// Returns the same aggregate with rows that can be taken back, where this one cannot and there
    /// is one; it keeps more.
    fn retractable(&self) -> Option<Arc<dyn AggregateFunction>> {
        None
    }

    /// Makes an accumulator without groups.
    ///
    /// # Errors
    /// `Invalid` if the argument types are not supported.
    fn accumulator(&self) -> Result<Box<dyn Accumulator>>;
}

/// One aggregate of an aggregation.
#[derive(Clone, Debug)]
pub struct AggregateCall {
    /// The function.
    pub function: Arc<dyn AggregateFunction>,
    /// Columns of its arguments.
    pub arguments: Vec<usize>,
    /// A boolean column: only rows where it is true count.
    pub filter: Option<usize>,
    /// Do rows of equal arguments count once, and rows with a NULL among them never?
    pub distinct: bool,
}

impl AggregateCall {
    /// Returns what decides the state of the call, as text.
    pub fn name(&self) -> String {
        let name = self.function.name();
        if self.distinct { format!("distinct {name}") } else { name.to_owned() }
    }

    /// Are its values saved one by one, apart from the groups?
    pub fn has_entries(&self) -> bool {
        self.distinct || !self.function.entries().is_empty()
    }
}
