use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringViewArray,
};
use arrow::compute::{cast, concat};
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
    let floats = cast(&values(), &DataType::Float64).unwrap();
    let means: ArrayRef = Arc::new(Float64Array::from(vec![Some(7.0), Some(3.5), None]));
    check(&average(&DataType::Float64).unwrap(), &[floats], means);
    let words: ArrayRef = Arc::new(StringViewArray::from(vec!["b", "a", "d", "c", "e"]));
    let most: ArrayRef = Arc::new(StringViewArray::from(vec![Some("e"), Some("d"), None]));
    check(&max(&DataType::Utf8View).unwrap(), &[words], most);
    check(
        &first_value(&DataType::Int64).unwrap(),
        &[values()],
        i64s(vec![Some(5), Some(-2), None]),
    );
    check(&last_value(&DataType::Int64).unwrap(), &[values()], i64s(vec![Some(9), Some(9), None]));
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

/// A small generator of numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The value of an aggregate over the values of one group, by the book.
fn naive(name: &str, values: &[(i64, i64)]) -> Option<i64> {
    let sum = values.iter().map(|(value, weight)| value * weight).sum::<i64>();
    let count = values.iter().map(|(_, weight)| weight).sum::<i64>();
    let kept = || values.iter().map(|(value, _)| *value);
    match name {
        "count" => Some(count),
        "sum" => (count != 0).then_some(sum),
        "min" => kept().min(),
        "max" => kept().max(),
        "first" => kept().next(),
        _ => kept().next_back(),
    }
}

const TOTAL: usize = 7;

/// Updates in batches with NULLs, a filter and, if it can be, retractions; compares every group.
fn check_naive(name: &str, function: &Arc<dyn AggregateFunction>, kind: &DataType) {
    let mut numbers = Numbers(7);
    let mut accumulator = function.accumulator().unwrap();
    let mut expected: Vec<Vec<(i64, i64)>> = vec![Vec::new(); TOTAL];
    for _ in 0..20 {
        let rows = numbers.below(50) as usize;
        // Group 6 gets no rows.
        let groups: Vec<u32> = (0..rows).map(|_| numbers.below(6) as u32).collect();
        let values: Vec<Option<i64>> =
            (0..rows).map(|_| Some(numbers.below(90) as i64).filter(|v| v % 7 != 0)).collect();
        let filter: Vec<Option<bool>> = (0..rows)
            .map(|_| [Some(true), Some(true), Some(false), None][numbers.below(4) as usize])
            .collect();
        let retracts = function.is_retractable();
        let weights: Vec<i64> =
            (0..rows).map(|_| if retracts { numbers.below(5) as i64 - 2 } else { 1 }).collect();
        for row in 0..rows {
            if let (Some(value), Some(true), true) = (values[row], filter[row], weights[row] != 0) {
                expected[groups[row] as usize].push((value, weights[row]));
            }
        }
        let values: ArrayRef = Arc::new(Int64Array::from(values));
        let arguments = [cast(&cast(&values, &DataType::Int64).unwrap(), kind).unwrap()];
        let (filter, weights) = (BooleanArray::from(filter), Int64Array::from(weights));
        let (filter, weights) = (Some(&filter), Some(&weights));
        accumulator
            .update(Rows { groups: &groups, arguments: &arguments, filter, weights, total: TOTAL })
            .unwrap();
    }
    let expected: Vec<Option<i64>> = expected.iter().map(|v| naive(name, v)).collect();
    let expected: ArrayRef = Arc::new(Int64Array::from(expected));
    let expected = cast(&expected, function.result().data_type()).unwrap();
    assert_eq!(&accumulator.evaluate(Groups::First(TOTAL)).unwrap(), &expected, "{name} {kind}");
    // Some groups, out of order and twice: the same values, and nothing consumed.
    let at = accumulator.evaluate(Groups::At(&[5, 0, 5, 6])).unwrap();
    let parts = [5, 0, 5, 6].map(|group| expected.slice(group, 1));
    let parts: Vec<&dyn arrow::array::Array> = parts.iter().map(|part| part.as_ref()).collect();
    assert_eq!(&at, &concat(&parts).unwrap(), "{name} {kind} at");
}

