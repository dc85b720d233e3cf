//! Windows of rows by number: so many of each key, in the order in which they came.
//!
//! Invariants: the rows of a key are numbered from 0; its window `n`, from 1, ends before row `n · slide`
//! and has the `size` rows before that, or as many as there are. A window is sent at the close of the epoch
//! in which its last row came; those of one epoch in the order in which they became full. One that is not
//! full when the input ends is not sent. Where nothing is left of a key, its numbers begin anew and it is
//! forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, SchemaRef};
use thalweg_plan::node::{AggregateNode, CountWindowNode, Stage};
use thalweg_state::{GroupTable, StateReader, StateWriter, TableSpec};
use thalweg_types::{Change, Groups, Moment, Result};

use super::accumulators::Accumulators;
use super::batches::{BATCH_ROWS, batch, check_state, groups_of};
use super::keyed::Blueprint;
use crate::operator::{Close, Operator, Output, Step};

/// Aggregates, or keys, from which on the memory of those that are not needed any more is given back.
const PACK: usize = 4096;

/// A window that is not full.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Group of its aggregates.
    slot: u32,
    /// Does a row of the saved state stand for it?
    is_saved: bool,
}

/// Aggregates so many rows of each key.
pub struct CountWindow {
    blueprint: Arc<Blueprint>,
    size: i64,
    slide: i64,
    /// Shape: keys…, rows.
    counted: SchemaRef,
    /// Shape: keys…, number, states….
    opened: SchemaRef,
    output: SchemaRef,
    input: SchemaRef,
    table: GroupTable,
    /// How many rows each group has.
    rows: Vec<i64>,
    /// How many groups have some.
    live: usize,
    /// By group and number.
    open: BTreeMap<(u32, i64), Open>,
    accumulators: Accumulators,
    /// How many groups of aggregates there are.
    slots: u32,
    /// Full windows that are not sent: their groups, and those of their aggregates.
    full: (Vec<u32>, Vec<u32>),
    /// Groups with rows that are not saved.
    changed: BTreeSet<u32>,
    /// Windows that are saved and no more there.
    gone: Vec<(u32, i64)>,
    groups: Vec<u32>,
}

impl CountWindow {
    /// Returns the operator of `node`, whose input has schema `input`.
    ///
    /// # Errors
    /// `Invalid` if a type is not supported.
    pub fn new(
        node: &CountWindowNode,
        input: &SchemaRef,
        output: SchemaRef,
    ) -> Result<CountWindow> {
        let blueprint = Blueprint::new(&aggregate(node), input)?;
        let number = |name| Field::new(name, DataType::Int64, false);
        let keys: Vec<usize> = (0..blueprint.key_count()).collect();
        let counted = blueprint.state_schema(&[number("rows")]);
        let rows = keys.iter().copied().chain([keys.len()]).collect::<Vec<_>>();
        Ok(CountWindow {
            size: i64::try_from(node.size).unwrap_or(i64::MAX),
            slide: i64::try_from(node.slide).unwrap_or(i64::MAX),
            counted: Arc::new(counted.project(&rows)?),
            opened: blueprint.state_schema(&[number("number")]),
            output,
            input: input.clone(),
            table: blueprint.table()?,
            rows: Vec::new(),
            live: 0,
            open: BTreeMap::new(),
            accumulators: blueprint.accumulators()?,
            slots: 0,
            full: (Vec::new(), Vec::new()),
            changed: BTreeSet::new(),
            gone: Vec::new(),
            groups: Vec::new(),
            blueprint,
        })
    }

    /// Gives a row of a group its number, and puts it into its windows.
    fn count(&mut self, group: u32, row: u32, pairs: &mut (Vec<u32>, Vec<u32>)) {
        let number = self.rows[group as usize];
        self.live += usize::from(number == 0);
        let first = number / self.slide + 1;
        let behind = number.saturating_add(self.size) / self.slide;
        for window in first..=behind {
            let slots = &mut self.slots;
            let open = self.open.entry((group, window)).or_insert_with(|| {
                *slots += 1;
                Open { slot: *slots - 1, is_saved: false }
            });
            pairs.0.push(row);
            pairs.1.push(open.slot);
        }
        let next = number + 1;
        self.rows[group as usize] = next;
        if next % self.slide == 0
            && let Some(open) = self.open.remove(&(group, next / self.slide))
        {
            self.full.0.push(group);
            self.full.1.push(open.slot);
            if open.is_saved {
                self.gone.push((group, next / self.slide));
            }
            if self.size <= self.slide {
                self.rows[group as usize] = 0;
                self.live -= 1;
            }
        }
        self.changed.insert(group);
    }

