//! How far a change of a row reaches: which rows have it in their frames, or look at it.
//!
//! Pure. Invariants: rows outside of the stretches of a partition's changes have the values that they
//! had before; between two stretches, and before each, there are at least as many rows without a change
//! as functions look at, so that these are the same before and after the changes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use thalweg_plan::node::{Frame, OverFunction, OverNode, Ranking};
use thalweg_types::Result;

use super::values::Values;
use crate::operators::kept::Kept;
use crate::operators::ordering::Ordering;

/// A row and how often more (or, below 0, less) it is there.
#[derive(Debug)]
pub(super) struct Net {
    pub(super) code: Box<[u8]>,
    /// How often; not 0.
    pub(super) weight: i64,
}

/// A part of a partition's order: the codes from `start` on, and before `end` if there is one.
#[derive(Debug)]
pub(super) struct Stretch {
    pub(super) start: Vec<u8>,
    pub(super) end: Option<Vec<u8>>,
}

impl Stretch {
    /// Is this code behind the stretch?
    fn ends_before(&self, code: &[u8]) -> bool {
        self.end.as_ref().is_some_and(|end| **end <= *code)
    }

    /// Is this code in the stretch?
    pub(super) fn contains(&self, code: &[u8]) -> bool {
        *self.start <= *code && !self.ends_before(code)
    }
}

/// How far functions look.
#[derive(Debug)]
pub(super) struct Reach {
    /// Rows before a row.
    back: usize,
    /// Rows behind a row.
    ahead: usize,
    /// How far before the sort key of a row its frame begins, and whether keys fall.
    range: Option<(i64, bool)>,
    /// Do they look at all rows before a row?
    is_unbounded: bool,
    /// Are those read again, rather than known from what runs along?
    from_start: bool,
    /// Do rows of equal sort keys share their values?
    by_peers: bool,
}

impl Reach {
    /// Returns the reach of the functions of `node`, which `values` computes: that of the widest frame.
    pub(super) fn new(node: &OverNode, values: &Values) -> Reach {
        let has = |wanted: fn(&Ranking) -> bool| {
            let is = |function: &OverFunction| matches!(function, OverFunction::Number(ranking) if wanted(ranking));
            node.functions.iter().any(is)
        };
        let frames = node.frames();
        let rows = frames.iter().filter_map(|frame| match frame {
            Frame::Rows(rows) => *rows,
            Frame::Range(_) => None,
        });
        let length = frames.iter().filter_map(|frame| match frame {
            Frame::Range(length) => *length,
            Frame::Rows(_) => None,
        });
        let is_running = |frame: usize| !frames[frame].is_bounded();
        let has_ranges = frames.iter().any(|frame| matches!(frame, Frame::Range(_)));
        Reach {
            back: rows.max().unwrap_or(0).max(node.rows_back()),
            ahead: node.rows_ahead(),
            range: length.max().map(|length| (length, node.order[0].descending)),
            is_unbounded: (0..frames.len()).any(is_running) || has(|_| true),
            from_start: (0..frames.len()).any(|at| is_running(at) && !values.stays(at)),
            by_peers: has_ranges || has(|ranking| *ranking != Ranking::RowNumber),
        }
    }

    /// Returns the stretches of the rows that changes reach, in order; `kept` is as it is after them.
    ///
    /// Cost: for each change, the rows that functions look at.
    ///
    /// # Errors
    /// `Internal` if a code cannot be read.
    pub(super) fn stretches(
        &self,
        kept: &Kept,
        nets: &[Net],
        ordering: &Ordering,
    ) -> Result<Vec<Stretch>> {
        let mut stretches: Vec<Stretch> = Vec::new();
        for net in nets {
            let next = self.stretch(kept, &net.code, ordering)?;
            match stretches.last_mut() {
                Some(last) if !last.ends_before(&next.start) => {
                    let is_further = next.end.is_none() || next.end > last.end;
                    if is_further && last.end.is_some() {
                        last.end = next.end;
                    }
                }
                _ => stretches.push(next),
            }
            if stretches.last().is_some_and(|last| last.end.is_none()) {
                break;
            }
        }
        Ok(stretches)
    }

