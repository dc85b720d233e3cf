use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, ListArray, RecordBatch, RecordBatchOptions,
    StringViewArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use bytes::Bytes;
use thalweg_types::{ErrorKind, KeyGroupRange, KeyGroups, WorkerId, hash};

use super::*;

const ALL: KeyGroupRange = KeyGroupRange { start: 0, end: 64 };

fn workers(workers: usize) -> KeyGroups {
    KeyGroups { count: 64, workers }
}

fn ranges(groups: KeyGroups) -> impl Iterator<Item = KeyGroupRange> {
    (0..groups.workers).map(move |worker| groups.owned_by(WorkerId(worker)))
}

/// A small generator with a fixed seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

/// Keys are two columns, of which the first routes.
fn spec() -> TableSpec {
    TableSpec { name: "groups", key: 2, route: vec![0] }
}

fn name_of(key: i64) -> Option<String> {
    match key % 7 {
        0 => None,
        1 => Some(format!("{key}")),
        _ => Some(format!("a key of a certain length {key}")),
    }
}

/// Rows `[name, number, value]` of `(number, value)`; a name belongs to each number.
fn rows(rows: &[(i64, i64)]) -> RecordBatch {
    let names: ArrayRef =
        Arc::new(rows.iter().map(|row| name_of(row.0)).collect::<StringViewArray>());
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0)));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)));
    let columns = [("name", names, true), ("number", numbers, true), ("value", values, true)];
    RecordBatch::try_from_iter_with_nullable(columns).unwrap()
}

fn keys(numbers: &[i64]) -> RecordBatch {
    let numbers: Vec<(i64, i64)> = numbers.iter().map(|number| (*number, 0)).collect();
    rows(&numbers).project(&[0, 1]).unwrap()
}

fn some(range: Range<i64>, add: i64) -> RecordBatch {
    rows(&range.map(|number| (number, number + add)).collect::<Vec<_>>())
}

fn snapshot(puts: &[RecordBatch]) -> Bytes {
    let mut writer = StateWriter::new(false, workers(1));
    puts.iter().for_each(|rows| writer.put(&spec(), rows.clone()).unwrap());
    writer.finish().unwrap().unwrap()
}

/// The `(number, value)` of each row, sorted; also checks the rows' form.
fn found(files: &[Bytes], owned: KeyGroupRange) -> Vec<(i64, i64)> {
    let reader = StateReader::open(files.to_vec(), owned).unwrap();
    let mut found = Vec::new();
    for batch in reader.table("groups").unwrap() {
        assert_eq!(batch.schema(), rows(&[]).schema());
        assert!(batch.num_rows() > 0);
        let columns = [1, 2].map(|c| batch.column(c).as_primitive::<Int64Type>().values().to_vec());
        for (row, (number, value)) in columns[0].iter().zip(&columns[1]).enumerate() {
            let name = batch.column(0).as_string_view();
            let name = name.is_valid(row).then(|| name.value(row).to_owned());
            assert_eq!(name, name_of(*number));
            found.push((*number, *value));
        }
    }
    found.sort_unstable();
    found
}

/// One worker's part of an epoch: puts and deletes in any order, in small batches.
fn random_writes(
    dice: &mut Dice,
    writer: &mut StateWriter,
    numbers: &[i64],
    model: &mut BTreeMap<i64, i64>,
) {
    for _ in 0..dice.below(6) {
        let number = |dice: &mut Dice| numbers[dice.below(numbers.len() as u64) as usize];
        let picked: Vec<i64> = (0..dice.below(25)).map(|_| number(dice)).collect();
        if dice.below(3) == 0 {
            writer.delete(&spec(), keys(&picked)).unwrap();
            model.retain(|number, _| !picked.contains(number));
        } else {
            let put: Vec<(i64, i64)> =
                picked.iter().map(|number| (*number, dice.below(1 << 30) as i64)).collect();
            writer.put(&spec(), rows(&put)).unwrap();
            model.extend(put);
        }
    }
}

/// Which of `numbers` a worker owns.
fn owned_numbers(numbers: Range<i64>, groups: KeyGroups, owned: KeyGroupRange) -> Vec<i64> {
    let numbers: Vec<i64> = numbers.collect();
    let mut hashes = Vec::new();
    let names = keys(&numbers).column(0).clone();
    hash::hash_rows(&[names], numbers.len(), &mut hashes).unwrap();
    let hashed = numbers.into_iter().zip(hashes);
    hashed.filter(|(_, hash)| owned.contains(groups.group_of(*hash))).map(|row| row.0).collect()
}

