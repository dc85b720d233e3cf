//! Flink's types, read from tokens, as Arrow types.
//!
//! STRING is a string view; TIMESTAMP(p) takes the coarsest unit that holds p digits; a local
//! time zone is kept as UTC.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use thalweg_types::Result;

use crate::text;
use crate::tokens::Tokens;

/// Reads a type and whether it may be NULL.
pub(crate) fn parse(tokens: &mut Tokens<'_>) -> Result<(DataType, bool)> {
    let kind = parse_type(tokens)?;
    let is_nullable = match tokens.take_words(&["NOT", "NULL"]) {
        true => false,
        false => {
            tokens.take_word("NULL");
            true
        }
    };
    Ok((kind, is_nullable))
}

fn parse_type(tokens: &mut Tokens<'_>) -> Result<DataType> {
    let token = tokens.peek().clone();
    let name = tokens.word()?.to_ascii_uppercase();
    let kind = match name.as_str() {
        "STRING" => DataType::Utf8View,
        "CHAR" | "VARCHAR" => {
            numbers(tokens)?;
            DataType::Utf8View
        }
        "BOOLEAN" => DataType::Boolean,
        "BYTES" => DataType::Binary,
        "BINARY" | "VARBINARY" => {
            numbers(tokens)?;
            DataType::Binary
        }
        "TINYINT" => DataType::Int8,
        "SMALLINT" => DataType::Int16,
        "INT" | "INTEGER" => DataType::Int32,
        "BIGINT" => DataType::Int64,
        "FLOAT" => DataType::Float32,
        "DOUBLE" => {
            tokens.take_word("PRECISION");
            DataType::Float64
        }
        "DECIMAL" | "DEC" | "NUMERIC" => {
            let numbers = numbers(tokens)?;
            let precision = numbers.first().copied().unwrap_or(10);
            let scale = numbers.get(1).copied().unwrap_or(0);
            if !(1..=38).contains(&precision) || scale > precision {
                return Err(text::at(&token, format!("DECIMAL({precision}, {scale}) is no type"))
                    .remedy("the precision is 1 to 38, the scale at most the precision"));
            }
            DataType::Decimal128(precision as u8, scale as i8)
        }
        "DATE" => DataType::Date32,
        "TIME" => {
            numbers(tokens)?;
            DataType::Time32(TimeUnit::Millisecond)
        }
        "TIMESTAMP" | "TIMESTAMP_LTZ" => {
            let digits = numbers(tokens)?.first().copied().unwrap_or(6);
            let unit = match digits {
                0 => TimeUnit::Second,
                1..=3 => TimeUnit::Millisecond,
                4..=6 => TimeUnit::Microsecond,
                7..=9 => TimeUnit::Nanosecond,
                _ => return Err(text::at(&token, "a TIMESTAMP has 0 to 9 digits")),
            };
            let is_local =
                name == "TIMESTAMP_LTZ" || tokens.take_words(&["WITH", "LOCAL", "TIME", "ZONE"]);
            tokens.take_words(&["WITHOUT", "TIME", "ZONE"]);
            DataType::Timestamp(unit, is_local.then(|| "UTC".into()))
        }
        "ARRAY" => {
            tokens.symbol("<")?;
            let (kind, is_nullable) = parse(tokens)?;
            tokens.symbol(">")?;
            DataType::List(Arc::new(Field::new("item", kind, is_nullable)))
        }
        "ROW" => DataType::Struct(parse_row(tokens)?),
        _ => {
            return Err(text::at(&token, format!("unknown type `{name}`")).remedy(
                "types are Flink's: STRING, BIGINT, DOUBLE, DECIMAL(p, s), TIMESTAMP(3), …",
            ));
        }
    };
    Ok(kind)
}

fn parse_row(tokens: &mut Tokens<'_>) -> Result<Fields> {
    let end = if tokens.take_symbol("(") { ")" } else { tokens.symbol("<").map(|()| ">")? };
    let mut fields = Vec::new();
    loop {
        let name = tokens.identifier()?;
        let (kind, is_nullable) = parse(tokens)?;
        fields.push(Field::new(name, kind, is_nullable));
        if !tokens.take_symbol(",") {
            tokens.symbol(end)?;
            return Ok(fields.into());
        }
    }
}

/// Reads `(10, 2)`, if it is there.
fn numbers(tokens: &mut Tokens<'_>) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    if tokens.take_symbol("(") {
        loop {
            numbers.push(tokens.number()?);
            if !tokens.take_symbol(",") {
                tokens.symbol(")")?;
                break;
            }
        }
    }
    Ok(numbers)
}
