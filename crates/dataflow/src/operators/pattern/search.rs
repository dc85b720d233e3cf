//! The search for one match, from the row on at which it would begin.
//!
//! All ways in which the rows so far can be a part of a match are *threads*, the preferred first, each
//! waiting for a row at a place. What a thread has mapped is a chain of links, whose beginning threads share:
//! a row that n threads take costs n links and no copy.
//!
//! Invariants: a match that was found is preferred to all threads that were behind it, and those are gone;
//! so it counts as soon as no thread is left. All threads have mapped as many rows.

use thalweg_types::fault::is_planted;
use thalweg_types::{Error, Result};

use super::program::{Program, Target};

/// Threads of one search, at most: only conditions that look at the match so far can make so many.
const THREADS_MAX: usize = 100_000;
/// Links from which on those are dropped that no thread has any more.
const LINKS_MIN: usize = 1024;
/// No link: nothing is mapped yet.
const NONE: u32 = u32::MAX;

/// A way in which the rows so far can be a part of a match.
#[derive(Clone, Copy, Debug)]
struct Thread {
    target: Target,
    /// What it has mapped.
    link: u32,
}

/// A row that was mapped, and what before it.
#[derive(Clone, Copy, Debug)]
struct Link {
    before: u32,
    place: u32,
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
    links: Vec<Link>,
    /// Rows that were stepped over.
    pub(super) rows: usize,
    /// The preferred match so far: its last link, and its rows.
    best: Option<(u32, usize)>,
    links_max: usize,
}

impl Search {
    /// Begins at a row.
    pub(super) fn begin(&mut self, program: &Program, is_first: bool) {
        (self.rows, self.best, self.links_max) = (0, None, LINKS_MIN);
        self.threads.clear();
        self.links.clear();
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
            let link = self.links.len() as u32;
            self.links.push(Link { before: thread.link, place });
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
        if self.links.len() > self.links_max {
            self.drop_links();
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
        self.best.map(|(link, rows)| self.chain(link, rows))
    }

    /// Returns the places of the rows that a thread has mapped.
    pub(super) fn mapped(&self, thread: usize) -> Vec<u32> {
        self.chain(self.threads[thread].link, self.rows)
    }

    fn chain(&self, last: u32, rows: usize) -> Vec<u32> {
        let mut places = Vec::with_capacity(rows + 1);
        let mut link = last;
        while let Some(Link { before, place }) = self.links.get(link as usize) {
            places.push(*place);
            link = *before;
        }
        places.reverse();
        places
    }

    /// Drops the links that nothing leads to.
    fn drop_links(&mut self) {
        let mut new = vec![NONE; self.links.len()];
        let best = self.best.iter().map(|(link, _)| *link);
        for last in self.threads.iter().map(|thread| thread.link).chain(best) {
            let mut link = last;
            while link != NONE && new[link as usize] == NONE {
                new[link as usize] = 0;
                link = self.links[link as usize].before;
            }
        }
        // Links stand behind those before them, so that these have their new numbers already.
        let mut kept = Vec::new();
        for (old, link) in self.links.iter().enumerate() {
            if new[old] != NONE {
                new[old] = kept.len() as u32;
                let before = new.get(link.before as usize).copied().unwrap_or(NONE);
                kept.push(Link { before, ..*link });
            }
        }
        let renumbered = |link: u32| new.get(link as usize).copied().unwrap_or(NONE);
        self.threads.iter_mut().for_each(|thread| thread.link = renumbered(thread.link));
        self.best = self.best.map(|(link, rows)| (renumbered(link), rows));
        self.links = kept;
        self.links_max = LINKS_MIN.max(self.links.len() * 2);
    }

    /// Returns about how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        self.threads.capacity() * size_of::<Thread>() + self.links.capacity() * size_of::<Link>()
    }
}
