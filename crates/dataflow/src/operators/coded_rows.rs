//! Rows of partitions as codes: what operators that order their rows share.
//!
//! A code (see [`super::ordering`]) compares as its row does and holds all columns of it, but for
//! those that the key of the partition holds. Where the codes are is the operator's matter; here is
//! how they are made and read, and which of them a snapshot still lacks.
//!
//! Invariants: a kept row has a number of its own in its partition, under which it is saved; a
//! snapshot holds the rows that are kept at that time and no others.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use thalweg_plan::node::SortKey;
use thalweg_state::{GroupTable, StateReader, StateWriter, TableSpec};
use thalweg_types::{Error, Groups, Result};

use super::batches::{BATCH_ROWS, batch, check_state, never_came};
use super::group_set::GroupSet;
use super::ordering::Ordering;

/// Partitions from which on the memory of those without rows is given back.
pub const PACK_PARTITIONS: usize = 4096;

/// Bytes that a row takes beside its code, about.
const ROW_BYTES: usize = 40;

/// The partitions of some rows, how rows are coded, and what is not saved yet.
pub struct CodedRows {
    /// How rows are coded.
    pub ordering: Ordering,
    /// The columns of the rows.
    schema: SchemaRef,
    /// The keys of the partitions.
    pub partitions: GroupTable,
    /// Columns of the partition in the input.
    partition: Vec<usize>,
    /// Where each column of the input comes from.
    origins: Vec<Origin>,
    /// The partition, the number of a row, then the columns of its code.
    state: SchemaRef,
    /// Number of the next row.
    sequence: u64,
    /// Rows with a number below this are in a snapshot.
    saved_to: u64,
    /// Partitions that changed since the last snapshot.
    unsaved: GroupSet,
    /// Rows that are in a snapshot and were dropped since: partition and number.
    dropped: Vec<(u32, u64)>,
    rows: usize,
    bytes: usize,
}

#[derive(Clone, Copy, Debug)]
enum Origin {
    Partition(usize),
    Code(usize),
}

/// A kept row: its number and its code.
pub type Numbered<'a> = (u64, &'a [u8]);

/// A row of a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Restored<'a> {
    /// Its partition.
    pub group: u32,
    /// Its number.
    pub number: u64,
    /// Its code.
    pub code: &'a [u8],
    /// The columns of its code, those of the order first.
    pub columns: &'a [ArrayRef],
    /// Its place in them.
    pub row: usize,
}

impl CodedRows {
    /// Returns no rows of schema `input`, in the partitions of some columns and ordered by `order`,
    /// then by the whole row.
    ///
    /// # Errors
    /// `Invalid` if a column has no order, or cannot be a key.
    pub fn new(partition: &[usize], order: &[SortKey], input: &SchemaRef) -> Result<CodedRows> {
        let width = input.fields().len();
        let columns = order.iter().map(|key| key.column).chain(partition.iter().copied());
        if let Some(column) = columns.into_iter().find(|column| *column >= width) {
            return Err(Error::internal(format!("an order of rows without column {column}")));
        }
        let kind = |column: &usize| input.field(*column).data_type().clone();
        let types: Vec<DataType> = partition.iter().map(kind).collect();
        let ordering = Ordering::without(&told(partition, order, input), order, input)?;
        let origin = |column| {
            let at = ordering.columns().iter().position(|known| *known == column);
            let told = || partition.iter().position(|known| *known == column);
            at.map(Origin::Code).or_else(|| told().map(Origin::Partition))
        };
        let origins: Option<Vec<Origin>> = (0..width).map(origin).collect();
        Ok(CodedRows {
            origins: origins.ok_or_else(|| Error::internal("a column has no place in a code"))?,
            state: state_schema(partition, ordering.columns(), input),
            ordering,
            schema: input.clone(),
            partitions: GroupTable::new(&types)?,
            partition: partition.to_vec(),
            sequence: 0,
            saved_to: 0,
            unsaved: GroupSet::default(),
            dropped: Vec::new(),
            rows: 0,
            bytes: 0,
        })
    }

