//! Windowed aggregation over slices: tumbling, hopping, cumulating, and windows attached before.
//!
//! Invariants: a row is added to one slice only, whatever the number of windows that hold it; a
//! window fires once, at the close at which it is complete, in order of window ends; windows and
//! keys without rows send nothing. What a firing costs per key does not grow with size over
//! slide (see `stacks`). At most one window at a time is taken apart for sending, so that a
//! watermark that jumps over many windows does not fill memory.

mod session_list;
mod stacks;

mod placing;

mod panes;
mod session;
mod session_rows;

mod session_changes;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, SchemaRef};
use thalweg_plan::node::{AggregateNode, SessionRowsNode, Stage};
use thalweg_plan::pane::Panes;
use thalweg_plan::window::WindowSpec;
use thalweg_state::{StateReader, StateWriter, TableSpec};
use thalweg_types::{Change, EventTime, Groups, Moment, Result};

use super::batches::{BATCH_ROWS, batch, check_state, groups_of, next_rows};
use super::due::{Due, Gate};
use super::group_set::GroupSet;
use super::keyed::{Blueprint, EntryTable, Keyed, Saved};
use super::slices::{Slice, Slices, by_window, window_columns};
use crate::operator::{Close, Operator, Output, Step};
use stacks::Stacks;

/// Makes the operator of windows that send panes.
///
/// # Errors
/// `Invalid` if a type or a trigger is not supported.
pub fn make_panes(
    node: &AggregateNode,
    panes: Panes,
    input: &SchemaRef,
    output: SchemaRef,
) -> Result<Box<dyn Operator>> {
    Ok(Box::new(panes::PaneWindow::new(node, panes, input, output)?))
}

/// Makes the operator for the windows of `spec`, which send one pane each.
///
/// # Errors
/// `Invalid` if a type is not supported.
pub fn make(
    node: &AggregateNode,
    spec: WindowSpec,
    input: &SchemaRef,
    output: SchemaRef,
) -> Result<Box<dyn Operator>> {
    Ok(match spec.assigner.is_merging() {
        true => Box::new(session::SessionWindow::new(node, spec, input, output)?),
        false => Box::new(SliceWindow::new(node, spec, input, output)?),
    })
}

/// Makes the operator that gives rows, of this schema, their sessions.
///
/// # Errors
/// `Invalid` if a type is not supported.
pub fn make_session_rows(node: &SessionRowsNode, schema: SchemaRef) -> Result<Box<dyn Operator>> {
    Ok(match node.retracts {
        true => Box::new(session_changes::SessionChanges::new(node, schema)?),
        false => Box::new(session_rows::SessionRows::new(node, schema)?),
    })
}

/// The rows of one slice.
struct Pane {
    keyed: Keyed,
    /// Groups changed since the last snapshot.
    unsaved: GroupSet,
}

/// A complete window that is being sent.
struct Firing {
    window: Slice,
    keyed: Keyed,
    next: usize,
}

/// Aggregates by window and key.
pub struct SliceWindow {
    blueprint: Arc<Blueprint>,
    spec: WindowSpec,
    slices: Slices,
    due: Due,
    /// Judges lateness; behind a pre-aggregation that is done.
    gate: Option<Gate>,
    output: SchemaRef,
    state: SchemaRef,
    entries: Vec<EntryTable>,
    panes: BTreeMap<Slice, Pane>,
    /// The slices of the window that fires next, where windows are made of several.
    stacks: Stacks,
    /// Windows that end at or before this fired, or had no rows in time.
    fired_to: i64,
    firing: Option<Firing>,
    groups: Vec<u32>,
}

impl SliceWindow {
    fn new(
        node: &AggregateNode,
        spec: WindowSpec,
        input: &SchemaRef,
        output: SchemaRef,
    ) -> Result<SliceWindow> {
        let blueprint = Blueprint::new(node, input)?;
        let due = Due::new(&spec, input)?;
        let slices = Slices::new(spec.assigner);
        let window: Vec<Field> = output.fields()[..2].iter().map(|f| f.as_ref().clone()).collect();
        Ok(SliceWindow {
            gate: (node.stage == Stage::Whole).then(|| Gate::new(&spec, slices, node.divert_late)),
            state: blueprint.saved_schema(&window),
            entries: blueprint.entry_tables(&window)?,
            stacks: Stacks::new(&blueprint)?,
            blueprint,
            spec,
            slices,
            due,
            output,
            panes: BTreeMap::new(),
            fired_to: i64::MIN,
            firing: None,
            groups: Vec::new(),
        })
    }

