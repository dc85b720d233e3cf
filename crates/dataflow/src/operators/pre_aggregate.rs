//! The pre-aggregation: folds the rows of one epoch on their own worker before they are
//! exchanged, so that few rows travel.
//!
//! Invariants: nothing is kept from one epoch to the next; it judges lateness itself, since
//! behind it rows are partial states of a whole window. What it puts out is append-only, so it
//! may send early when the epoch is large.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_plan::node::AggregateNode;
use thalweg_plan::window::WindowSpec;
use thalweg_state::StateReader;
use thalweg_types::{Change, Error, Groups, Moment, Result};

use super::batches::{BATCH_ROWS, batch, groups_of, next_rows};
use super::due::{Due, Gate};
use super::keyed::{Blueprint, Keyed};
use super::slices::{Slice, Slices, by_window, window_columns};
use crate::operator::{Close, Operator, Output, Step};

/// Bytes of keys and states after which they are sent before the epoch ends.
const BYTES_MAX: usize = 64 << 20;
/// Rows of one batch: the exchange cuts it into one for each worker.
const ROWS_MAX: usize = 8 * BATCH_ROWS;
/// Emptied tables that are kept to be used again.
const SPARE_MAX: usize = 4;

/// What a pre-aggregation by window knows of windows.
struct Windows {
    spec: WindowSpec,
    due: Due,
    gate: Gate,
}

/// Folds rows by key, and by window or slice.
pub struct PreAggregate {
    blueprint: Arc<Blueprint>,
    output: SchemaRef,
    windows: Option<Windows>,
    /// A table for each window; one without windows.
    tables: BTreeMap<Slice, Keyed>,
    spare: Vec<Keyed>,
    /// Tables that are being sent.
    leaving: VecDeque<(Slice, Keyed)>,
    /// Next row of the first of them.
    next: usize,
    bytes_max: usize,
    groups: Vec<u32>,
}

impl PreAggregate {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub fn new(node: &AggregateNode, input: &SchemaRef, output: SchemaRef) -> Result<PreAggregate> {
        let windows = |spec: WindowSpec| {
            if spec.assigner.is_merging() {
                return Err(Error::internal("sessions cannot be aggregated before the exchange"));
            }
            let due = Due::new(&spec, input)?;
            let slices = Slices::new(spec.assigner);
            Ok(Windows { spec, due, gate: Gate::new(&spec, slices, node.divert_late) })
        };
        Ok(PreAggregate {
            blueprint: Blueprint::new(node, input)?,
            output,
            windows: node.window.map(windows).transpose()?,
            tables: BTreeMap::new(),
            spare: Vec::new(),
            leaving: VecDeque::new(),
            next: 0,
            bytes_max: BYTES_MAX,
            groups: Vec::new(),
        })
    }

    fn add(&mut self, slice: Slice, change: &Change) -> Result<()> {
        if !self.tables.contains_key(&slice) {
            let keyed = self.spare.pop().map_or_else(|| self.blueprint.keyed(), Ok)?;
            self.tables.insert(slice, keyed);
        }
        let keyed = self.tables.get_mut(&slice).expect("inserted above");
        keyed.intern(&change.rows, &mut self.groups)?;
        keyed.add(change, &self.groups)
    }

    /// Sends and forgets what is folded so far.
    fn flush(&mut self, out: &mut Output) -> Result<Step> {
        self.leaving.extend(std::mem::take(&mut self.tables));
        self.send(out)
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        while let Some((slice, keyed)) = self.leaving.front_mut() {
            while self.next < keyed.len() {
                if out.is_full() {
                    return Ok(Step::More);
                }
                let range = next_rows(self.next, keyed.len(), ROWS_MAX);
                let rows = range.len();
                self.next = range.end;
                let mut columns = match &self.windows {
                    None => Vec::new(),
                    Some(_) => window_columns(&self.output, *slice, rows)?,
                };
                columns.extend(keyed.keys_and_states(Groups::At(&groups_of(range)))?);
                out.send(Change::append(batch(&self.output, columns, rows)?));
            }
            self.next = 0;
            let Some((_, mut keyed)) = self.leaving.pop_front() else { break };
            if self.spare.len() < SPARE_MAX {
                keyed.clear();
                self.spare.push(keyed);
            }
        }
        Ok(Step::Done)
    }
}

impl Operator for PreAggregate {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        match &self.windows {
            None => self.add((0, 0), &change)?,
            Some(windows) => {
                let change = windows.gate.admit(change, &windows.due, out)?;
                for (slice, part) in by_window(&windows.spec, change)? {
                    self.add(slice, &part)?;
                }
            }
        }
        if self.tables.values().map(Keyed::bytes).sum::<usize>() > self.bytes_max {
            return self.flush(out);
        }
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        if let Some(windows) = &mut self.windows {
            windows.due.close(close);
        }
        self.flush(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    /// Nothing is kept but how far time has come: after a restore late rows are still late.
    fn restore(&mut self, _: &StateReader, at: &Moment) -> Result<()> {
        if let Some(windows) = &mut self.windows {
            windows.due.restore(at);
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let tables = self.tables.values().chain(self.leaving.iter().map(|(_, keyed)| keyed));
        tables.fold((0, 0), |(bytes, rows), keyed| (bytes + keyed.bytes(), rows + keyed.len()))
    }
}

#[cfg(test)]
mod tests;
