//! Flink's types, read from tokens or from casts, as Arrow types; and back, for messages.
//!
//! Invariants: a type means the same in a column list, in a cast and in a literal. STRING is a
//! string view; TIMESTAMP(p) takes the coarsest unit that holds p digits; a local time zone is
//! kept as UTC. Types nest so deep and no deeper, so that no script can exhaust the stack.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::planner::TypePlanner;
use datafusion::sql::sqlparser::ast::{
    BinaryLength, CharacterLength, DataType as Written, ExactNumberInfo, ObjectName, TimezoneInfo,
};
use datafusion::sql::sqlparser::tokenizer::Token;
use thalweg_types::{Error, Result};

use crate::text::{self, wrap};
use crate::tokens::{Tokens, tokenize};

/// How deep types may nest.
const DEPTH_MAX: usize = 32;

/// Reads a type and whether it may be NULL.
pub(crate) fn parse(tokens: &mut Tokens<'_>) -> Result<(DataType, bool)> {
    let mut reader = Reader { tokens, depth: 0, owes_close: false };
    let read = reader.nullable()?;
    match reader.owes_close {
        true => Err(tokens.expected("no further `>`")),
        false => Ok(read),
    }
}

/// Reads one type, with what it nests.
struct Reader<'r, 'a> {
    tokens: &'r mut Tokens<'a>,
    depth: usize,
    /// Has a `>>` been taken of which only one half closed a type?
    owes_close: bool,
}

impl Reader<'_, '_> {
    fn nullable(&mut self) -> Result<(DataType, bool)> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(text::at(self.tokens.peek(), "types are nested too deep"));
        }
        let kind = self.kind()?;
        self.depth -= 1;
        let is_nullable = self.owes_close || !self.tokens.take_words(&["NOT", "NULL"]);
        if is_nullable && !self.owes_close {
            self.tokens.take_word("NULL");
        }
        Ok((kind, is_nullable))
    }

    fn kind(&mut self) -> Result<DataType> {
        let token = self.tokens.peek().clone();
        let name = self.tokens.word()?.to_ascii_uppercase();
        let kind = match name.as_str() {
            "ARRAY" => {
                self.tokens.symbol("<")?;
                let (kind, is_nullable) = self.nullable()?;
                self.close(">")?;
                Ok(list(kind, is_nullable))
            }
            "MAP" => {
                self.tokens.symbol("<")?;
                let (key, _) = self.nullable()?;
                self.tokens.symbol(",")?;
                let (value, is_nullable) = self.nullable()?;
                self.close(">")?;
                Ok(map(key, value, is_nullable))
            }
            "ROW" => Ok(DataType::Struct(self.row()?)),
            "MULTISET" | "INTERVAL" | "RAW" | "VARIANT" => {
                Err(Error::invalid(format!("type {name} is not supported")))
            }
            "DOUBLE" => {
                self.tokens.take_word("PRECISION");
                Ok(DataType::Float64)
            }
            "TIMESTAMP" => {
                let digits = self.numbers()?;
                let is_local = self.tokens.take_words(&["WITH", "LOCAL", "TIME", "ZONE"]);
                self.tokens.take_words(&["WITHOUT", "TIME", "ZONE"]);
                simple(if is_local { "TIMESTAMP_LTZ" } else { "TIMESTAMP" }, &digits)
            }
            name => {
                let numbers = self.numbers()?;
                simple(name, &numbers)
            }
        };
        kind.map_err(|error| error.at(text::place(token.span)))
    }

    fn row(&mut self) -> Result<Fields> {
        let end = match self.tokens.take_symbol("(") {
            true => ")",
            false => self.tokens.symbol("<").map(|()| ">")?,
        };
        let mut fields: Vec<Field> = Vec::new();
        loop {
            let at = self.tokens.peek().clone();
            let name = self.tokens.identifier()?;
            if fields.iter().any(|field| *field.name() == name) {
                return Err(text::at(&at, format!("field `{name}` stands there twice")));
            }
            let (kind, is_nullable) = self.nullable()?;
            fields.push(Field::new(name, kind, is_nullable));
            if self.owes_close || !self.tokens.take_symbol(",") {
                self.close(end)?;
                return Ok(fields.into());
            }
        }
    }

    /// Takes what closes a type; `>>` closes two.
    fn close(&mut self, symbol: &str) -> Result<()> {
        if self.owes_close && symbol == ">" {
            self.owes_close = false;
            return Ok(());
        }
        if symbol == ">" && self.tokens.take_symbol(">>") {
            self.owes_close = true;
            return Ok(());
        }
        self.tokens.symbol(symbol)
    }

    /// Reads `(10, 2)`, if it is there.
    fn numbers(&mut self) -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        if self.tokens.take_symbol("(") {
            loop {
                numbers.push(self.tokens.number()?);
                if !self.tokens.take_symbol(",") {
                    self.tokens.symbol(")")?;
                    break;
                }
            }
        }
        Ok(numbers)
    }
}

