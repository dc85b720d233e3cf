use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::DataType::Int64;
use arrow::datatypes::{Field, Schema};
use thalweg_plan::aggregate::{count, max, sum};
use thalweg_plan::node::{AggregateCall, Frame, OverFunction, Ranking, SortKey};

use super::*;
use crate::operators::testing::*;

#[derive(Clone, Copy, Debug)]
struct Query {
    frame: Frame,
    /// Frames of further aggregates.
    others: &'static [Frame],
    has_partition: bool,
    /// By column `start` or `value`.
    by: usize,
    is_falling: bool,
    nulls_first: bool,
    has_max: bool,
    has_numbers: bool,
    /// Are equal rows numbered?
    has_copies: bool,
    /// How far LAG looks back, and LEAD ahead.
    back: isize,
    ahead: isize,
}

const SUMS: Query = Query {
    frame: Frame::Rows(Some(2)),
    others: &[],
    has_partition: true,
    by: 1,
    is_falling: false,
    nulls_first: true,
    has_max: false,
    has_numbers: false,
    has_copies: false,
    back: 0,
    ahead: 0,
};

impl Query {
    fn partition(&self) -> Vec<usize> {
        if self.has_partition { vec![0] } else { Vec::new() }
    }

    fn frames(&self) -> impl Iterator<Item = Frame> {
        std::iter::once(self.frame).chain(self.others.iter().copied())
    }

    fn operator(&self) -> UpdatingOver {
        self.operator_with(None)
    }

    /// SUM and COUNT of the value, and as the query asks MAX, over each frame; numbers, and other rows' values.
    fn operator_with(&self, ttl: Option<Duration>) -> UpdatingOver {
        let mut aggregates = vec![sum(&Int64).unwrap(), count()];
        aggregates.extend(self.has_max.then(|| max(&Int64).unwrap()));
        let call = |function| AggregateCall {
            function,
            arguments: vec![1],
            filter: None,
            distinct: false,
        };
        let calls: Vec<AggregateCall> = aggregates.into_iter().map(call).collect();
        let over = |frame| {
            calls.clone().into_iter().map(move |call| OverFunction::Aggregate { call, frame })
        };
        let mut functions: Vec<OverFunction> = self.frames().flat_map(over).collect();
        let rankings = [Ranking::RowNumber, Ranking::Rank, Ranking::DenseRank];
        let rankings = rankings.map(OverFunction::Number);
        functions.extend(rankings.into_iter().filter(|_| self.has_numbers));
        functions.extend(self.has_copies.then_some(OverFunction::Copy));
        let shift = |by, default| OverFunction::Shift { column: 1, by, default };
        functions.extend((self.back > 0).then(|| shift(-self.back, Some(1))));
        functions.extend((self.ahead > 0).then(|| shift(self.ahead, None)));
        let (descending, nulls_first) = (self.is_falling, self.nulls_first);
        let node = OverNode {
            partition: self.partition(),
            order: vec![SortKey { column: self.by, descending, nulls_first }],
            basis: None,
            functions,
            divert_late: false,
            ttl,
        };
        let input = row_schema();
        let values = (0..node.functions.len()).map(|n| Field::new(n.to_string(), Int64, true));
        let fields = input.fields().iter().map(|field| field.as_ref().clone()).chain(values);
        let output = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        UpdatingOver::new(&node, &input, output).unwrap()
    }

    fn key(&self, row: &Row) -> Option<i64> {
        if self.by == 1 { row.value } else { Some(row.start) }
    }

    /// Where a row stands: by its sort key, which NULL precedes or follows, then by its columns.
    fn place(&self, row: &Row) -> impl Ord + use<> {
        let key = self.key(row);
        let by_null = if self.nulls_first { key.is_some() } else { key.is_none() };
        let sign = if self.is_falling { -1 } else { 1 };
        (row.key.clone(), by_null, key.map(|key| key * sign))
    }

