//! Rows, each in a numbered slot: what joins, rankings and the like keep.
//!
//! Invariants: a slot holds its row until it is removed; slots of removed rows are used again, the
//! last one first; rows that are read are copies and pin nothing. In a snapshot a row has a number
//! of its own, made of its key group and its slot, so that a row that goes costs no more than this
//! number; the first snapshot after a restore is a whole one, which gives all rows new numbers. It
//! does *not* find rows: who keeps them knows their slots.
//!
//! Rows lie one after the other (`layout.rs`), not column by column: who reads single rows of many,
//! as a join does, touches a line or two of memory for each rather than one for each column.

mod dictionary;
mod heap;

mod layout;

mod index;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_types::{Error, Result, hash};

use self::dictionary::Dictionary;
use self::heap::{Heap, Piece};
pub use self::index::RowIndex;
pub use self::layout::Encoded;
use self::layout::Layout;
use crate::snapshot::{StateReader, StateWriter};

/// Slots of one piece of memory, a power of two.
const BLOCK_SLOTS: usize = 4096;
/// Rows of one batch of a snapshot.
const SNAPSHOT_ROWS: usize = 8192;

/// A row is in the slot.
const ALIVE: u8 = 1;
/// The row is in a snapshot.
const SAVED: u8 = 2;
/// The slot is in the list of those to be saved.
const LISTED: u8 = 4;
/// The row is marked.
const MARKED: u8 = 8;

/// Rows of one schema in numbered slots.
#[derive(Debug)]
pub struct RowStore {
    schema: SchemaRef,
    layout: Layout,
    /// Fixed parts, each with the place of what has no fixed width behind it.
    blocks: Vec<Box<[u8]>>,
    stride: usize,
    heap: Heap,
    /// Frequent values, of each column without a fixed width.
    dictionaries: Vec<Dictionary>,
    flags: Vec<u8>,
    /// The key group under which a row was saved.
    key_groups: Vec<u16>,
    free: Vec<u32>,
    has_nulls: Vec<bool>,
    /// Are marks saved?
    has_marks: bool,
    /// Slots whose rows are to be saved.
    unsaved: Vec<u32>,
    /// Numbers of saved rows that were removed.
    gone: Vec<u64>,
    /// Are the rows those of a snapshot whose numbers are not known any more?
    is_restored: bool,
}

impl RowStore {
    /// Returns an empty store of rows of `schema`.
    ///
    /// # Errors
    /// `Invalid` if a type cannot be kept (maps).
    pub fn new(schema: SchemaRef) -> Result<RowStore> {
        let layout = Layout::new(&schema)?;
        let stride = layout.fixed + if layout.is_variable { Piece::WIDTH } else { 0 };
        let has_nulls = vec![false; schema.fields().len()];
        Ok(RowStore {
            schema,
            blocks: Vec::new(),
            stride: stride.max(1),
            heap: Heap::default(),
            dictionaries: dictionaries(layout.variable_columns()),
            layout,
            flags: Vec::new(),
            key_groups: Vec::new(),
            free: Vec::new(),
            has_nulls,
            has_marks: false,
            unsaved: Vec::new(),
            gone: Vec::new(),
            is_restored: false,
        })
    }

    /// Lets marks stand in snapshots.
    #[must_use]
    pub fn with_marks(self) -> RowStore {
        RowStore { has_marks: true, ..self }
    }

