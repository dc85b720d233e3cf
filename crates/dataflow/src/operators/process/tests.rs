//! The operator over a function written by hand, which keeps a sum for each key.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, BinaryArray, Int64Array, StringViewArray, TimestampMillisecondArray};
use arrow::datatypes::{Int64Type, TimeUnit, TimestampMillisecondType};
use thalweg_plan::process::{
    ProcessFunction, SavedState, SideOutput, StateChanges, StateKind, StateSpec, TimerChange,
};
use thalweg_types::{KeyGroupRange, KeyGroups};

use super::super::testing::{
    Random, Row, Sent, Stand, Turn, change, drive, row_schema, run_one, schema, texts,
};
use super::*;
use arrow::array::AsArray;

/// Adds values up, and sets a timer of each kind for each row: by event time at its start, by the
/// clock at its end. A row sends nothing; a timer by event time sends the sum and begins anew, one by
/// the clock sends the sum to the side output. A value of 0 deletes the timers of its row, and one
/// below 0 keeps the key's timers, each setting another one, without end.
#[derive(Clone, Debug)]
struct Summing {
    states: Vec<StateSpec>,
}

impl Summing {
    fn new() -> Summing {
        let kind = StateKind::Value;
        let state = StateSpec { name: "sum".to_owned(), kind, version: 1, ttl: None };
        Summing { states: vec![state] }
    }

    fn node() -> ProcessNode {
        let side = SideOutput { name: "by clock".to_owned(), schema: sums() };
        ProcessNode {
            function: Arc::new(Summing::new()),
            keys: vec![vec![0]],
            sides: vec![side],
            delay: std::time::Duration::ZERO,
        }
    }

    fn operator() -> Box<dyn Operator> {
        Box::new(Process::new(&Summing::node(), &[row_schema()], true).unwrap())
    }
}

fn sums() -> SchemaRef {
    schema(&[("key", DataType::Utf8View), ("time", DataType::Int64), ("sum", DataType::Int64)])
}

impl ProcessFunction for Summing {
    fn describe(&self) -> String {
        "sums".to_owned()
    }

    fn states(&self) -> &[StateSpec] {
        &self.states
    }

    fn takes_updates(&self) -> bool {
        false
    }

    fn processor(&self) -> Box<dyn Processor> {
        Box::new(Sums::default())
    }
}

#[derive(Default)]
struct Sums {
    sums: Vec<Option<i64>>,
    changed: BTreeSet<u32>,
    written: Vec<u32>,
}

fn timer(group: u32, (basis, time): (TimeBasis, i64), is_set: bool) -> TimerChange {
    TimerChange { group, basis, time: EventTime::from_unit(time, TimeUnit::Millisecond), is_set }
}

impl Processor for Sums {
    fn grow(&mut self, total: usize) {
        self.sums.resize(total.max(self.sums.len()), None);
    }

    fn rows(&mut self, rows: KeyedRows<'_>, _: &Moment, effects: &mut Effects) -> Result<()> {
        let columns = rows.change.rows.columns();
        let values = columns[1].as_primitive::<Int64Type>();
        let times =
            [2, 3].map(|column: usize| columns[column].as_primitive::<TimestampMillisecondType>());
        for (row, group) in rows.groups.iter().enumerate() {
            let value = values.value(row);
            *self.sums[*group as usize].get_or_insert(0) += value;
            self.changed.insert(*group);
            self.written.push(*group);
            let (event, clock) = (times[0].value(row), times[1].value(row));
            let is_set = value != 0;
            effects.timers.push(timer(*group, (TimeBasis::Event, event), is_set));
            effects.timers.push(timer(*group, (TimeBasis::Processing, clock), is_set));
        }
        Ok(())
    }

