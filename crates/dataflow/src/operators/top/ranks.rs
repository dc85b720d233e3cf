//! Which rows of a partition are first, and what a change does to that.
//!
//! Pure: rows come in order, as codes, and codes go out.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::ops::RangeInclusive;

use thalweg_plan::node::{Ranking, TopNode};
use thalweg_types::Result;

use crate::operators::kept::Entry;
use crate::operators::ordering::Ordering as RowOrdering;

/// How rows in order are numbered, and which of the numbers count.
#[derive(Clone, Debug)]
pub(super) struct Ranks {
    ranking: Ranking,
    ranks: RangeInclusive<usize>,
    has_rank: bool,
}

/// A row that may be among the first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    /// The row.
    pub(super) code: &'a [u8],
    /// Its place among the rows that came; `None` of one that was there.
    pub(super) came: Option<u32>,
}

impl<'a> Candidate<'a> {
    /// Returns a row that is there.
    pub(super) fn kept(entry: &'a Entry) -> Candidate<'a> {
        Candidate { code: &entry.code, came: None }
    }

    /// Returns a row that came.
    pub(super) fn came(net: &Net<'a>) -> Candidate<'a> {
        Candidate { code: net.code, came: Some(net.at) }
    }
}

/// A row and its rank.
pub(super) type Ranked<'a> = (Candidate<'a>, usize);

/// A row and how often more (or, below 0, less) it is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Net<'a> {
    /// The row.
    pub(super) code: &'a [u8],
    /// How often; not 0.
    pub(super) weight: i64,
    /// Its place among the rows that came.
    pub(super) at: u32,
}

impl Ranks {
    /// Returns the ranks of `node`.
    pub(super) fn new(node: &TopNode) -> Ranks {
        Ranks { ranking: node.ranking, ranks: node.ranks.clone(), has_rank: node.has_rank }
    }

    /// Returns the last rank that counts.
    pub(super) fn last(&self) -> usize {
        *self.ranks.end()
    }

    /// Does this rank count?
    pub(super) fn counts(&self, rank: usize) -> bool {
        self.ranks.contains(&rank)
    }

    /// Can rows behind `rows` others that are kept still count? Where equal ranks close up, that
    /// is not for their number to say.
    pub(super) fn is_full(&self, rows: usize) -> bool {
        self.ranking != Ranking::DenseRank && rows >= self.last()
    }

    /// Is what comes behind so many rows, which have so many different sort keys, beyond the last rank?
    pub(super) fn is_beyond(&self, rows: usize, keys: usize) -> bool {
        let before = if self.ranking == Ranking::DenseRank { keys } else { rows };
        before >= self.last()
    }

