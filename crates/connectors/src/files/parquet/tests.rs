use arrow::array::{Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use parquet::arrow::ArrowWriter;
use thalweg_plan::connector::Options;
use thalweg_types::ErrorKind;

use super::*;

/// Writes a file of 30,000 rows in several row groups.
fn write(path: &std::path::Path) {
    let n = 30_000;
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int32Array::from_iter_values(0..n))),
        ("unread", Arc::new(Int64Array::from_iter_values(0..i64::from(n)))),
        ("word", Arc::new(StringArray::from_iter((0..n).map(|n| (n % 7 > 0).then_some("seven"))))),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from_iter_values(
                (0..i64::from(n)).map(|n| n * 1_000_000),
            )),
        ),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_max_row_group_row_count(Some(7_000))
        .build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, rows.schema(), Some(properties)).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
}

fn source(path: &str, word: &str, is_nullable: bool) -> ParquetSource {
    let fields = vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new(word, DataType::Utf8View, is_nullable),
        Field::new("n", DataType::Int64, true),
    ];
    let options = [("path".to_owned(), path.to_owned())];
    let table = TableSpec::new("t", Arc::new(Schema::new(fields)), Options(options.into()));
    ParquetSource::new(&table, &[0, 1, 2]).unwrap()
}

async fn read(source: &ParquetSource, from: Option<&Offset>) -> Result<Vec<SourceBatch>> {
    let splits = source.enumerate(&[]).await?.splits;
    let mut reader = source.reader(&splits[0], from).await?;
    let mut batches = Vec::new();
    while let Some(batch) = reader.next().await? {
        batches.push(batch);
    }
    Ok(batches)
}

/// Would fail if an offset were not one of rows, or a column were taken for another.
#[tokio::test]
async fn files_are_read_from_any_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    write(&path);
    let source = source(path.to_str().unwrap(), "word", true);
    let batches = read(&source, None).await.unwrap();
    let all = concat_batches(&source.schema, batches.iter().map(|batch| &batch.rows.rows)).unwrap();
    assert_eq!((all.num_rows(), all.column(1).null_count()), (30_000, 4286));
    let mut at = 0;
    for batch in &batches {
        at += batch.rows.rows.num_rows();
        let rest = read(&source, Some(&batch.next)).await.unwrap();
        let rest =
            concat_batches(&source.schema, rest.iter().map(|batch| &batch.rows.rows)).unwrap();
        assert_eq!(rest, all.slice(at, all.num_rows() - at));
    }
}

#[tokio::test]
async fn what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    write(&path);
    let path = path.to_str().unwrap();
    let error = read(&source(path, "wort", true), None).await.unwrap_err();
    assert!(error.message().contains("rows.parquet` has no column `wort`"), "{error}");
    let error = read(&source(path, "word", false), None).await.unwrap_err();
    assert!(error.message().contains("holds NULL"), "{error}");
    let source = source(path, "word", true);
    let splits = source.enumerate(&[]).await.unwrap().splits;
    assert!(source.enumerate(&splits).await.unwrap().splits.is_empty());
    std::fs::write(path, "no parquet").unwrap();
    let error = source.enumerate(&splits).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::State);
    assert!(error.message().contains("changed"), "{error}");
    let error = read(&source, None).await.unwrap_err();
    assert!(error.message().contains("as Parquet"), "{error}");
}