    fn timers(&mut self, due: DueTimers<'_>, _: &Moment, effects: &mut Effects) -> Result<()> {
        let is_event = due.basis == TimeBasis::Event;
        let time = due.time.to_unit(TimeUnit::Millisecond);
        let mut values = Vec::new();
        for group in due.groups {
            let sum = &mut self.sums[*group as usize];
            values.push(*sum);
            if sum.is_some_and(|sum| sum < 0) {
                effects.timers.push(timer(*group, (due.basis, time + 1), true));
            } else if is_event {
                *sum = None;
                self.changed.insert(*group);
            }
        }
        let times = Int64Array::from(vec![time; values.len()]);
        let columns =
            vec![due.keys[0].clone(), Arc::new(times), Arc::new(Int64Array::from(values))];
        let rows = batch(&sums(), columns, due.groups.len())?;
        effects.sent.push((usize::from(!is_event), rows));
        Ok(())
    }

    fn take_changes(&mut self, all: bool) -> Result<Vec<StateChanges>> {
        let changed = std::mem::take(&mut self.changed);
        let groups: Vec<u32> = match all {
            true => (0..self.sums.len() as u32).collect(),
            false => changed.into_iter().collect(),
        };
        let values = groups.iter().map(|group| self.sums[*group as usize].map(i64::to_be_bytes));
        let values: BinaryArray = values.collect();
        let entries = groups.iter().map(|_| Some(&[][..])).collect();
        Ok(vec![StateChanges { groups, entries, values }])
    }

    fn restore(&mut self, saved: SavedState<'_>) -> Result<()> {
        for (row, group) in saved.groups.iter().enumerate() {
            assert_eq!(saved.versions.value(row), 1);
            let value = saved.values.value(row).try_into().unwrap();
            self.sums[*group as usize] = Some(i64::from_be_bytes(value));
        }
        Ok(())
    }

    fn restored(&mut self) {}

    fn take_written(&mut self, _: usize) -> Vec<u32> {
        std::mem::take(&mut self.written)
    }

    fn forget(&mut self, _: usize, groups: &[u32]) -> usize {
        self.changed.extend(groups);
        groups.iter().filter_map(|group| self.sums[*group as usize].take()).count()
    }

    fn is_live(&self, group: u32) -> bool {
        self.sums[group as usize].is_some()
    }

    fn retain(&mut self, groups: &[u32]) {
        self.sums = groups.iter().map(|group| self.sums[*group as usize]).collect();
        self.changed.clear();
    }

    fn bytes(&self) -> usize {
        self.sums.len() * 16
    }
}

fn row(key: &str, value: i64, start: i64, end: i64) -> Row {
    Row { key: key.to_owned(), value: Some(value), start, end }
}

/// Returns what was sent, in order: results, then the side output.
fn lines(sent: &Sent) -> [Vec<String>; 2] {
    [&sent.results, &sent.diverted].map(|changes| changes.iter().flat_map(texts).collect())
}

const NEVER: i64 = 1_000_000;

#[test]
fn timers_fire_at_closes_by_time_then_key() {
    // Firing as rows come, or in the order in which keys came first.
    let rows = [row("b", 1, 20, NEVER), row("a", 2, 20, NEVER), row("c", 3, 10, NEVER)];
    let turns = [
        Turn::at(9, vec![change(&rows)]),
        Turn::at(20, vec![]),
        Turn::at(30, vec![change(&[row("a", 5, 7, NEVER)])]),
        Turn::at(40, vec![]),
    ];
    let sent = run_one(Summing::operator().as_mut(), &turns);
    let sent: Vec<_> = sent.iter().map(|sent| lines(sent)[0].clone()).collect();
    // That of a time that is over fires at once, and each fires once.
    assert_eq!(sent, [vec![], vec!["c|10|3", "a|20|2", "b|20|1"], vec!["a|7|5"], vec![]]);
}

