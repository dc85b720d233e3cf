//! Changes of first rows on their way out.
//!
//! Invariant: a change is a copy, so what it is about may be gone when it is sent.

use std::sync::Arc;

use arrow::array::Int64Array;
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
    queue: Queue,
}

/// Rows with their weights, and the next of them to send.
#[derive(Debug, Default)]
struct Queue {
    /// The codes of all rows, one after the other.
    codes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    groups: Vec<u32>,
    ranks: Vec<i64>,
    weights: Vec<i64>,
    next: usize,
}

impl Sending {
    /// Returns no changes, to rows of schema `output`, of which the last column is the rank if there
    /// is one.
    pub(super) fn new(node: &TopNode, output: SchemaRef) -> Sending {
        let (has_rank, is_final) = (node.has_rank, node.final_by.is_some());
        Sending { output, has_rank, is_final, queue: Queue::default() }
    }

    /// Adds a change.
    pub(super) fn add(&mut self, group: u32, (code, rank): Ranked<'_>, weight: i64) {
        let queue = &mut self.queue;
        queue.codes.extend_from_slice(code);
        queue.ends.push(queue.codes.len());
        queue.groups.push(group);
        queue.ranks.push(rank as i64);
        queue.weights.push(weight);
    }

    /// Sends what there is, as far as the output takes it.
    ///
    /// # Errors
    /// `Internal` if codes cannot be read.
    pub(super) fn send(&mut self, rows: &CodedRows, out: &mut Output) -> Result<Step> {
        let queue = &mut self.queue;
        while queue.next < queue.ends.len() {
            if out.is_full() {
                return Ok(Step::More);
            }
            let range = next_rows(queue.next, queue.ends.len(), BATCH_ROWS);
            queue.next = range.end;
            let start = |row: usize| row.checked_sub(1).map_or(0, |before| queue.ends[before]);
            let codes = range.clone().map(|row| &queue.codes[start(row)..queue.ends[row]]);
            let mut columns = rows.columns(&queue.groups[range.clone()], codes)?;
            if self.has_rank {
                columns.push(Arc::new(Int64Array::from(queue.ranks[range.clone()].to_vec())));
            }
            let rows = batch(&self.output, columns, range.len())?;
            out.send(match self.is_final {
                true => Change::append(rows),
                false => Change::weighted(rows, queue.weights[range].to_vec().into())?,
            });
        }
        // The memory that many changes took is given back.
        *queue = Queue::default();
        Ok(Step::Done)
    }
}
