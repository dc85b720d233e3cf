//! Joins against what a naive join gives, epoch by epoch, through crashes.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringViewArray,
    TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Int64Type};
use bytes::Bytes;
use thalweg_plan::function::Condition;
use thalweg_plan::join::{JoinKind, PairCondition, TimeBound, TimeColumn};
use thalweg_plan::window::TimeBasis;
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::{Change, KeyGroupRange, KeyGroups, Zone};

use super::*;
use crate::operators::testing::*;

const KINDS: [JoinKind; 6] = [
    JoinKind::Inner,
    JoinKind::Left,
    JoinKind::Right,
    JoinKind::Full,
    JoinKind::Semi,
    JoinKind::Anti,
];

/// A row of either side: key, value, time in milliseconds.
type Line = (Option<i64>, i64, i64);

/// What the rows of a pair must have: values in order, times in bounds, where that is asked.
#[derive(Debug)]
struct Fits(Case);

impl Condition for Fits {
    fn holds(&self, rows: &RecordBatch, _: &Moment) -> Result<BooleanArray> {
        let numbers = |column: usize| {
            let column = arrow::compute::cast(rows.column(column), &DataType::Int64).unwrap();
            column.as_primitive::<Int64Type>().values().to_vec()
        };
        let [left, right, left_time, right_time] = [0, 1, 2, 3].map(numbers);
        let fits = |row: usize| {
            let (left, right) = ((left[row], left_time[row]), (right[row], right_time[row]));
            Some(self.0.fits(left, right))
        };
        Ok((0..rows.num_rows()).map(fits).collect())
    }

    fn describe(&self) -> String {
        "fits".to_owned()
    }
}

/// What is joined, and how.
#[derive(Clone, Copy, Debug)]
struct Case {
    kind: JoinKind,
    has_condition: bool,
    is_null_equal: bool,
    /// How much earlier and later the left row may be, in milliseconds.
    bound: Option<(i64, i64)>,
    is_updating: bool,
}

impl Case {
    fn node(&self) -> JoinNode {
        let time = TimeColumn { column: 3, is_end: false };
        let nanos = |millis: i64| Some(millis * 1_000_000);
        JoinNode {
            kind: self.kind,
            keys: vec![(0, 0)],
            is_null_equal: self.is_null_equal,
            condition: (self.has_condition || self.bound.is_some()).then(|| PairCondition {
                condition: Arc::new(Fits(*self)),
                columns: vec![1, 5, 3, 7],
            }),
            output: if self.kind.has_pairs() { (0..8).collect() } else { (0..4).collect() },
            bound: self.bound.map(|(earlier, later)| TimeBound {
                basis: TimeBasis::Event,
                left: time,
                right: time,
                earlier: nanos(earlier),
                later: nanos(later),
                zone: None,
            }),
            divert_late: false,
            ttl: [None, None],
        }
    }

    fn operator(&self) -> Box<dyn Operator> {
        self.operator_of(self.node())
    }

    fn operator_of(&self, node: JoinNode) -> Box<dyn Operator> {
        let side = side_schema();
        let output = if self.kind.has_pairs() {
            let fields = side.fields().iter().chain(side.fields()).cloned();
            Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
        } else {
            side.clone()
        };
        make(node, [side.clone(), side], output, self.is_updating).unwrap()
    }

    fn fits(&self, left: (i64, i64), right: (i64, i64)) -> bool {
        let in_time = self
            .bound
            .is_none_or(|(earlier, later)| (right.1 - earlier..=right.1 + later).contains(&left.1));
        in_time && (!self.has_condition || left.0 <= right.0)
    }

    fn is_pair(&self, left: &Line, right: &Line) -> bool {
        let keys = left.0 == right.0 && (self.is_null_equal || left.0.is_some());
        keys && self.fits((left.1, left.2), (right.1, right.2))
    }

    /// The whole result over some rows, each with its number.
    fn naive(&self, left: &[Line], right: &[Line]) -> BTreeMap<String, i64> {
        let mut result = BTreeMap::new();
        let nothing = "|||".to_owned();
        let mut add = |left: &str, right: &str| {
            let line =
                if self.kind.has_pairs() { format!("{left}|{right}") } else { left.to_owned() };
            *result.entry(line).or_insert(0) += 1;
        };
        for row in left {
            let matches: Vec<&Line> =
                right.iter().filter(|other| self.is_pair(row, other)).collect();
            if self.kind.has_pairs() {
                matches.iter().for_each(|other| add(&line(row), &line(other)));
            }
            if self.kind.left_alone().is_some_and(|alone| alone.is_out(matches.len() as u32)) {
                add(&line(row), &nothing);
            }
        }
        for row in right {
            let matches = left.iter().filter(|other| self.is_pair(other, row)).count();
            if self.kind.right_alone().is_some_and(|alone| alone.is_out(matches as u32)) {
                add(&nothing, &line(row));
            }
        }
        result
    }
}

