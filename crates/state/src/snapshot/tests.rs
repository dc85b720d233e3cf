use arrow::array::{Int64Array, StringViewArray};
use thalweg_types::WorkerId;

use super::*;

fn spec() -> TableSpec {
    TableSpec { name: "groups", key: 1, route: vec![0] }
}

fn rows(range: std::ops::Range<i64>, add: i64) -> RecordBatch {
    let names = range.clone().map(|n| format!("a key of a certain length {n}"));
    let names: ArrayRef = Arc::new(StringViewArray::from_iter_values(names));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(range.map(|n| n + add)));
    RecordBatch::try_from_iter([("name", names), ("value", values)]).unwrap()
}

fn snapshot(groups: KeyGroups, puts: &[RecordBatch], deletes: &[RecordBatch]) -> Bytes {
    let mut writer = StateWriter::new(false, groups);
    puts.iter().for_each(|rows| writer.put(&spec(), rows.clone()).unwrap());
    for rows in deletes {
        writer.delete(&spec(), rows.project(&[0]).unwrap()).unwrap();
    }
    writer.finish().unwrap().unwrap()
}

fn values(files: &[Bytes], owned: KeyGroupRange) -> Vec<i64> {
    let reader = StateReader::open(files.to_vec(), owned).unwrap();
    let batches = reader.table("groups").unwrap();
    let values = batches.iter().flat_map(|batch| {
        let column = batch.column(1).as_primitive::<arrow::datatypes::Int64Type>();
        column.values().to_vec()
    });
    let mut values: Vec<i64> = values.collect();
    values.sort_unstable();
    values
}

/// Would fail if a restore gave an old version, a deleted row, or a row to two workers.
#[test]
fn newest_versions_come_back_on_any_number_of_workers() {
    let groups = KeyGroups { count: 64, workers: 1 };
    let files = [
        snapshot(groups, &[rows(0..100, 0), rows(90..110, 1000)], &[]),
        snapshot(groups, &[rows(10..20, 2000)], &[rows(0..5, 0)]),
        snapshot(groups, &[rows(3..4, 3000)], &[]),
    ];
    let mut expected: Vec<i64> = (5..10).chain(20..90).collect();
    expected.extend((2010..2020).chain(1090..1110).chain([3003]));
    expected.sort_unstable();
    for workers in 1..=5 {
        let groups = KeyGroups { count: 64, workers };
        let owned = (0..workers).map(|w| groups.owned_by(WorkerId(w)));
        let mut found: Vec<i64> = owned.flat_map(|range| values(&files, range)).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{workers} workers");
    }
}

/// Would fail if a torn or flipped file made the program panic, or passed unnoticed.
#[test]
fn damaged_files_are_errors() {
    let all = KeyGroupRange { start: 0, end: 64 };
    let file = snapshot(KeyGroups { count: 64, workers: 1 }, &[rows(0..50, 0)], &[]);
    for length in 0..file.len() {
        let torn = file.slice(..length);
        // The bare header is a whole snapshot of no tables.
        assert!(length == 8 || StateReader::open(vec![torn], all).is_err(), "{length} bytes");
    }
    for place in (0..file.len()).step_by(7) {
        let mut flipped = file.to_vec();
        flipped[place] ^= 0x40;
        let opened = StateReader::open(vec![flipped.into()], all);
        if let Ok(reader) = opened {
            // Only a table's name may change unnoticed; then the table is not found.
            assert!(reader.table("groups").unwrap().is_empty(), "byte {place}");
        }
    }
}

/// Would fail if this version could not open what version 1 wrote.
#[test]
fn the_fixture_of_version_1_opens() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/v1/groups.state");
    if std::env::var_os("UPDATE").is_some() {
        let bytes = snapshot(KeyGroups { count: 64, workers: 1 }, &[rows(0..10, 0)], &[]);
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/v1")).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let bytes = std::fs::read(path).unwrap();
    let all = KeyGroupRange { start: 0, end: 64 };
    assert_eq!(values(&[bytes.into()], all), (0..10).collect::<Vec<_>>());
}
