use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, StringViewArray};
use arrow::datatypes::Int64Type;
use thalweg_types::Groups;

use super::*;
use crate::function::Rows;

fn values() -> ArrayRef {
    Arc::new(Int64Array::from(vec![Some(5), None, Some(-2), Some(9), Some(9)]))
}

const GROUPS: [u32; 5] = [0, 0, 1, 1, 0];

/// Updates in one piece and in two merged ones; both must give `expected` for groups 0, 1, 2.
fn check(function: &Arc<dyn AggregateFunction>, arguments: &[ArrayRef], expected: ArrayRef) {
    let rows = |from: usize, to: usize, groups: &[u32]| {
        let mut accumulator = function.accumulator().unwrap();
        let arguments: Vec<ArrayRef> = arguments.iter().map(|a| a.slice(from, to - from)).collect();
        let (filter, weights) = (None, None);
        let rows = Rows { groups, arguments: &arguments, filter, weights, total: 3 };
        accumulator.update(rows).unwrap();
        accumulator
    };
    let mut whole = rows(0, 5, &GROUPS);
    assert_eq!(&whole.evaluate(Groups::First(3)).unwrap(), &expected, "{}", function.name());
    let (mut left, mut right) = (rows(0, 2, &GROUPS[..2]), rows(2, 5, &GROUPS[2..]));
    let partial = right.partial(Groups::At(&[1, 0, 2])).unwrap();
    let fields = function.state();
    assert!(partial.iter().zip(&fields).all(|(p, f)| p.data_type() == f.data_type()));
    left.merge(&[1, 0, 2], &partial, 3).unwrap();
    assert_eq!(&left.evaluate(Groups::First(3)).unwrap(), &expected, "{} merged", function.name());
}

/// Would fail if a pre-aggregation gave another answer than the aggregation of all rows.
#[test]
fn merged_parts_equal_the_whole() {
    let i64s = |v: Vec<Option<i64>>| -> ArrayRef { Arc::new(Int64Array::from(v)) };
    check(&count(), &[], i64s(vec![Some(3), Some(2), Some(0)]));
    check(&count(), &[values()], i64s(vec![Some(2), Some(2), Some(0)]));
    check(&sum(&DataType::Int64).unwrap(), &[values()], i64s(vec![Some(14), Some(7), None]));
    check(&min(&DataType::Int64).unwrap(), &[values()], i64s(vec![Some(5), Some(-2), None]));
    check(&max(&DataType::Int64).unwrap(), &[values()], i64s(vec![Some(9), Some(9), None]));
    let floats = arrow::compute::cast(&values(), &DataType::Float64).unwrap();
    let means: ArrayRef = Arc::new(Float64Array::from(vec![Some(7.0), Some(3.5), None]));
    check(&average(), &[floats], means);
    let words: ArrayRef = Arc::new(StringViewArray::from(vec!["b", "a", "d", "c", "e"]));
    let most: ArrayRef = Arc::new(StringViewArray::from(vec![Some("e"), Some("d"), None]));
    check(&max(&DataType::Utf8View).unwrap(), &[words], most);
}

/// Would fail if a retraction left something behind.
#[test]
fn rows_can_be_taken_back() {
    let function = sum(&DataType::Int64).unwrap();
    let mut accumulator = function.accumulator().unwrap();
    let weights = Int64Array::from(vec![1, 1, 1, 1, -1]);
    let arguments = [Arc::new(Int64Array::from(vec![5, 1, 2, 3, 5])) as ArrayRef];
    let weights = Some(&weights);
    let rows =
        Rows { groups: &[0, 1, 1, 1, 0], arguments: &arguments, filter: None, weights, total: 2 };
    accumulator.update(rows).unwrap();
    let sums = accumulator.evaluate(Groups::First(2)).unwrap();
    assert_eq!(sums.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [None, Some(6)]);
}

/// Would fail if a sum wrapped around in silence.
#[test]
fn an_overflow_is_an_error() {
    let function = sum(&DataType::Int64).unwrap();
    let arguments = [Arc::new(Int64Array::from(vec![i64::MAX, 1])) as ArrayRef];
    let (filter, weights) = (None, None);
    let rows = Rows { groups: &[0, 0], arguments: &arguments, filter, weights, total: 1 };
    let error = function.accumulator().unwrap().update(rows).unwrap_err();
    assert_eq!(error.kind(), thalweg_types::ErrorKind::Data);
}
