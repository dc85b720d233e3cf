use super::*;

fn variable(id: u8) -> Pattern {
    Pattern::Variable(VariableId(id))
}

fn repeat(of: Pattern, least: u32, most: Option<u32>, is_greedy: bool) -> Pattern {
    Pattern::Repeat { of: Box::new(of), least, most, is_greedy }
}

fn text(pattern: &Pattern) -> String {
    pattern.text(&|id| char::from(b'A' + id.0).to_string())
}

/// A pattern that reads otherwise than it is: EXPLAIN and fingerprints would be wrong.
#[test]
fn a_pattern_is_written_as_it_was_read() {
    let choice = Pattern::Choice(vec![variable(1), variable(2)]);
    let parts = vec![
        Pattern::Start,
        variable(0),
        choice.clone(),
        repeat(choice, 1, None, false),
        repeat(variable(3), 2, Some(4), true),
        repeat(Pattern::Sequence(vec![variable(0), variable(1)]), 0, Some(1), true),
        repeat(variable(1), 3, Some(3), false),
        repeat(variable(1), 0, Some(3), true),
        repeat(variable(1), 3, None, true),
        Pattern::Excluded(Box::new(repeat(variable(2), 0, None, true))),
        Pattern::Permutation(vec![variable(0), variable(1)]),
        Pattern::End,
    ];
    let expected = "^ A (B | C) (B | C)+? D{2,4} (A B)? B{3}? B{,3} B{3,} {- C* -} PERMUTE(A, B) $";
    assert_eq!(text(&Pattern::Sequence(parts)), expected);
}

/// Places that are counted wrong: an automaton of any size, or a small pattern that is refused.
#[test]
fn places_are_those_of_a_pattern_written_out() {
    let check =
        |pattern: Pattern, places| assert_eq!(pattern.places(), places, "{}", text(&pattern));
    check(Pattern::Empty, 0);
    check(repeat(variable(0), 0, None, true), 1);
    check(repeat(variable(0), 3, None, true), 3);
    check(repeat(repeat(variable(0), 2, Some(5), true), 1, Some(3), true), 15);
    check(repeat(repeat(variable(0), 0, Some(u32::MAX), true), u32::MAX, None, true), {
        u64::from(u32::MAX) * (u64::from(u32::MAX) + 1)
    });
    check(repeat(repeat(variable(0), 1, None, true), 1, None, true), 1);
    check(repeat(repeat(variable(0), 0, None, true), 2, None, true), 3);
    // A (B C | C B) | B (A C | C A) | C (A B | B A)
    check(Pattern::Permutation((0..3).map(variable).collect()), 15);
    check(Pattern::Permutation((0..40).map(variable).collect()), u64::MAX);
}

/// A length that is not fixed and counts as such: rows behind the watermark that are taken for late.
#[test]
fn only_a_pattern_without_a_choice_of_lengths_is_of_fixed_length() {
    let fixed = |pattern: &Pattern| pattern.is_of_fixed_length();
    let pair = Pattern::Sequence(vec![variable(0), variable(1)]);
    let one = variable(2);
    assert!(fixed(&pair));
    assert!(fixed(&repeat(pair.clone(), 2, Some(2), true)));
    assert!(fixed(&Pattern::Choice(vec![
        pair.clone(),
        Pattern::Permutation(vec![one.clone(), one.clone()])
    ])));
    assert!(!fixed(&Pattern::Choice(vec![pair.clone(), one])));
    assert!(!fixed(&repeat(pair.clone(), 1, Some(2), true)));
    assert!(!fixed(&Pattern::Empty));
    assert!(!fixed(&Pattern::Sequence(vec![pair, Pattern::End])));
}

/// A pattern that asks for what cannot be, and is run.
#[test]
fn a_pattern_that_cannot_be_is_refused() {
    let refused = |pattern: Pattern| pattern.check(2).unwrap_err().to_string();
    assert!(refused(repeat(variable(0), 3, Some(2), true)).contains("3 times at least and 2"));
    assert!(refused(repeat(variable(0), 0, Some(0), true)).contains("repeated 0 times"));
    assert!(refused(Pattern::Sequence(vec![variable(1), variable(2)])).contains("variable 2"));
    assert!(variable(1).check(2).is_ok());
}

/// A row before a match that is dropped and then asked for, or rows that are kept for nothing.
#[test]
fn rows_before_a_variable_are_those_that_every_match_has() {
    let before =
        |pattern: &Pattern| (0..3).map(|id| pattern.least_before(VariableId(id))).collect();
    let check = |pattern: Pattern, expected: [Option<u64>; 3]| {
        let found: Vec<Option<u64>> = before(&pattern);
        assert_eq!(found, expected, "{}", text(&pattern));
    };
    let [a, b, c] = [variable(0), variable(1), variable(2)];
    let sequence = Pattern::Sequence(vec![a.clone(), repeat(b.clone(), 2, None, true), c.clone()]);
    check(sequence, [Some(0), Some(1), Some(3)]);
    let optional = Pattern::Sequence(vec![repeat(a.clone(), 0, Some(1), true), b.clone()]);
    check(optional, [Some(0), Some(0), None]);
    let choice = Pattern::Choice(vec![Pattern::Sequence(vec![a.clone(), b.clone()]), c.clone()]);
    check(Pattern::Sequence(vec![choice, c.clone()]), [Some(0), Some(1), Some(0)]);
    check(Pattern::Permutation(vec![a, b, c]), [Some(0); 3]);
}
