//! What the operators' tests share: small aggregates, rows, and a stand that drives operators by
//! hand: any number of workers, outputs that are full at once, crashes and restores.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray,
    UInt32Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use thalweg_plan::function::{Accumulator, AggregateFunction, Rows};
use thalweg_plan::node::AggregateCall;
use thalweg_state::{StateReader, StateWriter};
use thalweg_types::epoch::Ending;
use thalweg_types::{Change, Epoch, EventTime, Groups, KeyGroups, Moment, Result, WorkerId, hash};

use super::batches::BATCH_ROWS;
use crate::operator::{Close, OUTPUT_BYTES_MAX, Operator, Output, Step};

/// Numbers that are the same for the same seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number below `bound`.
    pub(super) fn below(&mut self, bound: i64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % bound as u64) as i64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Sum,
    Count,
    Max,
}

/// An aggregate of a nullable BIGINT, which counts the states that are merged.
#[derive(Clone, Debug)]
pub(super) struct Small {
    pub(super) kind: Kind,
    pub(super) merges: Arc<AtomicUsize>,
}

fn number() -> FieldRef {
    Arc::new(Field::new("n", DataType::Int64, true))
}

impl AggregateFunction for Small {
    fn name(&self) -> &str {
        "small"
    }

    fn result(&self) -> FieldRef {
        number()
    }

    fn state(&self) -> Vec<FieldRef> {
        vec![number()]
    }

    fn is_retractable(&self) -> bool {
        self.kind != Kind::Max
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(SmallState { function: self.clone(), values: Vec::new() }))
    }
}

struct SmallState {
    function: Small,
    values: Vec<Option<i64>>,
}

impl SmallState {
    fn fold(&mut self, group: u32, value: i64) {
        let own = &mut self.values[group as usize];
        *own = Some(match (self.function.kind, *own) {
            (_, None) => value,
            (Kind::Max, Some(own)) => own.max(value),
            (Kind::Sum | Kind::Count, Some(own)) => own + value,
        });
    }
}

impl Accumulator for SmallState {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        assert!(rows.groups.iter().all(|group| (*group as usize) < rows.total));
        self.values.resize(rows.total, None);
        let values = rows.arguments[0].as_primitive::<Int64Type>();
        assert_eq!(values.len(), rows.groups.len());
        for (row, group) in rows.groups.iter().enumerate().filter(|(row, _)| values.is_valid(*row))
        {
            match self.function.kind {
                Kind::Count => self.fold(*group, rows.weight(row)),
                _ => self.fold(*group, values.value(row) * rows.weight(row)),
            }
        }
        Ok(())
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        assert!(groups.iter().all(|group| (*group as usize) < total));
        assert_eq!(partial[0].len(), groups.len());
        self.function.merges.fetch_add(groups.len(), Ordering::Relaxed);
        self.values.resize(total, None);
        for (group, value) in groups.iter().zip(partial[0].as_primitive::<Int64Type>()) {
            if let Some(value) = value {
                self.fold(*group, value);
            }
        }
        Ok(())
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        let none = (self.function.kind == Kind::Count).then_some(0);
        let mut values = Vec::new();
        groups.for_each(|group| values.push(self.values.get(group).copied().flatten().or(none)));
        Ok(vec![Arc::new(Int64Array::from(values))])
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        Ok(self.partial(groups)?.remove(0))
    }

    fn clear(&mut self) {
        self.values = Vec::new();
    }

    fn bytes(&self) -> usize {
        self.values.len() * 16
    }
}

/// Returns calls of SUM, COUNT and MAX of column 1, and a count of the merges of one of them.
pub(super) fn calls() -> (Vec<AggregateCall>, Arc<AtomicUsize>) {
    let merges = Arc::<AtomicUsize>::default();
    let call = |kind, merges| AggregateCall {
        function: Arc::new(Small { kind, merges }),
        arguments: vec![1],
        filter: None,
        distinct: false,
    };
    let calls = vec![
        call(Kind::Sum, merges.clone()),
        call(Kind::Count, Arc::default()),
        call(Kind::Max, Arc::default()),
    ];
    (calls, merges)
}

/// The naive aggregates of some values: sum, count and maximum.
#[derive(Clone, Debug, Default)]
pub(super) struct Naive(Vec<i64>);

impl Naive {
    pub(super) fn add(&mut self, value: Option<i64>) {
        self.0.extend(value);
    }

    pub(super) fn join(&mut self, other: Naive) {
        self.0.extend(other.0);
    }

    pub(super) fn text(&self) -> String {
        match self.0.iter().max() {
            None => "|0|".to_owned(),
            Some(max) => format!("{}|{}|{max}", self.0.iter().sum::<i64>(), self.0.len()),
        }
    }
}

