//! The distinct values of groups, and the aggregates over them: one table of (group, value) for all
//! calls over the same arguments.
//!
//! Invariants: an aggregate sees a value once, when the first row with it comes, and loses it when
//! the last such row is taken back; rows with a NULL among the values are left out. Where rows are
//! only inserted, that there is a value is all that is kept: a value that comes again changes nothing.
//! Unlike keys of groups, −0.0 and 0.0 are two values, as in Flink.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Float32Type, Float64Type, Int32Type, Int64Type, UInt32Type,
};
use thalweg_plan::distinct::DistinctSet;
use thalweg_plan::function::{Accumulator, Entries, Rows};
use thalweg_state::GroupTable;
use thalweg_types::{Change, Error, Groups, Result};

use super::group_set::GroupSet;

/// Stands for no value.
const NONE: u32 = u32::MAX;
/// Values from which on the memory of those that are gone is given back.
const PACK_VALUES: usize = 4096;

/// Groups of rows, their values, and how many groups there are.
type Taken<'a> = (&'a [u32], &'a [ArrayRef], usize);

/// The values that some calls keep together, and the aggregates of those calls.
pub struct DistinctValues {
    set: DistinctSet,
    /// The values, and behind them how often there is each, by filter.
    fields: Fields,
    /// Are rows taken back, so that it must be known how often there is a value?
    is_counted: bool,
    /// One for each call; none before an exchange, where nobody asks.
    accumulators: Vec<Box<dyn Accumulator>>,
    /// Group and value to the number of the entry.
    table: GroupTable,
    /// For each filter, how often there is each entry.
    counts: Vec<Vec<i64>>,
    /// The entry of each group that came last, and before each entry the one that came earlier.
    last: Vec<u32>,
    earlier: Vec<u32>,
    /// Entries that there are.
    live: usize,
    /// Counts that are less than nothing.
    overdrawn: usize,
    /// Entries that changed since they were taken; `None` if nobody asks.
    changed: Option<GroupSet>,
    /// Room for entry numbers, kept between batches.
    entries: Vec<u32>,
}

impl DistinctValues {
    /// Returns no values: `state` is the field of their partial state.
    ///
    /// # Errors
    /// `Internal` if `state` is no list of values, `Invalid` if one cannot be a key.
    pub fn new(
        set: DistinctSet,
        state: &FieldRef,
        accumulators: Vec<Box<dyn Accumulator>>,
        is_counted: bool,
    ) -> Result<DistinctValues> {
        let (fields, filters) = (fields_of(state)?.clone(), set.filters.len());
        let mut values = DistinctValues {
            fields,
            is_counted,
            accumulators,
            table: GroupTable::new(&[])?,
            counts: vec![Vec::new(); filters],
            last: Vec::new(),
            earlier: Vec::new(),
            live: 0,
            overdrawn: 0,
            changed: None,
            entries: Vec::new(),
            set,
        };
        values.table = values.empty_table()?;
        Ok(values)
    }

    fn empty_table(&self) -> Result<GroupTable> {
        let kinds = self.key_fields().iter().map(|field| kept_kind(field.data_type()));
        GroupTable::new(&[DataType::UInt32].into_iter().chain(kinds).collect::<Vec<_>>())
    }

    /// Returns the fields of the values themselves.
    fn key_fields(&self) -> &[FieldRef] {
        &self.fields[..self.set.arguments.len()]
    }

    /// Adds the rows of `change`, each to its group of `groups`, of which there are `total`.
    ///
    /// # Errors
    /// Those of the aggregates.
    pub fn update(&mut self, change: &Change, groups: &[u32], total: usize) -> Result<()> {
        let column = |index: &usize| change.rows.column(*index).clone();
        let values: Vec<ArrayRef> = self.set.arguments.iter().map(column).collect();
        let nulls: Vec<_> = values.iter().map(|values| values.logical_nulls()).collect();
        let nulls = NullBuffer::union_many(nulls.iter().map(Option::as_ref));
        let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else {
            return self.update_at(change, (groups, &values, total), |row| row);
        };
        let whole: Vec<u32> = nulls.valid_indices().map(|row| row as u32).collect();
        let groups: Vec<u32> = whole.iter().map(|row| groups[*row as usize]).collect();
        let places = UInt32Array::from(whole.clone());
        let values = values.iter().map(|values| Ok(take(values, &places, None)?));
        let values = values.collect::<Result<Vec<ArrayRef>>>()?;
        self.update_at(change, (&groups, &values, total), |row| whole[row] as usize)
    }

