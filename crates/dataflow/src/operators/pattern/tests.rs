use thalweg_plan::pattern::{End, Operand, Position, Scope, Skip, Value, VariableId};
use thalweg_types::KeyGroups;

use self::case::{Case, Compared, Seen, Test};
use super::*;
use crate::operators::testing::*;

mod case;
mod cost;
mod lifetime;
mod naive;
mod random;

const ALL: Position = Position { of: Scope::ALL, from: End::Last, offset: 0, shift: 0 };

fn row(key: &str, value: i64, time: i64) -> Row {
    Row { key: key.to_owned(), value: Some(value), start: time, end: 0 }
}

/// The last row of a variable.
fn last(variable: u8) -> Position {
    Position::last(Scope::of(&[VariableId(variable)]))
}

fn before(at: Position, shift: isize) -> Position {
    Position { shift, ..at }
}

fn is(left: Seen, right: Option<Seen>, by: Compared) -> Test {
    Test { left, right, by }
}

/// A row of variable X has the value of X: 1 for A, 2 for B; where letters are written together, as `AB`,
/// a value of either. Value 0 is of no variable.
fn of_letters(text: &str) -> Case {
    let own = |letter: i64| {
        let value = Seen::At(ALL);
        vec![is(value, None, Compared::More(letter)), is(value, None, Compared::Less(letter + 2))]
    };
    Case { tests: (0..8).map(own).collect(), ..Case::of(text) }
}

/// Runs a search over rows of the values that letters stand for, at the times 0, 1, 2 …; returns what comes
/// out, each match as the letters and times of its rows.
fn found(case: &Case, letters: &str) -> String {
    let value = |letter: u8| if letter == b'.' { 0 } else { i64::from(letter - b'A') + 1 };
    let rows = (0..).zip(letters.bytes()).map(|(time, letter)| row("k", value(letter), time));
    let rows: Vec<Row> = rows.collect();
    let sent = run_one(&mut case.operator(), &[Turn::last(vec![change(&rows)])]);
    matches(&sent)
}

/// Returns the rows that came out, as the name of the variable and the time; a bar between matches.
fn matches(sent: &[Sent]) -> String {
    let lines: Vec<String> = sent.iter().flat_map(|sent| &sent.results).flat_map(texts).collect();
    let (mut text, mut last) = (String::new(), None);
    for line in lines {
        let [_, time, name, number] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let is_next = last.replace(number.to_owned()).is_some_and(|last| last != number);
        text += if is_next {
            " | "
        } else if text.is_empty() {
            ""
        } else {
            " "
        };
        text += &format!("{}{time}", if name.is_empty() { "-" } else { name });
    }
    text
}

fn check(pattern: &str, letters: &str, expected: &str) {
    assert_eq!(found(&of_letters(pattern), letters), expected, "{pattern} in {letters}");
}

/// Would fail if an operator of patterns meant something else.
#[test]
fn patterns_match_as_regular_expressions_do() {
    check("A B C", "ABCABABC", "A0 B1 C2 | A5 B6 C7");
    check("A B* C", "ACABBC", "A0 C1 | A2 B3 B4 C5");
    check("A B+ C", "ACABBC", "A2 B3 B4 C5");
    check("A B? C", "ACABCABBC", "A0 C1 | A2 B3 C4");
    check("A (B | C) A", "ABACA", "A0 B1 A2");
    check("A (B C)+ D", "ABCBCDABCCD", "A0 B1 C2 B3 C4 D5");
    check("A{2}", "AAAAA", "A0 A1 | A2 A3");
    check("A{2,}", "ABAAAB", "A2 A3 A4");
    check("A{2,3} B", "AAAABAB", "A1 A2 A3 B4");
    check("A{,2} B", "AAABB", "A1 A2 B3 | B4");
    check("(A | B){3} C", "ABBBC", "B1 B2 B3 C4");
    check("&(A, B, C)", "CABBCA", "C0 A1 B2 | B3 C4 A5");
    check("A {- B+ -} C", "ABBCABC", "A0 C3 | A4 C6");
    check("^ A+", "AABAA", "A0 A1");
    check("A+ $", "AABAA", "A3 A4");
    check("^ A B $", "AB", "A0 B1");
    check("^ A B $", "ABA", "");
}

