use std::sync::atomic::Ordering;

use thalweg_plan::aggregate::{count, max, sum};
use thalweg_plan::distinct::state_fields;
use thalweg_plan::function::AggregateFunction;
use thalweg_plan::node::AggregateCall;
use thalweg_plan::window::{Assigner, TimeBasis};
use thalweg_types::{EventTime, Zone};

use super::*;
use crate::operators::pre_aggregate::PreAggregate;
use crate::operators::testing::*;

fn hop(size: i64, slide: i64, offset: i64) -> Assigner {
    Assigner::Hop { size, slide, offset }
}

fn cumulate(size: i64, step: i64, offset: i64) -> Assigner {
    Assigner::Cumulate { size, step, offset }
}

fn tumble(size: i64, offset: i64) -> Assigner {
    Assigner::Tumble { size, offset }
}

fn node(assigner: Assigner, basis: TimeBasis, stage: Stage) -> AggregateNode {
    let (start, end) = if stage == Stage::Final { (0, 1) } else { (2, 3) };
    let keys = if stage == Stage::Final { vec![2] } else { vec![0] };
    let window = Some(WindowSpec { assigner, basis, start, end, zone: None });
    AggregateNode {
        window,
        keys,
        calls: calls().0,
        stage,
        divert_late: false,
        retracts: false,
        ttl: None,
        panes: None,
    }
}

fn operator(assigner: Assigner, basis: TimeBasis, stage: Stage) -> Box<dyn Operator> {
    made(&node(assigner, basis, stage), stage)
}

fn made(node: &AggregateNode, stage: Stage) -> Box<dyn Operator> {
    let output = result_schema(true);
    let input = if stage == Stage::Final { output.clone() } else { row_schema() };
    match stage {
        Stage::Partial => Box::new(PreAggregate::new(node, &input, output).unwrap()),
        _ => make(node, node.window.unwrap(), &input, output).unwrap(),
    }
}

/// Returns a row with the slice that `time` falls into.
fn row(assigner: Assigner, (key, value): (i64, Option<i64>), time: i64) -> Row {
    let start = assigner.slice_start(time);
    Row { key: format!("key {key}"), value, start, end: start + assigner.slice() }
}

fn turns(assigner: Assigner, size: i64, seed: u64) -> Vec<Turn> {
    let mut random = Random::new(seed);
    let (mut watermark, mut turns) = (-50, Vec::new());
    for _ in 0..40 {
        let batches = (0..random.below(3)).map(|_| {
            let rows = (0..random.below(12)).map(|_| {
                let value = random.below(9);
                let value = (value > 0).then_some(value);
                row(
                    assigner,
                    (random.below(6), value),
                    watermark - size - 8 + random.below(size + 40),
                )
            });
            change(&rows.collect::<Vec<_>>())
        });
        let batches = batches.collect();
        // Mostly small steps, sometimes none, now and then a jump over many windows.
        watermark += match random.below(8) {
            0 => 0,
            1 => 10 + random.below(120),
            _ => random.below(9),
        };
        turns.push(Turn::at(watermark, batches));
    }
    turns.push(Turn::last(Vec::new()));
    turns
}

/// Results and late rows of each epoch, window by window; `least` tells below which time no window
/// grows, given the first time that is still to come.
fn naive(
    assigner: Assigner,
    turns: &[Turn],
    least: impl Fn(i64) -> i64,
) -> Vec<(Vec<String>, u64)> {
    let mut open: BTreeMap<(i64, i64, String), Naive> = BTreeMap::new();
    let (mut all, mut complete) = (Vec::new(), i64::MIN);
    for turn in turns {
        let mut late = 0;
        for line in turn.batches.iter().flat_map(texts) {
            let values: Vec<&str> = line.split('|').collect();
            let windows = assigner.windows_of(values[2].parse().unwrap());
            let windows: Vec<_> = windows.into_iter().filter(|w| w.1 > complete).collect();
            late += u64::from(windows.is_empty());
            for (start, end) in windows {
                let place = (end, start, values[0].to_owned());
                open.entry(place).or_default().add(values[1].parse().ok());
            }
        }
        complete = match turn.is_last {
            true => i64::MAX,
            false => least(turn.watermark.to_unit(arrow::datatypes::TimeUnit::Millisecond) + 1),
        };
        let later = open.split_off(&(complete.saturating_add(1), i64::MIN, String::new()));
        let due = std::mem::replace(&mut open, later);
        let due = due
            .iter()
            .map(|((end, start, key), values)| format!("+1 {start}|{end}|{key}|{}", values.text()));
        let mut due: Vec<String> = due.collect();
        due.sort();
        all.push((due, late));
    }
    all
}

