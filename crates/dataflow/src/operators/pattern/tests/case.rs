//! Searches as the tests write them: patterns as text, conditions and measures as data, each both as the
//! operator has it and as a naive reading of it.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{DataType::Int64, Int64Type};
use thalweg_plan::aggregate::{count, max, sum};
use thalweg_plan::function::Condition;
use thalweg_plan::node::{AggregateCall, SortKey};
use thalweg_plan::pattern::{
    End, MatchCondition, MatchNode, Operand, Pattern, Position, RowsPerMatch, Scope, Skip, Value,
    Variable, VariableId,
};
use thalweg_plan::window::TimeBasis;
use thalweg_types::{Error, Moment, Result};

use super::super::Match;
use crate::operators::testing::{Row, row_schema};

/// Reads a pattern; variables are capital letters.
pub(super) fn pattern(text: &str) -> Pattern {
    let tokens: Vec<char> = text.chars().filter(|c| *c != ' ').collect();
    let mut at = 0;
    let pattern = choice(&tokens, &mut at);
    assert_eq!(at, tokens.len(), "{text}");
    pattern
}

fn choice(tokens: &[char], at: &mut usize) -> Pattern {
    let mut parts = vec![sequence(tokens, at)];
    while tokens.get(*at) == Some(&'|') {
        *at += 1;
        parts.push(sequence(tokens, at));
    }
    if parts.len() == 1 { parts.remove(0) } else { Pattern::Choice(parts) }
}

fn sequence(tokens: &[char], at: &mut usize) -> Pattern {
    let mut parts = Vec::new();
    while let Some(token) = tokens.get(*at).filter(|token| !")|,-".contains(**token)) {
        *at += 1;
        let part = match token {
            '(' => {
                let part = choice(tokens, at);
                *at += 1;
                part
            }
            '{' => {
                *at += 1;
                let part = choice(tokens, at);
                *at += 2;
                Pattern::Excluded(Box::new(part))
            }
            '&' => {
                let mut parts = Vec::new();
                while tokens[*at] != ')' {
                    *at += 1;
                    parts.push(choice(tokens, at));
                }
                *at += 1;
                Pattern::Permutation(parts)
            }
            '^' => Pattern::Start,
            '$' => Pattern::End,
            name => Pattern::Variable(VariableId(*name as u8 - b'A')),
        };
        parts.push(quantified(part, tokens, at));
    }
    match parts.len() {
        0 => Pattern::Empty,
        1 => parts.remove(0),
        _ => Pattern::Sequence(parts),
    }
}

fn quantified(of: Pattern, tokens: &[char], at: &mut usize) -> Pattern {
    let bounds = match tokens.get(*at) {
        Some('*') => (0, None),
        Some('+') => (1, None),
        Some('?') => (0, Some(1)),
        Some('{') if tokens[*at + 1] != '-' => {
            let end = *at + tokens[*at..].iter().position(|token| *token == '}').unwrap();
            let text: String = tokens[*at + 1..end].iter().collect();
            *at = end;
            let (least, most) = text.split_once(',').unwrap_or((&text, &text));
            (least.parse().unwrap_or(0), most.parse().ok())
        }
        _ => return of,
    };
    *at += 1;
    let is_greedy = tokens.get(*at) != Some(&'?');
    *at += usize::from(!is_greedy);
    Pattern::Repeat { of: Box::new(of), least: bounds.0, most: bounds.1, is_greedy }
}

/// A value of a match, as a condition or a measure has it: of the column `value`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Seen {
    At(Position),
    Sum(Scope),
    Count(Scope),
    Max(Scope),
    Classifier(Position),
    Number,
    IsMatched,
}

impl Seen {
    pub(super) fn operand(self, is_final: bool) -> Operand {
        let aggregate = |of, function| Value::Aggregate {
            of,
            call: AggregateCall { function, arguments: vec![1], filter: None, distinct: false },
        };
        let value = match self {
            Seen::At(at) => Value::Column { column: 1, at },
            Seen::Sum(of) => aggregate(of, sum(&Int64).unwrap()),
            Seen::Count(of) => aggregate(of, count()),
            Seen::Max(of) => aggregate(of, max(&Int64).unwrap()),
            Seen::Classifier(at) => Value::Classifier(at),
            Seen::Number => Value::MatchNumber,
            Seen::IsMatched => Value::IsMatched,
        };
        Operand { value, is_final }
    }

