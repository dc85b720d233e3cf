use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use thalweg_plan::node::{Ranking, SortKey};
use thalweg_plan::window::TimeBasis;

use super::*;
use crate::operators::testing::*;

/// A query: how rows are numbered, which of them count, whether the number is shown, by what they
/// are ordered, and whether there is a partition.
#[derive(Clone, Copy, Debug)]
struct Query {
    ranking: Ranking,
    ranks: (usize, usize),
    has_rank: bool,
    by: usize,
    has_partition: bool,
    is_retracted: bool,
    is_final: bool,
}

const FIRST: Query = Query {
    ranking: Ranking::RowNumber,
    ranks: (1, 1),
    has_rank: false,
    by: 1,
    has_partition: true,
    is_retracted: false,
    is_final: false,
};

impl Query {
    fn partition(&self) -> Vec<usize> {
        if self.has_partition { vec![0] } else { Vec::new() }
    }

    fn operator(&self) -> Top {
        self.operator_with(None)
    }

    fn operator_with(&self, ttl: Option<std::time::Duration>) -> Top {
        let node = TopNode {
            partition: self.partition(),
            order: vec![SortKey { column: self.by, descending: true, nulls_first: false }],
            ranking: self.ranking,
            ranks: self.ranks.0..=self.ranks.1,
            has_rank: self.has_rank,
            is_retracted: self.is_retracted,
            final_by: self.is_final.then_some(TimeBasis::Processing),
            ttl,
        };
        let input = row_schema();
        let mut fields = input.fields().to_vec();
        fields.extend(self.has_rank.then(|| Arc::new(Field::new("rank", DataType::Int64, false))));
        Top::new(&node, &input, Arc::new(Schema::new(fields))).unwrap()
    }

    /// The first rows of all partitions, as text, each with how often it is there.
    fn naive(&self, rows: &[Row]) -> BTreeMap<String, i64> {
        let partition = |row: &Row| self.has_partition.then(|| row.key.clone());
        let key = |row: &Row| match self.by {
            0 => (Some(row.key.clone()), None),
            _ => (None, row.value),
        };
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| (partition(row), std::cmp::Reverse(key(row)), row.clone()));
        let (mut first, mut rank, mut number) = (BTreeMap::new(), 0, 0);
        for (at, row) in rows.iter().enumerate() {
            let before = at.checked_sub(1).map(|before| &rows[before]);
            let before = before.filter(|before| partition(before) == partition(row));
            let is_tie = before.is_some_and(|before| key(before) == key(row));
            (number, rank) = if before.is_some() { (number + 1, rank) } else { (1, 0) };
            rank = match self.ranking {
                Ranking::RowNumber => number,
                Ranking::Rank => {
                    if is_tie {
                        rank
                    } else {
                        number
                    }
                }
                Ranking::DenseRank => {
                    if is_tie {
                        rank
                    } else {
                        rank + 1
                    }
                }
            };
            if (self.ranks.0..=self.ranks.1).contains(&rank) {
                let rows = change(std::slice::from_ref(row)).rows;
                let shown = if self.has_rank { format!("|{rank}") } else { String::new() };
                *first.entry(text(&rows, 0) + &shown).or_default() += 1;
            }
        }
        first
    }
}