/// Would fail if alternatives or quantifiers preferred another match than the one that is written first.
#[test]
fn the_preferred_match_counts() {
    let any = |pattern: &str, expected: &str| {
        assert_eq!(found(&Case::of(pattern), "...."), expected, "{pattern}");
    };
    any("A+ B+", "A0 A1 A2 B3");
    any("A+? B+", "A0 B1 B2 B3");
    any("A+? B+?", "A0 B1 | A2 B3");
    any("A* B*", "A0 A1 A2 A3");
    any("A?? B", "B0 | B1 | B2 | B3");
    any("(A | B B)+ C", "A0 A1 A2 C3");
    any("(B B | A)+ C", "B0 B1 A2 C3");
    any("A{2,3}?", "A0 A1 | A2 A3");
    any("(A B?){2}", "A0 B1 A2 B3");
    any("&(A, B)", "A0 B1 | A2 B3");
    // The greedy repetition has to give rows back.
    any("A* B B $", "A0 A1 B2 B3");
}

/// Would fail if a match without rows went on for ever, or came out otherwise than asked.
#[test]
fn a_match_without_rows_comes_out_where_it_was_found() {
    check("B*", "ABBA", "-0 | B1 B2 | -3");
    check("(B*)*", "ABBA", "-0 | B1 B2 | -3");
    check("B??", "BA", "-0 | -1");
    let all = |shows_empty, shows_unmatched| RowsPerMatch::All { shows_empty, shows_unmatched };
    let omitted = Case { rows: all(false, false), ..of_letters("B*") };
    assert_eq!(found(&omitted, "ABBA"), "B1 B2");
    let unmatched = Case { rows: all(true, true), ..of_letters("B B") };
    assert_eq!(found(&unmatched, "ABBBA"), "-0 | B1 B2 | -3 -4");
    let one = Case { rows: RowsPerMatch::One, ..of_letters("B*") };
    assert_eq!(found(&one, "ABBA"), "-0 | B2 | -3");
}

/// Would fail if the next match were sought elsewhere.
#[test]
fn the_search_goes_on_where_the_strategy_says() {
    let skipped =
        |skip, pattern: &str, letters: &str| found(&Case { skip, ..of_letters(pattern) }, letters);
    let of = |variable| Scope::of(&[VariableId(variable)]);
    assert_eq!(skipped(Skip::PastLastRow, "A+ B", "AAB"), "A0 A1 B2");
    assert_eq!(skipped(Skip::ToNextRow, "A+ B", "AAB"), "A0 A1 B2 | A1 B2");
    assert_eq!(skipped(Skip::ToFirst(of(1)), "A B+ A", "ABBA"), "A0 B1 B2 A3");
    assert_eq!(skipped(Skip::ToLast(of(0)), "A B+ A", "ABABA"), "A0 B1 A2 | A2 B3 A4");
    assert_eq!(skipped(Skip::ToFirst(of(2)), "(A | B) C+ (A | B)", "ACBCA"), "A0 C1 B2 | B2 C3 A4");
}

/// Would fail if a search without end were hidden, or a wrong match came out.
#[test]
fn a_strategy_that_leads_nowhere_is_an_error() {
    let failed = |skip, pattern: &str| {
        let mut operator = Case { skip, ..of_letters(pattern) }.operator();
        let (mut out, turn) = (Output::new(0), Turn::last(Vec::new()));
        operator.batch(0, change(&[row("k", 1, 1), row("k", 2, 2)]), &mut out).unwrap();
        operator.close(&turn.close(0), &mut out).unwrap_err().to_string()
    };
    let of = |variable| Scope::of(&[VariableId(variable)]);
    assert!(failed(Skip::ToFirst(of(0)), "A B").contains("the same match again"));
    assert!(failed(Skip::ToLast(of(2)), "A C? B").contains("has no row"));
}

/// Would fail if a greedy match were held back longer than it can become another one, or sent before.
#[test]
fn a_match_comes_out_as_soon_as_it_is_decided() {
    let mut operator = of_letters("A B+ C?").operator();
    let turn = |time, value| Turn::at(time, vec![change(&[row("k", value, time)])]);
    let turns =
        [turn(1, 1), turn(2, 2), turn(3, 2), turn(4, 3), turn(5, 1), turn(6, 2), turn(7, 9)];
    let sent = run_one(&mut operator, &turns);
    let found: Vec<String> = sent.iter().map(|sent| matches(std::slice::from_ref(sent))).collect();
    assert_eq!(found, ["", "", "", "A1 B2 B3 C4", "", "", "A5 B6"]);
}