    /// Are two rows, one before the other, so near that one is in the frame of the other?
    fn is_near(&self, row: &Row, of: &Row, length: i64) -> bool {
        match (self.key(row), self.key(of)) {
            (Some(row), Some(of)) => (row - of).abs() <= length,
            (row, of) => row == of,
        }
    }

    /// The functions of all rows, from all rows, each as often as it is there.
    fn naive(&self, rows: &[Row]) -> BTreeMap<String, i64> {
        let partition = |row: &Row| self.has_partition.then(|| row.key.clone());
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| match self.has_partition {
            true => (self.place(row), row.clone()),
            false => (self.place(&Row { key: String::new(), ..row.clone() }), row.clone()),
        });
        rows.sort_by_key(partition);
        let mut lines = BTreeMap::new();
        for own in rows.chunk_by(|left, right| partition(left) == partition(right)) {
            for at in 0..own.len() {
                *lines.entry(self.line(own, at)).or_default() += 1;
            }
        }
        lines
    }

    /// The values in the frame of the row `at` of a partition.
    fn framed(&self, frame: Frame, own: &[Row], at: usize) -> Vec<i64> {
        let row = &own[at];
        let frame = own.iter().enumerate().filter(|(other, near)| match frame {
            Frame::Rows(rows) => *other <= at && rows.is_none_or(|rows| at - *other <= rows),
            Frame::Range(None) => *other <= at || self.key(near) == self.key(row),
            Frame::Range(Some(length)) => {
                (*other <= at || self.key(near) == self.key(row)) && self.is_near(near, row, length)
            }
        });
        frame.filter_map(|(_, near)| near.value).collect()
    }

    fn line(&self, own: &[Row], at: usize) -> String {
        let row = &own[at];
        let number = |value: Option<i64>| value.map_or(String::new(), |v| v.to_string());
        let mut line = vec![text(&change(std::slice::from_ref(row)).rows, 0)];
        for frame in self.frames() {
            let values = self.framed(frame, own, at);
            line.push(number((!values.is_empty()).then(|| values.iter().sum())));
            line.push(values.len().to_string());
            line.extend(self.has_max.then(|| number(values.iter().max().copied())));
        }
        if self.has_numbers {
            let before = own[..at].iter().filter(|other| self.key(other) != self.key(row));
            let mut earlier: Vec<Option<i64>> = before.map(|other| self.key(other)).collect();
            let rank = earlier.len() + 1;
            earlier.dedup();
            line.extend([at + 1, rank, earlier.len() + 1].map(|number| number.to_string()));
        }
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
        line.join("|")
    }
}

fn check(query: Query, seed: u64) {
    let (all, turns) = changing_rows(seed, true, 3);
    let make = || Box::new(query.operator()) as Box<dyn Operator>;
    let stand = Stand { pre: None, make: &make, keys: query.partition() };
    let mut before = BTreeMap::new();
    for (epoch, (sent, rows)) in stand.run(&turns).iter().zip(&all).enumerate() {
        let after = query.naive(rows);
        let expected = difference(&before, &after);
        assert_eq!(sent.sorted(), expected, "{query:?}, seed {seed}, epoch {epoch}");
        before = after;
    }
    stand.check_crashes(&turns, seed);
}

