use datafusion::arrow::array::{Int64Array, TimestampMicrosecondArray, TimestampSecondArray};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::logical_expr::{ScalarUDF, col, lit, when};

use super::*;

fn batch(column: ArrayRef) -> (RecordBatch, DFSchema) {
    let schema = Schema::new(vec![Field::new("x", column.data_type().clone(), true)]);
    let planned = DFSchema::try_from(schema.clone()).unwrap();
    (RecordBatch::try_new(Arc::new(schema), vec![column]).unwrap(), planned)
}

/// Would fail if a watermark were taken in the unit of its column, or a NULL for a time.
#[test]
fn watermarks_are_the_greatest_time_in_any_unit() {
    let check = |column: ArrayRef, expected: Option<i64>| {
        let (rows, schema) = batch(column);
        let watermark = GreatestWatermark::new(Expression::new(&col("x"), &schema).unwrap());
        let found = watermark.unwrap().watermark(&rows).unwrap();
        assert_eq!(found, expected.map(EventTime));
    };
    let seconds = TimestampSecondArray::from(vec![Some(3), None, Some(7), Some(-9)]);
    check(Arc::new(seconds), Some(7_000_000_000));
    check(Arc::new(TimestampMicrosecondArray::from(vec![5, 4])), Some(5_000));
    check(Arc::new(TimestampMicrosecondArray::from(vec![None::<i64>, None])), None);
    check(Arc::new(TimestampMicrosecondArray::from(Vec::<i64>::new())), None);
}

/// Would fail if a watermark that is computed of one row were another than that of all rows, or the
/// row with the greatest time were taken where another one has a later watermark.
#[test]
fn a_watermark_behind_its_column_needs_one_row() {
    let times =
        TimestampSecondArray::from(vec![Some(3), None, Some(70), Some(-9), Some(70), Some(8)]);
    let (rows, schema) = batch(Arc::new(times));
    let interval = |months, nanos| lit(ScalarValue::new_interval_mdn(months, 0, nanos));
    let (even, odd) = (interval(0, 2_000_000_000), interval(0, 90_000_000_000));
    let mut bent =
        when(col("x").lt(lit(ScalarValue::TimestampSecond(Some(50), None))), col("x") + odd);
    let bent = bent.otherwise(col("x") - even).unwrap();
    let cases = [
        (col("x") - interval(0, 4_000_000_000), true),
        (col("x") + interval(0, 1_000_000_000), true),
        (col("x") - interval(1, 0), false),
        (bent, false),
    ];
    for (expr, is_risen) in cases {
        let expression = Expression::new(&expr, &schema).unwrap();
        let mut watermark = GreatestWatermark::new(expression).unwrap();
        assert_eq!(watermark.risen.is_some(), is_risen, "{expr}");
        let found = watermark.watermark(&rows).unwrap();
        watermark.risen = None;
        assert_eq!(found, watermark.watermark(&rows).unwrap(), "{expr}");
        assert!(found.is_some());
    }
}

/// Would fail if event time came from the wall clock.
#[test]
fn a_watermark_does_not_read_the_clock() {
    let (_, schema) = batch(Arc::new(Int64Array::from(vec![1])));
    let proctime = crate::functions::all().into_iter().find(|f| f.name() == "proctime").unwrap();
    let call = ScalarUDF::call(&proctime, vec![]);
    let error = GreatestWatermark::new(Expression::new(&call, &schema).unwrap()).unwrap_err();
    assert!(error.message().contains("reads the clock"), "{error:?}");
}

/// Would fail if a value that does not fit its column became NULL.
#[test]
fn what_does_not_fit_is_an_error() {
    let (rows, planned) = batch(Arc::new(Int64Array::from(vec![1, 300])));
    let schema = Arc::new(Schema::new(vec![Field::new("x", DataType::Int8, true)]));
    let projection = Projection::new(vec![Expression::new(&col("x"), &planned).unwrap()], schema);
    let moment =
        Moment { epoch: thalweg_types::Epoch(1), clock: EventTime(0), watermark: EventTime::MIN };
    let error = projection.apply(&Change::append(rows), &moment, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), thalweg_types::ErrorKind::Data);
}

/// Would fail if a condition that is NULL kept its row.
#[test]
fn a_filter_keeps_what_is_true() {
    let (rows, planned) = batch(Arc::new(Int64Array::from(vec![Some(1), None, Some(5), Some(9)])));
    let condition = Expression::new(&col("x").gt(lit(4_i64)), &planned).unwrap();
    let filter = Filter::new(condition, rows.schema());
    let weights = Int64Array::from(vec![1, 1, -1, 2]);
    let moment =
        Moment { epoch: thalweg_types::Epoch(1), clock: EventTime(0), watermark: EventTime::MIN };
    let mut out = Vec::new();
    filter.apply(&Change::weighted(rows, weights).unwrap(), &moment, &mut out).unwrap();
    let [kept] = out.as_slice() else { panic!("one batch") };
    assert_eq!(kept.rows.column(0).as_primitive::<Int64Type>().values(), &[5, 9]);
    assert_eq!(kept.weights.as_ref().unwrap().values(), &[-1, 2]);
}

/// Would fail if rows of an epoch were judged by the watermark that they raised, or NULL were a time.
#[test]
fn the_watermark_is_what_the_moment_says() {
    let (rows, planned) = batch(Arc::new(TimestampMicrosecondArray::from(vec![5, 4])));
    let functions = crate::functions::all();
    let function = functions.into_iter().find(|f| f.name() == "current_watermark").unwrap();
    let expression = Expression::new(&function.call(vec![col("x")]), &planned).unwrap();
    let at = |watermark| {
        let moment = Moment { epoch: thalweg_types::Epoch(1), clock: EventTime(0), watermark };
        let times = expression.evaluate(&rows, &moment).unwrap();
        fitted(times, &DataType::Int64)
            .unwrap()
            .as_primitive::<Int64Type>()
            .iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(at(EventTime::MIN), [None, None]);
    assert_eq!(at(EventTime(7_000_000)), [Some(7), Some(7)]);
}