fn list(kind: DataType, is_nullable: bool) -> DataType {
    DataType::List(Arc::new(Field::new("item", kind, is_nullable)))
}

/// Returns the type of maps; may a value be NULL?
pub(crate) fn map(key: DataType, value: DataType, is_nullable: bool) -> DataType {
    let entry = vec![Field::new("key", key, false), Field::new("value", value, is_nullable)];
    let entries = Field::new("entries", DataType::Struct(entry.into()), false);
    DataType::Map(Arc::new(entries), false)
}

/// Returns the type `name(numbers…)`, which nests no other.
fn simple(name: &str, numbers: &[u64]) -> Result<DataType> {
    let most = match name {
        "DECIMAL" | "DEC" | "NUMERIC" => 2,
        "CHAR" | "VARCHAR" | "BINARY" | "VARBINARY" | "TIME" | "TIMESTAMP" | "TIMESTAMP_LTZ" => 1,
        _ => 0,
    };
    if numbers.len() > most && NAMES.contains(&name) {
        return Err(Error::invalid(format!("type {name} takes {most} numbers at most")));
    }
    Ok(match name {
        "STRING" | "CHAR" | "VARCHAR" => DataType::Utf8View,
        "BOOLEAN" => DataType::Boolean,
        "BYTES" | "BINARY" | "VARBINARY" => DataType::Binary,
        "TINYINT" => DataType::Int8,
        "SMALLINT" => DataType::Int16,
        "INT" | "INTEGER" => DataType::Int32,
        "BIGINT" => DataType::Int64,
        "FLOAT" => DataType::Float32,
        "DOUBLE" => DataType::Float64,
        "DECIMAL" | "DEC" | "NUMERIC" => decimal(numbers)?,
        "DATE" => DataType::Date32,
        "TIME" => match numbers.first().copied().unwrap_or(0) {
            0..=3 => DataType::Time32(TimeUnit::Millisecond),
            _ => return Err(Error::invalid("a TIME has 0 to 3 digits")),
        },
        "TIMESTAMP" | "TIMESTAMP_LTZ" => {
            let unit = match numbers.first().copied().unwrap_or(6) {
                0 => TimeUnit::Second,
                1..=3 => TimeUnit::Millisecond,
                4..=6 => TimeUnit::Microsecond,
                7..=9 => TimeUnit::Nanosecond,
                _ => return Err(Error::invalid("a TIMESTAMP has 0 to 9 digits")),
            };
            DataType::Timestamp(unit, (name == "TIMESTAMP_LTZ").then(|| "UTC".into()))
        }
        _ => return Err(unknown(name)),
    })
}

/// Names of types, for whoever mistypes one.
const NAMES: [&str; 23] = [
    "STRING",
    "CHAR",
    "VARCHAR",
    "BOOLEAN",
    "BYTES",
    "BINARY",
    "VARBINARY",
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "NUMERIC",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "ARRAY",
    "MAP",
    "ROW",
];

fn unknown(name: &str) -> Error {
    let error = Error::invalid(format!("unknown type `{name}`"));
    match thalweg_plan::connector::nearest(name, &NAMES) {
        Some(near) => error.remedy(format!("did you mean {near}?")),
        None => error
            .remedy("types are Flink's: STRING, BIGINT, DOUBLE, DECIMAL(p, s), TIMESTAMP(3), …"),
    }
}

