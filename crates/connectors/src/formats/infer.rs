//! Schemas by example: which columns, of which types, some records would need.
//!
//! What must always hold: each record that was looked at can be read with the schema; a DECIMAL is
//! never guessed, since nothing in a number says that it is one; a column may always be NULL, since
//! the next record may lack it.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use sonic_rs::{JsonValueTrait, LazyValue, to_object_iter};

use super::csv::{self, Dialect, Written};
use super::lines::lines;
use super::text;

/// What some records would need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inferred {
    /// The columns.
    pub schema: SchemaRef,
    /// Options of the format.
    pub options: Vec<(&'static str, String)>,
    /// Records that were looked at.
    pub rows: usize,
    /// Records that no schema could read.
    pub bad: usize,
}

/// How deep types may nest; what is deeper is text.
const DEPTH_MAX: usize = 16;

/// What is known of the values of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// There was none.
    Nothing,
    Boolean,
    Integer,
    Double,
    Date,
    Time,
    Timestamp,
    Text,
    Row(Vec<(String, Kind)>),
    List(Box<Kind>),
}

impl Kind {
    /// Returns what holds the values of both.
    fn and(self, other: Kind) -> Kind {
        match (self, other) {
            (Kind::Nothing, kind) | (kind, Kind::Nothing) => kind,
            (Kind::Integer, Kind::Double) | (Kind::Double, Kind::Integer) => Kind::Double,
            (Kind::Row(mut fields), Kind::Row(others)) => {
                others.into_iter().for_each(|(name, kind)| add(&mut fields, name, kind));
                Kind::Row(fields)
            }
            (Kind::List(item), Kind::List(other)) => Kind::List(Box::new(item.and(*other))),
            (left, right) if left == right => left,
            _ => Kind::Text,
        }
    }

    fn of_text(text: &str) -> Kind {
        let bytes = text.as_bytes();
        let is_date = |text: &str| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok();
        match (bytes.len(), bytes.get(2)) {
            (10, _) if bytes.get(4) == Some(&b'-') && is_date(text) => Kind::Date,
            (8.., Some(b':')) if text::read_time(text).is_some() => Kind::Time,
            (19.., _) if text::read_timestamp(text, TimeUnit::Millisecond).is_some() => {
                Kind::Timestamp
            }
            _ => Kind::Text,
        }
    }

    fn of_json(value: &LazyValue<'_>, depth: usize) -> Result<Kind, String> {
        if value.is_null() {
            return Ok(Kind::Nothing);
        }
        if value.is_boolean() {
            return Ok(Kind::Boolean);
        }
        if value.is_number() {
            let is_integer = value.as_raw_str().parse::<i64>().is_ok();
            return Ok(if is_integer { Kind::Integer } else { Kind::Double });
        }
        if let Some(text) = value.as_str() {
            return Ok(Kind::of_text(text));
        }
        if depth >= DEPTH_MAX {
            return Ok(Kind::Text);
        }
        if let Some(items) = value.clone().into_array_iter() {
            let mut kind = Kind::Nothing;
            for item in items {
                let item = item.map_err(|error| error.to_string())?;
                kind = kind.and(Kind::of_json(&item, depth + 1)?);
            }
            return Ok(Kind::List(Box::new(kind)));
        }
        let mut fields = Vec::new();
        for entry in value.clone().into_object_iter().ok_or("not a value")? {
            let (key, value) = entry.map_err(|error| error.to_string())?;
            add(&mut fields, key.to_string(), Kind::of_json(&value, depth + 1)?);
        }
        Ok(Kind::Row(fields))
    }

    /// Returns what a field of CSV is; an empty one without quotes is nothing.
    fn of_field((field, is_quoted): &Written) -> Kind {
        let trimmed = field.trim();
        if trimmed.is_empty() {
            return if *is_quoted { Kind::Text } else { Kind::Nothing };
        }
        if trimmed.eq_ignore_ascii_case("true") || trimmed.eq_ignore_ascii_case("false") {
            return Kind::Boolean;
        }
        let digits = trimmed.strip_prefix('-').unwrap_or(trimmed);
        // A leading zero is part of a code: numbers do not have one. Nor do words such as `inf`.
        let is_code =
            digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        let begins = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        if begins && !is_code {
            if trimmed.parse::<i64>().is_ok() {
                return Kind::Integer;
            }
            if trimmed.parse::<f64>().is_ok() {
                return Kind::Double;
            }
        }
        Kind::of_text(trimmed)
    }

