//! Sizes in memory.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;

/// Returns about how many bytes the rows of `batch` take.
///
/// Unlike Arrow's own count it looks only at the sliced part of a view array, so that a small
/// slice of a large buffer is not counted as the whole buffer.
pub fn batch_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(array_bytes).sum()
}

/// Returns about how many bytes the values of `array` take.
pub fn array_bytes(array: &ArrayRef) -> usize {
    let rows = array.len();
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().total_buffer_bytes_used() + rows * 16,
        DataType::BinaryView => array.as_binary_view().total_buffer_bytes_used() + rows * 16,
        DataType::Utf8 => {
            let offsets = array.as_string::<i32>().value_offsets();
            (offsets[rows] - offsets[0]) as usize + rows * 4
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(array_bytes).sum(),
        other => match other.primitive_width() {
            Some(width) => rows * width,
            None => array.to_data().get_slice_memory_size().unwrap_or(rows * 16),
        },
    }
}
