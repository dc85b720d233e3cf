//! Aggregations of groups, as nodes of a plan.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_plan::PlanBuilder;
use thalweg_plan::graph::Aggregation;
use thalweg_plan::node::AggregateCall;
use thalweg_plan::pane::{Accumulation, Panes};
use thalweg_plan::trigger::{Machine, Trigger};
use thalweg_plan::window::{Assigner, WindowSpec};
use thalweg_types::{Error, Moment, NodeId, Result};

use crate::aggregate::{Accumulated, Aggregate, Collect, Reads, Reduced, fold, fold_with_undo};
use crate::closure::Closure;
use crate::keyed::Keyed;
use crate::pane::Pane;
use crate::record::{Record, each, fits, structs};
use crate::scalar::Timestamp;
use crate::stream::{Rows, Stream};
use crate::value::{Key, KeyColumns, KeyOf, Value, column};
use crate::windowing::Windows;

/// Takes the rows that came too late.
pub(crate) type Late<'j, T> = Box<dyn FnOnce(Stream<'j, T>) -> Result<()> + 'j>;

/// The windows of an aggregation, and what they send.
pub(crate) struct Windowing<'j, T> {
    /// Where windows lie; `None` for one of all time.
    pub(crate) window: Option<Windows<T>>,
    /// What they send; `None` for what they send if nothing is said.
    pub(crate) panes: Option<Panes>,
    pub(crate) late: Option<Late<'j, T>>,
}

impl<'j, T: Record, K: Key> Keyed<'j, T, K> {
    /// Aggregates the rows of each group. The result is updated with each row, so it carries
    /// retractions. The fields of `U` are the key's, and the aggregates' in order. State is kept
    /// under `name`: a program in which it has another meaning must give it another name, since
    /// closures cannot be compared.
    ///
    /// # Errors
    /// `Invalid` if an aggregate cannot take its argument, `U` is no such row, or there is a step
    /// `name` already.
    pub fn aggregate<U: Record>(
        self,
        name: &str,
        calls: Vec<Aggregate<T>>,
    ) -> Result<Stream<'j, U>> {
        aggregate(self, all_time(), name, calls)
    }

    /// Makes one row of the rows of each group, two by two; see [`reduce`](fn@crate::reduce). The result is
    /// updated; as for state and `name`, see [`Keyed::aggregate`].
    ///
    /// # Errors
    /// As [`Keyed::aggregate`].
    pub fn reduce(
        self,
        name: impl Into<Reduced<T>>,
        function: impl Fn(T, T) -> T + Send + Sync + 'static,
    ) -> Result<Stream<'j, T>> {
        let (name, call) = name.into().step(function);
        unpacked(self, all_time(), &name, call)
    }

    /// Accumulates the rows of each group, one by one, beginning with `empty`; see [`fold`](fn@fold). The
    /// result is updated; as for state and `name`, see [`Keyed::aggregate`].
    ///
    /// # Errors
    /// As [`Keyed::aggregate`].
    pub fn fold<A: Record>(
        self,
        name: &str,
        empty: impl Into<Accumulated<A>>,
        step: impl Fn(A, T) -> A + Send + Sync + 'static,
    ) -> Result<Stream<'j, A>> {
        unpacked(self, all_time(), name, fold(empty, step))
    }

    /// Accumulates the rows of each group of a stream that is updated; see
    /// [`fold_with_undo`](fn@fold_with_undo).
    ///
    /// # Errors
    /// As [`Keyed::aggregate`].
    pub fn fold_with_undo<A: Record>(
        self,
        name: &str,
        empty: impl Into<Accumulated<A>>,
        step: impl Fn(A, T) -> A + Send + Sync + 'static,
        undo: impl Fn(A, T) -> A + Send + Sync + 'static,
    ) -> Result<Stream<'j, A>> {
        unpacked(self, all_time(), name, fold_with_undo(empty, step, undo))
    }
}

/// Returns no windows.
fn all_time<'j, T>() -> Windowing<'j, T> {
    Windowing { window: None, panes: None, late: None }
}

/// Adds an aggregation whose result is the bounds of windows, if there are any, keys, values, and what
/// panes say, if `U` asks for it.
pub(crate) fn aggregate<'j, T: Record, K: Key, U: Record>(
    keyed: Keyed<'j, T, K>,
    windowing: Windowing<'j, T>,
    name: &str,
    calls: Vec<Aggregate<T>>,
) -> Result<Stream<'j, U>> {
    let has_pane = Pane::ends::<U>();
    shaped(grouped(keyed, windowing, (name, has_pane), calls)?, (name, has_pane))
}

