//! `OVER` windows whose results are updated: over rows that are taken back, or in any order.
//!
//! Invariants: what is sent at the close of an epoch turns the values before it into those after it,
//! each change once, and what is taken back stands before what comes. Only rows that a change reaches
//! are computed again, once as they were and once as they are: no value is kept. Aggregates over all
//! rows up to a row keep their totals over each whole partition, and go back by taking rows back; those
//! that cannot do so exactly are computed from the first row on.
//!
//! With a time-to-live, a partition of which no row was written for so long is forgotten: nothing is
//! sent, and what takes its rows back later is left out and counted.

use arrow::array::{Int64Array, UInt32Array};
use arrow::compute::take_arrays;
use arrow::datatypes::SchemaRef;
use arrow::row::{RowConverter, Rows, SortField};
use thalweg_plan::node::OverNode;
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::{Change, EventTime, Moment, Result};

use super::WORK_ROWS;
use super::reach::{Net, Reach};
use super::runs::Runs;
use super::values::Values;
use crate::operator::{Close, Operator, Output, Step};
use crate::operators::batches::{BATCH_ROWS, batch, groups_of, next_rows};
use crate::operators::coded_rows::{CodedRows, PACK_PARTITIONS};
use crate::operators::idle::Idle;
use crate::operators::kept::{Entry, Kept};

/// Keeps all rows of each partition, in order.
pub struct UpdatingOver {
    node: OverNode,
    rows: CodedRows,
    /// The rows of each partition.
    kept: Vec<Kept>,
    reach: Reach,
    values: Values,
    /// Tells values apart.
    converter: RowConverter,
    input: SchemaRef,
    output: SchemaRef,
    /// Rows that came in the open epoch.
    arrived: Vec<Arrived>,
    /// What changed in each partition in the epoch that closes, and the next of them.
    changed: (Vec<(u32, Vec<Net>)>, usize),
    /// What is being sent, and the next row of it.
    sending: Option<(Change, usize)>,
    /// When partitions were written, if they have a time-to-live; the clock at the last close.
    idle: Option<Idle>,
    clock: EventTime,
    /// Rows that were taken back and had been forgotten.
    missing: usize,
}

/// Rows of a batch.
struct Arrived {
    codes: Rows,
    groups: Vec<u32>,
    weights: Option<Int64Array>,
}

impl UpdatingOver {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a column has no order, or an aggregate does not take its argument.
    pub fn new(node: &OverNode, input: &SchemaRef, output: SchemaRef) -> Result<UpdatingOver> {
        let values = Values::new(node, input)?;
        let results = output.fields().iter().skip(input.fields().len());
        let results = results.map(|field| SortField::new(field.data_type().clone())).collect();
        Ok(UpdatingOver {
            rows: CodedRows::new(&node.partition, &node.order, input)?,
            kept: Vec::new(),
            reach: Reach::new(node, &values),
            values,
            converter: RowConverter::new(results)?,
            input: input.clone(),
            output,
            arrived: Vec::new(),
            changed: (Vec::new(), 0),
            sending: None,
            idle: node.ttl.map(Idle::new),
            clock: EventTime::MIN,
            missing: 0,
            node: node.clone(),
        })
    }

    /// Lets what arrived in the epoch change the partitions.
    fn settle(&mut self) -> Result<()> {
        let arrived = std::mem::take(&mut self.arrived);
        let rows = arrived.iter().flat_map(|batch| {
            let weight = |row| batch.weights.as_ref().map_or(1, |weights| weights.value(row));
            let rows = batch.groups.iter().enumerate();
            rows.map(move |(row, group)| (*group, batch.codes.row(row).data(), weight(row)))
        });
        let mut rows: Vec<(u32, &[u8], i64)> = rows.collect();
        // Stable, since that makes use of what is in order already.
        rows.sort_by(|left, right| (left.0, left.1).cmp(&(right.0, right.1)));
        let mut changed = Vec::new();
        for own in rows.chunk_by(|left, right| left.0 == right.0) {
            let equal = own.chunk_by(|left, right| left.1 == right.1);
            let nets = equal.map(|equal| {
                let weight = equal.iter().map(|(_, _, weight)| weight).sum();
                Net { code: equal[0].1.into(), weight }
            });
            let mut nets: Vec<Net> = nets.collect();
            if self.idle.is_some() {
                self.leave_out(own[0].0, &mut nets);
            }
            nets.retain(|net| net.weight != 0);
            self.apply(own[0].0, &nets)?;
            if !nets.is_empty() {
                changed.push((own[0].0, nets));
            }
        }
        self.changed = (changed, 0);
        Ok(())
    }