/// Would fail if a fast path, a filter, a NULL or a weight were counted wrongly for some type.
#[test]
fn accumulators_agree_with_naive_loops() {
    use arrow::datatypes::TimeUnit;
    check_naive("count", &count(), &DataType::Int64);
    for kind in [DataType::Int64, DataType::Float64, DataType::Decimal128(12, 2)] {
        check_naive("sum", &sum(&kind).unwrap(), &kind);
    }
    let decimal = DataType::Decimal128(20, 3);
    let times = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    for kind in
        [DataType::Int8, DataType::Int16, DataType::UInt32, DataType::Float32, decimal, times]
    {
        check_naive("min", &min(&kind).unwrap(), &kind);
        check_naive("max", &max(&kind).unwrap(), &kind);
        check_naive("first", &first_value(&kind).unwrap(), &kind);
        check_naive("last", &last_value(&kind).unwrap(), &kind);
    }
    check_naive("first", &first_value(&DataType::Utf8).unwrap(), &DataType::Utf8);
    check_naive("last", &last_value(&DataType::Utf8View).unwrap(), &DataType::Utf8View);
}

/// Would fail if booleans came back as numbers.
#[test]
fn booleans_have_an_order() {
    let flags: ArrayRef =
        Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), Some(false)]));
    let expected: ArrayRef = Arc::new(BooleanArray::from(vec![Some(false), Some(false), None]));
    check(&min(&DataType::Boolean).unwrap(), &[flags], expected);
}

/// Would fail if a mean of decimals lost its digits behind the point.
#[test]
fn means_of_decimals_have_four_more_digits() {
    let values = Decimal128Array::from(vec![Some(100), None, Some(-2), Some(1), Some(101)])
        .with_precision_and_scale(10, 2)
        .unwrap();
    let expected = Decimal128Array::from(vec![Some(1_005_000), Some(-5_000), None])
        .with_precision_and_scale(14, 6)
        .unwrap();
    let function = average(&DataType::Decimal128(10, 2)).unwrap();
    check(&function, &[Arc::new(values)], Arc::new(expected));
}

/// Would fail if taking a row back from an aggregate that forgot it went unnoticed.
#[test]
fn a_retraction_from_max_is_an_error() {
    let arguments = [Arc::new(Int64Array::from(vec![1])) as ArrayRef];
    let weights = Int64Array::from(vec![-1]);
    let weights = Some(&weights);
    let rows = Rows { groups: &[0], arguments: &arguments, filter: None, weights, total: 1 };
    let error = max(&DataType::Int64).unwrap().accumulator().unwrap().update(rows).unwrap_err();
    assert_eq!(error.kind(), thalweg_types::ErrorKind::Internal);
}

/// Would fail if an aggregate could not be found again by the name that stands in its state.
#[test]
fn aggregates_are_found_by_their_names() {
    let millis = DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, None);
    let decimal = DataType::Decimal128(10, 2);
    let functions = [
        count(),
        sum(&DataType::Int64).unwrap(),
        average(&decimal).unwrap(),
        min(&DataType::Utf8View).unwrap(),
        max(&millis).unwrap(),
        first_value(&DataType::Boolean).unwrap(),
        last_value(&DataType::Float64).unwrap(),
    ];
    for function in functions {
        let found = named(function.name()).unwrap_or_else(|| panic!("{}", function.name()));
        assert_eq!((found.name(), found.state()), (function.name(), function.state()));
    }
    for name in ["", "sum", "sum(Int65)", "sum(Utf8)", "median(Int64)", "count(distinct Int64)"] {
        assert!(named(name).is_none(), "{name}");
    }
}
