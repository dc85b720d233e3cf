//! `NOT NULL` within nested types.
//!
//! Arrow refuses a NULL in a field that takes none, also where a record failed half-way and its row
//! will be left out. So columns in the making take NULLs everywhere, and get the declared type when
//! only whole rows are left.

use std::sync::Arc;

use arrow::array::RecordBatchOptions;
use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};
use thalweg_types::{Error, Result};

/// Says that a NULL stands where `field` takes none, if so.
///
/// # Errors
/// What is wrong with `what`.
pub(super) fn check(field: &Field, what: &str) -> Result<(), String> {
    match field.is_nullable() {
        true => Ok(()),
        false => Err(format!("{what} is NULL and declared NOT NULL")),
    }
}

/// Returns the type with every field within it nullable, but keys of maps.
pub(super) fn loose_type(kind: &DataType) -> DataType {
    match kind {
        DataType::Struct(fields) => DataType::Struct(loose(fields)),
        DataType::List(element) => DataType::List(loose_field(element)),
        DataType::Map(entries, is_sorted) => {
            let pair = match entries.data_type() {
                DataType::Struct(pair) => pair.iter().enumerate().map(|(place, field)| {
                    if place == 0 { field.clone() } else { loose_field(field) }
                }),
                other => return other.clone(),
            };
            let pair = DataType::Struct(pair.collect());
            let entries = entries.as_ref().clone().with_data_type(pair);
            DataType::Map(Arc::new(entries), *is_sorted)
        }
        other => other.clone(),
    }
}

/// Returns a field that takes NULLs, as do those within it.
pub(super) fn loose_field(field: &FieldRef) -> FieldRef {
    let kind = loose_type(field.data_type());
    Arc::new(field.as_ref().clone().with_data_type(kind).with_nullable(true))
}

/// Returns fields that take NULLs.
pub(super) fn loose(fields: &Fields) -> Fields {
    fields.iter().map(loose_field).collect()
}

/// Returns the schema with everything nullable.
pub(super) fn loose_schema(schema: &SchemaRef) -> SchemaRef {
    Arc::new(Schema::new(loose(schema.fields())))
}

/// Gives an array without wrong NULLs the type that was declared.
///
/// # Errors
/// `Internal` if there is a NULL that should have been found.
pub(super) fn declared(array: &ArrayRef, kind: &DataType) -> Result<ArrayRef> {
    if array.data_type() == kind {
        return Ok(array.clone());
    }
    let nulls = array.nulls().cloned();
    Ok(match kind {
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            let columns = columns.map(|(field, column)| declared(column, field.data_type()));
            let columns = columns.collect::<Result<_>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?)
        }
        DataType::List(element) => {
            let list = array.as_list::<i32>();
            let values = declared(list.values(), element.data_type())?;
            Arc::new(ListArray::try_new(element.clone(), list.offsets().clone(), values, nulls)?)
        }
        DataType::Map(entries, is_sorted) => {
            let map = array.as_map();
            let pairs: ArrayRef = Arc::new(map.entries().clone());
            let pairs = declared(&pairs, entries.data_type())?.as_struct().clone();
            let offsets = map.offsets().clone();
            Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, *is_sorted)?)
        }
        other => {
            let found = array.data_type();
            return Err(Error::internal(format!("a column of {found} was made for {other}")));
        }
    })
}

/// Puts columns of `count` rows together.
///
/// # Errors
/// `Internal` if they do not fit.
pub(super) fn batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    count: usize,
) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(count));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
