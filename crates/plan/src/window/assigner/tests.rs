use arrow::array::{AsArray, Int64Array};
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use thalweg_types::ErrorKind;

use super::*;

/// Would fail if a row were lost or stood beside another one's window, or a wrong window passed.
#[test]
fn each_row_stands_beside_each_of_its_windows() {
    let mut assigned = Assigned::default();
    assigned.add(0, &[(10, 20), (15, 30)]).unwrap();
    assigned.add(1, &[]).unwrap();
    assigned.add(2, &[(-5, 0)]).unwrap();
    let error = assigned.add(3, &[(0, 1), (7, 7)]).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Data, "a window from 7 to 7 ms has no room")
    );
    let column: ArrayRef = Arc::new(Int64Array::from(vec![100, 101, 102, 103]));
    let columns = assigned.columns(&[column]).unwrap();
    assert_eq!(columns[0].as_primitive::<Int64Type>().values(), &[100, 100, 101, 102]);
    let times = |at: usize| -> Vec<Option<i64>> {
        columns[at].as_primitive::<TimestampMillisecondType>().iter().collect()
    };
    assert_eq!(times(1), [Some(10), Some(15), None, Some(-5)]);
    assert_eq!(times(2), [Some(20), Some(30), None, Some(0)]);
    assert_eq!(columns.len(), 3);
}
