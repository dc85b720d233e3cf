//! Leaves out what takes back a row that is not there, of a changelog from outside.
//!
//! Invariants: of each row it is known how many times it is there; in the order of the channel, a row that is
//! taken back more often than it came is counted as a bad record and goes no further, and all else passes as
//! it is. So behind it no weight goes below zero. Where rows are versions of a key, it is known which keys are
//! there, and a version that comes takes the place of the one before. With a time-to-live a row is forgotten that was neither
//! inserted nor taken back for so long; taking it back later is no bad record, and is counted as forgotten.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use thalweg_plan::node::CheckNode;
use thalweg_state::{GroupTable, StateReader, StateWriter, TableSpec};
use thalweg_types::{Change, EventTime, Groups, Moment, Result};

use super::bad_rows::Unfounded;
use super::batches::{BATCH_ROWS, batch, check_state, groups_of};
use super::group_set::GroupSet;
use super::idle::Idle;
use crate::operator::{Close, Operator, Output, Step};

/// The table of the state.
const ROWS: &str = "rows";
/// Rows below which the memory of those that are gone is not worth taking back.
const ROWS_MIN: usize = 4096;

/// Knows which rows are there.
pub struct Check {
    unfounded: Unfounded,
    /// Columns by which it is known what is there, and whether these are a key.
    columns: Vec<usize>,
    is_keyed: bool,
    /// Their types.
    types: Vec<DataType>,
    rows: GroupTable,
    /// For each row, or key, that there is, or was, how many times it is there.
    counts: Vec<u64>,
    /// How many of them are there at all.
    live: usize,
    /// Rows whose count changed since the last snapshot.
    unsaved: GroupSet,
    /// What is saved of a row: these columns, and its count.
    state: SchemaRef,
    groups: Vec<u32>,
    /// When rows came, if they have a time-to-live, those that came in the open epoch, and the clock at the last
    /// close.
    idle: Option<Idle>,
    changed: GroupSet,
    clock: EventTime,
}

impl Check {
    /// Returns the operator of `node`, over rows of `schema`.
    ///
    /// # Errors
    /// `Invalid` if rows of a type cannot be told apart.
    pub fn new(node: &CheckNode, schema: &SchemaRef) -> Result<Check> {
        let columns = node.key.clone().unwrap_or((0..schema.fields().len()).collect());
        let known = Arc::new(schema.project(&columns)?);
        let types: Vec<DataType> = known.fields().iter().map(|f| f.data_type().clone()).collect();
        let saved = known.fields().iter().enumerate();
        let saved = saved.map(|(n, f)| f.as_ref().clone().with_name(format!("__column_{n}")));
        let count = Field::new("__count", DataType::UInt64, false);
        Ok(Check {
            unfounded: Unfounded::new(&node.table, node.diverts),
            columns,
            is_keyed: node.key.is_some(),
            rows: GroupTable::new(&types)?,
            types,
            counts: Vec::new(),
            live: 0,
            unsaved: GroupSet::default(),
            state: Arc::new(Schema::new(saved.chain([count]).collect::<Vec<_>>())),
            groups: Vec::new(),
            idle: node.ttl.map(Idle::new),
            changed: GroupSet::default(),
            clock: EventTime::MIN,
        })
    }

    /// Counts rows; returns those that pass, and those that take back what is not there.
    fn judge(&mut self, change: &Change) -> (Vec<u32>, Vec<u32>) {
        self.counts.resize(self.rows.len(), 0);
        let groups = std::mem::take(&mut self.groups);
        (0..change.len() as u32).partition(|row| {
            let count = &mut self.counts[groups[*row as usize] as usize];
            let was_there = *count > 0;
            match change.weight(*row as usize) > 0 {
                true if self.is_keyed => *count = 1,
                true => *count += 1,
                false if was_there => *count -= 1,
                false => return false,
            }
            match (was_there, *count > 0) {
                (false, true) => self.live += 1,
                (true, false) => self.live -= 1,
                _ => {}
            }
            self.unsaved.insert(groups[*row as usize]);
            true
        })
    }

    /// Forgets the rows whose time is over.
    fn forget_idle(&mut self, out: &mut Output) {
        let Some(idle) = &mut self.idle else { return };
        idle.write(&self.changed.take(), self.clock);
        for group in idle.take(self.clock) {
            if std::mem::take(&mut self.counts[group as usize]) > 0 {
                self.live -= 1;
                self.unsaved.insert(group);
                out.count_forgotten(1);
            }
        }
    }