#[test]
fn timers_by_the_clock_wake_the_operator() {
    // A job without rows would not fire them.
    let mut operator = Summing::operator();
    let turn = Turn::at(5, vec![change(&[row("a", 2, NEVER, 30), row("b", 1, NEVER, 20)])]);
    run_one(operator.as_mut(), &[turn]);
    assert_eq!(operator.wake(), Some(EventTime::from_unit(20, TimeUnit::Millisecond)));
    let sent = run_one(operator.as_mut(), &[Turn::at(30, vec![])]);
    assert_eq!(lines(&sent[0]), [vec![], vec!["b|20|1", "a|30|2"]]);
    assert_eq!(operator.wake(), None);
}

#[test]
fn a_deleted_timer_does_not_fire() {
    let rows = [row("a", 1, 10, NEVER), row("a", 2, 11, NEVER), row("a", 0, 10, NEVER)];
    let sent = run_one(Summing::operator().as_mut(), &[Turn::at(20, vec![change(&rows)])]);
    assert_eq!(lines(&sent[0])[0], ["a|11|3"]);
}

#[test]
fn at_the_end_all_timers_by_event_time_fire_and_no_others() {
    // As in Flink: what the clock has not reached by then it never will.
    let turn = Turn::last(vec![change(&[row("a", 2, NEVER, 2_000_000_000)])]);
    let sent = run_one(Summing::operator().as_mut(), &[turn]);
    assert_eq!(lines(&sent[0]), [vec!["a|1000000|2"], vec![]]);
}

#[test]
fn without_a_watermark_event_time_stands_still_until_the_end() {
    let rows = vec![change(&[row("a", 2, 10, NEVER)])];
    let mut operator = Process::new(&Summing::node(), &[row_schema()], false).unwrap();
    let mut turn = Turn::at(20, rows);
    turn.watermark = EventTime::MAX;
    let sent = run_one(&mut operator, &[turn, Turn::last(vec![])]);
    let sent: Vec<_> = sent.iter().map(|sent| lines(sent)[0].clone()).collect();
    assert_eq!(sent, [vec![], vec!["a|10|2"]]);
}

#[test]
fn timers_that_set_others_without_end_are_an_error() {
    // A job would hang at the end of its input.
    let mut operator = Process::new(&Summing::node(), &[row_schema()], true).unwrap();
    operator.again_max = 1000;
    let rows = change(&[row("a", -1, 10, NEVER)]);
    operator.batch(0, rows, &mut Output::default()).unwrap();
    // Where time goes on, they may.
    let later = Turn::at(5000, vec![]).close(0);
    assert_eq!(operator.close(&later, &mut Output::default()).unwrap(), Step::Done);
    let end = operator.close(&Turn::last(vec![]).close(1), &mut Output::default());
    let error = end.unwrap_err();
    assert!(error.to_string().contains("set others that are due at once"), "{error}");
}

#[test]
fn updated_rows_are_refused_where_the_function_takes_none_back() {
    let rows = change(&[row("a", 1, 1, 1)]);
    let rows = Change::weighted(rows.rows, vec![-1].into()).unwrap();
    assert!(Summing::operator().batch(0, rows, &mut Output::default()).is_err());
}

/// Returns epochs of random rows, some of times that are over.
fn random_turns(seed: u64) -> Vec<Turn> {
    let mut random = Random::new(seed);
    let mut turns: Vec<Turn> = Vec::new();
    for epoch in 0..25 {
        let mut batches = Vec::new();
        for _ in 0..random.below(3) {
            let rows = (0..random.below(40)).map(|_| {
                let time = |random: &mut Random| (epoch * 10 - 20 + random.below(80)).max(0);
                let (start, end) = (time(&mut random), time(&mut random));
                row(&format!("key {}", random.below(12)), random.below(6), start, end)
            });
            batches.push(change(&rows.collect::<Vec<_>>()));
        }
        turns.push(Turn::at(epoch * 10, batches));
    }
    turns.push(Turn::last(vec![]));
    turns
}

