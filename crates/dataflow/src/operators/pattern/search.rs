//! The search for one match, from the row on at which it would begin.
//!
//! All ways in which the rows so far can be a part of a match are *threads*, the preferred first, each
//! waiting for a row at a place. What a thread has mapped is a chain of links (`trail.rs`): a row that n
//! threads take costs n links and no copy.
//!
//! Invariants: a match that was found is preferred to all threads that were behind it, and those are gone;
//! so it counts as soon as no thread is left. All threads have mapped as many rows.

use thalweg_types::fault::is_planted;
use thalweg_types::{Error, Result};

use super::program::{Program, Target};
use super::trail::{NONE, Trail};

/// Threads of one search, at most: only conditions that look at the match so far can make so many.
const THREADS_MAX: usize = 100_000;

/// A way in which the rows so far can be a part of a match.
#[derive(Clone, Copy, Debug)]
struct Thread {
    target: Target,
    /// What it has mapped.
    link: u32,
}

/// Places at which there is a thread already, kept between searches.
#[derive(Debug)]
pub(super) struct Taken {
    round: u32,
    rounds: Vec<u32>,
}

impl Taken {
    pub(super) fn new(program: &Program) -> Taken {
        Taken { round: 0, rounds: vec![0; program.places.len()] }
    }

    fn clear(&mut self) {
        if self.round == u32::MAX {
            self.rounds.fill(0);
            self.round = 0;
        }
        self.round += 1;
    }

    /// Takes a place; was it free?
    fn take(&mut self, place: u32) -> bool {
        std::mem::replace(&mut self.rounds[place as usize], self.round) != self.round
    }
}

/// A search.
#[derive(Debug, Default)]
pub(super) struct Search {
    threads: Vec<Thread>,
    /// Room for the threads before a step.
    spare: Vec<Thread>,
    /// What they have mapped.
    pub(super) trail: Trail,
    /// Rows that were stepped over.
    pub(super) rows: usize,
    /// The preferred match so far: its last link, and its rows.
    best: Option<(u32, usize)>,
}

impl Search {
    /// Begins at a row.
    pub(super) fn begin(&mut self, program: &Program, is_first: bool) {
        (self.rows, self.best) = (0, None);
        self.threads.clear();
        self.trail.clear();
        for target in program.begin(is_first) {
            match target {
                Target::Match => self.best = Some((NONE, 0)),
                _ => self.threads.push(Thread { target: *target, link: NONE }),
            }
        }
    }

    /// Is it known whether there is a match, and which?
    pub(super) fn is_over(&self) -> bool {
        self.threads.is_empty()
    }

    /// Is there a match if the partition has no further row?
    pub(super) fn asks_for_end(&self) -> bool {
        self.threads.iter().any(|thread| thread.target == Target::MatchAtEnd)
    }

    /// Returns the threads that wait for a row at a place whose variable is one of `asked`, as bits: by
    /// number, with the place.
    pub(super) fn waiting<'a>(
        &'a self,
        program: &'a Program,
        asked: u64,
    ) -> impl Iterator<Item = (usize, u32)> + 'a {
        self.threads.iter().enumerate().filter_map(move |(number, thread)| match thread.target {
            Target::Place(place) => {
                let variable = program.places[place as usize].variable;
                (asked & variable.bit() != 0).then_some((number, place))
            }
            Target::Match | Target::MatchAtEnd => None,
        })
    }

    /// Steps over a row, which can be of the variables `mask`, as bits; threads in `refused`, in ascending
    /// order, do not take it whatever the mask says.
    ///
    /// # Errors
    /// `Data` if there are too many ways to go on.
    pub(super) fn step(
        &mut self,
        program: &Program,
        (mask, refused): (u64, &[usize]),
        taken: &mut Taken,
    ) -> Result<()> {
        let mut refused = refused.iter().peekable();
        taken.clear();
        self.rows += 1;
        let spare = std::mem::take(&mut self.spare);
        let mut before = std::mem::replace(&mut self.threads, spare);
        for (number, thread) in before.iter().enumerate() {
            let is_refused = refused.next_if_eq(&&number).is_some();
            let Target::Place(place) = thread.target else { continue };
            let at = &program.places[place as usize];
            if is_refused || mask & at.variable.bit() == 0 {
                continue;
            }
            let link = self.trail.push(program, place, thread.link);
            if self.go_on(program, place, link, taken) {
                break;
            }
        }
        before.clear();
        self.spare = before;
        if self.threads.len() > THREADS_MAX {
            return Err(Error::data(format!(
                "more than {THREADS_MAX} ways to go on with one match of a pattern"
            ))
            .remedy(
                "write conditions that look at the match so far (FIRST, aggregates, columns of other \
                 variables) for variables that are not repeated within a repeated group, or use WITHIN",
            ));
        }
        if self.trail.is_long() {
            self.drop_links(program);
        }
        Ok(())
    }

    /// Adds what may follow a place; returns whether the match may end there, so that no thread behind
    /// counts.
    fn go_on(&mut self, program: &Program, place: u32, link: u32, taken: &mut Taken) -> bool {
        for target in &program.places[place as usize].next {
            match *target {
                Target::Match => {
                    self.best = Some((link, self.rows));
                    return !is_planted("kept-threads");
                }
                Target::Place(next) if program.places[next as usize].is_free => {
                    if taken.take(next) {
                        self.threads.push(Thread { target: *target, link });
                    }
                }
                Target::Place(_) | Target::MatchAtEnd => {
                    self.threads.push(Thread { target: *target, link });
                }
            }
        }
        false
    }

    /// Ends the search, since no further row can be of the match; does the partition end, too?
    pub(super) fn end(&mut self, is_partition_end: bool) {
        let mut threads = self.threads.drain(..);
        let at_end = threads.find(|thread| thread.target == Target::MatchAtEnd);
        if let Some(thread) = at_end.filter(|_| is_partition_end) {
            self.best = Some((thread.link, self.rows));
        }
    }

    /// Returns the places of the rows of the match that was found, if there is one.
    pub(super) fn found(&self) -> Option<Vec<u32>> {
        self.best.map(|(link, rows)| self.trail.chain(link, rows))
    }

    /// Returns the last link of a thread.
    pub(super) fn link(&self, thread: usize) -> u32 {
        self.threads[thread].link
    }

    /// Forgets the states of an aggregate that no thread goes on from; see [`Trail::keep_states`].
    pub(super) fn keep_states(&mut self, program: &Program, fold: usize, kept: &mut Vec<u32>) {
        let mut heads: Vec<u32> = self.threads.iter().map(|thread| thread.link).collect();
        heads.sort_unstable();
        heads.dedup();
        self.trail.keep_states(&program.layout, (&heads, fold), kept);
    }

    /// Drops the links that nothing leads to.
    fn drop_links(&mut self, program: &Program) {
        let best = self.best.iter().map(|(link, _)| *link);
        let heads = self.threads.iter().map(|thread| thread.link).chain(best);
        let renumbered = self.trail.drop_links(&program.layout, heads);
        self.threads.iter_mut().for_each(|thread| thread.link = renumbered(thread.link));
        self.best = self.best.map(|(link, rows)| (renumbered(link), rows));
    }

    /// Returns about how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.threads.capacity() * size_of::<Thread>() + self.trail.bytes()
    }
}
