//! The audit of weights: no collection ever has a row less than not at all.
//!
//! In debug builds the rows that come to each input of each operator and of each sink are counted, behind
//! their exchange. At the close of an epoch, before the operator sees it, every row that the epoch took
//! back must be there as often as it is said to be, or oftener; else the attempt ends with an error that
//! names the operator, the epoch, the input, the row and its weight. Where rows are only inserted, none
//! may be taken back at all. An audit costs nothing in a release: there is none.
//!
//! Why that covers every collection: whatever an output sends comes to the inputs of those that read it,
//! and all of them are audited, those of stateless chains and unions too, and of the steps of loops,
//! where what is summed up over all rounds of an epoch must be a collection.
//!
//! Why it is right to count on each worker by itself, though equal rows may be on several: a changelog is
//! read by one worker; what an operator takes back on a worker, it sent on that worker; and an exchange
//! sends equal rows of a worker to the same worker. So what comes to a worker is a sum of collections, and
//! one itself.
//!
//! What is *not* audited, since it is no collection, or not known to be one, [`claims`] says. Further:
//!
//! - What goes on from a checkpoint: nobody knows what came before it.
//! - What is made of a changelog from outside that takes back a row that never came. Where its table trusts
//!   it (`'bad-records' = 'fail'`), that shows in some operators only, and an audit shows it nowhere else: it
//!   ends. That is known by a process alone, so a job of several ones audits nothing that rests on such a table.
//! - An input from where it has more than `ROWS_MAX` different rows, and one with columns that have no hash.
//!
//! A time-to-live needs no exception. An operator that has forgotten a row sends nothing when that is taken
//! back, and begins anew when it comes again, so what it sent once stays there. It takes back what it
//! remembers to have sent, and nothing else.
//!
//! Rows are told apart by a hash of 64 bits. Two that share one are taken for the same row: an error may be
//! missed, and of a million rows one in ten million runs would report one that is none.

pub mod claims;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use thalweg_plan::Plan;
use thalweg_plan::node::Input;
use thalweg_types::fault::is_planted;
use thalweg_types::{Change, Epoch, Error, NodeId, Result, hash};
use tracing::debug;

use self::claims::{Claim, Trust};
use crate::operators::batches::described;

/// Different rows of an input beyond which it is audited no more.
const ROWS_MAX: usize = 1 << 20;

/// Sources that took back what never came, and those of which that can no longer be told.
#[derive(Debug, Default)]
pub struct Premises(Mutex<BTreeSet<NodeId>>);

impl Premises {
    /// Says that nothing is known any more of what these sources hand over.
    fn withdraw(&self, sources: &BTreeSet<NodeId>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(sources);
    }

    fn hold(&self, sources: &BTreeSet<NodeId>) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_disjoint(sources)
    }
}

/// What is audited in an attempt.
#[derive(Clone, Debug)]
pub struct Audit {
    /// By node, what is claimed of its first output; empty if nothing is audited.
    claims: Arc<Vec<Claim>>,
    premises: Arc<Premises>,
    /// Are there other processes, whose premises nobody knows here?
    is_spread: bool,
}

impl Audit {
    /// Returns the audit of an attempt that goes on from the checkpoint of an epoch.
    pub fn new(plan: &Plan, start: Epoch, premises: &Arc<Premises>, is_spread: bool) -> Audit {
        // Planted, it is not seen what costs time in a debug build.
        let is_on = cfg!(debug_assertions) && start == Epoch(0) && !is_planted("no-audit");
        let claims = if is_on { claims::of(plan) } else { Vec::new() };
        Audit { claims: Arc::new(claims), premises: premises.clone(), is_spread }
    }

    /// Returns the auditor of an input, whose name an error tells; `None` if it is not audited.
    pub fn of(&self, plan: &Plan, input: &Input, name: String) -> Option<Auditor> {
        let own = self.claims.get(input.from.0)?;
        self.by(&claims::of_port(plan, own, input), name)
    }

    /// Returns the auditor of an input of a step of a loop, all of whose inputs are these.
    pub fn of_step(&self, plan: &Plan, inputs: &[Input], name: String) -> Option<Auditor> {
        if self.claims.is_empty() {
            return None;
        }
        let claims =
            inputs.iter().map(|input| claims::of_port(plan, &self.claims[input.from.0], input));
        // In a loop all rows have weights, even if none ever leaves it.
        let claim = match claims::all(claims) {
            Claim::Inserts => Claim::Rows(Trust::default()),
            other => other,
        };
        self.by(&claim, name)
    }

    fn by(&self, claim: &Claim, name: String) -> Option<Auditor> {
        let trust = match claim {
            Claim::Inserts | Claim::States(_) => None,
            Claim::Rows(trust) if self.is_spread && !trust.is_empty() => return None,
            Claim::Rows(trust) => Some(trust.clone()),
            Claim::Other => return None,
        };
        Some(Auditor::new(name, trust, self.premises.clone()))
    }
}

/// Audits the rows of one input on one worker.
#[derive(Debug)]
pub struct Auditor {
    name: String,
    /// Whom it trusts; `None` if no row may be taken back at all.
    trust: Option<Trust>,
    premises: Arc<Premises>,
    /// By the hash of a row how often it is there, if that is not never.
    weights: HashMap<u64, i64, BuildHasherDefault<Plain>>,
    /// Rows that the open epoch took below nothing, each alone.
    below: BTreeMap<u64, RecordBatch>,
    hashes: Vec<u64>,
    is_over: bool,
}