/// Returns what the function sends by hand: of each epoch, sorted.
fn expected(turns: &[Turn]) -> Vec<Vec<String>> {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    let mut timers: [BTreeSet<(i64, String)>; 2] = Default::default();
    let mut all = Vec::new();
    for turn in turns {
        for change in &turn.batches {
            for row in 0..change.len() {
                let key = change.rows.column(0).as_any().downcast_ref::<StringViewArray>().unwrap();
                let key = key.value(row).to_owned();
                let value = change.rows.column(1).as_primitive::<Int64Type>().value(row);
                *sums.entry(key.clone()).or_default() += value;
                for (kind, timers) in timers.iter_mut().enumerate() {
                    let times = change.rows.column(2 + kind);
                    let times = times.as_any().downcast_ref::<TimestampMillisecondArray>().unwrap();
                    match value {
                        0 => timers.remove(&(times.value(row), key.clone())),
                        _ => timers.insert((times.value(row), key.clone())),
                    };
                }
            }
        }
        let mut lines = Vec::new();
        let limits = [turn.watermark, turn.clock].map(|time| match time {
            EventTime::MAX => i64::MAX,
            time => time.to_unit(TimeUnit::Millisecond),
        });
        for kind in 0..2 {
            while let Some((time, key)) = timers[kind].first().cloned() {
                if time > limits[kind] {
                    break;
                }
                timers[kind].pop_first();
                let sum = if kind == 0 { sums.remove(&key) } else { sums.get(&key).copied() };
                let sum = sum.map_or(String::new(), |sum| sum.to_string());
                lines.push(format!("{kind} {key}|{time}|{sum}"));
            }
        }
        lines.sort();
        all.push(lines);
    }
    all
}

#[test]
fn state_that_was_not_written_for_its_time_to_live_is_forgotten() {
    let mut function = Summing::new();
    function.states[0].ttl = Some(std::time::Duration::from_millis(160));
    let node = ProcessNode { function: Arc::new(function), ..Summing::node() };
    let operator = || Process::new(&node, &[row_schema()], true).unwrap();
    let mut first = operator();
    run_one(&mut first, &[Turn::at(0, vec![change(&[row("a", 1, 1000, NEVER)])])]);
    run_one(&mut first, &[Turn::at(100, vec![change(&[row("b", 2, 1000, NEVER)])])]);
    // A key that was written again lives on.
    run_one(&mut first, &[Turn::at(150, vec![change(&[row("a", 4, 1000, NEVER)])])]);
    let wake = first.wake().unwrap().to_unit(TimeUnit::Millisecond);
    assert!((160..=280).contains(&wake), "{wake}");
    let mut writer = StateWriter::new(true, KeyGroups { count: 8, workers: 1 });
    first.snapshot(&mut writer).unwrap();
    let state = open(writer.finish().unwrap().unwrap());
    run_one(&mut first, &[Turn::at(290, vec![])]);
    let sent = run_one(&mut first, &[Turn::at(1000, vec![])]);
    assert_eq!(lines(&sent[0])[0], ["a|1000|5", "b|1000|"]);
    // A restore counts as a writing.
    let mut second = operator();
    second.restore(&state, &Turn::at(200, vec![]).close(0).moment).unwrap();
    run_one(&mut second, &[Turn::at(290, vec![])]);
    let sent = run_one(&mut second, &[Turn::at(1000, vec![])]);
    assert_eq!(lines(&sent[0])[0], ["a|1000|5", "b|1000|2"]);
}

#[test]
fn crashes_and_workers_change_nothing() {
    for seed in 1..20 {
        let turns = random_turns(seed);
        let stand = Stand { pre: None, make: &Summing::operator, keys: vec![0] };
        let sorted = |sent: &Sent| {
            let [main, side] = lines(sent);
            let main = main.iter().map(|line| format!("0 {line}"));
            let mut all: Vec<_> = main.chain(side.iter().map(|line| format!("1 {line}"))).collect();
            all.sort();
            all
        };
        let plain: Vec<_> = stand.run(&turns).iter().map(sorted).collect();
        assert_eq!(plain, expected(&turns), "seed {seed}");
        for life in 0..4 {
            let mut random = Random::new(seed * 100 + life);
            let crashed = stand.run_with_crashes(&turns, &mut random);
            let crashed: Vec<_> = crashed.iter().map(sorted).collect();
            assert_eq!(crashed, plain, "seed {seed}, life {life}");
        }
    }
}

