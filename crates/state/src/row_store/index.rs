//! Finds rows by their values.

use hashbrown::HashTable;
use thalweg_types::hash;

use super::RowStore;
use super::layout::Encoded;

/// The slots of some rows of a store, found by the rows' values; equal rows may be in it.
#[derive(Debug, Default)]
pub struct RowIndex {
    slots: HashTable<u32>,
}

impl RowIndex {
    /// Adds the row in `slot` of `rows`.
    pub fn insert(&mut self, rows: &RowStore, slot: u32) {
        let hash = hash_of(rows.row(slot));
        self.slots.insert_unique(hash, slot, |slot| hash_of(rows.row(*slot)));
    }

    /// Removes the row in `slot` of `rows`, if it is there.
    pub fn remove(&mut self, rows: &RowStore, slot: u32) {
        let hash = hash_of(rows.row(slot));
        if let Ok(entry) = self.slots.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
    }

    /// Returns the slot of a row of `rows` that equals row `row` of `wanted`.
    pub fn find(&self, rows: &RowStore, wanted: &Encoded, row: usize) -> Option<u32> {
        let wanted = wanted.row(row);
        self.slots.find(hash_of(wanted), |slot| rows.row(*slot) == wanted).copied()
    }

    /// Returns how many bytes the index takes.
    pub fn bytes(&self) -> usize {
        self.slots.allocation_size()
    }
}

impl Encoded {
    /// Returns for each row the first one that equals it, which may be itself.
    pub fn first_equal(&self) -> Vec<u32> {
        let mut known: HashTable<u32> = HashTable::with_capacity(self.len());
        let hash = |row: &u32| hash_of(self.row(*row as usize));
        let first = (0..self.len() as u32).map(|row| {
            let is_same = |other: &u32| self.row(*other as usize) == self.row(row as usize);
            match known.find(hash(&row), is_same) {
                Some(first) => *first,
                None => {
                    known.insert_unique(hash(&row), row, hash);
                    row
                }
            }
        });
        first.collect()
    }
}

fn hash_of((fixed, variable): (&[u8], &[u8])) -> u64 {
    let hash = hash::hash_bytes(fixed);
    if variable.is_empty() { hash } else { hash.rotate_left(23) ^ hash::hash_bytes(variable) }
}
