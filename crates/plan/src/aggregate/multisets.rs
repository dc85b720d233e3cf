//! Rows that groups keep in order, with how often there is each: what an aggregate needs that must
//! know all its values, because it shows them or because they can be taken back.
//!
//! Invariants: rows are ordered by their columns alone, so neither workers nor the order of arrival
//! show; a row that there is 0 times is not kept. What is stored are the values of rows and how
//! often there is each, never how they are kept.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use arrow::row::{RowConverter, Rows, SortField};
use thalweg_types::{Error, Groups, Result};

use crate::function::{Accumulator, Entries, Rows as Input};

/// Bytes of a kept row beside its own.
const ROW_BYTES: usize = size_of::<(Box<[u8]>, i64)>();

/// The columns of kept rows.
#[derive(Clone, Debug)]
pub struct KeptColumns {
    /// The columns, and behind them how often there is such a row.
    stored: Fields,
    order: Vec<SortOptions>,
}

impl KeptColumns {
    /// Returns columns of these types, sorted so, the first one first.
    pub fn new(columns: impl IntoIterator<Item = (DataType, SortOptions)>) -> KeptColumns {
        let (kinds, order): (Vec<DataType>, Vec<SortOptions>) = columns.into_iter().unzip();
        // Names are part of the stored state.
        let stored = kinds.into_iter().enumerate();
        let stored = stored.map(|(at, kind)| Field::new(format!("c{at}"), kind, true));
        let stored = stored.chain([Field::new("count", DataType::Int64, false)]).collect();
        KeptColumns { stored, order }
    }

    /// Returns the columns themselves, as fields.
    pub fn fields(&self) -> Vec<FieldRef> {
        self.stored[..self.order.len()].to_vec()
    }

    /// Returns the field of a partial state: the rows of a group.
    pub fn state(&self) -> FieldRef {
        Arc::new(Field::new("rows", DataType::List(self.item()), false))
    }

    fn item(&self) -> FieldRef {
        Arc::new(Field::new("item", DataType::Struct(self.stored.clone()), false))
    }
}

/// The rows of each group.
#[derive(Debug)]
pub struct Multisets {
    columns: KeptColumns,
    converter: RowConverter,
    groups: Vec<BTreeMap<Box<[u8]>, i64>>,
    /// Bytes of all kept rows.
    bytes: usize,
    /// How many rows there are less than no times.
    overdrawn: usize,
    /// Rows that changed since they were taken last, perhaps several times; `None` if nobody asks.
    changed: Option<Vec<(u32, Box<[u8]>)>>,
}

/// The rows of some groups.
#[derive(Debug)]
pub struct TakenRows {
    /// The columns that are kept, all groups after each other.
    pub columns: Vec<ArrayRef>,
    /// How often there is each row.
    pub counts: Vec<i64>,
    /// The rows of each group.
    pub groups: Vec<Range<usize>>,
}

impl Multisets {
    /// Returns no groups.
    ///
    /// # Errors
    /// `Invalid` if a type has no order.
    pub fn new(columns: KeptColumns) -> Result<Multisets> {
        let fields = columns.order.iter().zip(&columns.stored);
        let fields = fields.map(|(options, field)| {
            SortField::new_with_options(field.data_type().clone(), *options)
        });
        let converter = RowConverter::new(fields.collect());
        let converter = converter.map_err(|error| Error::invalid(error.to_string()))?;
        let (groups, bytes, overdrawn, changed) = (Vec::new(), 0, 0, None);
        Ok(Multisets { columns, converter, groups, bytes, overdrawn, changed })
    }

    /// Lets there be `total` groups, if there are not more.
    pub fn resize(&mut self, total: usize) {
        self.groups.resize_with(total.max(self.groups.len()), BTreeMap::new);
    }

    /// Returns rows as they are kept.
    ///
    /// # Errors
    /// `Internal` if the columns are of other types.
    pub fn rows(&self, columns: &[ArrayRef]) -> Result<Rows> {
        Ok(self.converter.convert_columns(columns)?)
    }

