//! Is the checkpoint complete, and what does its manifest say? Pure.
//!
//! Invariant: a checkpoint is complete when every source instance has cut, every driven operator
//! has saved and every writer has prepared; until then nothing of it counts.

use std::collections::BTreeMap;

use thalweg_dataflow::job::SplitProgress;
use thalweg_plan::sink::Prepared;
use thalweg_storage::checkpoint::manifest::{Chain, StateFile};
use thalweg_types::{EpochInfo, KeyGroups, NodeId, WorkerId};

/// How many answers a checkpoint needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Source instances.
    pub cuts: usize,
    /// Driven operators.
    pub saves: usize,
    /// Writers.
    pub prepared: usize,
}

/// A state file of one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The worker.
    pub worker: WorkerId,
    /// Is it the whole state?
    pub is_full: bool,
    /// The file, unless nothing changed.
    pub file: Option<StateFile>,
}

/// A checkpoint in the making.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Facts of its epoch.
    pub info: EpochInfo,
    /// Splits, by source.
    pub cuts: Vec<(NodeId, Vec<SplitProgress>)>,
    /// State files, by operator.
    pub saves: Vec<(NodeId, Saved)>,
    /// What writers prepared, by sink.
    pub prepared: Vec<(NodeId, Prepared)>,
    /// Rows read, late and bad since the attempt began, by name and worker.
    pub counters: BTreeMap<(String, usize), u64>,
}

impl Checkpoint {
    /// Returns a checkpoint without answers.
    pub fn new(info: EpochInfo) -> Checkpoint {
        let (cuts, saves, prepared) = (Vec::new(), Vec::new(), Vec::new());
        Checkpoint { info, cuts, saves, prepared, counters: BTreeMap::new() }
    }

    /// Are all answers there?
    pub fn is_complete(&self, expected: Expected) -> bool {
        self.cuts.len() == expected.cuts
            && self.saves.len() == expected.saves
            && self.prepared.len() == expected.prepared
    }
}

/// Returns the chains of an operator after its workers saved.
///
/// A whole state begins a new chain; a change is added to the worker's chain. Chains of an
/// earlier attempt count only until the first checkpoint of this one, in which all workers save
/// their whole state.
pub fn chains(old: &[Chain], saves: &[Saved], groups: KeyGroups) -> Vec<Chain> {
    let mut chains = Vec::new();
    for save in saves {
        let owned = groups.owned_by(save.worker);
        let before = old.iter().find(|chain| chain.groups == owned && !save.is_full);
        let mut files = before.map(|chain| chain.files.clone()).unwrap_or_default();
        files.extend(save.file.clone());
        chains.push(Chain { groups: owned, files });
    }
    chains.sort_by_key(|chain| chain.groups.start);
    chains
}

#[cfg(test)]
mod tests;