    /// Returns the schema of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.flags.len() - self.free.len()
    }

    /// Is there no row?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number that every slot is below: how long a vector by slot must be.
    pub fn slots(&self) -> usize {
        self.flags.len()
    }

    /// Is there a row in `slot`?
    pub fn is_alive(&self, slot: u32) -> bool {
        self.flags.get(slot as usize).is_some_and(|flags| flags & ALIVE != 0)
    }

    /// Brings rows into the form in which they are kept and compared, as long as the store has rows.
    ///
    /// Shapes: in columns of the schema, and which of their rows; out that many rows, in that order.
    ///
    /// # Errors
    /// `Internal` if the columns are not those of the schema.
    pub fn encode(&mut self, columns: &[ArrayRef], rows: &[u32]) -> Result<Encoded> {
        self.layout.encode(columns, rows, &mut self.dictionaries)
    }

    /// Keeps rows of some columns, and appends the slot of each to `slots`.
    ///
    /// # Errors
    /// As [`RowStore::encode`], and as [`RowStore::insert_row`].
    pub fn insert(
        &mut self,
        columns: &[ArrayRef],
        rows: &[u32],
        slots: &mut Vec<u32>,
    ) -> Result<()> {
        let encoded = self.encode(columns, rows)?;
        slots.reserve(rows.len());
        for row in 0..encoded.len() {
            slots.push(self.insert_row(&encoded, row)?);
        }
        Ok(())
    }

    /// Keeps one row, and returns its slot.
    ///
    /// # Errors
    /// `Failed` if there would be more rows than a slot's number can tell apart.
    pub fn insert_row(&mut self, rows: &Encoded, row: usize) -> Result<u32> {
        rows.with_nulls.iter().for_each(|column| self.has_nulls[*column] = true);
        let (fixed, variable) = rows.row(row);
        let slot = self.take_slot()?;
        let piece = self.layout.is_variable.then(|| self.heap.store(variable));
        let kept = self.fixed_mut(slot);
        kept[..fixed.len()].copy_from_slice(fixed);
        if let Some(piece) = piece {
            piece.write(&mut kept[fixed.len()..]);
        }
        self.flags[slot as usize] |= ALIVE;
        self.list(slot);
        Ok(slot)
    }

    fn take_slot(&mut self) -> Result<u32> {
        if let Some(slot) = self.free.pop() {
            return Ok(slot);
        }
        let slot = u32::try_from(self.flags.len()).ok().filter(|slot| *slot < u32::MAX);
        let slot = slot.ok_or_else(|| {
            Error::failed("more than 4 billion rows of state on one worker")
                .remedy("run the job with more workers")
        })?;
        if (slot as usize).is_multiple_of(BLOCK_SLOTS) {
            self.blocks.push(vec![0; BLOCK_SLOTS * self.stride].into_boxed_slice());
        }
        self.flags.push(0);
        self.key_groups.push(0);
        Ok(slot)
    }

    /// Notes that a row is to be saved.
    fn list(&mut self, slot: u32) {
        let flags = &mut self.flags[slot as usize];
        if *flags & LISTED == 0 {
            *flags |= LISTED;
            self.unsaved.push(slot);
        }
    }

    /// Removes the row in `slot`.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&mut self, slot: u32) {
        assert!(self.is_alive(slot), "a row is removed once");
        let flags = &mut self.flags[slot as usize];
        if *flags & SAVED != 0 {
            self.gone.push(number(self.key_groups[slot as usize], slot));
        }
        *flags &= LISTED;
        if self.layout.is_variable {
            let piece = self.piece(slot);
            self.heap.free(piece);
            if self.heap.is_wasteful() {
                self.compact();
            }
        }
        self.free.push(slot);
    }

    /// Marks the row in `slot`; was it not marked yet?
    pub fn mark(&mut self, slot: u32) -> bool {
        let flags = &mut self.flags[slot as usize];
        let is_new = *flags & MARKED == 0;
        *flags |= MARKED;
        if is_new && self.has_marks {
            self.list(slot);
        }
        is_new
    }

    /// Is the row in `slot` marked?
    pub fn is_marked(&self, slot: u32) -> bool {
        self.flags[slot as usize] & MARKED != 0
    }

    /// Gives the memory of a store without rows back; what was saved stays known.
    ///
    /// # Errors
    /// `Internal` if there are rows.
    pub fn clear_if_empty(&mut self) -> Result<()> {
        if !self.is_empty() {
            return Err(Error::internal("a store with rows is not cleared"));
        }
        (self.blocks, self.heap) = (Vec::new(), Heap::default());
        self.dictionaries = dictionaries(self.dictionaries.len());
        (self.flags, self.key_groups) = (Vec::new(), Vec::new());
        (self.free, self.unsaved) = (Vec::new(), Vec::new());
        Ok(())
    }

    /// Moves what has no fixed width together.
    fn compact(&mut self) {
        let mut heap = Heap::default();
        for slot in 0..self.flags.len() as u32 {
            if self.is_alive(slot) {
                let piece = heap.store(self.heap.get(self.piece(slot)));
                let at = self.layout.fixed;
                piece.write(&mut self.fixed_mut(slot)[at..]);
            }
        }
        self.heap = heap;
    }

    fn fixed(&self, slot: u32) -> &[u8] {
        let (block, at) = (slot as usize / BLOCK_SLOTS, slot as usize % BLOCK_SLOTS);
        &self.blocks[block][at * self.stride..(at + 1) * self.stride]
    }

    fn fixed_mut(&mut self, slot: u32) -> &mut [u8] {
        let (block, at) = (slot as usize / BLOCK_SLOTS, slot as usize % BLOCK_SLOTS);
        &mut self.blocks[block][at * self.stride..(at + 1) * self.stride]
    }

    fn piece(&self, slot: u32) -> Piece {
        Piece::read(&self.fixed(slot)[self.layout.fixed..])
    }

    /// Returns the two parts of the row in `slot`, as [`Encoded::row`] does; rows are equal if both
    /// parts are.
    pub fn row(&self, slot: u32) -> (&[u8], &[u8]) {
        let fixed = self.fixed(slot);
        match self.layout.is_variable {
            false => (&fixed[..self.layout.fixed], &[]),
            true => {
                let (fixed, piece) = fixed.split_at(self.layout.fixed);
                (fixed, self.heap.get(Piece::read(piece)))
            }
        }
    }

    /// Returns the rows in `slots`, in that order.
    ///
    /// # Errors
    /// `Internal` if a row cannot be read.
    pub fn columns(&self, slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let all: Vec<usize> = (0..self.schema.fields().len()).collect();
        self.project(&all, slots)
    }

    /// Returns some columns of the rows in `slots`, in that order.
    ///
    /// # Errors
    /// `Internal` if a row cannot be read.
    pub fn project(&self, columns: &[usize], slots: &[u32]) -> Result<Vec<ArrayRef>> {
        let rows = slots.iter().map(|slot| self.row(*slot));
        self.layout.decode(columns, (&self.has_nulls, &self.dictionaries), rows)
    }

    /// Hands over which rows came and went since the last snapshot, or all rows if `to.is_full()`;
    /// columns `key` decide the key group of a row.
    ///
    /// # Errors
    /// `Internal` if a row cannot be read, or if this is not a whole snapshot and the first one after
    /// a restore.
    pub fn snapshot(
        &mut self,
        name: &'static str,
        key: &[usize],
        to: &mut StateWriter,
    ) -> Result<()> {
        if std::mem::take(&mut self.is_restored) && !to.is_full() {
            return Err(Error::internal("the first snapshot after a restore is not a whole one"));
        }
        let gone = std::mem::take(&mut self.gone);
        let mut slots = std::mem::take(&mut self.unsaved);
        slots.iter().for_each(|slot| self.flags[*slot as usize] &= !LISTED);
        if to.is_discarded() {
            return Ok(());
        }
        match to.is_full() {
            true => slots = (0..self.flags.len() as u32).collect(),
            false => {
                let groups: Vec<u16> = gone.iter().map(|number| (number >> 48) as u16).collect();
                let numbers: ArrayRef = Arc::new(UInt64Array::from(gone));
                let schema = Arc::new(Schema::new(vec![number_field()]));
                to.delete_in(name, &groups, RecordBatch::try_new(schema, vec![numbers])?)?;
            }
        }
        slots.retain(|slot| self.is_alive(*slot));
        for slots in slots.chunks(SNAPSHOT_ROWS) {
            self.put(name, key, slots, to)?;
        }
        Ok(())
    }

    fn put(
        &mut self,
        name: &'static str,
        key: &[usize],
        slots: &[u32],
        to: &mut StateWriter,
    ) -> Result<()> {
        let columns = self.columns(slots)?;
        let keys: Vec<ArrayRef> = key.iter().map(|column| columns[*column].clone()).collect();
        let mut hashes = Vec::new();
        hash::hash_rows(&keys, slots.len(), &mut hashes)?;
        let groups = hashes.iter().map(|hash| to.key_groups().group_of(*hash).0);
        let groups: Vec<u16> = groups.collect();
        for (slot, group) in slots.iter().zip(&groups) {
            self.flags[*slot as usize] |= SAVED;
            self.key_groups[*slot as usize] = *group;
        }
        let numbers = slots.iter().zip(&groups).map(|(slot, group)| number(*group, *slot));
        let numbers: ArrayRef = Arc::new(UInt64Array::from_iter_values(numbers));
        let marks = slots.iter().map(|slot| Some(self.is_marked(*slot)));
        let marks: Option<ArrayRef> =
            self.has_marks.then(|| Arc::new(marks.collect::<BooleanArray>()) as ArrayRef);
        let columns = std::iter::once(numbers).chain(columns).chain(marks).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(slots.len()));
        let rows = RecordBatch::try_new_with_options(self.saved_schema(), columns, &options)?;
        to.put_in(name, &groups, rows)
    }

    /// Returns the schema of a saved row: its number, its columns, its mark if there are marks.
    fn saved_schema(&self) -> SchemaRef {
        let fields = self.schema.fields().iter().map(|field| field.as_ref().clone());
        let mark = self.has_marks.then(|| Field::new("marked", DataType::Boolean, false));
        let fields = std::iter::once(number_field()).chain(fields).chain(mark);
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    /// Takes the rows of a snapshot into this store, which is empty; returns their slots.
    ///
    /// # Errors
    /// `State` if they are rows of other columns.
    pub fn restore(&mut self, name: &str, from: &StateReader) -> Result<Vec<u32>> {
        self.restore_as(name, from, |_, _| Ok(None))
    }

    /// Takes the rows of a snapshot as [`RowStore::restore`] does; `migrated` returns what becomes of a column,
    /// by its number, that an earlier version of the job saved.
    ///
    /// # Errors
    /// As [`RowStore::restore`], and whatever `migrated` refuses.
    pub fn restore_as(
        &mut self,
        name: &str,
        from: &StateReader,
        migrated: impl Fn(usize, &ArrayRef) -> Result<Option<ArrayRef>>,
    ) -> Result<Vec<u32>> {
        let mut slots = Vec::new();
        self.is_restored = true;
        let (saved, width) = (self.saved_schema(), self.schema.fields().len());
        for rows in from.table(name)? {
            let mut columns = rows.columns().to_vec();
            for (number, column) in columns.iter_mut().skip(1).take(width).enumerate() {
                if let Some(new) = migrated(number, column)? {
                    *column = new;
                }
            }
            let found = columns.iter().map(|column| column.data_type());
            if !found.eq(saved.fields().iter().map(|field| field.data_type())) {
                let error = Error::state("saved state has other columns than the operator");
                let remedy = "begin anew, or go back to the job that the state was saved with";
                return Err(error.remedy(remedy));
            }
            let all: Vec<u32> = (0..rows.num_rows() as u32).collect();
            let first = slots.len();
            self.insert(&columns[1..=width], &all, &mut slots)?;
            if self.has_marks {
                let marks = rows.column(width + 1).as_boolean();
                let marked = slots[first..].iter().zip(marks);
                for (slot, _) in marked.filter(|(_, mark)| *mark == Some(true)) {
                    self.mark(*slot);
                }
            }
        }
        Ok(slots)
    }

    /// Returns about how many bytes the store takes.
    pub fn bytes(&self) -> usize {
        let by_slot = self.flags.capacity() + self.key_groups.capacity() * 2;
        let lists = (self.free.capacity() + self.unsaved.capacity()) * 4 + self.gone.capacity() * 8;
        let dictionaries = self.dictionaries.iter().map(Dictionary::bytes).sum::<usize>();
        let blocks = self.blocks.len() * BLOCK_SLOTS * self.stride;
        blocks + self.heap.bytes() + dictionaries + by_slot + lists
    }
}

fn dictionaries(count: usize) -> Vec<Dictionary> {
    (0..count).map(|_| Dictionary::default()).collect()
}

/// Returns the number of a saved row.
fn number(key_group: u16, slot: u32) -> u64 {
    u64::from(key_group) << 48 | u64::from(slot)
}

fn number_field() -> Field {
    Field::new("row", DataType::UInt64, false)
}

#[cfg(test)]
mod tests;
