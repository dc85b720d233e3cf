use arrow::array::{AsArray, RecordBatch};
use arrow::compute::kernels::numeric::mul;
use arrow::datatypes::{FieldRef, Int64Type};
use thalweg_plan::function::{Accumulator, AggregateFunction};
use thalweg_types::ErrorKind;

use super::*;
use crate::operators::testing::{calls, row_schema};

/// A sum that once was kept in other units, in a column `n, old`.
#[derive(Clone, Debug)]
struct Sum(Arc<dyn AggregateFunction>);

impl AggregateFunction for Sum {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn result(&self) -> FieldRef {
        self.0.result()
    }

    fn state(&self) -> Vec<FieldRef> {
        self.0.state()
    }

    fn is_retractable(&self) -> bool {
        self.0.is_retractable()
    }

    fn migrated(&self, saved: &Field, column: &ArrayRef) -> Result<Option<ArrayRef>> {
        let hundred = Int64Array::new_scalar(100);
        match saved.name().ends_with("old") {
            true => Ok(Some(mul(column, &hundred)?)),
            false => Ok(None),
        }
    }

    fn accumulator(&self) -> Result<Box<dyn Accumulator>> {
        self.0.accumulator()
    }
}

/// Would fail if the column of another call were migrated, or rows of another operator were taken.
#[test]
fn what_a_call_saved_in_an_older_version_is_migrated_and_nothing_else() {
    let plain = calls().0.remove(0);
    let migrating =
        AggregateCall { function: Arc::new(Sum(plain.function.clone())), ..plain.clone() };
    let distinct = AggregateCall { distinct: true, ..migrating.clone() };
    let node = AggregateNode {
        window: None,
        keys: vec![0],
        calls: vec![distinct, plain, migrating],
        stage: Stage::Whole,
        divert_late: false,
        retracts: false,
        ttl: None,
        panes: None,
    };
    let blueprint = Blueprint::new(&node, &row_schema()).unwrap();
    let saved = blueprint.saved_schema(&[]);
    let renamed = |from: &SchemaRef, column: usize| {
        let mut fields = from.fields().to_vec();
        fields[column] = Arc::new(fields[column].as_ref().clone().with_name("1 n, old"));
        Arc::new(Schema::new(fields))
    };
    let rows = |schema: &SchemaRef| {
        let columns = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Int64 => Arc::new(Int64Array::from(vec![Some(7), None])) as ArrayRef,
            other => arrow::array::new_null_array(other, 2),
        });
        let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        RecordBatch::try_new(schema, columns.collect()).unwrap()
    };
    let values = |rows: &RecordBatch, column: usize| {
        rows.column(column).as_primitive::<Int64Type>().iter().collect::<Vec<_>>()
    };
    // Of the distinct call nothing stands there.
    let restored = blueprint.restored(rows(&renamed(&saved, 2)), &saved, 1).unwrap();
    assert_eq!(
        (values(&restored, 1), values(&restored, 2)),
        (vec![Some(7), None], vec![Some(700), None])
    );
    let restored = blueprint.restored(rows(&renamed(&saved, 1)), &saved, 1).unwrap();
    assert_eq!(
        (values(&restored, 1), values(&restored, 2)),
        (vec![Some(7), None], vec![Some(7), None])
    );
    let whole = blueprint.state_schema(&[]);
    let restored = blueprint.restored(rows(&renamed(&whole, 2)), &whole, 1).unwrap();
    assert_eq!(
        (values(&restored, 1), values(&restored, 2)),
        (vec![Some(7), None], vec![Some(700), None])
    );
    let error = blueprint.restored(rows(&saved), &whole, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
}
