//! The end of a loop: what left it in an epoch, over all rounds, as changes of that epoch.
//!
//! It is the loop's operator: the driver gives it its epochs, and it speaks for the steps in all that
//! concerns state. When it has closed an epoch it lets the steps of its worker begin the next one, so at
//! a close the state of all steps is that of the end of the epoch.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::vec::IntoIter;

use arrow::array::Int64Array;
use arrow::datatypes::SchemaRef;
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::{Change, Error, Moment, Result};
use timely::scheduling::Activator;

use super::codes::{Code, Codec};
use super::history::sum;
use super::logic::Logic;
use crate::operator::{Close, Operator, Output, Step};
use crate::operators::batches::{BATCH_ROWS, batch};

/// Lets the steps of a worker begin an epoch.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    open: Rc<Cell<u64>>,
    steps: Rc<RefCell<Vec<Activator>>>,
}

impl Gate {
    /// Returns the epoch that the steps may work at.
    pub(super) fn open(&self) -> u64 {
        self.open.get()
    }

    /// Lets the steps begin an epoch.
    pub(super) fn set(&self, epoch: u64) {
        self.open.set(epoch);
        self.steps.borrow().iter().for_each(Activator::activate);
    }

    /// Adds a step, to be activated when an epoch begins.
    pub(super) fn add(&self, step: Activator) {
        self.steps.borrow_mut().push(step);
    }
}

/// A step that the loop's operator and its own driver share.
pub(super) type Shared = Rc<RefCell<Box<dyn Logic>>>;

/// Nets what leaves a loop.
pub(super) struct Exit {
    schema: SchemaRef,
    codec: Codec,
    /// Can rows be taken back?
    is_updating: bool,
    /// By how many of each row there are more.
    came: HashMap<Code, i64>,
    /// What is to be sent, and how often, before that what is to be taken back.
    sending: IntoIter<(Code, i64)>,
    /// What is left of a row that is there many times.
    rest: Option<(Code, i64)>,
    steps: Vec<Shared>,
    gate: Gate,
    /// The epoch that is being closed.
    epoch: u64,
}

impl Exit {
    /// Returns the end of a loop whose steps keep state in `steps`.
    ///
    /// # Errors
    /// `Invalid` if values of a type cannot be compared.
    pub(super) fn new(
        schema: SchemaRef,
        is_updating: bool,
        steps: Vec<Shared>,
        gate: Gate,
    ) -> Result<Exit> {
        let codec = Codec::new(&schema, (0..schema.fields().len()).collect())?;
        let (came, sending) = (HashMap::new(), Vec::new().into_iter());
        Ok(Exit { schema, codec, is_updating, came, sending, rest: None, steps, gate, epoch: 0 })
    }

    /// Returns the next rows to send, and whether they are taken back.
    fn next(&mut self) -> (Vec<Code>, bool) {
        let mut rows = Vec::new();
        let mut is_taken_back = false;
        while let Some((row, weight)) = self.rest.take().or_else(|| self.sending.next()) {
            if rows.is_empty() {
                is_taken_back = weight < 0;
            } else if is_taken_back != (weight < 0) || rows.len() == BATCH_ROWS {
                self.rest = Some((row, weight));
                break;
            }
            let left = weight - weight.signum();
            self.rest = (left != 0).then(|| (row.clone(), left));
            rows.push(row);
        }
        (rows, is_taken_back)
    }
}

impl Operator for Exit {
    fn batch(&mut self, _: usize, change: Change, _: &mut Output) -> Result<Step> {
        for (row, code) in self.codec.encode(&change.rows)?.into_iter().enumerate() {
            let weight = self.came.entry(code).or_default();
            *weight = sum(*weight, change.weight(row))?;
        }
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.epoch = close.moment.epoch.0;
        self.steps.iter().try_for_each(|step| step.borrow_mut().audit())?;
        let mut rows: Vec<(Code, i64)> = self.came.drain().filter(|(_, w)| *w != 0).collect();
        rows.sort_unstable_by(|a, b| ((a.1 > 0), &a.0).cmp(&((b.1 > 0), &b.0)));
        if !self.is_updating && rows.first().is_some_and(|(_, weight)| *weight < 0) {
            return Err(Error::internal("a loop takes a row back whose inputs only grow"));
        }
        self.sending = rows.into_iter();
        self.resume(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        while !out.is_full() {
            let (codes, is_taken_back) = self.next();
            if codes.is_empty() {
                self.gate.set(self.epoch + 1);
                return Ok(Step::Done);
            }
            let columns = self.codec.decode(codes.iter().map(AsRef::as_ref))?;
            let rows = batch(&self.schema, columns, codes.len())?;
            let weight = if is_taken_back { -1 } else { 1 };
            let weights = self.is_updating.then(|| Int64Array::from(vec![weight; codes.len()]));
            out.send(Change { rows, weights });
        }
        Ok(Step::More)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        self.steps.iter().try_for_each(|step| step.borrow_mut().snapshot(to))
    }

    fn restore(&mut self, from: &StateReader, _: &Moment) -> Result<()> {
        self.steps.iter().try_for_each(|step| step.borrow_mut().restore(from))
    }

    fn size(&self) -> (usize, usize) {
        let sizes = self.steps.iter().map(|step| step.borrow().size());
        sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1))
    }
}

#[cfg(test)]
mod tests;