    fn add(&mut self, slice: Slice, change: &Change) -> Result<()> {
        let pane = pane_of(&mut self.panes, slice, &self.blueprint)?;
        pane.keyed.intern(&change.rows, &mut self.groups)?;
        pane.keyed.add(change, &self.groups)?;
        pane.unsaved.extend(&self.groups);
        if self.slices != Slices::Whole && slice.0 <= self.fired_to {
            // Some windows of the slice fired; the later ones take the rows too.
            let mut more = self.blueprint.keyed()?;
            more.intern(&change.rows, &mut self.groups)?;
            more.add(change, &self.groups)?;
            self.stacks.amend(slice.0, &mut more)?;
        }
        Ok(())
    }

    /// Sends every window that is complete.
    fn fire(&mut self, out: &mut Output) -> Result<Step> {
        loop {
            if let Some(firing) = &mut self.firing {
                while firing.next < firing.keyed.len() {
                    if out.is_full() {
                        return Ok(Step::More);
                    }
                    out.send(firing.chunk(&self.output)?);
                }
            }
            self.firing = match self.slices {
                Slices::Whole => self.next_pane(),
                _ => self.next_window()?,
            };
            if self.firing.is_none() {
                return Ok(Step::Done);
            }
        }
    }

    /// Takes out the next complete window that is a pane of its own.
    fn next_pane(&mut self) -> Option<Firing> {
        let entry = self.panes.first_entry().filter(|e| e.key().0 <= self.due.complete())?;
        let (window, pane) = entry.remove_entry();
        Some(Firing { window, keyed: pane.keyed, next: 0 })
    }

    /// Merges the slices of the next complete window.
    fn next_window(&mut self) -> Result<Option<Firing>> {
        while let Some(last) = self.next_slice().filter(|last| last.0 <= self.due.complete()) {
            let end = last.0;
            let start = self.slices.window_start(last);
            self.fired_to = end;
            if let Some(pane) = self.panes.get_mut(&last) {
                self.stacks.push(end, &mut pane.keyed)?;
            }
            let held = (start.saturating_add(1), i64::MIN)..=(end, i64::MAX);
            let held = self.panes.range_mut(held).map(|((end, _), pane)| (*end, &mut pane.keyed));
            self.stacks.evict(start, end, held)?;
            let keyed = self.stacks.total()?;
            self.drop_panes();
            if !keyed.is_empty() {
                return Ok(Some(Firing { window: (end, start), keyed, next: 0 }));
            }
        }
        // Windows that are complete without a row in time stay empty: late rows do not fill them.
        self.fired_to = self.fired_to.max(self.due.complete());
        self.drop_panes();
        Ok(None)
    }

    /// Returns the last slice of the next window that has rows.
    fn next_slice(&self) -> Option<Slice> {
        // Nothing comes after the end of time.
        let after = (self.fired_to.checked_add(1)?, i64::MIN);
        let pane = self.panes.range(after..).next().map(|(slice, _)| *slice);
        let step = match self.stacks.is_empty() {
            true => None,
            false => self.slices.after(self.fired_to),
        };
        pane.into_iter().chain(step).min()
    }

    /// Drops the slices that no later window holds.
    fn drop_panes(&mut self) {
        while let Some(entry) = self.panes.first_entry() {
            if self.slices.last_end(*entry.key()) > self.fired_to {
                break;
            }
            entry.remove();
        }
    }

    fn table(&self) -> TableSpec {
        let keys = self.blueprint.key_count();
        TableSpec { name: "panes", key: 2 + keys, route: (2..2 + keys).collect() }
    }

