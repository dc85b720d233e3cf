//! Rows that wait for the close of their epoch, and those of them that may be among the first.
//!
//! Most rows are told apart by their sort keys alone, so only what is left is coded whole.
//!
//! Invariants: rows are left out only if as many others of the epoch go before them as there are
//! ranks; what is left comes in the order of partitions, then of codes.

use std::cmp::Ordering;

use arrow::array::UInt32Array;
use arrow::row::Rows;
use thalweg_types::{Change, Result};

use super::ranks::Ranks;
use crate::operators::ordering::Ordering as RowOrdering;

/// Rows of a batch.
pub(super) struct Arrived {
    pub(super) change: Change,
    /// The partition of each.
    pub(super) groups: Vec<u32>,
    /// The sort keys of each, where rows may be left out by them.
    pub(super) keys: Option<Rows>,
}

impl Arrived {
    /// Returns the sort key of a row; of all rows the same if none can be left out.
    fn key(&self, row: u32) -> &[u8] {
        self.keys.as_ref().map_or(&[], |keys| keys.row(row as usize).data())
    }
}

/// A row: its partition, what its sort key begins with, and where it is.
#[derive(Clone, Copy, Debug)]
struct Place {
    group: u32,
    /// Decides most comparisons.
    prefix: u128,
    batch: u32,
    row: u32,
}

/// A row, its partition and its weight.
pub(super) type Weighted<'a> = (u32, &'a [u8], i64);

/// The codes of rows.
pub(super) struct Codes {
    /// By batch.
    codes: Vec<Rows>,
    /// The partition, batch, place in it, and weight of each row.
    rows: Vec<(u32, u32, u32, i64)>,
}

impl Codes {
    /// Codes the rows of an epoch that may be among the first; all of them if `ranks` is `None`.
    ///
    /// # Errors
    /// `Internal` if a batch is of another schema.
    pub(super) fn new(
        arrived: &[Arrived],
        ranks: Option<&Ranks>,
        ordering: &RowOrdering,
    ) -> Result<Codes> {
        let mut places = in_order(arrived);
        if let Some(ranks) = ranks {
            leave_out(&mut places, arrived, ranks);
        }
        let mut taken: Vec<Vec<u32>> = vec![Vec::new(); arrived.len()];
        let rows = places.iter().map(|place| {
            let (batch, taken) = (&arrived[place.batch as usize], &mut taken[place.batch as usize]);
            taken.push(place.row);
            (
                place.group,
                place.batch,
                taken.len() as u32 - 1,
                batch.change.weight(place.row as usize),
            )
        });
        let rows = rows.collect();
        let codes = arrived.iter().zip(taken).map(|(batch, taken)| {
            ordering.rows(&batch.change.take(&UInt32Array::from(taken))?.rows)
        });
        Ok(Codes { codes: codes.collect::<Result<_>>()?, rows })
    }

    /// Returns the rows in the order of their partitions and codes.
    pub(super) fn in_order(&self) -> Vec<Weighted<'_>> {
        let rows = self.rows.iter().map(|(group, batch, row, weight)| {
            (*group, self.codes[*batch as usize].row(*row as usize).data(), *weight)
        });
        let mut rows: Vec<Weighted<'_>> = rows.collect();
        // Stable, since that makes use of what is in order already.
        rows.sort_by(|left, right| (left.0, left.1).cmp(&(right.0, right.1)));
        rows
    }
}

/// Returns the rows in the order of their partitions and sort keys.
fn in_order(arrived: &[Arrived]) -> Vec<Place> {
    let rows = arrived.iter().map(|batch| batch.groups.len()).sum();
    let mut places = Vec::with_capacity(rows);
    for (number, batch) in arrived.iter().enumerate() {
        places.extend(batch.groups.iter().enumerate().map(|(row, group)| Place {
            group: *group,
            prefix: prefix(batch.key(row as u32)),
            batch: number as u32,
            row: row as u32,
        }));
    }
    // Numbers are sorted much faster than places, and most partitions have few rows.
    let mut order: Vec<u64> = (0..).zip(&places).map(|(at, place)| numbered(place, at)).collect();
    order.sort_unstable();
    let mut places: Vec<Place> = order.iter().map(|at| places[*at as u32 as usize]).collect();
    for own in places.chunk_by_mut(|left, right| left.group == right.group) {
        own.sort_unstable_by(|left, right| {
            left.prefix.cmp(&right.prefix).then_with(|| compare_keys(left, right, arrived))
        });
    }
    places
}

/// Returns a number that orders places by partition, and says which one it is.
fn numbered(place: &Place, at: u32) -> u64 {
    u64::from(place.group) << 32 | u64::from(at)
}

fn compare_keys(left: &Place, right: &Place, arrived: &[Arrived]) -> Ordering {
    let key = |place: &Place| arrived[place.batch as usize].key(place.row);
    key(left).cmp(key(right))
}

/// Returns the first 16 bytes of a key as a number that compares as they do. As no key is the beginning of
/// another one, zeros may stand for what is not there.
fn prefix(key: &[u8]) -> u128 {
    let mut first = [0; size_of::<u128>()];
    let known = key.len().min(first.len());
    first[..known].copy_from_slice(&key[..known]);
    u128::from_be_bytes(first)
}

/// Leaves out rows that are not among the first even of their own epoch.
fn leave_out(places: &mut Vec<Place>, arrived: &[Arrived], ranks: &Ranks) {
    let (mut kept, mut reach) = (0, Reach::default());
    for at in 0..places.len() {
        let place = places[at];
        let last = (reach.rows > 0).then(|| places[kept - 1]).filter(|l| l.group == place.group);
        reach = match last {
            None => Reach { rows: 1, keys: 1 },
            Some(last) => {
                let is_tie = last.prefix == place.prefix
                    && compare_keys(&last, &place, arrived) == Ordering::Equal;
                if !is_tie && ranks.is_beyond(reach.rows, reach.keys) {
                    continue;
                }
                Reach { rows: reach.rows + 1, keys: reach.keys + usize::from(!is_tie) }
            }
        };
        places[kept] = place;
        kept += 1;
    }
    places.truncate(kept);
}

/// How many rows of a partition, and how many sort keys, are kept so far.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    rows: usize,
    keys: usize,
}
