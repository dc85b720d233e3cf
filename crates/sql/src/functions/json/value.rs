//! Values of SQL as JSON.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::error::Result;
use serde_json::{Map, Value};

/// Returns a column as JSON, row by row. Times are texts by ISO 8601, bytes are Base64.
pub(super) fn values(column: &ArrayRef) -> Result<Vec<Value>> {
    let rows = 0..column.len();
    let kind = column.data_type();
    let mut values: Vec<Value> = match kind {
        DataType::Boolean => {
            let truths = column.as_boolean();
            rows.map(|row| Value::Bool(truths.value(row))).collect()
        }
        DataType::UInt64 => display(column)?.into_iter().map(|text| number(&text)).collect(),
        kind if kind.is_integer() => {
            let numbers = cast(column, &DataType::Int64)?;
            let numbers = numbers.as_primitive::<Int64Type>();
            rows.map(|row| Value::from(numbers.value(row))).collect()
        }
        kind if kind.is_floating() => {
            let numbers = cast(column, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>();
            rows.map(|row| Value::from(numbers.value(row))).collect()
        }
        DataType::Decimal128(_, 0) => {
            let numbers = column.as_primitive::<Decimal128Type>();
            rows.map(|row| number(&numbers.value(row).to_string())).collect()
        }
        DataType::Decimal128(_, _) => display(column)?.iter().map(|text| number(text)).collect(),
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            rows.map(|row| Ok(Value::Array(values(&lists.value(row))?))).collect::<Result<_>>()?
        }
        DataType::Struct(fields) => {
            let row = column.as_struct();
            let columns = row.columns().iter().map(values).collect::<Result<Vec<_>>>()?;
            let name = |at: usize| fields.get(at).map_or("", |field| field.name().as_str());
            rows.map(|row| {
                let cells = columns.iter().enumerate();
                let cells = cells.map(|(at, cells)| (name(at).to_owned(), cells[row].clone()));
                Value::Object(cells.collect())
            })
            .collect()
        }
        DataType::Map(_, _) => {
            let maps = column.as_map();
            let object = |row: usize| {
                let entries = maps.value(row);
                let keys = display(entries.column(0))?;
                let members = keys.into_iter().zip(values(entries.column(1))?);
                Ok(Value::Object(members.collect::<Map<_, _>>()))
            };
            rows.map(object).collect::<Result<_>>()?
        }
        kind if kind.is_binary() => {
            let bytes = cast(column, &DataType::Binary)?;
            let bytes = bytes.as_binary::<i32>();
            rows.map(|row| Value::String(STANDARD.encode(bytes.value(row)))).collect()
        }
        _ => display(column)?.into_iter().map(Value::String).collect(),
    };
    // A column of type NULL has no nulls of its own.
    let nulls = column.logical_nulls();
    for (row, value) in values.iter_mut().enumerate() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            *value = Value::Null;
        }
    }
    Ok(values)
}

/// Returns what a column's values are printed as.
fn display(column: &ArrayRef) -> Result<Vec<String>> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    Ok((0..column.len()).map(|row| formatter.value(row).to_string()).collect())
}

/// Returns a printed number as JSON.
fn number(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}