/// A row of the tests: `key, value, start, end`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) value: Option<i64>,
    pub(super) start: i64,
    pub(super) end: i64,
}

pub(super) fn millis() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

pub(super) fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    // A count is never NULL, so that tests see whether such fields are kept so.
    let field = |(name, kind): &(&str, DataType)| Field::new(*name, kind.clone(), *name != "count");
    let fields = columns.iter().map(field);
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

pub(super) fn row_schema() -> SchemaRef {
    let text = DataType::Utf8View;
    schema(&[("key", text), ("value", DataType::Int64), ("start", millis()), ("end", millis())])
}

/// `start, end, key, sum, count, max`, or without the window.
pub(super) fn result_schema(has_window: bool) -> SchemaRef {
    let number = DataType::Int64;
    let all = [
        ("start", millis()),
        ("end", millis()),
        ("key", DataType::Utf8View),
        ("sum", number.clone()),
        ("count", number.clone()),
        ("max", number),
    ];
    schema(if has_window { &all } else { &all[2..] })
}

pub(super) fn change(rows: &[Row]) -> Change {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| &row.key))),
        Arc::new(rows.iter().map(|row| row.value).collect::<Int64Array>()),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.start))),
        Arc::new(TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.end))),
    ];
    Change::append(RecordBatch::try_new(row_schema(), columns).unwrap())
}

/// Returns a row as text: times as numbers, NULL as nothing.
pub(super) fn text(rows: &RecordBatch, row: usize) -> String {
    let columns = rows.columns().iter().map(|column| match column.data_type() {
        DataType::Timestamp(_, _) => cast(column, &DataType::Int64).unwrap(),
        _ => column.clone(),
    });
    let values = columns.map(|column| array_value_to_string(&column, row).unwrap());
    values.collect::<Vec<_>>().join("|")
}

/// Returns the rows of a change as text.
pub(super) fn texts(change: &Change) -> Vec<String> {
    (0..change.len()).map(|row| text(&change.rows, row)).collect()
}

/// One epoch: batches, and the time at its close.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) batches: Vec<Change>,
    pub(super) watermark: EventTime,
    pub(super) clock: EventTime,
    pub(super) is_last: bool,
}

impl Turn {
    /// Returns an epoch whose watermark and clock are `time` milliseconds.
    pub(super) fn at(time: i64, batches: Vec<Change>) -> Turn {
        let time = EventTime::from_unit(time, TimeUnit::Millisecond);
        Turn { batches, watermark: time, clock: time, is_last: false }
    }

    /// Returns the epoch at the end of all input.
    pub(super) fn last(batches: Vec<Change>) -> Turn {
        let (watermark, clock) =
            (EventTime::MAX, EventTime::from_unit(1_000_000_000, TimeUnit::Millisecond));
        Turn { batches, watermark, clock, is_last: true }
    }

    pub(super) fn close(&self, epoch: usize) -> Close {
        let moment =
            Moment { epoch: Epoch(epoch as u64 + 1), clock: self.clock, watermark: self.watermark };
        Close {
            moment,
            inputs: [self.watermark; 2],
            is_checkpoint: true,
            ending: self.is_last.then_some(Ending::Finish),
        }
    }
}

/// What one epoch put out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sent {
    /// Results in order.
    pub(super) results: Vec<Change>,
    pub(super) diverted: Vec<Change>,
    pub(super) late: u64,
}

impl Sent {
    /// Returns the results as text, each with its weight, sorted.
    pub(super) fn sorted(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for change in &self.results {
            for row in 0..change.len() {
                lines.push(format!("{:+} {}", change.weight(row), text(&change.rows, row)));
            }
        }
        lines.sort();
        lines
    }
}

/// Calls an operator until it has nothing more to send; its output is always nearly full.
pub(super) fn drive(
    operator: &mut dyn Operator,
    sent: &mut Sent,
    first: impl FnOnce(&mut dyn Operator, &mut Output) -> Result<Step>,
) {
    let mut out = Output::new(OUTPUT_BYTES_MAX - 1);
    let mut step = first(operator, &mut out).unwrap();
    loop {
        sent.late += out.counted().0;
        for (port, change) in out.take() {
            assert!(change.len() <= 8 * BATCH_ROWS, "{} rows at once", change.len());
            match port {
                0 => sent.results.push(change),
                _ => sent.diverted.push(change),
            }
        }
        if step == Step::Done {
            return;
        }
        out = Output::new(OUTPUT_BYTES_MAX - 1);
        step = operator.resume(&mut out).unwrap();
    }
}

