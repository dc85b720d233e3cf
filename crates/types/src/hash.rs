//! The hash of a key: a *stored format*, since checkpoints are cut by it.
//!
//! Invariants: equal values hash equally whatever array carries them (`Utf8`, `Utf8View` and
//! dictionaries; integers of any width; timestamps of any unit; decimals of any scale; −0.0 and
//! 0.0; every NaN), and the numbers never change between versions (golden values in the tests).
//! It does *not* tell keys apart; tables compare the keys themselves.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute;
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::{Error, Result};
use crate::time::nanos_per;

/// Seed of every hash. Part of the stored format.
const SEED: u64 = 0x7468_616c_7765_6721;
/// Stands for NULL. Part of the stored format.
const NULL: u64 = 0x9e37_79b9_7f4a_7c15;

/// Hashes each row of `columns`, appending to `hashes` after clearing it.
///
/// Shapes: in columns of `n` rows each; out `n` hashes. Without columns every row hashes alike.
///
/// # Errors
/// `Invalid` if a column's type has no canonical encoding (maps, unions).
pub fn hash_rows(columns: &[ArrayRef], rows: usize, hashes: &mut Vec<u64>) -> Result<()> {
    hashes.clear();
    hashes.resize(rows, SEED);
    let mut scratch = Vec::new();
    for (index, column) in columns.iter().enumerate() {
        scratch.clear();
        hash_array(column, &mut scratch)?;
        if index == 0 {
            hashes.copy_from_slice(&scratch);
        } else {
            for (hash, more) in hashes.iter_mut().zip(&scratch) {
                *hash = combine(*hash, *more);
            }
        }
    }
    Ok(())
}

/// Mixes the hash of a further column into the hash of those before it.
fn combine(left: u64, right: u64) -> u64 {
    let mut bytes = [0u8; 16];
    bytes[..8].copy_from_slice(&left.to_le_bytes());
    bytes[8..].copy_from_slice(&right.to_le_bytes());
    xxh3_64_with_seed(&bytes, SEED)
}

/// Hashes `bytes` as the value of a text or binary column; also the checksum of stored state.
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, SEED)
}

fn hash_i64(value: i64) -> u64 {
    hash_bytes(&value.to_le_bytes())
}

/// Hashes a whole number: eight bytes where they suffice, sixteen else.
fn hash_i128(value: i128) -> u64 {
    match i64::try_from(value) {
        Ok(value) => hash_i64(value),
        Err(_) => hash_bytes(&value.to_le_bytes()),
    }
}

/// Hashes a number with one zero and one NaN.
fn hash_f64(value: f64) -> u64 {
    let canonical = if value.is_nan() {
        f64::NAN.to_bits() & !(1 << 63)
    } else if value == 0.0 {
        0
    } else {
        value.to_bits()
    };
    hash_bytes(&canonical.to_le_bytes())
}

/// Hashes a decimal by value: trailing zeros of the mantissa do not count.
fn hash_decimal(mut mantissa: i128, mut scale: i8) -> u64 {
    while scale > 0 && mantissa % 10 == 0 {
        mantissa /= 10;
        scale -= 1;
    }
    let scale = if mantissa == 0 { 0 } else { scale };
    combine(hash_i128(mantissa), hash_i64(i64::from(scale)))
}

/// Appends a hash for each value of `iter`.
fn hash_each<T>(iter: impl Iterator<Item = Option<T>>, out: &mut Vec<u64>, f: impl Fn(T) -> u64) {
    out.extend(iter.map(|value| value.map_or(NULL, &f)));
}

macro_rules! whole {
    ($array:expr, $kind:ty, $out:expr) => {
        hash_each($array.as_primitive::<$kind>().iter(), $out, |v| hash_i128(v.into()))
    };
}

