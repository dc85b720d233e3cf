use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type, Schema, TimeUnit};

use super::*;

fn table(columns: &[(&str, DataType)], options: &[(&str, &str)]) -> TableSpec {
    let fields =
        columns.iter().map(|(name, kind)| arrow::datatypes::Field::new(*name, kind.clone(), true));
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let options = options.chain([("connector".to_owned(), "datagen".to_owned())]);
    TableSpec::new(
        "t",
        Arc::new(Schema::new(fields.collect::<Vec<_>>())),
        thalweg_plan::connector::Options(options.collect()),
    )
}

async fn batches(source: &DatagenSource, split: &Split, from: Option<&Offset>) -> Vec<SourceBatch> {
    let mut reader = source.reader(split, from).await.unwrap();
    let mut batches = Vec::new();
    while let Some(batch) = reader.next().await.unwrap() {
        batches.push(batch);
    }
    batches
}

fn whole(source: &DatagenSource, batches: &[SourceBatch]) -> RecordBatch {
    concat_batches(&source.schema, batches.iter().map(|batch| &batch.rows.rows)).unwrap()
}

fn everything() -> TableSpec {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let columns = [
        ("n", DataType::Int64),
        ("small", DataType::Int32),
        ("any", DataType::Int64),
        ("x", DataType::Float64),
        ("d", DataType::Decimal128(6, 2)),
        ("text", DataType::Utf8View),
        ("flag", DataType::Boolean),
        ("at", time),
        ("often", DataType::Int64),
    ];
    let options = [
        ("fields.n.kind", "sequence"),
        ("fields.n.start", "5"),
        ("fields.n.end", "5004"),
        ("fields.small.min", "-3"),
        ("fields.small.max", "3"),
        ("fields.x.min", "1.5"),
        ("fields.x.max", "2.5"),
        ("fields.text.length", "20"),
        ("fields.at.max-past", "10 s"),
        ("fields.often.null-rate", "0.25"),
        ("rows-per-second", "100000"),
    ];
    table(&columns, &options)
}

#[tokio::test]
async fn values_keep_their_bounds() {
    let spec = everything();
    let source = DatagenSource::new(&spec, &[0, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    let split = &source.enumerate(&[]).await.unwrap().splits[0];
    let rows = whole(&source, &batches(&source, split, None).await);
    assert_eq!(rows.num_rows(), 5000, "the sequence ends the table");
    let numbers = rows.column(0).as_primitive::<Int64Type>().values();
    assert!(numbers.iter().zip(5..).all(|(number, expected)| *number == expected));
    let small = rows.column(1).as_primitive::<Int32Type>().values();
    assert_eq!((small.iter().min(), small.iter().max()), (Some(&-3), Some(&3)));
    let any = rows.column(2).as_primitive::<Int64Type>().values();
    assert!(any.iter().any(|any| *any < i64::MIN / 2) && any.iter().any(|any| *any > i64::MAX / 2));
    let reals = rows.column(3).as_primitive::<Float64Type>().values();
    assert!(reals.iter().all(|real| (1.5..=2.5).contains(real)));
    assert!(rows.column(5).as_string_view().iter().all(|text| text.unwrap().len() == 20));
    let began: i64 = split.payload.parse().unwrap();
    let times = rows.column(7).as_primitive::<arrow::datatypes::TimestampMillisecondType>();
    assert!(times.values().iter().all(|time| (began - 10_000..=began).contains(time)));
    let nulls = rows.column(8).null_count();
    assert!((1100..1400).contains(&nulls), "{nulls} of 5000 at a rate of a quarter");
}

/// Would fail if a value depended on the batch, or on when it is read.
#[tokio::test]
async fn reading_on_gives_the_same_rows() {
    let source = DatagenSource::new(&everything(), &[7, 5, 0, 8]).unwrap();
    let split = &source.enumerate(&[]).await.unwrap().splits[0];
    let first = batches(&source, split, None).await;
    let all = whole(&source, &first);
    let at: usize = first[..2].iter().map(|batch| batch.rows.rows.num_rows()).sum();
    let rest = batches(&source, split, Some(&first[1].next)).await;
    assert_eq!(whole(&source, &rest), all.slice(at, all.num_rows() - at));
    assert!(source.enumerate(std::slice::from_ref(split)).await.unwrap().splits.is_empty());
}

#[test]
fn wrong_options_are_refused() {
    let refused = |columns: &[(&str, DataType)], options: &[(&str, &str)]| {
        Datagen.validate(&table(columns, options)).unwrap_err().to_string()
    };
    let number = [("n", DataType::Int32)];
    assert!(refused(&number, &[("fields.m.min", "1")]).contains("unknown option 'fields.m.min'"));
    assert!(refused(&number, &[("fields.n.min", "x")]).contains("is not a whole number: 'x'"));
    let bounds = [("fields.n.min", "2"), ("fields.n.max", "1")];
    assert!(refused(&number, &bounds).contains("is above"));
    assert!(refused(&number, &[("fields.n.max", "3000000000")]).contains("exceed its type"));
    assert!(refused(&number, &[("fields.n.kind", "sequence")]).contains("is missing"));
    assert!(refused(&number, &[("rows-per-second", "0")]).contains("above 0"));
    let endless = [("fields.n.kind", "sequence"), ("fields.n.start", "1"), ("fields.n.end", "9")];
    assert!(refused(&[("n", DataType::Boolean)], &endless).contains("cannot be this sequence"));
    assert!(refused(&[("n", DataType::Binary)], &[]).contains("cannot make column `n`"));
}
