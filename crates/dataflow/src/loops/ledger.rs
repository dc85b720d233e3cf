//! What came to a reduction, and what it sent.

use arrow::datatypes::SchemaRef;
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::Result;

use super::codes::Code;
use super::history::{Counted, History, netted, within};
use super::logic::Sent;
use super::time::Rounds;
use crate::operators::batches::{BATCH_ROWS, batch};

/// Both sides of a reduction, by key.
pub(super) struct Ledger {
    pub(super) input: History,
    pub(super) output: History,
}

impl Ledger {
    /// Returns the ledger of a reduction by the first `keys` columns, to be saved under names that begin
    /// with `name`.
    ///
    /// # Errors
    /// `Invalid` if values of a type cannot be compared.
    pub(super) fn new(name: &str, keys: usize, [input, output]: [&SchemaRef; 2]) -> Result<Ledger> {
        let keys: Vec<usize> = (0..keys).collect();
        Ok(Ledger {
            input: History::new(format!("{name}.in"), input, &keys)?,
            output: History::new(format!("{name}.out"), output, &keys)?,
        })
    }

    /// Sends by what the results of keys in some rounds differ from what was sent until then; returns the
    /// keys that differ.
    ///
    /// # Errors
    /// `Data` if there is more of a row than can be counted.
    pub(super) fn send(
        &mut self,
        rounds: Rounds,
        results: impl IntoIterator<Item = (Code, Counted)>,
        out: &mut Sent,
    ) -> Result<Vec<Code>> {
        let mut changed: Vec<(Code, Counted)> = Vec::new();
        for (key, mut rows) in results {
            let sent = within(self.output.of(&key), &rounds);
            rows.extend(sent.map(|(row, weight)| (row.clone(), -weight)));
            let rows = netted(rows)?;
            if !rows.is_empty() {
                changed.push((key, rows));
            }
        }
        let flat = changed.iter().flat_map(|(key, rows)| rows.iter().map(move |row| (key, row)));
        let flat: Vec<(&Code, &(Code, i64))> = flat.collect();
        let shape = &self.output.shape;
        for rows in flat.chunks(BATCH_ROWS) {
            let codes = rows.iter().map(|(key, (row, _))| (key.as_ref(), row.as_ref()));
            let made = batch(&shape.schema, shape.columns(codes)?, rows.len())?;
            out.send_rows(rounds, made, rows.iter().map(|(_, (_, weight))| *weight))?;
        }
        let mut keys = Vec::with_capacity(changed.len());
        for (key, rows) in changed {
            self.output.add(&key, rounds, rows)?;
            keys.push(key);
        }
        Ok(keys)
    }

    /// As [`Logic::snapshot`](super::logic::Logic::snapshot).
    pub(super) fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.input.snapshot(to)?;
        self.output.snapshot(to)
    }

    /// As [`Logic::restore`](super::logic::Logic::restore).
    pub(super) fn restore(&mut self, from: &StateReader) -> Result<()> {
        self.input.restore(from)?;
        self.output.restore(from)
    }

    /// As [`Logic::size`](super::logic::Logic::size).
    pub(super) fn size(&self) -> (usize, usize) {
        let (input, output) = (self.input.size(), self.output.size());
        (input.0 + output.0, input.1 + output.1)
    }
}
