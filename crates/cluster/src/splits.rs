//! Which split is read next, and where each one is. Pure.
//!
//! Invariants: a split is given to one worker only; splits are given out in the order of their
//! discovery, those begun in an earlier attempt first; what stands in a manifest is exactly what
//! the sources cut, less finished splits of sequences that went on: a file that grows for a year
//! leaves two of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};
use thalweg_dataflow::job::{SplitProgress, hold_of_sequence, hold_of_split};
use thalweg_plan::source::{Offset, Split};
use thalweg_plan::trail::Trail;
use thalweg_storage::checkpoint::manifest::{SourceState, SplitState};
use thalweg_types::{EventTime, Result, SplitId};

/// A split and where to begin in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The split.
    pub split: Split,
    /// Which one it is, in the order of discovery.
    pub number: usize,
    /// Where to go on; `None` for its start.
    pub offset: Option<Offset>,
    /// Its watermark when it was last cut.
    pub watermark: EventTime,
    /// What was known of its times then, or of those of others if it is not begun.
    pub trail: Trail,
}

/// What a reader is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Read this.
    Read(Box<Assignment>),
    /// Nothing now; wait.
    Wait,
    /// Nothing any more.
    End,
}

/// The splits of one source.
#[derive(Clone, Debug, Default)]
pub struct Splits {
    states: BTreeMap<SplitId, SplitState>,
    /// What is known of the times of those that have some, where watermarks trail them.
    trails: BTreeMap<SplitId, Trail>,
    /// Splits by number, in the order of their discovery.
    order: BTreeMap<usize, SplitId>,
    /// The next number.
    next: usize,
    waiting: VecDeque<SplitId>,
    is_complete: bool,
}

impl Splits {
    /// Returns the splits of a manifest; those not finished wait to be read, begun ones first.
    ///
    /// # Errors
    /// `State` if what is known of the times of one cannot be read.
    pub fn restored(state: &SourceState) -> Result<Splits> {
        let mut splits = Splits::default();
        for state in &state.splits {
            if let Some(stored) = &state.trail {
                splits.trails.insert(SplitId(state.id.clone()), Trail::restore(stored)?);
            }
            splits.add(state.clone());
        }
        let open = |is_begun: bool| {
            let of = |id: &&SplitId| {
                let state = &splits.states[*id];
                !state.is_finished && state.is_begun == is_begun
            };
            splits.order.values().filter(of).cloned().collect::<Vec<_>>()
        };
        let waiting = open(true).into_iter().chain(open(false)).collect();
        splits.waiting = waiting;
        Ok(splits)
    }

    /// Adds discovered splits; `is_complete` says that these were the last ones. Returns the
    /// sequences that were not known.
    pub fn discovered(&mut self, found: Vec<Split>, is_complete: bool) -> Vec<String> {
        let known: BTreeSet<String> =
            self.states.values().map(|state| state.sequence.clone()).collect();
        let mut sequences = Vec::new();
        for split in found {
            if self.states.contains_key(&split.id) {
                continue;
            }
            if !known.contains(&split.sequence) && !sequences.contains(&split.sequence) {
                sequences.push(split.sequence.clone());
            }
            self.waiting.push_back(split.id.clone());
            self.add(SplitState {
                id: split.id.0.clone(),
                sequence: split.sequence,
                payload: split.payload,
                is_begun: false,
                offset: None,
                is_finished: false,
                watermark: EventTime::MIN.0,
                trail: None,
            });
        }
        self.is_complete |= is_complete;
        sequences
    }

    fn add(&mut self, state: SplitState) {
        let id = SplitId(state.id.clone());
        self.order.insert(self.next, id.clone());
        self.next += 1;
        self.states.insert(id, state);
    }

    /// Returns all known splits.
    pub fn known(&self) -> Vec<Split> {
        self.order.values().map(|id| split_of(&self.states[id])).collect()
    }

    /// Returns what a reader without a split should do.
    pub fn assign(&mut self) -> Answer {
        match self.waiting.pop_front() {
            Some(id) => {
                let state = &self.states[&id];
                let number = self.order.iter().find(|(_, known)| **known == id);
                let number = number.map(|(number, _)| *number).unwrap_or_default();
                Answer::Read(Box::new(Assignment {
                    split: split_of(state),
                    number,
                    offset: state.offset.clone().map(Offset),
                    watermark: EventTime(state.watermark),
                    trail: self.trail_of(&id),
                }))
            }
            None if self.is_complete => Answer::End,
            None => Answer::Wait,
        }
    }

    /// Returns what is known of the times of a split, or else of those of all others.
    fn trail_of(&self, id: &SplitId) -> Trail {
        match self.trails.get(id) {
            Some(trail) => trail.clone(),
            None => Trail::behind(self.trails.values()),
        }
    }

    /// Returns what holds the watermark back until it is opened: sequences none of whose splits is
    /// begun, and unfinished splits up to the last one of their sequence that is begun.
    pub fn holds(&self) -> Vec<String> {
        let mut last_begun: BTreeMap<&str, usize> = BTreeMap::new();
        for (place, id) in &self.order {
            if self.states[id].is_begun {
                last_begun.insert(&self.states[id].sequence, *place);
            }
        }
        let mut holds = BTreeSet::new();
        for (place, id) in &self.order {
            let state = &self.states[id];
            match last_begun.get(state.sequence.as_str()) {
                _ if state.is_finished => {}
                None => {
                    holds.insert(hold_of_sequence(&state.sequence));
                }
                Some(last) if place <= last => {
                    holds.insert(hold_of_split(id));
                }
                Some(_) => {}
            }
        }
        holds.into_iter().collect()
    }

    /// Takes what a source cut at a checkpoint.
    pub fn cut(&mut self, progress: &[SplitProgress]) {
        for one in progress {
            if let Some(state) = self.states.get_mut(&one.split) {
                state.is_begun = true;
                state.offset = one.offset.as_ref().map(|offset| offset.0.clone());
                state.is_finished = one.is_finished;
                state.watermark = one.watermark.0;
                if let Some(trail) = &one.trail {
                    self.trails.insert(one.split.clone(), trail.clone());
                }
            }
        }
        self.forget();
    }

    /// Forgets finished splits behind which another one of their sequence is finished: the last
    /// one tells the source how far it came.
    fn forget(&mut self) {
        let mut last: BTreeMap<&str, usize> = BTreeMap::new();
        let finished = self.order.iter().filter(|(_, id)| self.states[*id].is_finished);
        let mut gone = Vec::new();
        for (number, id) in finished {
            let before = last.insert(&self.states[id].sequence, *number);
            gone.extend(before.map(|before| (before, *number)));
        }
        for (number, heir) in gone {
            let Some(id) = self.order.remove(&number) else { continue };
            self.states.remove(&id);
            if let (Some(trail), Some(heir)) = (self.trails.remove(&id), self.order.get(&heir)) {
                self.trails.entry(heir.clone()).or_default().absorb(&trail);
            }
        }
    }

    /// Returns the state for a manifest.
    pub fn state(&self) -> SourceState {
        let state = |id: &SplitId| {
            let trail = self.trails.get(id).map(Trail::store);
            SplitState { trail, ..self.states[id].clone() }
        };
        SourceState { splits: self.order.values().map(state).collect() }
    }
}

fn split_of(state: &SplitState) -> Split {
    Split {
        id: SplitId(state.id.clone()),
        sequence: state.sequence.clone(),
        payload: state.payload.clone(),
    }
}

#[cfg(test)]
mod tests;