    /// Adds so many equal rows to a group; takes them back if they are less than none.
    pub fn add(&mut self, group: u32, row: &[u8], count: i64) {
        if count == 0 {
            return;
        }
        let kept = &mut self.groups[group as usize];
        let (before, after) = match kept.get_mut(row) {
            Some(known) => {
                *known += count;
                (*known - count, *known)
            }
            None => {
                self.bytes += row.len() + ROW_BYTES;
                kept.insert(row.into(), count);
                (0, count)
            }
        };
        if after == 0 {
            self.bytes -= row.len() + ROW_BYTES;
            kept.remove(row);
        }
        self.overdrawn += usize::from(after < 0);
        self.overdrawn -= usize::from(before < 0);
        if let Some(changed) = &mut self.changed {
            changed.push((group, row.into()));
        }
    }

    /// Returns the first row of each group, NULLs for one without rows.
    ///
    /// # Errors
    /// `Internal` if rows cannot be read.
    pub fn first(&self, groups: Groups<'_>) -> Result<(Vec<ArrayRef>, Vec<bool>)> {
        let (mut rows, mut is_there) = (Vec::new(), Vec::with_capacity(groups.len()));
        let parser = self.converter.parser();
        groups.for_each(|group| {
            let first = self.groups.get(group).and_then(BTreeMap::first_key_value);
            rows.extend(first.map(|(row, _)| parser.parse(row)));
            is_there.push(first.is_some());
        });
        Ok((self.converter.convert_rows(rows)?, is_there))
    }

    /// Returns all rows of some groups.
    ///
    /// # Errors
    /// `Internal` if rows cannot be read.
    pub fn taken(&self, groups: Groups<'_>) -> Result<TakenRows> {
        let (mut rows, mut counts, mut ranges) = (Vec::new(), Vec::new(), Vec::new());
        let parser = self.converter.parser();
        groups.for_each(|group| {
            let from = rows.len();
            for (row, count) in self.groups.get(group).into_iter().flatten() {
                rows.push(parser.parse(row));
                counts.push(*count);
            }
            ranges.push(from..rows.len());
        });
        let columns = self.converter.convert_rows(rows)?;
        Ok(TakenRows { columns, counts, groups: ranges })
    }

    /// Returns the partial state of some groups: a list of rows for each.
    ///
    /// # Errors
    /// `Internal` if rows cannot be read.
    pub fn partial(&self, groups: Groups<'_>) -> Result<ArrayRef> {
        let taken = self.taken(groups)?;
        let offsets = OffsetBuffer::from_lengths(taken.groups.iter().map(ExactSizeIterator::len));
        let counts: ArrayRef = Arc::new(Int64Array::from(taken.counts));
        let columns = taken.columns.into_iter().chain([counts]).collect();
        let rows = StructArray::try_new(self.columns.stored.clone(), columns, None)?;
        Ok(Arc::new(ListArray::try_new(self.columns.item(), offsets, Arc::new(rows), None)?))
    }

    /// Adds partial states, one for each of `groups`.
    ///
    /// # Errors
    /// `Internal` if columns are missing.
    pub fn merge(&mut self, groups: &[u32], partial: &ArrayRef, total: usize) -> Result<()> {
        let lists = partial.as_list::<i32>();
        let (offsets, rows) = (lists.value_offsets(), lists.values().as_struct());
        let lengths = offsets.windows(2).map(|ends| (ends[1] - ends[0]) as usize);
        let groups = groups.iter().zip(lengths);
        let groups = groups.flat_map(|(group, length)| std::iter::repeat_n(*group, length));
        let (from, to) = (offsets[0] as usize, offsets[lists.len()] as usize);
        let columns = rows.columns().iter().map(|column| column.slice(from, to - from)).collect();
        self.add_all(&Entries { groups: groups.collect(), columns }, total)
    }

    fn add_all(&mut self, entries: &Entries, total: usize) -> Result<()> {
        self.resize(total);
        let Some((counts, columns)) = entries.columns.split_last() else {
            return Err(Error::internal("kept rows without columns"));
        };
        let (counts, rows) = (counts.as_primitive::<Int64Type>(), self.rows(columns)?);
        for ((group, row), count) in entries.groups.iter().zip(&rows).zip(counts.values()) {
            self.add(*group, row.as_ref(), *count);
        }
        Ok(())
    }

    /// Notes from now on which rows change.
    pub fn track(&mut self) {
        self.changed.get_or_insert_default();
    }