    /// Leaves out rows of a partition that are taken back and were forgotten.
    fn leave_out(&mut self, group: u32, nets: &mut [Net]) {
        for net in nets.iter_mut().filter(|net| net.weight < 0) {
            let there = self.kept[group as usize].count(&net.code) as i64;
            let weight = net.weight.max(-there);
            self.missing += (weight - net.weight) as usize;
            net.weight = weight;
        }
    }

    /// Changes the rows of a partition.
    fn apply(&mut self, group: u32, nets: &[Net]) -> Result<()> {
        let kept = &mut self.kept[group as usize];
        for net in nets {
            for _ in 0..net.weight {
                let number = self.rows.keep(group, &net.code);
                kept.insert(Entry { code: net.code.clone(), number });
            }
            for _ in net.weight..0 {
                let gone = kept.remove(&net.code);
                let gone = gone.map_or_else(|| Err(self.rows.never_came(group, &net.code)), Ok)?;
                self.rows.forget(group, gone.numbered());
            }
        }
        Ok(())
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        loop {
            if let Some((change, next)) = &mut self.sending {
                while *next < change.len() {
                    if out.is_full() {
                        return Ok(Step::More);
                    }
                    let range = next_rows(*next, change.len(), BATCH_ROWS);
                    *next = range.end;
                    out.send(change.slice(range.start, range.len()));
                }
            }
            self.sending = self.compute()?.map(|change| (change, 0));
            if self.sending.is_none() {
                self.forget_idle(out)?;
                self.changed = (Vec::new(), 0);
                return Ok(Step::Done);
            }
        }
    }

    /// Computes what becomes of the values of the next partitions; `None` if all are done.
    fn compute(&mut self) -> Result<Option<Change>> {
        let (changed, next) = &mut self.changed;
        let mut runs = Runs::new(&self.node, &self.reach, &self.rows.ordering);
        let from = *next;
        while let Some((group, nets)) = changed.get(*next)
            && runs.len() < WORK_ROWS
        {
            runs.add(*group, &self.kept[*group as usize], nets)?;
            *next += 1;
        }
        if from == *next {
            return Ok(None);
        }
        let groups: Vec<u32> = runs.rows.iter().map(|(group, _)| *group).collect();
        let codes = runs.rows.iter().map(|(_, code)| *code);
        let rows = batch(&self.input, self.rows.columns(&groups, codes)?, groups.len())?;
        let mut steps = runs.steps(&rows, &self.values, self.kept.len())?;
        let computed = runs.computed();
        let values = self.values.compute(&mut steps, &computed, &rows)?;
        self.values.clear();
        let (places, weights) = runs.differ(&self.converter.convert_columns(&values)?);
        let own: UInt32Array = places.iter().map(|place| computed[*place as usize]).collect();
        let mut columns = take_arrays(rows.columns(), &own, None)?;
        columns.extend(take_arrays(&values, &UInt32Array::from(places), None)?);
        let rows = batch(&self.output, columns, weights.len())?;
        Change::weighted(rows, weights.into()).map(Some)
    }