/// Runs a test in a process of its own, with a bug planted that it must find; returns what it prints.
pub(super) fn planted(test: &str, bug: &str) -> String {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args([test, "--exact"]).env("THALWEG_PLANT", bug).output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    assert!(output.contains("1 failed"), "`{bug}` was planted and nobody noticed: {output}");
    output
}

/// Runs one operator over some epochs.
pub(super) fn run_one(operator: &mut dyn Operator, turns: &[Turn]) -> Vec<Sent> {
    let mut all = Vec::new();
    for (epoch, turn) in turns.iter().enumerate() {
        let mut sent = Sent::default();
        for change in &turn.batches {
            drive(operator, &mut sent, |operator, out| operator.batch(0, change.clone(), out));
        }
        drive(operator, &mut sent, |operator, out| operator.close(&turn.close(epoch), out));
        all.push(sent);
    }
    all
}

/// Returns random epochs, and all rows there are at the end of each. Without retractions the values rise,
/// so that first rows are displaced often.
pub(super) fn changing_rows(
    seed: u64,
    is_retracted: bool,
    keys: i64,
) -> (Vec<Vec<Row>>, Vec<Turn>) {
    let mut random = Random::new(seed);
    let mut rows: Vec<Row> = Vec::new();
    let (mut all, mut turns) = (Vec::new(), Vec::new());
    for epoch in 0..20 {
        let mut batches = Vec::new();
        for _ in 0..random.below(3) {
            let (mut changed, mut weights) = (Vec::new(), Vec::new());
            for _ in 0..random.below(30) {
                let is_gone = is_retracted && !rows.is_empty() && random.below(5) < 2;
                let row = match is_gone {
                    true => rows.swap_remove(random.below(rows.len() as i64) as usize),
                    false => {
                        let value = random.below(6) + if is_retracted { 0 } else { epoch / 4 };
                        let key = format!("key {}", random.below(keys));
                        let value = (value > 0).then_some(value);
                        Row { key, value, start: random.below(3), end: 7 }
                    }
                };
                weights.push(if is_gone { -1 } else { 1 });
                changed.push(row.clone());
                rows.extend((!is_gone).then_some(row));
            }
            let change = change(&changed);
            batches.push(match is_retracted {
                true => Change::weighted(change.rows, weights.into()).unwrap(),
                false => change,
            });
        }
        turns.push(Turn::at(epoch, batches));
        all.push(rows.clone());
    }
    (all, turns)
}

/// Returns what must be sent to turn one result into another, sorted.
pub(super) fn difference(
    before: &BTreeMap<String, i64>,
    after: &BTreeMap<String, i64>,
) -> Vec<String> {
    let mut lines = Vec::new();
    let rows: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for row in rows {
        let count = |all: &BTreeMap<String, i64>| all.get(row).copied().unwrap_or(0);
        let more = count(after) - count(before);
        lines.extend((0..more.abs()).map(|_| format!("{:+} {row}", more.signum())));
    }
    lines.sort();
    lines
}

type Make<'a> = &'a dyn Fn() -> Box<dyn Operator>;

/// Operators on several workers, with an exchange before them, and perhaps pre-aggregations
/// before that.
pub(super) struct Stand<'a> {
    pub(super) pre: Option<Make<'a>>,
    pub(super) make: Make<'a>,
    /// Columns that the exchange hashes.
    pub(super) keys: Vec<usize>,
}

const KEY_GROUPS: u16 = 32;

impl Stand<'_> {
    /// Runs some epochs on one worker.
    pub(super) fn run(&self, turns: &[Turn]) -> Vec<Sent> {
        let mut workers = Workers::new(self, 1);
        turns.iter().enumerate().map(|(epoch, turn)| workers.turn(self, epoch, turn)).collect()
    }

    /// Runs the same epochs with checkpoints, crashes and changes of the number of workers.
    pub(super) fn run_with_crashes(&self, turns: &[Turn], random: &mut Random) -> Vec<Sent> {
        let mut workers = Workers::new(self, 1 + random.below(3) as usize);
        // The epoch of the last checkpoint, and the files of all that it is made of.
        let mut saved: Option<(usize, Vec<Bytes>)> = None;
        let (mut all, mut crashes): (Vec<Sent>, _) = (Vec::new(), 0);
        // As in a job, the first snapshot of a life is a whole one.
        let mut is_new = true;
        while all.len() < turns.len() {
            let epoch = all.len();
            all.push(workers.turn(self, epoch, &turns[epoch]));
            if random.below(2) == 0 {
                let is_full = std::mem::take(&mut is_new) || random.below(5) == 0;
                let files = workers.snapshot(is_full);
                let older =
                    saved.take().filter(|_| !is_full).map_or(Vec::new(), |(_, files)| files);
                saved = Some((epoch, older.into_iter().chain(files).collect()));
            }
            if random.below(4) == 0 && crashes < 20 {
                (crashes, is_new) = (crashes + 1, true);
                workers = Workers::new(self, 1 + random.below(3) as usize);
                match &saved {
                    None => all.clear(),
                    Some((epoch, files)) => {
                        all.truncate(epoch + 1);
                        workers.restore(files, &turns[*epoch].close(*epoch).moment);
                    }
                }
            }
        }
        all
    }

    /// Checks that crashes and workers change nothing, for some seeds.
    pub(super) fn check_crashes(&self, turns: &[Turn], seed: u64) {
        let expected: Vec<_> = self.run(turns).iter().map(|s| (s.sorted(), s.late)).collect();
        for life in 0..3 {
            let found = self.run_with_crashes(turns, &mut Random::new(seed * 100 + life));
            let found: Vec<_> = found.iter().map(|sent| (sent.sorted(), sent.late)).collect();
            assert_eq!(found, expected, "seed {seed}, life {life}");
        }
    }
}

