//! Functions that give rows their windows.
//!
//! Invariants: a row without a time keeps its place and has no window, so that whoever counts
//! late rows counts it; the memory of an expansion is bounded, however many windows hold a row.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, new_null_array,
};
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef};
use thalweg_plan::function::Transform;
use thalweg_plan::window::Assigner;
use thalweg_types::zone::Overlap;
use thalweg_types::{Change, Error, Moment, Result, Zone};

use crate::casting::wrapped;
use crate::expression::{fitted, rows_of};
use crate::text::plan_error;

/// Rows that an expansion puts out at once, about.
const EXPANDED_MAX: usize = 1 << 16;
/// No window can be computed for times beyond this; they all fall into the outermost ones.
const TIME_MAX: i64 = i64::MAX / 4;

/// Returns the time column in the time in which windows lie.
fn window_times(column: &ArrayRef, zone: Option<Zone>) -> Result<Int64Array> {
    let times = whole(column)?;
    let (Some(zone), DataType::Timestamp(unit, _)) = (zone, column.data_type()) else {
        return Ok(times);
    };
    let locals = times.values().iter().copied().map(zone.in_unit(*unit).locals());
    Ok(Int64Array::new(locals.collect::<Vec<_>>().into(), times.nulls().cloned()))
}

/// Returns `window_time`, of type `kind`: the last time of windows with these ends.
fn last_times(ends: &Int64Array, zone: Option<Zone>, kind: &DataType) -> Result<ArrayRef> {
    let last: Int64Array = ends.unary(|end: i64| end.saturating_sub(1));
    let (Some(zone), DataType::Timestamp(unit, _)) = (zone, kind) else {
        return fitted(Arc::new(last), kind);
    };
    let zoned = zone.in_unit(*unit);
    // Neighbours mostly share a window.
    let mut known = (0, zoned.instant(0, Overlap::Earlier));
    let instants = last.values().iter().map(|last| {
        if known.0 != *last {
            known = (*last, zoned.instant(*last, Overlap::Earlier));
        }
        known.1
    });
    let instants = Int64Array::new(instants.collect::<Vec<_>>().into(), last.nulls().cloned());
    fitted(Arc::new(instants), kind)
}

fn whole(column: &ArrayRef) -> Result<Int64Array> {
    Ok(fitted(column.clone(), &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}

/// Returns the start of the slice of each time.
fn slice_starts(times: &Int64Array, assigner: Assigner) -> Int64Array {
    let length = assigner.slice();
    // Neighbours mostly share a slice, and a comparison is cheaper than a division.
    let (mut start, mut end) = (0, 0);
    let starts = times.values().iter().map(|time| {
        if !(start..end).contains(time) {
            start = assigner.slice_start((*time).clamp(-TIME_MAX, TIME_MAX));
            end = start + length;
        }
        start
    });
    Int64Array::new(starts.collect::<Vec<_>>().into(), times.nulls().cloned())
}

/// Appends the window that each row carries to a window operator: its own (tumbling), its slice
/// (hopping, cumulating), or the one it would have alone (sessions); and the window's last time.
#[derive(Debug)]
pub(crate) struct AssignWindow {
    /// The time column.
    pub(crate) time: usize,
    /// In the time column's unit.
    pub(crate) assigner: Assigner,
    /// The zone in whose local time windows lie, if the time column counts instants.
    pub(crate) zone: Option<Zone>,
    /// The input's columns and the three of the window.
    pub(crate) schema: SchemaRef,
}

impl Transform for AssignWindow {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let times = window_times(input.rows.column(self.time), self.zone)?;
        let (starts, length) = match self.assigner {
            Assigner::Session { gap } => (times, gap),
            assigner => (slice_starts(&times, assigner), assigner.slice()),
        };
        let ends: Int64Array = starts.unary(|start: i64| start.saturating_add(length));
        let mut columns = input.rows.columns().to_vec();
        let kind = |behind: usize| self.schema.field(input.rows.num_columns() + behind).data_type();
        let last = last_times(&ends, self.zone, kind(2))?;
        columns.push(fitted(Arc::new(starts), kind(0))?);
        columns.push(fitted(Arc::new(ends), kind(1))?);
        columns.push(last);
        let rows = rows_of(&self.schema, columns, input.len())?;
        out.push(Change { rows, weights: input.weights.clone() });
        Ok(())
    }

    fn windows(&self) -> Option<Assigner> {
        Some(self.assigner)
    }

    fn explain(&self) -> String {
        let zone = self.zone.map_or(String::new(), |zone| format!(" in {zone}"));
        format!("window by {}{zone}", self.schema.field(self.time).name())
    }

    fn zone(&self) -> Option<Zone> {
        self.zone
    }

    fn describe(&self) -> Option<String> {
        let time = self.schema.field(self.time);
        let windows = self.assigner.describe(time.data_type());
        Some(format!("assigns windows: {windows} by {}", time.name()))
    }
}

/// Makes a row for each window that holds a row's slice.
#[derive(Debug)]
pub(crate) struct ExpandWindows {
    /// Columns of start, end and last time, as far as they are there; at least one is.
    pub(crate) columns: [Option<usize>; 3],
    /// In the columns' unit.
    pub(crate) assigner: Assigner,
    /// The zone in whose local time windows lie; then start or end is there.
    pub(crate) zone: Option<Zone>,
    pub(crate) schema: SchemaRef,
}

/// The windows of some rows: which row, and where its window starts and ends.
#[derive(Default)]
struct Expanded {
    rows: Vec<u32>,
    starts: Vec<Option<i64>>,
    ends: Vec<Option<i64>>,
}

impl Transform for ExpandWindows {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let starts = self.slice_starts(&input.rows)?;
        let mut expanded = Expanded::default();
        for row in 0..starts.len() {
            if starts.is_null(row) {
                expanded.add(row, None);
            } else {
                for window in self.assigner.windows_of(starts.value(row)) {
                    expanded.add(row, Some(window));
                }
            }
            if expanded.rows.len() >= EXPANDED_MAX {
                out.push(self.finish(input, std::mem::take(&mut expanded))?);
            }
        }
        if !expanded.rows.is_empty() {
            out.push(self.finish(input, expanded)?);
        }
        Ok(())
    }

    fn explain(&self) -> String {
        "expand windows".to_owned()
    }

    fn describe(&self) -> Option<String> {
        Some("makes a row for each window that holds a row".to_owned())
    }
}

