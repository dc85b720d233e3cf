//! Rows come back as they were put in, whatever came and went between.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Int64Array, ListArray, RecordBatch,
    StringViewArray, TimestampMillisecondArray, UInt32Array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::{Int32Type, Schema};
use thalweg_types::{KeyGroupRange, KeyGroups};

use super::{BLOCK_SLOTS, RowStore};
use crate::{StateReader, StateWriter};

/// Rows of all sorts of types, with NULLs; `n` of them from number `from` on.
fn rows(from: i64, n: i64) -> RecordBatch {
    let numbers = || from..from + n;
    let every = |step: i64, n: i64| n % step != 0;
    let long = |n: i64| "long text, and longer ".repeat((n % 7) as usize);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("key", Arc::new(numbers().map(|n| every(11, n).then_some(n % 5)).collect::<Int64Array>())),
        (
            "text",
            Arc::new(
                numbers()
                    .map(|n| every(3, n).then(|| format!("{n}{}", long(n))))
                    .collect::<StringViewArray>(),
            ),
        ),
        (
            "bit",
            Arc::new(
                numbers().map(|n| every(4, n).then_some(n % 2 == 0)).collect::<BooleanArray>(),
            ),
        ),
        (
            "money",
            Arc::new(
                numbers()
                    .map(|n| every(5, n).then_some(i128::from(n) << 70))
                    .collect::<Decimal128Array>(),
            ),
        ),
        (
            "at",
            Arc::new(
                numbers().map(|n| every(7, n).then_some(n)).collect::<TimestampMillisecondArray>(),
            ),
        ),
        (
            "list",
            Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
                numbers()
                    .map(|n| every(6, n).then(|| (0..n as i32 % 4).map(Some).collect::<Vec<_>>())),
            )),
        ),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

fn insert(store: &mut RowStore, rows: &RecordBatch) -> Vec<u32> {
    let mut slots = Vec::new();
    let all: Vec<u32> = (0..rows.num_rows() as u32).collect();
    store.insert(rows.columns(), &all, &mut slots).unwrap();
    slots
}

#[test]
fn rows_come_back_as_they_were() {
    let given = rows(0, 10_000);
    let mut store = RowStore::new(given.schema()).unwrap();
    let slots = insert(&mut store, &given);
    assert_eq!(store.columns(&slots).unwrap(), given.columns());
    let some: Vec<u32> = slots.iter().copied().rev().step_by(97).collect();
    let places = UInt32Array::from((0..10_000_u32).rev().step_by(97).collect::<Vec<_>>());
    let wanted = take(given.column(1), &places, None).unwrap();
    assert_eq!(store.project(&[1], &some).unwrap(), [wanted]);
    assert!(store.columns(&[]).unwrap().iter().all(|column| column.is_empty()));
}

#[test]
fn equal_rows_have_equal_parts_and_others_do_not() {
    let given = rows(0, 500);
    let mut store = RowStore::new(given.schema()).unwrap();
    let slots = insert(&mut store, &given);
    let again = store.encode(given.columns(), &(0..500).collect::<Vec<_>>()).unwrap();
    for (row, slot) in slots.iter().enumerate() {
        let same = slots.iter().filter(|other| again.row(row) == store.row(**other)).count();
        assert_eq!(same, 1, "row {row}");
        assert!(again.row(row) == store.row(*slot));
    }
}

/// What slots of removed rows held must not show, and memory must come back.
#[test]
fn removed_rows_leave_room_for_others() {
    let given = rows(0, 4 * BLOCK_SLOTS as i64);
    let mut store = RowStore::new(given.schema()).unwrap();
    let first = insert(&mut store, &given);
    let full = store.bytes();
    for _ in 0..20 {
        first.iter().for_each(|slot| store.remove(*slot));
        assert!(store.is_empty());
        let again = insert(&mut store, &given);
        assert_eq!(store.columns(&again).unwrap(), given.columns());
        assert!(store.slots() == 4 * BLOCK_SLOTS && store.bytes() < full * 2);
    }
}

/// Applies random inserts and removals, with snapshots between, and restores onto two workers.
#[test]
fn a_restored_store_has_the_rows_of_the_snapshots() {
    let schema: Arc<Schema> = rows(0, 1).schema();
    let mut store = RowStore::new(schema.clone()).unwrap();
    let groups = KeyGroups { count: 64, workers: 1 };
    let (mut files, mut kept, mut seed) = (Vec::new(), BTreeMap::new(), 7_u64);
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    for step in 0..40_i64 {
        let given = rows(step * 100, 50 + random(50) as i64);
        let slots = insert(&mut store, &given);
        for (row, slot) in slots.into_iter().enumerate() {
            kept.insert(slot, given.slice(row, 1));
        }
        let going: Vec<u32> = kept.keys().copied().filter(|_| random(3) == 0).collect();
        for slot in going {
            kept.remove(&slot);
            store.remove(slot);
        }
        if random(2) == 0 {
            let mut writer = StateWriter::new(files.is_empty(), groups);
            store.snapshot("rows", &[0], &mut writer).unwrap();
            files.extend(writer.finish().unwrap());
        }
    }
    let mut writer = StateWriter::new(false, groups);
    store.snapshot("rows", &[0], &mut writer).unwrap();
    files.extend(writer.finish().unwrap());

    let mut found = Vec::new();
    for (start, end) in [(0, 20), (20, 64)] {
        let reader = StateReader::open(files.clone(), KeyGroupRange { start, end }).unwrap();
        let mut restored = RowStore::new(schema.clone()).unwrap();
        let slots = restored.restore("rows", &reader).unwrap();
        assert_eq!(slots.len(), restored.len());
        found.push(restored.columns(&slots).unwrap());
    }
    let texts = |column: &ArrayRef| {
        let mut texts: Vec<String> =
            (0..column.len()).map(|row| format!("{:?}", column.slice(row, 1))).collect();
        texts.sort();
        texts
    };
    for column in 0..schema.fields().len() {
        let expected: Vec<&dyn Array> =
            kept.values().map(|row| row.column(column).as_ref()).collect();
        let parts: Vec<&dyn Array> = found.iter().map(|columns| columns[column].as_ref()).collect();
        assert_eq!(texts(&concat(&parts).unwrap()), texts(&concat(&expected).unwrap()));
    }
}

/// Would fail if NULLs of a batch were known only once its first row was kept.
#[test]
fn any_row_of_a_batch_may_be_kept_alone() {
    let batch = rows(1, 40);
    let mut store = RowStore::new(batch.schema()).unwrap();
    let all: Vec<u32> = (0..40).collect();
    let encoded = store.encode(batch.columns(), &all).unwrap();
    let kept = [29, 3, 11, 32];
    let slots: Vec<u32> =
        kept.iter().map(|row| store.insert_row(&encoded, *row as usize).unwrap()).collect();
    let found = store.columns(&slots).unwrap();
    let wanted = UInt32Array::from(kept.to_vec());
    for (found, column) in found.iter().zip(batch.columns()) {
        assert_eq!(found, &take(column, &wanted, None).unwrap());
    }
}
