//! The rows of one partition from which a match may still come, and the search in them.
//!
//! Invariants: rows are in order, and no row before one of them can come any more. Nothing of a search is
//! saved: it is a function of the rows from `first` on, so that a restore begins it again.

use std::collections::VecDeque;

use thalweg_plan::pattern::{Scope, Skip};
use thalweg_types::{Error, Result};

use super::program::Program;
use super::search::{Search, Taken};
use super::trail::Trail;

/// Names of the numbers that are saved of a partition.
pub(super) const SAVED: [&str; 4] = ["first", "mapped", "matches", "has_begun"];

/// A row in its partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    pub(super) time: i64,
    pub(super) slot: u32,
    /// The variables that it can be of, as bits, as far as the row itself and its neighbours say.
    pub(super) mask: u64,
    /// The variables, as bits, of which that is to be asked again where a match has come to them.
    pub(super) doubts: u64,
}

/// A match, or a row that is in none.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) group: u32,
    /// Place of its first row in the partition.
    pub(super) first: usize,
    /// The places of the pattern of its rows.
    pub(super) places: Vec<u32>,
    /// The number of the match; `None` for a row that is in none.
    pub(super) number: Option<i64>,
}

/// What holds for all partitions at a close.
pub(super) struct Setting<'a> {
    pub(super) program: &'a Program,
    pub(super) skip: Skip,
    /// From how much on a row is too long behind the first one of a match.
    pub(super) too_long: Option<i64>,
    /// Do rows that are in no match come out?
    pub(super) shows_unmatched: bool,
    /// Rows that must be there behind a row.
    pub(super) ahead: usize,
    /// Variables of which it is asked again where a match has come to them, as bits.
    pub(super) dependent: u64,
    /// No row before this time is still to come.
    pub(super) until: i64,
    /// Has the input ended?
    pub(super) is_end: bool,
}

/// How a search goes on.
pub(super) enum Progress {
    /// With the next row.
    Waits,
    /// When it is known of these threads, and the places they wait at, whether they take the next row.
    Asks(Vec<(usize, u32)>),
    /// Behind this.
    Found(Found),
}

/// The rows of one partition.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) rows: VecDeque<Kept>,
    /// How many rows have their masks.
    pub(super) known: usize,
    /// Where the match begins that is sought.
    pub(super) first: usize,
    /// Rows before this one are in a match.
    mapped: usize,
    /// How many matches there were.
    matches: i64,
    /// Were there rows that are not kept any more?
    has_begun: bool,
    search: Search,
    is_searching: bool,
    /// Is the partition to be looked at when the time of its search is over?
    pub(super) has_timer: bool,
    /// Is there something of it in a snapshot, beside its rows?
    pub(super) is_saved: bool,
}

impl Partition {
    /// Adds a row behind all others.
    pub(super) fn push(&mut self, time: i64, slot: u32) {
        self.rows.push_back(Kept { time, slot, mask: 0, doubts: 0 });
    }

    /// Returns how many rows can be looked at: those behind which there are enough.
    pub(super) fn available(&self, setting: &Setting<'_>) -> usize {
        let ahead = if setting.is_end { 0 } else { setting.ahead };
        self.rows.len().saturating_sub(ahead)
    }

    /// Returns the number that the match has that is sought.
    pub(super) fn number(&self) -> i64 {
        self.matches + 1
    }

    /// Returns when the search is over, whatever comes; `None` if nothing is sought, or nothing says so.
    pub(super) fn deadline(&self, setting: &Setting<'_>) -> Option<i64> {
        let first = self.rows.get(self.first)?;
        Some(first.time.saturating_add(setting.too_long?))
    }

    /// Returns the place of the row that the search comes to next.
    pub(super) fn next(&self) -> usize {
        self.first + self.search.rows
    }

    /// Returns the last link of a thread of the search.
    pub(super) fn link(&self, thread: usize) -> u32 {
        self.search.link(thread)
    }

    /// Returns how many rows the search has stepped over.
    pub(super) fn stepped(&self) -> usize {
        self.search.rows
    }

    /// Returns what the threads of the search have mapped.
    pub(super) fn trail(&self) -> &Trail {
        &self.search.trail
    }

    /// Returns it to note something.
    pub(super) fn trail_mut(&mut self) -> &mut Trail {
        &mut self.search.trail
    }

    /// Forgets the states of an aggregate that no thread goes on from; see [`Trail::keep_states`].
    pub(super) fn keep_states(&mut self, program: &Program, fold: usize, kept: &mut Vec<u32>) {
        self.search.keep_states(program, fold, kept);
    }

    /// Searches on until something is found or asked; `refused` are the threads that do not take the row
    /// they were asked about, if some were.
    ///
    /// # Errors
    /// `Data` if there are too many ways to go on, or where to go on is not there.
    pub(super) fn advance(
        &mut self,
        group: u32,
        setting: &Setting<'_>,
        mut refused: Option<Vec<usize>>,
        taken: &mut Taken,
    ) -> Result<Progress> {
        let available = self.available(setting);
        loop {
            if !self.is_searching && !self.begin(setting, available) {
                return Ok(Progress::Waits);
            }
            while !self.search.is_over() {
                let next = self.next();
                if next >= self.rows.len() || self.is_out_of_reach(next, setting) {
                    if next < self.rows.len() || self.is_complete(setting) {
                        self.search.end(setting.is_end && next >= self.rows.len());
                        break;
                    }
                    return Ok(Progress::Waits);
                }
                if next >= available {
                    return Ok(Progress::Waits);
                }
                let row = self.rows[next];
                let refused = match refused.take() {
                    Some(refused) => refused,
                    None => {
                        let asked = row.mask & (setting.dependent | row.doubts);
                        let asks: Vec<_> = self.search.waiting(setting.program, asked).collect();
                        if !asks.is_empty() {
                            return Ok(Progress::Asks(asks));
                        }
                        Vec::new()
                    }
                };
                self.search.step(setting.program, (row.mask, &refused), taken)?;
            }
            self.is_searching = false;
            if let Some(found) = self.decide(group, setting)? {
                return Ok(Progress::Found(found));
            }
        }
    }

