use arrow::array::{BooleanArray, RecordBatch, StringViewArray};
use arrow::datatypes::Schema;
use thalweg_plan::aggregate::{count, sum};
use thalweg_plan::distinct::{distinct_sets, state_fields};
use thalweg_plan::function::AggregateFunction;
use thalweg_plan::node::AggregateCall;

use super::*;

/// COUNT(DISTINCT 0), the same for the rows of column 1, and SUM(DISTINCT 0) where it is a number.
fn calls(kind: &DataType) -> Vec<AggregateCall> {
    let call = |function: Arc<dyn AggregateFunction>, filter| AggregateCall {
        function,
        arguments: vec![0],
        filter,
        distinct: true,
    };
    let total = sum(kind).ok().map(|sum| call(sum, None));
    [call(count(), None), call(count(), Some(1))].into_iter().chain(total).collect()
}

fn values(kind: &DataType, is_counted: bool) -> DistinctValues {
    let fields = [("v", kind.clone()), ("f", DataType::Boolean)];
    let fields = fields.map(|(name, kind)| Field::new(name, kind, true)).to_vec();
    let calls = calls(kind);
    let states = state_fields(&calls, &Schema::new(fields));
    let set = distinct_sets(&calls).remove(0);
    let accumulators = calls.iter().map(|call| call.function.accumulator().unwrap());
    let state = Arc::new(states[0].clone());
    DistinctValues::new(set, &state, accumulators.collect(), is_counted).unwrap()
}

fn change(column: ArrayRef, weights: Option<Vec<i64>>) -> Change {
    let filter = (0..column.len()).map(|row| Some(row % 2 == 0)).collect::<BooleanArray>();
    let columns: [(&str, ArrayRef); 2] = [("v", column), ("f", Arc::new(filter))];
    let rows = RecordBatch::try_from_iter_with_nullable(columns.map(|(n, c)| (n, c, true)));
    Change { rows: rows.unwrap(), weights: weights.map(Int64Array::from) }
}

fn numbers(values: &mut DistinctValues, call: usize) -> Vec<Option<i64>> {
    let column = values.evaluate(call, Groups::First(2)).unwrap();
    column.as_primitive::<Int64Type>().iter().collect()
}

/// Would fail if a NULL counted, an equal value counted twice, or a filter let rows through.
#[test]
fn equal_values_count_once() {
    let mut all = values(&DataType::Int64, false);
    let column = Int64Array::from(vec![Some(5), Some(5), None, Some(7), Some(5)]);
    all.update(&change(Arc::new(column), None), &[0, 0, 0, 0, 1], 2).unwrap();
    assert_eq!(numbers(&mut all, 0), [Some(2), Some(1)]);
    assert_eq!(numbers(&mut all, 1), [Some(1), Some(1)]);
    assert_eq!(numbers(&mut all, 2), [Some(12), Some(5)]);
}

/// Would fail if values were lost or doubled on their way through an exchange, or a group had
/// another's.
#[test]
fn merged_parts_equal_the_whole() {
    let words = ["a", "a word that is longer than a view", "", "b"];
    let column = |from: usize| -> ArrayRef {
        Arc::new(StringViewArray::from_iter_values((from..from + 6).map(|at| words[at % 4])))
    };
    for is_counted in [false, true] {
        let weights = || is_counted.then(|| vec![1, -1, 2, 1, 1, 1]);
        let parts = [change(column(0), weights()), change(column(3), weights())];
        let groups = [1, 0, 1, 1, 0, 1];
        let mut whole = values(&DataType::Utf8View, is_counted);
        let mut merged = values(&DataType::Utf8View, is_counted);
        for part in &parts {
            whole.update(part, &groups, 2).unwrap();
            let mut own = values(&DataType::Utf8View, is_counted);
            own.update(part, &groups, 2).unwrap();
            let partial = own.partial(Groups::At(&[1, 0])).unwrap();
            merged.merge(&[1, 0], &partial, 2).unwrap();
        }
        for call in 0..2 {
            assert_eq!(numbers(&mut whole, call), numbers(&mut merged, call), "{is_counted}");
        }
    }
}

/// Would fail if what was saved did not give the values again, if values that come again were saved
/// again where nothing is taken back, or if gone ones stayed.
#[test]
fn saved_changes_add_up_to_the_values() {
    for is_counted in [false, true] {
        let (mut all, mut restored) =
            (values(&DataType::Float64, is_counted), values(&DataType::Float64, is_counted));
        all.track();
        let numbers_of =
            |values: Vec<f64>| -> ArrayRef { Arc::new(arrow::array::Float64Array::from(values)) };
        let first = change(numbers_of(vec![0.0, -0.0, f64::NAN, -f64::NAN, 1.5]), None);
        all.update(&first, &[0; 5], 2).unwrap();
        let entries = all.take_entries(false).unwrap();
        assert_eq!(entries.groups.len(), 4, "-0.0 is a value of its own, NaN is one");
        restored.merge_entries(&entries, 2).unwrap();
        let again = change(numbers_of(vec![1.5, 2.5]), None);
        all.update(&again, &[0, 1], 2).unwrap();
        let entries = all.take_entries(false).unwrap();
        assert_eq!(entries.groups.len(), if is_counted { 2 } else { 1 });
        assert!(all.take_entries(false).unwrap().groups.is_empty());
        if !is_counted {
            restored.merge_entries(&entries, 2).unwrap();
            assert_eq!(numbers(&mut restored, 0), numbers(&mut all, 0));
            continue;
        }
        let gone = change(numbers_of(vec![1.5, 2.5, 1.5]), Some(vec![-1, -1, -1]));
        all.update(&gone, &[0, 1, 0], 2).unwrap();
        assert_eq!(numbers(&mut all, 0), [Some(3), Some(0)]);
        assert_eq!(all.take_entries(true).unwrap().groups, [0, 0, 0]);
        assert_eq!(all.overdrawn().unwrap(), None);
        let never = change(numbers_of(vec![9.0]), Some(vec![-1]));
        all.update(&never, &[1], 2).unwrap();
        assert_eq!(all.overdrawn().unwrap(), Some(1));
    }
}

/// Would fail if values that are gone kept their memory, or those that stay lost their groups.
#[test]
fn memory_of_gone_values_is_given_back() {
    let mut all = values(&DataType::Int64, true);
    all.track();
    let column =
        |range: std::ops::Range<i64>| -> ArrayRef { Arc::new(range.collect::<Int64Array>()) };
    let groups: Vec<u32> = (0..50_000).map(|at| at % 2).collect();
    all.update(&change(column(0..50_000), None), &groups, 2).unwrap();
    let _ = all.take_entries(false).unwrap();
    let full = all.bytes();
    let weights = Some(vec![-1; 49_900]);
    all.update(&change(column(0..49_900), weights), &groups[..49_900], 2).unwrap();
    let _ = all.take_entries(false).unwrap();
    assert!(all.bytes() * 10 < full, "{} of {full} bytes", all.bytes());
    assert_eq!(numbers(&mut all, 0), [Some(50), Some(50)]);
    let partial = all.partial(Groups::First(2)).unwrap();
    assert_eq!(partial.as_list::<i32>().value_length(1), 50);
}
