//! How long rows are kept that no `WITHIN` ends.

use std::time::Duration;

use super::*;

/// Rows of the key `k` with some values, one each millisecond from `from` on.
fn rows(key: &str, from: i64, values: &[i64]) -> Vec<Row> {
    (from..).zip(values).map(|(time, value)| row(key, *value, time)).collect()
}

/// Would fail if rows that `PREV` and `NEXT` may ask for were more than their offsets say, or if a partition in
/// which nothing is ever found, or to which no row comes any more, kept more.
#[test]
fn rows_around_matches_are_as_many_as_offsets_say() {
    let value = Seen::At(ALL);
    let never = is(value, Some(Seen::At(before(ALL, -3))), Compared::More(1000));
    let next = is(value, Some(Seen::At(before(ALL, 2))), Compared::Less(1000));
    for (tests, pattern) in [
        (vec![vec![never], vec![next]], "A B"),
        (vec![vec![next], vec![never]], "A B"),
        (vec![vec![next], vec![never]], "A{2} B"),
        (vec![vec![never, next]], "A+"),
    ] {
        let mut operator = Case { tests, ..Case::of(pattern) }.operator();
        let idle = rows("idle", 0, &[1; 10]);
        run_one(&mut operator, &[Turn::at(9, vec![change(&idle)])]);
        for epoch in 1..50 {
            let busy = rows("busy", 100 * epoch, &[epoch; 100]);
            run_one(&mut operator, &[Turn::at(100 * epoch + 99, vec![change(&busy)])]);
            // Of each three rows before and two behind, and of "A{2} B" the two that wait for the third.
            assert!(operator.size().1 <= 2 * 7, "{pattern}: {} rows", operator.size().1);
        }
    }
}

/// Would fail if a match that has begun were kept for ever, forgotten too early, or found when it was forgotten;
/// if it came back with a restore; or if nobody were told.
#[test]
fn a_partition_is_forgotten_to_which_no_row_comes() {
    let case = Case { ttl: Some(Duration::from_millis(16)), ..of_letters("A B* C") };
    let turn = |time, rows: &[Row]| Turn::at(time, vec![change(rows)]);
    let turns = [
        turn(1, &[row("idle", 1, 1), row("busy", 1, 1)]),
        turn(11, &[row("busy", 2, 11)]),
        turn(20, &[]),
        turn(21, &[row("busy", 2, 21), row("idle", 2, 21)]),
        turn(22, &[row("busy", 3, 22), row("idle", 3, 22)]),
    ];
    let mut operator = case.operator();
    assert_eq!(matches(&run_one(&mut operator, &turns)), "A1 B11 B21 C22");
    assert_eq!(operator.size().1, 0);

    let (mut out, mut files) = (Output::new(0), Vec::new());
    let groups = KeyGroups { count: 8, workers: 1 };
    let mut operator = case.operator();
    for (epoch, time) in [(0, 1), (1, 30)] {
        if time == 1 {
            operator.batch(0, change(&rows("k", 0, &[1, 2])), &mut out).unwrap();
        }
        assert_eq!(operator.close(&turn(time, &[]).close(epoch), &mut out).unwrap(), Step::Done);
        let mut writer = StateWriter::new(files.is_empty(), groups);
        operator.snapshot(&mut writer).unwrap();
        files.extend(writer.finish().unwrap());
    }
    assert_eq!((operator.size().1, out.forgotten()), (0, 2));
    let state = StateReader::open(files, groups.owned_by(thalweg_types::WorkerId(0))).unwrap();
    let mut other = case.operator();
    other.restore(&state, &turn(30, &[]).close(1).moment).unwrap();
    let found = run_one(&mut other, &[turn(31, &[row("k", 3, 31)])]);
    assert_eq!(matches(&found), "");
}

/// Would fail if rows were forgotten that wait for the watermark, or just have.
#[test]
fn rows_that_wait_for_the_watermark_are_not_forgotten() {
    let case = Case { ttl: Some(Duration::from_millis(16)), ..of_letters("A B") };
    let clock = |time: i64, turn: Turn| Turn { clock: Turn::at(time, vec![]).clock, ..turn };
    let turns = [
        clock(0, Turn::at(0, vec![change(&[row("k", 1, 1), row("k", 2, 2)])])),
        clock(50, Turn::at(0, vec![])),
        clock(90, Turn::at(1, vec![])),
        clock(100, Turn::at(2, vec![])),
    ];
    assert_eq!(matches(&run_one(&mut case.operator(), &turns)), "A1 B2");
}
