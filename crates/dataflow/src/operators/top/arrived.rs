//! Rows that wait for the close of their epoch, and those of them that may be among the first.
//!
//! Most rows are told apart by their sort keys alone, so only what is left is coded whole.
//!
//! Invariants: rows are left out only if as many others of the epoch go before them as there are
//! ranks; what is left comes in the order of partitions, then of codes.

use std::cmp::Ordering;

use arrow::array::RecordBatch;
use arrow::compute::interleave_record_batch;
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
    fn key(&self, row: usize) -> &[u8] {
        self.keys.as_ref().map_or(&[], |keys| keys.row(row).data())
    }
}

/// A row: its partition, what its sort key begins with, and where it is.
#[derive(Clone, Copy, Debug)]
struct Place {
    group: u32,
    /// Decides most comparisons; 0 of a row that is alone in its partition.
    prefix: u128,
    batch: u32,
    row: u32,
}

/// A row that came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Came<'a> {
    /// Its partition.
    pub(super) group: u32,
    /// Its code.
    pub(super) code: &'a [u8],
    pub(super) weight: i64,
    /// Its place in [`Coded::rows`].
    pub(super) at: u32,
}

/// Rows with their codes.
pub(super) struct Coded {
    /// The rows, in the order of their partitions.
    pub(super) rows: RecordBatch,
    codes: Rows,
    /// The partition and weight of each.
    told: Vec<(u32, i64)>,
}

impl Coded {
    /// Codes the rows of an epoch that may be among the first; all of them if `ranks` is `None`, and none
    /// if none arrived.
    ///
    /// # Errors
    /// `Internal` if a batch is of another schema.
    pub(super) fn new(
        arrived: &[Arrived],
        ranks: Option<&Ranks>,
        ordering: &RowOrdering,
    ) -> Result<Option<Coded>> {
        if arrived.is_empty() {
            return Ok(None);
        }
        let places = Places { arrived, ranks }.find();
        let told = places.iter().map(|place| {
            let weight = arrived[place.batch as usize].change.weight(place.row as usize);
            (place.group, weight)
        });
        let told = told.collect();
        let batches: Vec<&RecordBatch> = arrived.iter().map(|batch| &batch.change.rows).collect();
        let places = places.iter().map(|place| (place.batch as usize, place.row as usize));
        let rows = interleave_record_batch(&batches, &places.collect::<Vec<_>>())?;
        Ok(Some(Coded { codes: ordering.rows(&rows)?, rows, told }))
    }

    /// Returns the rows in the order of their partitions and codes.
    pub(super) fn in_order(&self) -> Vec<Came<'_>> {
        let came = self.told.iter().enumerate().map(|(at, (group, weight))| Came {
            group: *group,
            code: self.codes.row(at).data(),
            weight: *weight,
            at: at as u32,
        });
        let mut came: Vec<Came<'_>> = came.collect();
        let of_many = |own: &&mut [Came<'_>]| own.len() > 1;
        for own in came.chunk_by_mut(|left, right| left.group == right.group).filter(of_many) {
            own.sort_by_key(|row| row.code);
        }
        came
    }
}

/// Finds the rows that may be among the first.
#[derive(Clone, Copy)]
struct Places<'a> {
    arrived: &'a [Arrived],
    ranks: Option<&'a Ranks>,
}