fn side_schema() -> SchemaRef {
    let number = DataType::Int64;
    schema(&[("k", number.clone()), ("v", number), ("s", DataType::Utf8View), ("t", millis())])
}

fn text_of(row: &Line) -> String {
    format!("text of {} and {:?}", row.1, row.0)
}

fn line(row: &Line) -> String {
    let key = row.0.map_or(String::new(), |key| key.to_string());
    format!("{key}|{}|{}|{}", row.1, text_of(row), row.2)
}

fn rows(rows: &[(Line, i64)], is_updating: bool) -> Change {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|(row, _)| row.0).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|(row, _)| Some(row.1)).collect::<Int64Array>()),
        Arc::new(StringViewArray::from_iter_values(rows.iter().map(|(row, _)| text_of(row)))),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|(row, _)| row.2))),
    ];
    let batch = RecordBatch::try_new(side_schema(), columns).unwrap();
    match is_updating {
        false => Change::append(batch),
        true => Change::weighted(batch, rows.iter().map(|(_, weight)| *weight).collect()).unwrap(),
    }
}

/// One epoch: changes of both sides, and the time at its close.
struct Input {
    changes: Vec<(usize, Vec<(Line, i64)>)>,
    turn: Turn,
}

/// Random changes; `time` gives the times of rows of an epoch.
fn steps(case: &Case, seed: u64) -> Vec<Input> {
    let mut random = Random::new(seed);
    let mut there: [Vec<Line>; 2] = Default::default();
    let mut steps = Vec::new();
    for epoch in 0..25 {
        let mut changes = Vec::new();
        for _ in 0..random.below(4) {
            let side = random.below(2) as usize;
            let mut rows = Vec::new();
            for _ in 0..random.below(12) {
                if case.is_updating && random.below(3) == 0 && !there[side].is_empty() {
                    let at = random.below(there[side].len() as i64) as usize;
                    rows.push((there[side].swap_remove(at), -1));
                    continue;
                }
                let key = random.below(6);
                let time = epoch * 10 + 1 + random.below(10);
                let row = ((key > 0).then_some(key), random.below(4), time);
                there[side].push(row);
                rows.push((row, 1));
            }
            changes.push((side, rows));
        }
        steps.push(Input { changes, turn: Turn::at(epoch * 10, Vec::new()) });
    }
    steps.push(Input { changes: Vec::new(), turn: Turn::last(Vec::new()) });
    steps
}

/// Runs one epoch, and folds what comes out into `result`.
fn run(operator: &mut dyn Operator, case: &Case, epoch: usize, step: &Input) -> Sent {
    let mut sent = Sent::default();
    for (side, changes) in &step.changes {
        let change = rows(changes, case.is_updating);
        drive(operator, &mut sent, |operator, out| operator.batch(*side, change, out));
    }
    drive(operator, &mut sent, |operator, out| operator.close(&step.turn.close(epoch), out));
    sent
}

fn fold(result: &mut BTreeMap<String, i64>, sent: &Sent) {
    for change in &sent.results {
        for row in 0..change.len() {
            *result.entry(text(&change.rows, row)).or_insert(0) += change.weight(row);
        }
    }
    result.retain(|_, weight| *weight != 0);
}

/// Checks that at no moment of an epoch a row is out both by itself and in a pair, if it was not before.
fn check_order(mut result: BTreeMap<String, i64>, sent: &Sent) {
    let nothing = "|||";
    for change in &sent.results {
        for row in 0..change.len() {
            let line = text(&change.rows, row);
            *result.entry(line.clone()).or_insert(0) += change.weight(row);
            let middle = line.match_indices('|').nth(3).unwrap().0;
            let (left, right) = (&line[..middle], &line[middle + 1..]);
            let is_out = |line: String| result.get(&line).is_some_and(|count| *count > 0);
            if change.weight(row) > 0 && left != nothing && right != nothing {
                assert!(!is_out(format!("{left}|{nothing}")), "{line} comes too early");
                assert!(!is_out(format!("{nothing}|{right}")), "{line} comes too early");
            }
        }
    }
}

