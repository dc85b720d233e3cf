//! Windowed aggregation over slices: tumbling, hopping, cumulating, and windows attached before.
//!
//! Invariants: a row is added to one slice only, whatever the number of windows that hold it;
//! a window fires once, when the watermark (or the wall clock) passes its end; windows and keys
//! without rows send nothing. What a firing costs does not grow with size over slide: partial
//! states are kept in two stacks (see [`stacks`]).

mod session;
mod stacks;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use arrow::array::ArrayRef;
use arrow::datatypes::SchemaRef;
use thalweg_plan::node::{AggregateNode, Stage};
use thalweg_plan::window::{Assigner, WindowSpec};
use thalweg_state::{StateReader, StateWriter, TableSpec};
use thalweg_types::{Change, EventTime, Groups, Moment, Result};

use super::accumulators::{BATCH_ROWS, Keyed, batch};
use super::due::Due;
use super::pre_aggregate::{by_window, window_columns, without_late};
use crate::operator::{Close, Operator, Output, Step};
use stacks::Stacks;

/// Makes the operator for the windows of `spec`.
///
/// # Errors
/// `Invalid` if a type is not supported.
pub fn make(
    node: AggregateNode,
    spec: WindowSpec,
    input: &SchemaRef,
    output: SchemaRef,
) -> Result<Box<dyn Operator>> {
    Ok(match spec.assigner {
        Assigner::Session { .. } => {
            Box::new(session::SessionWindow::new(node, spec, input, output)?)
        }
        _ => Box::new(SliceWindow::new(node, spec, input, output)?),
    })
}

/// A slice's end and start, in the unit of the window columns.
type Slice = (i64, i64);

/// What is to be sent for a window that fired.
struct Fired {
    start: i64,
    end: i64,
    keyed: Keyed,
    next: usize,
}

/// Aggregates by window and key.
pub struct SliceWindow {
    node: AggregateNode,
    spec: WindowSpec,
    due: Due,
    input: SchemaRef,
    output: SchemaRef,
    state: SchemaRef,
    panes: BTreeMap<Slice, Keyed>,
    stacks: Stacks,
    /// End of the last window that fired, for windows made of several slices.
    last_fired: Option<i64>,
    horizon: i64,
    unsaved: BTreeSet<Slice>,
    fired: VecDeque<Fired>,
}

impl SliceWindow {
    fn new(
        node: AggregateNode,
        spec: WindowSpec,
        input: &SchemaRef,
        output: SchemaRef,
    ) -> Result<SliceWindow> {
        let due = Due::new(&spec, input)?;
        let keyed = Keyed::new(&node, input)?;
        Ok(SliceWindow {
            state: state_schema(&node, input, &output),
            stacks: Stacks::new(keyed),
            node,
            spec,
            due,
            input: input.clone(),
            output,
            panes: BTreeMap::new(),
            last_fired: None,
            horizon: i64::MIN,
            unsaved: BTreeSet::new(),
            fired: VecDeque::new(),
        })
    }

    /// Are windows made of several slices?
    fn is_sliced(&self) -> bool {
        self.spec.assigner.slice() > 0 && !matches!(self.spec.assigner, Assigner::Tumble { .. })
    }

    fn new_keyed(&self) -> Result<Keyed> {
        Keyed::new(&self.node, &self.input)
    }

    fn add(&mut self, slice: Slice, change: &Change) -> Result<()> {
        if !self.panes.contains_key(&slice) {
            let keyed = self.new_keyed()?;
            self.panes.insert(slice, keyed);
        }
        let pane = self.panes.get_mut(&slice).expect("inserted above");
        let groups = pane.intern(&change.rows)?;
        pane.add(change, groups)?;
        self.unsaved.insert(slice);
        if self.is_sliced() && self.last_fired.is_some_and(|fired| slice.0 <= fired) {
            // The slice is in windows that fired; the later ones take the rows too.
            let mut more = self.new_keyed()?;
            let groups = more.intern(&change.rows)?;
            more.add(change, groups)?;
            let columns = more.keys_and_states(Groups::First(more.len()))?;
            self.stacks
                .add_late(slice.0, &columns, more.len(), || Keyed::new(&self.node, &self.input))?;
        }
        Ok(())
    }

    /// Fires every window that is complete at `self.horizon`.
    fn fire(&mut self) -> Result<()> {
        if self.is_sliced() {
            while let Some(end) = self.next_end().filter(|end| *end <= self.horizon) {
                self.fire_sliced(end)?;
            }
            let assigner = self.spec.assigner;
            let horizon = self.horizon;
            self.panes.retain(|(_, start), _| last_end(assigner, *start) > horizon);
        } else {
            let open = self.panes.split_off(&(self.horizon.saturating_add(1), i64::MIN));
            let complete = std::mem::replace(&mut self.panes, open);
            for ((end, start), keyed) in complete {
                self.fired.push_back(Fired { start, end, keyed, next: 0 });
            }
        }
        let panes = &self.panes;
        self.unsaved.retain(|slice| panes.contains_key(slice));
        Ok(())
    }

    /// Returns the end of the next window that has rows.
    fn next_end(&self) -> Option<i64> {
        let slice = self.spec.assigner.slice();
        let after = self.last_fired.unwrap_or(i64::MIN);
        let next_pane = self
            .panes
            .range((after.saturating_add(1), i64::MIN)..)
            .next()
            .map(|((end, _), _)| *end);
        let next_step = (!self.stacks.is_empty()).then(|| after + slice);
        next_pane.into_iter().chain(next_step).min()
    }