fn check(assigner: Assigner, size: i64) {
    let pre = || operator(assigner, TimeBasis::Event, Stage::Partial);
    let last = || operator(assigner, TimeBasis::Event, Stage::Final);
    let whole = || operator(assigner, TimeBasis::Event, Stage::Whole);
    let stands = [
        Stand { pre: None, make: &whole, keys: vec![0] },
        Stand { pre: Some(&pre), make: &last, keys: vec![2] },
    ];
    for seed in 0..4 {
        let turns = turns(assigner, size, seed);
        let expected = naive(assigner, &turns, |next| next);
        assert!(expected.iter().any(|(_, late)| *late > 0), "the rows test lateness");
        for stand in &stands {
            let found: Vec<_> = stand.run(&turns).iter().map(|s| (s.sorted(), s.late)).collect();
            assert_eq!(found, expected, "{assigner:?}, seed {seed}");
            stand.check_crashes(&turns, seed);
        }
    }
}

/// Would fail if a window lacked a row, had one too many, fired twice, early or late, or if late
/// rows, crashes or workers changed what fires.
#[test]
fn hopping_windows_equal_a_naive_recomputation() {
    for (size, slide, offset) in [(30, 10, 0), (40, 5, 3), (10, 10, 0), (64, 2, -1)] {
        check(hop(size, slide, offset), size);
    }
}

/// As above, for windows that grow.
#[test]
fn cumulating_windows_equal_a_naive_recomputation() {
    for (size, step, offset) in [(30, 10, 0), (40, 5, 3), (10, 10, 0)] {
        check(cumulate(size, step, offset), size);
    }
}

/// As above, for windows that are a slice each.
#[test]
fn tumbling_windows_equal_a_naive_recomputation() {
    for (size, offset) in [(10, 0), (7, 2)] {
        check(tumble(size, offset), size);
    }
}

/// Returns how many states are merged per window fired, for `keys` keys in each slice, the same
/// ones or others in each.
fn merges_per_window(size: i64, keys: i64, are_same: bool) -> usize {
    let assigner = hop(size, 1, 0);
    let mut node = node(assigner, TimeBasis::Event, Stage::Whole);
    let (calls, merges) = calls();
    node.calls = calls;
    let spec = node.window.unwrap();
    let mut operator = make(&node, spec, &row_schema(), result_schema(true)).unwrap();
    let fired = 512;
    let turns: Vec<Turn> = (0..fired)
        .map(|time| {
            let key = |key| if are_same { key } else { time * keys + key };
            let rows = (0..keys).map(|n| row(assigner, (key(n), Some(1)), time));
            Turn::at(time, vec![change(&rows.collect::<Vec<_>>())])
        })
        .collect();
    let sent = run_one(operator.as_mut(), &turns);
    assert!(sent.iter().all(|sent| sent.results.len() == 1), "each window fires");
    merges.load(Ordering::Relaxed) / fired as usize
}

/// Would fail if firing a window merged all its slices.
#[test]
fn what_a_firing_costs_does_not_grow_with_size_over_slide() {
    for size in [4, 16, 64, 256] {
        let merges = merges_per_window(size, 10, true);
        assert!(merges <= 5 * 10, "{merges} merges for each window of {size} slices");
    }
    // Where each slice has keys of its own, a window has as many rows as all its slices.
    for size in [4, 16, 64] {
        let merges = merges_per_window(size, 10, false);
        assert!(merges <= (size as usize + 4) * 10, "{merges} merges for {size} slices");
    }
}