/// Returns the rows of one result that are not as often in the other.
fn differs(result: &BTreeMap<String, i64>, other: &BTreeMap<String, i64>) -> Vec<String> {
    let rows = result.iter().filter(|(row, count)| other.get(*row) != Some(count));
    rows.map(|(row, count)| format!("{count} {row}")).collect()
}

fn check(case: Case, seed: u64) {
    let steps = steps(&case, seed);
    let (mut random, groups) = (Random::new(seed + 1), KeyGroups { count: 32, workers: 1 });
    let mut operator = case.operator();
    let mut there: [Vec<Line>; 2] = Default::default();
    let mut result = BTreeMap::new();
    let mut files: Vec<Bytes> = Vec::new();
    for (epoch, step) in steps.iter().enumerate() {
        for (side, changes) in &step.changes {
            for (row, weight) in changes {
                match weight {
                    1 => there[*side].push(*row),
                    _ => {
                        let at = there[*side].iter().position(|other| other == row).unwrap();
                        there[*side].swap_remove(at);
                    }
                }
            }
        }
        let sent = run(operator.as_mut(), &case, epoch, step);
        assert_eq!(sent.late, 0);
        if case.is_updating && case.kind.has_pairs() {
            check_order(result.clone(), &sent);
        }
        fold(&mut result, &sent);
        let is_last = epoch + 1 == steps.len();
        if is_last || case.bound.is_none() {
            let expected = case.naive(&there[0], &there[1]);
            let (more, less) = (differs(&result, &expected), differs(&expected, &result));
            let place = format!("{case:?}, seed {seed}, epoch {epoch}");
            assert!(more.is_empty() && less.is_empty(), "{place}: {more:?} and not {less:?}");
        }
        // What a snapshot holds is what a new life begins with.
        if random.below(3) == 0 {
            let is_full = files.is_empty();
            let mut writer = StateWriter::new(is_full, groups);
            operator.snapshot(&mut writer).unwrap();
            files.extend(writer.finish().unwrap());
            if random.below(3) == 0 {
                let all = KeyGroupRange { start: 0, end: 32 };
                let state = StateReader::open(std::mem::take(&mut files), all).unwrap();
                operator = case.operator();
                operator.restore(&state, &step.turn.close(epoch).moment).unwrap();
            }
        }
    }
    if case.bound.is_some() {
        assert_eq!(operator.size().1, 0, "{case:?}, seed {seed}: rows stay");
    }
}

#[test]
fn an_updating_join_is_at_every_epoch_what_a_naive_join_gives() {
    for kind in KINDS {
        for has_condition in [false, true] {
            for is_null_equal in [false, true] {
                let case =
                    Case { kind, has_condition, is_null_equal, bound: None, is_updating: true };
                (0..12).for_each(|seed| check(case, seed));
            }
        }
    }
}

/// Would fail if the test above saw no wrong order: here a row that came out by itself is taken back behind
/// its pairs.
#[test]
fn a_row_taken_back_behind_its_pairs_is_found() {
    let test = "operators::join::tests::an_updating_join_is_at_every_epoch_what_a_naive_join_gives";
    let output = planted(test, "late-withdrawal");
    assert!(output.contains("comes too early"), "{output}");
}

#[test]
fn an_append_only_join_is_at_every_epoch_what_a_naive_join_gives() {
    for kind in [JoinKind::Inner, JoinKind::Semi] {
        for has_condition in [false, true] {
            let case =
                Case { kind, has_condition, is_null_equal: false, bound: None, is_updating: false };
            (0..20).for_each(|seed| check(case, seed));
        }
    }
}

/// Rows that match nothing come out once that is final, and nothing is kept for ever.
#[test]
fn a_join_with_a_time_bound_ends_as_a_naive_join_and_keeps_nothing() {
    for kind in KINDS {
        for has_condition in [false, true] {
            for bound in [(0, 0), (25, 0), (0, 40), (15, 5)] {
                let bound = Some(bound);
                let case =
                    Case { kind, has_condition, is_null_equal: false, bound, is_updating: false };
                (0..8).for_each(|seed| check(case, seed));
            }
        }
    }
}