/// Would fail if a restore on any number of workers lost a row, gave an old version or a deleted
/// row, or gave a row to two workers.
#[test]
fn chains_restore_on_any_number_of_workers() {
    for seed in 0..8 {
        for before in 1..=5 {
            let dice = &mut Dice(seed * 5 + before as u64);
            let (mut model, mut files) = (BTreeMap::new(), Vec::new());
            for owned in ranges(workers(before)) {
                let numbers = owned_numbers(0..120, workers(before), owned);
                for snapshot in 0..dice.below(6) {
                    let mut writer = StateWriter::new(snapshot == 0, workers(before));
                    random_writes(dice, &mut writer, &numbers, &mut model);
                    files.extend(writer.finish().unwrap());
                }
            }
            let expected: Vec<(i64, i64)> = model.into_iter().collect();
            for after in 1..=5 {
                let mut all: Vec<(i64, i64)> =
                    ranges(workers(after)).flat_map(|owned| found(&files, owned)).collect();
                all.sort_unstable();
                assert_eq!(all, expected, "seed {seed}, {before} workers to {after}");
            }
        }
    }
}

/// Would fail if the order of writes within one snapshot did not count.
#[test]
fn the_last_write_of_a_snapshot_counts() {
    let mut writer = StateWriter::new(false, workers(1));
    writer.put(&spec(), rows(&[(1, 10), (2, 20), (1, 11), (3, 30)])).unwrap();
    writer.delete(&spec(), keys(&[2, 3, 9])).unwrap();
    writer.put(&spec(), rows(&[(3, 31)])).unwrap();
    assert_eq!(writer.rows(), 8);
    let file = writer.finish().unwrap().unwrap();
    assert_eq!(found(&[file], ALL), [(1, 11), (3, 31)]);
}

/// Would fail if a snapshot of nothing took a file, or a whole state of nothing had none.
#[test]
fn nothing_is_stored_unless_all_was_asked_for() {
    let mut writer = StateWriter::new(false, workers(1));
    writer.put(&spec(), rows(&[])).unwrap();
    assert!(!writer.is_full());
    assert_eq!(writer.finish().unwrap(), None);
    let writer = StateWriter::new(true, workers(1));
    assert!(writer.is_full());
    let file = writer.finish().unwrap().unwrap();
    assert!(found(&[file], ALL).is_empty());
    assert!(StateReader::empty().table("groups").unwrap().is_empty());
}

/// Would fail if a table without a key kept more than its last row, or on several workers.
#[test]
fn a_table_without_key_has_one_row() {
    let spec = TableSpec { name: "groups", key: 0, route: Vec::new() };
    let mut writer = StateWriter::new(false, workers(1));
    writer.put(&spec, rows(&[(1, 1), (2, 2)])).unwrap();
    let first = writer.finish().unwrap().unwrap();
    let mut writer = StateWriter::new(false, workers(1));
    writer.put(&spec, rows(&[(3, 3), (4, 4)])).unwrap();
    let second = writer.finish().unwrap().unwrap();
    for after in 1..=5 {
        let files = [first.clone(), second.clone()];
        let all: Vec<_> = ranges(workers(after)).flat_map(|range| found(&files, range)).collect();
        assert_eq!(all, [(4, 4)]);
    }
    let mut writer = StateWriter::new(false, workers(1));
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let gone = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options);
    writer.delete(&spec, gone.unwrap()).unwrap();
    assert!(found(&[first, second, writer.finish().unwrap().unwrap()], ALL).is_empty());
}

/// Opens files that may be bad; whatever is wrong must be an error of kind `State`.
fn open(file: Vec<u8>) -> Option<StateReader> {
    let opened = StateReader::open(vec![file.into()], ALL);
    opened
        .map_err(|error| {
            assert_eq!(error.kind(), ErrorKind::State);
            assert!(error.message().starts_with("state file 1 of 1: "), "{error}");
        })
        .ok()
}

fn two_tables() -> Vec<u8> {
    let mut writer = StateWriter::new(false, workers(1));
    writer.put(&spec(), some(0..20, 0)).unwrap();
    writer.delete(&spec(), keys(&[3])).unwrap();
    writer.put(&TableSpec { name: "other", ..spec() }, some(0..2, 0)).unwrap();
    writer.finish().unwrap().unwrap().to_vec()
}

/// Would fail if a torn or changed file made the program panic, or passed unnoticed.
#[test]
fn damaged_files_are_errors() {
    let file = two_tables();
    assert!(open(file.clone()).is_some());
    for length in 0..file.len() {
        assert!(open(file[..length].to_vec()).is_none(), "{length} bytes");
    }
    let dice = &mut Dice(3);
    for place in 0..file.len() {
        let mut flipped = file.clone();
        flipped[place] ^= 1 << dice.below(8);
        assert!(open(flipped).is_none(), "byte {place}");
    }
    let longer = [file.as_slice(), &[0]].concat();
    assert!(open(longer).is_none());
}