/// Makes structs of the rows of an aggregation, which say what their pane is if it says so.
pub(crate) fn shaped<'j, U: Record>(
    made: Rows<'j>,
    (name, has_pane): (&str, bool),
) -> Result<Stream<'j, U>> {
    let mut found: Vec<Field> = made.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    if has_pane {
        found.truncate(found.len() - Pane::COLUMNS.len());
        found.push(Pane::field("pane"));
    }
    fits::<U>(&found).map_err(|error| error.context(format!("step `{name}`")))?;
    let columns = move |rows: &RecordBatch| match has_pane {
        false => Ok(rows.columns().to_vec()),
        true => with_pane(rows.columns()),
    };
    Ok(made.then(Closure::shaped::<U>(columns)))
}

/// Puts the last columns together, which say what a pane is.
fn with_pane(columns: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let at = columns.len().saturating_sub(Pane::COLUMNS.len());
    let (columns, said) = columns.split_at(at);
    let pane = structs::<Pane>(said.to_vec())?;
    Ok(columns.iter().cloned().chain([pane]).collect())
}

/// Adds an aggregation whose result is the value of one call alone.
pub(crate) fn unpacked<'j, T: Record, K: Key, U: Record>(
    keyed: Keyed<'j, T, K>,
    windowing: Windowing<'j, T>,
    name: &str,
    call: Aggregate<T>,
) -> Result<Stream<'j, U>> {
    Ok(unpacked_of(grouped(keyed, windowing, (name, false), vec![call])?))
}

/// Returns the last value of an aggregation alone, which is a struct.
pub(crate) fn unpacked_of<'j, U: Record>(made: Rows<'j>) -> Stream<'j, U> {
    made.then(Closure::shaped::<U>(|rows| match rows.columns().last() {
        Some(value) => Ok(value.as_struct().columns().to_vec()),
        None => Err(Error::internal("an aggregation has no value")),
    }))
}

/// The columns that stand before an aggregation: key, arguments, the whole row as one, bounds of
/// windows, and the row's own columns again, for late rows.
struct Head<T, K> {
    key: KeyOf<T, K>,
    /// The types of arguments, and what collects them.
    arguments: Vec<(DataType, Collect<T>)>,
    /// Is the whole row an argument?
    has_row: bool,
    window: Option<Windows<T>>,
    /// Do windows go by the rows of their key? Then the time of a row stands behind the bounds.
    has_time: bool,
    has_late: bool,
}

impl<T: Record, K: Key> Head<T, K> {
    fn new(key: KeyOf<T, K>, windowing: &Windowing<'_, T>) -> Head<T, K> {
        let (window, has_late) = (windowing.window.clone(), windowing.late.is_some());
        let has_time = windowing.panes.as_ref().is_some_and(|panes| panes.own_time.is_some());
        Head { key, arguments: Vec::new(), has_row: false, window, has_time, has_late }
    }

    /// Takes the arguments of calls.
    fn calls(&mut self, calls: Vec<Aggregate<T>>) -> Result<Vec<AggregateCall>> {
        let keys = K::fields().len();
        let is_value = |call: &&Aggregate<T>| matches!(call.reads, Reads::Value(_, _));
        let row = keys + calls.iter().filter(is_value).count();
        let call = |Aggregate { function, reads }| {
            let arguments = match reads {
                Reads::Nothing => Vec::new(),
                Reads::Value(kind, collect) => {
                    self.arguments.push((kind, collect));
                    vec![keys + self.arguments.len() - 1]
                }
                Reads::Row => {
                    self.has_row = true;
                    vec![row]
                }
            };
            Ok(AggregateCall { function: function?, arguments, filter: None, distinct: false })
        };
        calls.into_iter().map(call).collect()
    }

    /// Returns the position of the bounds of windows.
    fn bounds(&self) -> usize {
        K::fields().len() + self.arguments.len() + usize::from(self.has_row)
    }

    /// Returns the positions of the row's own columns.
    fn late(&self) -> Range<usize> {
        let bounds = if self.window.is_some() { 2 } else { 0 };
        let start = self.bounds() + bounds + usize::from(self.has_time);
        start..start + T::fields().len()
    }

