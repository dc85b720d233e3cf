//! Sizes in memory.

use std::fmt;

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

/// A number of bytes, shown as people read it: `512 B`, `1.5 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteCount(pub u64);

impl fmt::Display for ByteCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return write!(f, "{} B", self.0);
        }
        let mut size = self.0 as f64 / 1024.0;
        let mut unit = 0;
        // What would be rounded to 1024.0 is one of the next unit.
        while size >= 1023.95 && unit + 1 < UNITS.len() {
            size /= 1024.0;
            unit += 1;
        }
        write!(f, "{size:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests;
