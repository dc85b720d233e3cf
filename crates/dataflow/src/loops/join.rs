//! A join in a loop: each difference meets all that the other side has.
//!
//! A join is linear in each of its inputs, so a difference of one side is joined with the whole history
//! of the other, when it comes: each two rows meet once, when the later of them is here. The pair is a
//! difference of the first rounds in which both count, and weighs the product of both.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::SchemaRef;
use thalweg_plan::loops::JoinKeys;
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::{Change, Result};

use super::codes::Code;
use super::history::{Entry, History, netted, too_many};
use super::logic::{Came, Logic, Sent};
use super::time::Rounds;
use crate::operators::batches::{BATCH_ROWS, batch};

/// Joins two inputs.
pub(super) struct Join {
    nulls_meet: bool,
    sides: [History; 2],
    output: SchemaRef,
}

/// A pair: its key, what the left and the right row have beside it, and its weight.
type Pair<'a> = (&'a Code, [&'a Code; 2], i64);

impl Join {
    /// Returns a join whose state is saved under names that begin with `name`.
    ///
    /// # Errors
    /// `Invalid` if values of a type cannot be compared.
    pub(super) fn new(
        name: &str,
        keys: &JoinKeys,
        inputs: [&SchemaRef; 2],
        output: SchemaRef,
    ) -> Result<Join> {
        let (left, right): (Vec<_>, Vec<_>) = keys.columns.iter().copied().unzip();
        let sides = [
            History::new(format!("{name}.left"), inputs[0], &left)?,
            History::new(format!("{name}.right"), inputs[1], &right)?,
        ];
        Ok(Join { nulls_meet: keys.nulls_meet, sides, output })
    }

    /// Returns the rows of a change that can meet others, by key, each once.
    fn by_key(&self, input: usize, change: &Change) -> Result<BTreeMap<Code, Vec<(Code, i64)>>> {
        let shape = &self.sides[input].shape;
        let keys: Vec<&ArrayRef> = shape.keys.iter().map(|key| change.rows.column(*key)).collect();
        let meets = |row: usize| self.nulls_meet || keys.iter().all(|key| key.is_valid(row));
        let codes =
            shape.key.encode(&change.rows)?.into_iter().zip(shape.row.encode(&change.rows)?);
        let mut by_key: BTreeMap<Code, Vec<(Code, i64)>> = BTreeMap::new();
        for (row, (key, code)) in codes.enumerate().filter(|(row, _)| meets(*row)) {
            by_key.entry(key).or_default().push((code, change.weight(row)));
        }
        for rows in by_key.values_mut() {
            *rows = netted(std::mem::take(rows))?;
        }
        Ok(by_key)
    }

    fn send(&self, rounds: Rounds, pairs: &[Pair<'_>], out: &mut Sent) -> Result<()> {
        for pairs in pairs.chunks(BATCH_ROWS) {
            let mut columns = Vec::with_capacity(self.output.fields().len());
            for (side, history) in self.sides.iter().enumerate() {
                let codes = pairs.iter().map(|(key, rows, _)| (key.as_ref(), rows[side].as_ref()));
                columns.extend(history.shape.columns(codes)?);
            }
            let rows = batch(&self.output, columns, pairs.len())?;
            out.send_rows(rounds, rows, pairs.iter().map(|(_, _, weight)| *weight))?;
        }
        Ok(())
    }
}

impl Logic for Join {
    fn batch(&mut self, input: usize, came: Came, out: &mut Sent) -> Result<()> {
        let by_key = self.by_key(input, &came.change)?;
        let mut met: BTreeMap<Rounds, Vec<Pair<'_>>> = BTreeMap::new();
        for (key, rows) in &by_key {
            for Entry { row: other, rounds, weight: times, .. } in self.sides[1 - input].of(key) {
                let pairs = met.entry(rounds.join(&came.rounds)).or_default();
                for (row, weight) in rows.iter().filter(|_| *times != 0) {
                    let pair = if input == 0 { [row, other] } else { [other, row] };
                    pairs.push((key, pair, weight.checked_mul(*times).ok_or_else(too_many)?));
                }
            }
        }
        for (rounds, pairs) in &met {
            self.send(*rounds, pairs, out)?;
        }
        for (key, rows) in by_key {
            self.sides[input].add(&key, came.rounds, rows)?;
        }
        Ok(())
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.sides.iter_mut().try_for_each(|side| side.snapshot(to))
    }

    fn restore(&mut self, from: &StateReader) -> Result<()> {
        self.sides.iter_mut().try_for_each(|side| side.restore(from))
    }

    fn size(&self) -> (usize, usize) {
        let [left, right] = self.sides.each_ref().map(History::size);
        (left.0 + right.0, left.1 + right.1)
    }
}

#[cfg(test)]
mod tests;
