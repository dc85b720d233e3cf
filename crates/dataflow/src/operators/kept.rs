//! The coded rows of one partition, in order.
//!
//! Invariants: rows are in the order of their codes, equal ones in that of their numbers; most
//! partitions are small, so one row needs no list, and a list becomes a tree only when it is long.

use std::collections::{BTreeSet, btree_set};
use std::ops::Bound;
use std::slice;

use super::coded_rows::Numbered;

/// Rows of a list at most; the insertion into one moves what is behind it.
const LIST_MAX: usize = 64;

/// A row by its code, and the number under which it is saved.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The code, which orders rows and holds all of their columns.
    pub code: Box<[u8]>,
    /// Its number, which tells equal rows apart.
    pub number: u64,
}

impl Entry {
    /// Returns the number and the code.
    pub fn numbered(&self) -> Numbered<'_> {
        (self.number, &self.code)
    }
}

/// The rows of one partition.
#[derive(Debug, Default)]
pub enum Kept {
    /// No row.
    #[default]
    None,
    /// One row.
    One(Entry),
    /// A few rows.
    List(Vec<Entry>),
    /// Many rows.
    Tree(BTreeSet<Entry>),
}

impl Kept {
    /// Returns how many rows there are.
    pub fn len(&self) -> usize {
        match self {
            Kept::None => 0,
            Kept::One(_) => 1,
            Kept::List(list) => list.len(),
            Kept::Tree(tree) => tree.len(),
        }
    }

    /// Is there no row?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the rows in order.
    pub fn iter(&self) -> Iter<'_> {
        match self {
            Kept::Tree(tree) => Iter::Tree(tree.iter()),
            few => Iter::List(few.list().iter()),
        }
    }

    /// Returns the last row.
    pub fn last(&self) -> Option<&Entry> {
        match self {
            Kept::None => None,
            Kept::One(entry) => Some(entry),
            Kept::List(list) => list.last(),
            Kept::Tree(tree) => tree.last(),
        }
    }

    /// Adds a row whose number is new.
    pub fn insert(&mut self, entry: Entry) {
        match self {
            Kept::None => *self = Kept::One(entry),
            Kept::One(_) => {
                let Kept::One(known) = std::mem::take(self) else { unreachable!("it is one") };
                let mut list = vec![known, entry];
                list.sort_unstable();
                *self = Kept::List(list);
            }
            Kept::List(list) if list.len() < LIST_MAX => {
                list.insert(list.partition_point(|known| *known < entry), entry);
            }
            Kept::List(list) => {
                let mut tree: BTreeSet<Entry> = std::mem::take(list).into_iter().collect();
                tree.insert(entry);
                *self = Kept::Tree(tree);
            }
            Kept::Tree(tree) => {
                tree.insert(entry);
            }
        }
    }

    /// Returns how many rows have this code.
    pub fn count(&self, code: &[u8]) -> usize {
        match self {
            Kept::Tree(tree) => {
                tree.range(least(code)..).take_while(|known| *known.code == *code).count()
            }
            few => few.iter().filter(|known| *known.code == *code).count(),
        }
    }

    /// Returns the rows from the code `start` on, and before `end` if there is one.
    pub fn range<'a>(
        &'a self,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> Box<dyn Iterator<Item = &'a Entry> + 'a> {
        match self {
            Kept::Tree(tree) => {
                let end = end.map_or(Bound::Unbounded, |end| Bound::Excluded(least(end)));
                Box::new(tree.range((Bound::Included(least(start)), end)))
            }
            few => {
                let rows = few.list();
                let place = |bound: &[u8]| rows.partition_point(|row| *row.code < *bound);
                let end = end.map_or(rows.len(), place);
                Box::new(rows[place(start).min(end)..end].iter())
            }
        }
    }

    /// Returns the rows before the code `end`, the last one first.
    pub fn before<'a>(&'a self, end: &[u8]) -> Box<dyn Iterator<Item = &'a Entry> + 'a> {
        match self {
            Kept::Tree(tree) => Box::new(tree.range(..least(end)).rev()),
            few => {
                let rows = few.list();
                Box::new(rows[..rows.partition_point(|row| *row.code < *end)].iter().rev())
            }
        }
    }

    /// Returns the rows as a list, unless they are many.
    fn list(&self) -> &[Entry] {
        match self {
            Kept::None | Kept::Tree(_) => &[],
            Kept::One(entry) => slice::from_ref(entry),
            Kept::List(list) => list,
        }
    }

    /// Takes out the last of the rows with this code, if there is one.
    pub fn remove(&mut self, code: &[u8]) -> Option<Entry> {
        match self {
            Kept::One(entry) if *entry.code == *code => self.pop(),
            Kept::None | Kept::One(_) => None,
            Kept::List(list) => {
                let end = list.partition_point(|known| *known.code <= *code);
                let at = end.checked_sub(1).filter(|at| *list[*at].code == *code)?;
                Some(list.remove(at))
            }
            Kept::Tree(tree) => {
                let last = Entry { code: code.into(), number: u64::MAX };
                let found = tree.range(..=last).next_back().filter(|known| *known.code == *code)?;
                let found = found.clone();
                tree.take(&found)
            }
        }
    }

    /// Takes out the last row.
    pub fn pop(&mut self) -> Option<Entry> {
        match self {
            Kept::None => None,
            Kept::One(_) => match std::mem::take(self) {
                Kept::One(entry) => Some(entry),
                _ => unreachable!("it is one"),
            },
            Kept::List(list) => list.pop(),
            Kept::Tree(tree) => tree.pop_last(),
        }
    }
}

/// Returns what comes before all rows with this code.
fn least(code: &[u8]) -> Entry {
    Entry { code: code.into(), number: 0 }
}

/// The rows of a partition, in order.
#[derive(Debug)]
pub enum Iter<'a> {
    /// Of one or a few.
    List(slice::Iter<'a, Entry>),
    /// Of many.
    Tree(btree_set::Iter<'a, Entry>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a Entry;

    fn next(&mut self) -> Option<&'a Entry> {
        match self {
            Iter::List(list) => list.next(),
            Iter::Tree(tree) => tree.next(),
        }
    }
}
