use super::*;
use crate::operators::testing::*;

fn sort(is_ordered: bool, skip: usize, limit: Option<usize>) -> Box<dyn Operator> {
    let key = SortKey { column: 1, descending: false, nulls_first: true };
    let order = if is_ordered { vec![key] } else { Vec::new() };
    let mut sort = Sort::new(SortNode { order, skip, limit }, row_schema()).unwrap();
    // So that a few rows are enough to compact.
    sort.compact_rows = 16;
    Box::new(sort)
}

fn row(key: i64, value: Option<i64>) -> Row {
    Row { key: format!("key {key}"), value, start: 0, end: 0 }
}

fn turns(seed: u64, is_updating: bool) -> (Vec<Row>, Vec<Turn>) {
    let mut random = Random::new(seed);
    let (mut present, mut turns): (Vec<Row>, _) = (Vec::new(), Vec::new());
    for time in 0..20 {
        let (mut rows, mut weights) = (Vec::new(), Vec::new());
        for _ in 0..random.below(12) {
            if is_updating && !present.is_empty() && random.below(3) == 0 {
                rows.push(present.swap_remove(random.below(present.len() as i64) as usize));
                weights.push(-1);
            } else {
                let value = random.below(9);
                let row = row(random.below(4), (value > 0).then_some(value));
                present.push(row.clone());
                rows.push(row);
                weights.push(1);
            }
        }
        let mut change = change(&rows);
        change.weights = is_updating.then(|| weights.into());
        turns.push(Turn::at(time, vec![change]));
    }
    turns.push(Turn::last(Vec::new()));
    (present, turns)
}

fn lines(sent: &[Sent]) -> Vec<String> {
    sent.iter().flat_map(|sent| &sent.results).flat_map(texts).collect()
}

/// Would fail if a row were lost, out of order or beyond the limit, or if a crash changed it.
#[test]
fn rows_come_in_order_at_the_end() {
    for is_updating in [false, true] {
        for (skip, limit) in [(0, None), (3, Some(5)), (0, Some(1)), (7, None), (2, Some(1000))] {
            for seed in 0..6 {
                let (mut rows, turns) = turns(seed, is_updating);
                rows.sort_by(|left, right| (left.value, &left.key).cmp(&(right.value, &right.key)));
                let rows: Vec<Row> =
                    rows.into_iter().skip(skip).take(limit.unwrap_or(usize::MAX)).collect();
                let make = || sort(true, skip, limit);
                let stand = Stand { pre: None, make: &make, keys: Vec::new() };
                let sent = stand.run(&turns);
                assert_eq!(lines(&sent), texts(&change(&rows)), "seed {seed}");
                assert!(sent[..20].iter().all(|sent| sent.results.is_empty()));
                let crashed = stand.run_with_crashes(&turns, &mut Random::new(seed + 1));
                assert_eq!(lines(&crashed), lines(&sent), "seed {seed}");
            }
        }
    }
}

/// Would fail if rows waited for no reason, or a restart began to count anew.
#[test]
fn without_an_order_rows_pass_until_the_limit() {
    for (skip, limit) in [(0, None), (0, Some(20)), (15, Some(30)), (15, None), (0, Some(0))] {
        for seed in 0..6 {
            let (_, turns) = turns(seed, false);
            let all: Vec<String> =
                turns.iter().flat_map(|turn| &turn.batches).flat_map(texts).collect();
            let expected: Vec<String> =
                all.into_iter().skip(skip).take(limit.unwrap_or(usize::MAX)).collect();
            let make = || sort(false, skip, limit);
            let stand = Stand { pre: None, make: &make, keys: Vec::new() };
            assert_eq!(lines(&stand.run(&turns)), expected, "seed {seed}");
            let crashed = stand.run_with_crashes(&turns, &mut Random::new(seed + 1));
            assert_eq!(lines(&crashed), expected, "seed {seed}");
        }
    }
}

/// Would fail if a limit let the buffer grow with the input.
#[test]
fn a_limit_bounds_the_buffer() {
    let mut sort = sort(true, 1, Some(4));
    let batches = (0..200).map(|n| change(&[row(n, Some(1000 - n))])).collect();
    let early = run_one(sort.as_mut(), &[Turn::at(1, batches)]);
    assert!(early[0].results.is_empty());
    assert!(sort.size().1 <= 17, "{} rows", sort.size().1);
    let sent = run_one(sort.as_mut(), &[Turn::last(Vec::new())]);
    let values: Vec<String> =
        lines(&sent).iter().map(|line| line.split('|').nth(1).unwrap().to_owned()).collect();
    assert_eq!(values, ["802", "803", "804", "805"]);
}
