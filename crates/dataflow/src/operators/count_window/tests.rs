use std::collections::BTreeMap;

use super::*;
use crate::operators::testing::*;

fn make(size: u64, slide: u64) -> Box<dyn Operator> {
    let node = CountWindowNode { keys: vec![0], calls: calls().0, size, slide };
    Box::new(CountWindow::new(&node, &row_schema(), result_schema(false)).unwrap())
}

fn row(key: i64, value: i64) -> Row {
    let value = Some(value).filter(|value| *value > 0);
    Row { key: format!("key {key}"), value, start: 0, end: 0 }
}

/// The naive operator: it keeps all rows of all keys.
fn expected(size: usize, slide: usize, turns: &[Vec<Row>]) -> Vec<Vec<String>> {
    let mut rows: BTreeMap<String, Vec<Option<i64>>> = BTreeMap::new();
    let turn = |turn: &Vec<Row>| {
        let mut lines = Vec::new();
        for row in turn {
            let all = rows.entry(row.key.clone()).or_default();
            all.push(row.value);
            if all.len().is_multiple_of(slide) {
                let mut naive = Naive::default();
                all[all.len().saturating_sub(size)..].iter().for_each(|value| naive.add(*value));
                lines.push(format!("+1 {}|{}", row.key, naive.text()));
            }
        }
        lines.sort();
        lines
    };
    turns.iter().map(turn).collect()
}

fn turns(random: &mut Random) -> Vec<Vec<Row>> {
    let turn = |_| {
        let count = random.below(12);
        (0..count).map(|_| row(random.below(4), random.below(9))).collect()
    };
    (0..30).map(turn).collect()
}

/// Would fail if a window had a row too many or too few, came twice, early or not at all, or if a crash or
/// another number of workers changed one.
#[test]
fn windows_have_so_many_rows_of_their_key() {
    for (seed, (size, slide)) in
        [(1, 1), (3, 3), (5, 2), (4, 1), (2, 5), (6, 3)].into_iter().enumerate()
    {
        let rows = turns(&mut Random::new(seed as u64));
        let mut turns: Vec<Turn> =
            rows.iter().map(|rows| Turn::at(0, vec![change(rows)])).collect();
        turns.push(Turn::last(Vec::new()));
        let make = move || make(size, slide);
        let stand = Stand { pre: None, make: &make, keys: vec![0] };
        let found: Vec<_> = stand.run(&turns).iter().map(Sent::sorted).collect();
        let mut expected = expected(size as usize, slide as usize, &rows);
        // What is not full at the end is not sent.
        expected.push(Vec::new());
        assert_eq!(found, expected, "{size} rows every {slide}");
        stand.check_crashes(&turns, seed as u64);
    }
}

/// Would fail if windows that came full in one epoch were not sent in the order in which they did.
#[test]
fn full_windows_come_in_their_order() {
    let mut operator = make(2, 2);
    let rows = [row(2, 1), row(1, 2), row(1, 3), row(2, 4), row(1, 5), row(1, 6)];
    let sent = run_one(operator.as_mut(), &[Turn::at(0, vec![change(&rows)])]).remove(0);
    let lines: Vec<String> = sent.results.iter().flat_map(texts).collect();
    assert_eq!(lines, ["key 1|5|2|3", "key 2|5|2|4", "key 1|11|2|6"]);
}

/// Would fail if keys of which nothing is left, or windows that were sent, were kept for ever.
#[test]
fn memory_follows_the_windows_that_are_open() {
    let mut operator = make(3, 3);
    let mut most = 0;
    for epoch in 0..300 {
        let rows: Vec<Row> =
            (0..100).flat_map(|key| (0..3).map(move |_| row(epoch * 100 + key, 1))).collect();
        run_one(operator.as_mut(), &[Turn::at(0, vec![change(&rows)])]);
        let mut writer = StateWriter::new(false, thalweg_types::KeyGroups { count: 8, workers: 1 });
        operator.snapshot(&mut writer).unwrap();
        let (bytes, open) = operator.size();
        assert_eq!(open, 0);
        if epoch == 100 {
            most = bytes;
        }
        assert!(epoch < 100 || bytes <= most * 2, "{bytes} bytes, and {most} before");
    }
}