    fn stretch(&self, kept: &Kept, code: &[u8], ordering: &Ordering) -> Result<Stretch> {
        let mut start = self.first_peer(code, ordering)?.to_vec();
        if self.ahead > 0 {
            // Where there are too few, rows may be gone from before them.
            start = match kept.before(&start).nth(self.ahead - 1) {
                Some(row) => self.first_peer(&row.code, ordering)?.to_vec(),
                None => Vec::new(),
            };
        }
        if self.is_unbounded {
            return Ok(Stretch { start, end: None });
        }
        let mut end = self.behind_peers(code, ordering)?;
        if let (Some(from), Some(back)) = (&end, self.back.checked_sub(1)) {
            end = match kept.range(from, None).nth(back) {
                Some(row) => self.behind_peers(&row.code, ordering)?,
                None => None,
            };
        }
        if let Some((length, is_falling)) = self.range {
            let by = if is_falling { length.saturating_neg() } else { length };
            let last = moved(code, by, ordering)?.and_then(|last| behind(&last));
            end = end.zip(last).map(|(end, last)| end.max(last));
        }
        Ok(Stretch { start, end })
    }

    /// Returns the codes of the rows before a stretch at which functions look, in order; `first` is the
    /// code of its first row.
    ///
    /// # Errors
    /// `Internal` if a code cannot be read.
    pub(super) fn before<'a>(
        &self,
        kept: &'a Kept,
        (stretch, first): (&Stretch, &[u8]),
        ordering: &Ordering,
    ) -> Result<Vec<&'a [u8]>> {
        if self.from_start {
            return Ok(kept.range(&[], Some(&stretch.start)).map(|row| &*row.code).collect());
        }
        let earliest = match self.range {
            Some((length, is_falling)) => {
                let by = if is_falling { length } else { length.saturating_neg() };
                Some(moved(first, by, ordering)?.unwrap_or_default())
            }
            None => None,
        };
        let is_in_frame = |code: &[u8]| earliest.as_ref().is_some_and(|from| **from <= *code);
        let rows = kept.before(&stretch.start).enumerate();
        let rows = rows.take_while(|(at, row)| *at < self.back || is_in_frame(&row.code));
        let mut rows: Vec<&[u8]> = rows.map(|(_, row)| &*row.code).collect();
        rows.reverse();
        Ok(rows)
    }

    /// Returns the codes of the rows behind a stretch at which functions look.
    pub(super) fn behind<'a>(&self, kept: &'a Kept, stretch: &Stretch) -> Vec<&'a [u8]> {
        let Some(end) = &stretch.end else { return Vec::new() };
        kept.range(end, None).take(self.ahead).map(|row| &*row.code).collect()
    }

    /// Returns what a code and those of its peers, if these count, do not come before.
    fn first_peer<'a>(&self, code: &'a [u8], ordering: &Ordering) -> Result<&'a [u8]> {
        if self.by_peers { ordering.key_of(code) } else { Ok(code) }
    }

    /// Returns what comes behind a code and those of its peers, if these count.
    fn behind_peers(&self, code: &[u8], ordering: &Ordering) -> Result<Option<Vec<u8>>> {
        Ok(behind(self.first_peer(code, ordering)?))
    }
}

/// Returns the least bytes behind all that begin with `prefix`.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut behind = prefix[..=last].to_vec();
    behind[last] += 1;
    Some(behind)
}

/// Returns the code of the first sort key of a row with `by` added to it; `None` if there is no such
/// value. NULL stays NULL.
fn moved(code: &[u8], by: i64, ordering: &Ordering) -> Result<Option<Vec<u8>>> {
    let key = ordering.decode(std::iter::once(code))?.swap_remove(0);
    let number = numbers(&key)?;
    if number.is_null(0) {
        return Ok(Some(ordering.key_of(code)?.to_vec()));
    }
    let number: ArrayRef = Arc::new(Int64Array::from(vec![number.value(0).saturating_add(by)]));
    let moved = cast(&number, key.data_type())?;
    match moved.is_null(0) {
        true => Ok(None),
        false => ordering.encode_key(moved).map(Some),
    }
}

/// Returns sort keys as numbers, whose differences are those of the keys.
///
/// # Errors
/// `Internal` if they are none.
pub(super) fn numbers(keys: &ArrayRef) -> Result<Int64Array> {
    Ok(cast(keys, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
}
