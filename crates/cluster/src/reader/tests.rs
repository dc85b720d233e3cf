use arrow::array::{ArrayRef, Int64Array, RecordBatch};

use super::*;

/// Would fail if a slowed source put the halves of an update into two epochs, or cut nowhere.
#[test]
fn halves_of_an_update_stay_together() {
    let weights = vec![1, -1, 1, 1, -1];
    let rows: ArrayRef = Arc::new(Int64Array::from(vec![0; weights.len()]));
    let rows = RecordBatch::try_from_iter([("n", rows)]).unwrap();
    let change = Change::weighted(rows.clone(), weights.into()).unwrap();
    let cuts: Vec<usize> = (1..=5).map(|to| whole(&change, to)).collect();
    assert_eq!(cuts, [1, 3, 3, 4, 5]);
    assert_eq!(whole(&Change::append(rows), 2), 2);
}

/// Would fail if a throttled source that stopped within a batch lost or doubled rows of it.
#[test]
fn offsets_within_a_batch_name_the_rows_to_skip() {
    let base = Some(Offset("{\"byte\":7}".to_owned()));
    assert_eq!(unpack(Some(pack(&base, 12))), (12, base));
    assert_eq!(unpack(Some(pack(&None, 3))), (3, None));
    let plain = Some(Offset("70".to_owned()));
    assert_eq!(unpack(plain.clone()), (0, plain));
    assert_eq!(unpack(None), (0, None));
}