/// Would fail if a row outlived its time-to-live, or if taking back one that was forgotten were an
/// error: with rows that come and go at random, through restores.
#[test]
fn rows_with_a_time_to_live_go_when_it_is_over() {
    for kind in KINDS {
        for (has_condition, is_updating) in [(false, false), (false, true), (true, true)] {
            let case = Case { kind, has_condition, is_null_equal: true, bound: None, is_updating };
            if is_updating || matches!(kind, JoinKind::Inner | JoinKind::Semi) {
                (0..8).for_each(|seed| check_lifetimes(case, seed));
            }
        }
    }
}

/// Lets an epoch be 10 ms and a time-to-live 32.
fn check_lifetimes(case: Case, seed: u64) {
    let ttl = Some(std::time::Duration::from_millis(32));
    let make = || case.operator_of(JoinNode { ttl: [ttl, ttl], ..case.node() });
    let (mut operator, mut came) = (make(), Vec::new());
    for (epoch, step) in steps(&case, seed).iter().enumerate() {
        run(operator.as_mut(), &case, epoch, step);
        let rows = step.changes.iter().flat_map(|(_, rows)| rows);
        came.push(rows.filter(|(_, weight)| *weight > 0).count());
        let young: usize = came.iter().rev().take(4).sum();
        assert!(operator.size().1 <= young, "{case:?}, seed {seed}, epoch {epoch}");
        if epoch % 7 == 6 {
            let mut writer = StateWriter::new(true, KeyGroups { count: 32, workers: 1 });
            operator.snapshot(&mut writer).unwrap();
            let files = vec![writer.finish().unwrap().unwrap()];
            let state = StateReader::open(files, KeyGroupRange { start: 0, end: 32 }).unwrap();
            operator = make();
            operator.restore(&state, &step.turn.close(epoch).moment).unwrap();
            // Everything counts as written when it was restored.
            came = vec![operator.size().1];
        }
    }
    assert_eq!(operator.size().1, 0, "{case:?}, seed {seed}: rows stay");
}

/// Would fail if rows with windows of a zone were kept for ever, went before clocks that were set back show the
/// window's end for the second time, or were late until then.
#[test]
fn rows_of_windows_of_a_zone_go_when_clocks_have_passed_their_end() {
    // The day and its windows' end by the clock, and the first instant at which nothing less is to come, in
    // seconds: clocks are set back from 03:00 to 02:00, and forward from 02:00 to 03:00.
    let autumn = (1_729_987_200, 3 * 3600, 2 * 3600);
    let spring = (1_711_843_200, 2 * 3600, 3600);
    for (day, end, over) in [autumn, spring] {
        let (end, over) = ((day + end) * 1000, (day + over) * 1000);
        let case = Case {
            kind: JoinKind::Left,
            has_condition: false,
            is_null_equal: false,
            bound: Some((0, 0)),
            is_updating: false,
        };
        let make = || {
            let mut node = case.node();
            let column = TimeColumn { column: 3, is_end: true };
            let bound = node.bound.iter_mut();
            bound.for_each(|bound| {
                (bound.left, bound.right) = (column, column);
                bound.zone = Zone::named("Europe/Berlin");
            });
            case.operator_of(node)
        };
        let mut operator = make();
        let step = |operator: &mut dyn Operator, epoch: usize, side, keys: &[i64], watermark| {
            let lines = keys.iter().map(|key| ((Some(*key), 0, end), 1)).collect();
            let input =
                Input { changes: vec![(side, lines)], turn: Turn::at(watermark, Vec::new()) };
            let sent = run(operator, &case, epoch, &input);
            assert_eq!(sent.late, 0, "{day}, epoch {epoch}");
            (sent.sorted().len(), operator.size().1, input.turn.close(epoch).moment)
        };
        // An hour and a moment before the end: in autumn clocks show it already.
        let (sent, kept, at) = step(operator.as_mut(), 0, 0, &[1, 2], over - 3_600_001);
        assert_eq!((sent, kept), (0, 2), "{day}");
        let mut writer = StateWriter::new(true, KeyGroups { count: 32, workers: 1 });
        operator.snapshot(&mut writer).unwrap();
        let files = vec![writer.finish().unwrap().unwrap()];
        let state = StateReader::open(files, KeyGroupRange { start: 0, end: 32 }).unwrap();
        operator = make();
        operator.restore(&state, &at).unwrap();
        let (sent, kept, _) = step(operator.as_mut(), 1, 1, &[1], over - 2);
        assert_eq!((sent, kept), (1, 3), "{day}");
        let (sent, kept, _) = step(operator.as_mut(), 2, 1, &[], over - 1);
        assert_eq!((sent, kept), (1, 0), "{day}: the one that met nothing comes out, and all go");
    }
}