    fn data_type(&self) -> DataType {
        match self {
            Kind::Nothing | Kind::Text => DataType::Utf8View,
            Kind::Boolean => DataType::Boolean,
            Kind::Integer => DataType::Int64,
            Kind::Double => DataType::Float64,
            Kind::Date => DataType::Date32,
            Kind::Time => DataType::Time32(TimeUnit::Millisecond),
            Kind::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            // There is no ROW without fields; text takes any value.
            Kind::Row(fields) if fields.is_empty() => DataType::Utf8View,
            Kind::Row(fields) => DataType::Struct(columns(fields)),
            Kind::List(item) => {
                DataType::List(Arc::new(Field::new("item", item.data_type(), true)))
            }
        }
    }
}

/// Adds what is known of a field; a name must not be empty.
fn add(fields: &mut Vec<(String, Kind)>, name: String, kind: Kind) {
    match fields.iter_mut().find(|(known, _)| *known == name) {
        Some((_, known)) => *known = std::mem::replace(known, Kind::Nothing).and(kind),
        None if name.is_empty() => {}
        None => fields.push((name, kind)),
    }
}

fn columns(fields: &[(String, Kind)]) -> Fields {
    fields.iter().map(|(name, kind)| Field::new(name, kind.data_type(), true)).collect()
}

/// Infers a schema from at most `rows` objects of NDJSON; the last line is whole.
pub fn json(block: &[u8], rows: usize) -> Inferred {
    let (mut fields, mut seen, mut bad) = (Vec::new(), 0, 0);
    let all = lines(block).map(|(from, to)| block[from..to].trim_ascii());
    for line in all.filter(|line| !line.is_empty()).take(rows) {
        seen += 1;
        match object(line) {
            Ok(object) => object.into_iter().for_each(|(name, kind)| add(&mut fields, name, kind)),
            Err(_) => bad += 1,
        }
    }
    let schema = Arc::new(Schema::new(columns(&fields)));
    Inferred { schema, options: Vec::new(), rows: seen, bad }
}

fn object(line: &[u8]) -> Result<Vec<(String, Kind)>, String> {
    let mut fields = Vec::new();
    for entry in to_object_iter(line) {
        let (key, value) = entry.map_err(|error| error.to_string())?;
        fields.push((key.to_string(), Kind::of_json(&value, 1)?));
    }
    Ok(fields)
}

/// Infers a schema from at most `rows` records of CSV; the last one is whole. Without `header` the
/// first record is one if a value of it does not fit the others of its column.
pub fn csv(block: &[u8], rows: usize, delimiter: Option<u8>, header: Option<bool>) -> Inferred {
    let block = block.strip_prefix("\u{feff}".as_bytes()).unwrap_or(block);
    let usual = Dialect::default().delimiter;
    let delimiter = delimiter.unwrap_or_else(|| likely_delimiter(block, usual));
    let dialect = Dialect { delimiter, ..Dialect::default() };
    let mut records = csv::cut(&dialect, block);
    records.truncate(rows.saturating_add(usize::from(header != Some(false))));
    let count = records.iter().flatten().next().map_or(0, Vec::len);
    let whole: Vec<&Vec<Written>> =
        records.iter().flatten().filter(|record| record.len() == count).collect();
    let mut kinds = vec![Kind::Nothing; count];
    let gather = |kinds: &mut Vec<Kind>, record: &[Written]| {
        for (kind, field) in kinds.iter_mut().zip(record) {
            *kind = std::mem::replace(kind, Kind::Nothing).and(Kind::of_field(field));
        }
    };
    whole.iter().skip(1).for_each(|record| gather(&mut kinds, record));
    let first = whole.first().map_or(&[][..], |record| record.as_slice());
    let has_header = header.unwrap_or_else(|| {
        // A number among numbers of another kind is no name.
        let widened = |field: &Written, kind: &Kind| kind.clone().and(Kind::of_field(field));
        first.iter().zip(&kinds).any(|(field, kind)| {
            !matches!(kind, Kind::Nothing | Kind::Text) && widened(field, kind) == Kind::Text
        })
    });
    if !has_header {
        gather(&mut kinds, first);
    }
    let names = names(if has_header { first } else { &[] }, count);
    let fields: Vec<(String, Kind)> = names.into_iter().zip(kinds).collect();
    let mut options = Vec::new();
    if delimiter != usual {
        let text = if delimiter == b'\t' { "\\t".to_owned() } else { char::from(delimiter).into() };
        options.push(("csv.field-delimiter", text));
    }
    if has_header {
        options.push(("csv.header", "true".to_owned()));
    }
    let seen = records.len().saturating_sub(usize::from(has_header));
    let bad = records.len() - whole.len();
    Inferred { schema: Arc::new(Schema::new(columns(&fields))), options, rows: seen, bad }
}