    /// Begins a search at the next row at which a match can begin; is there one?
    fn begin(&mut self, setting: &Setting<'_>, available: usize) -> bool {
        let program = setting.program;
        if !setting.shows_unmatched {
            while self.first < available && self.rows[self.first].mask & program.first == 0 {
                self.first += 1;
            }
        }
        if self.first >= available {
            return false;
        }
        let is_first = !self.has_begun && self.first == 0;
        self.search.begin(program, is_first);
        self.is_searching = true;
        true
    }

    /// Is a row too late to be of the match that is sought?
    fn is_out_of_reach(&self, row: usize, setting: &Setting<'_>) -> bool {
        let (row, first) = (self.rows[row].time, self.rows[self.first].time);
        setting.too_long.is_some_and(|time| row.saturating_sub(first) >= time)
    }

    /// Are all rows there that can be of the match that is sought?
    fn is_complete(&self, setting: &Setting<'_>) -> bool {
        let is_over = |deadline: i64| deadline <= setting.until && !self.search.asks_for_end();
        setting.is_end || self.deadline(setting).is_some_and(is_over)
    }

    /// Goes to where the next match may begin, and returns what was found, if that comes out.
    fn decide(&mut self, group: u32, setting: &Setting<'_>) -> Result<Option<Found>> {
        let first = self.first;
        let Some(places) = self.search.found() else {
            self.first += 1;
            let is_unmatched = setting.shows_unmatched && first >= self.mapped;
            let (places, number) = (Vec::new(), None);
            return Ok(is_unmatched.then_some(Found { group, first, places, number }));
        };
        self.matches += 1;
        self.first += step(&places, setting)?;
        self.mapped = self.mapped.max(first + places.len());
        Ok(Some(Found { group, first, places, number: Some(self.matches) }))
    }

    /// Takes out the rows that neither a match can have any more, nor one of the next rows looks back to;
    /// returns their slots.
    pub(super) fn trim(&mut self, back: usize) -> impl Iterator<Item = u32> + '_ {
        let gone = self.first.saturating_sub(back).min(self.rows.len());
        self.first -= gone;
        self.known -= gone.min(self.known);
        // What is before the row at which the next match may begin is not asked any more.
        self.mapped = if self.mapped > self.first + gone { self.mapped - gone } else { 0 };
        self.has_begun |= gone > 0;
        self.rows.drain(..gone).map(|row| row.slot)
    }

    /// Forgets all of the partition, and returns the slots of its rows; what a snapshot has of it is deleted
    /// with the next one, and a timer that is set fires.
    pub(super) fn begin_anew(&mut self) -> Vec<u32> {
        let Partition { has_timer, is_saved, .. } = *self;
        let gone = std::mem::replace(self, Partition { has_timer, is_saved, ..Default::default() });
        gone.rows.iter().map(|row| row.slot).collect()
    }

    /// Is nothing of the partition needed any more? With numbers, what has begun is never forgotten.
    pub(super) fn is_blank(&self, has_numbers: bool) -> bool {
        self.rows.is_empty() && !(has_numbers && self.has_begun)
    }

    /// Returns the numbers of [`SAVED`]; `None` if they are those of a new partition.
    pub(super) fn saved(&self, has_numbers: bool) -> Option<[i64; SAVED.len()]> {
        let mapped = self.mapped as i64;
        let saved = match has_numbers {
            true => [self.first as i64, mapped, self.matches, i64::from(self.has_begun)],
            false => [self.first as i64, mapped, 0, 0],
        };
        (saved != [0; SAVED.len()]).then_some(saved)
    }

    /// Takes the numbers of [`SAVED`] back, when the rows are there.
    pub(super) fn restore(&mut self, saved: [i64; SAVED.len()]) {
        let [first, mapped, matches, has_begun] = saved;
        let place = |saved: i64| usize::try_from(saved).unwrap_or(0).min(self.rows.len());
        (self.first, self.mapped) = (place(first), place(mapped));
        (self.matches, self.has_begun, self.is_saved) = (matches, has_begun != 0, true);
    }

    /// Returns about how many bytes it takes beside its own size.
    pub(super) fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Kept>() + self.search.bytes()
    }
}

/// Returns how far behind the first row of a match the next one may begin.
fn step(places: &[u32], setting: &Setting<'_>) -> Result<usize> {
    if places.is_empty() {
        return Ok(1);
    }
    let is_of = |scope: Scope| {
        move |place: &u32| scope.contains(setting.program.places[*place as usize].variable)
    };
    let row = match setting.skip {
        Skip::PastLastRow => return Ok(places.len()),
        Skip::ToNextRow => return Ok(1),
        Skip::ToFirst(scope) => places.iter().position(is_of(scope)),
        Skip::ToLast(scope) => places.iter().rposition(is_of(scope)),
    };
    match row {
        Some(0) => Err(Error::data(
            "AFTER MATCH SKIP TO the first row of a match would find the same match again",
        )
        .remedy("skip to a variable that is behind the first row of every match")),
        None => Err(Error::data("AFTER MATCH SKIP TO a variable of which a match has no row")
            .remedy("skip to a variable that every match has a row of")),
        Some(row) => Ok(row),
    }
}
