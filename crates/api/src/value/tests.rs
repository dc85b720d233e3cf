use super::*;

fn there_and_back<V: Value + PartialEq>(values: &[V]) {
    let column = V::column(values.iter().cloned().map(Some));
    assert_eq!(column.data_type(), &V::data_type());
    assert_eq!(V::values(&column).unwrap(), values);
    let optional: Vec<Option<V>> =
        [None].into_iter().chain(values.iter().cloned().map(Some)).chain([None]).collect();
    let column = Option::<V>::column(optional.iter().cloned().map(Some));
    assert_eq!(Option::<V>::values(&column).unwrap(), optional);
    assert!(V::values(&column).unwrap_err().message().contains("NULL"));
}

#[test]
fn values_come_back_from_their_columns() {
    there_and_back(&[1_i32, i32::MIN]);
    there_and_back(&[i64::MAX, -1]);
    there_and_back(&[0.5_f64, -0.0, f64::INFINITY]);
    there_and_back(&[true, false]);
    there_and_back(&["".to_owned(), "a text of more than twelve bytes".to_owned()]);
    there_and_back(&[Timestamp(0), Timestamp(-1)]);
}

#[test]
fn a_key_of_several_values_has_as_many_columns() {
    let columns = Key::columns(vec![(1_i64, "a".to_owned()), (2, "b".to_owned())]);
    assert_eq!(columns.len(), <(i64, String)>::width());
    assert_eq!(String::values(&columns[1]).unwrap(), ["a", "b"]);
}
