mod more;
mod scores;

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::datatypes::{Schema, TimeUnit};
use thalweg_plan::node::Stage;
use thalweg_plan::pane::{OwnTime, PaneColumn};
use thalweg_plan::trigger::Trigger;
use thalweg_plan::window::{Assigner, TimeBasis};

use super::*;
use crate::operators::testing::*;

const ALL: [PaneColumn; 3] = [PaneColumn::Timing, PaneColumn::Index, PaneColumn::IsLast];

/// What one test runs: windows, and when they send what.
#[derive(Clone, Debug)]
struct Setup {
    /// `None` for one window of all time.
    assigner: Option<Assigner>,
    early: Option<Trigger>,
    late: Option<Trigger>,
    accumulation: Accumulation,
    /// Milliseconds.
    lateness: i64,
    columns: Vec<PaneColumn>,
    /// Do windows go by the rows of their key, so many milliseconds behind the greatest start?
    own: Option<i64>,
}

fn millis_of(time: EventTime) -> i64 {
    time.to_unit(TimeUnit::Millisecond)
}

impl Setup {
    fn operator(&self) -> Box<dyn Operator> {
        let (early, late) = (self.early.clone().map(Box::new), self.late.clone().map(Box::new));
        self.with(Trigger::Watermark { early, late })
    }

    fn with(&self, trigger: Trigger) -> Box<dyn Operator> {
        self.made(&self.node(trigger))
    }

    fn node(&self, trigger: Trigger) -> AggregateNode {
        let spec = |assigner| WindowSpec {
            assigner,
            basis: TimeBasis::Event,
            start: 2,
            end: 3,
            zone: None,
        };
        let panes = Panes {
            trigger,
            accumulation: self.accumulation,
            lateness: Duration::from_millis(self.lateness as u64),
            columns: self.columns.clone(),
            own_time: self
                .own
                .map(|behind| Duration::from_millis(behind as u64))
                .map(|behind| OwnTime { column: 2, behind, ttl: None }),
        };
        AggregateNode {
            window: self.assigner.map(spec),
            keys: vec![0],
            calls: calls().0,
            stage: Stage::Whole,
            divert_late: true,
            retracts: false,
            ttl: None,
            panes: Some(panes),
        }
    }

    fn made(&self, node: &AggregateNode) -> Box<dyn Operator> {
        let result = result_schema(self.assigner.is_some());
        let fields = result.fields().iter().map(|field| field.as_ref().clone());
        let fields = fields.chain(self.columns.iter().map(|column| column.field()));
        let output = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let panes = node.panes.clone().unwrap();
        Box::new(PaneWindow::new(node, panes, &row_schema(), output).unwrap())
    }

    /// Returns a row as it comes to the operator.
    fn row(&self, (key, value): (i64, Option<i64>), time: i64) -> Row {
        let (start, length) = match self.assigner {
            Some(Assigner::Session { gap }) => (time, gap),
            // As long as the user likes, from each row on; or side by side, others for each key.
            Some(Assigner::User { is_merging: true, .. }) => {
                (time, 3 + (time + key).rem_euclid(12))
            }
            Some(Assigner::User { .. }) => (time - (time + 3 * key).rem_euclid(7 + key), 7 + key),
            Some(assigner) => (assigner.slice_start(time), assigner.slice()),
            None => (0, 0),
        };
        Row { key: format!("key {key}"), value, start, end: start + length }
    }

    fn is_session(&self) -> bool {
        self.assigner.is_some_and(Assigner::is_merging)
    }

    fn windows(&self, start: i64, end: i64) -> Vec<(i64, i64)> {
        match self.assigner {
            None => vec![(i64::MIN, i64::MAX)],
            Some(Assigner::Session { .. } | Assigner::User { .. }) => vec![(start, end)],
            Some(assigner) => assigner.windows_of(start),
        }
    }
}

/// A window of a key, naively: all of its rows.
#[derive(Clone, Debug, Default)]
struct Window {
    all: Naive,
    /// Rows that no pane has, and the clock of the first of them.
    waiting: Naive,
    count: u64,
    first: i64,
    /// Did it fire behind its end?
    has_passed: bool,
    panes: usize,
    sent: Vec<String>,
}

