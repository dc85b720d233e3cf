//! An updating result on a terminal: its current rows, drawn again when they change.
//!
//! What must always hold: a drawing is not higher than the terminal, so that the next one can
//! take its place; the last one, which stays, has all rows that are kept. Rows beyond a bound are
//! counted and not kept.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use thalweg_types::Change;

use super::Size;
use super::table::{self, Heading};

/// Rows that are kept at most.
const ROWS_MAX: usize = 10_000;
/// Lines of a drawing beside rows: a header, a rule, how many rows there are, and the cursor's.
const LINES_BESIDE: usize = 4;

/// The current rows of a result.
#[derive(Debug, Default)]
pub(super) struct Live {
    headings: Arc<[Heading]>,
    /// By place: a row that changes stays where it is.
    rows: BTreeMap<u64, Vec<String>>,
    places: HashMap<Vec<String>, Vec<u64>>,
    next_place: u64,
    /// Rows that are not kept.
    beyond: i64,
    /// Lines of the last drawing.
    lines: usize,
    is_changed: bool,
}

impl Live {
    /// Takes changes of the result.
    pub(super) fn apply(&mut self, change: &Change) {
        if self.headings.is_empty() {
            self.headings = table::headings(&change.schema(), false).into();
        }
        self.is_changed |= !change.is_empty();
        let mut freed = None;
        for row in 0..change.len() {
            let (cells, weight) = (table::cells(change, row, false), change.weight(row));
            for _ in 0..weight.unsigned_abs() {
                match weight < 0 {
                    true => freed = self.remove(&cells),
                    false => self.insert(cells.clone(), freed.take()),
                }
            }
        }
    }

    /// Takes a row out; returns where it was.
    fn remove(&mut self, cells: &Vec<String>) -> Option<u64> {
        let Some(places) = self.places.get_mut(cells) else {
            self.beyond -= 1;
            return None;
        };
        let place = places.pop();
        if places.is_empty() {
            self.places.remove(cells);
        }
        place.inspect(|place| {
            self.rows.remove(place);
        })
    }

    /// Puts a row in, where the old half of an update was if there is one.
    fn insert(&mut self, cells: Vec<String>, place: Option<u64>) {
        if self.rows.len() >= ROWS_MAX {
            self.beyond += 1;
            return;
        }
        let place = place.unwrap_or(self.next_place);
        self.next_place = self.next_place.max(place + 1);
        self.places.entry(cells.clone()).or_default().push(place);
        self.rows.insert(place, cells);
    }

    /// Draws what fits on the terminal, in place of the last drawing.
    pub(super) fn draw(&mut self, size: Size, out: &mut String) {
        self.put(size.lines.saturating_sub(LINES_BESIDE).max(1), size.columns, out);
    }

    /// Draws all rows, in place of the last drawing.
    pub(super) fn draw_all(&mut self, size: Size, out: &mut String) {
        self.is_changed |= self.rows.len() > size.lines.saturating_sub(LINES_BESIDE).max(1);
        self.put(usize::MAX, size.columns, out);
    }

    fn put(&mut self, rows_max: usize, columns: usize, out: &mut String) {
        if !self.is_changed {
            return;
        }
        self.is_changed = false;
        if self.lines > 0 {
            // Up to the first line, and nothing below it. Writing to a string cannot fail.
            let _ = write!(out, "\x1b[{}A\r\x1b[J", self.lines);
        }
        let shown = || self.rows.values().take(rows_max);
        let widths = table::fit(&self.headings, shown(), Some(columns));
        table::write_head(&self.headings, &widths, Some(columns), out);
        shown().for_each(|row| {
            table::write_row(&self.headings, &widths, row, Some(columns), out);
        });
        let count = shown().count();
        let all = self.rows.len() as i64 + self.beyond;
        self.lines = count + 2;
        if all > count as i64 {
            let _ = writeln!(out, "… {count} of {all} rows");
            self.lines += 1;
        }
    }
}