    /// Gives the memory of rows that are gone back, if they are most; all is saved.
    fn pack(&mut self) -> Result<()> {
        if self.counts.len() < ROWS_MIN.max(2 * self.live) {
            return Ok(());
        }
        let is_there = |group: &u32| self.counts[*group as usize] > 0;
        let live: Vec<u32> = groups_of(0..self.counts.len()).into_iter().filter(is_there).collect();
        let mut rows = GroupTable::new(&self.types)?;
        for live in live.chunks(BATCH_ROWS) {
            rows.intern(&self.rows.keys(Groups::At(live))?, live.len(), &mut self.groups)?;
        }
        self.counts = live.iter().map(|group| self.counts[*group as usize]).collect();
        (self.rows, self.unsaved) = (rows, GroupSet::default());
        if let Some(idle) = &mut self.idle {
            idle.renumber(&live);
        }
        Ok(())
    }

    fn table(&self) -> TableSpec {
        let key = self.types.len();
        TableSpec { name: ROWS, key, route: (0..key).collect() }
    }

    /// Saves these rows, of which some are gone.
    fn save(&self, groups: &[u32], to: &mut StateWriter) -> Result<()> {
        let is_there = |group: &u32| self.counts[*group as usize] > 0;
        let (there, gone): (Vec<u32>, Vec<u32>) = groups.iter().partition(|group| is_there(group));
        if !to.is_full() && !gone.is_empty() {
            let keys = Arc::new(self.state.project(&(0..self.types.len()).collect::<Vec<_>>())?);
            let columns = self.rows.keys(Groups::At(&gone))?;
            to.delete(&self.table(), batch(&keys, columns, gone.len())?)?;
        }
        let counts = there.iter().map(|group| self.counts[*group as usize]);
        let counts: ArrayRef = Arc::new(UInt64Array::from_iter_values(counts));
        let mut columns = self.rows.keys(Groups::At(&there))?;
        columns.push(counts);
        to.put(&self.table(), batch(&self.state, columns, there.len())?)
    }
}

impl Operator for Check {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        let known: Vec<ArrayRef> =
            self.columns.iter().map(|column| change.rows.column(*column).clone()).collect();
        self.rows.intern(&known, change.len(), &mut self.groups)?;
        if self.idle.is_some() {
            self.changed.extend(&self.groups);
        }
        let (passing, unfounded) = self.judge(&change);
        if unfounded.is_empty() {
            out.send(change);
            return Ok(Step::Done);
        }
        match self.idle {
            // It may have been there, and was forgotten.
            Some(_) => out.count_forgotten(unfounded.len()),
            None => self.unfounded.refuse(&change, &unfounded, out)?,
        }
        out.send(change.take(&passing.into())?);
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.clock = close.moment.clock;
        self.forget_idle(out);
        Ok(Step::Done)
    }

    fn wake(&self) -> Option<EventTime> {
        self.idle.as_ref().and_then(Idle::wake)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let unsaved = self.unsaved.take();
        let groups = if to.is_full() { groups_of(0..self.counts.len()) } else { unsaved };
        groups.chunks(BATCH_ROWS).try_for_each(|groups| self.save(groups, to))?;
        self.pack()
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        self.clock = at.clock;
        for rows in from.table(ROWS)? {
            check_state(&rows, &self.state)?;
            let (counts, columns) = rows.columns().split_last().expect("checked: there is a count");
            self.rows.intern(columns, rows.num_rows(), &mut self.groups)?;
            self.counts.resize(self.rows.len(), 0);
            for (group, count) in
                self.groups.iter().zip(counts.as_primitive::<UInt64Type>().values())
            {
                self.counts[*group as usize] = *count;
            }
            if let Some(idle) = &mut self.idle {
                idle.write(&self.groups, at.clock);
            }
        }
        self.live = self.counts.iter().filter(|count| **count > 0).count();
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let idle = self.idle.as_ref().map_or(0, Idle::bytes);
        let counts = self.counts.capacity() * size_of::<u64>();
        (self.rows.bytes() + counts + self.unsaved.bytes() + self.changed.bytes() + idle, self.live)
    }
}

#[cfg(test)]
mod tests;