/// Rows that are judged together: key, bounds, values.
type Run = (String, (i64, i64), Vec<Option<i64>>);
type Windows = BTreeMap<(i64, i64, String), Window>;

/// The naive operator: it goes over all windows at each close.
struct Oracle {
    setup: Setup,
    windows: Windows,
    complete: i64,
    over: i64,
    /// The greatest start of each key, what was complete by it at the last close, and before.
    keys: BTreeMap<String, [i64; 3]>,
}

impl Oracle {
    fn run(setup: &Setup, turns: &[Turn]) -> Vec<(Vec<String>, u64)> {
        let (setup, windows) = (setup.clone(), Windows::new());
        let (complete, over, keys) = (i64::MIN, i64::MIN, BTreeMap::new());
        let mut oracle = Oracle { setup, windows, complete, over, keys };
        turns.iter().map(|turn| oracle.turn(turn)).collect()
    }

    fn turn(&mut self, turn: &Turn) -> (Vec<String>, u64) {
        let clock = millis_of(turn.clock);
        let mut late = 0;
        for batch in &turn.batches {
            for run in self.runs(batch) {
                let count = run.2.len() as u64;
                late += if self.add(run, clock) { 0 } else { count };
            }
        }
        let before = self.complete;
        let has_windows = self.setup.assigner.is_some();
        (self.complete, self.over) = match turn.is_last {
            true => (i64::MAX, i64::MAX),
            false if !has_windows => (i64::MIN, i64::MIN),
            false => {
                let complete = millis_of(turn.watermark) + 1;
                (complete, complete - self.setup.lateness)
            }
        };
        for key in self.keys.values_mut() {
            key[2] = key[1];
        }
        for (key, start) in self.newest(&turn.batches) {
            let key = self.keys.entry(key).or_insert([i64::MIN; 3]);
            key[0] = key[0].max(start);
            key[1] = key[0] - self.setup.own.unwrap_or(0) + 1;
        }
        let mut lines = self.close(before, clock);
        lines.sort();
        (lines, late)
    }

    /// Returns keys and starts of rows.
    fn newest(&self, batches: &[Change]) -> Vec<(String, i64)> {
        let lines = batches.iter().flat_map(texts);
        let parts = lines.map(|line| {
            let parts: Vec<&str> = line.split('|').collect();
            (parts[0].to_owned(), parts[2].parse().unwrap())
        });
        parts.collect()
    }

    /// Returns up to which end windows of a key were complete, before, and over at the last close.
    fn times(&self, key: &str, before: i64) -> (i64, i64, i64) {
        let lateness = self.setup.lateness;
        match (self.setup.own, self.keys.get(key)) {
            (None, _) => (self.complete, before, self.over),
            (_, Some([_, _, before])) if self.complete == i64::MAX => (i64::MAX, *before, i64::MAX),
            (_, None) => (self.complete_at_end(), i64::MIN, self.complete_at_end()),
            (_, Some([_, complete, before])) => {
                (*complete, *before, complete.saturating_sub(lateness))
            }
        }
    }

    fn complete_at_end(&self) -> i64 {
        if self.complete == i64::MAX { i64::MAX } else { i64::MIN }
    }

    /// Returns what of a batch is judged together.
    fn runs(&self, batch: &Change) -> Vec<Run> {
        let rows = texts(batch);
        let mut rows: Vec<_> = rows
            .iter()
            .map(|line| {
                let parts: Vec<&str> = line.split('|').collect();
                let bounds = (parts[2].parse::<i64>().unwrap(), parts[3].parse::<i64>().unwrap());
                (parts[0].to_owned(), bounds, vec![parts[1].parse::<i64>().ok()])
            })
            .collect();
        if !self.setup.is_session() {
            return rows;
        }
        rows.sort();
        let mut runs: Vec<Run> = Vec::new();
        for (key, (start, end), values) in rows {
            match runs.last_mut() {
                Some(run) if run.0 == key && start <= run.1.1 => {
                    run.1.1 = run.1.1.max(end);
                    run.2.extend(values);
                }
                _ => runs.push((key, (start, end), values)),
            }
        }
        runs
    }