fn decimal(numbers: &[u64]) -> Result<DataType> {
    let precision = numbers.first().copied().unwrap_or(10);
    let scale = numbers.get(1).copied().unwrap_or(0);
    if !(1..=38).contains(&precision) || scale > precision {
        return Err(Error::invalid(format!("DECIMAL({precision}, {scale}) is no type"))
            .remedy("the precision is 1 to 38, the scale at most the precision"));
    }
    Ok(DataType::Decimal128(precision as u8, scale as i8))
}

/// Tells DataFusion what Flink's types mean in casts and typed literals.
#[derive(Debug)]
pub(crate) struct FlinkTypes;

impl TypePlanner for FlinkTypes {
    fn plan_type_field(&self, written: &Written) -> PlanResult<Option<FieldRef>> {
        let kind = in_cast(written).map_err(wrap)?;
        let limit = Limit::written_as(written).metadata().into_iter().collect();
        Ok(kind.map(|kind| Arc::new(Field::new("", kind, true).with_metadata(limit))))
    }
}

/// What a type says of a value beside what it is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Limit {
    None,
    /// CHAR(n), BINARY(n): so many letters or bytes.
    Exactly(usize),
    /// VARCHAR(n), VARBINARY(n): no more of them.
    Most(usize),
    /// TIME(p), TIMESTAMP(p): digits behind the seconds.
    Digits(u8),
}

/// Key of a limit in the metadata of a field; the value is the name of the type.
const LIMIT: &str = "thalweg.limit";

impl Limit {
    /// Returns the limit of a type as it was written.
    fn written_as(kind: &Written) -> Limit {
        let letters = |length: &Option<CharacterLength>| match length {
            Some(CharacterLength::IntegerLength { length, .. }) => Some(*length),
            _ => None,
        };
        let count = |length: Option<u64>, limit: fn(usize) -> Limit| match length {
            Some(length) if length < i32::MAX as u64 => limit(length as usize),
            _ => Limit::None,
        };
        match kind {
            Written::Char(length) => count(letters(length).or(Some(1)), Limit::Exactly),
            Written::Varchar(length) => count(letters(length), Limit::Most),
            Written::Binary(length) => count(length.or(Some(1)), Limit::Exactly),
            Written::Varbinary(Some(BinaryLength::IntegerLength { length })) => {
                count(Some(*length), Limit::Most)
            }
            Written::Time(digits, _) => Limit::Digits(digits.unwrap_or(0).min(9) as u8),
            Written::Timestamp(digits, _) => Limit::Digits(digits.unwrap_or(6).min(9) as u8),
            _ => Limit::None,
        }
    }

    /// Returns the limit that [`FlinkTypes`] left at a field.
    pub(crate) fn of(field: &Field) -> Limit {
        let Some((name, count)) =
            field.metadata().get(LIMIT).and_then(|limit| limit.split_once(' '))
        else {
            return Limit::None;
        };
        let count = count.parse::<usize>().unwrap_or(usize::MAX);
        match name {
            "exactly" => Limit::Exactly(count),
            "most" => Limit::Most(count),
            _ => Limit::Digits(count.min(9) as u8),
        }
    }

    fn metadata(self) -> Option<(String, String)> {
        let text = match self {
            Limit::None => return None,
            Limit::Exactly(count) => format!("exactly {count}"),
            Limit::Most(count) => format!("most {count}"),
            Limit::Digits(digits) => format!("digits {digits}"),
        };
        Some((LIMIT.to_owned(), text))
    }

    /// Returns how Flink writes the type `kind` with this limit.
    pub(crate) fn written(self, kind: &DataType) -> String {
        let is_binary = kind.is_binary();
        match self {
            Limit::None => name(kind),
            Limit::Exactly(count) if is_binary => format!("BINARY({count})"),
            Limit::Most(count) if is_binary => format!("VARBINARY({count})"),
            Limit::Exactly(count) => format!("CHAR({count})"),
            Limit::Most(count) => format!("VARCHAR({count})"),
            Limit::Digits(digits) => match kind {
                DataType::Time32(_) => format!("TIME({digits})"),
                _ => format!("TIMESTAMP({digits})"),
            },
        }
    }

