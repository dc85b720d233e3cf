use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    BinaryArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, StringArray,
    StringViewArray, StructArray, UInt8Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::{Field, TimeUnit};
use arrow::util::display::array_value_to_string;
use thalweg_types::ErrorKind;

use super::*;

/// A small generator with a fixed seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

/// The text of a key; `None` for NULL.
fn texts(columns: &[ArrayRef], row: usize) -> Vec<Option<String>> {
    let text = |c: &ArrayRef| c.is_valid(row).then(|| array_value_to_string(c, row).unwrap());
    columns.iter().map(text).collect()
}

/// Interns batches and compares with a map of texts.
fn check(types: &[DataType], batches: &[Vec<ArrayRef>]) {
    let mut table = GroupTable::new(types).unwrap();
    let mut model: HashMap<Vec<Option<String>>, u32> = HashMap::new();
    let mut groups = vec![77; 3];
    for batch in batches {
        table.intern(batch, batch[0].len(), &mut groups).unwrap();
        assert_eq!(groups.len(), batch[0].len());
        for (row, group) in groups.iter().enumerate() {
            let next = model.len() as u32;
            let key = texts(batch, row);
            assert_eq!(*group, *model.entry(key.clone()).or_insert(next), "{types:?} {key:?}");
        }
        // Reading between batches takes nothing away.
        compare(&table, &model, types, Groups::First(table.len()));
    }
    assert_eq!(table.len(), model.len());
    let some: Vec<u32> = (0..table.len() as u32).rev().step_by(3).chain([0, 0]).collect();
    compare(&table, &model, types, Groups::At(&some));
    compare(&table, &model, types, Groups::At(&[]));
    let bytes = table.bytes();
    table.clear();
    assert!(table.is_empty() && table.bytes() == 0 && bytes > 0);
    table.intern(&batches[0], batches[0][0].len(), &mut groups).unwrap();
    assert_eq!(groups[0], 0);
}

fn compare(
    table: &GroupTable,
    model: &HashMap<Vec<Option<String>>, u32>,
    types: &[DataType],
    asked: Groups<'_>,
) {
    let keys = table.keys(asked).unwrap();
    assert_eq!(keys.len(), types.len());
    for (key, kind) in keys.iter().zip(types) {
        assert_eq!((key.data_type(), key.len()), (kind, asked.len()));
        key.to_data().validate_full().unwrap();
    }
    let mut row = 0;
    asked.for_each(|group| {
        assert_eq!(model[&texts(&keys, row)], group as u32);
        row += 1;
    });
}

fn words(dice: &mut Dice, rows: usize) -> ArrayRef {
    let word = |dice: &mut Dice| match dice.below(10) {
        0 => None,
        1 => Some(format!("a word of more than twelve bytes {}", dice.below(50))),
        // Twelve and thirteen bytes, and none: the ends of what a view holds.
        2 => Some("0123456789abc"[..dice.below(14) as usize].to_owned()),
        _ => Some(format!("w{}", dice.below(200))),
    };
    Arc::new((0..rows).map(|_| word(dice)).collect::<StringArray>())
}

fn numbers(dice: &mut Dice, rows: usize) -> ArrayRef {
    let number = |dice: &mut Dice| (dice.below(9) > 0).then(|| dice.below(120) as i32 - 60);
    Arc::new((0..rows).map(|_| number(dice)).collect::<Int32Array>())
}

/// A column of any type, sometimes a slice of a longer one.
fn column(dice: &mut Dice, kind: &DataType, rows: usize) -> ArrayRef {
    use DataType as D;
    let skipped = dice.below(3) as usize * 5;
    let whole = match kind {
        D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Dictionary(_, _) => words(dice, rows + skipped),
        D::Binary | D::LargeBinary | D::BinaryView => {
            cast(&words(dice, rows + skipped), &D::Binary).unwrap()
        }
        // Arrow makes no durations and times of 64 bits from 32.
        D::Duration(_) | D::Time64(_) => cast(&numbers(dice, rows + skipped), &D::Int64).unwrap(),
        _ => numbers(dice, rows + skipped),
    };
    cast(&whole, kind).unwrap().slice(skipped, rows)
}

fn check_types(types: &[DataType], seed: u64) {
    let dice = &mut Dice(seed);
    let batch = |dice: &mut Dice| {
        let rows = 1 + dice.below(150) as usize;
        types.iter().map(|kind| column(dice, kind, rows)).collect()
    };
    let batches: Vec<Vec<ArrayRef>> = (0..12).map(|_| batch(dice)).collect();
    check(types, &batches);
}