impl Expanded {
    fn add(&mut self, row: usize, window: Option<(i64, i64)>) {
        self.rows.push(row as u32);
        self.starts.push(window.map(|window| window.0));
        self.ends.push(window.map(|window| window.1));
    }
}

impl ExpandWindows {
    /// Returns the start of each row's slice, from whichever column is left.
    fn slice_starts(&self, rows: &RecordBatch) -> Result<Int64Array> {
        let slice = self.assigner.slice();
        let behind = self.columns.iter().zip([0, slice, slice - 1]);
        let found = behind.filter_map(|(column, behind)| column.map(|c| (c, behind))).next();
        let (column, behind) =
            found.ok_or_else(|| Error::internal("no window column is left to expand"))?;
        Ok(whole(rows.column(column))?.unary(|time: i64| time.saturating_sub(behind)))
    }

    fn finish(&self, input: &Change, expanded: Expanded) -> Result<Change> {
        let rows = UInt32Array::from(expanded.rows);
        let taken = input.take(&rows)?;
        let mut columns = taken.rows.columns().to_vec();
        let ends = Int64Array::from(expanded.ends);
        let kind = |column: usize| self.schema.field(column).data_type();
        let [start, end, last] = self.columns;
        if let Some(column) = last {
            columns[column] = last_times(&ends, self.zone, kind(column))?;
        }
        let bounds = [(start, Int64Array::from(expanded.starts)), (end, ends)];
        for (column, values) in bounds {
            if let Some(column) = column {
                columns[column] = fitted(Arc::new(values), kind(column))?;
            }
        }
        let rows = rows_of(&self.schema, columns, rows.len())?;
        Ok(Change { rows, weights: taken.weights })
    }
}

/// Where a column of a result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// A column of the input.
    Column(usize),
    /// The last time of the window that ends in a column, and the zone in which it lies.
    LastOf(usize, Option<Zone>),
    /// The same number in each row.
    Number(i64),
    /// Nothing: NULL in each row.
    Null,
}

/// Puts columns into another order.
#[derive(Debug)]
pub(crate) struct Reorder {
    pub(crate) picks: Vec<Pick>,
    pub(crate) schema: SchemaRef,
}

/// Returns results with the types of `schema`, which are those of the query.
pub(crate) fn settled_rows(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| settled(column, field.data_type()));
    rows_of(schema, columns.collect::<Result<_>>()?, rows.num_rows())
}

/// Returns a result as `kind`: a sum of whole numbers wraps, all else fits or fails.
fn settled(column: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    match column.as_primitive_opt::<Int64Type>() {
        Some(sums) if kind.is_integer() && *kind != DataType::Int64 => {
            wrapped(sums.clone(), kind).map_err(plan_error)
        }
        _ => fitted(column.clone(), kind),
    }
}

impl Transform for Reorder {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn apply(&self, input: &Change, _: &Moment, out: &mut Vec<Change>) -> Result<()> {
        let columns = self.picks.iter().zip(self.schema.fields()).map(|(pick, field)| {
            let kind = field.data_type();
            match pick {
                Pick::Column(column) => settled(input.rows.column(*column), kind),
                Pick::LastOf(column, zone) => {
                    last_times(&whole(input.rows.column(*column))?, *zone, kind)
                }
                Pick::Number(number) => {
                    fitted(Arc::new(Int64Array::from(vec![*number; input.len()])), kind)
                }
                Pick::Null => Ok(new_null_array(kind, input.len())),
            }
        });
        let rows = rows_of(&self.schema, columns.collect::<Result<_>>()?, input.len())?;
        out.push(Change { rows, weights: input.weights.clone() });
        Ok(())
    }

    fn origin(&self, column: usize) -> Option<usize> {
        match self.picks.get(column) {
            Some(Pick::Column(column)) => Some(*column),
            _ => None,
        }
    }

    fn explain(&self) -> String {
        let names: Vec<&str> =
            self.schema.fields().iter().map(|field| field.name().as_str()).collect();
        format!("pick {}", names.join(", "))
    }

    fn describe(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests;