    /// Takes restored rows into the panes that are not over: `merge` gets each pane's share of them,
    /// without the window.
    fn restore_rows(
        &mut self,
        rows: RecordBatch,
        merge: impl Fn(&mut Keyed, &[ArrayRef], usize) -> Result<()>,
    ) -> Result<()> {
        let columns = WindowSpec { start: 0, end: 1, ..self.spec };
        for (slice, part) in by_window(&columns, Change::append(rows))? {
            if self.slices.last_end(slice) > self.fired_to {
                let pane = pane_of(&mut self.panes, slice, &self.blueprint)?;
                merge(&mut pane.keyed, &part.rows.columns()[2..], part.len())?;
            }
        }
        Ok(())
    }
}

/// Returns the pane of a slice, which is made if there is none.
fn pane_of<'p>(
    panes: &'p mut BTreeMap<Slice, Pane>,
    slice: Slice,
    blueprint: &Arc<Blueprint>,
) -> Result<&'p mut Pane> {
    Ok(match panes.entry(slice) {
        Entry::Occupied(pane) => pane.into_mut(),
        Entry::Vacant(place) => {
            let mut keyed = blueprint.keyed()?;
            keyed.track();
            place.insert(Pane { keyed, unsaved: GroupSet::default() })
        }
    })
}

impl Firing {
    /// Returns the next rows to send.
    fn chunk(&mut self, schema: &SchemaRef) -> Result<Change> {
        let range = next_rows(self.next, self.keyed.len(), BATCH_ROWS);
        self.next = range.end;
        let (values, rows) = self.keyed.keys_and_values(Groups::At(&groups_of(range)))?;
        let mut columns: Vec<ArrayRef> = window_columns(schema, self.window, rows)?;
        columns.extend(values);
        Ok(Change::append(batch(schema, columns, rows)?))
    }
}

impl Operator for SliceWindow {
    fn batch(&mut self, _: usize, mut change: Change, out: &mut Output) -> Result<Step> {
        if let Some(gate) = &self.gate {
            change = gate.admit(change, &self.due, out)?;
        }
        for (slice, part) in by_window(&self.spec, change)? {
            self.add(slice, &part)?;
        }
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.due.close(close);
        if cfg!(debug_assertions) {
            self.panes.values().try_for_each(|pane| pane.keyed.check())?;
        }
        self.fire(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.fire(out)
    }

    fn wake(&self) -> Option<EventTime> {
        let next = match self.slices {
            Slices::Whole => self.panes.first_key_value().map(|(slice, _)| *slice),
            _ => self.next_slice(),
        };
        self.due.wake(next?.0)
    }

    /// What fired stays in older snapshots; a restore sees by the time that it is over.
    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let table = self.table();
        for (slice, pane) in &mut self.panes {
            let unsaved = pane.unsaved.take();
            let groups = match to.is_full() {
                true => Groups::First(pane.keyed.len()),
                false => Groups::At(&unsaved),
            };
            let mut columns = window_columns(&self.state, *slice, groups.len())?;
            columns.extend(pane.keyed.keys_and_saved(groups)?);
            to.put(&table, batch(&self.state, columns, groups.len())?)?;
            let window = |rows: usize| window_columns(&self.state, *slice, rows);
            let entries = pane.keyed.take_entries(&self.entries, &window, to.is_full())?;
            Saved::write(entries, &self.entries, to)?;
        }
        Ok(())
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.due.restore(at);
        self.fired_to = self.due.complete();
        for rows in from.table("panes")? {
            let first = 2 + self.blueprint.key_count();
            let rows = self.blueprint.restored(rows, &self.state, first)?;
            self.restore_rows(rows, Keyed::merge_saved)?;
        }
        for (place, table) in std::mem::take(&mut self.entries).into_iter().enumerate() {
            for rows in from.table(&table.spec.name)? {
                check_state(&rows, &table.schema)?;
                self.restore_rows(rows, |keyed, columns, rows| {
                    keyed.merge_entries(place, columns, rows)
                })?;
            }
            self.entries.push(table);
        }
        if self.slices != Slices::Whole {
            for ((end, _), pane) in self.panes.range_mut(..=(self.fired_to, i64::MAX)) {
                self.stacks.push(*end, &mut pane.keyed)?;
            }
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let panes = self.panes.values();
        let bytes = panes.clone().map(|pane| pane.keyed.bytes() + pane.unsaved.bytes());
        (bytes.sum::<usize>() + self.stacks.bytes(), panes.map(|pane| pane.keyed.len()).sum())
    }
}

#[cfg(test)]
mod tests;