#[test]
fn keys_without_state_are_forgotten() {
    // Each key that ever came would take memory for ever.
    let mut operator = Process::new(&Summing::node(), &[row_schema()], true).unwrap();
    let mut all = Vec::new();
    for epoch in 0..5 {
        let rows = (0..2 * PACK_KEYS as i64).map(|n| row(&format!("{epoch} {n}"), 1, epoch, epoch));
        let turn = Turn::at(epoch, vec![change(&rows.collect::<Vec<_>>())]);
        let kept = Turn::at(epoch, vec![change(&[row("kept", 1, NEVER, NEVER)])]);
        all.extend(run_one(&mut operator, &[turn, kept]));
        let groups = KeyGroups { count: 8, workers: 1 };
        operator.snapshot(&mut StateWriter::new(false, groups)).unwrap();
        assert_eq!(operator.size().1, 1);
    }
    let sent = run_one(&mut operator, &[Turn::last(vec![])]);
    assert_eq!(lines(&sent[0])[0], ["kept|1000000|5"]);
    let rows: usize = all.iter().map(|sent| lines(sent)[0].len()).sum();
    assert_eq!(rows, 10 * PACK_KEYS);
}

/// Returns a snapshot of a key with a sum of 1, and two timers at 5 milliseconds.
fn saved() -> bytes::Bytes {
    let mut operator = Summing::operator();
    run_one(operator.as_mut(), &[Turn::at(1, vec![change(&[row("a", 1, 5, 5)])])]);
    let mut writer = StateWriter::new(true, KeyGroups { count: 8, workers: 1 });
    operator.snapshot(&mut writer).unwrap();
    writer.finish().unwrap().unwrap()
}

fn open(file: bytes::Bytes) -> StateReader {
    StateReader::open(vec![file], KeyGroupRange { start: 0, end: 8 }).unwrap()
}

#[test]
fn the_fixture_of_version_1_opens() {
    // This version could not go on from a checkpoint of version 1. Written once, with `UPDATE=1`.
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/process/v1.state");
    if std::env::var_os("UPDATE").is_some() && !std::path::Path::new(path).exists() {
        std::fs::create_dir_all(std::path::Path::new(path).parent().unwrap()).unwrap();
        std::fs::write(path, saved()).unwrap();
    }
    let state = open(std::fs::read(path).unwrap().into());
    let mut operator = Summing::operator();
    operator.restore(&state, &Turn::at(1, vec![]).close(0).moment).unwrap();
    let sent = run_one(operator.as_mut(), &[Turn::at(10, vec![])]);
    assert_eq!(lines(&sent[0]), [vec!["a|5|1"], vec!["a|5|"]]);
}

#[test]
fn a_state_of_another_kind_is_refused() {
    let state = open(saved());
    let mut function = Summing::new();
    function.states[0].kind = StateKind::Map;
    let node = ProcessNode { function: Arc::new(function), ..Summing::node() };
    let mut operator = Process::new(&node, &[row_schema()], true).unwrap();
    let error = operator.restore(&state, &Turn::at(1, vec![]).close(0).moment).unwrap_err();
    let said = "state `sum` was saved as a value state, and the program has a map state";
    assert!(error.to_string().contains(said), "{error}");
    let mut sent = Sent::default();
    drive(&mut operator, &mut sent, |operator, out| {
        operator.close(&Turn::at(1, vec![]).close(0), out)
    });
    assert_eq!(sent, Sent::default());
}
