//! Copies views into buffers of their own, so that a row does not bring a whole buffer along.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::DataType;
use thalweg_types::Result;

/// Returns `batch` with the views in it compacted, those inside structs and lists too.
pub(super) fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(compact_array).collect::<Result<Vec<_>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(batch.schema(), columns, &options)?)
}

fn compact_array(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        DataType::Struct(fields) if !fields.is_empty() => {
            let (fields, columns, nulls) = array.as_struct().clone().into_parts();
            let columns = columns.iter().map(compact_array).collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new(fields, columns, nulls)?)
        }
        DataType::List(_) => {
            let (field, offsets, values, nulls) = array.as_list::<i32>().clone().into_parts();
            // Only the values of these lists, which may be few of those of all.
            let (start, end) = (offsets[0], offsets[offsets.len() - 1]);
            let values = values.slice(start as usize, (end - start) as usize);
            let offsets: ScalarBuffer<i32> = offsets.iter().map(|at| at - start).collect();
            let offsets = OffsetBuffer::new(offsets);
            Arc::new(ListArray::try_new(field, offsets, compact_array(&values)?, nulls)?)
        }
        _ => array.clone(),
    })
}