struct Workers {
    groups: KeyGroups,
    pre: Vec<Box<dyn Operator>>,
    operators: Vec<Box<dyn Operator>>,
    /// Which pre-aggregation gets the next batch.
    next: usize,
    /// The watermark at the last close.
    watermark: EventTime,
}

impl Workers {
    fn new(stand: &Stand<'_>, workers: usize) -> Workers {
        let pre = stand.pre.map(|make| (0..workers).map(|_| make()).collect());
        Workers {
            groups: KeyGroups { count: KEY_GROUPS, workers },
            pre: pre.unwrap_or_default(),
            operators: (0..workers).map(|_| (stand.make)()).collect(),
            next: 0,
            watermark: EventTime::MIN,
        }
    }

    fn turn(&mut self, stand: &Stand<'_>, epoch: usize, turn: &Turn) -> Sent {
        let mut before = Sent::default();
        if self.pre.is_empty() {
            before.results = turn.batches.clone();
        }
        let count = self.pre.len();
        for change in turn.batches.iter().filter(|_| count > 0) {
            self.next = (self.next + 1) % count;
            let pre = self.pre[self.next].as_mut();
            drive(pre, &mut before, |operator, out| operator.batch(0, change.clone(), out));
        }
        for pre in &mut self.pre {
            drive(pre.as_mut(), &mut before, |operator, out| {
                operator.close(&turn.close(epoch), out)
            });
        }
        let mut sent = Sent { results: Vec::new(), ..before };
        let at = Moment { watermark: self.watermark, ..turn.close(epoch).moment };
        self.operators.iter_mut().for_each(|operator| operator.open(&at));
        self.watermark = turn.watermark;
        for change in before.results {
            for (worker, part) in self.route(&stand.keys, &change) {
                let operator = self.operators[worker].as_mut();
                drive(operator, &mut sent, |operator, out| operator.batch(0, part, out));
            }
        }
        for operator in &mut self.operators {
            let close = turn.close(epoch);
            drive(operator.as_mut(), &mut sent, |operator, out| operator.close(&close, out));
        }
        sent
    }

    fn route(&self, keys: &[usize], change: &Change) -> BTreeMap<usize, Change> {
        let keys: Vec<ArrayRef> = keys.iter().map(|key| change.rows.column(*key).clone()).collect();
        let mut hashes = Vec::new();
        hash::hash_rows(&keys, change.len(), &mut hashes).unwrap();
        let mut rows: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for (row, hash) in hashes.into_iter().enumerate() {
            let owner = self.groups.owner(self.groups.group_of(hash)).0;
            rows.entry(owner).or_default().push(row as u32);
        }
        let part = |rows| change.take(&UInt32Array::from(rows)).unwrap();
        rows.into_iter().map(|(worker, rows)| (worker, part(rows))).collect()
    }

    fn snapshot(&mut self, is_full: bool) -> Vec<Bytes> {
        let mut files = Vec::new();
        for operator in &mut self.operators {
            let mut writer = StateWriter::new(is_full, self.groups);
            operator.snapshot(&mut writer).unwrap();
            files.extend(writer.finish().unwrap());
        }
        files
    }

    fn restore(&mut self, files: &[Bytes], at: &Moment) {
        for (worker, operator) in self.operators.iter_mut().enumerate() {
            let owned = self.groups.owned_by(WorkerId(worker));
            let state = StateReader::open(files.to_vec(), owned).unwrap();
            operator.restore(&state, at).unwrap();
        }
        self.watermark = at.watermark;
        for pre in &mut self.pre {
            pre.restore(&StateReader::empty(), at).unwrap();
        }
    }
}
