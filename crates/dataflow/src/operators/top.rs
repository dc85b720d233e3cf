//! The first rows of each partition, at any time.
//!
//! Invariants: what is sent at the close of an epoch turns the first rows before it into those
//! after it, each change once; which rows are first does not depend on the order of arrival, since
//! ties are broken by the whole row. Of an input that takes nothing back no row is kept that
//! cannot be among the first any more, and most of those are seen by their sort keys alone.
//!
//! Rows are kept as codes (see [`super::ordering`]): bytes that compare as the rows do and hold
//! all of their columns, but for those that the key of the partition holds.

mod kept;
mod ranks;
mod sending;

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array, UInt64Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use arrow::row::Rows;
use thalweg_plan::node::TopNode;
use thalweg_state::{GroupTable, StateReader, StateWriter, TableSpec};
use thalweg_types::{Change, Error, Groups, Moment, Result};

use super::batches::{BATCH_ROWS, batch, check_state};
use super::group_set::GroupSet;
use super::ordering::Ordering;
use crate::operator::{Close, Operator, Output, Step};

use kept::{Entry, Kept};
use ranks::{Changed, Net, Ranks};
use sending::Sending;

/// Bytes that a row takes beside its code, about.
const ENTRY_BYTES: usize = size_of::<Entry>() + 16;

/// Keeps the first rows of each partition, or all that may become first.
pub struct Top {
    node: TopNode,
    ranks: Ranks,
    ordering: Ordering,
    /// The partition, the number of a row, then the columns of its code.
    state: SchemaRef,
    partitions: GroupTable,
    /// The rows of each partition.
    kept: Vec<Kept>,
    /// Rows that came in the open epoch.
    arrived: Vec<Arrived>,
    sending: Sending,
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

/// Rows of a batch that may change what is first.
struct Arrived {
    codes: Rows,
    /// In order of their partitions and codes.
    rows: Vec<Place>,
}

/// A row of a batch.
struct Place {
    group: u32,
    row: u32,
    weight: i64,
}

impl Top {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a column has no order.
    pub fn new(node: TopNode, input: &SchemaRef, output: SchemaRef) -> Result<Top> {
        let width = input.fields().len();
        let columns = node.order.iter().map(|key| key.column).chain(node.partition.iter().copied());
        if let Some(column) = columns.into_iter().find(|column| *column >= width) {
            return Err(Error::internal(format!(
                "first rows by column {column}, which is missing"
            )));
        }
        let kind = |column: &usize| input.field(*column).data_type().clone();
        let types: Vec<DataType> = node.partition.iter().map(kind).collect();
        let ordering = Ordering::without(&told(&node, input), &node.order, input)?;
        let state = state_schema(&node, ordering.columns(), input);
        Ok(Top {
            ranks: Ranks::new(&node),
            sending: Sending::new(&node, ordering.columns(), output),
            node,
            ordering,
            state,
            partitions: GroupTable::new(&types)?,
            kept: Vec::new(),
            arrived: Vec::new(),
            sequence: 0,
            saved_to: 0,
            unsaved: GroupSet::default(),
            dropped: Vec::new(),
            rows: 0,
            bytes: 0,
        })
    }

    /// Returns the partition of each row.
    fn intern(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut groups = Vec::new();
        self.partitions.intern(keys, rows, &mut groups)?;
        self.kept.resize_with(self.partitions.len(), Kept::default);
        Ok(groups)
    }

    /// Returns the rows of a batch that their sort keys do not rule out.
    fn admit(&self, rows: &RecordBatch, groups: &[u32]) -> Result<Vec<u32>> {
        let all = 0..groups.len() as u32;
        let Some(keys) = self.ordering.keys(rows)?.filter(|_| !self.node.is_retracted) else {
            return Ok(all.collect());
        };
        let may_count = |row: &u32| {
            let kept = &self.kept[groups[*row as usize] as usize];
            if !self.ranks.is_full(kept.len()) {
                return true;
            }
            let key = keys.row(*row as usize).data();
            kept.last().is_none_or(|last| key <= &last.code[..key.len().min(last.code.len())])
        };
        Ok(all.filter(may_count).collect())
    }

    /// Puts the rows that came into the order of their partitions and codes.
    fn arrive(&mut self, change: &Change, groups: &[u32]) -> Result<()> {
        let admitted = self.admit(&change.rows, groups)?;
        if admitted.is_empty() {
            return Ok(());
        }
        let codes = match admitted.len() == change.len() {
            true => self.ordering.rows(&change.rows)?,
            false => {
                let taken = UInt32Array::from(admitted.clone());
                self.ordering.rows(&take_record_batch(&change.rows, &taken)?)?
            }
        };
        let places = admitted.iter().enumerate().map(|(row, from)| Place {
            group: groups[*from as usize],
            row: row as u32,
            weight: change.weight(*from as usize),
        });
        let mut rows: Vec<Place> = places.collect();
        let code = |place: &Place| codes.row(place.row as usize).data();
        rows.sort_unstable_by(|left, right| {
            left.group.cmp(&right.group).then_with(|| code(left).cmp(code(right)))
        });
        if !self.node.is_retracted {
            rows = self.first_of(rows, &codes)?;
        }
        self.arrived.push(Arrived { codes, rows });
        Ok(())
    }

