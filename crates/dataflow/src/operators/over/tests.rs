use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::datatypes::DataType::Int64;
use arrow::datatypes::FieldRef;
use thalweg_plan::aggregate::{count, first_value, last_value, max, min, sum};
use thalweg_plan::function::{Accumulator, AggregateFunction, Rows};
use thalweg_plan::node::{AggregateCall, OverFunction, Ranking, SortKey};

use super::*;
use crate::operators::testing::*;

#[derive(Clone, Copy, Debug)]
struct Query {
    frame: Frame,
    /// Frames of further aggregates.
    others: &'static [Frame],
    has_partition: bool,
    basis: TimeBasis,
    /// How far LAG looks back, and LEAD ahead.
    back: isize,
    ahead: isize,
    has_numbers: bool,
    /// Are equal rows numbered?
    has_copies: bool,
    ttl: Option<Duration>,
}

const EVENT: Query = Query {
    frame: Frame::Range(None),
    others: &[],
    has_partition: true,
    basis: TimeBasis::Event,
    back: 0,
    ahead: 0,
    has_numbers: true,
    has_copies: false,
    ttl: None,
};

impl Query {
    fn partition(&self) -> Vec<usize> {
        if self.has_partition { vec![0] } else { Vec::new() }
    }

    fn frames(&self) -> impl Iterator<Item = Frame> {
        std::iter::once(self.frame).chain(self.others.iter().copied())
    }

    /// SUM, COUNT and MAX of the value over each frame, the three numbers, and other rows' values.
    fn operator(&self) -> Over {
        let aggregates = [sum(&Int64).unwrap(), count(), max(&Int64).unwrap()];
        let call = |function| AggregateCall {
            function,
            arguments: vec![1],
            filter: None,
            distinct: false,
        };
        let calls = aggregates.map(call);
        let over = |frame| calls.clone().map(|call| OverFunction::Aggregate { call, frame });
        let mut functions: Vec<OverFunction> = self.frames().flat_map(over).collect();
        let rankings = [Ranking::RowNumber, Ranking::Rank, Ranking::DenseRank];
        let rankings = rankings.map(OverFunction::Number);
        functions.extend(rankings.into_iter().filter(|_| self.has_numbers));
        functions.extend(self.has_copies.then_some(OverFunction::Copy));
        let shift = |by, default| OverFunction::Shift { column: 1, by, default };
        functions.extend((self.back > 0).then(|| shift(-self.back, Some(1))));
        functions.extend((self.ahead > 0).then(|| shift(self.ahead, None)));
        let node = OverNode {
            partition: self.partition(),
            order: vec![SortKey { column: 2, descending: false, nulls_first: true }],
            basis: Some(self.basis),
            functions,
            divert_late: true,
            ttl: self.ttl,
        };
        let input = row_schema();
        let values = (0..node.functions.len()).map(|n| Field::new(n.to_string(), Int64, true));
        let fields = input.fields().iter().map(|field| field.as_ref().clone()).chain(values);
        Over::new(&node, &input, Arc::new(Schema::new(fields.collect::<Vec<_>>()))).unwrap()
    }

