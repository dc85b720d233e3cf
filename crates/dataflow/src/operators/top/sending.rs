//! Changes of first rows on their way out.
//!
//! Invariant: a change is a copy, so what it is about may be gone when it is sent.

use std::collections::VecDeque;
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
    /// What is still in codes.
    codes: Codes,
    /// What comes before it.
    batches: VecDeque<Change>,
}

/// Rows with their weights. They are turned into columns while their codes are still at hand, in pieces, and
/// the memory of one piece serves the next.
#[derive(Debug, Default)]
struct Codes {
    /// The codes of all rows, one after the other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
    groups: Vec<u32>,
    ranks: Vec<i64>,
    weights: Vec<i64>,
}

impl Codes {
    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.groups.clear();
        self.ranks.clear();
        self.weights.clear();
    }

    fn code(&self, row: usize) -> &[u8] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[row]]
    }
}

impl Sending {
    /// Returns no changes, to rows of schema `output`, of which the last column is the rank if there
    /// is one.
    pub(super) fn new(node: &TopNode, output: SchemaRef) -> Sending {
        let (has_rank, is_final) = (node.has_rank, node.final_by.is_some());
        let (codes, batches) = (Codes::default(), VecDeque::new());
        Sending { output, has_rank, is_final, codes, batches }
    }

    /// Adds a change.
    pub(super) fn add(&mut self, group: u32, (code, rank): Ranked<'_>, weight: i64) {
        let codes = &mut self.codes;
        codes.bytes.extend_from_slice(code);
        codes.ends.push(codes.bytes.len());
        codes.groups.push(group);
        codes.ranks.push(rank as i64);
        codes.weights.push(weight);
    }

    /// Makes columns of the changes if there are enough for a batch.
    ///
    /// # Errors
    /// `Internal` if codes cannot be read.
    pub(super) fn gather(&mut self, rows: &CodedRows) -> Result<()> {
        if self.codes.ends.len() < BATCH_ROWS { Ok(()) } else { self.decode(rows) }
    }

    fn decode(&mut self, rows: &CodedRows) -> Result<()> {
        let codes = &mut self.codes;
        let (mut next, total) = (0, codes.ends.len());
        while next < total {
            let range = next_rows(next, total, BATCH_ROWS);
            next = range.end;
            let own = range.clone().map(|row| codes.code(row));
            let mut columns = rows.columns(&codes.groups[range.clone()], own)?;
            if self.has_rank {
                columns.push(Arc::new(Int64Array::from(codes.ranks[range.clone()].to_vec())));
            }
            let rows = batch(&self.output, columns, range.len())?;
            self.batches.push_back(match self.is_final {
                true => Change::append(rows),
                false => Change::weighted(rows, codes.weights[range].to_vec().into())?,
            });
        }
        codes.clear();
        Ok(())
    }

    /// Sends what there is, as far as the output takes it.
    ///
    /// # Errors
    /// `Internal` if codes cannot be read.
    pub(super) fn send(&mut self, rows: &CodedRows, out: &mut Output) -> Result<Step> {
        self.decode(rows)?;
        while let Some(change) = self.batches.pop_front() {
            out.send(change);
            if out.is_full() && !self.batches.is_empty() {
                return Ok(Step::More);
            }
        }
        // The memory that many changes took is given back.
        (self.codes, self.batches) = (Codes::default(), VecDeque::new());
        Ok(Step::Done)
    }
}