/// Would fail if two keys shared a group, one key had two, or a key came back changed.
#[test]
fn groups_of_one_column_are_those_of_a_map() {
    use DataType as D;
    let times = [TimeUnit::Second, TimeUnit::Nanosecond].map(|unit| D::Timestamp(unit, None));
    let others = [
        [D::Utf8, D::LargeUtf8, D::Utf8View, D::Binary, D::LargeBinary, D::BinaryView],
        [D::Int8, D::Int16, D::Int32, D::Int64, D::Date32, D::Date64],
        [D::UInt8, D::UInt16, D::UInt32, D::UInt64, D::Boolean, D::Float64],
        [
            D::Time32(TimeUnit::Millisecond),
            D::Time64(TimeUnit::Microsecond),
            D::Duration(TimeUnit::Second),
            D::Timestamp(TimeUnit::Millisecond, Some("Europe/Berlin".into())),
            D::Decimal128(20, 3),
            D::Dictionary(Box::new(D::Int16), Box::new(D::Utf8)),
        ],
    ];
    for (seed, kind) in times.into_iter().chain(others.into_iter().flatten()).enumerate() {
        check_types(&[kind], seed as u64);
    }
}

/// Would fail if packing let one column's bits or NULL run into another's.
#[test]
fn groups_of_several_columns_are_those_of_a_map() {
    use DataType as D;
    let time = || D::Timestamp(TimeUnit::Nanosecond, None);
    let narrow = [vec![D::Int32, D::Int32], vec![D::Int8, D::UInt16, D::Int8, D::Date32]];
    let wide = [vec![time(), D::Int64], vec![D::Int8, time(), D::Int32], vec![D::UInt8; 16]];
    let rows = [vec![D::Utf8View, D::Int64], vec![D::Int64; 3], vec![D::Float32, D::Utf8]];
    for (seed, types) in narrow.iter().chain(&wide).chain(&rows).enumerate() {
        check_types(types, seed as u64);
    }
    let layout = |types: &[D]| GroupTable::new(types).unwrap().layout;
    assert!(narrow.iter().all(|types| matches!(layout(types), Layout::Narrow(_))));
    assert!(wide.iter().all(|types| matches!(layout(types), Layout::Wide(_))));
    assert!(rows.iter().all(|types| matches!(layout(types), Layout::Rows(_))));
}

/// Would fail if long keys with the same beginning, end or length were mixed up, or were lost
/// where the table's memory goes on in another block.
#[test]
fn long_keys_that_look_alike_stay_apart() {
    let dice = &mut Dice(5);
    let mut keys: Vec<String> = (13..60).map(|length| "a".repeat(length)).collect();
    keys.extend((13..60).map(|length| "a".repeat(length - 1) + "\0"));
    keys.extend((0..300).map(|n| format!("{n:05}{}", "long ".repeat(2000))));
    keys.extend((0..300).map(|n| format!("{}{n:05}", "long ".repeat(2000))));
    keys.push("huge".repeat(1 << 19));
    let batch = |dice: &mut Dice| -> Vec<ArrayRef> {
        let keys = (0..200).map(|_| &keys[dice.below(keys.len() as u64) as usize]);
        vec![Arc::new(StringViewArray::from_iter_values(keys))]
    };
    let batches: Vec<Vec<ArrayRef>> = (0..6).map(|_| batch(dice)).collect();
    check(&[DataType::Utf8View], &batches);
}

/// Would fail if keys were taken for equal because their hashes are.
#[test]
fn keys_of_equal_hashes_stay_apart() {
    // Zeros and NULLs only: one packed number for all, with so many masks that hashbrown's tags
    // of seven bits are often the same.
    let dice = &mut Dice(11);
    let zeros = |dice: &mut Dice| -> ArrayRef {
        Arc::new((0..4000).map(|_| (dice.below(2) > 0).then_some(0)).collect::<UInt8Array>())
    };
    let batch: Vec<ArrayRef> = (0..16).map(|_| zeros(dice)).collect();
    check(&vec![DataType::UInt8; 16], &[batch]);

    // The second factor of `fold` is zero for these, whatever is in the first.
    let key = |n: u32| {
        let factor = 0xd1b5_4a32_d192_ed03_u64.to_le_bytes();
        [b"same".as_slice(), &n.to_le_bytes(), &factor].concat()
    };
    let keys: ArrayRef = Arc::new(BinaryArray::from_iter_values((0..50).map(key)));
    check(&[DataType::Binary], &[vec![keys.clone()], vec![keys]]);
}

