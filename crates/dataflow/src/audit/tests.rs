use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};

use super::*;

const SOURCE: NodeId = NodeId(3);

/// Rows of a column each, and their weights.
fn changed(rows: &[(&str, i64)]) -> Change {
    let (names, weights): (Vec<&str>, Vec<i64>) = rows.iter().copied().unzip();
    let column: ArrayRef = Arc::new(StringArray::from(names));
    let rows = RecordBatch::try_from_iter([("name", column)]).unwrap();
    Change::weighted(rows, Int64Array::from(weights)).unwrap()
}

fn auditor(trust: Option<Trust>, premises: &Arc<Premises>) -> Auditor {
    Auditor::new("input 0".to_owned(), trust, premises.clone())
}

/// Shows epochs to an auditor; returns what is wrong, and in which.
fn audit(auditor: &mut Auditor, epochs: &[&[(&str, i64)]]) -> Option<(usize, String)> {
    (1..).zip(epochs).find_map(|(epoch, rows)| {
        let seen = auditor.see(&changed(rows)).and_then(|()| auditor.close());
        seen.err().map(|error| (epoch, error.message().to_owned()))
    })
}

fn below(row: &str, weight: i64) -> String {
    format!("input 0 has a row of weight {weight}: name {row}")
}

/// Would fail if a row could be taken back oftener than it came, at once or epochs later.
#[test]
fn rows_below_nothing_are_told() {
    let found = |epochs| audit(&mut auditor(Some(Trust::default()), &Arc::default()), epochs);
    assert_eq!(found(&[&[("a", 1), ("b", 2)], &[("a", -1), ("b", -1)], &[("b", -1)]]), None);
    assert_eq!(found(&[&[("a", 1)], &[("a", -1), ("a", -1)]]), Some((2, below("a", -1))));
    assert_eq!(found(&[&[("a", 1)], &[("a", -1)], &[("a", -3)]]), Some((3, below("a", -3))));
    assert_eq!(found(&[&[("a", 1)], &[("b", -1)]]), Some((2, below("b", -1))));
}

/// Would fail if it counted in which order the rows of an epoch come.
#[test]
fn an_epoch_is_judged_at_its_close() {
    let mut auditor = auditor(Some(Trust::default()), &Arc::default());
    assert_eq!(audit(&mut auditor, &[&[("a", -1), ("b", 1), ("a", 1)], &[("a", 1)]]), None);
    assert_eq!(audit(&mut auditor, &[&[("a", -1), ("b", -1)]]), None);
    assert!(auditor.weights.is_empty(), "rows that are gone are kept");
}

/// Would fail if rows that are said to stay could be taken back.
#[test]
fn what_is_only_inserted_is_not_taken_back() {
    let mut auditor = auditor(None, &Arc::default());
    let found = audit(&mut auditor, &[&[("a", 1)], &[("b", 1), ("a", -1)]]);
    let message = "input 0 is only inserted into, and gets weight -1: name a".to_owned();
    assert_eq!(found, Some((2, message)));
}

/// Would fail if a changelog that takes back what never came were called a defect of ours, or if it were no
/// longer seen what is none of its.
#[test]
fn strays_from_outside_end_an_audit() {
    let premises = Arc::<Premises>::default();
    let near = Trust { near: [SOURCE].into(), far: BTreeSet::new() };
    let far = Trust { near: BTreeSet::new(), far: [SOURCE].into() };
    let stray: &[&[(&str, i64)]] = &[&[("a", -1)], &[("a", -1)]];
    let found = audit(&mut auditor(Some(far.clone()), &premises), stray);
    assert_eq!(found, Some((1, below("a", -1))), "nothing was known of strays");
    let mut first = auditor(Some(near), &premises);
    assert_eq!(audit(&mut first, stray), None);
    assert!(first.is_over);
    assert_eq!(audit(&mut auditor(Some(far), &premises), stray), None);
    let found = audit(&mut auditor(Some(Trust::default()), &premises), stray);
    assert_eq!(found, Some((1, below("a", -1))));
}

/// Would fail if an audit could take any amount of memory.
#[test]
fn an_audit_of_too_many_rows_ends() {
    let premises = Arc::<Premises>::default();
    let mut auditor = auditor(Some(Trust { near: [SOURCE].into(), ..Trust::default() }), &premises);
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..=ROWS_MAX as i64));
    let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
    auditor.see(&Change::append(rows.slice(0, ROWS_MAX))).unwrap();
    assert!(!auditor.is_over);
    auditor.see(&Change::append(rows.slice(ROWS_MAX, 1))).unwrap();
    assert!(auditor.is_over && auditor.weights.capacity() == 0);
    assert!(!premises.hold(&[SOURCE].into()), "what was not seen is not trusted");
}

/// Would fail if rows of a later epoch were counted in an earlier one, or an epoch without rows
/// let those before it go unseen.
#[test]
fn rows_of_later_epochs_wait() {
    let tap = |rows: &[(u64, &str, i64)]| {
        let mut tap = Tap::new(auditor(Some(Trust::default()), &Arc::default()), Epoch(1));
        for (epoch, row, weight) in rows {
            tap.see(*epoch, &changed(&[(row, *weight)])).unwrap();
        }
        [1, 3, 4, u64::MAX].map(|frontier| tap.advance(frontier).err().map(|(epoch, _)| epoch))
    };
    assert_eq!(tap(&[(2, "a", 1), (3, "a", -1)]), [None; 4]);
    assert_eq!(tap(&[(2, "a", -1), (3, "a", 1)])[..2], [None, Some(2)]);
    assert_eq!(tap(&[(3, "a", 1), (1, "a", -1)])[..2], [None, Some(1)]);
    assert_eq!(tap(&[(1, "a", 1), (9, "a", -2)]), [None, None, None, Some(9)]);
}
