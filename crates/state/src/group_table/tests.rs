use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, Float64Array, Int32Array, StringArray, StringViewArray};
use arrow::compute::cast;
use arrow::util::display::array_value_to_string;

use super::*;

/// A small generator with a fixed seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

fn texts(rows: &[ArrayRef], row: usize) -> Vec<Option<String>> {
    let text = |c: &ArrayRef| c.is_valid(row).then(|| array_value_to_string(c, row).unwrap());
    rows.iter().map(text).collect()
}

/// Interns batches and compares with a map of texts.
fn check(types: &[DataType], batches: Vec<Vec<ArrayRef>>) {
    let mut table = GroupTable::new(types).unwrap();
    let mut model: HashMap<Vec<Option<String>>, u32> = HashMap::new();
    let mut groups = Vec::new();
    for batch in &batches {
        table.intern(batch, batch[0].len(), &mut groups).unwrap();
        for row in 0..batch[0].len() {
            let next = model.len() as u32;
            let expected = *model.entry(texts(batch, row)).or_insert(next);
            assert_eq!(groups[row], expected);
        }
    }
    assert_eq!(table.len(), model.len());
    let some: Vec<u32> = (0..table.len() as u32).rev().step_by(3).collect();
    for asked in [Groups::First(table.len()), Groups::At(&some)] {
        let keys = table.keys(asked).unwrap();
        assert!(keys.iter().zip(types).all(|(key, kind)| key.data_type() == kind));
        let mut row = 0;
        asked.for_each(|group| {
            assert_eq!(model[&texts(&keys, row)], group as u32);
            row += 1;
        });
    }
    table.clear();
    assert!(table.is_empty());
}

fn words(dice: &mut Dice, rows: usize) -> ArrayRef {
    let word = |dice: &mut Dice| match dice.below(10) {
        0 => None,
        1 => Some(format!("a word of more than twelve bytes {}", dice.below(50))),
        _ => Some(format!("w{}", dice.below(200))),
    };
    Arc::new((0..rows).map(|_| word(dice)).collect::<StringArray>())
}

/// Would fail if two keys shared a group, one key had two, or a key came back changed.
#[test]
fn groups_are_those_of_a_map() {
    let mut dice = Dice(7);
    for kind in [DataType::Utf8, DataType::Utf8View, DataType::Binary] {
        let batches = (0..20).map(|_| vec![cast(&words(&mut dice, 100), &kind).unwrap()]).collect();
        check(&[kind], batches);
    }
    let number = |dice: &mut Dice| (dice.below(9) > 0).then(|| dice.below(300) as i32 - 150);
    let numbers = |dice: &mut Dice| -> ArrayRef {
        Arc::new((0..100).map(|_| number(dice)).collect::<Int32Array>())
    };
    for kind in [DataType::Int32, DataType::Date32, DataType::Int64] {
        let batches = (0..20).map(|_| vec![cast(&numbers(&mut dice), &kind).unwrap()]).collect();
        check(&[kind], batches);
    }
    let batches = (0..20).map(|_| vec![numbers(&mut dice), words(&mut dice, 100)]).collect();
    check(&[DataType::Int32, DataType::Utf8], batches);
}

/// Would fail if SQL's one zero and one NaN were several groups.
#[test]
fn zero_and_nan_are_one_group_each() {
    let mut table = GroupTable::new(&[DataType::Float64]).unwrap();
    let column: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN, 1.0]));
    let mut groups = Vec::new();
    table.intern(&[column], 5, &mut groups).unwrap();
    assert_eq!(groups, [0, 0, 1, 1, 2]);
}

/// Would fail if a small batch of keys kept the large buffer of its input alive.
#[test]
fn keys_do_not_pin_the_input() {
    let long = "x".repeat(100_000);
    let input: ArrayRef = Arc::new(StringViewArray::from(vec![long.as_str(), "a"]));
    let mut table = GroupTable::new(&[DataType::Utf8View]).unwrap();
    table.intern(&[input], 2, &mut Vec::new()).unwrap();
    let keys = table.keys(Groups::At(&[1])).unwrap();
    assert!(keys[0].get_buffer_memory_size() < 1000);
}