/// Returns the character that cuts the first line into the most fields.
fn likely_delimiter(block: &[u8], usual: u8) -> u8 {
    let line = block.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| line.iter().filter(|byte| **byte == delimiter).count();
    match count(usual) {
        0 => {
            let others = [b';', b'\t', b'|'].into_iter().filter(|other| count(*other) > 0);
            others.max_by_key(|other| count(*other)).unwrap_or(usual)
        }
        _ => usual,
    }
}

/// Names `count` columns by a header, each by its own name.
fn names(header: &[Written], count: usize) -> Vec<String> {
    let mut names: Vec<String> = Vec::with_capacity(count);
    for index in 0..count {
        let written = header.get(index).map_or("", |(name, _)| name.trim());
        let base = match written {
            "" => format!("column_{}", index + 1),
            written => written.to_owned(),
        };
        let numbered = (2..).map(|number| format!("{base}_{number}"));
        let mut free = std::iter::once(base.clone()).chain(numbered);
        names.extend(free.find(|name| !names.contains(name)));
    }
    names
}

/// Returns the columns of a Parquet file that SQL has types for, and the names of the others.
pub fn parquet(schema: &Schema) -> (SchemaRef, Vec<String>) {
    let (mut fields, mut others) = (Vec::new(), Vec::new());
    for field in schema.fields() {
        match sql_type(field.data_type()) {
            Some(kind) => fields.push(Field::new(field.name(), kind, true)),
            None => others.push(field.name().clone()),
        }
    }
    (Arc::new(Schema::new(fields)), others)
}

/// Returns the type in SQL that takes all values of a type.
fn sql_type(kind: &DataType) -> Option<DataType> {
    use DataType as D;
    let nullable = |name: &str, kind: &DataType| Some(Field::new(name, sql_type(kind)?, true));
    Some(match kind {
        D::Boolean | D::Int8 | D::Int16 | D::Int32 | D::Int64 | D::Float32 | D::Float64 => {
            kind.clone()
        }
        D::Decimal128(_, 0..) | D::Date32 => kind.clone(),
        D::UInt8 => D::Int16,
        D::UInt16 => D::Int32,
        D::UInt32 => D::Int64,
        D::UInt64 => D::Decimal128(20, 0),
        D::Float16 => D::Float32,
        D::Decimal32(precision, scale @ 0..) | D::Decimal64(precision, scale @ 0..) => {
            D::Decimal128(*precision, *scale)
        }
        D::Utf8 | D::LargeUtf8 | D::Utf8View | D::Null => D::Utf8View,
        D::Binary | D::LargeBinary | D::BinaryView | D::FixedSizeBinary(_) => D::Binary,
        D::Date64 => D::Date32,
        D::Time32(_) | D::Time64(_) => D::Time32(TimeUnit::Millisecond),
        D::Timestamp(unit, zone) => D::Timestamp(*unit, zone.as_ref().map(|_| "UTC".into())),
        D::Dictionary(_, values) => sql_type(values)?,
        D::List(item) | D::LargeList(item) | D::FixedSizeList(item, _) => {
            D::List(Arc::new(nullable("item", item.data_type())?))
        }
        D::Struct(fields) => {
            let fields = fields.iter().map(|field| nullable(field.name(), field.data_type()));
            D::Struct(fields.collect::<Option<Vec<Field>>>()?.into())
        }
        D::Map(entries, is_sorted) => {
            let D::Struct(pair) = entries.data_type() else { return None };
            let [key, value] = pair.as_ref() else { return None };
            let key = Field::new("key", sql_type(key.data_type())?, false);
            let value = nullable("value", value.data_type())?;
            let pair = D::Struct(vec![key, value].into());
            D::Map(Arc::new(Field::new("entries", pair, false)), *is_sorted)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
