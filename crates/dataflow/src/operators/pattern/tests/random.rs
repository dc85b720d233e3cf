//! Random patterns over random rows, against the naive matcher; `THALWEG_PATTERNS` says how many.

use std::collections::BTreeMap;

use thalweg_plan::pattern::{End, Pattern, Position, RowsPerMatch, Scope, Skip, VariableId};
use thalweg_plan::window::TimeBasis;

use super::case::{Case, Compared, Seen, Test};
use super::naive::{NoAnswer, answer};
use crate::operator::Operator;
use crate::operators::testing::{Random, Row, Sent, Stand, Turn, change, planted};

/// Cases of an everyday run.
const CASES: u64 = 500;
const VARIABLES: i64 = 4;

fn flip(random: &mut Random) -> bool {
    random.below(2) == 0
}

fn scope(random: &mut Random) -> Scope {
    match random.below(3) {
        0 => Scope::ALL,
        _ => {
            let first = VariableId(random.below(VARIABLES) as u8);
            let second = VariableId(random.below(VARIABLES) as u8);
            if flip(random) { Scope::of(&[first]) } else { Scope::of(&[first, second]) }
        }
    }
}

fn position(random: &mut Random) -> Position {
    let from = if random.below(3) == 0 { End::First } else { End::Last };
    let offset = random.below(5).saturating_sub(2).max(0) as usize;
    let shift = [0, 0, 0, 0, -1, -2, 1][random.below(7) as usize];
    Position { of: scope(random), from, offset, shift }
}

/// A value that is a number.
fn number(random: &mut Random) -> Seen {
    match random.below(8) {
        0 => Seen::Sum(scope(random)),
        1 => Seen::Count(scope(random)),
        2 => Seen::Max(scope(random)),
        _ => Seen::At(position(random)),
    }
}

fn test(random: &mut Random) -> Test {
    let own = Seen::At(Position::last(Scope::ALL));
    let (left, right) = match random.below(6) {
        0..3 => (own, None),
        3 => (own, Some(Seen::At(Position { shift: -1, ..Position::last(Scope::ALL) }))),
        4 => (own, Some(number(random))),
        _ => (number(random), None),
    };
    let by = random.below(6) - if right.is_some() { 2 } else { 0 };
    let by = if flip(random) { Compared::More(by) } else { Compared::Less(by) };
    Test { left, right, by }
}

fn pattern(random: &mut Random, depth: u32) -> Pattern {
    let parts = |random: &mut Random, most: i64| -> Vec<Pattern> {
        (0..1 + random.below(most)).map(|_| pattern(random, depth - 1)).collect()
    };
    match random.below(if depth == 0 { 1 } else { 12 }) {
        0..3 => Pattern::Variable(VariableId(random.below(VARIABLES) as u8)),
        3..6 => Pattern::Sequence(parts(random, 3)),
        6 => Pattern::Choice(parts(random, 3)),
        7 if random.below(3) == 0 => Pattern::Permutation(parts(random, 3)),
        8 if random.below(3) == 0 => Pattern::Excluded(Box::new(pattern(random, depth - 1))),
        9 if random.below(4) == 0 => {
            [Pattern::Empty, Pattern::Start, Pattern::End][random.below(3) as usize].clone()
        }
        _ => {
            let least = random.below(4).saturating_sub(1).max(0) as u32;
            let most = flip(random).then(|| least.max(1) + random.below(2) as u32);
            let of = Box::new(pattern(random, depth - 1));
            Pattern::Repeat { of, least, most, is_greedy: random.below(3) > 0 }
        }
    }
}

