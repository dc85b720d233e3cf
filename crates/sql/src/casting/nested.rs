//! Casts of what holds other values: each element, key, value and field by itself.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray};
use datafusion::arrow::datatypes::{DataType, Fields};
use datafusion::error::Result;
use thalweg_types::Error;

use super::{Target, converted};
use crate::text::wrap;

/// Casts arrays to arrays, maps to maps and rows to rows.
pub(super) fn column(column: &ArrayRef, to: &Target) -> Result<ArrayRef> {
    match (column.data_type(), &to.kind) {
        (DataType::List(_), DataType::List(item)) => {
            let lists = column.as_list::<i32>();
            let values = converted(lists.values(), &to.of(item.data_type()))?;
            let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
            Ok(Arc::new(ListArray::try_new(item.clone(), offsets, values, nulls)?))
        }
        (DataType::Map(_, _), DataType::Map(entries, is_sorted)) => {
            let DataType::Struct(sides) = entries.data_type() else { return Err(odd()) };
            let maps = column.as_map();
            let pairs = fields(maps.entries(), sides, to)?;
            let (offsets, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
            let map = MapArray::try_new(entries.clone(), offsets, pairs, nulls, *is_sorted)?;
            Ok(Arc::new(map))
        }
        (DataType::Struct(_), DataType::Struct(wanted)) => {
            Ok(Arc::new(fields(column.as_struct(), wanted, to)?))
        }
        _ => Err(odd()),
    }
}

fn odd() -> datafusion::error::DataFusionError {
    wrap(Error::internal("a cast of a nested type to another kind of type"))
}

/// Casts fields, by their place.
fn fields(rows: &StructArray, wanted: &Fields, to: &Target) -> Result<StructArray> {
    let columns = rows.columns().iter().zip(wanted);
    let columns = columns.map(|(column, field)| converted(column, &to.of(field.data_type())));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(StructArray::try_new(wanted.clone(), columns, rows.nulls().cloned())?)
}