    /// Returns a number, as it is seen in rows of which the match has mapped some from `first` on.
    pub(super) fn number(self, rows: &[Row], first: usize, mapped: &[u8]) -> Option<i64> {
        let of = |scope: Scope| {
            let rows =
                mapped.iter().enumerate().map(move |(row, variable)| (first + row, variable));
            rows.filter(move |(_, variable)| scope.contains(VariableId(**variable)))
        };
        let values = |scope: Scope| of(scope).filter_map(|(row, _)| rows[row].value);
        match self {
            Seen::At(at) => {
                let mut all: Vec<usize> = of(at.of).map(|(row, _)| row).collect();
                if at.from == End::Last {
                    all.reverse();
                }
                let row = all.get(at.offset)?.checked_add_signed(at.shift)?;
                rows.get(row)?.value
            }
            Seen::Sum(scope) => values(scope).reduce(|sum, value| sum + value),
            Seen::Count(scope) => Some(values(scope).count() as i64),
            Seen::Max(scope) => values(scope).max(),
            Seen::Classifier(_) | Seen::Number | Seen::IsMatched => unreachable!("no number"),
        }
    }

    /// Returns the name of the variable of a row.
    pub(super) fn name(at: Position, mapped: &[u8]) -> Option<String> {
        let mut all: Vec<u8> = mapped.to_vec();
        all.retain(|variable| at.of.contains(VariableId(*variable)));
        if at.from == End::Last {
            all.reverse();
        }
        all.get(at.offset).map(|variable| char::from(b'A' + variable).to_string())
    }
}

/// How two values compare.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Compared {
    /// The first is greater than the second plus a number.
    More(i64),
    /// The first is less than the second plus a number.
    Less(i64),
    /// As `More`, but an error where the first is this.
    Fails(i64),
}

/// A condition: two values, or one and 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Test {
    pub(super) left: Seen,
    pub(super) right: Option<Seen>,
    pub(super) by: Compared,
}

impl Test {
    pub(super) fn holds(&self, left: Option<i64>, right: Option<i64>) -> Result<bool> {
        let (Some(left), Some(right)) = (left, right) else { return Ok(false) };
        match self.by {
            Compared::More(by) => Ok(left > right + by),
            Compared::Less(by) => Ok(left < right + by),
            Compared::Fails(at) if left == at => Err(Error::data(format!("{at} is no good"))),
            Compared::Fails(_) => Ok(left > right),
        }
    }

    fn known(&self) -> MatchCondition {
        let operands = [Some(self.left), self.right].into_iter().flatten();
        let operands = operands.map(|seen| seen.operand(false)).collect();
        MatchCondition { condition: Arc::new(*self), operands }
    }
}

impl Condition for Test {
    fn holds(&self, rows: &RecordBatch, _: &Moment) -> Result<BooleanArray> {
        let number = |column: usize, row: usize| match rows.columns().get(column) {
            Some(column) => {
                let column = column.as_primitive::<Int64Type>();
                column.is_valid(row).then(|| column.value(row))
            }
            None => Some(0),
        };
        assert_eq!(rows.num_columns(), 1 + usize::from(self.right.is_some()));
        let all = (0..rows.num_rows()).map(|row| self.holds(number(0, row), number(1, row)));
        Ok(all.collect::<Result<Vec<bool>>>()?.into())
    }

    fn describe(&self) -> String {
        format!("{self:?}")
    }
}

/// A search.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) pattern: Pattern,
    /// By variable; none for any row.
    pub(super) tests: Vec<Vec<Test>>,
    pub(super) skip: Skip,
    pub(super) rows: RowsPerMatch,
    pub(super) within: Option<i64>,
    pub(super) basis: TimeBasis,
    pub(super) ttl: Option<Duration>,
    /// What comes out, and whether it is of the whole match.
    pub(super) seen: Vec<(Seen, bool)>,
}

impl Case {
    /// Returns a search for a pattern, in which any row is of any variable: the names of the rows of each
    /// match come out.
    pub(super) fn of(text: &str) -> Case {
        let all = Position::last(Scope::ALL);
        Case {
            pattern: pattern(text),
            tests: vec![Vec::new(); 8],
            skip: Skip::PastLastRow,
            rows: RowsPerMatch::All { shows_empty: true, shows_unmatched: false },
            within: None,
            basis: TimeBasis::Event,
            ttl: None,
            seen: vec![(Seen::Classifier(all), false), (Seen::Number, false)],
        }
    }

    pub(super) fn node(&self) -> MatchNode {
        let variables = self.tests.iter().zip(b'A'..).map(|(tests, name)| Variable {
            name: char::from(name).to_string(),
            conditions: tests.iter().map(Test::known).collect(),
        });
        MatchNode {
            partition: vec![0],
            order: vec![SortKey { column: 2, descending: false, nulls_first: true }],
            basis: self.basis,
            variables: variables.collect(),
            pattern: self.pattern.clone(),
            skip: self.skip,
            rows: self.rows,
            within: self.within,
            columns: vec![0, 2],
            operands: self.seen.iter().map(|(seen, is_final)| seen.operand(*is_final)).collect(),
            divert_late: true,
            ttl: self.ttl,
        }
    }

    pub(super) fn operator(&self) -> Match {
        let node = self.node();
        node.check().unwrap();
        Match::new(&node, &row_schema(), node.schema(&row_schema()).unwrap()).unwrap()
    }
}