    fn fire_sliced(&mut self, end: i64) -> Result<()> {
        let slice = self.spec.assigner.slice();
        let start = window_start(self.spec.assigner, end);
        self.last_fired = Some(end);
        let (node, input) = (self.node.clone(), self.input.clone());
        let fresh = || Keyed::new(&node, &input);
        if let Some(pane) = self.panes.get_mut(&(end, end - slice)) {
            let columns = pane.keys_and_states(Groups::First(pane.len()))?;
            self.stacks.push(end, &columns, pane.len())?;
        }
        let panes = &mut self.panes;
        self.stacks.evict(
            start,
            |slice_end| match panes.get_mut(&(slice_end, slice_end - slice)) {
                Some(pane) => Ok((pane.keys_and_states(Groups::First(pane.len()))?, pane.len())),
                None => Ok((Vec::new(), 0)),
            },
            fresh,
        )?;
        let keyed = self.stacks.total(fresh)?;
        if !keyed.is_empty() {
            self.fired.push_back(Fired { start, end, keyed, next: 0 });
        }
        Ok(())
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        while let Some(mut fired) = self.fired.pop_front() {
            while fired.next < fired.keyed.len() {
                if out.is_full() {
                    self.fired.push_front(fired);
                    return Ok(Step::More);
                }
                let to = (fired.next + BATCH_ROWS).min(fired.keyed.len());
                let groups: Vec<u32> = (fired.next as u32..to as u32).collect();
                let window = (fired.start, fired.end);
                let mut columns = window_columns(&self.output, window, groups.len())?;
                columns.extend(fired.keyed.keys_and_values(Groups::At(&groups))?);
                out.send(Change::append(batch(&self.output, columns, groups.len())?));
                fired.next = to;
            }
        }
        Ok(Step::Done)
    }

    fn spec_of_state(&self) -> TableSpec {
        let keys = self.node.keys.len();
        TableSpec { name: "panes", key: 2 + keys, route: (2..2 + keys).collect() }
    }
}

/// Returns the end of the last window that holds the slice starting at `start`.
fn last_end(assigner: Assigner, start: i64) -> i64 {
    assigner.windows_of(start).last().map_or(i64::MIN, |window| window.1)
}

/// Returns the start of the window that ends at `end`.
fn window_start(assigner: Assigner, end: i64) -> i64 {
    match assigner {
        Assigner::Hop { size, .. } => end - size,
        Assigner::Cumulate { size, step, offset } => {
            let last = end - step;
            last - (last - offset).rem_euclid(size)
        }
        other => end - other.slice(),
    }
}

/// Returns the schema of `[start, end, keys…, states…]`.
pub(super) fn state_schema(
    node: &AggregateNode,
    input: &SchemaRef,
    output: &SchemaRef,
) -> SchemaRef {
    let head = (0..2).map(|column| output.field(column).clone());
    let keys = node.keys.iter().map(|key| input.field(*key).clone());
    let states = node.calls.iter().flat_map(|call| call.function.state());
    let states = states.enumerate().map(|(index, field)| {
        field.as_ref().clone().with_name(format!("{index} {}", field.name()))
    });
    let fields: Vec<_> = head.chain(keys).chain(states).collect();
    std::sync::Arc::new(arrow::datatypes::Schema::new(fields))
}

impl Operator for SliceWindow {
    fn batch(&mut self, _: usize, mut change: Change, out: &mut Output) -> Result<Step> {
        if self.node.stage == Stage::Whole {
            change = without_late(&self.node, &self.spec, change, self.horizon, out)?;
        }
        for (slice, part) in by_window(&self.spec, &change)? {
            self.add(slice, &part)?;
        }
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.horizon = self.due.horizon(&close.moment);
        self.fire()?;
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn wake(&self) -> Option<EventTime> {
        let next = match self.is_sliced() {
            true => self.next_end()?,
            false => self.panes.keys().next()?.0,
        };
        self.due.wake(next)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let spec = self.spec_of_state();
        for ((end, start), pane) in &mut self.panes {
            if to.is_full() || unsaved.contains(&(*end, *start)) {
                let rows = pane.len();
                let mut columns = window_columns(&self.output, (*start, *end), rows)?;
                columns.extend(pane.keys_and_states(Groups::First(rows))?);
                to.put(&spec, batch(&self.state, columns, rows)?)?;
            }
        }
        Ok(())
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.horizon = self.due.horizon(at);
        let mut kept: BTreeMap<Slice, Vec<(Vec<ArrayRef>, usize)>> = BTreeMap::new();
        for rows in from.table("panes")? {
            let whole = WindowSpec { start: 0, end: 1, ..self.spec };
            for (slice, part) in by_window(&whole, &Change::append(rows))? {
                let columns = part.rows.columns()[2..].to_vec();
                kept.entry(slice).or_default().push((columns, part.len()));
            }
        }
        let (assigner, sliced, horizon) = (self.spec.assigner, self.is_sliced(), self.horizon);
        kept.retain(|(end, start), _| match sliced {
            true => last_end(assigner, *start) > horizon,
            false => *end > horizon,
        });
        for (slice, parts) in kept {
            let mut pane = self.new_keyed()?;
            for (columns, rows) in &parts {
                pane.merge_columns(columns, *rows)?;
            }
            if sliced && slice.0 <= horizon {
                let columns = pane.keys_and_states(Groups::First(pane.len()))?;
                self.stacks.push(slice.0, &columns, pane.len())?;
            }
            self.panes.insert(slice, pane);
        }
        if sliced && horizon > i64::MIN && horizon < i64::MAX {
            let step = assigner.slice();
            self.last_fired = Some(assigner.slice_start(horizon));
            debug_assert!(step > 0);
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let bytes = self.panes.values().map(Keyed::bytes).sum::<usize>() + self.stacks.bytes();
        (bytes, self.panes.values().map(Keyed::len).sum())
    }
}