    /// Returns the nanoseconds of the last digit that is kept.
    pub(crate) fn tick(self) -> i128 {
        match self {
            Limit::Digits(digits) => 10_i128.pow(9 - u32::from(digits.min(9))),
            _ => 1,
        }
    }
}

/// Returns the type that a cast names; `None` leaves it to DataFusion.
fn in_cast(written: &Written) -> Result<Option<DataType>> {
    let digits = |digits: &Option<u64>| digits.iter().copied().collect::<Vec<u64>>();
    let kind = match written {
        Written::String(_) | Written::Varchar(_) | Written::Char(_) => DataType::Utf8View,
        Written::Bytes(_) | Written::Binary(_) | Written::Varbinary(_) => DataType::Binary,
        Written::Decimal(info) | Written::Numeric(info) | Written::Dec(info) => match info {
            ExactNumberInfo::None => decimal(&[])?,
            ExactNumberInfo::Precision(precision) => decimal(&[*precision])?,
            ExactNumberInfo::PrecisionAndScale(precision, scale) => {
                // A negative scale is as wrong as one that is too large.
                decimal(&[*precision, u64::try_from(*scale).unwrap_or(u64::MAX)])?
            }
        },
        Written::Timestamp(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            simple("TIMESTAMP", &digits(precision))?
        }
        Written::Time(precision, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            simple("TIME", &digits(precision))?
        }
        Written::Custom(name, _) if name.0.len() == 1 && name.to_string().starts_with('`') => {
            nested(name)?
        }
        Written::Custom(name, numbers) => {
            let numbers: Vec<u64> = numbers.iter().filter_map(|n| n.parse().ok()).collect();
            simple(&name.to_string().to_ascii_uppercase(), &numbers)?
        }
        _ => return Ok(None),
    };
    Ok(Some(kind))
}

/// Reads a type that nests others, which `rewrite` put into quotes.
fn nested(name: &ObjectName) -> Result<DataType> {
    let text = name.0.first().and_then(|part| part.as_ident()).map_or("", |name| &name.value);
    let tokens = tokenize(text)?;
    let has_length = tokens.windows(2).any(|pair| {
        let lengths = ["CHAR", "VARCHAR", "BINARY", "VARBINARY"];
        let name = pair[0].token.to_string().to_ascii_uppercase();
        lengths.contains(&name.as_str()) && pair[1].token == Token::LParen
    });
    if has_length {
        let error = Error::invalid(format!("a cast to {text} would not cut what it nests"));
        return Err(error.remedy("write STRING or BYTES in it"));
    }
    Ok(parse(&mut Tokens::new(&tokens))?.0)
}

/// Returns how Flink writes a type.
pub(crate) fn name(kind: &DataType) -> String {
    let digits = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    };
    let nested = |field: &FieldRef| {
        let null = if field.is_nullable() { "" } else { " NOT NULL" };
        format!("{}{null}", name(field.data_type()))
    };
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "STRING".to_owned(),
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        // What counts in DataFusion is unsigned; there is no such type in SQL.
        DataType::Int64 | DataType::UInt64 | DataType::UInt32 => "BIGINT".to_owned(),
        DataType::Float32 => "FLOAT".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Date32 => "DATE".to_owned(),
        // The digits of a TIME are not kept; it has none unless the query says so.
        DataType::Time32(_) => "TIME(0)".to_owned(),
        DataType::Timestamp(unit, None) => format!("TIMESTAMP({})", digits(unit)),
        DataType::Timestamp(unit, Some(_)) => format!("TIMESTAMP_LTZ({})", digits(unit)),
        DataType::List(item) => format!("ARRAY<{}>", nested(item)),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("`{}` {}", field.name().replace('`', "``"), nested(field)))
                .collect();
            format!("ROW<{}>", fields.join(", "))
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) => {
                let sides: Vec<String> = fields.iter().map(nested).collect();
                format!("MAP<{}>", sides.join(", ").replacen(" NOT NULL, ", ", ", 1))
            }
            other => other.to_string(),
        },
        DataType::Null => "NULL".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