    /// Adds groups and values, each of the row of `change` that `place` says.
    fn update_at(
        &mut self,
        change: &Change,
        (groups, values, total): Taken<'_>,
        place: impl Fn(usize) -> usize,
    ) -> Result<()> {
        self.find(groups, values, total)?;
        for at in 0..self.set.filters.len() {
            let filter = self.set.filters[at].map(|filter| change.rows.column(filter).as_boolean());
            let weights = change.weights.as_ref();
            let rows = Rows { groups, arguments: values, filter, weights, total };
            self.count(at, (groups, values, total), |row| rows.weight(place(row)))?;
        }
        Ok(())
    }

    /// Adds partial states, one for each of `groups`.
    ///
    /// # Errors
    /// Those of the aggregates.
    pub fn merge(&mut self, groups: &[u32], partial: &ArrayRef, total: usize) -> Result<()> {
        let lists = partial.as_list::<i32>();
        let (offsets, rows) = (lists.value_offsets(), lists.values().as_struct());
        let lengths = offsets.windows(2).map(|ends| (ends[1] - ends[0]) as usize);
        let groups = groups.iter().zip(lengths);
        let groups = groups.flat_map(|(group, length)| std::iter::repeat_n(*group, length));
        let (from, to) = (offsets[0] as usize, offsets[lists.len()] as usize);
        let columns = rows.columns().iter().map(|column| column.slice(from, to - from)).collect();
        self.merge_all(&Entries { groups: groups.collect(), columns }, total)
    }

    fn merge_all(&mut self, entries: &Entries, total: usize) -> Result<()> {
        let columns = entries.columns.split_at_checked(self.key_fields().len());
        let (values, counts) = columns.ok_or_else(|| Error::internal("values without columns"))?;
        self.find(&entries.groups, values, total)?;
        for (at, counts) in counts.iter().enumerate() {
            let counts = counts.as_primitive::<Int64Type>().values();
            self.count(at, (&entries.groups, values, total), |row| counts[row])?;
        }
        Ok(())
    }

    /// Writes the entry of each row to `entries`, making new ones.
    fn find(&mut self, groups: &[u32], values: &[ArrayRef], total: usize) -> Result<()> {
        let own: ArrayRef = Arc::new(UInt32Array::from(groups.to_vec()));
        let keys: Vec<ArrayRef> = [own].into_iter().chain(values.iter().map(kept)).collect();
        self.table.intern(&keys, groups.len(), &mut self.entries)?;
        self.link(groups, total);
        Ok(())
    }

    /// Links the new ones of `entries` to their groups.
    fn link(&mut self, groups: &[u32], total: usize) {
        self.last.resize(total.max(self.last.len()), NONE);
        for (entry, group) in self.entries.iter().zip(groups) {
            // Numbers are dense: the next one is new.
            if *entry as usize == self.earlier.len() {
                self.earlier.push(std::mem::replace(&mut self.last[*group as usize], *entry));
            }
        }
        let count = self.table.len();
        self.counts.iter_mut().for_each(|counts| counts.resize(count, 0));
    }

    /// Adds rows, whose entries were found, to what one filter lets through.
    fn count(
        &mut self,
        at: usize,
        (groups, values, total): Taken<'_>,
        weight: impl Fn(usize) -> i64,
    ) -> Result<()> {
        let (mut turned, mut weights) = (Vec::new(), Vec::new());
        for row in 0..groups.len() {
            let (entry, weight) = (self.entries[row], weight(row));
            let before = self.counts[at][entry as usize];
            let after = if self.is_counted { before + weight } else { before | weight };
            if after == before {
                continue;
            }
            self.set_count(at, entry, after);
            if (before > 0) != (after > 0) {
                turned.push(row as u32);
                weights.push(if after > 0 { 1 } else { -1 });
            }
        }
        if turned.is_empty() || self.accumulators.is_empty() {
            return Ok(());
        }
        let groups: Vec<u32> = turned.iter().map(|row| groups[*row as usize]).collect();
        let turned = UInt32Array::from(turned);
        let values = values.iter().map(|values| Ok(take(values, &turned, None)?));
        let values = values.collect::<Result<Vec<ArrayRef>>>()?;
        let weights = self.is_counted.then(|| Int64Array::from(weights));
        let (arguments, weights) = (values.as_slice(), weights.as_ref());
        for ((_, filter), accumulator) in self.set.calls.iter().zip(&mut self.accumulators) {
            if *filter == at {
                let rows = Rows { groups: &groups, arguments, filter: None, weights, total };
                accumulator.update(rows)?;
            }
        }
        Ok(())
    }