    /// The functions of all rows, from all rows.
    fn naive(&self, rows: &[Row]) -> Vec<String> {
        let partition = |row: &Row| self.has_partition.then(|| row.key.clone());
        let mut rows = rows.to_vec();
        // The order of a code, in which the partition is told by its key.
        let rest = |row: &Row| (!self.has_partition).then(|| row.key.clone());
        rows.sort_by_key(|row| (partition(row), row.start, rest(row), row.value, row.end));
        let mut lines = Vec::new();
        for own in rows.chunk_by(|left, right| partition(left) == partition(right)) {
            for (at, row) in own.iter().enumerate() {
                let number = |value: Option<i64>| value.map_or(String::new(), |v| v.to_string());
                let before = own.iter().filter(|other| other.start < row.start);
                let mut earlier: Vec<i64> = before.map(|other| other.start).collect();
                let rank = earlier.len() + 1;
                earlier.dedup();
                let mut line = vec![text(&change(std::slice::from_ref(row)).rows, 0)];
                for frame in self.frames() {
                    let values = framed(frame, own, at);
                    line.push(number((!values.is_empty()).then(|| values.iter().sum())));
                    line.push(values.len().to_string());
                    line.push(number(values.iter().max().copied()));
                }
                line.extend([at + 1, rank, earlier.len() + 1].map(|number| number.to_string()));
                if self.has_copies {
                    line.push(own[..=at].iter().filter(|other| *other == row).count().to_string());
                }
                let other = |by| at.checked_add_signed(by).and_then(|other: usize| own.get(other));
                if self.back > 0 {
                    line.push(number(other(-self.back).unwrap_or(row).value));
                }
                if self.ahead > 0 {
                    line.push(number(other(self.ahead).and_then(|other| other.value)));
                }
                lines.push(format!("+1 {}", line.join("|")));
            }
        }
        lines.sort();
        lines
    }
}

/// The values in the frame of the row `at` of a partition.
fn framed(frame: Frame, own: &[Row], at: usize) -> Vec<i64> {
    let time = own[at].start;
    let is_in = |other: usize, near: &Row| match frame {
        Frame::Rows(None) => other <= at,
        Frame::Rows(Some(rows)) => other <= at && at - other <= rows,
        Frame::Range(None) => near.start <= time,
        Frame::Range(Some(length)) => (time - length..=time).contains(&near.start),
    };
    let rows = own.iter().enumerate().filter(|(other, near)| is_in(*other, near));
    rows.filter_map(|(_, near)| near.value).collect()
}

/// Random epochs, some of whose rows are late, and the rows that are not.
fn rows_and_turns(seed: u64, has_copies: bool) -> (Vec<Row>, Vec<Turn>, u64) {
    let mut random = Random::new(seed);
    let (mut good, mut turns, mut late) = (Vec::new(), Vec::new(), 0);
    let mut watermark = 0;
    for epoch in 0..20 {
        let mut rows: Vec<Row> = (0..random.below(25))
            .map(|_| {
                let (value, end) = (random.below(9), random.below(3));
                let (key, start) = (random.below(4), watermark - 1 + random.below(15));
                let value = (value > 0).then_some(value);
                Row { key: format!("key {key}"), value, start, end }
            })
            .collect();
        if has_copies {
            let copies: Vec<Row> = rows.iter().filter(|_| random.below(3) == 0).cloned().collect();
            rows.extend(copies);
        }
        let is_late = |row: &&Row| row.start <= watermark && epoch > 0;
        late += rows.iter().filter(is_late).count() as u64;
        good.extend(rows.iter().filter(|row| !is_late(row)).cloned());
        let half = rows.len() / 2;
        let batches = vec![change(&rows[..half]), change(&rows[half..])];
        watermark += random.below(9);
        turns.push(Turn::at(watermark, batches));
    }
    turns.push(Turn::last(Vec::new()));
    (good, turns, late)
}