    fn schema(&self) -> SchemaRef {
        let mut fields = K::fields();
        let kinds = self.arguments.iter().map(|(kind, _)| kind.clone()).enumerate();
        fields.extend(kinds.map(|(at, kind)| Field::new(format!("argument{at}"), kind, true)));
        fields.extend(self.has_row.then(|| T::field("row")));
        if self.window.is_some() {
            // A row without windows has no bounds.
            let bound = |name: &str| Timestamp::field(name).with_nullable(true);
            fields.extend([bound("start"), bound("end")]);
        }
        fields.extend(self.has_time.then(|| Timestamp::field("time")));
        if self.has_late {
            fields.extend(T::fields());
        }
        Arc::new(Schema::new(fields))
    }

    fn columns(&self, rows: &RecordBatch, now: Timestamp) -> Result<Vec<ArrayRef>> {
        let count = rows.num_rows();
        let mut keys = K::Columns::with_capacity(count);
        let mut arguments: Vec<_> =
            self.arguments.iter().map(|(_, collect)| collect(count)).collect();
        let mut times = Vec::new();
        each(rows, |record: &T| {
            keys.push(&(self.key)(record));
            arguments.iter_mut().for_each(|argument| argument.push(record));
            times.extend(self.window.iter().filter_map(|windows| windows.time(record, now)));
        })?;
        let mut columns = keys.finish();
        columns.extend(arguments.iter_mut().map(|argument| argument.finish()));
        if self.has_row {
            columns.push(structs::<T>(rows.columns().to_vec())?);
        }
        let bounds = columns.len();
        if self.has_time {
            columns.push(column(times.iter()));
        }
        if self.has_late {
            columns.extend_from_slice(rows.columns());
        }
        match &self.window {
            None => Ok(columns),
            Some(windows) => {
                let mut columns = windows.add(columns, rows, &times)?;
                columns[bounds..].rotate_right(2);
                Ok(columns)
            }
        }
    }
}

/// Adds the nodes of an aggregation under a name; its panes say what they are if they are asked to.
fn grouped<'j, T: Record, K: Key>(
    keyed: Keyed<'j, T, K>,
    windowing: Windowing<'j, T>,
    (name, has_pane): (&str, bool),
    calls: Vec<Aggregate<T>>,
) -> Result<Rows<'j>> {
    keyed.stream.job.step(name)?;
    add(keyed, windowing, (name, has_pane), calls)
        .map_err(|error| error.context(format!("step `{name}`")))
}

fn add<'j, T: Record, K: Key>(
    keyed: Keyed<'j, T, K>,
    windowing: Windowing<'j, T>,
    (name, has_pane): (&str, bool),
    calls: Vec<Aggregate<T>>,
) -> Result<Rows<'j>> {
    let Keyed { stream, key } = keyed;
    let job = stream.job;
    let mut head = Head::new(key, &windowing);
    let is_updated = job.builder.borrow().plan().node(stream.node).is_updating;
    if is_updated && matches!(head.window, Some(Windows::User(_))) {
        return Err(Error::invalid("windows of the user's own over rows that may be taken back")
            .remedy("give rows their windows before what updates"));
    }
    let calls = head.calls(calls)?;
    if is_updated {
        check_undo(&calls)?;
    }
    let window = head.window.as_ref().map(|windows| WindowSpec {
        assigner: windows.assigner(),
        basis: windows.basis(),
        start: head.bounds(),
        end: head.bounds() + 1,
        zone: None,
    });
    let mut panes = panes(windowing.panes, window.as_ref(), has_pane, &calls)?;
    if let Some(own) = panes.as_mut().and_then(|panes| panes.own_time.as_mut()) {
        if !matches!(head.window, Some(Windows::Of(..))) {
            return Err(Error::invalid("own_time without windows by the time of rows")
                .remedy("use window(…), or leave it out"));
        }
        own.column = head.bounds() + 2;
    }
    let (late, divert_late) = (head.late(), head.has_late);
    let prepared = prepared(stream, head, name);
    let keys = (0..K::fields().len()).collect();
    let mut aggregation = Aggregation { window, keys, calls, divert_late, ttl: None, panes };
    let mut builder = job.builder.borrow_mut();
    let sessions = rows_first(&mut builder, prepared.node, &mut aggregation)?;
    let made = builder.aggregate(sessions.unwrap_or(prepared.node), aggregation)?;
    drop(builder);
    if let Some(take) = windowing.late {
        let rows = Rows { job, node: sessions.unwrap_or(made.late), port: 1 };
        take(
            rows.then(Closure::shaped::<T>(move |rows| Ok(rows.columns()[late.clone()].to_vec()))),
        )?;
    }
    Ok(Rows { job, node: made.result, port: 0 })
}

