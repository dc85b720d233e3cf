//! The exchange: rows of a batch to the workers that own their keys.
//!
//! Invariants: rows are neither lost nor doubled, since timely counts them; rows of one sender
//! keep their order at each receiver. With one worker none of this runs.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use thalweg_types::{KeyGroups, Result, WorkerId, hash};
use timely::communication::Push;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pushers::exchange::Distributor;

use crate::container::Container;
use crate::stats::Counters;

/// Sends each row to the owner of its key.
#[derive(Debug)]
pub struct KeyDistributor {
    columns: Vec<usize>,
    groups: KeyGroups,
    /// Who sends, and where is counted what it sends to others.
    sender: (WorkerId, Arc<Counters>),
    hashes: Vec<u64>,
}

impl KeyDistributor {
    /// Returns a distributor by the key in `columns`; without columns all rows have one key.
    pub fn new(
        columns: Vec<usize>,
        groups: KeyGroups,
        sender: (WorkerId, Arc<Counters>),
    ) -> KeyDistributor {
        KeyDistributor { columns, groups, sender, hashes: Vec::new() }
    }

    /// Returns, for each worker, the positions of its rows.
    fn positions(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<Vec<u32>>> {
        let key: Vec<ArrayRef> = self.columns.iter().map(|c| columns[*c].clone()).collect();
        hash::hash_rows(&key, rows, &mut self.hashes)?;
        // A little more than each worker's share.
        let most = rows / self.groups.workers * 9 / 8 + 16;
        let mut positions = vec![Vec::with_capacity(most); self.groups.workers];
        for (row, hash) in self.hashes.iter().enumerate() {
            positions[self.groups.owner(self.groups.group_of(*hash)).0].push(row as u32);
        }
        Ok(positions)
    }

    fn count(&self, owner: usize, part: &Container) {
        let (sender, counters) = &self.sender;
        if let Some(change) = part.change().filter(|_| owner != sender.0) {
            counters.count_moved(change.len(), change.bytes());
        }
    }

    /// Splits a container into one for each worker that gets rows.
    fn split(&mut self, container: &Container) -> Result<Vec<(usize, Container)>> {
        let Some(change) = container.change() else { return Ok(Vec::new()) };
        let positions = self.positions(change.rows.columns(), change.len())?;
        if let Some(owner) = positions.iter().position(|rows| rows.len() == change.len()) {
            return Ok(vec![(owner, container.clone())]);
        }
        let parts = positions.into_iter().enumerate().filter(|(_, rows)| !rows.is_empty());
        parts
            .map(|(owner, rows)| {
                let part = change.take(&UInt32Array::from(rows))?;
                Ok((owner, container.part(part)))
            })
            .collect()
    }
}

impl Distributor<Container> for KeyDistributor {
    fn partition<T: Clone, P: Push<Message<T, Container>>>(
        &mut self,
        container: &mut Container,
        time: &T,
        pushers: &mut [P],
    ) {
        let taken = std::mem::take(container);
        let parts = self.split(&taken).expect("planned: key columns can be hashed");
        for (owner, mut part) in parts {
            self.count(owner, &part);
            Message::push_at(&mut part, time.clone(), &mut pushers[owner]);
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Container>>>(&mut self, _: &T, _: &mut [P]) {}
}

/// Sends everything to every worker.
#[derive(Debug)]
pub struct AllDistributor;

impl Distributor<Container> for AllDistributor {
    fn partition<T: Clone, P: Push<Message<T, Container>>>(
        &mut self,
        container: &mut Container,
        time: &T,
        pushers: &mut [P],
    ) {
        let taken = std::mem::take(container);
        for pusher in pushers {
            Message::push_at(&mut taken.clone(), time.clone(), pusher);
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Container>>>(&mut self, _: &T, _: &mut [P]) {}
}

/// Sends everything to one worker.
#[derive(Debug)]
pub struct HomeDistributor(pub usize);

impl Distributor<Container> for HomeDistributor {
    fn partition<T: Clone, P: Push<Message<T, Container>>>(
        &mut self,
        container: &mut Container,
        time: &T,
        pushers: &mut [P],
    ) {
        Message::push_at(container, time.clone(), &mut pushers[self.0]);
    }

    fn flush<T: Clone, P: Push<Message<T, Container>>>(&mut self, _: &T, _: &mut [P]) {}
}
