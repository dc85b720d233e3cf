//! What came to a step, by key: each row with the rounds in which it came and went.
//!
//! Epochs are not kept. A loop is in one epoch at a time, so all that is here is of that epoch or of
//! earlier ones, and counts in it; only the rounds still tell when. What came and went in the same
//! rounds, in whatever epochs, is gone from here.
//!
//! Stored format: a table of the row's columns, the three rounds, and the weight behind them. Rows and
//! rounds are its key.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, UInt32Type};
use thalweg_plan::loops::DEPTH_MAX;
use thalweg_state::{StateReader, StateWriter, TableSpec};
use thalweg_types::{Error, Result};

use super::codes::{Code, Codec};
use super::time::Rounds;
use crate::operators::batches::{BATCH_ROWS, batch, check_state};

/// A row that came, or went, in some rounds.
#[derive(Debug)]
pub struct Entry {
    /// The row, without its key where the history says so.
    pub row: Code,
    /// When.
    pub rounds: Rounds,
    /// How often it came; below 0 if it went.
    pub weight: i64,
    /// The weight in the last snapshot.
    saved: i64,
}

/// Rows, and how many there are of each.
pub type Counted = Vec<(Code, i64)>;

/// The entries of a key: by row, then by rounds.
#[derive(Debug, Default)]
struct Kept {
    entries: Vec<Entry>,
    is_unsaved: bool,
}

/// How the rows of a history are made and read.
#[derive(Debug)]
pub struct Shape {
    /// The columns of rows.
    pub schema: SchemaRef,
    /// The columns of the key.
    pub keys: Vec<usize>,
    /// Makes codes of keys.
    pub key: Codec,
    /// Makes codes of what rows have beside their keys.
    pub row: Codec,
}

impl Shape {
    /// Returns the shape of rows with some columns as their key.
    ///
    /// # Errors
    /// `Invalid` if values of a type cannot be compared.
    pub fn new(schema: &SchemaRef, keys: &[usize]) -> Result<Shape> {
        let others = (0..schema.fields().len()).filter(|column| !keys.contains(column)).collect();
        Ok(Shape {
            key: Codec::new(schema, keys.to_vec())?,
            row: Codec::new(schema, others)?,
            schema: schema.clone(),
            keys: keys.to_vec(),
        })
    }

    /// Returns the columns of rows, in their order, from keys and what stands beside them.
    ///
    /// # Errors
    /// `Internal` if these are no codes of these columns.
    pub fn columns<'a>(
        &self,
        codes: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
    ) -> Result<Vec<ArrayRef>> {
        let mut keys = self.key.decode(codes.clone().map(|(key, _)| key))?.into_iter();
        let mut others = self.row.decode(codes.map(|(_, row)| row))?.into_iter();
        let mut columns = vec![None; self.schema.fields().len()];
        for key in &self.keys {
            columns[*key] = keys.next();
        }
        let columns = columns.into_iter().map(|column| column.or_else(|| others.next()));
        let columns: Option<Vec<ArrayRef>> = columns.collect();
        columns.ok_or_else(|| Error::internal("a code of a row has too few columns"))
    }
}

/// The rows of a step's input or output.
#[derive(Debug)]
pub struct History {
    /// How rows are made and read.
    pub shape: Shape,
    table: TableSpec<String>,
    state: SchemaRef,
    keys: HashMap<Code, Kept>,
    unsaved: Vec<Code>,
    entries: usize,
    bytes: usize,
}

/// Bytes that an entry and a key take beside their codes, about.
const ENTRY_BYTES: usize = size_of::<Entry>();
const KEY_BYTES: usize = size_of::<(Code, Kept)>() + 8;

impl History {
    /// Returns a history without rows, to be saved under `name`.
    ///
    /// # Errors
    /// `Invalid` if values of a type cannot be compared.
    pub fn new(name: String, schema: &SchemaRef, keys: &[usize]) -> Result<History> {
        let width = schema.fields().len();
        let rounds = (0..DEPTH_MAX)
            .map(|level| Field::new(format!("round{level}"), DataType::UInt32, false));
        let fields = schema.fields().iter().map(|field| field.as_ref().clone());
        let weight = Field::new("weight", DataType::Int64, false);
        let fields: Vec<Field> = fields.chain(rounds).chain([weight]).collect();
        Ok(History {
            shape: Shape::new(schema, keys)?,
            table: TableSpec { name, key: width + DEPTH_MAX, route: keys.to_vec() },
            state: Arc::new(Schema::new(fields)),
            keys: HashMap::new(),
            unsaved: Vec::new(),
            entries: 0,
            bytes: 0,
        })
    }