fn check(query: Query, seed: u64) {
    let (all, turns) = changing_rows(seed, query.is_retracted, 4);
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

/// Would fail if a row that is or becomes first were missed, one that is not were sent, a change
/// were sent that is none, or a crash or the number of workers changed anything.
#[test]
fn changes_are_those_between_naive_answers() {
    let numbered = |ranks, has_rank| Query { ranks, has_rank, ..FIRST };
    let queries = [
        FIRST,
        numbered((1, 3), false),
        numbered((1, 3), true),
        numbered((2, 4), true),
        numbered((3, 3), false),
        numbered((1, 1000), true),
        numbered((1, 0), true),
        Query { has_partition: false, ..numbered((1, 5), true) },
        Query { ranking: Ranking::Rank, ..numbered((1, 2), true) },
        Query { ranking: Ranking::Rank, ..numbered((2, 4), false) },
        Query { ranking: Ranking::DenseRank, ..numbered((1, 2), true) },
        Query {
            ranking: Ranking::DenseRank,
            by: 0,
            has_partition: false,
            ..numbered((2, 3), true)
        },
        Query { ranking: Ranking::Rank, by: 0, has_partition: false, ..numbered((1, 9), true) },
    ];
    for query in queries {
        for seed in 0..3 {
            check(query, seed);
            check(Query { is_retracted: true, ..query }, seed);
        }
    }
}

/// Would fail if rows of one partition were not brought together, or changed their order, however many
/// partitions there are and wherever their numbers begin.
#[test]
fn many_rows_are_ordered_by_partition() {
    let cases: [(u64, u64, u64); 5] = [
        (1023, 0, 9),
        (1024, 0, 1),
        (5000, 7, 2048),
        (5000, 1 << 22, 5),
        (9000, 3, u64::from(u32::MAX) - 3),
    ];
    for (rows, least, groups) in cases {
        let group = |row: u64| least + row.wrapping_mul(0x9e37_79b9_7f4a_7c15) % groups;
        let mut order: Vec<u64> = (0..rows).map(|row| group(row) << 32 | row).collect();
        let mut expected = order.clone();
        expected.sort_unstable();
        arrived::sort_by_group(&mut order);
        assert!(order == expected, "{rows} rows in {groups} partitions from {least}");
    }
}

/// Would fail if a rank were given to a new row before it was taken from the old one.
#[test]
fn a_rank_is_taken_back_before_it_is_given() {
    let query = Query { ranks: (1, 3), has_rank: true, is_retracted: true, ..FIRST };
    for seed in 0..10 {
        let (_, turns) = changing_rows(seed, true, 3);
        let mut operator = query.operator();
        let mut given: BTreeMap<String, String> = BTreeMap::new();
        for sent in run_one(&mut operator, &turns) {
            for change in &sent.results {
                for (row, line) in texts(change).into_iter().enumerate() {
                    let (key, rank) = (line.split('|').next(), line.rsplit('|').next());
                    let place = format!("{key:?} {rank:?}");
                    match change.weight(row) {
                        1 => assert_eq!(given.insert(place, line), None),
                        _ => assert_eq!(given.remove(&place), Some(line)),
                    }
                }
            }
        }
    }
}

/// Would fail if a row that came first gave way to a later one, or were sent as if it could.
#[test]
fn the_first_to_come_stays_first() {
    let query = Query { is_final: true, by: 2, ..FIRST };
    let row =
        |key: &str, value, start| Row { key: key.to_owned(), value: Some(value), start, end: 1 };
    let turns = [
        Turn::at(1, vec![change(&[row("a", 5, 7), row("a", 4, 7)]), change(&[row("a", 3, 7)])]),
        Turn::at(2, vec![change(&[row("b", 2, 8), row("a", 1, 8), row("a", 0, 7)])]),
    ];
    let sent = run_one(&mut query.operator(), &turns);
    assert!(sent.iter().flat_map(|sent| &sent.results).all(|change| change.weights.is_none()));
    let lines: Vec<Vec<String>> = sent.iter().map(Sent::sorted).collect();
    assert_eq!(lines, [vec!["+1 a|3|7|1"], vec!["+1 b|2|8|1"]]);
}

fn rising(values: std::ops::Range<i64>) -> Change {
    let row = |value| Row { key: "k".to_owned(), value: Some(value), start: 0, end: 1 };
    change(&values.map(row).collect::<Vec<_>>())
}

/// Would fail if rows were kept that cannot be first any more, or dropped ones stayed in snapshots.
#[test]
fn of_an_append_only_input_only_first_rows_are_kept() {
    let mut operator = Query { ranks: (1, 3), ..FIRST }.operator();
    for epoch in 0..50 {
        let values = epoch * 10..epoch * 10 + 10;
        run_one(&mut operator, &[Turn::at(epoch, vec![rising(values)])]);
        assert_eq!(operator.size().1, 3);
        let groups = thalweg_types::KeyGroups { count: 8, workers: 1 };
        let mut writer = StateWriter::new(false, groups);
        operator.snapshot(&mut writer).unwrap();
        // Three rows come, and three go after the first time.
        assert_eq!(writer.rows(), if epoch == 0 { 3 } else { 6 });
        let mut again = StateWriter::new(false, groups);
        operator.snapshot(&mut again).unwrap();
        assert_eq!(again.rows(), 0);
    }
    // Rows that their sort keys rule out are not even looked at as a whole.
    operator.batch(0, rising(0..100), &mut Output::default()).unwrap();
    assert!(operator.arrived.is_empty());
}

/// Would fail if a row that was never there could be taken back in silence.
#[test]
fn an_unknown_row_cannot_be_taken_back() {
    let mut operator = Query { is_retracted: true, ..FIRST }.operator();
    let rows = Change::weighted(rising(0..1).rows, vec![-1].into()).unwrap();
    operator.batch(0, rows, &mut Output::default()).unwrap();
    let close = Turn::at(0, Vec::new()).close(0);
    let error = operator.close(&close, &mut Output::default()).unwrap_err();
    assert_eq!(error.kind(), thalweg_types::ErrorKind::Data);
    assert!(error.message().starts_with("a row is taken back that never came: key k"), "{error}");
}

/// Would fail if a partition were kept to which no row comes, retracted, or not begun anew; or if what
/// takes back forgotten rows were an error.
#[test]
fn partitions_with_a_time_to_live_are_forgotten_unsaid() {
    for is_retracted in [false, true] {
        let query = Query { is_retracted, ..FIRST };
        let mut operator = query.operator_with(Some(std::time::Duration::from_millis(16)));
        let row = |key: i64, value: i64| Row {
            key: key.to_string(),
            value: Some(value),
            start: 0,
            end: 0,
        };
        let turn = |time, rows: &[Row]| Turn::at(time, vec![change(rows)]);
        let turns = [
            turn(0, &[row(1, 5), row(2, 5)]),
            turn(10, &[row(2, 7)]),
            turn(20, &[]),
            turn(21, &[row(1, 3), row(2, 6)]),
            turn(30, &[]),
        ];
        let sent: Vec<_> = run_one(&mut operator, &turns).iter().map(Sent::sorted).collect();
        assert_eq!(sent[1], ["+1 2|7|0|0", "-1 2|5|0|0"]);
        assert_eq!([&sent[2], &sent[4]], [&Vec::<String>::new(); 2]);
        assert_eq!(sent[3], ["+1 1|3|0|0"], "the first row of a new partition");
        run_one(&mut operator, &[turn(50, &[])]);
        assert_eq!(operator.size().1, 0);
        if is_retracted {
            let mut out = Output::default();
            let gone = Change::weighted(change(&[row(1, 3)]).rows, vec![-1].into()).unwrap();
            operator.batch(0, gone, &mut out).unwrap();
            operator.close(&Turn::at(51, vec![]).close(0), &mut out).unwrap();
            assert_eq!((out.forgotten(), out.take().len()), (1, 0));
        }
    }
}

/// Would fail if state grew with an endless stream of new partitions, or came back with a restore.
#[test]
fn new_partitions_without_end_take_bounded_state() {
    let make = || FIRST.operator_with(Some(std::time::Duration::from_millis(16)));
    let (mut operator, mut files) = (make(), Vec::new());
    let groups = thalweg_types::KeyGroups { count: 8, workers: 1 };
    for time in 0..120 {
        let row = |key: i64| Row { key: key.to_string(), value: Some(1), start: 0, end: 0 };
        let rows: Vec<Row> = (time * 200..(time + 1) * 200).map(row).collect();
        let turn = Turn::at(time, vec![change(&rows)]);
        run_one(&mut operator, std::slice::from_ref(&turn));
        assert!(operator.size().1 <= 3600, "{} rows at {time}", operator.size().1);
        let mut writer = StateWriter::new(files.is_empty(), groups);
        operator.snapshot(&mut writer).unwrap();
        files.extend(writer.finish().unwrap());
    }
    assert!(operator.kept.len() < 3 * PACK_PARTITIONS, "{} partitions", operator.kept.len());
    let owned = groups.owned_by(thalweg_types::WorkerId(0));
    let state = StateReader::open(files, owned).unwrap();
    let mut other = make();
    other.restore(&state, &Turn::at(119, vec![]).close(0).moment).unwrap();
    assert_eq!(other.size().1, operator.size().1);
}