/// Would fail if a match were longer than it may be, or if nothing ended it but a next row.
#[test]
fn a_match_ends_within_its_time() {
    let within = |within| Case { within: Some(within), ..of_letters("A B* C") };
    assert_eq!(found(&within(2), "ABBCABC"), "A4 B5 C6");
    assert_eq!(found(&within(3), "ABBCABC"), "A0 B1 B2 C3 | A4 B5 C6");
    let mut operator = Case { within: Some(9), ..of_letters("A B*") }.operator();
    let rows = vec![change(&[row("k", 1, 1), row("k", 2, 5)])];
    let turns =
        [Turn::at(9, rows), Turn::at(9, vec![]), Turn::at(10, vec![]), Turn::at(11, vec![])];
    let sent = run_one(&mut operator, &turns);
    let counts: Vec<usize> = sent.iter().map(|sent| sent.sorted().len()).collect();
    assert_eq!(counts, [0, 0, 2, 0], "no row before 11 can come when the watermark is at 10");
    assert_eq!(operator.size().1, 0);
}

/// Would fail if a condition saw another row than it names.
#[test]
fn conditions_see_rows_before_and_behind_and_the_match_so_far() {
    let value = Seen::At(ALL);
    let values = |tests: Vec<Vec<Test>>, pattern: &str, values: &[i64]| {
        let case = Case { tests, ..Case::of(pattern) };
        let rows: Vec<Row> =
            (0..).zip(values).map(|(time, value)| row("k", *value, time)).collect();
        matches(&run_one(&mut case.operator(), &[Turn::last(vec![change(&rows)])]))
    };
    let falls = is(value, Some(Seen::At(before(ALL, -1))), Compared::Less(0));
    let rises = is(value, Some(Seen::At(before(last(1), -1))), Compared::More(0));
    let v = vec![vec![falls], vec![rises]];
    assert_eq!(values(v, "A+ B+", &[5, 4, 3, 6, 7, 1]), "A1 A2 B3 B4");
    let next = is(value, Some(Seen::At(before(ALL, 1))), Compared::Less(0));
    assert_eq!(values(vec![vec![next], vec![]], "A+", &[1, 2, 1, 1]), "A0");
    let sum = is(Seen::Sum(Scope::ALL), None, Compared::Less(10));
    assert_eq!(values(vec![vec![sum]], "A+", &[4, 5, 1, 2, 10, 3]), "A0 A1 | A2 A3 | A5");
    let second = Position { offset: 1, ..Position::first(Scope::of(&[VariableId(0)])) };
    let above = is(value, Some(Seen::At(second)), Compared::More(0));
    assert_eq!(values(vec![vec![], vec![above]], "A A A B", &[1, 5, 2, 6]), "A0 A1 A2 B3");
    let own = Position { offset: 1, ..last(0) };
    let first_or_more = is(value, Some(Seen::At(own)), Compared::More(0));
    assert_eq!(
        values(vec![vec![first_or_more]], "A", &[1, 2]),
        "",
        "the first row has none before"
    );
    let numbered = is(Seen::Number, None, Compared::Less(3));
    assert_eq!(values(vec![vec![numbered]], "A", &[1, 2, 3]), "A0 | A1");
}

/// Would fail if a condition that fails for a row that no match has come to failed the job, or one that does
/// were passed over.
#[test]
fn a_condition_fails_only_where_a_match_has_come_to_it() {
    let risky = is(Seen::At(ALL), None, Compared::Fails(7));
    let first = is(Seen::At(ALL), None, Compared::Less(2));
    let case = Case { tests: vec![vec![first], vec![risky]], ..Case::of("A B") };
    let rows = |values: &[i64]| -> Vec<Row> {
        (0..).zip(values).map(|(time, value)| row("k", *value, time)).collect()
    };
    let turns = [Turn::last(vec![change(&rows(&[7, 1, 5, 7, 1, 6]))])];
    assert_eq!(matches(&run_one(&mut case.operator(), &turns)), "A1 B2 | A4 B5");
    let (mut operator, mut out) = (case.operator(), Output::new(0));
    operator.batch(0, change(&rows(&[7, 1, 7])), &mut out).unwrap();
    let error = operator.close(&Turn::last(vec![]).close(0), &mut out).unwrap_err();
    assert!(error.to_string().contains("7 is no good"), "{error}");
}

