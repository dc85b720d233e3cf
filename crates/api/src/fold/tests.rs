use arrow::array::{BooleanArray, Int64Array};

use super::*;
use crate::value::column;

/// Returns a fold that notes the order of what it saw.
fn noted(merge: Option<Arc<Merge<String>>>) -> Box<dyn Accumulator> {
    let step =
        Arc::new(|before: Option<String>, n: i64| before.unwrap_or_default() + &n.to_string());
    let fold: Fold<i64, String> = Fold { name: "noted", empty: None, step, merge };
    fold.accumulator().unwrap()
}

fn read(column: &ArrayRef) -> Vec<Option<String>> {
    let reader: <Option<String> as Value>::Reader =
        Reader::<Option<String>>::open(column, None).unwrap();
    (0..column.len()).map(|row| reader.get(row)).collect()
}

fn shown(accumulator: &mut dyn Accumulator, groups: &[u32]) -> Vec<Option<String>> {
    read(&accumulator.evaluate(Groups::At(groups)).unwrap())
}

fn update(accumulator: &mut dyn Accumulator, groups: &[u32], values: &[i64]) -> Result<()> {
    let arguments = [column(values.iter())];
    let total = 3;
    accumulator.update(Rows { groups, arguments: &arguments, filter: None, weights: None, total })
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn rows_come_to_their_group_in_order() {
    let mut noted = noted(None);
    update(noted.as_mut(), &[0, 2, 0], &[1, 2, 3]).unwrap();
    update(noted.as_mut(), &[2], &[4]).unwrap();
    assert_eq!(shown(noted.as_mut(), &[2, 1, 0]), [text("24"), None, text("13")]);
}

#[test]
fn weights_and_filters_count() {
    let mut noted = noted(None);
    let (arguments, filter) =
        ([column([1_i64, 2, 3].iter())], BooleanArray::from(vec![true, false, true]));
    let weights = Int64Array::from(vec![2, 1, 1]);
    let rows = Rows {
        groups: &[0, 0, 0],
        arguments: &arguments,
        filter: Some(&filter),
        weights: Some(&weights),
        total: 1,
    };
    noted.update(rows).unwrap();
    assert_eq!(shown(noted.as_mut(), &[0]), [text("113")]);
    let taken = Int64Array::from(vec![-1, 1, 1]);
    let error = noted.update(Rows { weights: Some(&taken), ..rows }).unwrap_err();
    assert_eq!(error.message(), "a row was taken back from noted");
}

/// Would fail if a restored group forgot what it had, or two groups became one without a rule.
#[test]
fn what_is_accumulated_is_saved_and_merged() {
    let mut before = noted(None);
    update(before.as_mut(), &[0, 2], &[1, 2]).unwrap();
    let saved = before.partial(Groups::At(&[0, 1, 2])).unwrap();
    let mut after = noted(None);
    after.merge(&[2, 0, 1], &saved, 3).unwrap();
    assert_eq!(shown(after.as_mut(), &[0, 1, 2]), [None, text("2"), text("1")]);
    let error = after.merge(&[2, 0, 1], &saved, 3).unwrap_err();
    assert_eq!(error.message(), "two of noted were to become one");
    let mut merging = noted(Some(Arc::new(|one: String, other: String| one + "+" + &other)));
    merging.merge(&[0, 1, 0], &saved, 2).unwrap();
    assert_eq!(shown(merging.as_mut(), &[0, 1]), [text("1+2"), None]);
}