/// Would fail if a name, a number or a length that is wrong, in a file whose hash is right, made
/// the program panic or take memory without bound. Bytes of Arrow's are left as they are: its
/// decoder trusts them, which is what the hash is for.
#[test]
fn wrong_frames_with_a_right_hash_are_errors_at_most() {
    let file = two_tables();
    let body = file.len() - 8;
    let frame = 8 + 4 + "groups".len() + 4 + 8 + 8;
    for place in 0..frame {
        for bit in 0..8 {
            let mut wrong = file[..body].to_vec();
            wrong[place] ^= 1 << bit;
            wrong.extend(hash::hash_bytes(&wrong).to_le_bytes());
            open(wrong);
        }
    }
}

/// Would fail if a damaged file of version 1, where names and numbers are in no hash, made the
/// program panic, or gave rows that are not those of the file.
#[test]
fn damaged_files_of_version_1_do_not_panic() {
    let file = std::fs::read(fixture("v1")).unwrap();
    for length in 0..file.len() {
        // The bare header is a whole file without tables.
        assert_eq!(open(file[..length].to_vec()).is_some(), length == 8, "{length} bytes");
    }
    for place in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[place] ^= 1 << bit;
            let Some(reader) = open(flipped) else { continue };
            let rows: usize = reader.table("groups").unwrap().iter().map(|b| b.num_rows()).sum();
            // Another name hides the table; another number of key columns, up to the two there
            // are, is all that can change unnoticed.
            assert!([0, 1, 10].contains(&rows), "byte {place}, bit {bit}: {rows} rows");
        }
    }
}

/// Would fail if an error did not say what is wrong with which file.
#[test]
fn errors_name_the_file_and_the_fault() {
    let file = two_tables();
    let message = |bytes: Vec<u8>| {
        let files = vec![Bytes::from(bytes), file.clone().into()];
        StateReader::open(files, ALL).unwrap_err()
    };
    let mut newer = file.clone();
    newer[4] = 9;
    let newer = message(newer);
    assert_eq!(newer.message(), "state file 1 of 2: has version 9, not one of 1 to 2");
    assert!(newer.remedy_text().is_some());
    let foreign = message(b"PAR1 is another format".to_vec());
    assert_eq!(foreign.message(), "state file 1 of 2: does not begin with `THST`");
    assert_eq!(message(Vec::new()).message(), "state file 1 of 2: ends too early");
    let mut flipped = file.clone();
    flipped[99] ^= 1;
    assert!(message(flipped).message().starts_with("state file 1 of 2: it is damaged: "));
}

/// Would fail if snapshots whose keys do not fit one another were mixed, or made a panic.
#[test]
fn snapshots_of_other_keys_are_errors() {
    let table = |key: usize, column: ArrayRef| {
        let spec = TableSpec { name: "groups", key, route: vec![0] };
        let rows = RecordBatch::try_from_iter([("a", column.clone()), ("b", column)]).unwrap();
        let mut writer = StateWriter::new(false, workers(1));
        writer.put(&spec, rows).unwrap();
        writer.finish().unwrap().unwrap()
    };
    let wide = table(1, Arc::new(Int64Array::from(vec![1])));
    let narrow = table(1, Arc::new(Int32Array::from(vec![1])));
    let two = table(2, Arc::new(Int64Array::from(vec![1])));
    for other in [narrow, two] {
        let error = StateReader::open(vec![other, wide.clone()], ALL).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State);
        let message = error.message();
        assert!(message.starts_with("state file 1 of 2: table `groups`: "), "{message}");
    }
}

/// Would fail if rows that do not fit their table were stored.
#[test]
fn rows_that_do_not_fit_their_table_are_refused() {
    let mut writer = StateWriter::new(false, workers(1));
    let refused = |result: thalweg_types::Result<()>| {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Internal);
    };
    refused(writer.put(&TableSpec { route: vec![2], ..spec() }, some(0..1, 0)));
    refused(writer.put(&TableSpec { key: 4, ..spec() }, some(0..1, 0)));
    refused(writer.delete(&spec(), some(0..1, 0)));
    writer.put(&spec(), some(0..1, 0)).unwrap();
    refused(writer.put(&TableSpec { key: 1, ..spec() }, some(0..1, 0)));
    assert_eq!(writer.rows(), 1);
}

/// Long text, alone, in a list and in a struct: the views of a few rows of a large buffer.
fn nested(rows: usize) -> RecordBatch {
    let texts = (0..rows).map(|row| format!("{row} {}", "x".repeat(1000)));
    let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(texts));
    let field = Arc::new(Field::new("item", DataType::Utf8View, true));
    let offsets = OffsetBuffer::from_lengths(vec![1; rows]);
    let lists: ArrayRef = Arc::new(ListArray::new(field.clone(), offsets, texts.clone(), None));
    let structs = StructArray::new(vec![field].into(), vec![texts.clone()], None);
    let columns = [("text", texts), ("list", lists), ("struct", Arc::new(structs) as ArrayRef)];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Would fail if a few rows brought the buffers they came in along, into the file or out of it.