    /// Returns the rows that changed since this was asked last, or all.
    ///
    /// # Errors
    /// `Internal` if rows cannot be read.
    pub fn take_entries(&mut self, all: bool) -> Result<Entries> {
        let mut changed = self.changed.as_mut().map(std::mem::take).unwrap_or_default();
        let (mut groups, mut rows, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        let parser = self.converter.parser();
        let mut take = |group: u32, row, count: i64| {
            groups.push(group);
            rows.push(parser.parse(row));
            counts.push(count);
        };
        if all {
            for (group, kept) in (0..).zip(&self.groups) {
                kept.iter().for_each(|(row, count)| take(group, row, *count));
            }
        } else {
            changed.sort_unstable();
            changed.dedup();
            for (group, row) in &changed {
                let count = self.groups[*group as usize].get(row).copied().unwrap_or(0);
                take(*group, row, count);
            }
        }
        let mut columns = self.converter.convert_rows(rows)?;
        columns.push(Arc::new(Int64Array::from(counts)));
        Ok(Entries { groups, columns })
    }

    /// Adds rows that were saved.
    ///
    /// # Errors
    /// `Internal` if columns are missing.
    pub fn merge_entries(&mut self, entries: &Entries, total: usize) -> Result<()> {
        let changed = self.changed.take();
        self.add_all(entries, total)?;
        self.changed = changed;
        Ok(())
    }

    /// Returns a group from which more was taken back than it had.
    pub fn overdrawn(&self) -> Option<u32> {
        let is_overdrawn = |kept: &BTreeMap<Box<[u8]>, i64>| kept.values().any(|count| *count < 0);
        let groups = || self.groups.iter().position(is_overdrawn);
        (self.overdrawn > 0).then(groups)?.map(|group| group as u32)
    }

    /// Forgets every group.
    pub fn clear(&mut self) {
        (self.groups, self.bytes, self.overdrawn) = (Vec::new(), 0, 0);
        self.changed.iter_mut().for_each(Vec::clear);
    }

    /// Returns about how many bytes the rows take.
    pub fn bytes(&self) -> usize {
        let changed = self.changed.as_ref().map_or(0, |changed| changed.capacity() * ROW_BYTES);
        self.bytes + changed + self.groups.capacity() * size_of::<BTreeMap<Box<[u8]>, i64>>()
    }
}

/// What an aggregate makes of all rows of a group.
pub trait OverRows: Send {
    /// Returns which arguments are kept, in the order of the kept columns.
    fn arguments(&self) -> &[usize];

    /// Returns how often a row counts, of which these are the kept columns; 0 if it does not.
    fn times(&self, rows: &Input<'_>, columns: &[ArrayRef], row: usize) -> i64;

    /// Returns the value of groups.
    ///
    /// # Errors
    /// `Data` if it cannot be represented.
    fn value(&self, rows: &Multisets, groups: Groups<'_>) -> Result<ArrayRef>;
}

/// The accumulator of an aggregate that keeps all rows of each group.
#[derive(Debug)]
pub struct Keeper<F> {
    function: F,
    rows: Multisets,
}

impl<F: OverRows> Keeper<F> {
    /// Returns the accumulator of `function`, which keeps these columns.
    ///
    /// # Errors
    /// `Invalid` if a type has no order.
    pub fn new(function: F, columns: KeptColumns) -> Result<Keeper<F>> {
        Ok(Keeper { function, rows: Multisets::new(columns)? })
    }
}

impl<F: OverRows> Accumulator for Keeper<F> {
    fn update(&mut self, rows: Input<'_>) -> Result<()> {
        self.rows.resize(rows.total);
        let arguments = self.function.arguments().iter();
        let columns: Vec<ArrayRef> = arguments.map(|at| rows.arguments[*at].clone()).collect();
        let kept = self.rows.rows(&columns)?;
        for (row, group) in rows.groups.iter().enumerate() {
            let times = self.function.times(&rows, &columns, row);
            self.rows.add(*group, kept.row(row).as_ref(), rows.weight(row).saturating_mul(times));
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.rows.merge(groups, &partial[0], total)
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.rows.partial(groups)?])
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        self.function.value(&self.rows, groups)
    }

    fn track(&mut self) {
        self.rows.track();
    }

    fn take_entries(&mut self, all: bool) -> Result<Entries> {
        self.rows.take_entries(all)
    }

    fn merge_entries(&mut self, entries: &Entries, total: usize) -> Result<()> {
        self.rows.merge_entries(entries, total)
    }

    fn overdrawn(&self) -> Option<u32> {
        self.rows.overdrawn()
    }

    fn clear(&mut self) {
        self.rows.clear();
    }

    fn bytes(&self) -> usize {
        self.rows.bytes()
    }
}