    /// Returns the entries of a key, by row and then by rounds; some of them may weigh nothing.
    pub fn of(&self, key: &[u8]) -> &[Entry] {
        self.keys.get(key).map_or(&[], |kept| &kept.entries)
    }

    /// Adds what came in some rounds.
    ///
    /// Cost: a search for each row that is there already, and one pass over the entries of the key if
    /// any is new.
    ///
    /// # Errors
    /// `Data` if there is more of a row than can be counted.
    pub fn add(&mut self, key: &Code, rounds: Rounds, rows: Counted) -> Result<()> {
        if !self.keys.contains_key(key) {
            self.keys.insert(key.clone(), Kept::default());
            self.bytes += key.len() + KEY_BYTES;
        }
        let kept = self.keys.get_mut(key).expect("it was put there if it was missing");
        let known = kept.entries.len();
        let mut is_empty = false;
        for (row, weight) in rows {
            let place = kept.entries[..known]
                .binary_search_by(|entry| (&entry.row, entry.rounds).cmp(&(&row, rounds)));
            match place {
                Ok(at) => {
                    let entry = &mut kept.entries[at];
                    entry.weight = sum(entry.weight, weight)?;
                    is_empty |= entry.weight == 0 && entry.saved == 0;
                }
                Err(_) => {
                    self.bytes += row.len() + ENTRY_BYTES;
                    kept.entries.push(Entry { row, rounds, weight, saved: 0 });
                }
            }
        }
        self.entries += kept.entries.len() - known;
        if kept.entries.len() > known {
            kept.entries.sort_by(|a, b| (&a.row, a.rounds).cmp(&(&b.row, b.rounds)));
        }
        if !std::mem::replace(&mut kept.is_unsaved, true) {
            self.unsaved.push(key.clone());
        }
        if is_empty {
            self.forget(key);
        }
        Ok(())
    }

    /// Forgets the entries of a key that weigh nothing and are not saved, and the key without any.
    fn forget(&mut self, key: &Code) {
        let Some(kept) = self.keys.get_mut(key) else { return };
        let (entries, bytes) = (&mut self.entries, &mut self.bytes);
        kept.entries.retain(|entry| {
            let is_kept = entry.weight != 0 || entry.saved != 0;
            if !is_kept {
                *entries -= 1;
                *bytes -= entry.row.len() + ENTRY_BYTES;
            }
            is_kept
        });
        if kept.entries.is_empty() && !kept.is_unsaved {
            self.bytes -= key.len() + KEY_BYTES;
            self.keys.remove(key);
        }
    }

    /// Returns about how many bytes and how many rows there are.
    pub fn size(&self) -> (usize, usize) {
        (self.bytes, self.entries)
    }