    /// Lets aggregates have all groups, also those without rows.
    fn grow(&mut self) -> Result<()> {
        let none = Change::append(RecordBatch::new_empty(self.input.clone()));
        self.accumulators.update(&none, &[], self.slots as usize)
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        while !self.full.0.is_empty() {
            if out.is_full() {
                return Ok(Step::More);
            }
            let count = self.full.0.len().min(BATCH_ROWS);
            let groups: Vec<u32> = self.full.0.drain(..count).collect();
            let slots: Vec<u32> = self.full.1.drain(..count).collect();
            let mut columns = self.table.keys(Groups::At(&groups))?;
            columns.extend(self.accumulators.evaluate(Groups::At(&slots))?);
            out.send(Change::append(batch(&self.output, columns, count)?));
        }
        let used = self.open.len().max(self.live + self.changed.len() + self.gone.len());
        if self.slots.max(self.rows.len() as u32) as usize >= PACK.max(used * 2) {
            self.pack()?;
        }
        Ok(Step::Done)
    }

    /// Gives the memory of aggregates and keys back that no window needs any more.
    fn pack(&mut self) -> Result<()> {
        self.grow()?;
        let is_kept = |group: &u32| self.rows[*group as usize] > 0 || self.changed.contains(group);
        let kept: BTreeSet<u32> = (0..self.rows.len() as u32)
            .filter(is_kept)
            .chain(self.gone.iter().map(|(group, _)| *group))
            .collect();
        let kept: Vec<u32> = kept.into_iter().collect();
        let place = |group: u32| kept.partition_point(|other| *other < group) as u32;
        let mut table = self.blueprint.table()?;
        table.intern(&self.table.keys(Groups::At(&kept))?, kept.len(), &mut self.groups)?;
        let slots: Vec<u32> = self.open.values().map(|open| open.slot).collect();
        let mut accumulators = self.blueprint.accumulators()?;
        if !slots.is_empty() {
            let states = self.accumulators.partial(Groups::At(&slots))?;
            accumulators.merge(&groups_of(0..slots.len()), &states, slots.len())?;
        }
        let open = std::mem::take(&mut self.open).into_iter().zip(0..);
        let open = open.map(|(((group, number), Open { is_saved, .. }), slot)| {
            ((place(group), number), Open { slot, is_saved })
        });
        self.open = open.collect();
        self.changed = self.changed.iter().map(|group| place(*group)).collect();
        self.gone.iter_mut().for_each(|(group, _)| *group = place(*group));
        self.rows = kept.iter().map(|group| self.rows[*group as usize]).collect();
        self.slots = slots.len() as u32;
        (self.table, self.accumulators) = (table, accumulators);
        Ok(())
    }

    fn saved_rows(&self) -> TableSpec {
        let keys = self.blueprint.key_count();
        TableSpec { name: "rows", key: keys, route: (0..keys).collect() }
    }

    fn saved_windows(&self) -> TableSpec {
        let keys = self.blueprint.key_count();
        TableSpec { name: "windows", key: keys + 1, route: (0..keys).collect() }
    }

    /// Returns keys and a number beside each, with the fields that `schema` has for them.
    fn numbered(&self, schema: &SchemaRef, numbers: &[(u32, i64)]) -> Result<RecordBatch> {
        let (groups, values): (Vec<u32>, Vec<i64>) = numbers.iter().copied().unzip();
        let mut columns = self.table.keys(Groups::At(&groups))?;
        columns.push(Arc::new(Int64Array::from(values)));
        let schema = Arc::new(schema.project(&(0..columns.len()).collect::<Vec<_>>())?);
        batch(&schema, columns, numbers.len())
    }

    /// Writes how many rows groups have; of those of which nothing is left, that they are gone.
    fn save_rows(&self, groups: &BTreeSet<u32>, to: &mut StateWriter) -> Result<()> {
        let rows = groups.iter().map(|group| (*group, self.rows[*group as usize]));
        let (there, gone): (Vec<_>, Vec<_>) = rows.partition(|(_, rows)| *rows > 0);
        let table = self.saved_rows();
        to.put(&table, self.numbered(&self.counted, &there)?)?;
        if to.is_full() {
            return Ok(());
        }
        let keys: Vec<usize> = (0..table.key).collect();
        let gone = self.numbered(&self.counted, &gone)?;
        let schema = Arc::new(self.counted.project(&keys)?);
        let columns: Vec<ArrayRef> = gone.columns()[..table.key].to_vec();
        to.delete(&table, batch(&schema, columns, gone.num_rows())?)
    }

