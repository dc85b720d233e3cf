//! The sides of a join: rows with the columns by which they meet.
//!
//! Shapes: the columns of the key; the time of the row, or start and end of its window, where time
//! counts; the columns of the row; and a column that is true, so that a row that is missing can be told
//! from one without values.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take_arrays;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMillisecondType};
use thalweg_plan::function::Condition;
use thalweg_plan::join::{PairCondition, TimeBound, TimeColumn};
use thalweg_plan::window::{Assigner, TimeBasis};
use thalweg_plan::{Exchange, Input};
use thalweg_types::{Error, Moment, NodeId, Result};

use crate::closure::Closure;
use crate::keyed::Keyed;
use crate::record::{ReadRows, Record, WriteRows, batch, each, name_of};
use crate::scalar::Timestamp;
use crate::stream::{Rows, Stream};
use crate::value::{Key, KeyColumns, Value, column};
use crate::windowed::Window;
use crate::windowing::TimeOf;

/// How time says which rows meet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// Rows of the right are so much earlier than those of the left at most, and so much later, in
    /// milliseconds.
    Within { before: i64, after: i64 },
    /// Rows are of one window.
    Window(Window),
}

/// One side of a join.
pub(super) struct Side {
    pub(super) node: NodeId,
    /// Columns that are equal in a pair.
    pub(super) keys: Vec<usize>,
    /// Column of the time, or of the end of the window.
    time: usize,
    /// Columns of the row.
    rows: Range<usize>,
}

impl Side {
    /// Returns the columns that come out: those of the row, and whether it is there.
    pub(super) fn output(&self) -> impl Iterator<Item = usize> + use<> {
        self.rows.start..self.rows.end + 1
    }

    /// Returns the rows themselves, of rows that have the columns of this side.
    pub(super) fn rows_of<'j, T: Record>(&self, from: Rows<'j>) -> Stream<'j, T> {
        let columns = self.rows.clone();
        from.then(Closure::shaped::<T>(move |rows| Ok(rows.columns()[columns.clone()].to_vec())))
    }

    /// Returns how rows come to the join.
    pub(super) fn input(&self) -> Input {
        Input { from: self.node, port: 0, exchange: Exchange::ByKey(self.keys.clone()) }
    }
}

/// Adds what gives rows these columns.
pub(super) fn add<T: Record, K: Key>(
    keyed: Keyed<'_, T, K>,
    step: &str,
    time: Option<(Rule, TimeOf<T>)>,
) -> Result<Side> {
    let Keyed { stream, key } = keyed;
    let job = stream.job;
    let has_watermark = !job.builder.borrow().plan().node(stream.node).domains.is_empty();
    if time.is_some() && !has_watermark {
        let said = format!("step `{step}`: a stream that is joined by time has no watermark");
        return Err(Error::invalid(said).remedy("say `.watermark(…)` where its source is read"));
    }
    let mut fields = K::fields();
    let mut keys: Vec<usize> = (0..fields.len()).collect();
    match &time {
        Some((Rule::Within { .. }, _)) => fields.push(Timestamp::field("time")),
        Some((Rule::Window(_), _)) => {
            keys.extend([fields.len(), fields.len() + 1]);
            fields.extend([Timestamp::field("window_start"), Timestamp::field("window_end")]);
        }
        None => {}
    }
    let time_column = fields.len().saturating_sub(1);
    let rows = fields.len()..fields.len() + T::fields().len();
    fields.extend(T::fields());
    fields.push(Field::new("is_there", DataType::Boolean, false));
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let make = move |rows: &RecordBatch| {
        let mut keys = K::Columns::with_capacity(rows.num_rows());
        let mut times = Vec::new();
        each(rows, |record: &T| {
            keys.push(&key(record));
            times.extend(time.iter().map(|(_, time)| time(record)));
        })?;
        match &time {
            None => Ok((prepared(keys.finish(), Vec::new(), rows.columns()), None)),
            Some((Rule::Within { .. }, _)) => {
                Ok((prepared(keys.finish(), vec![column(times.iter())], rows.columns()), None))
            }
            Some((Rule::Window(window), _)) => {
                let (origins, bounds) = windows(&times, *window);
                let keys = take_arrays(&keys.finish(), &origins, None)?;
                let rows = take_arrays(rows.columns(), &origins, None)?;
                Ok((prepared(keys, bounds, &rows), Some(origins)))
            }
        }
    };
    let text = format!("key of {step}");
    let node = stream.then::<T>(Closure::copies(schema, text, make)).node;
    Ok(Side { node, keys, time: time_column, rows })
}