/// Would fail if a row that a change reaches were missed, a value were another one than over all rows at
/// once, a change were sent that is none, or a crash or the number of workers changed anything.
#[test]
fn changes_are_those_between_naive_answers() {
    let of = |frame| Query { frame, ..SUMS };
    let with = |frame, others| Query { frame, others, ..SUMS };
    let numbers = Query { has_numbers: true, ..SUMS };
    let queries = [
        SUMS,
        of(Frame::Rows(Some(0))),
        of(Frame::Rows(None)),
        of(Frame::Range(None)),
        of(Frame::Range(Some(0))),
        of(Frame::Range(Some(2))),
        numbers,
        Query { by: 2, is_falling: true, ..SUMS },
        Query { has_max: true, ..SUMS },
        Query { has_max: true, is_falling: true, nulls_first: false, ..of(Frame::Range(Some(1))) },
        Query { has_max: true, ..of(Frame::Rows(None)) },
        Query { has_max: true, by: 2, ..of(Frame::Range(None)) },
        Query { is_falling: true, ..of(Frame::Range(Some(1))) },
        Query { by: 2, back: 1, ahead: 2, ..of(Frame::Range(Some(1))) },
        Query { nulls_first: false, ..of(Frame::Range(Some(2))) },
        Query { back: 3, ..SUMS },
        Query { ahead: 2, ..SUMS },
        Query { back: 2, ahead: 1, ..of(Frame::Range(Some(1))) },
        Query { ahead: 3, is_falling: true, ..of(Frame::Rows(None)) },
        Query { ahead: 1, frame: Frame::Range(None), ..numbers },
        Query { frame: Frame::Range(Some(1)), nulls_first: false, is_falling: true, ..numbers },
        with(Frame::Rows(Some(1)), &[Frame::Rows(Some(4))]),
        with(Frame::Rows(Some(1)), &[Frame::Rows(None), Frame::Range(None)]),
        with(Frame::Range(Some(2)), &[Frame::Rows(Some(1)), Frame::Range(Some(0))]),
        Query { has_max: true, ..with(Frame::Rows(None), &[Frame::Rows(Some(2))]) },
        Query {
            has_max: true,
            is_falling: true,
            ..with(Frame::Rows(Some(2)), &[Frame::Range(None)])
        },
        Query { back: 1, ahead: 1, by: 2, ..with(Frame::Range(Some(1)), &[Frame::Rows(Some(3))]) },
        Query { others: &[Frame::Range(Some(1)), Frame::Rows(None)], ..numbers },
        Query { has_copies: true, ..SUMS },
        Query { has_copies: true, ahead: 1, by: 2, ..of(Frame::Range(Some(1))) },
        Query { has_copies: true, ..numbers },
    ];
    for (number, query) in queries.into_iter().enumerate() {
        for seed in 0..5 {
            let seed = number as u64 * 10 + seed;
            check(Query { has_partition: seed.is_multiple_of(2), ..query }, seed);
        }
    }
}

fn row(key: &str, value: i64, start: i64) -> Row {
    Row { key: key.to_owned(), value: Some(value), start, end: 0 }
}

/// Would fail if a change were computed over rows that it does not reach: of a hundred thousand rows
/// hardly any may be read again.
#[test]
fn a_change_costs_the_rows_that_it_reaches() {
    let by_start = Query { by: 2, ..SUMS };
    let few = [Frame::Rows(Some(3)), Frame::Range(Some(3)), Frame::Rows(None), Frame::Range(None)];
    let several = Query { others: &[Frame::Rows(Some(2)), Frame::Range(Some(3))], ..by_start };
    for query in few.map(|frame| Query { frame, ..by_start }).into_iter().chain([several]) {
        let mut operator = query.operator();
        let rows: Vec<Row> = (0..100_000).map(|start| row("k", 1, start)).collect();
        run_one(&mut operator, &[Turn::at(0, vec![change(&rows)])]);
        let rows = change(&[row("k", 2, 99_990)]);
        operator.batch(0, rows, &mut Output::default()).unwrap();
        operator.settle().unwrap();
        let mut runs = Runs::new(&operator.node, &operator.reach, &operator.rows.ordering);
        let (group, nets) = &operator.changed.0[0];
        runs.add(*group, &operator.kept[0], nets).unwrap();
        assert!(runs.len() < 40, "{query:?}: {} rows", runs.len());
    }
}

/// Would fail if what is taken back came behind what comes, or anything came twice.
#[test]
fn what_goes_is_sent_before_what_comes() {
    let (_, turns) = changing_rows(7, true, 3);
    for sent in run_one(&mut SUMS.operator(), &turns) {
        let weights: Vec<i64> =
            sent.results.iter().flat_map(|c| (0..c.len()).map(|row| c.weight(row))).collect();
        assert!(weights.is_sorted(), "{weights:?}");
    }
}

