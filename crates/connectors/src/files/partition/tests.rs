//! Names of folders, there and back.

use arrow::array::{Date32Array, Int32Array, StringViewArray};
use arrow::datatypes::DataType;
use thalweg_plan::connector::Options;

use super::*;

fn partitions(columns: Vec<(&str, ArrayRef)>, options: &[(&str, &str)]) -> (Partitions, Change) {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let rows = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let mut table = TableSpec::new("t", rows.schema(), Options(options.collect()));
    table.partitions = vec!["day".to_owned(), "who is?".to_owned()];
    (Partitions::of(&table).unwrap(), Change::append(rows))
}

fn columns() -> Vec<(&'static str, ArrayRef)> {
    let who = ["a/b=c%d", "ü ", "", "a/b=c%d", "__HIVE__"];
    let who = who.map(|who| Some(who).filter(|who| *who != "__HIVE__"));
    vec![
        ("who is?", Arc::new(StringViewArray::from_iter(who)) as ArrayRef),
        ("n", Arc::new(Int32Array::from(vec![1, 2, 3, 4, 5]))),
        ("day", Arc::new(Date32Array::from(vec![Some(0), Some(1), None, Some(0), None]))),
    ]
}

/// Would fail if a value were lost in the name of its folder, or rows of a folder torn apart.
#[test]
fn values_come_back_from_the_names_of_folders() {
    let (partitions, change) = partitions(columns(), &[]);
    let apart = partitions.apart(&change).unwrap();
    let found: Vec<(&str, usize)> =
        apart.iter().map(|(folder, change)| (folder.as_str(), change.len())).collect();
    let none = "__DEFAULT_PARTITION__";
    let empty = format!("day={none}/who is%3F={none}/");
    let wanted = [
        ("day=1970-01-01/who is%3F=a%2Fb%3Dc%25d/", 2),
        ("day=1970-01-02/who is%3F=ü /", 1),
        (empty.as_str(), 2),
    ];
    assert_eq!(found, wanted);
    for (folder, rows) in &apart {
        assert_eq!(rows.schema().fields().len(), 1, "partition columns stand in no file");
        let values = partitions.values(&format!("s3://b/day=no/{folder}part-1")).unwrap();
        let again = Change::append(
            RecordBatch::try_new(
                change.schema(),
                vec![
                    values.column(1).clone(),
                    Arc::new(Int32Array::from(vec![0])),
                    values.column(0).clone(),
                ],
            )
            .unwrap(),
        );
        assert_eq!(partitions.apart(&again).unwrap()[0].0, *folder);
    }
}

#[test]
fn the_folder_of_null_has_the_name_that_the_table_says() {
    let (partitions, change) = partitions(columns(), &[(DEFAULT_NAME, "none")]);
    let apart = partitions.apart(&change).unwrap();
    assert_eq!(apart[2].0, "day=none/who is%3F=none/");
    let values = partitions.values(&apart[2].0).unwrap();
    assert!(values.columns().iter().all(|column| column.is_null(0)));
}

/// Would fail if a folder that is no partition were taken for one.
#[test]
fn a_name_that_is_no_value_is_an_error() {
    let (partitions, _) = partitions(columns(), &[]);
    for (path, wanted) in [
        ("day=monday/who is%3F=a/f", "expected a DATE"),
        ("day=1970-01-01/f", "is in no folder `who is%3F=…`"),
    ] {
        let error = partitions.values(path).unwrap_err();
        assert!(error.message().contains(wanted), "{error}");
    }
    let schema = partitions.schema.clone();
    assert_eq!(schema.field(0).data_type(), &DataType::Date32);
}

#[test]
fn a_percent_sign_without_digits_stands_for_itself() {
    for (name, wanted) in [("100%", "100%"), ("%4", "%4"), ("%zz%41", "%zzA"), ("%c3%BC", "Ã¼")] {
        assert_eq!(unescape(name), wanted);
    }
}