/// Would fail if a complete window were sent in one piece, or windows out of order.
#[test]
fn a_large_window_is_sent_in_chunks_and_windows_in_order() {
    let assigner = hop(30, 10, 0);
    let rows: Vec<Row> =
        (0..30_000).map(|key| row(assigner, (key, Some(1)), key % 2 * 10)).collect();
    let mut operator = operator(assigner, TimeBasis::Event, Stage::Whole);
    let sent = run_one(operator.as_mut(), &[Turn::last(vec![change(&rows)])]);
    assert!(sent[0].results.iter().all(|change| change.len() <= BATCH_ROWS));
    let ends: Vec<i64> = sent[0]
        .results
        .iter()
        .flat_map(texts)
        .map(|line| line.split('|').nth(1).unwrap().parse().unwrap())
        .collect();
    assert!(ends.is_sorted());
    let of = |end: i64| ends.iter().filter(|e| **e == end).count();
    assert_eq!([of(10), of(20), of(30), of(40)], [15_000, 30_000, 30_000, 15_000]);
    assert_eq!(operator.size().1, 0);
}

/// Would fail if windows of the wall clock looked at the watermark, or asked for no epoch.
#[test]
fn windows_of_the_wall_clock_fire_by_the_clock() {
    for assigner in [hop(20, 10, 0), tumble(10, 0)] {
        let mut operator = operator(assigner, TimeBasis::Processing, Stage::Whole);
        let turn = |clock: i64, rows: &[Row]| {
            let batches = if rows.is_empty() { Vec::new() } else { vec![change(rows)] };
            Turn { watermark: EventTime::MAX, ..Turn::at(clock, batches) }
        };
        let rows = [row(assigner, (1, Some(1)), 3)];
        let turns = [turn(3, &rows), turn(9, &[]), turn(10, &[])];
        let sent = run_one(operator.as_mut(), &turns);
        let lines: Vec<usize> = sent.iter().map(|sent| sent.sorted().len()).collect();
        assert_eq!((lines, sent[2].late), (vec![0, 0, 1], 0));
        let wake = matches!(assigner, Assigner::Hop { .. }).then_some(EventTime(20_000_000));
        assert_eq!(operator.wake(), wake);
    }
}

/// Would fail if the order of pushes and late additions changed a merge in the stacks.
#[test]
fn rows_of_a_slice_that_fired_count_in_its_later_windows() {
    let assigner = hop(30, 10, 0);
    let at = |time, key| change(&[row(assigner, (key, Some(1)), time)]);
    let turns = [
        Turn::at(9, vec![at(5, 1)]),
        Turn::at(19, vec![at(5, 2), at(5, 1)]),
        Turn::at(29, vec![at(15, 2), at(5, 1)]),
        Turn::last(vec![at(5, 3), at(15, 1)]),
    ];
    let mut operator = operator(assigner, TimeBasis::Event, Stage::Whole);
    let sent = run_one(operator.as_mut(), &turns);
    let expected = naive(assigner, &turns, |next| next);
    let found: Vec<_> = sent.iter().map(|sent| (sent.sorted(), sent.late)).collect();
    assert_eq!(found, expected);
    assert_eq!(found[3].1, 1);
}

/// The two changes of 2024 in Berlin, in milliseconds: 01:00 UTC on 2024-03-31 and on 2024-10-27.
const CHANGES: [i64; 2] = [1_711_846_800_000, 1_729_990_800_000];
const HOUR: i64 = 3_600_000;

/// An operator whose windows lie in the local time of Berlin.
fn in_berlin(assigner: Assigner, basis: TimeBasis, stage: Stage) -> Box<dyn Operator> {
    let mut node = node(assigner, basis, stage);
    let zone = Some(Zone::named("Europe/Berlin").unwrap());
    node.window = node.window.map(|spec| WindowSpec { zone, ..spec });
    made(&node, stage)
}

/// What clocks in Berlin show around the changes, told from the dates alone.
fn berlin(instant: i64) -> i64 {
    let is_summer = (CHANGES[0]..CHANGES[1]).contains(&instant);
    instant + if is_summer { 2 * HOUR } else { HOUR }
}

