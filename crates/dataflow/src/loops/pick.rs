//! A reduction to one row of each key, in a loop that stands in no other.
//!
//! Rounds are in one order here, so what a key is in each of them can be told from what it has, without
//! waiting: a difference is taken when it comes, and only if what was sent is then wrong in some rounds
//! does the key wait for the first of these. When they are over it sends what makes them right, and looks
//! for the next ones. So a difference that changes no result, which is what most do, costs no round.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::datatypes::SchemaRef;
use thalweg_plan::loops::Reducing;
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::Result;

use super::codes::Code;
use super::history::{Counted, Entry, netted, within};
use super::ledger::Ledger;
use super::logic::{Came, Logic, Sent};
use super::time::Rounds;

/// Which row of a key is picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Least,
    Greatest,
}

impl Which {
    /// Returns which row a reduction picks; `None` if it makes rows of its own.
    pub(super) fn of(reducing: &Reducing) -> Option<Which> {
        match reducing {
            Reducing::Distinct | Reducing::Least => Some(Which::Least),
            Reducing::Greatest => Some(Which::Greatest),
            Reducing::By(_) => None,
        }
    }

    /// Returns the row in some rounds.
    pub(super) fn pick(self, entries: &[Entry], rounds: &Rounds) -> Option<Code> {
        let mut there = within(entries, rounds).filter(|(_, count)| *count > 0);
        let picked = match self {
            Which::Least => there.next(),
            Which::Greatest => there.next_back(),
        };
        picked.map(|(row, _)| row.clone())
    }

    /// Returns the row in each of some rounds, which are in order.
    fn picks<'a>(self, entries: &'a [Entry], rounds: &[Rounds]) -> Vec<Option<&'a Code>> {
        let by_row = entries.chunk_by(|a, b| a.row == b.row);
        match self {
            Which::Least => first_of(by_row, rounds),
            Which::Greatest => first_of(by_row.rev(), rounds),
        }
    }
}

/// Returns for each of some rounds the first row that is there.
fn first_of<'a>(
    by_row: impl Iterator<Item = &'a [Entry]>,
    rounds: &[Rounds],
) -> Vec<Option<&'a Code>> {
    let (mut picked, mut open) = (vec![None; rounds.len()], rounds.len());
    for same in by_row {
        if open == 0 {
            break;
        }
        for (picked, count) in picked.iter_mut().zip(counts(same, rounds)) {
            if picked.is_none() && count > 0 {
                *picked = Some(&same[0].row);
                open -= 1;
            }
        }
    }
    picked
}

/// Returns how many there are of a row in each of some rounds, which are in order.
fn counts<'a>(same: &'a [Entry], rounds: &'a [Rounds]) -> impl Iterator<Item = i64> + 'a {
    let (mut entries, mut count) = (same.iter().peekable(), 0_i64);
    rounds.iter().map(move |rounds| {
        while let Some(entry) = entries.next_if(|entry| entry.rounds <= *rounds) {
            count = count.saturating_add(entry.weight);
        }
        count
    })
}

/// Is in each of some rounds just that row there which is asked for?
fn are_right<'a>(
    entries: &'a [Entry],
    rounds: &[Rounds],
    wanted: &[Option<&'a Code>],
) -> Vec<bool> {
    let mut missing: Vec<bool> = wanted.iter().map(Option::is_some).collect();
    let mut wrong = vec![false; rounds.len()];
    for same in entries.chunk_by(|a, b| a.row == b.row) {
        for (at, count) in counts(same, rounds).enumerate() {
            let is_wanted = wanted[at] == Some(&same[0].row);
            wrong[at] |= count != i64::from(is_wanted);
            missing[at] &= !is_wanted;
        }
    }
    missing.into_iter().zip(wrong).map(|(missing, wrong)| !missing && !wrong).collect()
}

/// Picks one row of each key.
pub(super) struct Pick {
    which: Which,
    ledger: Ledger,
    /// Keys, by rounds in which what they sent is no longer right.
    due: BTreeMap<Rounds, BTreeSet<Code>>,
}

impl Pick {
    /// Returns a reduction by the first `keys` columns, whose state is saved under names that begin with
    /// `name`.
    ///
    /// # Errors
    /// `Invalid` if values of a type cannot be compared.
    pub(super) fn new(
        name: &str,
        (keys, which): (usize, Which),
        schemas: [&SchemaRef; 2],
    ) -> Result<Pick> {
        Ok(Pick { which, ledger: Ledger::new(name, keys, schemas)?, due: BTreeMap::new() })
    }

    /// Returns the first rounds, from some on, in which what a key sent is wrong.
    fn first_wrong(&self, key: &Code, from: Rounds) -> Option<Rounds> {
        let (input, output) = (self.ledger.input.of(key), self.ledger.output.of(key));
        let later = input.iter().chain(output).filter(|entry| entry.rounds > from);
        let later = later.filter(|entry| entry.weight != 0).map(|entry| entry.rounds);
        let mut rounds: Vec<Rounds> = std::iter::once(from).chain(later).collect();
        rounds.sort_unstable();
        rounds.dedup();
        let wanted = self.which.picks(input, &rounds);
        let are_right = are_right(output, &rounds, &wanted);
        are_right.iter().position(|is_right| !is_right).map(|at| rounds[at])
    }

    /// Lets keys wait for the first rounds, from some on, in which they are wrong.
    fn look(&mut self, keys: impl Iterator<Item = Code>, from: Rounds, out: &mut Sent) {
        let mut waits = BTreeSet::new();
        for key in keys {
            if let Some(wrong) = self.first_wrong(&key, from) {
                self.due.entry(wrong).or_default().insert(key);
                waits.insert(wrong);
            }
        }
        waits.into_iter().for_each(|rounds| out.wait(rounds));
    }
}

impl Logic for Pick {
    fn batch(&mut self, _: usize, came: Came, out: &mut Sent) -> Result<()> {
        let shape = &self.ledger.input.shape;
        let keys = shape.key.encode(&came.change.rows)?;
        let rows = shape.row.encode(&came.change.rows)?;
        let mut by_key: HashMap<Code, Counted> = HashMap::new();
        for (at, (key, row)) in keys.into_iter().zip(rows).enumerate() {
            by_key.entry(key).or_default().push((row, came.change.weight(at)));
        }
        for (key, rows) in &mut by_key {
            let rows = netted(std::mem::take(rows))?;
            if !rows.is_empty() {
                self.ledger.input.add(key, came.rounds, rows)?;
            }
        }
        self.look(by_key.into_keys(), came.rounds, out);
        Ok(())
    }

    fn close(&mut self, rounds: Rounds, out: &mut Sent) -> Result<()> {
        let keys = self.due.remove(&rounds).unwrap_or_default();
        let results = keys.into_iter().map(|key| {
            let picked = self.which.pick(self.ledger.input.of(&key), &rounds);
            (key, picked.map(|row| (row, 1)).into_iter().collect())
        });
        let results: Vec<(Code, Counted)> = results.collect();
        let keys = self.ledger.send(rounds, results, out)?;
        self.look(keys.into_iter(), rounds, out);
        Ok(())
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