    /// Adds rows to their windows; are they in time?
    fn add(&mut self, (key, (start, end), values): Run, clock: i64) -> bool {
        let mut is_taken = false;
        for (start, end) in self.setup.windows(start, end) {
            let Some(place) = self.open(&key, start, end) else { continue };
            let window = self.windows.get_mut(&place).unwrap();
            is_taken = true;
            if window.count == 0 {
                window.first = clock;
            }
            window.count += values.len() as u64;
            for value in &values {
                window.all.add(*value);
                window.waiting.add(*value);
            }
        }
        is_taken
    }

    /// Returns the window that takes rows of these bounds.
    fn open(&mut self, key: &str, start: i64, end: i64) -> Option<(i64, i64, String)> {
        let is_reached = |other: &(i64, i64, String)| match self.setup.is_session() {
            true => other.2 == key && other.0 >= start && other.1 <= end,
            false => *other == (end, start, key.to_owned()),
        };
        let reached: Vec<_> =
            self.windows.keys().filter(|place| is_reached(place)).cloned().collect();
        let (complete, _, over) = self.times(key, self.complete);
        if reached.is_empty() {
            let place = (end, start, key.to_owned());
            return (end > over).then(|| {
                self.windows.insert(place.clone(), Window::default());
                place
            });
        }
        let whole_start = reached.iter().map(|place| place.1).min().unwrap().min(start);
        let whole_end = reached.iter().map(|place| place.0).max().unwrap().max(end);
        let has_passed = reached.iter().all(|place| self.windows[place].has_passed);
        let has_passed = has_passed && whole_end <= complete;
        let is_finished = has_passed && self.setup.late.is_none();
        if is_finished || (!self.setup.is_session() && end <= over) {
            return None;
        }
        let mut whole = Window { has_passed, ..Window::default() };
        for place in &reached {
            let window = self.windows.remove(place).unwrap();
            whole.first = match (whole.count, window.count) {
                (0, _) => window.first,
                (_, 0) => whole.first,
                _ => whole.first.min(window.first),
            };
            whole.count += window.count;
            whole.all.join(window.all);
            whole.waiting.join(window.waiting);
            whole.panes = whole.panes.max(window.panes);
            whole.sent.extend(window.sent);
        }
        let place = (whole_end, whole_start, key.to_owned());
        self.windows.insert(place.clone(), whole);
        Some(place)
    }

    fn close(&mut self, before: i64, clock: i64) -> Vec<String> {
        let mut lines = Vec::new();
        let setup = self.setup.clone();
        let mut windows = std::mem::take(&mut self.windows);
        for ((end, start, key), window) in &mut windows {
            let (complete, before, over) = self.times(key, before);
            let fires = |trigger: &Option<Trigger>| match trigger {
                None => false,
                Some(Trigger::Rows(rows)) => window.count >= *rows,
                Some(Trigger::Delay(delay)) => {
                    window.count > 0 && clock >= window.first + delay.as_millis() as i64
                }
                Some(Trigger::Epoch) => window.count > 0,
                Some(other) => panic!("{other} is not known here"),
            };
            let (is_complete, is_over) = (*end <= complete, *end <= over);
            let (fires, timing) = match (window.has_passed, is_complete, *end <= before) {
                (true, _, _) => (fires(&setup.late), "LATE"),
                (false, true, true) => (true, "LATE"),
                (false, true, false) => (true, "ON_TIME"),
                (false, false, _) => (fires(&setup.early), "EARLY"),
            };
            window.has_passed |= is_complete;
            let is_last = is_over || (window.has_passed && setup.late.is_none());
            let is_sent = (fires && (window.count > 0 || timing == "ON_TIME"))
                || (is_over && window.count > 0);
            if fires && !is_sent {
                panic!("a trigger fires for nothing");
            }
            if !is_sent {
                continue;
            }
            let values = match setup.accumulation {
                Accumulation::Discarding => &window.waiting,
                _ => &window.all,
            };
            let mut line = format!("{key}|{}", values.text());
            if setup.assigner.is_some() {
                line = format!("{start}|{end}|{line}");
            }
            if !setup.columns.is_empty() {
                line += &format!("|{timing}|{}|{is_last}", window.panes);
            }
            if setup.accumulation == Accumulation::Retracting {
                if window.sent == [line.clone()] {
                    (window.count, window.waiting) = (0, Naive::default());
                    window.panes += 1;
                    continue;
                }
                lines.extend(window.sent.drain(..).map(|sent| format!("-1 {sent}")));
                window.sent.push(line.clone());
            }
            lines.push(format!("+1 {line}"));
            (window.count, window.waiting) = (0, Naive::default());
            window.panes += 1;
        }
        windows.retain(|(end, _, key), _| *end > self.times(key, before).2);
        self.windows = windows;
        lines
    }
}

