use datafusion::arrow::array::{AsArray, StringArray};
use datafusion::arrow::datatypes::{Field, Schema, UInt64Type};
use datafusion::functions_aggregate::approx_distinct::approx_distinct_udaf;
use datafusion::logical_expr::expr::AggregateFunctionParams;

use super::*;

/// Would fail if a wrapped aggregate were consumed by reading it, or its parts did not merge to
/// the whole: the boundary that every other aggregate of DataFusion's crosses.
#[test]
fn approx_distinct_is_read_without_consuming_and_merges() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("x", DataType::Utf8, true)]));
    let params = AggregateFunctionParams {
        args: vec![datafusion::logical_expr::col("x")],
        distinct: false,
        filter: None,
        order_by: vec![],
        null_treatment: None,
    };
    let expr = AggregateExpr { func: approx_distinct_udaf(), params };
    let function = function(&expr, &[0], &schema).unwrap();
    let add = |accumulator: &mut Box<dyn Accumulator>, range: std::ops::Range<usize>| {
        let words: ArrayRef =
            Arc::new(StringArray::from_iter_values(range.clone().map(|n| format!("w{n}"))));
        let groups: Vec<u32> = range.map(|n| n as u32 % 2).collect();
        let (filter, weights) = (None, None);
        let arguments = &[words];
        accumulator.update(Rows { groups: &groups, arguments, filter, weights, total: 2 }).unwrap();
    };
    let (mut whole, mut left) = (function.accumulator().unwrap(), function.accumulator().unwrap());
    let mut right = function.accumulator().unwrap();
    add(&mut whole, 0..1000);
    add(&mut left, 0..600);
    add(&mut right, 400..1000);
    let states = right.partial(Groups::At(&[1, 0])).unwrap();
    left.merge(&[1, 0], &states, 2).unwrap();
    let expected = whole.evaluate(Groups::First(2)).unwrap();
    assert_eq!(&left.evaluate(Groups::First(2)).unwrap(), &expected);
    assert_eq!(&left.evaluate(Groups::First(2)).unwrap(), &expected);
    let counts = expected.as_primitive::<UInt64Type>();
    assert!(counts.values().iter().all(|count| (470..=530).contains(count)), "{counts:?}");
}
