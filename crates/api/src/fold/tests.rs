use arrow::array::{BooleanArray, Int64Array};
use arrow::datatypes::DataType;
use thalweg_types::ErrorKind;

use super::*;
use crate::aggregate::{Accumulated, fold};
use crate::record::Record;
use crate::value::column;

#[derive(Clone, Record)]
struct Row {
    n: i64,
}

/// Returns a fold that notes the order of what it saw.
fn noted(merge: Option<Arc<Merge<String>>>) -> Box<dyn Accumulator> {
    let step =
        Arc::new(|before: Option<String>, n: i64| before.unwrap_or_default() + &n.to_string());
    let versions = Versions::default();
    let fold: Fold<i64, String> =
        Fold { name: "noted", versions, empty: None, step, undo: None, merge };
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

/// Would fail if what version 1 saved were not found any more: the name of its column is a stored format.
#[test]
fn what_an_earlier_version_saved_becomes_what_is_accumulated_today() {
    let of = |accumulated: Accumulated<String>| {
        fold(accumulated, |text: String, _: Row| text).function.unwrap()
    };
    let saved = |version: u32, name: &str| {
        let function = of(Accumulated::new(String::new()).version(version));
        assert_eq!(function.state()[0].name(), name);
        Field::new(format!("0 {name}"), DataType::Utf8View, true)
    };
    let (first, second) = (saved(1, "accumulated"), saved(2, "accumulated, version 2"));
    let numbers = column([1_i64, 2].iter());
    let today = Accumulated::new(String::new())
        .version(3)
        .migrate(1, |n: i64| format!("{n} of 1"))
        .migrate(2, |n: i64| format!("{n} of 2"));
    let today = of(today);
    let migrated = |field: &Field| today.migrated(field, &numbers).unwrap().map(|new| read(&new));
    assert_eq!(migrated(&first), Some(vec![text("1 of 1"), text("2 of 1")]));
    assert_eq!(migrated(&second), Some(vec![text("1 of 2"), text("2 of 2")]));
    let third = saved(3, "accumulated, version 3");
    let texts = column([String::new()].iter());
    assert!(today.migrated(&third, &texts).unwrap().is_none());
    let error = today.migrated(&third, &numbers).unwrap_err();
    assert_eq!(error.message(), "what the fold accumulated is Int64, not Utf8View");
    let error = |function: Arc<dyn AggregateFunction>, field: &Field| {
        let error = function.migrated(field, &column([true].iter())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::State);
        error.message().to_owned()
    };
    let older = of(Accumulated::new(String::new()));
    let said = "what the fold accumulated was saved in version 2, and the program has version 1";
    assert_eq!(error(older, &second), said);
    assert_eq!(error(today, &second), "what was accumulated is Boolean, not Int64");
}