impl Auditor {
    fn new(name: String, trust: Option<Trust>, premises: Arc<Premises>) -> Auditor {
        let (weights, below, hashes) = Default::default();
        Auditor { name, trust, premises, weights, below, hashes, is_over: false }
    }

    /// Counts rows of the open epoch.
    ///
    /// # Errors
    /// `Internal` if a row is taken back where rows are only inserted.
    pub fn see(&mut self, change: &Change) -> Result<()> {
        if self.is_over {
            return Ok(());
        }
        if self.trust.is_none() {
            let weighted = if change.weights.is_some() { change.len() } else { 0 };
            return match (0..weighted).find(|row| change.weight(*row) <= 0) {
                None => Ok(()),
                Some(row) => Err(self.error(&change.rows, row, change.weight(row))),
            };
        }
        let mut hashes = std::mem::take(&mut self.hashes);
        match hash::hash_rows(change.rows.columns(), change.len(), &mut hashes) {
            Ok(()) => self.count(change, &hashes),
            Err(error) => self.end(error.message()),
        }
        self.hashes = hashes;
        Ok(())
    }

    fn count(&mut self, change: &Change, hashes: &[u64]) {
        for (row, hash) in hashes.iter().enumerate() {
            let weight = self.weights.entry(*hash).or_default();
            // A sum that wraps is right again where the true one can be shown.
            *weight = weight.wrapping_add(change.weight(row));
            match *weight {
                0 => drop(self.weights.remove(hash)),
                1.. => {}
                _ => drop(self.below.insert(*hash, change.rows.slice(row, 1))),
            }
        }
        if self.weights.len() > ROWS_MAX {
            self.end("there are too many rows");
        }
    }

    /// All rows of the open epoch have been seen.
    ///
    /// # Errors
    /// `Internal` if it took a row back that is not there.
    pub fn close(&mut self) -> Result<()> {
        for (hash, row) in std::mem::take(&mut self.below) {
            let weight = self.weights.get(&hash).copied().unwrap_or_default();
            if weight >= 0 {
                continue;
            }
            if self.trust.as_ref().is_some_and(|trust| self.is_unfounded(trust)) {
                self.end("a changelog takes back what never came");
                return Ok(());
            }
            return Err(self.error(&row, 0, weight));
        }
        Ok(())
    }

    /// May a row that was never there come from outside?
    fn is_unfounded(&self, trust: &Trust) -> bool {
        !trust.near.is_empty() || !self.premises.hold(&trust.far)
    }

    /// Audits no more; what is behind the next operator trusts the sources that did so far.
    fn end(&mut self, why: &str) {
        debug!(input = self.name, why, "The audit of weights of an input ended.");
        if let Some(trust) = &self.trust {
            self.premises.withdraw(&trust.near);
        }
        self.is_over = true;
        (self.weights, self.below) = Default::default();
    }

    fn error(&self, rows: &RecordBatch, row: usize, weight: i64) -> Error {
        let (name, row) = (&self.name, described(rows, row));
        Error::internal(match self.trust {
            Some(_) => format!("{name} has a row of weight {weight}: {row}"),
            None => format!("{name} is only inserted into, and gets weight {weight}: {row}"),
        })
    }
}

/// The auditors of the inputs of an operator, those of some of them missing.
#[derive(Debug, Default)]
pub struct Auditors(pub Vec<Option<Auditor>>);

impl Auditors {
    /// Counts rows of an input.
    ///
    /// # Errors
    /// As [`Auditor::see`].
    pub fn see(&mut self, input: usize, change: &Change) -> Result<()> {
        match self.0.get_mut(input) {
            Some(Some(auditor)) => auditor.see(change),
            _ => Ok(()),
        }
    }

    /// All rows of the open epoch have been seen.
    ///
    /// # Errors
    /// As [`Auditor::close`].
    pub fn close(&mut self) -> Result<()> {
        self.0.iter_mut().flatten().try_for_each(Auditor::close)
    }
}

/// Audits an input of what knows no epochs: rows of later ones wait until those before are over.
#[derive(Debug)]
pub struct Tap {
    auditor: Auditor,
    open: u64,
    later: BTreeMap<u64, Vec<Change>>,
}

impl Tap {
    /// Returns a tap from epoch `open` on.
    pub fn new(auditor: Auditor, open: Epoch) -> Tap {
        Tap { auditor, open: open.0, later: BTreeMap::new() }
    }

    /// Counts rows of an epoch.
    ///
    /// # Errors
    /// As [`Auditor::see`].
    pub fn see(&mut self, epoch: u64, change: &Change) -> Result<()> {
        match epoch > self.open {
            true => self.later.entry(epoch).or_default().push(change.clone()),
            false => self.auditor.see(change)?,
        }
        Ok(())
    }

    /// Goes on to the epoch before which nothing can come any more.
    ///
    /// # Errors
    /// As [`Auditor::close`], with the epoch.
    pub fn advance(&mut self, frontier: u64) -> std::result::Result<(), (u64, Error)> {
        while self.open < frontier {
            let epoch = self.open;
            self.auditor.close().map_err(|error| (epoch, error))?;
            self.open = self.later.keys().next().map_or(frontier, |later| frontier.min(*later));
            for change in self.later.remove(&self.open).unwrap_or_default() {
                self.auditor.see(&change).map_err(|error| (self.open, error))?;
            }
        }
        Ok(())
    }
}

/// Takes a hash for what it is.
#[derive(Debug, Default)]
struct Plain(u64);

impl Hasher for Plain {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = hash::hash_bytes(bytes);
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests;
