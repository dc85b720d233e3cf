use super::*;
use crate::scalar::{Date, Decimal, Timestamp};
use crate::value::{Key, KeyColumns, column};

fn read<V: Value>(column: &ArrayRef) -> Result<Vec<V>> {
    let reader = V::Reader::open(column, None)?;
    Ok((0..column.len()).map(|row| reader.get(row)).collect())
}

/// Would fail if a value came back as another one, also when it takes the place of others, may be
/// missing, or stands in lists.
fn there_and_back<V: Value + PartialEq + std::fmt::Debug>(values: &[V]) {
    let written = column(values.iter());
    assert_eq!(written.data_type(), &V::data_type());
    assert_eq!(read::<V>(&written).unwrap(), values);
    let reader = V::Reader::open(&written, None).unwrap();
    let mut value = reader.get(values.len() - 1);
    for (row, expected) in values.iter().enumerate() {
        reader.fill(row, &mut value);
        assert_eq!(&value, expected);
    }
    let optional: Vec<Option<V>> =
        [None].into_iter().chain(values.iter().cloned().map(Some)).chain([None]).collect();
    let written = column(optional.iter());
    assert_eq!(read::<Option<V>>(&written).unwrap(), optional);
    assert!(read::<V>(&written).err().unwrap().message().contains("NULL"));
    let lists = [optional.clone(), Vec::new(), optional[..2].to_vec()];
    let written = column(lists.iter());
    assert_eq!(written.data_type(), &Vec::<Option<V>>::data_type());
    assert_eq!(read::<Vec<Option<V>>>(&written).unwrap(), lists);
    assert!(read::<Vec<V>>(&written).is_err());
}

#[test]
fn values_come_back_from_their_columns() {
    there_and_back(&[1_i8, i8::MIN]);
    there_and_back(&[1_i16, i16::MIN]);
    there_and_back(&[1_i32, i32::MIN]);
    there_and_back(&[i64::MAX, -1]);
    there_and_back(&[0.5_f32, f32::MIN]);
    there_and_back(&[0.5_f64, -0.0, f64::INFINITY]);
    there_and_back(&[true, false]);
    there_and_back(&["".to_owned(), "a text of more than twelve bytes".to_owned()]);
    there_and_back(&[vec![0_u8, 255], Vec::new()]);
    there_and_back(&[Timestamp(0), Timestamp(-1)]);
    there_and_back(&[Date(0), Date(-1)]);
    there_and_back(&[Decimal::<38, 3>(i128::from(i64::MAX) * 1000), Decimal(-1)]);
    there_and_back(&[vec![1_i64], Vec::new(), vec![2, 3]]);
}

/// Would fail if what lies below a missing list were asked for: Arrow says nothing of it.
#[test]
fn what_lies_below_a_missing_list_is_not_read() {
    let values = column([Some(1_i64), None, Some(3)].iter());
    let offsets = OffsetBuffer::new(vec![0, 1, 2, 3].into());
    let valid = NullBuffer::from(vec![true, false, true]);
    let lists: ArrayRef = Arc::new(ListArray::new(item::<i64>(), offsets, values, Some(valid)));
    let expected = [Some(vec![1]), None, Some(vec![3])];
    assert_eq!(read::<Option<Vec<i64>>>(&lists).unwrap(), expected);
}

#[test]
fn a_key_of_several_values_has_as_many_columns() {
    let mut keys: <(i64, String) as Key>::Columns = KeyColumns::<(i64, String)>::with_capacity(2);
    keys.push(&(1_i64, "a".to_owned()));
    keys.push(&(2_i64, "b".to_owned()));
    let columns = KeyColumns::<(i64, String)>::finish(&mut keys);
    assert_eq!(columns.len(), <(i64, String)>::fields().len());
    assert_eq!(read::<String>(&columns[1]).unwrap(), ["a", "b"]);
}
