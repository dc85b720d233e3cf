//! A naive matcher: backtracking over the pattern as it is written, row by row, one start after the other.
//! It shares no code with the automaton.

use thalweg_plan::pattern::{Pattern, RowsPerMatch, Skip, VariableId};
use thalweg_types::Result;

use super::case::{Case, Seen};
use crate::operators::testing::Row;

/// Rows that are mapped: the variable of each, and whether it is excluded.
type Mapped = Vec<(u8, bool)>;
/// What is to be matched behind a part.
type Rest<'a> = &'a mut dyn FnMut(&mut Naive<'_>, &mut Mapped) -> bool;

/// Tries before a case is given up: backtracking may take for ever.
const TRIES_MAX: usize = 200_000;

/// Searches the rows of one partition.
pub(super) struct Naive<'a> {
    case: &'a Case,
    rows: &'a [Row],
    first: usize,
    /// Rows from here on are out of reach.
    end: usize,
    tries: usize,
    number: i64,
    failed: bool,
}

/// Why a case has no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    TooLong,
    /// It is an error.
    Fails,
}

/// Returns what comes out of one partition, whose rows are in order.
pub(super) fn answer(case: &Case, rows: &[Row]) -> Result<Vec<String>, NoAnswer> {
    let (end, failed) = (rows.len(), false);
    let mut naive = Naive { case, rows, first: 0, end, tries: 0, number: 0, failed };
    let (mut lines, mut matched_to) = (Vec::new(), 0);
    while naive.first < rows.len() {
        let first = naive.first;
        let found = naive.find();
        if naive.failed {
            return Err(NoAnswer::Fails);
        }
        if naive.tries > TRIES_MAX {
            return Err(NoAnswer::TooLong);
        }
        match found {
            None => {
                let shows = matches!(case.rows, RowsPerMatch::All { shows_unmatched: true, .. });
                if shows && first >= matched_to {
                    lines.push(naive.line(first, &[], 0, None));
                }
                naive.first += 1;
            }
            Some(mapped) => {
                naive.number += 1;
                naive.put_out(&mapped, &mut lines);
                matched_to = matched_to.max(first + mapped.len());
                naive.first += step(case.skip, &mapped)?;
            }
        }
    }
    Ok(lines)
}

fn step(skip: Skip, mapped: &Mapped) -> Result<usize, NoAnswer> {
    let row = match skip {
        _ if mapped.is_empty() => return Ok(1),
        Skip::PastLastRow => return Ok(mapped.len()),
        Skip::ToNextRow => return Ok(1),
        Skip::ToFirst(of) => mapped.iter().position(|row| of.contains(VariableId(row.0))),
        Skip::ToLast(of) => mapped.iter().rposition(|row| of.contains(VariableId(row.0))),
    };
    row.filter(|row| *row > 0).ok_or(NoAnswer::Fails)
}