fn trigger(random: &mut Random) -> Option<Trigger> {
    match random.below(5) {
        0 => None,
        1 => Some(Trigger::Rows(1)),
        2 => Some(Trigger::Rows(2 + random.below(4) as u64)),
        3 => Some(Trigger::Delay(Duration::from_millis(1 + random.below(20) as u64))),
        _ => Some(Trigger::Epoch),
    }
}

fn setup(random: &mut Random) -> Setup {
    let assigner = match random.below(9) {
        0 => None,
        1 => Some(Assigner::Tumble { size: 10, offset: 3 }),
        2 => Some(Assigner::Hop { size: 30, slide: 10, offset: 0 }),
        3 => Some(Assigner::Cumulate { size: 40, step: 10, offset: 0 }),
        4 | 5 => Some(Assigner::User { name: 1, is_merging: true }),
        6 => Some(Assigner::User { name: 2, is_merging: false }),
        _ => Some(Assigner::Session { gap: 10 }),
    };
    let accumulation = match random.below(3) {
        0 => Accumulation::Discarding,
        1 => Accumulation::Accumulating,
        _ => Accumulation::Retracting,
    };
    let lateness = [0, 7, 40][random.below(3) as usize];
    let columns = if random.below(3) == 0 { Vec::new() } else { ALL.to_vec() };
    let (early, late) = (trigger(random), trigger(random));
    let own = [None, Some(0), Some(9)][random.below(3) as usize].filter(|_| assigner.is_some());
    Setup { assigner, early, late, accumulation, lateness, columns, own }
}

fn turns(setup: &Setup, random: &mut Random) -> Vec<Turn> {
    let (mut watermark, mut clock, mut turns) = (-50, 1_000, Vec::new());
    for _ in 0..40 {
        let batches = (0..random.below(3)).map(|_| {
            let rows = (0..random.below(8)).map(|_| {
                let value = Some(random.below(9)).filter(|value| *value > 0);
                setup.row((random.below(4), value), watermark - 45 + random.below(90))
            });
            change(&rows.collect::<Vec<_>>())
        });
        let batches = batches.collect();
        watermark += if random.below(8) == 0 { random.below(100) } else { random.below(9) };
        clock += random.below(15);
        let clock = EventTime::from_unit(clock, TimeUnit::Millisecond);
        turns.push(Turn { clock, ..Turn::at(watermark, batches) });
    }
    turns.push(Turn::last(Vec::new()));
    turns
}

/// Would fail if a pane lacked a row or had one too many, came early, late, twice or not at all, had
/// another number or timing, was not taken back, or if late rows, crashes or workers changed a pane.
#[test]
fn panes_equal_a_naive_recomputation() {
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let setup = setup(&mut random);
        let turns = turns(&setup, &mut random);
        let expected = Oracle::run(&setup, &turns);
        let make = || setup.operator();
        let stand = Stand { pre: None, make: &make, keys: vec![0] };
        let found: Vec<_> = stand.run(&turns).iter().map(|s| (s.sorted(), s.late)).collect();
        for (epoch, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "seed {seed}, epoch {epoch}, {setup:?}");
        }
        if seed < 40 {
            stand.check_crashes(&turns, seed);
        }
    }
}