    /// Drops rows that are not among the first even of their own batch.
    fn first_of(&self, rows: Vec<Place>, codes: &Rows) -> Result<Vec<Place>> {
        let code = |place: &Place| codes.row(place.row as usize).data();
        let mut first = Vec::with_capacity(rows.len());
        let mut rows = rows.into_iter().peekable();
        while let Some(group) = rows.peek().map(|place| place.group) {
            let start = first.len();
            while let Some(place) = rows.next_if(|place| place.group == group) {
                first.push(place);
            }
            let reach = self.ranks.reach(first[start..].iter().map(code), &self.ordering)?;
            first.truncate(start + reach);
        }
        Ok(first)
    }

    /// Lets what arrived in the epoch change the partitions, and notes what is to be sent.
    fn settle(&mut self) -> Result<()> {
        let arrived = std::mem::take(&mut self.arrived);
        let rows = arrived.iter().flat_map(|batch| {
            let code = |place: &Place| batch.codes.row(place.row as usize).data();
            batch.rows.iter().map(move |place| (place.group, code(place), place.weight))
        });
        let mut rows: Vec<(u32, &[u8], i64)> = rows.collect();
        // Stable, since that makes use of what is in order already.
        rows.sort_by(|left, right| (left.0, left.1).cmp(&(right.0, right.1)));
        for own in rows.chunk_by(|left, right| left.0 == right.0) {
            let equal = own.chunk_by(|left, right| left.1 == right.1);
            let nets = equal.map(|equal| {
                let weight = equal.iter().map(|(_, _, weight)| weight).sum();
                Net { code: equal[0].1, weight }
            });
            let nets: Vec<Net<'_>> = nets.filter(|net| net.weight != 0).collect();
            self.change(own[0].0, &nets)?;
        }
        Ok(())
    }

    /// Changes a partition.
    fn change(&mut self, group: u32, nets: &[Net<'_>]) -> Result<()> {
        if nets.is_empty() {
            return Ok(());
        }
        let (kept, ordering) = (&self.kept[group as usize], &self.ordering);
        let before = self.ranks.ranked(kept.iter().map(|entry| &*entry.code), ordering)?;
        let after = self.ranks.ranked(Changed::new(kept.iter(), nets), ordering)?;
        let sending = &mut self.sending;
        self.ranks.differ(&before, &after, |row, weight| sending.add(group, row, weight));
        for net in nets {
            for _ in 0..net.weight {
                self.insert(group, net.code);
            }
            for _ in net.weight..0 {
                let gone = self.kept[group as usize].remove(net.code);
                let gone =
                    gone.ok_or_else(|| Error::internal("a row was taken back that was not there"))?;
                self.forget(group, &gone);
            }
        }
        if !self.node.is_retracted {
            self.cut(group)?;
        }
        self.unsaved.insert(group);
        Ok(())
    }

    fn insert(&mut self, group: u32, code: &[u8]) {
        let entry = Entry { code: code.into(), number: self.sequence };
        self.sequence += 1;
        self.keep(group, entry);
    }

    fn keep(&mut self, group: u32, entry: Entry) {
        self.rows += 1;
        self.bytes += entry.code.len() + ENTRY_BYTES;
        self.kept[group as usize].insert(entry);
    }

    /// Drops the rows of a partition that cannot be among the first any more.
    fn cut(&mut self, group: u32) -> Result<()> {
        let kept = &self.kept[group as usize];
        if kept.len() <= self.ranks.last() {
            return Ok(());
        }
        let codes = kept.iter().map(|entry| &*entry.code);
        let reach = self.ranks.reach(codes, &self.ordering)?;
        while self.kept[group as usize].len() > reach {
            if let Some(gone) = self.kept[group as usize].pop() {
                self.forget(group, &gone);
            }
        }
        Ok(())
    }

    /// Notes that a row is not kept any more.
    fn forget(&mut self, group: u32, gone: &Entry) {
        self.rows -= 1;
        self.bytes -= gone.code.len() + ENTRY_BYTES;
        if gone.number < self.saved_to {
            self.dropped.push((group, gone.number));
        }
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        self.sending.send(&self.partitions, &self.ordering, out)
    }

    fn table(&self) -> TableSpec {
        let partition = self.node.partition.len();
        TableSpec { name: "rows", key: partition + 1, route: (0..partition).collect() }
    }

    /// Returns the key columns of some rows of state: their partitions and numbers.
    fn state_keys(&self, groups: &[u32], numbers: Vec<u64>) -> Result<Vec<ArrayRef>> {
        let mut columns = self.partitions.keys(Groups::At(groups))?;
        columns.push(Arc::new(UInt64Array::from(numbers)));
        Ok(columns)
    }

    /// Saves the rows of some partitions with numbers from `from` on.
    fn save(
        &self,
        groups: impl Iterator<Item = u32>,
        from: u64,
        to: &mut StateWriter,
    ) -> Result<()> {
        let entries = groups.flat_map(|group| {
            let entries = self.kept[group as usize].iter();
            entries.filter(|entry| entry.number >= from).map(move |entry| (group, entry))
        });
        let entries: Vec<(u32, &Entry)> = entries.collect();
        for entries in entries.chunks(BATCH_ROWS) {
            let groups: Vec<u32> = entries.iter().map(|(group, _)| *group).collect();
            let numbers = entries.iter().map(|(_, entry)| entry.number).collect();
            let mut columns = self.state_keys(&groups, numbers)?;
            columns.extend(self.ordering.decode(entries.iter().map(|(_, entry)| &*entry.code))?);
            to.put(&self.table(), batch(&self.state, columns, entries.len())?)?;
        }
        Ok(())
    }

    /// Deletes the rows that were dropped.
    fn delete(&self, dropped: &[(u32, u64)], to: &mut StateWriter) -> Result<()> {
        let keys = self.node.partition.len() + 1;
        let schema: SchemaRef = Arc::new(self.state.project(&(0..keys).collect::<Vec<_>>())?);
        let (groups, numbers): (Vec<u32>, Vec<u64>) = dropped.iter().copied().unzip();
        let columns = self.state_keys(&groups, numbers)?;
        to.delete(&self.table(), batch(&schema, columns, dropped.len())?)
    }
}

impl Operator for Top {
    fn batch(&mut self, _: usize, change: Change, _: &mut Output) -> Result<Step> {
        let keys = self.node.partition.iter().map(|column| change.rows.column(*column).clone());
        let keys: Vec<ArrayRef> = keys.collect();
        let groups = self.intern(&keys, change.len())?;
        self.arrive(&change, &groups)?;
        Ok(Step::Done)
    }