/// Would fail if a row that was never there could be taken back in silence.
#[test]
fn an_unknown_row_cannot_be_taken_back() {
    let mut operator = SUMS.operator();
    let rows = Change::weighted(change(&[row("k", 1, 0)]).rows, vec![-1].into()).unwrap();
    operator.batch(0, rows, &mut Output::default()).unwrap();
    let error =
        operator.close(&Turn::at(0, Vec::new()).close(0), &mut Output::default()).unwrap_err();
    assert_eq!(error.kind(), thalweg_types::ErrorKind::Data);
    assert!(error.message().contains("never came: key k, value 1"), "{error}");
}

/// Would fail if a partition were kept to which no row comes, taken back, or not begun anew; or if what
/// takes back forgotten rows were an error.
#[test]
fn partitions_with_a_time_to_live_are_forgotten_unsaid() {
    let query = Query { frame: Frame::Rows(None), ..SUMS };
    let several = Query { others: &[Frame::Rows(Some(3)), Frame::Rows(None)], ..SUMS };
    for query in [Query { frame: Frame::Rows(Some(3)), ..SUMS }, query, several] {
        let mut operator = query.operator_with(Some(Duration::from_millis(16)));
        let turn = |time, rows: &[Row]| Turn::at(time, vec![change(rows)]);
        let turns = [
            turn(0, &[row("a", 5, 0), row("b", 5, 0)]),
            turn(10, &[row("b", 7, 0)]),
            turn(20, &[]),
            turn(21, &[row("a", 8, 0), row("b", 9, 0)]),
        ];
        let sent: Vec<_> = run_one(&mut operator, &turns).iter().map(Sent::sorted).collect();
        assert!(sent[2].is_empty());
        let values = |sum_and_count| vec![sum_and_count; query.frames().count()].join("|");
        let (a, b) = (values("8|1"), values("21|3"));
        assert_eq!(sent[3], [format!("+1 a|8|0|0|{a}"), format!("+1 b|9|0|0|{b}")]);
        run_one(&mut operator, &[turn(50, &[])]);
        assert_eq!(operator.size().1, 0);
        let mut out = Output::default();
        let gone = Change::weighted(change(&[row("a", 8, 0)]).rows, vec![-1].into()).unwrap();
        operator.batch(0, gone, &mut out).unwrap();
        operator.close(&Turn::at(51, vec![]).close(0), &mut out).unwrap();
        assert_eq!((out.forgotten(), out.take().len()), (1, 0));
    }
}

/// Would fail if keys that fall empty stayed, or totals were lost when others get new numbers.
#[test]
fn keys_without_rows_are_given_back() {
    let mut operator = Query { others: &[Frame::Rows(None)], ..SUMS }.operator();
    let groups = thalweg_types::KeyGroups { count: 8, workers: 1 };
    run_one(&mut operator, &[Turn::at(0, vec![change(&[row("stays", 4, 0)])])]);
    for time in 1..10 {
        let rows: Vec<Row> = (0..2000).map(|key| row(&format!("{time} {key}"), 1, 0)).collect();
        let gone = Change::weighted(change(&rows).rows, vec![-1; rows.len()].into()).unwrap();
        run_one(&mut operator, &[Turn::at(time, vec![change(&rows)]), Turn::at(time, vec![gone])]);
        operator.snapshot(&mut StateWriter::new(time == 1, groups)).unwrap();
        assert!(operator.kept.len() <= PACK_PARTITIONS + 2000, "{} keys", operator.kept.len());
    }
    let sent = run_one(&mut operator, &[Turn::at(10, vec![change(&[row("stays", 5, 0)])])]);
    assert_eq!(sent[0].sorted(), ["+1 stays|5|0|0|9|2|9|2"]);
}
