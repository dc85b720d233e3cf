use datafusion::arrow::array::TimestampMillisecondArray;
use datafusion::arrow::datatypes::{Field, Schema, TimeUnit};
use thalweg_types::{Epoch, EventTime};

use super::*;

const MOMENT: Moment = Moment { epoch: Epoch(1), clock: EventTime(0), watermark: EventTime::MIN };

fn times(values: Vec<Option<i64>>, columns: usize) -> (SchemaRef, RecordBatch) {
    let kind = DataType::Timestamp(TimeUnit::Millisecond, None);
    let fields: Vec<Field> =
        (0..columns).map(|n| Field::new(format!("t{n}"), kind.clone(), true)).collect();
    let column: ArrayRef = Arc::new(TimestampMillisecondArray::from(values));
    let schema = Arc::new(Schema::new(fields));
    let first = Arc::new(schema.project(&[0]).unwrap());
    (schema, RecordBatch::try_new(first, vec![column]).unwrap())
}

/// Would fail if the shortcut for neighbours in one slice gave another slice than the formula,
/// or a time at the end of all times overflowed.
#[test]
fn slices_are_those_of_the_formula() {
    let (size, slide, offset) = (60, 20, 7);
    let assigners = [
        Assigner::Tumble { size, offset },
        Assigner::Hop { size, slide, offset },
        Assigner::Cumulate { size, step: slide, offset },
    ];
    for assigner in assigners {
        let values = [0, 1, -1, 6, 7, 8, 26, 27, 66, 67, -13, -14, 5, 1_000_003];
        let column = Int64Array::from(values.to_vec());
        let expected: Vec<i64> = values.iter().map(|time| assigner.slice_start(*time)).collect();
        assert_eq!(slice_starts(&column, assigner).values(), expected.as_slice(), "{assigner:?}");
        let ends = Int64Array::from(vec![Some(i64::MIN), Some(i64::MAX), None]);
        assert_eq!(slice_starts(&ends, assigner).null_count(), 1);
    }
}

/// Would fail if an expansion held all of its rows at once, or lost one.
#[test]
fn an_expansion_comes_in_pieces() {
    let assigner = Assigner::Hop { size: 50_000, slide: 1, offset: 0 };
    let (schema, rows) = times(vec![Some(5), None, Some(7), Some(8)], 1);
    let (columns, count) = ([Some(0), None, None], 3 * 50_000 + 1);
    let expand = ExpandWindows { columns, assigner, zone: None, schema };
    let mut out = Vec::new();
    expand.apply(&Change::append(rows), &MOMENT, &mut out).unwrap();
    assert!(out.len() == 2 && out.iter().all(|change| change.len() <= EXPANDED_MAX + 50_000));
    assert_eq!(out.iter().map(Change::len).sum::<usize>(), count);
    let nulls = out.iter().map(|change| change.rows.column(0).null_count());
    assert_eq!(nulls.sum::<usize>(), 1);
}

/// Would fail if a session did not begin as the row's time and end a gap later.
#[test]
fn a_session_begins_as_one_row() {
    let (schema, rows) = times(vec![Some(5), None], 4);
    let assign =
        AssignWindow { time: 0, assigner: Assigner::Session { gap: 10 }, zone: None, schema };
    let mut out = Vec::new();
    assign.apply(&Change::append(rows), &MOMENT, &mut out).unwrap();
    let value = |column: usize| {
        let column = whole(out[0].rows.column(column)).unwrap();
        column.iter().collect::<Vec<_>>()
    };
    assert_eq!([value(1), value(2), value(3)], [5, 15, 14].map(|time| vec![Some(time), None]));
}