    /// Forgets the partitions whose time is over.
    fn forget_idle(&mut self, out: &mut Output) -> Result<()> {
        let Some(idle) = &mut self.idle else { return Ok(()) };
        let written: Vec<u32> = self.changed.0.iter().map(|(group, _)| *group).collect();
        idle.write(&written, self.clock);
        let mut forgotten = std::mem::take(&mut self.missing);
        for group in idle.take(self.clock) {
            let kept = std::mem::take(&mut self.kept[group as usize]);
            forgotten += kept.len();
            let frames = (0..self.node.frames().len()).filter(|frame| self.values.stays(*frame));
            let frames: Vec<usize> = frames.collect();
            if !frames.is_empty() {
                let codes = kept.iter().map(|row| &*row.code);
                let gone = self.rows.columns(&vec![group; kept.len()], codes)?;
                let gone = batch(&self.input, gone, kept.len())?;
                for frame in frames {
                    self.values.take_back(frame, &gone, (group, self.kept.len()))?;
                }
            }
            kept.iter().for_each(|gone| self.rows.forget(group, gone.numbered()));
        }
        out.count_forgotten(forgotten);
        Ok(())
    }

    /// Gives the memory of partitions without rows back, if they are most; all is saved.
    fn pack(&mut self) -> Result<()> {
        if self.kept.len() < PACK_PARTITIONS.max(self.rows.size().1 * 2) {
            return Ok(());
        }
        let groups = 0..self.kept.len() as u32;
        let live: Vec<u32> =
            groups.filter(|group| !self.kept[*group as usize].is_empty()).collect();
        self.rows.retain(&live)?;
        let kept = live.iter().map(|group| std::mem::take(&mut self.kept[*group as usize]));
        self.kept = kept.collect();
        self.values.retain(&live)?;
        if let Some(idle) = &mut self.idle {
            idle.renumber(&live);
        }
        Ok(())
    }

    /// Makes the totals of all partitions.
    fn total(&mut self) -> Result<()> {
        if !self.values.has_staying() {
            return Ok(());
        }
        let rows = self.kept.iter().zip(0..);
        let rows = rows.flat_map(|(kept, group)| kept.iter().map(move |row| (group, &*row.code)));
        let rows: Vec<(u32, &[u8])> = rows.collect();
        for rows in rows.chunks(WORK_ROWS) {
            let groups: Vec<u32> = rows.iter().map(|(group, _)| *group).collect();
            let columns = self.rows.columns(&groups, rows.iter().map(|(_, code)| *code))?;
            let rows = batch(&self.input, columns, groups.len())?;
            self.values.add(&rows, &groups, self.kept.len())?;
        }
        Ok(())
    }
}

impl Operator for UpdatingOver {
    fn batch(&mut self, _: usize, change: Change, _: &mut Output) -> Result<Step> {
        let groups = self.rows.intern(&change.rows)?;
        self.kept.resize_with(self.rows.partitions.len(), Kept::default);
        let codes = self.rows.ordering.rows(&change.rows)?;
        self.arrived.push(Arrived { codes, groups, weights: change.weights });
        Ok(Step::Done)
    }

    fn close(&mut self, close: &Close, out: &mut Output) -> Result<Step> {
        self.clock = close.moment.clock;
        self.settle()?;
        self.send(out)
    }

    fn resume(&mut self, out: &mut Output) -> Result<Step> {
        self.send(out)
    }

    fn wake(&self) -> Option<EventTime> {
        self.idle.as_ref().and_then(Idle::wake)
    }

    fn snapshot(&mut self, to: &mut StateWriter) -> Result<()> {
        let kept = &self.kept;
        self.rows.snapshot(to, |group| kept[group as usize].iter().map(Entry::numbered))?;
        self.pack()
    }

    fn restore(&mut self, from: &StateReader, at: &Moment) -> Result<()> {
        let kept = &mut self.kept;
        self.rows.restore(from, |row| {
            let group = row.group as usize;
            kept.resize_with(kept.len().max(group + 1), Kept::default);
            kept[group].insert(Entry { code: row.code.into(), number: row.number });
            Ok(())
        })?;
        if let Some(idle) = &mut self.idle {
            idle.write(&groups_of(0..self.kept.len()), at.clock);
        }
        self.total()
    }

    fn size(&self) -> (usize, usize) {
        let (bytes, rows) = self.rows.size();
        let idle = self.idle.as_ref().map_or(0, Idle::bytes);
        let kept = self.kept.capacity() * size_of::<Kept>();
        (bytes + kept + self.values.bytes() + idle, rows)
    }
}

#[cfg(test)]
mod tests;
