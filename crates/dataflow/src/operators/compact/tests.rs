use super::*;
use crate::operators::testing::*;

/// Rows `key, value` of these weights.
fn weighted(rows: &[(&str, i64, i64)]) -> Change {
    let row = |(key, value, _): &(&str, i64, i64)| Row {
        key: (*key).to_owned(),
        value: Some(*value),
        start: 0,
        end: 0,
    };
    let weights: Vec<i64> = rows.iter().map(|(_, _, weight)| *weight).collect();
    let rows = change(&rows.iter().map(row).collect::<Vec<_>>()).rows;
    Change::weighted(rows, weights.into()).unwrap()
}

/// An operator may send what a key becomes before it takes back what it was.
#[test]
fn a_retraction_behind_the_new_row_does_not_hide_it() {
    let turns = [
        Turn::at(0, vec![weighted(&[("a", 2, 1)]), weighted(&[("a", 1, -1)])]),
        Turn::last(vec![weighted(&[("a", 2, -1), ("a", 3, 1), ("a", 3, -1)])]),
    ];
    let mut operator = Compact::new(vec![0], row_schema()).unwrap();
    let sent: Vec<Vec<String>> = run_one(&mut operator, &turns).iter().map(Sent::sorted).collect();
    assert_eq!(sent, [["+1 a|2|0|0"], ["-1 a|3|0|0"]]);
}

/// Would fail if two rows of a key were written in an epoch, or another one than the last, or what
/// an epoch said were remembered in the next.
#[test]
fn the_last_change_of_a_key_is_passed_on() {
    let turns = [
        Turn::at(
            0,
            vec![weighted(&[("a", 1, 1), ("b", 1, 1)]), weighted(&[("a", 1, -1), ("a", 2, 1)])],
        ),
        Turn::at(1, vec![weighted(&[("a", 2, -1)])]),
        Turn::at(2, vec![]),
        Turn::last(vec![weighted(&[("b", 1, -1), ("b", 7, 1), ("c", 3, 1), ("c", 3, -1)])]),
    ];
    let mut operator = Compact::new(vec![0], row_schema()).unwrap();
    let sent: Vec<Vec<String>> = run_one(&mut operator, &turns).iter().map(Sent::sorted).collect();
    let expected = [
        vec!["+1 a|2|0|0", "+1 b|1|0|0"],
        vec!["-1 a|2|0|0"],
        vec![],
        vec!["+1 b|7|0|0", "-1 c|3|0|0"],
    ];
    assert_eq!(sent, expected);
}