/// Would fail if a frame held another row or lacked one, a number were wrong, a row came twice or
/// never, or workers or a crash changed anything.
#[test]
fn values_are_those_of_a_naive_computation() {
    let of = |frame| Query { frame, ..EVENT };
    let with = |frame, others| Query { frame, others, ..EVENT };
    let copies = Query { has_copies: true, frame: Frame::Rows(Some(2)), ..EVENT };
    let queries = [
        EVENT,
        of(Frame::Rows(None)),
        of(Frame::Rows(Some(0))),
        of(Frame::Rows(Some(2))),
        of(Frame::Range(Some(0))),
        of(Frame::Range(Some(5))),
        of(Frame::Range(Some(40))),
        Query { has_partition: false, ..of(Frame::Range(Some(7))) },
        Query { has_partition: false, back: 3, ..of(Frame::Rows(None)) },
        Query { back: 2, ..EVENT },
        Query { back: 9, ..of(Frame::Range(Some(5))) },
        Query { ahead: 1, ..of(Frame::Rows(Some(3))) },
        Query { ahead: 2, back: 1, ..of(Frame::Range(Some(6))) },
        Query { ahead: 3, ..EVENT },
        with(Frame::Rows(Some(2)), &[Frame::Rows(Some(5)), Frame::Rows(None)]),
        with(Frame::Rows(None), &[Frame::Range(None)]),
        with(Frame::Range(Some(3)), &[Frame::Range(Some(30)), Frame::Rows(Some(1))]),
        Query {
            back: 3,
            ..with(Frame::Rows(Some(1)), &[Frame::Range(Some(9)), Frame::Range(None)])
        },
        Query { ahead: 2, ..with(Frame::Rows(Some(4)), &[Frame::Range(None)]) },
        Query { has_partition: false, ..with(Frame::Range(Some(2)), &[Frame::Rows(Some(7))]) },
        copies,
        Query { ahead: 1, ..copies },
        Query { has_partition: false, ahead: 2, ..copies },
    ];
    for query in queries {
        for seed in 0..2 {
            let (good, turns, late) = rows_and_turns(seed, query.has_copies);
            let make = || Box::new(query.operator()) as Box<dyn Operator>;
            let stand = Stand { pre: None, make: &make, keys: query.partition() };
            let sent = stand.run(&turns);
            let mut found: Vec<String> = sent.iter().flat_map(Sent::sorted).collect();
            found.sort();
            assert_eq!(found, query.naive(&good), "{query:?}, seed {seed}");
            assert_eq!(sent.iter().map(|sent| sent.late).sum::<u64>(), late);
            let diverted = sent.iter().flat_map(|sent| &sent.diverted).map(Change::len);
            assert_eq!(diverted.sum::<usize>() as u64, late);
            stand.check_crashes(&turns, seed);
        }
    }
}

/// An aggregate that counts the rows that it is shown.
#[derive(Debug)]
struct Counted {
    function: Arc<dyn AggregateFunction>,
    shown: Arc<AtomicUsize>,
}

impl AggregateFunction for Counted {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn result(&self) -> FieldRef {
        self.function.result()
    }

    fn state(&self) -> Vec<FieldRef> {
        self.function.state()
    }

    fn is_retractable(&self) -> bool {
        self.function.is_retractable()
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        let (own, shown) = (self.function.accumulator()?, self.shown.clone());
        Ok(Box::new(CountedState { own, shown }))
    }
}

struct CountedState {
    own: Box<dyn Accumulator>,
    shown: Arc<AtomicUsize>,
}

impl Accumulator for CountedState {
    fn update(&mut self, rows: Rows<'_>) -> Result<()> {
        self.shown.fetch_add(rows.groups.len(), Ordering::Relaxed);
        self.own.update(rows)
    }

    fn merge(&mut self, groups: &[u32], partial: &[ArrayRef], total: usize) -> Result<()> {
        self.shown.fetch_add(groups.len(), Ordering::Relaxed);
        self.own.merge(groups, partial, total)
    }

    fn partial(&mut self, groups: Groups<'_>) -> Result<Vec<ArrayRef>> {
        self.own.partial(groups)
    }

    fn evaluate(&mut self, groups: Groups<'_>) -> Result<ArrayRef> {
        self.own.evaluate(groups)
    }

    fn clear(&mut self) {
        self.own.clear();
    }

    fn bytes(&self) -> usize {
        self.own.bytes()
    }
}

