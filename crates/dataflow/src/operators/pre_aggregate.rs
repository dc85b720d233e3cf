//! The pre-aggregation: folds the rows of one epoch on their own worker before they are
//! exchanged, so that few rows travel.
//!
//! Invariants: nothing is kept from one epoch to the next; it judges lateness itself, since
//! behind it rows are partial states of a whole window.

use std::collections::BTreeMap;

use arrow::array::{ArrayRef, Int64Array, UInt32Array};
use arrow::datatypes::SchemaRef;
use thalweg_plan::node::AggregateNode;
use thalweg_plan::window::WindowSpec;
use thalweg_types::{Change, Groups, Result};

use super::accumulators::{BATCH_ROWS, Keyed, batch};
use super::due::{Due, column_of, split_late, times};
use crate::operator::{Close, Operator, Output, Step};

/// Bytes of keys and states after which they are sent before the epoch ends.
const BYTES_MAX: usize = 64 << 20;

/// Folds rows by key, and by window or slice.
pub struct PreAggregate {
    node: AggregateNode,
    input: SchemaRef,
    output: SchemaRef,
    window: Option<(WindowSpec, Due)>,
    /// Tables by end and start of the window; one without windows.
    tables: BTreeMap<(i64, i64), Keyed>,
    /// Emptied tables, to be used again.
    spare: Vec<Keyed>,
    horizon: i64,
}

impl PreAggregate {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub fn new(node: AggregateNode, input: &SchemaRef, output: SchemaRef) -> Result<PreAggregate> {
        let window = node.window.map(|spec| Due::new(&spec, input).map(|due| (spec, due)));
        let window = window.transpose()?;
        Keyed::new(&node, input)?;
        let input = input.clone();
        let (tables, spare) = (BTreeMap::new(), Vec::new());
        Ok(PreAggregate { node, input, output, window, tables, spare, horizon: i64::MIN })
    }

    fn add(&mut self, place: (i64, i64), change: &Change) -> Result<()> {
        let keyed = match self.tables.entry(place) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(match self.spare.pop() {
                    Some(keyed) => keyed,
                    None => Keyed::new(&self.node, &self.input)?,
                })
            }
        };
        let groups = keyed.intern(&change.rows)?;
        keyed.add(change, groups)
    }

    /// Sends and forgets what is folded so far.
    fn flush(&mut self, out: &mut Output) -> Result<()> {
        for ((end, start), mut keyed) in std::mem::take(&mut self.tables) {
            let rows = keyed.len();
            let mut columns = match &self.window {
                None => Vec::new(),
                Some(_) => window_columns(&self.output, (start, end), rows)?,
            };
            columns.extend(keyed.keys_and_states(Groups::First(rows))?);
            let rows = batch(&self.output, columns, rows)?;
            (0..rows.num_rows()).step_by(BATCH_ROWS * 8).for_each(|at| {
                let length = (rows.num_rows() - at).min(BATCH_ROWS * 8);
                out.send(Change::append(rows.slice(at, length)));
            });
            keyed.clear();
            if self.spare.len() < 4 {
                self.spare.push(keyed);
            }
        }
        Ok(())
    }
}

/// Returns the two columns of one window, `rows` times.
pub(super) fn window_columns(
    schema: &SchemaRef,
    (start, end): (i64, i64),
    rows: usize,
) -> Result<Vec<ArrayRef>> {
    let column = |index: usize, value: i64| -> Result<ArrayRef> {
        column_of(vec![value; rows], schema.field(index).data_type())
    };
    Ok(vec![column(0, start)?, column(1, end)?])
}

/// Cuts a change into one for each window, in order of end and start.
pub(super) fn by_window(spec: &WindowSpec, change: &Change) -> Result<Vec<((i64, i64), Change)>> {
    let (starts, ends) =
        (times(change.rows.column(spec.start))?, times(change.rows.column(spec.end))?);
    let (starts, ends) = (starts.values(), ends.values());
    let Some((start, end)) = starts.first().zip(ends.first()) else { return Ok(Vec::new()) };
    if starts.iter().all(|s| s == start) && ends.iter().all(|e| e == end) {
        return Ok(vec![((*end, *start), change.clone())]);
    }
    let mut places: BTreeMap<(i64, i64), Vec<u32>> = BTreeMap::new();
    for (row, place) in ends.iter().copied().zip(starts.iter().copied()).enumerate() {
        places.entry(place).or_default().push(row as u32);
    }
    let part = |(place, rows)| Ok((place, change.take(&UInt32Array::from(rows))?));
    places.into_iter().map(part).collect()
}

/// Takes late rows out of `change`: counts them, and sends them to output 1 if asked.
pub(super) fn without_late(
    node: &AggregateNode,
    spec: &WindowSpec,
    change: Change,
    horizon: i64,
    out: &mut Output,
) -> Result<Change> {
    let (starts, ends) =
        (times(change.rows.column(spec.start))?, times(change.rows.column(spec.end))?);
    let assigner = spec.assigner;
    let last_end = |row: usize, ends: &Int64Array| match assigner.slice() {
        0 => ends.value(row),
        _ => assigner.windows_of(starts.value(row)).last().map_or(ends.value(row), |w| w.1),
    };
    let (good, late) = split_late(&ends, horizon, |row| last_end(row, &ends));
    if late.is_empty() {
        return Ok(change);
    }
    out.count_late(late.len());
    if node.divert_late {
        out.send_to(1, change.take(&UInt32Array::from(late))?);
    }
    change.take(&UInt32Array::from(good))
}

impl Operator for PreAggregate {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        match self.window {
            None => self.add((0, 0), &change)?,
            Some((spec, _)) => {
                let change = without_late(&self.node, &spec, change, self.horizon, out)?;
                for (place, part) in by_window(&spec, &change)? {
                    self.add(place, &part)?;
                }
            }
        }
        if self.tables.values().map(Keyed::bytes).sum::<usize>() > BYTES_MAX {
            self.flush(out)?;
        }
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.flush(out)?;
        if let Some((_, due)) = &self.window {
            self.horizon = due.horizon(&close.moment);
        }
        Ok(Step::Done)
    }

    fn restore(
        &mut self,
        _: &thalweg_state::StateReader,
        at: &thalweg_types::Moment,
    ) -> Result<()> {
        if let Some((_, due)) = &self.window {
            self.horizon = due.horizon(at);
        }
        Ok(())
    }
}