    fn save_windows(&mut self, groups: &BTreeSet<u32>, to: &mut StateWriter) -> Result<()> {
        self.grow()?;
        let (mut numbers, mut slots) = (Vec::new(), Vec::new());
        for ((group, number), open) in &mut self.open {
            if groups.contains(group) {
                open.is_saved = true;
                numbers.push((*group, *number));
                slots.push(open.slot);
            }
        }
        let table = self.saved_windows();
        let head = self.numbered(&self.opened, &numbers)?;
        let mut columns = head.columns().to_vec();
        columns.extend(self.accumulators.partial(Groups::At(&slots))?);
        to.put(&table, batch(&self.opened, columns, numbers.len())?)?;
        let mut gone = std::mem::take(&mut self.gone);
        // The numbers of a key may have begun anew since.
        gone.retain(|window| !self.open.contains_key(window));
        match to.is_full() {
            true => Ok(()),
            false => to.delete(&table, self.numbered(&self.opened, &gone)?),
        }
    }

    /// Lets a restored group have so many rows.
    fn restore_row(&mut self, group: u32, rows: i64) {
        let needed = (group as usize + 1).max(self.rows.len());
        self.rows.resize(needed, 0);
        self.rows[group as usize] = rows;
        self.live += 1;
    }
}

/// Returns the aggregation of all rows of a window.
fn aggregate(node: &CountWindowNode) -> AggregateNode {
    AggregateNode {
        window: None,
        keys: node.keys.clone(),
        calls: node.calls.clone(),
        stage: Stage::Whole,
        divert_late: false,
        retracts: false,
        ttl: None,
        panes: None,
    }
}

impl Operator for CountWindow {
    fn batch(&mut self, _: usize, change: Change, _: &mut Output) -> Result<Step> {
        let mut groups = std::mem::take(&mut self.groups);
        self.table.intern(&self.blueprint.keys_of(&change.rows), change.len(), &mut groups)?;
        self.rows.resize(self.table.len(), 0);
        let mut pairs = (Vec::new(), Vec::new());
        for (row, group) in (0..).zip(&groups) {
            self.count(*group, row, &mut pairs);
        }
        self.groups = groups;
        let rows = change.take(&UInt32Array::from(pairs.0))?;
        self.accumulators.update(&rows, &pairs.1, self.slots as usize)?;
        Ok(Step::Done)
    }

    fn close(&mut self, _: &Close, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let changed = std::mem::take(&mut self.changed);
        let groups = match to.is_full() {
            true => (0..self.rows.len() as u32).collect(),
            false => changed,
        };
        self.save_rows(&groups, to)?;
        self.save_windows(&groups, to)
    }

    fn restore(&mut self, from: &StateReader, _: &Moment) -> Result<()> {
        let keys = self.blueprint.key_count();
        for rows in from.table("rows")? {
            check_state(&rows, &self.counted)?;
            let mut groups = Vec::new();
            self.table.intern(&rows.columns()[..keys], rows.num_rows(), &mut groups)?;
            let counts = rows.column(keys).as_primitive::<Int64Type>();
            for (group, rows) in groups.into_iter().zip(counts.values()) {
                self.restore_row(group, *rows);
            }
        }
        for rows in from.table("windows")? {
            let rows = self.blueprint.restored(rows, &self.opened, keys + 1)?;
            let mut groups = Vec::new();
            self.table.intern(&rows.columns()[..keys], rows.num_rows(), &mut groups)?;
            let numbers = rows.column(keys).as_primitive::<Int64Type>();
            let first = self.slots;
            for (group, number) in groups.into_iter().zip(numbers.values()) {
                self.open.insert((group, *number), Open { slot: self.slots, is_saved: true });
                self.slots += 1;
            }
            let slots: Vec<u32> = (first..self.slots).collect();
            self.accumulators.merge(&slots, &rows.columns()[keys + 1..], self.slots as usize)?;
        }
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let lists = self.rows.capacity() * 8 + self.open.len() * 48 + self.changed.len() * 8;
        (self.table.bytes() + self.accumulators.bytes() + lists, self.open.len())
    }
}

#[cfg(test)]
mod tests;
