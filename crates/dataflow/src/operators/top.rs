//! The first rows of each partition, at any time.
//!
//! Invariants: what is sent at the close of an epoch turns the first rows before it into those
//! after it, each change once; which rows are first does not depend on the order of arrival, since
//! ties are broken by the whole row. Of an input that takes nothing back no row is kept that
//! cannot be among the first any more, and most of those are seen by their sort keys alone.
//!
//! With a time-to-live, a partition of which no row was kept or taken back for so long is forgotten:
//! nothing is sent, and what takes its rows back later is left out and counted.
//!
//! Rows are kept as codes (see [`super::coded_rows`]), so that to compare, to find and to tell equal
//! rows is to compare bytes.

mod ranks;

mod arrived;
mod sending;

use arrow::array::UInt32Array;
use arrow::datatypes::SchemaRef;
use arrow::row::Rows;
use thalweg_plan::node::TopNode;
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::{Change, EventTime, Moment, Result};

use super::batches::groups_of;
use super::coded_rows::{CodedRows, PACK_PARTITIONS};
use super::idle::Idle;
use super::kept::{Entry, Kept};
use crate::operator::{Close, Operator, Output, Step};

use arrived::{Arrived, Coded};
use ranks::{Candidate, Changed, Net, Ranks};
use sending::Sending;

/// Keeps the first rows of each partition, or all that may become first.
pub struct Top {
    ranks: Ranks,
    rows: CodedRows,
    /// Does the input take rows back?
    is_retracted: bool,
    /// Do first rows stay first?
    is_final: bool,
    /// The rows of each partition.
    kept: Vec<Kept>,
    /// Rows of the open epoch.
    arrived: Vec<Arrived>,
    sending: Sending,
    /// When partitions were written, if they have a time-to-live; the clock at the last close.
    idle: Option<Idle>,
    clock: EventTime,
    /// Partitions written in the epoch that closes.
    written: Vec<u32>,
    /// Rows that were taken back and had been forgotten.
    missing: usize,
}

impl Top {
    /// Returns the operator of `node`.
    ///
    /// # Errors
    /// `Invalid` if a column has no order.
    pub fn new(node: &TopNode, input: &SchemaRef, output: SchemaRef) -> Result<Top> {
        Ok(Top {
            ranks: Ranks::new(node),
            rows: CodedRows::new(&node.partition, &node.order, input)?,
            is_retracted: node.is_retracted,
            is_final: node.final_by.is_some(),
            kept: Vec::new(),
            arrived: Vec::new(),
            sending: Sending::new(node, output),
            idle: node.ttl.map(Idle::new),
            clock: EventTime::MIN,
            written: Vec::new(),
            missing: 0,
        })
    }

    /// Returns the rows of a batch that their sort keys do not rule out.
    fn admit(&self, keys: &Rows, groups: &[u32]) -> Vec<u32> {
        let may_count = |row: &u32| {
            let kept = &self.kept[groups[*row as usize] as usize];
            if !self.ranks.is_full(kept.len()) {
                return true;
            }
            if self.is_final {
                return false;
            }
            let key = keys.row(*row as usize).data();
            kept.last().is_none_or(|last| key <= &last.code[..key.len().min(last.code.len())])
        };
        (0..groups.len() as u32).filter(may_count).collect()
    }

    /// Lets rows wait for the close of their epoch, but those that their sort keys rule out.
    fn arrive(&mut self, change: Change, groups: Vec<u32>) -> Result<()> {
        let keys = match self.is_retracted {
            true => None,
            false => self.rows.ordering.keys(&change.rows)?,
        };
        let admitted = keys.as_ref().map(|keys| self.admit(keys, &groups));
        let Some(some) = admitted.filter(|admitted| admitted.len() < groups.len()) else {
            self.arrived.push(Arrived { change, groups, keys });
            return Ok(());
        };
        if !some.is_empty() {
            let groups = some.iter().map(|row| groups[*row as usize]).collect();
            let change = change.take(&UInt32Array::from(some))?;
            let keys = self.rows.ordering.keys(&change.rows)?;
            self.arrived.push(Arrived { change, groups, keys });
        }
        Ok(())
    }

    /// Lets what arrived in the epoch change the partitions, and notes what is to be sent.
    fn settle(&mut self) -> Result<()> {
        let arrived = std::mem::take(&mut self.arrived);
        let ranks = (!self.is_retracted).then_some(&self.ranks);
        let coded = Coded::new(&arrived, ranks, &self.rows.ordering)?;
        drop(arrived);
        let Some(coded) = coded else { return Ok(()) };
        self.sending.begin(coded.rows.clone());
        // Most partitions have a row or two, so this memory serves them all.
        let mut nets: Vec<Net<'_>> = Vec::new();
        for own in coded.in_order().chunk_by(|left, right| left.group == right.group) {
            let equal = own.chunk_by(|left, right| left.code == right.code);
            nets.clear();
            nets.extend(equal.map(|equal| {
                let weight = equal.iter().map(|row| row.weight).sum();
                Net { code: equal[0].code, weight, at: equal[0].at }
            }));
            if self.idle.is_some() {
                self.leave_out(own[0].group, &mut nets);
            }
            nets.retain(|net| net.weight != 0);
            self.change(own[0].group, &nets)?;
        }
        Ok(())
    }