impl Naive<'_> {
    fn find(&mut self) -> Option<Mapped> {
        let time = self.rows[self.first].start;
        let within = |row: &Row| self.case.within.is_none_or(|within| row.start - time <= within);
        self.end = self.first + self.rows[self.first..].iter().take_while(|r| within(r)).count();
        let mut mapped = Mapped::new();
        let pattern = self.case.pattern.clone();
        self.part(&pattern, false, &mut mapped, &mut |_, _| true).then_some(mapped)
    }

    /// Matches a part of the pattern behind what is mapped, and then the rest.
    fn part(
        &mut self,
        pattern: &Pattern,
        is_hidden: bool,
        mapped: &mut Mapped,
        rest: Rest<'_>,
    ) -> bool {
        self.tries += 1;
        if self.tries > TRIES_MAX || self.failed {
            return false;
        }
        let at = self.first + mapped.len();
        match pattern {
            Pattern::Empty => rest(self, mapped),
            Pattern::Start => at == 0 && rest(self, mapped),
            Pattern::End => at == self.rows.len() && rest(self, mapped),
            Pattern::Excluded(of) => self.part(of, true, mapped, rest),
            Pattern::Variable(variable) => {
                if at >= self.end {
                    return false;
                }
                mapped.push((variable.0, is_hidden));
                if self.holds(variable.0, mapped) && rest(self, mapped) {
                    return true;
                }
                mapped.pop();
                false
            }
            Pattern::Sequence(parts) => match parts.split_first() {
                None => rest(self, mapped),
                Some((first, others)) => {
                    let others = Pattern::Sequence(others.to_vec());
                    self.part(first, is_hidden, mapped, &mut |naive, mapped| {
                        naive.part(&others, is_hidden, mapped, rest)
                    })
                }
            },
            Pattern::Choice(parts) => {
                parts.iter().any(|part| self.part(part, is_hidden, mapped, rest))
            }
            Pattern::Permutation(parts) if parts.is_empty() => rest(self, mapped),
            Pattern::Permutation(parts) => (0..parts.len()).any(|first| {
                let mut others = parts.clone();
                let first = others.remove(first);
                let others = Pattern::Permutation(others);
                self.part(&first, is_hidden, mapped, &mut |naive, mapped| {
                    naive.part(&others, is_hidden, mapped, rest)
                })
            }),
            Pattern::Repeat { .. } => self.repeat(pattern, (0, is_hidden), mapped, rest),
        }
    }

    /// Matches what is repeated, after `times` times.
    fn repeat(
        &mut self,
        pattern: &Pattern,
        (times, is_hidden): (u32, bool),
        mapped: &mut Mapped,
        rest: Rest<'_>,
    ) -> bool {
        let Pattern::Repeat { of, least, most, is_greedy } = pattern else { return false };
        for again in [*is_greedy, !is_greedy] {
            if !again {
                if times >= *least && rest(self, mapped) {
                    return true;
                }
                continue;
            }
            if most.is_some_and(|most| times >= most) {
                continue;
            }
            let before = mapped.len();
            let is_found = self.part(of, is_hidden, mapped, &mut |naive, mapped| {
                let is_idle = times >= *least && mapped.len() == before;
                !is_idle && naive.repeat(pattern, (times + 1, is_hidden), mapped, rest)
            });
            if is_found {
                return true;
            }
        }
        false
    }

    /// May the last row be mapped as it is?
    fn holds(&mut self, variable: u8, mapped: &Mapped) -> bool {
        let mapped: Vec<u8> = mapped.iter().map(|row| row.0).collect();
        for test in &self.case.tests[usize::from(variable)] {
            let number = |seen: Seen| match seen {
                Seen::Number => Some(self.number + 1),
                seen => seen.number(self.rows, self.first, &mapped),
            };
            match test.holds(number(test.left), test.right.map_or(Some(0), number)) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => {
                    self.failed = true;
                    return false;
                }
            }
        }
        true
    }

    fn put_out(&self, mapped: &Mapped, lines: &mut Vec<String>) {
        let names: Vec<u8> = mapped.iter().map(|row| row.0).collect();
        let count = names.len();
        let number = Some(self.number);
        match self.case.rows {
            RowsPerMatch::One => {
                let last = self.first + count.saturating_sub(1);
                lines.push(self.line(last, &names, count, number));
            }
            RowsPerMatch::All { shows_empty, .. } if mapped.is_empty() => {
                let line = || self.line(self.first, &names, 0, number);
                lines.extend(shows_empty.then(line));
            }
            RowsPerMatch::All { .. } => {
                for (row, _) in mapped.iter().enumerate().filter(|(_, row)| !row.1) {
                    lines.push(self.line(self.first + row, &names, row + 1, number));
                }
            }
        }
    }

    /// Returns a row that comes out, when so many rows of the match are seen.
    fn line(&self, row: usize, mapped: &[u8], seen: usize, number: Option<i64>) -> String {
        let Row { key, start, .. } = &self.rows[row];
        let mut line = vec![key.clone(), start.to_string()];
        for (value, is_final) in &self.case.seen {
            let mapped = if *is_final { mapped } else { &mapped[..seen] };
            let text = |number: Option<i64>| number.map_or(String::new(), |n| n.to_string());
            line.push(match value {
                Seen::Classifier(at) => Seen::name(*at, mapped).unwrap_or_default(),
                Seen::Number => text(number),
                Seen::IsMatched => number.is_some().to_string(),
                value => text(value.number(self.rows, self.first, mapped)),
            });
        }
        format!("+1 {}", line.join("|"))
    }
}