fn case(random: &mut Random) -> Case {
    let pattern = pattern(random, 3);
    let rows = match random.below(4) {
        0 => RowsPerMatch::One,
        _ => RowsPerMatch::All {
            shows_empty: flip(random),
            shows_unmatched: flip(random) && !pattern.has_exclusion(),
        },
    };
    let skip = match random.below(6) {
        0..3 => Skip::PastLastRow,
        3 => Skip::ToNextRow,
        4 => Skip::ToFirst(scope(random)),
        _ => Skip::ToLast(scope(random)),
    };
    let seen = (0..5).map(|_| match random.below(5) {
        0 => Seen::Classifier(Position { shift: 0, ..position(random) }),
        1 => Seen::Number,
        2 => Seen::IsMatched,
        _ => number(random),
    });
    let seen: Vec<Seen> = seen.collect();
    Case {
        pattern,
        tests: (0..VARIABLES)
            .map(|_| (0..random.below(3)).map(|_| test(random)).collect())
            .collect(),
        skip,
        rows,
        within: (random.below(3) == 0).then(|| 1 + random.below(12)),
        basis: TimeBasis::Event,
        ttl: None,
        seen: seen.into_iter().map(|seen| (seen, flip(random))).collect(),
    }
}

/// Random epochs, none of whose rows are late, and the rows.
fn epochs(random: &mut Random) -> (Vec<Row>, Vec<Turn>) {
    let (mut all, mut turns, mut watermark) = (Vec::new(), Vec::new(), 0);
    for _ in 0..8 {
        let rows: Vec<Row> = (0..random.below(8))
            .map(|_| {
                let (key, value, end) = (random.below(3), random.below(7), random.below(3));
                let value = (value > 0).then_some(value);
                let start = watermark + 1 + random.below(8);
                Row { key: format!("key {key}"), value, start, end }
            })
            .collect();
        all.extend(rows.clone());
        watermark += random.below(6);
        turns.push(Turn::at(watermark, vec![change(&rows)]));
    }
    turns.push(Turn::last(Vec::new()));
    (all, turns)
}

/// Returns what comes out of all partitions.
fn expected(case: &Case, rows: &[Row]) -> Result<Vec<String>, NoAnswer> {
    let mut partitions = BTreeMap::<&str, Vec<Row>>::new();
    for row in rows {
        partitions.entry(&row.key).or_default().push(row.clone());
    }
    let mut lines = Vec::new();
    for rows in partitions.values_mut() {
        rows.sort_by_key(|row| (row.start, row.value, row.end));
        lines.extend(answer(case, rows)?);
    }
    lines.sort();
    Ok(lines)
}

/// Checks a case; returns how many rows came out, or `None` if it has no answer.
fn check(seed: u64) -> Option<usize> {
    let random = &mut Random::new(seed);
    let case = case(random);
    let (rows, turns) = epochs(random);
    let expected = expected(&case, &rows).ok()?;
    let make = || Box::new(case.operator()) as Box<dyn Operator>;
    let stand = Stand { pre: None, make: &make, keys: vec![0] };
    let sent = stand.run(&turns);
    let mut found: Vec<String> = sent.iter().flat_map(Sent::sorted).collect();
    found.sort();
    let text = case.node().text(&case.pattern);
    assert_eq!(found, expected, "seed {seed}: {text} over {rows:?}, {case:?}");
    if seed.is_multiple_of(8) {
        stand.check_crashes(&turns, seed);
    }
    Some(expected.len())
}

/// Would fail if any pattern, condition, strategy or measure meant something else than backtracking finds;
/// or if workers or a crash changed anything.
#[test]
fn random_patterns_match_as_a_naive_matcher_finds() {
    let cases = std::env::var("THALWEG_PATTERNS").ok().and_then(|cases| cases.parse().ok());
    let cases = cases.unwrap_or(CASES);
    let answers: Vec<usize> = (0..cases).filter_map(check).collect();
    let with_rows = answers.iter().filter(|rows| **rows > 0).count();
    assert!(answers.len() as u64 * 10 > cases * 7, "{} of {cases} have answers", answers.len());
    assert!(with_rows as u64 * 2 > cases, "of {with_rows} of {cases} something comes out");
}

/// Would fail if the test above saw no bug: here a match does not end the ways that are preferred less.
#[test]
fn random_patterns_find_a_planted_bug() {
    let test = "operators::pattern::tests::random::random_patterns_match_as_a_naive_matcher_finds";
    planted(test, "kept-threads");
}