/// Would fail if a day of 23 or 25 hours ended an hour early or late by the clock, or an hour that
/// comes twice fired after the first time.
#[test]
fn windows_of_the_wall_clock_end_with_the_local_day() {
    let check = |size: i64, row_at: i64, ends_at: i64| {
        let assigner = tumble(size, 0);
        let mut operator = in_berlin(assigner, TimeBasis::Processing, Stage::Whole);
        let turn =
            |clock: i64, batches| Turn { watermark: EventTime::MAX, ..Turn::at(clock, batches) };
        let rows = change(&[row(assigner, (1, Some(1)), berlin(row_at))]);
        let first = run_one(operator.as_mut(), &[turn(row_at, vec![rows])]);
        assert!(first[0].results.is_empty());
        assert_eq!(operator.wake(), Some(EventTime(ends_at * 1_000_000)));
        let sent = run_one(operator.as_mut(), &[turn(ends_at - 1, vec![]), turn(ends_at, vec![])]);
        let fired: Vec<usize> = sent.iter().map(|sent| sent.results.len()).collect();
        assert_eq!(fired, [0, 1], "{size} {row_at}");
    };
    let [spring, autumn] = CHANGES;
    let day = 24 * HOUR;
    // Midnight is at 23:00 UTC in winter, at 22:00 in summer.
    check(day, spring - 2 * HOUR, spring + 21 * HOUR);
    check(day, autumn - 3 * HOUR, autumn + 22 * HOUR);
    // From 02:00 to 03:00, and to 02:30, twice; to 02:00 once.
    check(HOUR, autumn - HOUR, autumn + HOUR);
    check(HOUR / 2, autumn - HOUR, autumn + HOUR / 2);
    check(HOUR, autumn - 2 * HOUR, autumn - HOUR);
    // To 02:00, behind which the clocks show 03:00.
    check(HOUR, spring - HOUR, spring);
}

/// Would fail if across a change of clocks a row were late while its window could still grow, went
/// into a window that fired, or a window fired other than when it is complete.
#[test]
fn rows_are_late_by_the_local_time_of_their_window() {
    const STEP: i64 = HOUR / 4;
    let assigners = [tumble(HOUR, 0), hop(2 * HOUR, HOUR / 2, 0), cumulate(3 * HOUR, HOUR, 0)];
    for (change_at, assigner) in CHANGES.into_iter().flat_map(|at| assigners.map(|a| (at, a))) {
        let mut random = Random::new(change_at as u64);
        let turns = (0..48).map(|step| {
            let watermark = change_at - 6 * HOUR + step * STEP;
            let rows = (0..6).map(|_| {
                let time = watermark + (random.below(32) - 24) * STEP + 1;
                row(assigner, (random.below(3), Some(1)), berlin(time))
            });
            Turn::at(watermark, vec![change(&rows.collect::<Vec<_>>())])
        });
        let turns: Vec<Turn> = turns.collect();
        // What clocks show in the next hours is looked up.
        let least = |from| (0..16).map(|step| berlin(from + step * STEP)).min().unwrap();
        let expected = naive(assigner, &turns, least);
        assert!(expected.iter().any(|(_, late)| *late > 0), "the rows test lateness");
        let make = |stage| move || in_berlin(assigner, TimeBasis::Event, stage);
        let (pre, last, whole) = (make(Stage::Partial), make(Stage::Final), make(Stage::Whole));
        let stands = [
            Stand { pre: None, make: &whole, keys: vec![0] },
            Stand { pre: Some(&pre), make: &last, keys: vec![2] },
        ];
        for stand in &stands {
            let found: Vec<_> = stand.run(&turns).iter().map(|s| (s.sorted(), s.late)).collect();
            assert_eq!(found, expected, "{assigner:?} {change_at}");
            stand.check_crashes(&turns, change_at as u64);
        }
    }
}

/// A row of value 1 or 2 of a key in a slice, and its weight.
fn weighted(rows: &[(Row, i64)]) -> Change {
    let inserts = change(&rows.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>());
    let weights = rows.iter().map(|(_, weight)| *weight).collect::<Vec<_>>();
    Change::weighted(inserts.rows, weights.into()).unwrap()
}