    fn close(&mut self, _: &Close, out: &mut Output) -> Result<Step> {
        self.settle()?;
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let (dropped, unsaved) = (std::mem::take(&mut self.dropped), self.unsaved.take());
        if to.is_full() {
            self.save(0..self.kept.len() as u32, 0, to)?;
        } else {
            if !dropped.is_empty() {
                self.delete(&dropped, to)?;
            }
            self.save(unsaved.into_iter(), self.saved_to, to)?;
        }
        self.saved_to = self.sequence;
        Ok(())
    }

    fn restore(&mut self, from: &StateReader, _: &Moment) -> Result<()> {
        let partition = self.node.partition.len();
        for rows in from.table("rows")? {
            check_state(&rows, &self.state)?;
            let groups = self.intern(&rows.columns()[..partition], rows.num_rows())?;
            let numbers = rows.column(partition).as_primitive::<UInt64Type>().clone();
            let codes = self.ordering.encode(&rows.columns()[partition + 1..])?;
            for (row, group) in groups.into_iter().enumerate() {
                let number = numbers.value(row);
                self.sequence = self.sequence.max(number + 1);
                self.keep(group, Entry { code: codes.row(row).data().into(), number });
            }
        }
        self.saved_to = self.sequence;
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let partitions = self.partitions.bytes() + self.kept.capacity() * size_of::<Kept>();
        (partitions + self.bytes + self.unsaved.bytes(), self.rows)
    }
}

/// Returns the columns of a row that the key of its partition tells to the last bit: not numbers of
/// which there are several zeros, nor what is made of them, nor what the order needs.
fn told(node: &TopNode, input: &SchemaRef) -> Vec<usize> {
    let is_exact = |column: &usize| {
        let kind = input.field(*column).data_type();
        !(kind.is_floating() || kind.is_nested())
    };
    let told: Vec<usize> = node.partition.iter().copied().filter(is_exact).collect();
    // Something must be left that has a code.
    let is_all = node.order.is_empty() && (0..input.fields().len()).all(|c| told.contains(&c));
    if is_all { Vec::new() } else { told }
}

/// Returns the schema of rows of state.
fn state_schema(node: &TopNode, code: &[usize], input: &SchemaRef) -> SchemaRef {
    let field = |column: &usize| input.field(*column).clone();
    let partition = node.partition.iter().enumerate();
    let partition = partition.map(|(n, c)| field(c).with_name(format!("__partition_{n}")));
    let number = Field::new("__sequence", DataType::UInt64, false);
    let fields = partition.chain([number]).chain(code.iter().map(field));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests;
