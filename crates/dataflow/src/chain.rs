//! A chain of stateless functions: no epochs to wait for, no state.
//!
//! Invariants: rows leave in the epoch in which they came; a row whose expression fails is
//! isolated by halving its batch, so its neighbours are neither failed nor dropped.

use std::sync::Arc;

use thalweg_plan::function::Transform;
use thalweg_plan::node::{BadRecords, MapNode};
use thalweg_plan::source::bad_record_batch;
use thalweg_types::{Change, Error, ErrorKind, Moment, Result};

use crate::operator::{Close, Operator, Output, Step};
use crate::operators::bad_rows::bad_row;

/// What becomes of one batch.
#[derive(Debug, Default)]
pub struct Mapped {
    /// Results, in order.
    pub rows: Vec<Change>,
    /// Rows whose expressions failed, where they are to be kept.
    pub bad: Vec<Change>,
    /// How many rows failed.
    pub bad_count: usize,
}

/// Applies the functions of `node` to `change`, one after the other.
///
/// # Errors
/// `Data` if an expression fails and bad records fail the job.
pub fn apply(node: &MapNode, change: Change, moment: &Moment) -> Result<Mapped> {
    let mut mapped = Mapped::default();
    match run(&node.transforms, &change, moment, &mut mapped.rows) {
        Err(error) if error.kind() == ErrorKind::Data && node.bad_records != BadRecords::Fail => {
            mapped.rows.clear();
            isolate(node, &change, moment, &mut mapped)?;
        }
        result => result.map_err(|error| error.context(&node.statement))?,
    }
    Ok(mapped)
}

fn run(
    transforms: &[Arc<dyn Transform>],
    change: &Change,
    moment: &Moment,
    out: &mut Vec<Change>,
) -> Result<()> {
    let Some((first, rest)) = transforms.split_first() else {
        out.push(change.clone());
        return Ok(());
    };
    let mut between = Vec::new();
    first.apply(change, moment, &mut between)?;
    between
        .iter()
        .filter(|change| !change.is_empty())
        .try_for_each(|change| run(rest, change, moment, out))
}

/// Halves a batch that fails until the rows at fault stand alone.
fn isolate(node: &MapNode, change: &Change, moment: &Moment, mapped: &mut Mapped) -> Result<()> {
    let mut rows = Vec::new();
    match run(&node.transforms, change, moment, &mut rows) {
        Ok(()) => mapped.rows.append(&mut rows),
        Err(error) if error.kind() != ErrorKind::Data => return Err(error),
        Err(error) if change.len() == 1 => {
            mapped.bad_count += 1;
            if node.bad_records == BadRecords::Divert {
                let bad = bad_row((&change.rows, 0), &node.statement, error.message());
                mapped.bad.push(Change::append(bad_record_batch(&[bad])?));
            }
        }
        Err(_) => {
            let half = change.len() / 2;
            isolate(node, &change.slice(0, half), moment, mapped)?;
            isolate(node, &change.slice(half, change.len() - half), moment, mapped)?;
        }
    }
    Ok(())
}

/// A chain whose rejected rows are counted by epoch, so that the count is exact after a crash.
#[derive(Debug)]
pub struct ChainOperator {
    node: MapNode,
    book: crate::book::Book,
    domains: Vec<thalweg_types::DomainId>,
    epoch: u64,
}

impl ChainOperator {
    /// Returns an operator that applies `node`, beginning in `epoch`.
    pub fn new(
        node: MapNode,
        book: crate::book::Book,
        domains: Vec<thalweg_types::DomainId>,
        epoch: u64,
    ) -> ChainOperator {
        ChainOperator { node, book, domains, epoch }
    }
}

impl Operator for ChainOperator {
    fn batch(&mut self, _: usize, change: Change, out: &mut Output) -> Result<Step> {
        let moment = self.book.moment(self.epoch, &self.domains);
        let moment = moment.ok_or_else(|| Error::internal("rows of an epoch that is not open"))?;
        let mapped = apply(&self.node, change, &moment)?;
        mapped.rows.into_iter().for_each(|change| out.send(change));
        mapped.bad.into_iter().for_each(|change| out.send_to(1, change));
        out.count_bad(mapped.bad_count);
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, _: &mut Output) -> Result<Step> {
        self.epoch = close.moment.epoch.0 + 1;
        Ok(Step::Done)
    }
}