/// Would fail if what an array happens to hold below a NULL were part of the key.
#[test]
fn values_below_nulls_do_not_matter() {
    let nulls = NullBuffer::from(vec![false, false, true]);
    let numbers: ArrayRef = Arc::new(Int32Array::new(vec![1, 2, 2].into(), Some(nulls.clone())));
    assert_eq!(groups_of(numbers.clone()), [0, 0, 1]);
    let mut table = GroupTable::new(&[DataType::Int32, DataType::Int32]).unwrap();
    let mut groups = Vec::new();
    table.intern(&[numbers.clone(), numbers], 3, &mut groups).unwrap();
    assert_eq!(groups, [0, 0, 1]);
    let texts = StringViewArray::from(vec!["a", "below a null, more than twelve bytes", "c"]);
    let texts =
        StringViewArray::new(texts.views().clone(), texts.data_buffers().to_vec(), Some(nulls));
    assert_eq!(groups_of(Arc::new(texts)), [0, 0, 1]);
}

fn groups_of(column: ArrayRef) -> Vec<u32> {
    let mut table = GroupTable::new(&[column.data_type().clone()]).unwrap();
    let mut groups = Vec::new();
    table.intern(std::slice::from_ref(&column), column.len(), &mut groups).unwrap();
    groups
}

/// Would fail if SQL's one zero and one NaN were several groups.
#[test]
fn zero_and_nan_are_one_group_each() {
    let values = vec![0.0, -0.0, f64::NAN, -f64::NAN, 1.0];
    let column: ArrayRef = Arc::new(Float64Array::from(values));
    let expected = [0, 0, 1, 1, 2];
    assert_eq!(groups_of(column.clone()), expected);
    let halves = vec![0.0, -0.0, f32::NAN, -f32::NAN, 1.0];
    assert_eq!(groups_of(Arc::new(Float32Array::from(halves))), expected);
    let field = Arc::new(Field::new("item", DataType::Float64, true));
    let list = OffsetBuffer::from_lengths([1; 5]);
    let list: ArrayRef = Arc::new(ListArray::new(field.clone(), list, column, None));
    assert_eq!(groups_of(list.clone()), expected);
    let field = Arc::new(Field::new("list", list.data_type().clone(), true));
    assert_eq!(
        groups_of(Arc::new(StructArray::new(vec![field].into(), vec![list], None))),
        expected
    );
}

/// Would fail if a few keys kept the buffers of their input or of the whole table alive.
#[test]
fn keys_pin_nothing() {
    let mut keys: Vec<String> = (0..1000).map(|n| format!("{n} {}", "x".repeat(1000))).collect();
    keys.push("a".to_owned());
    let input: ArrayRef = Arc::new(StringViewArray::from_iter_values(keys));
    let mut table = GroupTable::new(&[DataType::Utf8View]).unwrap();
    table.intern(&[input], 1001, &mut Vec::new()).unwrap();
    assert!(table.bytes() > 1_000_000);
    for (groups, bytes_max) in [([1000], 100), ([7], 2500)] {
        let keys = table.keys(Groups::At(&groups)).unwrap();
        assert!(keys[0].get_buffer_memory_size() < bytes_max, "group {groups:?}");
    }
}

/// Would fail if an aggregation without keys had no group, or several.
#[test]
fn no_key_columns_make_one_group() {
    let mut table = GroupTable::new(&[]).unwrap();
    let mut groups = vec![5];
    table.intern(&[], 0, &mut groups).unwrap();
    assert!(groups.is_empty() && table.is_empty());
    table.intern(&[], 3, &mut groups).unwrap();
    assert_eq!((groups.as_slice(), table.len()), ([0, 0, 0].as_slice(), 1));
    assert!(table.keys(Groups::First(1)).unwrap().is_empty());
    table.clear();
    assert!(table.is_empty());
}

/// Would fail if columns that are not the table's were taken for keys, or made a panic.
#[test]
fn columns_of_another_table_are_errors() {
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    for types in [vec![DataType::Int32], vec![DataType::Utf8], vec![DataType::Int64; 2], vec![]] {
        let mut table = GroupTable::new(&types).unwrap();
        let error = table.intern(std::slice::from_ref(&numbers), 2, &mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{types:?}");
        assert!(table.is_empty());
    }
    let mut table = GroupTable::new(&[DataType::Int64]).unwrap();
    assert!(table.intern(std::slice::from_ref(&numbers), 3, &mut Vec::new()).is_err());
    table.intern(&[numbers], 2, &mut Vec::new()).unwrap();
    assert!(table.keys(Groups::First(3)).is_err());
    assert!(table.keys(Groups::At(&[2])).is_err());
}
