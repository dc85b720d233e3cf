//! Every pair meets in one bucket, and buckets are spread evenly.

use datafusion::arrow::array::{AsArray, StringArray};
use datafusion::arrow::datatypes::Int64Type;
use thalweg_types::{Epoch, EventTime, KeyGroups};

use super::*;

const MOMENT: Moment = Moment { epoch: Epoch(1), clock: EventTime::MIN, watermark: EventTime::MIN };

fn rows(n: i64) -> Change {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..n));
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..n).map(|n| format!("t{n}"))));
    Change::append(RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap())
}

fn buckets_of(transform: &dyn Transform, input: &Change) -> Vec<i64> {
    let mut out = Vec::new();
    transform.apply(input, &MOMENT, &mut out).unwrap();
    assert_eq!(out.len(), 1);
    out[0].rows.columns().last().unwrap().as_primitive::<Int64Type>().values().to_vec()
}

/// Would fail if some worker got more buckets than another, or none.
#[test]
fn buckets_are_shared_evenly_by_any_number_of_workers_that_divides_them() {
    let found: ArrayRef = Arc::new(Int64Array::from(buckets().unwrap()));
    let mut hashes = Vec::new();
    hash::hash_rows(&[found], BUCKETS, &mut hashes).unwrap();
    for workers in [1, 2, 4, 8, 16] {
        let groups = KeyGroups { count: KeyGroups::DEFAULT_COUNT, workers };
        let mut of_worker = vec![0; workers];
        hashes.iter().for_each(|h| of_worker[groups.owner(groups.group_of(*h)).0] += 1);
        assert_eq!(of_worker, vec![BUCKETS / workers; workers]);
    }
}

/// Would fail if a pair met twice or not at all, or a row changed its bucket.
#[test]
fn a_row_is_in_one_bucket_and_its_copies_are_in_all() {
    let input = rows(1000);
    let deal = Deal::new(&input.rows.schema(), "left").unwrap();
    let dealt = buckets_of(&deal, &input);
    assert_eq!(dealt, buckets_of(&deal, &input));
    let mut all = buckets().unwrap();
    assert!(all.iter().all(|bucket| dealt.iter().filter(|b| *b == bucket).count() > 20));
    let copies = Copies::new(&input.rows.schema(), "right").unwrap();
    let mut copied = buckets_of(&copies, &rows(1));
    all.sort_unstable();
    copied.sort_unstable();
    assert_eq!(copied, all);
}

/// Would fail if a side were copied that puts rows out by themselves: each copy would.
#[test]
fn only_sides_are_copied_whose_rows_come_out_in_pairs() {
    let (stream, table) = (Size::default(), Size { is_single: false, is_bounded: true });
    let copied = |kind| (copied_side(kind, [stream, table]), copied_side(kind, [table, stream]));
    assert_eq!(copied(JoinKind::Inner), (Some(1), Some(0)));
    assert_eq!(copied(JoinKind::Left), (Some(1), None));
    assert_eq!(copied(JoinKind::Right), (None, Some(0)));
    assert_eq!(copied(JoinKind::Full), (None, None));
    assert_eq!(copied(JoinKind::Semi), (Some(1), None));
    assert_eq!(copied(JoinKind::Anti), (Some(1), None));
    assert_eq!(copied_side(JoinKind::Inner, [stream, stream]), None);
    assert_eq!(copied_side(JoinKind::Inner, [table, table]), None);
    let one = Size { is_single: true, is_bounded: false };
    assert_eq!(copied_side(JoinKind::Anti, [stream, one]), Some(1));
}