fn hash_array(array: &ArrayRef, out: &mut Vec<u64>) -> Result<()> {
    match array.data_type() {
        DataType::Null => out.extend(std::iter::repeat_n(NULL, array.len())),
        DataType::Boolean => hash_each(array.as_boolean().iter(), out, |v| hash_i64(v.into())),
        DataType::Int8 => whole!(array, Int8Type, out),
        DataType::Int16 => whole!(array, Int16Type, out),
        DataType::Int32 => whole!(array, Int32Type, out),
        DataType::Int64 => hash_each(array.as_primitive::<Int64Type>().iter(), out, hash_i64),
        DataType::UInt8 => whole!(array, UInt8Type, out),
        DataType::UInt16 => whole!(array, UInt16Type, out),
        DataType::UInt32 => whole!(array, UInt32Type, out),
        DataType::UInt64 => whole!(array, UInt64Type, out),
        DataType::Date32 => whole!(array, Date32Type, out),
        DataType::Date64 => whole!(array, Date64Type, out),
        DataType::Float32 => {
            hash_each(array.as_primitive::<Float32Type>().iter(), out, |v| hash_f64(v.into()));
        }
        DataType::Float64 => {
            hash_each(array.as_primitive::<Float64Type>().iter(), out, hash_f64);
        }
        DataType::Decimal128(_, scale) => {
            let scale = *scale;
            let values = array.as_primitive::<Decimal128Type>().iter();
            hash_each(values, out, |v| hash_decimal(v, scale));
        }
        DataType::Utf8 => {
            hash_each(array.as_string::<i32>().iter(), out, |v| hash_bytes(v.as_bytes()))
        }
        DataType::LargeUtf8 => {
            hash_each(array.as_string::<i64>().iter(), out, |v| hash_bytes(v.as_bytes()));
        }
        DataType::Utf8View => {
            hash_each(array.as_string_view().iter(), out, |v| hash_bytes(v.as_bytes()));
        }
        DataType::Binary => hash_each(array.as_binary::<i32>().iter(), out, hash_bytes),
        DataType::LargeBinary => hash_each(array.as_binary::<i64>().iter(), out, hash_bytes),
        DataType::BinaryView => hash_each(array.as_binary_view().iter(), out, hash_bytes),
        DataType::Timestamp(unit, _) => hash_timestamps(array, *unit, out)?,
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) => {
            let values = compute::cast(array, &DataType::Int64)?;
            hash_each(values.as_primitive::<Int64Type>().iter(), out, hash_i64);
        }
        DataType::Dictionary(_, value) => hash_array(&compute::cast(array, value)?, out)?,
        DataType::Struct(_) => {
            let mut hashes = Vec::new();
            hash_rows(array.as_struct().columns(), array.len(), &mut hashes)?;
            let valid = |row| array.is_valid(row);
            out.extend(
                hashes.into_iter().enumerate().map(|(row, h)| if valid(row) { h } else { NULL }),
            );
        }
        DataType::List(_) => {
            for row in 0..array.len() {
                out.push(if array.is_null(row) {
                    NULL
                } else {
                    hash_list(&array.as_list::<i32>().value(row))?
                });
            }
        }
        other => return Err(Error::invalid(format!("a column of type {other} cannot be a key"))),
    }
    Ok(())
}

/// Hashes the elements of one list, in order.
fn hash_list(elements: &ArrayRef) -> Result<u64> {
    let mut hashes = Vec::with_capacity(elements.len());
    hash_array(elements, &mut hashes)?;
    let start = hash_i64(elements.len() as i64);
    Ok(hashes.into_iter().fold(start, combine))
}

/// Hashes timestamps as nanoseconds, so that the unit does not matter.
fn hash_timestamps(array: &ArrayRef, unit: TimeUnit, out: &mut Vec<u64>) -> Result<()> {
    let values = compute::cast(array, &DataType::Int64)?;
    let nanos = i128::from(nanos_per(unit));
    hash_each(values.as_primitive::<Int64Type>().iter(), out, |v| hash_i128(i128::from(v) * nanos));
    Ok(())
}

#[cfg(test)]
mod tests;