fn prepared(keys: Vec<ArrayRef>, times: Vec<ArrayRef>, rows: &[ArrayRef]) -> Vec<ArrayRef> {
    let count = rows.first().or(keys.first()).map_or(0, |column| column.len());
    let is_there: ArrayRef = Arc::new(BooleanArray::from(vec![true; count]));
    keys.into_iter().chain(times).chain(rows.iter().cloned()).chain([is_there]).collect()
}

/// Returns the windows of some times: the row of each, and the columns of starts and ends.
fn windows(times: &[Timestamp], window: Window) -> (UInt32Array, Vec<ArrayRef>) {
    let (mut origins, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for (row, time) in (0..).zip(times) {
        for (start, end) in windows_of(window, *time) {
            origins.push(row);
            starts.push(Timestamp(start));
            ends.push(Timestamp(end));
        }
    }
    (origins.into(), vec![column(starts.iter()), column(ends.iter())])
}

/// No window can be computed for times beyond this.
const TIME_MAX: i64 = i64::MAX / 4;

/// Returns the windows of a time; of a session the one that it would have alone.
pub(super) fn windows_of(window: Window, time: Timestamp) -> Vec<(i64, i64)> {
    if let Assigner::Session { gap } = window.0 {
        return vec![(time.0, time.0.saturating_add(gap))];
    }
    window.0.windows_of(window.0.slice_start(time.0.clamp(-TIME_MAX, TIME_MAX)))
}

/// Nanoseconds of a millisecond.
const NANOS: i64 = 1_000_000;

/// Returns how far apart in time rows of a pair can be.
pub(super) fn bound(rule: Rule, left: &Side, right: &Side) -> Option<TimeBound> {
    let (is_end, earlier, later) = match rule {
        Rule::Within { before, after } => (false, after, before),
        Rule::Window(_) => (true, 0, 0),
    };
    let time = |side: &Side| TimeColumn { column: side.time, is_end };
    Some(TimeBound {
        basis: TimeBasis::Event,
        left: time(left),
        right: time(right),
        earlier: Some(earlier.saturating_mul(NANOS)),
        later: Some(later.saturating_mul(NANOS)),
        zone: None,
    })
}

/// Returns what must hold for a pair besides its key; `width` is the number of columns of the left side.
pub(super) fn condition(
    rule: Rule,
    left: &Side,
    (right, width): (&Side, usize),
) -> Option<PairCondition> {
    let Rule::Within { before, after } = rule else { return None };
    let condition = Arc::new(Near { before, after });
    Some(PairCondition { condition, columns: vec![left.time, width + right.time] })
}

/// Is the second time so much before the first at most, and so much behind?
#[derive(Debug)]
struct Near {
    before: i64,
    after: i64,
}

impl Condition for Near {
    fn holds(&self, rows: &RecordBatch, _: &Moment) -> Result<BooleanArray> {
        let times = |column: usize| rows.column(column).as_primitive::<TimestampMillisecondType>();
        let pairs = times(0).values().iter().zip(times(1).values());
        let holds = pairs.map(|(left, right)| {
            let distance = right.saturating_sub(*left);
            Some(-self.before <= distance && distance <= self.after)
        });
        Ok(holds.collect())
    }

    fn describe(&self) -> String {
        format!("the second is at most {} ms before and {} ms behind", self.before, self.after)
    }
}

/// Makes a row of each pair of two rows, either of which may be missing.
pub(super) fn pairs<A: Record, B: Record, U: Record>(
    function: impl Fn(Option<A>, Option<B>) -> Option<U> + Send + Sync + 'static,
) -> Closure {
    let (left, right, made) = (name_of::<A>(), name_of::<B>(), name_of::<U>());
    let text = format!("pair {left} and {right} to {made}");
    let width = A::fields().len();
    Closure::copies(U::schema(), text, move |rows| {
        let (left, right) = rows.columns().split_at(width + 1);
        let (left, is_left) = opened::<A>(left)?;
        let (right, is_right) = opened::<B>(right)?;
        let mut made = U::Columns::with_capacity(rows.num_rows());
        let mut origins = Vec::new();
        for row in 0..rows.num_rows() {
            let left = is_left.is_valid(row).then(|| left.get(row));
            let right = is_right.is_valid(row).then(|| right.get(row));
            if let Some(record) = function(left, right) {
                made.push(&record);
                origins.push(row as u32);
            }
        }
        let made = batch::<U>(made, origins.len())?;
        Ok((made.columns().to_vec(), Some(origins.into())))
    })
}

/// Opens the columns of a row that may be missing, the last of which says whether it is.
fn opened<T: Record>(columns: &[ArrayRef]) -> Result<(T::Rows, ArrayRef)> {
    let (is_there, columns) = columns.split_last().expect("joined: each side has such a column");
    Ok((T::Rows::open(columns, is_there.nulls())?, is_there.clone()))
}