    /// Hands over what changed since the last snapshot, or everything.
    ///
    /// # Errors
    /// `Internal` if rows cannot be decoded.
    pub fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let mut unsaved = std::mem::take(&mut self.unsaved);
        let keys: Vec<&Code> = match to.is_full() {
            true => self.keys.keys().collect(),
            false => unsaved.iter().collect(),
        };
        let (mut put, mut gone) = (Vec::new(), Vec::new());
        for key in keys.into_iter().filter(|_| !to.is_discarded()) {
            for entry in self.of(key) {
                match entry.weight {
                    0 if entry.saved != 0 => gone.push((key, entry)),
                    weight if weight != 0 && (to.is_full() || weight != entry.saved) => {
                        put.push((key, entry));
                    }
                    _ => {}
                }
            }
        }
        for rows in put.chunks(BATCH_ROWS) {
            to.put(&self.table, self.stored(rows)?)?;
        }
        let gone = if to.is_full() { &[] } else { gone.as_slice() };
        for rows in gone.chunks(BATCH_ROWS) {
            let rows = self.stored(rows)?;
            let keys: Vec<usize> = (0..self.table.key).collect();
            to.delete(&self.table, rows.project(&keys)?)?;
        }
        for key in unsaved.drain(..) {
            if let Some(kept) = self.keys.get_mut(&key) {
                kept.is_unsaved = false;
                kept.entries.iter_mut().for_each(|entry| entry.saved = entry.weight);
            }
            self.forget(&key);
        }
        Ok(())
    }

    fn stored(&self, rows: &[(&Code, &Entry)]) -> Result<RecordBatch> {
        let codes = rows.iter().map(|(key, entry)| (key.as_ref(), entry.row.as_ref()));
        let mut columns = self.shape.columns(codes)?;
        for level in 0..DEPTH_MAX {
            let rounds = rows.iter().map(|(_, entry)| entry.rounds.0[level]);
            columns.push(Arc::new(UInt32Array::from_iter_values(rounds)));
        }
        let weights = rows.iter().map(|(_, entry)| entry.weight);
        columns.push(Arc::new(Int64Array::from_iter_values(weights)));
        batch(&self.state, columns, rows.len())
    }

    /// Takes back what snapshots have.
    ///
    /// # Errors
    /// `State` if they have other columns.
    pub fn restore(&mut self, from: &StateReader) -> Result<()> {
        for rows in from.table(&self.table.name)? {
            check_state(&rows, &self.state)?;
            let (keys, codes) = (self.shape.key.encode(&rows)?, self.shape.row.encode(&rows)?);
            let round = |level: usize| {
                rows.column(self.table.key - DEPTH_MAX + level).as_primitive::<UInt32Type>()
            };
            let weights = rows.column(self.table.key).as_primitive::<Int64Type>();
            for (at, (key, row)) in keys.into_iter().zip(codes).enumerate() {
                let rounds = Rounds(std::array::from_fn(|level| round(level).value(at)));
                self.bytes += row.len() + ENTRY_BYTES;
                self.entries += 1;
                let weight = weights.value(at);
                let kept = self.keys.entry(key).or_default();
                kept.entries.push(Entry { row, rounds, weight, saved: weight });
            }
        }
        for (key, kept) in &mut self.keys {
            self.bytes += key.len() + KEY_BYTES;
            kept.entries.sort_by(|a, b| (&a.row, a.rounds).cmp(&(&b.row, b.rounds)));
        }
        Ok(())
    }
}

/// Returns the rows of entries and how many there are of each in some rounds, those of which there are
/// none left out.
pub fn within<'a>(
    entries: &'a [Entry],
    rounds: &'a Rounds,
) -> impl DoubleEndedIterator<Item = (&'a Code, i64)> {
    entries.chunk_by(|a, b| a.row == b.row).filter_map(|same| {
        let there = same.iter().filter(|entry| entry.rounds.is_within(rounds));
        let weight = there.fold(0, |sum: i64, entry| sum.saturating_add(entry.weight));
        (weight != 0).then_some((&same[0].row, weight))
    })
}

/// Nets what came of rows: each row once, in order, none that came as often as it went.
///
/// # Errors
/// `Data` if there is more of a row than can be counted.
pub fn netted(mut rows: Counted) -> Result<Counted> {
    rows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    let mut netted = Counted::with_capacity(rows.len());
    for (row, weight) in rows {
        match netted.last_mut() {
            Some(last) if last.0 == row => last.1 = sum(last.1, weight)?,
            _ => netted.push((row, weight)),
        }
    }
    netted.retain(|(_, weight)| *weight != 0);
    Ok(netted)
}

/// Adds two weights.
///
/// # Errors
/// `Data` if the sum cannot be counted.
pub fn sum(a: i64, b: i64) -> Result<i64> {
    a.checked_add(b).ok_or_else(too_many)
}

/// Returns the error of a row that there is too often.
pub fn too_many() -> Error {
    Error::data("a loop makes more equal rows than can be counted")
        .remedy("keep one of equal rows in it, by UNION or distinct(), so that it comes to an end")
}

#[cfg(test)]
mod tests;
