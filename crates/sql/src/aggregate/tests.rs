use datafusion::arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
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

/// Runs an aggregate over two groups, in pieces and with partial states merged; returns its
/// values as text.
fn values_of(aggregate: Expr, rows: &RecordBatch) -> Vec<String> {
    let Expr::AggregateFunction(expr) = aggregate else { panic!("no aggregate") };
    let index = |expr: &Expr| match expr {
        Expr::Column(column) => rows.schema().index_of(&column.name).unwrap(),
        _ => 0,
    };
    let order = expr.params.order_by.iter().map(|key| index(&key.expr));
    let columns: Vec<usize> = expr.params.args.iter().map(index).chain(order).collect();
    let function = function(&expr, &columns, &rows.schema()).unwrap();
    let groups: Vec<u32> = (0..rows.num_rows() as u32).map(|row| row % 2).collect();
    let add = |accumulator: &mut Box<dyn Accumulator>, from: usize, to: usize| {
        let column = |c: &usize| rows.column(*c).slice(from, to - from);
        let arguments: Vec<ArrayRef> = columns.iter().map(column).collect();
        let (filter, weights) = (None, None);
        let groups = &groups[from..to];
        accumulator
            .update(Rows { groups, arguments: &arguments, filter, weights, total: 3 })
            .unwrap();
        // Reading in between must change nothing.
        accumulator.evaluate(Groups::First(3)).unwrap();
        accumulator.partial(Groups::At(&[2, 0])).unwrap();
    };
    let (mut whole, mut left) = (function.accumulator().unwrap(), function.accumulator().unwrap());
    let mut right = function.accumulator().unwrap();
    let (half, end) = (rows.num_rows() / 2, rows.num_rows());
    (0..end).for_each(|row| add(&mut whole, row, row + 1));
    add(&mut left, 0, half);
    add(&mut right, half, end);
    let states = right.partial(Groups::First(3)).unwrap();
    let fields = function.state();
    assert!(
        states.iter().zip(&fields).all(|(s, f)| s.data_type() == f.data_type()),
        "{}",
        function.name()
    );
    left.merge(&[0, 1, 2], &states, 3).unwrap();
    let text = |values: ArrayRef| -> Vec<String> {
        let show = |row| datafusion::arrow::util::display::array_value_to_string(&values, row);
        // Merged floating-point sums differ in the last digits.
        let round = |text: String| match text.parse::<f64>() {
            Ok(number) if text.contains('.') => format!("{:?}", (number * 1e9).round() / 1e9),
            _ => text,
        };
        (0..3).map(|row| round(show(row).unwrap())).collect()
    };
    let expected = text(whole.evaluate(Groups::First(3)).unwrap());
    assert_eq!(text(left.evaluate(Groups::First(3)).unwrap()), expected, "{}", function.name());
    assert!(whole.bytes() > 0);
    whole.clear();
    assert_eq!(
        text(whole.evaluate(Groups::First(3)).unwrap())[0],
        expected[2],
        "{}",
        function.name()
    );
    expected
}

/// Would fail if an aggregate of DataFusion's lost a constant argument, its order or its state.
#[test]
fn wrapped_aggregates_merge_to_the_whole() {
    use datafusion::functions_aggregate::expr_fn::{
        array_agg, bit_xor, bool_and, corr, count_distinct, first_value, last_value, median,
        nth_value, stddev, sum_distinct,
    };
    use datafusion::functions_aggregate::string_agg::string_agg;
    use datafusion::logical_expr::{ExprFunctionExt, col, lit};
    let x: ArrayRef = Arc::new(Int64Array::from(vec![
        Some(3),
        Some(1),
        Some(2),
        Some(1),
        None,
        Some(4),
        Some(2),
        Some(4),
    ]));
    let f = datafusion::arrow::compute::cast(&x, &DataType::Float64).unwrap();
    let s: ArrayRef = Arc::new(StringArray::from(vec!["c", "a", "b", "d", "e", "f", "g", "h"]));
    let b = datafusion::arrow::compute::cast(&x, &DataType::Boolean).unwrap();
    let rows = RecordBatch::try_from_iter([("x", x), ("f", f), ("s", s), ("b", b)]).unwrap();
    let check = |aggregate: Expr, expected: [&str; 3]| {
        assert_eq!(values_of(aggregate, &rows), expected);
    };
    check(count_distinct(col("x")), ["2", "2", "0"]);
    check(sum_distinct(col("x")), ["5", "5", ""]);
    check(median(col("x")), ["2", "2", ""]);
    check(bit_xor(col("x")), ["3", "0", ""]);
    check(bool_and(col("b")), ["true", "true", ""]);
    check(string_agg(col("s"), lit("-")), ["c-b-e-g", "a-d-f-h", ""]);
    let ordered =
        |aggregate: Expr| aggregate.order_by(vec![col("s").sort(false, false)]).build().unwrap();
    check(ordered(array_agg(col("x"))), ["[2, , 3, 2]", "[4, 4, 1, 1]", ""]);
    check(ordered(string_agg(col("s"), lit("-"))), ["g-e-c-b", "h-f-d-a", ""]);
    let second = nth_value(col("s"), 2, vec![col("s").sort(false, false)]);
    check(second, ["e", "f", ""]);
    check(nth_value(col("s"), -4, vec![col("s").sort(true, false)]), ["b", "a", ""]);
    check(nth_value(col("s"), 5, vec![col("s").sort(true, false)]), ["", "", ""]);
    check(first_value(col("x"), vec![col("s").sort(false, false)]), ["2", "4", ""]);
    check(last_value(col("x"), vec![]), ["2", "4", ""]);
    let kept = first_value(col("x"), vec![]).null_treatment(NullTreatment::RespectNulls);
    check(kept.build().unwrap(), ["3", "1", ""]);
    assert_eq!(values_of(stddev(col("f")), &rows)[2], "");
    assert_eq!(values_of(corr(col("f"), col("f")), &rows)[1], "1.0");
}