#[test]
fn a_few_rows_bring_no_large_buffers() {
    let spec = TableSpec { name: "groups", key: 1, route: vec![0] };
    let mut writer = StateWriter::new(false, workers(1));
    let few = nested(1000).slice(500, 3);
    writer.put(&spec, few.clone()).unwrap();
    let file = writer.finish().unwrap().unwrap();
    assert!(file.len() < 20_000, "{} bytes", file.len());
    let reader = StateReader::open(vec![file], ALL).unwrap();
    assert_eq!(reader.table("groups").unwrap(), [few]);

    let mut writer = StateWriter::new(false, workers(1));
    writer.put(&spec, nested(1000)).unwrap();
    let file = writer.finish().unwrap().unwrap();
    let one = KeyGroupRange { start: 7, end: 8 };
    let tables = StateReader::open(vec![file], one).unwrap().table("groups").unwrap();
    let rows: usize = tables.iter().map(RecordBatch::num_rows).sum();
    assert!((1..100).contains(&rows));
    for column in tables.iter().flat_map(RecordBatch::columns) {
        assert!(column.get_buffer_memory_size() < rows * 2000);
    }
}

fn fixture(version: &str) -> PathBuf {
    let folder: PathBuf = [env!("CARGO_MANIFEST_DIR"), "fixtures", version].iter().collect();
    folder.join("groups.state")
}

/// Would fail if this version could not open what version 1 wrote. Never to be written again.
#[test]
fn the_fixture_of_version_1_opens() {
    let file = std::fs::read(fixture("v1")).unwrap();
    let reader = StateReader::open(vec![file.into()], ALL).unwrap();
    let mut values: Vec<i64> = Vec::new();
    for batch in reader.table("groups").unwrap() {
        for (name, value) in batch
            .column(0)
            .as_string_view()
            .iter()
            .zip(batch.column(1).as_primitive::<Int64Type>().values())
        {
            assert_eq!(name.unwrap(), format!("a key of a certain length {value}"));
            values.push(*value);
        }
    }
    values.sort_unstable();
    assert_eq!(values, (0..10).collect::<Vec<_>>());
}

/// Would fail if this version could not open what version 2 wrote. Written once, with `UPDATE=1`.
#[test]
fn the_fixture_of_version_2_opens() {
    let path = fixture("v2");
    if std::env::var_os("UPDATE").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, two_tables()).unwrap();
    }
    let file = Bytes::from(std::fs::read(path).unwrap());
    let expected: Vec<(i64, i64)> = (0..20).filter(|n| *n != 3).map(|n| (n, n)).collect();
    assert_eq!(found(std::slice::from_ref(&file), ALL), expected);
    let other = StateReader::open(vec![file], ALL).unwrap().table("other").unwrap();
    assert_eq!(other, [some(0..2, 0)]);
    let later = snapshot(&[some(3..5, 100)]);
    assert_eq!(found(&[Bytes::from(two_tables()), later], ALL)[3..5], [(3, 103), (4, 104)]);
}

/// Would fail if a table that all workers have alike were lost where there are other workers, or if one
/// of its rows came back that was deleted.
#[test]
fn a_shared_table_goes_to_all_workers() {
    let spec = TableSpec { name: "rates", key: 1, route: vec![] };
    let rates = |rows: &[i64]| {
        let column: ArrayRef = Arc::new(Int64Array::from(rows.to_vec()));
        RecordBatch::try_from_iter([("rate", column)]).unwrap()
    };
    let snapshot = |is_full: bool, put: &[i64], gone: &[i64]| {
        let mut writer = StateWriter::new(is_full, workers(2));
        writer.put_shared(&spec, rates(put)).unwrap();
        writer.delete_shared(&spec, rates(gone)).unwrap();
        writer.finish().unwrap().unwrap()
    };
    // Two workers, of which one has just saved the whole.
    let first = [snapshot(true, &[1, 2, 3], &[]), snapshot(false, &[4], &[2])];
    let second = [snapshot(true, &[1, 3, 4], &[])];
    for files in [first.to_vec(), second.to_vec(), [first.as_slice(), &second].concat()] {
        for range in ranges(workers(5)) {
            let reader = StateReader::open(files.clone(), range).unwrap();
            let found = reader.table("rates").unwrap();
            let found = found
                .iter()
                .flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec());
            let mut found: Vec<i64> = found.collect();
            found.sort_unstable();
            assert_eq!(found, [1, 3, 4]);
        }
    }
}
