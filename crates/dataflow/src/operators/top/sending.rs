//! Changes of first rows on their way out.
//!
//! Invariant: a change is a copy, so what it is about may be gone when it is sent.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::SchemaRef;
use thalweg_plan::node::TopNode;
use thalweg_state::GroupTable;
use thalweg_types::{Change, Groups, Result};

use super::ranks::Ranked;
use crate::operator::{Output, Step};
use crate::operators::batches::{BATCH_ROWS, batch, next_rows};
use crate::operators::ordering::Ordering;

/// Where a column of the result comes from.
#[derive(Clone, Copy, Debug)]
enum Origin {
    Partition(usize),
    Code(usize),
    Rank,
}

/// Changes that wait to be sent.
#[derive(Debug)]
pub(super) struct Sending {
    output: SchemaRef,
    columns: Vec<Origin>,
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
    /// Returns an empty list of changes to rows whose codes hold the columns `code`.
    pub(super) fn new(node: &TopNode, code: &[usize], output: SchemaRef) -> Sending {
        let width = output.fields().len() - usize::from(node.has_rank);
        let origin = |column| match code.iter().position(|known| *known == column) {
            Some(at) => Origin::Code(at),
            None => {
                let at = node.partition.iter().position(|known| *known == column);
                Origin::Partition(at.expect("a column is in the code or told by the partition"))
            }
        };
        let columns = (0..width).map(origin).chain(node.has_rank.then_some(Origin::Rank));
        Sending { output, columns: columns.collect(), queue: Queue::default() }
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
    pub(super) fn send(
        &mut self,
        partitions: &GroupTable,
        ordering: &Ordering,
        out: &mut Output,
    ) -> Result<Step> {
        let queue = &mut self.queue;
        while queue.next < queue.ends.len() {
            if out.is_full() {
                return Ok(Step::More);
            }
            let range = next_rows(queue.next, queue.ends.len(), BATCH_ROWS);
            queue.next = range.end;
            let partition = partitions.keys(Groups::At(&queue.groups[range.clone()]))?;
            let start = |row: usize| row.checked_sub(1).map_or(0, |before| queue.ends[before]);
            let codes = range.clone().map(|row| &queue.codes[start(row)..queue.ends[row]]);
            let coded = ordering.decode(codes)?;
            let ranks: ArrayRef = Arc::new(Int64Array::from(queue.ranks[range.clone()].to_vec()));
            let columns = self.columns.iter().map(|origin| match origin {
                Origin::Partition(at) => partition[*at].clone(),
                Origin::Code(at) => coded[*at].clone(),
                Origin::Rank => ranks.clone(),
            });
            let weights = Int64Array::from(queue.weights[range].to_vec());
            let rows = batch(&self.output, columns.collect(), weights.len())?;
            out.send(Change::weighted(rows, weights)?);
        }
        // The memory that many changes took is given back.
        *queue = Queue::default();
        Ok(Step::Done)
    }
}