/// Would fail if rows of a match were lost, or put to another variable.
#[test]
fn rows_of_variables_come_out_as_lists() {
    let mut node = Case { rows: RowsPerMatch::One, ..of_letters("A B* C") }.node();
    let of = |variable| Value::Rows { of: Scope::of(&[VariableId(variable)]), columns: vec![1, 2] };
    node.operands = [0, 1].map(|variable| Operand::running(of(variable))).to_vec();
    let output = node.schema(&row_schema()).unwrap();
    let mut operator = Match::new(&node, &row_schema(), output).unwrap();
    let rows = [
        row("k", 1, 1),
        row("k", 2, 2),
        row("k", 2, 3),
        row("k", 3, 4),
        row("l", 1, 1),
        row("l", 3, 2),
    ];
    let sent = run_one(&mut operator, &[Turn::last(vec![change(&rows)])]);
    let lines: Vec<String> = sent[0].results.iter().flat_map(texts).collect();
    let expected = [
        "k|4|[{value: 1, start: 1970-01-01T00:00:00.001}]|\
         [{value: 2, start: 1970-01-01T00:00:00.002}, {value: 2, start: 1970-01-01T00:00:00.003}]",
        "l|2|[{value: 1, start: 1970-01-01T00:00:00.001}]|[]",
    ];
    assert_eq!(lines, expected);
}

/// Would fail if rows of one time were searched in the order in which they came.
#[test]
fn ties_are_decided_by_the_whole_row() {
    for turned in [false, true] {
        let mut rows = [row("k", 1, 1), row("k", 2, 1), row("k", 3, 1)];
        if turned {
            rows.reverse();
        }
        let batches = rows.map(|row| change(&[row])).to_vec();
        let sent = run_one(&mut of_letters("A B C").operator(), &[Turn::last(batches)]);
        assert_eq!(matches(&sent), "A1 B1 C1");
    }
}

/// Would fail if rows of the wall clock waited for a watermark, or the clock did not end a match.
#[test]
fn by_arrival_rows_are_searched_at_the_end_of_their_epoch() {
    let case = Case { basis: TimeBasis::Processing, within: Some(4), ..of_letters("A B*") };
    let mut operator = case.operator();
    let turns = [
        Turn::at(4, vec![change(&[row("k", 1, 4)])]),
        Turn::at(6, vec![change(&[row("k", 2, 6)])]),
    ];
    assert_eq!(matches(&run_one(&mut operator, &turns)), "");
    assert_eq!(operator.wake(), Some(Turn::at(9, vec![]).clock));
    assert_eq!(matches(&run_one(&mut operator, &[Turn::at(9, vec![])])), "A4 B6");
}

/// Would fail if rows were kept that no match can have any more, or partitions of which there are none.
#[test]
fn what_no_match_can_have_is_dropped() {
    let case = Case { within: Some(9), seen: Vec::new(), ..of_letters("A B* C") };
    let (mut operator, groups) = (case.operator(), KeyGroups { count: 8, workers: 1 });
    let mut files = Vec::new();
    for time in 1..100 {
        let rows = (0..200).map(|key| row(&format!("{time} {key}"), 1 + key % 2, time));
        let rows: Vec<Row> = rows.chain([row("again", 2, time), row("open", 1, time)]).collect();
        run_one(&mut operator, &[Turn::at(time, vec![change(&rows)])]);
        assert!(operator.size().1 <= 11 * 101, "{} rows", operator.size().1);
        let mut writer = StateWriter::new(files.is_empty(), groups);
        operator.snapshot(&mut writer).unwrap();
        files.extend(writer.finish().unwrap());
        assert!(operator.partitions.len() < 3 * PACK_PARTITIONS);
    }
    let mut other = case.operator();
    let state = StateReader::open(files, groups.owned_by(thalweg_types::WorkerId(0))).unwrap();
    other.restore(&state, &Turn::at(99, vec![]).close(0).moment).unwrap();
    assert_eq!(other.size().1, operator.size().1);
}