/// Would fail if, along time, values over unbounded frames were computed from the first row of a partition again
/// with each row that comes, as they are where rows may come in between.
#[test]
fn unbounded_frames_along_time_are_shown_each_row_once() {
    const ROWS: i64 = 300;
    for make in [min, max, first_value, last_value] {
        for frame in [Frame::Rows(None), Frame::Range(None)] {
            let shown = Arc::<AtomicUsize>::default();
            let function = Counted { function: make(&Int64).unwrap(), shown: shown.clone() };
            let call = AggregateCall {
                function: Arc::new(function),
                arguments: vec![1],
                filter: None,
                distinct: false,
            };
            let node = OverNode {
                partition: vec![0],
                order: vec![SortKey { column: 2, descending: false, nulls_first: true }],
                basis: Some(TimeBasis::Event),
                functions: vec![OverFunction::Aggregate { call, frame }],
                divert_late: false,
                ttl: None,
            };
            let input = row_schema();
            let fields = input.fields().iter().map(|field| field.as_ref().clone());
            let fields = fields.chain([Field::new("value", Int64, true)]);
            let output = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            let mut operator = Over::new(&node, &input, output).unwrap();
            let turn = |time| Turn::at(time, vec![change(&[row("a", time % 7, time)])]);
            let sent = run_one(&mut operator, &(1..=ROWS).map(turn).collect::<Vec<_>>());
            assert_eq!(sent.iter().map(|sent| sent.sorted().len()).sum::<usize>(), ROWS as usize);
            assert_eq!(shown.load(Ordering::Relaxed), ROWS as usize, "{node:?}");
            assert!(operator.size().1 <= 2, "a partition, and no rows behind the watermark");
        }
    }
}

fn row(key: &str, value: i64, time: i64) -> Row {
    Row { key: key.to_owned(), value: Some(value), start: time, end: 0 }
}

/// Would fail if rows left before the watermark reached them, late, or out of order.
#[test]
fn rows_leave_in_order_when_the_watermark_reaches_them() {
    let mut operator = EVENT.operator();
    let turns = [
        Turn::at(4, vec![change(&[row("a", 3, 9), row("b", 1, 5), row("a", 2, 4)])]),
        Turn::at(8, vec![change(&[row("a", 7, 6)])]),
        Turn::at(9, Vec::new()),
    ];
    let sent = run_one(&mut operator, &turns);
    let times = |sent: &Sent| -> Vec<String> {
        let lines: Vec<String> = sent.results.iter().flat_map(texts).collect();
        lines.iter().map(|line| line.split('|').nth(2).unwrap().to_owned()).collect()
    };
    assert_eq!(sent.iter().map(times).collect::<Vec<_>>(), [vec!["4"], vec!["5", "6"], vec!["9"]]);
}

/// Would fail if rows of the wall clock waited, or the frame ended before rows of earlier epochs.
#[test]
fn by_arrival_rows_leave_at_the_end_of_their_epoch() {
    let query = Query { basis: TimeBasis::Processing, frame: Frame::Rows(Some(1)), ..EVENT };
    let mut operator = query.operator();
    let turns = [
        Turn::at(4, vec![change(&[row("a", 3, 4), row("a", 1, 4)])]),
        Turn::at(4, vec![change(&[row("a", 2, 4)])]),
        Turn::at(9, vec![change(&[row("a", 5, 9), row("b", 8, 9)])]),
    ];
    let sent = run_one(&mut operator, &turns);
    let sums = |sent: &Sent| -> Vec<String> {
        let lines: Vec<String> = sent.results.iter().flat_map(texts).collect();
        lines.iter().map(|line| line.split('|').nth(4).unwrap().to_owned()).collect()
    };
    let expected = [vec!["1", "4"], vec!["5"], vec!["7", "8"]];
    assert_eq!(sent.iter().map(sums).collect::<Vec<_>>(), expected);
}

/// Would fail if rows stayed that no frame can reach back to, though none of their key comes again.
#[test]
fn what_no_frame_needs_is_dropped() {
    let query = Query { frame: Frame::Range(Some(10)), ..EVENT };
    let mut operator = query.operator();
    for time in 0..200 {
        let rows = [row(&format!("key {time}"), 1, time), row("again", 1, time)];
        run_one(&mut operator, &[Turn::at(time, vec![change(&rows)])]);
        assert!(operator.size().1 <= 44, "{} rows at {time}", operator.size().1);
    }
    let query = Query { frame: Frame::Rows(Some(3)), back: 5, ..EVENT };
    let frames = &[Frame::Rows(Some(1)), Frame::Range(Some(2))];
    for query in [query, Query { others: frames, ..query }] {
        let mut operator = query.operator();
        for time in 0..20 {
            run_one(&mut operator, &[Turn::at(time, vec![change(&[row("k", 1, time)])])]);
            assert!(operator.size().1 <= 5);
        }
    }
}

