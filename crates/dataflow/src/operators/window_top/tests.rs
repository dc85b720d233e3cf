use thalweg_plan::node::SortKey;
use thalweg_plan::window::{Assigner, TimeBasis, WindowSpec};

use super::*;
use crate::operators::testing::*;

fn operator(limit: usize, rank: bool, partition: Vec<usize>) -> WindowTop {
    let basis = TimeBasis::Event;
    let node = WindowTopNode {
        window: WindowSpec { assigner: Assigner::Attached, basis, start: 2, end: 3, zone: None },
        partition,
        order: vec![SortKey { column: 1, descending: true, nulls_first: false }],
        ranks: 1..=limit,
        rank,
    };
    let input = row_schema();
    let mut fields = input.fields().to_vec();
    fields.extend(rank.then(|| Arc::new(Field::new("rank", DataType::Int64, false))));
    let mut operator = WindowTop::new(node, input, Arc::new(Schema::new(fields))).unwrap();
    // So that a few rows are enough to prune.
    operator.prune_rows = 8;
    operator
}

fn row(key: i64, value: Option<i64>, start: i64) -> Row {
    Row { key: format!("key {key}"), value, start, end: start + 10 }
}

fn rows_and_turns(seed: u64) -> (Vec<Vec<Row>>, Vec<Turn>) {
    let mut random = Random::new(seed);
    let (mut all, mut turns) = (Vec::new(), Vec::new());
    let mut watermark = 0;
    for _ in 0..25 {
        let rows: Vec<Row> = (0..random.below(40))
            .map(|_| {
                let value = random.below(7);
                let start = (watermark + 1 + random.below(20)) / 10 * 10;
                row(random.below(3), (value > 0).then_some(value), start)
            })
            .collect();
        watermark += random.below(12);
        turns.push(Turn::at(watermark, vec![change(&rows)]));
        all.push(rows);
    }
    turns.push(Turn::last(Vec::new()));
    (all, turns)
}

/// The first rows of all windows, from all rows in order.
fn naive(rows: Vec<Row>, limit: usize, has_partition: bool) -> Vec<String> {
    let mut rows: Vec<Row> = rows;
    let partition = |row: &Row| {
        let key = if has_partition { row.key.clone() } else { String::new() };
        (row.end, row.start, key)
    };
    rows.sort_by_key(|row| {
        let value = std::cmp::Reverse(row.value.unwrap_or(i64::MIN));
        (partition(row), value, row.key.clone())
    });
    let (mut lines, mut rank) = (Vec::new(), 0);
    for (at, row) in rows.iter().enumerate() {
        let is_first = at == 0 || partition(&rows[at - 1]) != partition(row);
        rank = if is_first { 1 } else { rank + 1 };
        if rank <= limit {
            let Row { key, value, start, end } = row;
            let value = value.map_or(String::new(), |value| value.to_string());
            lines.push(format!("+1 {key}|{value}|{start}|{end}|{rank}"));
        }
    }
    lines.sort();
    lines
}

/// Would fail if a row that is first were pruned, or crashes or workers changed what is first.
#[test]
fn first_rows_equal_those_of_a_naive_sort() {
    for (limit, has_partition) in [(1, true), (3, true), (4, false), (100, true)] {
        let partition = if has_partition { vec![0] } else { Vec::new() };
        let make = || Box::new(operator(limit, true, partition.clone())) as Box<dyn Operator>;
        let stand = Stand { pre: None, make: &make, keys: partition.clone() };
        for seed in 0..8 {
            let (rows, turns) = rows_and_turns(seed);
            let sent = stand.run(&turns);
            assert!(sent.iter().all(|sent| sent.late == 0));
            let mut found: Vec<String> = sent.iter().flat_map(Sent::sorted).collect();
            found.sort();
            let expected = naive(rows.concat(), limit, has_partition);
            assert_eq!(found, expected, "limit {limit}, seed {seed}");
            stand.check_crashes(&turns, seed);
        }
    }
}

/// Would fail if the buffer of a window grew with its rows, or ranks were out of order.
#[test]
fn a_window_is_pruned_and_sent_in_order() {
    let mut operator = operator(2, false, Vec::new());
    let batches = (0..100).map(|n| change(&[row(n, Some(n % 50), 0)])).collect();
    let early = run_one(&mut operator, &[Turn::at(8, batches)]);
    assert!(early[0].results.is_empty());
    assert!(operator.size().1 <= 9, "{} rows", operator.size().1);
    let sent = run_one(&mut operator, &[Turn::at(9, vec![change(&[row(1, Some(3), 0)])])]);
    let lines: Vec<String> = sent[0].results.iter().flat_map(texts).collect();
    assert_eq!(lines, ["key 49|49|0|10", "key 99|49|0|10"]);
    let late = run_one(&mut operator, &[Turn::at(9, vec![change(&[row(1, Some(3), 0)])])]);
    assert_eq!((late[0].late, operator.size().1), (1, 0));
}