impl Places<'_> {
    /// Returns their places in the order of their partitions.
    fn find(self) -> Vec<Place> {
        let (order, starts) = (self.by_partition(), self.starts());
        let place = |number: &u64| {
            let at = *number as u32;
            let batch = starts.partition_point(|start| *start <= at) - 1;
            let row = at - starts[batch];
            Place { group: (number >> 32) as u32, prefix: 0, batch: batch as u32, row }
        };
        let is_first_only = self.ranks.is_some_and(|ranks| ranks.is_beyond(1, 1));
        let (mut places, mut own) = (Vec::with_capacity(order.len()), Vec::new());
        for numbers in order.chunk_by(|left, right| left >> 32 == right >> 32) {
            if numbers.len() == 1 || self.ranks.is_none() {
                places.extend(numbers.iter().map(place));
                continue;
            }
            own.clear();
            own.extend(numbers.iter().map(place).map(|place| self.with_prefix(place)));
            match is_first_only {
                true => self.add_first(&own, &mut places),
                false => self.add_some(&mut own, &mut places),
            }
        }
        places
    }

    /// Returns a number for each row: its partition, and behind it how many rows come before it.
    fn by_partition(self) -> Vec<u64> {
        let rows = self.arrived.iter().map(|batch| batch.groups.len()).sum();
        let mut order = Vec::with_capacity(rows);
        for group in self.arrived.iter().flat_map(|batch| &batch.groups) {
            order.push(u64::from(*group) << 32 | order.len() as u64);
        }
        sort_by_group(&mut order);
        order
    }

    /// Returns how many rows come before each batch.
    fn starts(self) -> Vec<u32> {
        let lengths = self.arrived.iter().map(|batch| batch.groups.len() as u32);
        let starts = lengths.scan(0, |next, length| {
            *next += length;
            Some(*next - length)
        });
        starts.collect()
    }

    fn with_prefix(self, place: Place) -> Place {
        Place { prefix: prefix(self.key(&place)), ..place }
    }

    /// Adds those rows of a partition before which no other one goes.
    fn add_first(self, own: &[Place], places: &mut Vec<Place>) {
        let start = places.len();
        for place in own {
            let least = places.get(start);
            let order = least.map_or(Ordering::Equal, |least| self.compare(place, least));
            if order.is_lt() {
                places.truncate(start);
            }
            if order.is_le() {
                places.push(*place);
            }
        }
    }

    /// Adds those rows of a partition that have no rank beyond the last.
    fn add_some(self, own: &mut [Place], places: &mut Vec<Place>) {
        own.sort_unstable_by(|left, right| self.compare(left, right));
        let (start, mut keys) = (places.len(), 0);
        for place in own {
            let rows = places.len() - start;
            let last = places[start..].last();
            let is_tie = last.is_some_and(|last| self.compare(last, place).is_eq());
            if !is_tie && self.ranks.is_some_and(|ranks| ranks.is_beyond(rows, keys)) {
                break;
            }
            keys += usize::from(!is_tie);
            places.push(*place);
        }
    }

    fn compare(self, left: &Place, right: &Place) -> Ordering {
        left.prefix.cmp(&right.prefix).then_with(|| self.key(left).cmp(self.key(right)))
    }

    fn key(&self, place: &Place) -> &[u8] {
        self.arrived[place.batch as usize].key(place.row as usize)
    }
}

/// Rows from which on numbers are not compared.
const COUNTED_MIN: usize = 1024;
/// Bits of a number that are looked at in one pass.
const DIGIT_BITS: u32 = 11;

/// Sorts numbers of which the upper halves are partitions and the lower halves rise already, by least
/// digits first: in one pass or two where a comparison sort takes a dozen. (Knuth, The Art of Computer
/// Programming, volume 3, algorithm 5.2.5R, with counts instead of lists.)
pub(super) fn sort_by_group(order: &mut Vec<u64>) {
    if order.len() < COUNTED_MIN {
        order.sort_unstable();
        return;
    }
    let groups = order.iter().map(|number| number >> 32);
    let (least, most) =
        groups.fold((u64::MAX, 0), |(least, most), group| (group.min(least), group.max(most)));
    let (mut target, mut shift) = (vec![0; order.len()], 0);
    while (most - least) >> shift > 0 {
        let digit =
            |number: u64| (((number >> 32) - least) >> shift) as usize & ((1 << DIGIT_BITS) - 1);
        let mut places = [0_u32; 1 << DIGIT_BITS];
        order.iter().for_each(|number| places[digit(*number)] += 1);
        let mut next = 0;
        for place in &mut places {
            let count = std::mem::replace(place, next);
            next += count;
        }
        for number in order.iter() {
            let place = &mut places[digit(*number)];
            target[*place as usize] = *number;
            *place += 1;
        }
        std::mem::swap(order, &mut target);
        shift += DIGIT_BITS;
    }
}

/// Returns the first 16 bytes of a key as a number that compares as they do. As no key is the beginning of
/// another one, zeros may stand for what is not there.
fn prefix(key: &[u8]) -> u128 {
    let mut first = [0; size_of::<u128>()];
    let known = key.len().min(first.len());
    first[..known].copy_from_slice(&key[..known]);
    u128::from_be_bytes(first)
}