    /// Returns the partition of each row, making new ones.
    ///
    /// # Errors
    /// As [`GroupTable::intern`].
    pub fn intern(&mut self, rows: &RecordBatch) -> Result<Vec<u32>> {
        let keys: Vec<ArrayRef> = self.partition.iter().map(|c| rows.column(*c).clone()).collect();
        self.intern_keys(&keys, rows.num_rows())
    }

    /// Returns the partition of each of `rows` keys.
    ///
    /// # Errors
    /// As [`GroupTable::intern`].
    pub fn intern_keys(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut groups = Vec::new();
        self.partitions.intern(keys, rows, &mut groups)?;
        Ok(groups)
    }

    /// Returns the columns of rows, from their partitions and codes.
    ///
    /// # Errors
    /// `Internal` if a code cannot be read.
    pub fn columns<'a>(
        &self,
        groups: &[u32],
        codes: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>> {
        let (keys, coded) = (self.partitions.keys(Groups::At(groups))?, self.decode(codes)?);
        let columns = self.origins.iter().map(|origin| match origin {
            Origin::Partition(at) => keys[*at].clone(),
            Origin::Code(at) => coded[*at].clone(),
        });
        Ok(columns.collect())
    }

    fn decode<'a>(&self, codes: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        self.ordering.decode(codes)
    }

    /// Counts a row that is kept from now on, and returns its number.
    pub fn keep(&mut self, group: u32, code: &[u8]) -> u64 {
        self.count(code);
        self.unsaved.insert(group);
        self.sequence += 1;
        self.sequence - 1
    }

    fn count(&mut self, code: &[u8]) {
        self.rows += 1;
        self.bytes += code.len() + ROW_BYTES;
    }

    /// Notes that a row is not kept any more.
    pub fn forget(&mut self, group: u32, (number, code): Numbered<'_>) {
        self.rows -= 1;
        self.bytes -= code.len() + ROW_BYTES;
        if number < self.saved_to {
            self.dropped.push((group, number));
        }
    }

    /// Returns the error of a row that is taken back and is not there.
    pub fn never_came(&self, group: u32, code: &[u8]) -> Error {
        let schema = self.schema.clone();
        let columns = self.columns(&[group], std::iter::once(code));
        columns
            .and_then(|columns| batch(&schema, columns, 1))
            .map_or_else(|error| error, |row| never_came(&row, 0))
    }

    /// Keeps some partitions, which get new numbers; nothing of the others is kept, and all is saved.
    ///
    /// # Errors
    /// As [`GroupTable::intern`].
    pub fn retain(&mut self, groups: &[u32]) -> Result<()> {
        let keys = self.partitions.keys(Groups::At(groups))?;
        let types: Vec<DataType> = keys.iter().map(|key| key.data_type().clone()).collect();
        (self.partitions, self.unsaved) = (GroupTable::new(&types)?, GroupSet::default());
        self.intern_keys(&keys, groups.len()).map(|_| ())
    }

    fn table(&self) -> TableSpec {
        let partition = self.partition.len();
        TableSpec { name: "rows", key: partition + 1, route: (0..partition).collect() }
    }

    /// Saves what changed since the last snapshot, or all; `kept` gives the rows of a partition.
    ///
    /// # Errors
    /// `Internal` if a code cannot be read.
    pub fn snapshot<'a, I: Iterator<Item = Numbered<'a>>>(
        &mut self,
        to: &mut StateWriter,
        kept: impl Fn(u32) -> I,
    ) -> Result<()> {
        let (dropped, unsaved) = (std::mem::take(&mut self.dropped), self.unsaved.take());
        if to.is_discarded() {
            return Ok(());
        }
        let (groups, from) = match to.is_full() {
            true => ((0..self.partitions.len() as u32).collect(), 0),
            false => (unsaved, self.saved_to),
        };
        if !to.is_full() && !dropped.is_empty() {
            self.delete(&dropped, to)?;
        }
        let rows = groups.into_iter().flat_map(|group| kept(group).map(move |row| (group, row)));
        let rows: Vec<_> = rows.filter(|(_, (number, _))| *number >= from).collect();
        for rows in rows.chunks(BATCH_ROWS) {
            let keys = rows.iter().map(|(group, (number, _))| (*group, *number));
            let mut columns = self.keys(keys)?;
            columns.extend(self.decode(rows.iter().map(|(_, (_, code))| *code))?);
            to.put(&self.table(), batch(&self.state, columns, rows.len())?)?;
        }
        self.saved_to = self.sequence;
        Ok(())
    }

    fn delete(&self, dropped: &[(u32, u64)], to: &mut StateWriter) -> Result<()> {
        let columns = self.keys(dropped.iter().copied())?;
        let schema = self.state.project(&(0..columns.len()).collect::<Vec<_>>())?;
        to.delete(&self.table(), batch(&Arc::new(schema), columns, dropped.len())?)
    }

    /// Returns the key columns of rows of state: partitions and numbers.
    fn keys(&self, rows: impl Iterator<Item = (u32, u64)>) -> Result<Vec<ArrayRef>> {
        let (groups, numbers): (Vec<u32>, Vec<u64>) = rows.unzip();
        let mut columns = self.partitions.keys(Groups::At(&groups))?;
        columns.push(Arc::new(UInt64Array::from(numbers)));
        Ok(columns)
    }

    /// Hands the rows of a snapshot to `keep`.
    ///
    /// # Errors
    /// `State` if they are rows of another operator, and whatever `keep` refuses.
    pub fn restore(
        &mut self,
        from: &StateReader,
        mut keep: impl FnMut(Restored<'_>) -> Result<()>,
    ) -> Result<()> {
        let partition = self.partition.len();
        for rows in from.table("rows")? {
            check_state(&rows, &self.state)?;
            let groups = self.intern_keys(&rows.columns()[..partition], rows.num_rows())?;
            let numbers = rows.column(partition).as_primitive::<UInt64Type>();
            let columns = &rows.columns()[partition + 1..];
            let codes = self.ordering.encode(columns)?;
            for (row, (group, number)) in groups.into_iter().zip(numbers.values()).enumerate() {
                let code = codes.row(row).data();
                self.sequence = self.sequence.max(number + 1);
                self.count(code);
                keep(Restored { group, number: *number, code, columns, row })?;
            }
        }
        self.saved_to = self.sequence;
        Ok(())
    }

    /// Returns about how many bytes and rows there are.
    pub fn size(&self) -> (usize, usize) {
        (self.partitions.bytes() + self.unsaved.bytes() + self.bytes, self.rows)
    }
}

/// Returns the columns that the key of a partition tells to the last bit, so that a code needs not
/// hold them: not numbers of which there are several zeros, nor what is made of them.
fn told(partition: &[usize], order: &[SortKey], input: &SchemaRef) -> Vec<usize> {
    let is_exact = |column: &usize| {
        let kind = input.field(*column).data_type();
        !(kind.is_floating() || kind.is_nested())
    };
    let told: Vec<usize> = partition.iter().copied().filter(is_exact).collect();
    // Something must be left that has a code.
    let is_all = order.is_empty() && (0..input.fields().len()).all(|c| told.contains(&c));
    if is_all { Vec::new() } else { told }
}

/// Returns the schema of rows of state.
fn state_schema(partition: &[usize], code: &[usize], input: &SchemaRef) -> SchemaRef {
    let field = |column: &usize| input.field(*column).clone();
    let partition = partition.iter().enumerate();
    let partition = partition.map(|(n, c)| field(c).with_name(format!("__partition_{n}")));
    let number = Field::new("__sequence", DataType::UInt64, false);
    let fields = partition.chain([number]).chain(code.iter().map(field));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