    fn set_count(&mut self, at: usize, entry: u32, after: i64) {
        let index = entry as usize;
        let was_there = self.is_there(index);
        let before = std::mem::replace(&mut self.counts[at][index], after);
        self.live += usize::from(self.is_there(index));
        self.live -= usize::from(was_there);
        self.overdrawn += usize::from(after < 0);
        self.overdrawn -= usize::from(before < 0);
        if let Some(changed) = &mut self.changed {
            changed.insert(entry);
        }
    }

    fn is_there(&self, entry: usize) -> bool {
        self.counts.iter().any(|counts| counts[entry] != 0)
    }

    /// Returns the partial state of some groups: a list of values for each.
    ///
    /// # Errors
    /// `Internal` if values cannot be read.
    pub fn partial(&self, groups: Groups<'_>) -> Result<ArrayRef> {
        let (mut entries, mut lengths) = (Vec::new(), Vec::with_capacity(groups.len()));
        groups.for_each(|group| {
            let from = entries.len();
            let mut entry = self.last.get(group).copied().unwrap_or(NONE);
            while entry != NONE {
                if self.is_there(entry as usize) {
                    entries.push(entry);
                }
                entry = self.earlier[entry as usize];
            }
            lengths.push(entries.len() - from);
        });
        let columns = self.read(&entries)?.columns;
        let rows = StructArray::try_new(self.fields.clone(), columns, None)?;
        let item = Arc::new(Field::new("item", rows.data_type().clone(), false));
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(rows), None)?))
    }

    /// Returns some entries.
    fn read(&self, entries: &[u32]) -> Result<Entries> {
        let mut columns = self.table.keys(Groups::At(entries))?;
        let groups = columns.remove(0).as_primitive::<UInt32Type>().values().to_vec();
        for (column, field) in columns.iter_mut().zip(self.key_fields()) {
            *column = given(column, field.data_type());
        }
        columns.extend(self.counts.iter().map(|counts| {
            let counts = entries.iter().map(|entry| counts[*entry as usize]);
            Arc::new(Int64Array::from_iter_values(counts)) as ArrayRef
        }));
        Ok(Entries { groups, columns })
    }

    /// Returns the values of one of the set's calls for some groups.
    ///
    /// # Errors
    /// `Data` if a value cannot be represented.
    pub fn evaluate(&mut self, call: usize, groups: Groups<'_>) -> Result<ArrayRef> {
        self.accumulators[call].evaluate(groups)
    }

    /// Notes from now on which values change.
    pub fn track(&mut self) {
        self.changed.get_or_insert_default();
    }

    /// Returns the values that changed since this was asked last, or all; gives back the memory of
    /// those that are gone.
    ///
    /// # Errors
    /// `Internal` if values cannot be read.
    pub fn take_entries(&mut self, all: bool) -> Result<Entries> {
        let changed = self.changed.as_mut().map(GroupSet::take).unwrap_or_default();
        let taken = match all {
            true => self.read(&self.live_entries())?,
            false => self.read(&changed)?,
        };
        if self.table.len() >= PACK_VALUES.max(self.live * 2) {
            self.pack()?;
        }
        Ok(taken)
    }

    fn live_entries(&self) -> Vec<u32> {
        (0..self.table.len() as u32).filter(|entry| self.is_there(*entry as usize)).collect()
    }

    /// Makes a new table of the values that there are.
    fn pack(&mut self) -> Result<()> {
        let live = self.live_entries();
        let keys = self.table.keys(Groups::At(&live))?;
        self.table = self.empty_table()?;
        self.table.intern(&keys, live.len(), &mut self.entries)?;
        for counts in &mut self.counts {
            *counts = live.iter().map(|entry| counts[*entry as usize]).collect();
        }
        let total = self.last.len();
        (self.last, self.earlier) = (Vec::new(), Vec::new());
        self.link(keys[0].as_primitive::<UInt32Type>().values(), total);
        Ok(())
    }

    /// Adds values that were saved; they are no changes.
    ///
    /// # Errors
    /// As `merge`.
    pub fn merge_entries(&mut self, entries: &Entries, total: usize) -> Result<()> {
        let changed = self.changed.take();
        self.merge_all(entries, total)?;
        self.changed = changed;
        Ok(())
    }

    /// Returns a group from which a value was taken back more often than there was one.
    ///
    /// # Errors
    /// `Internal` if values cannot be read.
    pub fn overdrawn(&self) -> Result<Option<u32>> {
        if self.overdrawn == 0 {
            return Ok(None);
        }
        let is_overdrawn = |entry: &u32| self.counts.iter().any(|c| c[*entry as usize] < 0);
        let entries: Vec<u32> = (0..self.table.len() as u32).filter(is_overdrawn).collect();
        Ok(self.read(&entries)?.groups.first().copied())
    }

    /// Forgets every group.
    pub fn clear(&mut self) {
        self.table.clear();
        self.counts.iter_mut().for_each(|counts| *counts = Vec::new());
        (self.last, self.earlier) = (Vec::new(), Vec::new());
        (self.live, self.overdrawn) = (0, 0);
        self.changed = self.changed.is_some().then(GroupSet::default);
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.clear());
    }

    /// Returns about how many bytes the values and their aggregates take.
    pub fn bytes(&self) -> usize {
        let counts: usize = self.counts.iter().map(|counts| counts.capacity() * 8).sum();
        let links = (self.last.capacity() + self.earlier.capacity()) * 4;
        let accumulators = self.accumulators.iter().map(|accumulator| accumulator.bytes());
        let changed = self.changed.as_ref().map_or(0, GroupSet::bytes);
        self.table.bytes() + counts + links + changed + accumulators.sum::<usize>()
    }
}

