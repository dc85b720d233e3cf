//! A reduction in a loop: what becomes of all rows that a key has, in each of the rounds.
//!
//! A reduction is not linear: a difference changes what becomes of its key in its own rounds, and in all
//! later ones in which there is something else of the key, since there the two meet. These are the least
//! upper bounds of its rounds and those of the key's other differences. So the step waits for them: at
//! each it puts together what came until then, applies the function, and sends by what the result differs
//! from all that it sent until then. (F. McSherry, D. Murray, R. Isaacs, M. Isard: Differential Dataflow,
//! CIDR 2013, section 4.)

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use thalweg_plan::loops::{KeyedRows, Reducing, Reduction};
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::{Error, Result};

use super::codes::Code;
use super::history::{Counted, netted, within};
use super::ledger::Ledger;
use super::logic::{Came, Logic, Sent};
use super::pick::Which;
use super::time::Rounds;
use crate::operators::batches::batch;

/// Reduces the rows of each key.
pub(super) struct Reduce {
    reducing: Reducing,
    ledger: Ledger,
    /// What came, and the keys that are to be looked at again, by the rounds in which to do it.
    due: BTreeMap<Rounds, HashMap<Code, Vec<(Code, i64)>>>,
}

impl Reduce {
    /// Returns a reduction by the first `keys` columns, whose state is saved under names that begin with
    /// `name`.
    ///
    /// # Errors
    /// `Invalid` if values of a type cannot be compared.
    pub(super) fn new(
        name: &str,
        (keys, reducing): (usize, &Reducing),
        schemas: [&SchemaRef; 2],
    ) -> Result<Reduce> {
        let ledger = Ledger::new(name, keys, schemas)?;
        Ok(Reduce { reducing: reducing.clone(), ledger, due: BTreeMap::new() })
    }

    /// Adds what came to the keys, and waits for the rounds in which it meets something else.
    fn absorb(
        &mut self,
        rounds: Rounds,
        due: HashMap<Code, Counted>,
        out: &mut Sent,
    ) -> Result<Vec<Code>> {
        let mut keys: Vec<(Code, Counted)> = due.into_iter().collect();
        keys.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, rows) in &mut keys {
            let rows = netted(std::mem::take(rows))?;
            if !rows.is_empty() {
                self.ledger.input.add(key, rounds, rows)?;
            }
            let others = self.ledger.input.of(key).iter().filter(|entry| entry.weight != 0);
            for others in others.map(|entry| entry.rounds).collect::<BTreeSet<Rounds>>() {
                let meet = others.join(&rounds);
                if meet != rounds {
                    self.due.entry(meet).or_default().entry(key.clone()).or_default();
                    out.wait(meet);
                }
            }
        }
        Ok(keys.into_iter().map(|(key, _)| key).collect())
    }

    /// Returns what becomes of each key in some rounds.
    fn results(&self, keys: &[Code], rounds: &Rounds) -> Result<Vec<Counted>> {
        let which = match &self.reducing {
            Reducing::By(reduction) => return self.reduced(reduction.as_ref(), keys, rounds),
            Reducing::Distinct | Reducing::Least => Which::Least,
            Reducing::Greatest => Which::Greatest,
        };
        let one = |key: &Code| which.pick(self.ledger.input.of(key), rounds);
        Ok(keys.iter().map(|key| one(key).map(|row| (row, 1)).into_iter().collect()).collect())
    }

    /// Applies a function to the rows of each key in some rounds.
    fn reduced(
        &self,
        reduction: &dyn Reduction,
        keys: &[Code],
        rounds: &Rounds,
    ) -> Result<Vec<Counted>> {
        let (mut codes, mut counts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        let mut there = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            let before = codes.len();
            let rows = within(self.ledger.input.of(key), rounds).filter(|(_, count)| *count > 0);
            for (row, count) in rows {
                codes.push(row.as_ref());
                counts.push(count);
            }
            if codes.len() > before {
                there.push(at);
                ends.push(codes.len());
            }
        }
        let shape = &self.ledger.input.shape;
        let width = shape.keys.len();
        let schema = |columns: Vec<usize>| shape.schema.project(&columns).map(Arc::new);
        let key_columns = shape.key.decode(there.iter().map(|at| keys[*at].as_ref()))?;
        let key_rows = batch(&schema((0..width).collect())?, key_columns, there.len())?;
        let others = schema((width..shape.schema.fields().len()).collect())?;
        let rows = batch(&others, shape.row.decode(codes.iter().copied())?, codes.len())?;
        let keyed = KeyedRows { keys: &key_rows, rows: &rows, counts: &counts, ends: &ends };
        let made = reduction.reduce(&keyed)?;
        let codes =
            self.ledger.output.shape.row.encode_columns(made.rows.columns(), made.keys.len())?;
        let mut results = vec![Counted::new(); keys.len()];
        for (row, key) in codes.into_iter().zip(&made.keys) {
            let at = there.get(*key).ok_or_else(|| Error::internal("a result of no key"))?;
            results[*at].push((row, 1));
        }
        Ok(results)
    }
}

impl Logic for Reduce {
    fn batch(&mut self, _: usize, came: Came, out: &mut Sent) -> Result<()> {
        let shape = &self.ledger.input.shape;
        let keys = shape.key.encode(&came.change.rows)?;
        let rows = shape.row.encode(&came.change.rows)?;
        let due = self.due.entry(came.rounds).or_default();
        for (at, (key, row)) in keys.into_iter().zip(rows).enumerate() {
            due.entry(key).or_default().push((row, came.change.weight(at)));
        }
        out.wait(came.rounds);
        Ok(())
    }

    fn close(&mut self, rounds: Rounds, out: &mut Sent) -> Result<()> {
        let Some(due) = self.due.remove(&rounds) else { return Ok(()) };
        let keys = self.absorb(rounds, due, out)?;
        let results = self.results(&keys, &rounds)?;
        self.ledger.send(rounds, keys.into_iter().zip(results), out).map(drop)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.ledger.snapshot(to)
    }

    fn restore(&mut self, from: &StateReader) -> Result<()> {
        self.ledger.restore(from)
    }

    fn size(&self) -> (usize, usize) {
        self.ledger.size()
    }
}

#[cfg(test)]
mod tests;