/// Would fail if a partition to which no row comes were kept, also in a snapshot, or did not begin anew; or
/// if rows were forgotten that still wait.
#[test]
fn partitions_with_a_time_to_live_begin_anew() {
    let make = || Query { ttl: Some(Duration::from_millis(16)), ..EVENT }.operator();
    let (mut operator, groups) = (make(), thalweg_types::KeyGroups { count: 8, workers: 1 });
    let turn = |time, rows: &[Row]| Turn::at(time, vec![change(rows)]);
    let mut files = Vec::new();
    let mut run = |operator: &mut Over, turns: &[Turn]| -> Vec<String> {
        let sent = run_one(operator, turns);
        let mut writer = StateWriter::new(files.is_empty(), groups);
        operator.snapshot(&mut writer).unwrap();
        files.extend(writer.finish().unwrap());
        sent.iter().flat_map(Sent::sorted).collect()
    };
    run(&mut operator, &[turn(5, &[row("a", 1, 3), row("b", 1, 3)]), turn(10, &[row("b", 2, 8)])]);
    run(&mut operator, &[turn(22, &[])]);
    let sent = run(&mut operator, &[turn(23, &[row("a", 4, 23), row("b", 4, 23)])]);
    assert_eq!(sent, ["+1 a|4|23|0|4|1|4|1|1|1", "+1 b|4|23|0|7|3|4|3|3|3"]);
    run(&mut operator, &[turn(60, &[]), turn(61, &[row("c", 9, 100)])]);
    assert!(run(&mut operator, &[turn(90, &[])]).is_empty());
    let mut other = make();
    let state = StateReader::open(files, groups.owned_by(thalweg_types::WorkerId(0))).unwrap();
    other.restore(&state, &turn(90, &[]).close(0).moment).unwrap();
    for mut operator in [operator, other] {
        let sent = run_one(&mut operator, &[turn(100, &[row("b", 5, 95)])]);
        assert_eq!(sent[0].sorted(), ["+1 b|5|95|0|5|1|5|1|1|1", "+1 c|9|100|0|9|1|9|1|1|1"]);
    }
}

/// Would fail if state grew with an endless stream of new keys of which nothing is needed any more, or
/// these came back with a restore.
#[test]
fn new_keys_without_end_take_bounded_state() {
    for others in [&[][..], &[Frame::Range(Some(4))]] {
        let frame = Frame::Range(Some(10));
        check_new_keys(Query { frame, others, has_numbers: false, ..EVENT });
    }
}

fn check_new_keys(query: Query) {
    let make = || query.operator();
    let (mut operator, mut files) = (make(), Vec::new());
    let groups = thalweg_types::KeyGroups { count: 8, workers: 1 };
    for time in 0..100 {
        let rows = (0..200).map(|key| row(&format!("{time} {key}"), 1, time + 1));
        let rows: Vec<Row> = rows.chain([row("again", 1, time + 1)]).collect();
        let sent = run_one(&mut operator, &[Turn::at(time + 1, vec![change(&rows)])]);
        let again = sent[0].sorted().pop().unwrap();
        let count = again.split('|').nth(5).unwrap();
        assert_eq!(count, (time + 1).min(11).to_string(), "{again}");
        let mut writer = StateWriter::new(files.is_empty(), groups);
        operator.snapshot(&mut writer).unwrap();
        files.extend(writer.finish().unwrap());
        assert!(operator.partitions.len() < 3 * PACK_PARTITIONS, "{}", operator.partitions.len());
    }
    let state = StateReader::open(files, groups.owned_by(thalweg_types::WorkerId(0))).unwrap();
    let mut other = make();
    other.restore(&state, &Turn::at(100, vec![]).close(0).moment).unwrap();
    assert_eq!(other.partitions.len(), 10 * 200 + 1);
}
