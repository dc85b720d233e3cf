//! The orders of times.

use super::*;

/// Returns a time in epoch 1.
fn time(places: [u32; PLACES]) -> Time {
    Time { epoch: 1, places }
}

#[test]
fn rounds_meet_at_their_least_upper_bound() {
    let (a, b) = (Rounds([1, 5, 0]), Rounds([2, 3, 0]));
    assert_eq!(a.join(&b), Rounds([2, 5, 0]));
    assert!(!a.is_within(&b) && !b.is_within(&a));
    assert!(a.is_within(&a.join(&b)) && b.is_within(&a.join(&b)));
}

#[test]
fn what_leaves_a_loop_is_behind_all_its_rounds_and_before_the_next_loop() {
    let at = time([4, 0, 0, 0, 0]);
    let inside = Path::enter(ScopeId(1), 1).results_in(&at).unwrap();
    let again = Path::next_round(2).results_in(&inside).unwrap();
    let left = Path::leave(ScopeId(1), 1).results_in(&inside).unwrap();
    let second = Path::enter(ScopeId(2), 1).results_in(&left).unwrap();
    let next = Path::next_round(1).results_in(&second).unwrap();
    let times = [at, inside, again, left, second, next];
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    assert_eq!([at, left].map(|time| time.rounds(1)), [Rounds([4, 0, 0]); 2]);
    assert_eq!(again.rounds(2), Rounds([4, 1, 0]));
    assert_eq!(next.rounds(1), Rounds([5, 0, 0]));
}

#[test]
fn a_path_of_paths_leads_where_they_do_one_after_the_other() {
    let paths = [
        Path::default(),
        Path::next_round(1),
        Path::next_round(2),
        Path::next_round(3),
        Path::enter(ScopeId(2), 1),
        Path::leave(ScopeId(2), 1),
        Path::enter(ScopeId(3), 2),
        Path::leave(ScopeId(3), 2),
    ];
    let times = [time([0; PLACES]), time([1, 2, 3, 4, 5]), time([9, 0, 7, 1, 0])];
    for (a, b) in paths.iter().flat_map(|a| paths.iter().map(move |b| (a, b))) {
        for time in times {
            let both = a.followed_by(b).unwrap().results_in(&time);
            let each = a.results_in(&time).and_then(|time| b.results_in(&time));
            assert_eq!(both, each, "{a:?}, then {b:?}, from {time:?}");
        }
    }
}

#[test]
fn later_rounds_begin_anew_and_the_same_rounds_go_on() {
    let at = time([2, 3, 1, 6, 0]);
    assert_eq!(at.at(&Rounds([2, 1, 0]), 2), at);
    assert_eq!(at.at(&Rounds([2, 4, 0]), 2), time([2, 3, 4, 0, 0]));
    assert_eq!(at.at(&Rounds([3, 1, 0]), 2), time([3, 3, 1, 0, 0]));
    assert_eq!(at.end(1), time([2, u32::MAX, u32::MAX, u32::MAX, u32::MAX]));
}
