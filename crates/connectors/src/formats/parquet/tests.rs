use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn rows(from: i64, to: i64) -> RecordBatch {
    let words = (from..to).map(|n| (n % 5 > 0).then(|| format!("word number {n}")));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("n", Arc::new(Int64Array::from_iter_values(from..to))),
        ("word", Arc::new(words.collect::<StringViewArray>())),
    ];
    RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap()
}

/// Would fail if a file could not be ended at each of its cuts, or were another file than the one
/// that was written there.
#[test]
fn a_file_can_be_ended_at_every_cut() {
    for compression in [Compression::Uncompressed, Compression::Snappy, Compression::Zstd] {
        let mut encoder = ParquetEncoder::new(rows(0, 1).schema(), compression).unwrap();
        let mut file = Vec::new();
        for cut in 0..5 {
            if cut > 0 {
                encoder.write(&Change::append(rows(cut * 100 - 100, cut * 100 - 40))).unwrap();
                file.extend(encoder.take());
                encoder.write(&Change::append(rows(cut * 100 - 40, cut * 100))).unwrap();
            }
            let end = encoder.cut().unwrap();
            file.extend(encoder.take());
            let whole: Bytes = [file.clone(), end].concat().into();
            let reader = ParquetRecordBatchReaderBuilder::try_new(whole).unwrap().build().unwrap();
            let schema = rows(0, 1).schema();
            let found: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
            assert_eq!(concat_batches(&schema, &found).unwrap(), rows(0, cut * 100));
        }
    }
}

#[test]
fn what_parquet_cannot_hold_is_refused() {
    let kind = DataType::Struct(Vec::<Field>::new().into());
    let schema = Arc::new(Schema::new(vec![Field::new("empty", kind, true)]));
    let error = ParquetEncoder::new(schema, Compression::Snappy).err().unwrap();
    assert!(error.to_string().contains("format 'parquet' cannot hold it"), "{error}");
    let options = [(COMPRESSION.to_owned(), "snapy".to_owned())];
    let error = Compression::of(&Options(options.into())).unwrap_err();
    assert!(error.to_string().contains("cannot be 'snapy'"), "{error}");
}