/// Returns the operator of SUM, MAX and COUNT(DISTINCT) over rows that are taken back.
fn retracting(assigner: Assigner, stage: Stage) -> Box<dyn Operator> {
    let kind = arrow::datatypes::DataType::Int64;
    let call = |function: Arc<dyn AggregateFunction>, arguments, distinct| {
        let function = function.retractable().unwrap_or(function);
        AggregateCall { function, arguments, filter: None, distinct }
    };
    let calls = vec![
        call(sum(&kind).unwrap(), vec![1], false),
        call(count(), vec![1], true),
        call(max(&kind).unwrap(), vec![1], false),
        call(count(), Vec::new(), false),
    ];
    let input = row_schema();
    let heads = [2, 3, 0].map(|column| input.field(column).clone());
    let partial = heads.into_iter().chain(state_fields(&calls, &input)).collect::<Vec<_>>();
    let partial = Arc::new(arrow::datatypes::Schema::new(partial));
    let node = AggregateNode { calls, retracts: true, ..node(assigner, TimeBasis::Event, stage) };
    match stage {
        Stage::Partial => Box::new(PreAggregate::new(&node, &input, partial).unwrap()),
        Stage::Final => make(&node, node.window.unwrap(), &partial, result_schema(true)).unwrap(),
        Stage::Whole => make(&node, node.window.unwrap(), &input, result_schema(true)).unwrap(),
    }
}

/// Random epochs in which rows of windows of length `size` come, and some of those go again, and the
/// windows that are complete after each.
fn taken_back(assigner: Assigner, size: i64, seed: u64) -> (Vec<Turn>, Vec<Vec<String>>) {
    let mut random = Random::new(seed);
    let (mut live, mut turns, mut expected) = (Vec::<(Row, i64)>::new(), Vec::new(), Vec::new());
    for epoch in 0..30 {
        let watermark = epoch * 7;
        let mut rows = Vec::new();
        for _ in 0..random.below(20) {
            let last = |row: &Row| assigner.windows_of(row.start).into_iter().map(|w| w.1).max();
            let is_late = |row: &Row| last(row) <= Some(watermark - 7 + 1);
            let open = live.iter().position(|(row, _)| !is_late(row) && row.value.is_some());
            if let Some(at) = open.filter(|_| random.below(5) < 3) {
                let (gone, _) = live.remove(at);
                rows.push((gone, -1));
            } else {
                let (key, time) = (random.below(4), watermark + random.below(size + 30));
                let new = row(assigner, (key, Some(1 + random.below(4))), time);
                live.push((new.clone(), time));
                rows.push((new, 1));
            }
        }
        turns.push(Turn::at(watermark, vec![weighted(&rows)]));
        expected.push(due(assigner, &live, (watermark - 7, watermark)));
    }
    (turns, expected)
}

/// Returns the windows that end behind the first of two watermarks and are complete at the second.
fn due(assigner: Assigner, live: &[(Row, i64)], (from, to): (i64, i64)) -> Vec<String> {
    let mut windows: BTreeMap<(i64, i64, String), Vec<i64>> = BTreeMap::new();
    for (row, _) in live {
        for (start, end) in assigner.windows_of(row.start) {
            if end > from + 1 && end <= to + 1 {
                let place = (start, end, row.key.clone());
                windows.entry(place).or_default().extend(row.value);
            }
        }
    }
    let windows = windows.into_iter().map(|((start, end, key), values)| {
        let distinct: std::collections::BTreeSet<_> = values.iter().collect();
        let (sum, max) = (values.iter().sum::<i64>(), distinct.last().unwrap());
        format!("+1 {start}|{end}|{key}|{sum}|{}|{max}", distinct.len())
    });
    let mut windows: Vec<String> = windows.collect();
    windows.sort();
    windows
}

/// Would fail if a row that was taken back stayed in a window, or a key without rows had one.
#[test]
fn rows_that_are_taken_back_leave_their_windows() {
    for (assigner, size) in [(tumble(20, 0), 20), (hop(30, 10, 0), 30), (cumulate(30, 10, 0), 30)] {
        let pre = || retracting(assigner, Stage::Partial);
        let last = || retracting(assigner, Stage::Final);
        let whole = || retracting(assigner, Stage::Whole);
        let stands = [
            Stand { pre: None, make: &whole, keys: vec![0] },
            Stand { pre: Some(&pre), make: &last, keys: vec![2] },
        ];
        for (seed, stand) in (0..4).flat_map(|seed| stands.iter().map(move |stand| (seed, stand))) {
            let (turns, expected) = taken_back(assigner, size, seed);
            let found = stand.run(&turns);
            assert!(found.iter().all(|sent| sent.late == 0), "nothing is late");
            let found: Vec<_> = found.iter().map(Sent::sorted).collect();
            assert_eq!(found, expected, "{assigner:?}, seed {seed}");
            stand.check_crashes(&turns, seed);
        }
    }
}
