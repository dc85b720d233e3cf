use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray, StringViewArray,
    TimestampMillisecondArray, TimestampSecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::*;

fn hashes(column: ArrayRef) -> Vec<u64> {
    let mut out = Vec::new();
    hash_rows(std::slice::from_ref(&column), column.len(), &mut out).unwrap();
    out
}

/// Would fail if a version hashed a key to another key group than the checkpoints of the last.
#[test]
fn golden_values_never_change() {
    let text = hashes(Arc::new(StringArray::from(vec![Some("river"), Some(""), None])));
    assert_eq!(text, GOLDEN_TEXT);
    assert_eq!(hashes(Arc::new(Int64Array::from(vec![0, 1, -1]))), GOLDEN_WHOLE);
    let mut both = Vec::new();
    let columns: [ArrayRef; 2] =
        [Arc::new(Int64Array::from(vec![7])), Arc::new(StringArray::from(vec!["a"]))];
    hash_rows(&columns, 1, &mut both).unwrap();
    assert_eq!(both, [GOLDEN_PAIR]);
}

const GOLDEN_TEXT: [u64; 3] = [1_871_792_273_690_144_920, 8_298_918_137_569_887_152, NULL];
const GOLDEN_WHOLE: [u64; 3] =
    [3_564_420_940_741_647_225, 5_798_948_826_126_921_974, 5_988_138_369_003_321_379];
const GOLDEN_PAIR: u64 = 662714731861723652;

/// Would fail if the same word were owned by two workers because two arrays carry it.
#[test]
fn equal_values_hash_equally_in_every_array() {
    let words = vec![Some("a"), None, Some("a word that is longer than twelve bytes")];
    let plain: ArrayRef = Arc::new(StringArray::from(words.clone()));
    let view: ArrayRef = Arc::new(StringViewArray::from(words));
    let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let dictionary = cast(&plain, &kind).unwrap();
    assert_eq!(hashes(plain.clone()), hashes(view));
    assert_eq!(hashes(plain), hashes(dictionary));

    assert_eq!(
        hashes(Arc::new(Int32Array::from(vec![5, -5]))),
        hashes(Arc::new(Int64Array::from(vec![5, -5])))
    );
    assert_eq!(
        hashes(Arc::new(TimestampSecondArray::from(vec![3]))),
        hashes(Arc::new(TimestampMillisecondArray::from(vec![3000])))
    );
    let floats = hashes(Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN])));
    assert_eq!((floats[0], floats[2]), (floats[1], floats[3]));
    let tens = Decimal128Array::from(vec![1_50]).with_precision_and_scale(9, 2).unwrap();
    let ones = Decimal128Array::from(vec![15]).with_precision_and_scale(9, 1).unwrap();
    assert_eq!(hashes(Arc::new(tens)), hashes(Arc::new(ones)));
}
