//! Changes of first rows on their way out.
//!
//! Invariants: a change is a copy, so what it is about may be gone when it is sent. Rows that came in
//! the epoch are sent from the columns they came in; others are decoded.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::SchemaRef;
use thalweg_plan::node::TopNode;
use thalweg_types::{Change, Result};

use super::ranks::Ranked;
use crate::operator::{Output, Step};
use crate::operators::batches::{BATCH_ROWS, batch, next_rows};
use crate::operators::coded_rows::CodedRows;

/// Changes that wait to be sent.
#[derive(Debug)]
pub(super) struct Sending {
    output: SchemaRef,
    has_rank: bool,
    /// Is nothing ever taken back?
    is_final: bool,
    /// The rows that came in the epoch.
    came: Option<RecordBatch>,
    /// What is not yet in columns.
    waiting: Waiting,
    /// What comes before it.
    batches: VecDeque<Change>,
}

/// Rows with their weights. They are turned into columns while their codes are still at hand, in pieces, and
/// the memory of one piece serves the next.
#[derive(Debug, Default)]
struct Waiting {
    /// Where each is: among those that came (0), or those in codes (1), and its place there.
    places: Vec<(usize, usize)>,
    ranks: Vec<i64>,
    weights: Vec<i64>,
    old: Codes,
}

/// Rows that were there before the epoch.
#[derive(Debug, Default)]
struct Codes {
    /// The codes of all rows, one after the other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    groups: Vec<u32>,
}

impl Codes {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.groups.clear();
    }

    fn code(&self, row: usize) -> &[u8] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[row]]
    }

    fn add(&mut self, group: u32, code: &[u8]) -> usize {
        self.bytes.extend_from_slice(code);
        self.ends.push(self.bytes.len());
        self.groups.push(group);
        self.ends.len() - 1
    }

    fn columns(&self, rows: &CodedRows) -> Result<Vec<ArrayRef>> {
        rows.columns(&self.groups, (0..self.ends.len()).map(|row| self.code(row)))
    }
}

impl Sending {
    /// Returns no changes, to rows of schema `output`, of which the last column is the rank if there
    /// is one.
    pub(super) fn new(node: &TopNode, output: SchemaRef) -> Sending {
        let (has_rank, is_final) = (node.has_rank, node.final_by.is_some());
        let (waiting, batches) = (Waiting::default(), VecDeque::new());
        Sending { output, has_rank, is_final, came: None, waiting, batches }
    }

    /// Begins the changes of an epoch in which these rows came.
    pub(super) fn begin(&mut self, came: RecordBatch) {
        self.came = Some(came);
    }

    /// Adds a change.
    pub(super) fn add(&mut self, group: u32, (row, rank): Ranked<'_>, weight: i64) {
        let waiting = &mut self.waiting;
        waiting.places.push(match row.came {
            Some(at) => (0, at as usize),
            None => (1, waiting.old.add(group, row.code)),
        });
        waiting.ranks.push(rank as i64);
        waiting.weights.push(weight);
    }

    /// Makes columns of the changes if there are enough for a batch.
    ///
    /// # Errors
    /// `Internal` if codes cannot be read.
    pub(super) fn gather(&mut self, rows: &CodedRows) -> Result<()> {
        if self.waiting.places.len() < BATCH_ROWS { Ok(()) } else { self.make(rows) }
    }

    /// Makes columns of what waits: the rows of one partition may be many batches.
    fn make(&mut self, rows: &CodedRows) -> Result<()> {
        let waiting = &mut self.waiting;
        let (Some(came), false) = (&self.came, waiting.places.is_empty()) else { return Ok(()) };
        let old = waiting.old.columns(rows)?;
        let (mut next, total) = (0, waiting.places.len());
        while next < total {
            let range = next_rows(next, total, BATCH_ROWS);
            next = range.end;
            let places = &waiting.places[range.clone()];
            let mut columns = chosen(came, &old, places)?;
            if self.has_rank {
                columns.push(Arc::new(Int64Array::from(waiting.ranks[range.clone()].to_vec())));
            }
            let rows = batch(&self.output, columns, range.len())?;
            self.batches.push_back(match self.is_final {
                true => Change::append(rows),
                false => Change::weighted(rows, waiting.weights[range].to_vec().into())?,
            });
        }
        waiting.places.clear();
        waiting.ranks.clear();
        waiting.weights.clear();
        waiting.old.clear();
        Ok(())
    }

    /// Sends what there is, as far as the output takes it.
    ///
    /// # Errors
    /// `Internal` if codes cannot be read.
    pub(super) fn send(&mut self, rows: &CodedRows, out: &mut Output) -> Result<Step> {
        self.make(rows)?;
        self.came = None;
        while let Some(change) = self.batches.pop_front() {
            out.send(change);
            if out.is_full() && !self.batches.is_empty() {
                return Ok(Step::More);
            }
        }
        // The memory that many changes took is given back.
        (self.waiting, self.batches) = (Waiting::default(), VecDeque::new());
        Ok(Step::Done)
    }
}

/// Returns the columns of rows that came and of others, at these places; as they are where all rows follow
/// each other among those that came.
fn chosen(
    came: &RecordBatch,
    others: &[ArrayRef],
    places: &[(usize, usize)],
) -> Result<Vec<ArrayRef>> {
    let (_, start) = places[0];
    if places.iter().enumerate().all(|(n, place)| *place == (0, start + n)) {
        return Ok(came.slice(start, places.len()).columns().to_vec());
    }
    let columns = came.columns().iter().zip(others);
    let columns = columns.map(|(came, other)| interleave(&[came.as_ref(), other.as_ref()], places));
    Ok(columns.collect::<std::result::Result<_, _>>()?)
}