/// Returns the type in which values of `kind` are keys: floating numbers by their bits.
fn kept_kind(kind: &DataType) -> DataType {
    match kind {
        DataType::Float32 => DataType::Int32,
        DataType::Float64 => DataType::Int64,
        other => other.clone(),
    }
}

/// Returns values as keys; every NaN is the same one.
fn kept(values: &ArrayRef) -> ArrayRef {
    match values.data_type() {
        DataType::Float32 => {
            let bits = |value: f32| if value.is_nan() { f32::NAN } else { value }.to_bits() as i32;
            Arc::new(values.as_primitive::<Float32Type>().unary::<_, Int32Type>(bits))
        }
        DataType::Float64 => {
            let bits = |value: f64| if value.is_nan() { f64::NAN } else { value }.to_bits() as i64;
            Arc::new(values.as_primitive::<Float64Type>().unary::<_, Int64Type>(bits))
        }
        _ => values.clone(),
    }
}

/// Returns keys as values of `kind`.
fn given(keys: &ArrayRef, kind: &DataType) -> ArrayRef {
    match kind {
        DataType::Float32 => {
            let value = |bits: i32| f32::from_bits(bits as u32);
            Arc::new(keys.as_primitive::<Int32Type>().unary::<_, Float32Type>(value))
        }
        DataType::Float64 => {
            let value = |bits: i64| f64::from_bits(bits as u64);
            Arc::new(keys.as_primitive::<Int64Type>().unary::<_, Float64Type>(value))
        }
        _ => keys.clone(),
    }
}

/// Returns the fields of distinct values and of how often there is each, whose partial state is
/// `state`.
///
/// # Errors
/// `Internal` if it is another's.
pub fn fields_of(state: &Field) -> Result<&Fields> {
    if let DataType::List(item) = state.data_type()
        && let DataType::Struct(fields) = item.data_type()
    {
        return Ok(fields);
    }
    Err(Error::internal(format!("distinct values in a column of type {}", state.data_type())))
}

#[cfg(test)]
mod tests;
