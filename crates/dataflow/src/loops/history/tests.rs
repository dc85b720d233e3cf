//! What a history keeps, saves and forgets.

use arrow::array::Int64Array;
use thalweg_types::{KeyGroupRange, KeyGroups};

use super::*;

fn history() -> History {
    let field = |name: &str| Field::new(name, DataType::Int64, true);
    let schema: SchemaRef = Arc::new(Schema::new(vec![field("row"), field("key")]));
    // The key does not come first: columns keep their places.
    History::new("1.in".to_owned(), &schema, &[1]).unwrap()
}

/// Adds rows of a key that came in some rounds.
fn add(history: &mut History, key: i64, round: u32, rows: &[(i64, i64)]) {
    let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
    let columns = vec![column(rows.iter().map(|r| r.0).collect()), column(vec![key; rows.len()])];
    let batch = RecordBatch::try_new(history.shape.schema.clone(), columns).unwrap();
    let keys = history.shape.key.encode(&batch).unwrap();
    let codes = history.shape.row.encode(&batch).unwrap().into_iter();
    let rows = codes.zip(rows.iter().map(|r| r.1)).collect();
    history.add(&keys[0], Rounds([round, 0, 0]), rows).unwrap();
}

/// Returns all that a history has, as text: key, row, round and weight.
fn all(history: &History) -> Vec<[i64; 4]> {
    let entries =
        history.keys.iter().flat_map(|(key, kept)| kept.entries.iter().map(move |e| (key, e)));
    let entries: Vec<_> = entries.filter(|(_, entry)| entry.weight != 0).collect();
    let rows = history.stored(&entries).unwrap();
    let column = |at: usize| rows.column(at).as_primitive::<Int64Type>();
    let round = rows.column(2).as_primitive::<UInt32Type>();
    let mut all: Vec<[i64; 4]> = (0..rows.num_rows())
        .map(|row| {
            let [key, code, weight] = [1, 0, 5].map(|at| column(at).value(row));
            [key, code, i64::from(round.value(row)), weight]
        })
        .collect();
    all.sort_unstable();
    all
}

const GROUPS: KeyGroups = KeyGroups { count: 16, workers: 1 };

#[test]
fn what_came_and_went_in_the_same_rounds_is_gone() {
    let mut history = history();
    add(&mut history, 1, 0, &[(10, 1), (11, 2)]);
    add(&mut history, 1, 2, &[(10, -1)]);
    add(&mut history, 1, 0, &[(11, -2)]);
    assert_eq!(all(&history), [[1, 10, 0, 1], [1, 10, 2, -1]]);
    assert_eq!(history.size().1, 2);
    add(&mut history, 1, 0, &[(10, -1)]);
    add(&mut history, 1, 2, &[(10, 1)]);
    history.snapshot(&mut StateWriter::discarded(GROUPS)).unwrap();
    assert_eq!(history.size(), (0, 0));
}

#[test]
fn snapshots_add_up_to_what_there_is() {
    // A deletion that is not saved would come back with a restart, and with it what it explained.
    let mut history = history();
    let mut files = Vec::new();
    let mut save = |history: &mut History, is_full| {
        let mut to = StateWriter::new(is_full, GROUPS);
        history.snapshot(&mut to).unwrap();
        files.extend(to.finish().unwrap());
        let reader = StateReader::open(files.clone(), KeyGroupRange { start: 0, end: 16 });
        let mut again = super::tests::history();
        again.restore(&reader.unwrap()).unwrap();
        assert_eq!(all(&again), all(history));
        assert_eq!(again.size(), history.size());
    };
    add(&mut history, 1, 0, &[(10, 1), (11, 2)]);
    add(&mut history, 2, 3, &[(10, -4)]);
    save(&mut history, false);
    add(&mut history, 1, 0, &[(10, -1), (11, 1)]);
    add(&mut history, 2, 3, &[(10, 4)]);
    save(&mut history, false);
    add(&mut history, 2, 1, &[(10, 1)]);
    save(&mut history, true);
    add(&mut history, 1, 0, &[(11, -3)]);
    add(&mut history, 1, 1, &[(11, 1)]);
    save(&mut history, false);
}

#[test]
fn more_rows_than_can_be_counted_are_an_error() {
    let rows = |weight| vec![(Code::from([1]), weight)];
    let error = netted([rows(i64::MAX), rows(1)].concat()).unwrap_err();
    assert!(error.to_string().contains("more equal rows than can be counted"), "{error}");
}