/// Checks that what is accumulated by closures can take rows back.
fn check_undo(calls: &[AggregateCall]) -> Result<()> {
    let keeps =
        |call: &&AggregateCall| call.function.has_versions() && !call.function.is_retractable();
    match calls.iter().find(keeps) {
        None => Ok(()),
        Some(call) => Err(Error::invalid(format!(
            "a {} cannot take rows back, and its input is updated",
            call.function.name()
        ))
        .remedy("use fold_with_undo, and say what is left when a row is taken back")),
    }
}

/// Puts the columns that an aggregation reads before it.
fn prepared<'j, T: Record, K: Key>(
    stream: Stream<'j, T>,
    head: Head<T, K>,
    name: &str,
) -> Stream<'j, T> {
    let (schema, text) = (head.schema(), format!("key and arguments of {name}"));
    let columns =
        move |rows: &RecordBatch, at: &Moment| head.columns(rows, Timestamp::of(at.clock));
    stream.then(Closure::columns_at(schema, text, columns))
}

/// Puts the columns that an aggregation without windows of time reads before it; returns its calls, too.
pub(crate) fn without_time<'j, T: Record, K: Key>(
    keyed: Keyed<'j, T, K>,
    name: &str,
    calls: Vec<Aggregate<T>>,
) -> Result<(Stream<'j, T>, Vec<AggregateCall>)> {
    let mut head = Head::new(keyed.key, &all_time());
    let calls = head.calls(calls)?;
    Ok((prepared(keyed.stream, head, name), calls))
}

/// Lets the rows of sessions wait until these are complete, where what is accumulated of two cannot become
/// one; returns the node that does it.
fn rows_first(
    builder: &mut PlanBuilder,
    from: NodeId,
    aggregation: &mut Aggregation,
) -> Result<Option<NodeId>> {
    let Some(window) = aggregation.window.as_mut().filter(|w| w.assigner.is_merging()) else {
        return Ok(None);
    };
    if aggregation.calls.iter().all(|call| call.function.is_mergeable()) {
        return Ok(None);
    }
    let (keys, divert_late) = (aggregation.keys.clone(), aggregation.divert_late);
    let rows = builder.session_rows(from, *window, keys, divert_late)?;
    window.assigner = Assigner::Attached;
    aggregation.divert_late = false;
    Ok(Some(rows))
}

/// Returns the panes that windows send, if they need some.
fn panes(
    said: Option<Panes>,
    window: Option<&WindowSpec>,
    has_pane: bool,
    calls: &[AggregateCall],
) -> Result<Option<Panes>> {
    let is_mergeable = calls.iter().all(|call| call.function.is_mergeable());
    let is_merging = window.is_some_and(|window| window.assigner.is_merging());
    if is_merging && !is_mergeable && said.is_some() {
        return Err(Error::invalid("sessions may become one, and a fold has no rule for that")
            .remedy("use combine, and say how two accumulated values become one, or let each session send one result, when it is complete"));
    }
    // A slice is part of many windows: what cannot be merged is accumulated by each of them.
    let needs_panes = window.is_some() && (has_pane || !is_mergeable);
    if has_pane && said.is_none() && window.is_none() {
        return Err(Error::invalid("the struct ends in a Pane, and there are no windows").remedy(
            "leave the field out, or use global(), whose trigger says when panes are sent",
        ));
    }
    let Some(mut panes) = said.or_else(|| needs_panes.then(on_time)) else { return Ok(None) };
    Machine::new(&panes.trigger)?;
    if has_pane {
        panes.columns = Pane::COLUMNS.to_vec();
    }
    Ok(Some(panes))
}

/// Returns the panes of windows that send one, when they are complete.
pub(crate) fn on_time() -> Panes {
    Panes {
        trigger: Trigger::on_time(),
        accumulation: Accumulation::Accumulating,
        lateness: Duration::ZERO,
        columns: Vec::new(),
        own_time: None,
    }
}