    /// Leaves out rows of a partition that are taken back and were forgotten.
    fn leave_out(&mut self, group: u32, nets: &mut [Net<'_>]) {
        for net in nets.iter_mut().filter(|net| net.weight < 0) {
            let there = self.kept[group as usize].count(net.code) as i64;
            let weight = net.weight.max(-there);
            self.missing += (weight - net.weight) as usize;
            net.weight = weight;
        }
    }

    /// Changes a partition.
    fn change(&mut self, group: u32, nets: &[Net<'_>]) -> Result<()> {
        if nets.is_empty() {
            return Ok(());
        }
        self.tell(group, nets)?;
        for net in nets {
            for _ in 0..net.weight {
                self.insert(group, net.code);
            }
            for _ in net.weight..0 {
                let gone = self.kept[group as usize].remove(net.code);
                let gone = gone.map_or_else(|| Err(self.rows.never_came(group, net.code)), Ok)?;
                self.rows.forget(group, gone.numbered());
            }
        }
        if !self.is_retracted {
            self.cut(group)?;
        }
        self.written.push(group);
        Ok(())
    }

    /// Notes what is to be sent of the changes of a partition.
    fn tell(&mut self, group: u32, nets: &[Net<'_>]) -> Result<()> {
        let (kept, ordering) = (&self.kept[group as usize], &self.rows.ordering);
        let sending = &mut self.sending;
        match nets {
            // Most partitions begin so, and then nothing needs to be compared.
            [net @ Net { weight: 1, .. }] if kept.is_empty() => {
                let first = self.ranks.counts(1).then_some((Candidate::came(net), 1));
                first.into_iter().for_each(|first| sending.add(group, first, 1));
            }
            _ => {
                let before = self.ranks.ranked(kept.iter().map(Candidate::kept), ordering);
                let after = self.ranks.ranked(Changed::new(kept.iter(), nets), ordering);
                self.ranks.differ(before, after, |row, weight| sending.add(group, row, weight))?;
            }
        }
        sending.gather(&self.rows)
    }

    fn insert(&mut self, group: u32, code: &[u8]) {
        let number = self.rows.keep(group, code);
        self.kept[group as usize].insert(Entry { code: code.into(), number });
    }

    /// Drops the rows of a partition that cannot be among the first any more.
    fn cut(&mut self, group: u32) -> Result<()> {
        let kept = &self.kept[group as usize];
        if kept.len() <= self.ranks.last() {
            return Ok(());
        }
        let rows = kept.iter().map(Candidate::kept);
        let reach = self.ranks.reach(rows, &self.rows.ordering)?;
        while self.kept[group as usize].len() > reach {
            if let Some(gone) = self.kept[group as usize].pop() {
                self.rows.forget(group, gone.numbered());
            }
        }
        Ok(())
    }

    fn send(&mut self, out: &mut Output) -> Result<Step> {
        let step = self.sending.send(&self.rows, out)?;
        if step == Step::Done {
            self.forget_idle(out);
        }
        Ok(step)
    }

    /// Forgets the partitions whose time is over.
    fn forget_idle(&mut self, out: &mut Output) {
        let written = std::mem::take(&mut self.written);
        let Some(idle) = &mut self.idle else { return };
        idle.write(&written, self.clock);
        let mut forgotten = std::mem::take(&mut self.missing);
        for group in idle.take(self.clock) {
            while let Some(gone) = self.kept[group as usize].pop() {
                self.rows.forget(group, gone.numbered());
                forgotten += 1;
            }
        }
        out.count_forgotten(forgotten);
    }

    /// Gives the memory of partitions without rows back, if they are most; all is saved.
    fn pack(&mut self) -> Result<()> {
        let rows = self.rows.size().1;
        if self.kept.len() < PACK_PARTITIONS.max(rows * 2) {
            return Ok(());
        }
        let groups = 0..self.kept.len() as u32;
        let live: Vec<u32> =
            groups.filter(|group| !self.kept[*group as usize].is_empty()).collect();
        self.rows.retain(&live)?;
        let kept = live.iter().map(|group| std::mem::take(&mut self.kept[*group as usize]));
        self.kept = kept.collect();
        if let Some(idle) = &mut self.idle {
            idle.renumber(&live);
        }
        Ok(())
    }
}

impl Operator for Top {
    fn batch(&mut self, _: usize, change: Change, _: &mut Output) -> Result<Step> {
        let groups = self.rows.intern(&change.rows)?;
        self.kept.resize_with(self.rows.partitions.len(), Kept::default);
        self.arrive(change, groups)?;
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
        Ok(())
    }

    fn size(&self) -> (usize, usize) {
        let (bytes, rows) = self.rows.size();
        let idle = self.idle.as_ref().map_or(0, Idle::bytes);
        (bytes + self.kept.capacity() * size_of::<Kept>() + idle, rows)
    }
}

#[cfg(test)]
mod tests;