    /// Returns the rows that count, with their ranks, of rows in order; an error if a code cannot be read.
    pub(super) fn ranked<'r, 'a: 'r>(
        &'r self,
        rows: impl Iterator<Item = Candidate<'a>> + 'r,
        ordering: &'r RowOrdering,
    ) -> impl Iterator<Item = Result<Ranked<'a>>> + 'r {
        let (mut rank, mut last) = (0, None);
        let ranked = rows.enumerate().map(move |(before, row)| {
            rank = match self.ranking {
                Ranking::RowNumber => before + 1,
                Ranking::Rank | Ranking::DenseRank => {
                    let key = Some(ordering.key_of(row.code)?);
                    let is_tie = std::mem::replace(&mut last, key) == key;
                    match self.ranking {
                        _ if is_tie => rank,
                        Ranking::Rank => before + 1,
                        _ => rank + 1,
                    }
                }
            };
            Ok((row, rank))
        });
        let is_beyond =
            |row: &Result<Ranked<'_>>| row.as_ref().is_ok_and(|row| row.1 > self.last());
        let counts =
            |row: &Result<Ranked<'_>>| row.as_ref().map_or(true, |(_, rank)| self.counts(*rank));
        ranked.take_while(move |row| !is_beyond(row)).filter(counts)
    }

    /// Returns how many of some rows, given in order, have no rank beyond the last.
    ///
    /// # Errors
    /// `Internal` if a code cannot be read.
    pub(super) fn reach<'a>(
        &self,
        mut rows: impl Iterator<Item = Candidate<'a>>,
        ordering: &RowOrdering,
    ) -> Result<usize> {
        match self.ranking {
            Ranking::RowNumber => Ok(rows.by_ref().take(self.last()).count()),
            _ => {
                let all = Ranks { ranks: 1..=self.last(), ..self.clone() };
                all.ranked(rows, ordering).try_fold(0, |reach, row| row.map(|_| reach + 1))
            }
        }
    }

    /// Calls `send` with each row that is not among the first any more (weight −1) or is now (+1):
    /// by rank if ranks are put out, and what goes before what comes.
    ///
    /// # Errors
    /// That of a row.
    pub(super) fn differ<'a>(
        &self,
        mut before: impl Iterator<Item = Result<Ranked<'a>>>,
        mut after: impl Iterator<Item = Result<Ranked<'a>>>,
        mut send: impl FnMut(Ranked<'a>, i64),
    ) -> Result<()> {
        let by_number = self.has_rank && self.ranking == Ranking::RowNumber;
        let mut moved: Vec<(Ranked<'a>, i64)> = Vec::new();
        let (mut old, mut new) = (before.next().transpose()?, after.next().transpose()?);
        loop {
            let order = match (old, new) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                // Each number has one row, so what goes from it and what comes to it are told at once.
                (Some(old), Some(new)) if by_number => {
                    if !is_same(old.0.code, new.0.code) {
                        send(old, -1);
                        send(new, 1);
                    }
                    Ordering::Equal
                }
                (Some(old), Some(new)) => self.compare(&old, &new),
            };
            let gone = old.filter(|_| order.is_lt()).map(|row| (row, -1));
            let come = new.filter(|_| order.is_gt()).map(|row| (row, 1));
            if by_number {
                gone.into_iter().chain(come).for_each(|(row, weight)| send(row, weight));
            } else {
                moved.extend(gone.into_iter().chain(come));
            }
            if order != Ordering::Greater {
                old = before.next().transpose()?;
            }
            if order != Ordering::Less {
                new = after.next().transpose()?;
            }
        }
        if moved.len() > 1 {
            let place = |rank: usize| if self.has_rank { rank } else { 0 };
            moved.sort_by_key(|((_, rank), weight)| (place(*rank), *weight));
        }
        moved.into_iter().for_each(|(row, weight)| send(row, weight));
        Ok(())
    }

    /// Compares rows, and their ranks if these are put out.
    fn compare(
        &self,
        (left, left_rank): &Ranked<'_>,
        (right, right_rank): &Ranked<'_>,
    ) -> Ordering {
        let by_row = match is_same_place(left.code, right.code) {
            true => Ordering::Equal,
            false => left.code.cmp(right.code),
        };
        match self.has_rank {
            true => by_row.then(left_rank.cmp(right_rank)),
            false => by_row,
        }
    }
}

/// Are these one row? One that stays is even the same piece of memory.
fn is_same(left: &[u8], right: &[u8]) -> bool {
    is_same_place(left, right) || left == right
}

fn is_same_place(left: &[u8], right: &[u8]) -> bool {
    std::ptr::eq(left.as_ptr(), right.as_ptr())
}

/// The rows of a partition as they are after some changes, in order.
#[derive(Debug)]
pub(super) struct Changed<'a, I: Iterator<Item = &'a Entry>> {
    kept: Peekable<I>,
    changes: Peekable<std::slice::Iter<'a, Net<'a>>>,
    /// A row that comes several times still.
    repeated: Option<(Candidate<'a>, i64)>,
}

impl<'a, I: Iterator<Item = &'a Entry>> Changed<'a, I> {
    /// Returns `kept` after `changes`, both in order, no row twice in `changes`.
    pub(super) fn new(kept: I, changes: &'a [Net<'a>]) -> Changed<'a, I> {
        Changed { kept: kept.peekable(), changes: changes.iter().peekable(), repeated: None }
    }
}

impl<'a, I: Iterator<Item = &'a Entry>> Iterator for Changed<'a, I> {
    type Item = Candidate<'a>;

    fn next(&mut self) -> Option<Candidate<'a>> {
        loop {
            if let Some((row, count)) = self.repeated.take().filter(|(_, count)| *count > 0) {
                self.repeated = Some((row, count - 1));
                return Some(row);
            }
            let Some(change) = self.changes.peek() else {
                return self.kept.next().map(Candidate::kept);
            };
            if let Some(entry) = self.kept.next_if(|entry| *entry.code < *change.code) {
                return Some(Candidate::kept(entry));
            }
            let (mut row, mut count) = (Candidate::came(change), change.weight);
            while let Some(entry) = self.kept.next_if(|entry| *entry.code == *change.code) {
                (row, count) = (Candidate::kept(entry), count + 1);
            }
            self.repeated = Some((row, count));
            self.changes.next();
        }
    }
}
