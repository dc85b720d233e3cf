//! Columns in the making.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::filter_record_batch;
use arrow::datatypes::*;
use sonic_rs::{JsonValueTrait, LazyValue};
use thalweg_types::{Error, Result};

use super::json_dialect::{JsonDialect, Standard};
use super::{not_null, text};

/// A column that values are pushed to, one for each row.
#[derive(Debug)]
pub(super) enum Column {
    Boolean(BooleanBuilder),
    Int(DataType, Int64Builder),
    Float(Float64Builder, bool),
    Text(StringViewBuilder),
    PlainText(StringBuilder),
    Bytes(BinaryBuilder),
    Decimal(Decimal128Builder, u8, i8),
    Date(Date32Builder),
    Time(Time32MillisecondBuilder),
    Timestamp(DataType, TimeUnit, Int64Builder),
    Struct(Fields, Vec<Column>, Vec<bool>),
    List(FieldRef, Box<Column>, Vec<i32>, Vec<bool>),
    Map(Map),
}

/// Maps: keys and values of all rows, and where each row's begin.
#[derive(Debug)]
pub(super) struct Map {
    entries: FieldRef,
    value: FieldRef,
    keys: Box<Column>,
    values: Box<Column>,
    offsets: Vec<i32>,
    valid: Vec<bool>,
}

/// Is an empty field of this type a value?
pub(super) fn is_text(kind: &DataType) -> bool {
    matches!(kind, DataType::Utf8 | DataType::Utf8View)
}

/// Makes rows of what was pushed, and keeps those that are whole: `keep` has a flag for each.
///
/// # Errors
/// None that data can cause.
pub(super) fn finish(
    schema: &SchemaRef,
    columns: &mut [Column],
    keep: Vec<bool>,
) -> Result<RecordBatch> {
    let arrays: Vec<ArrayRef> = columns.iter_mut().map(Column::finish).collect();
    let count = keep.len();
    let rows = not_null::batch(&not_null::loose_schema(schema), arrays, count)?;
    let rows = match keep.iter().all(|keep| *keep) {
        true => rows,
        false => filter_record_batch(&rows, &BooleanArray::from(keep))?,
    };
    let fields = schema.fields().iter().zip(rows.columns());
    let columns = fields.map(|(field, column)| not_null::declared(column, field.data_type()));
    not_null::batch(schema, columns.collect::<Result<_>>()?, rows.num_rows())
}

/// How the elements of an array or row are told apart in a field of CSV.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elements {
    /// Stands between elements.
    pub delimiter: Cow<'static, str>,
    /// An element that means NULL.
    pub null: Option<String>,
}

/// The usual elements.
pub(super) const ELEMENTS: Elements = Elements { delimiter: Cow::Borrowed(";"), null: None };

impl Column {
    /// Returns an empty column for values of `field`.
    ///
    /// # Errors
    /// `Invalid` if its type has no form in text.
    pub(super) fn new(field: &Field) -> Result<Column> {
        use DataType as D;
        Ok(match field.data_type() {
            D::Boolean => Column::Boolean(BooleanBuilder::new()),
            kind @ (D::Int8 | D::Int16 | D::Int32 | D::Int64) => {
                Column::Int(kind.clone(), Int64Builder::new())
            }
            D::Float64 => Column::Float(Float64Builder::new(), false),
            D::Float32 => Column::Float(Float64Builder::new(), true),
            D::Utf8View => Column::Text(StringViewBuilder::new()),
            D::Utf8 => Column::PlainText(StringBuilder::new()),
            D::Binary => Column::Bytes(BinaryBuilder::new()),
            D::Decimal128(precision, scale) => {
                let kind = field.data_type().clone();
                let builder = Decimal128Builder::new().with_data_type(kind);
                Column::Decimal(builder, *precision, *scale)
            }
            D::Date32 => Column::Date(Date32Builder::new()),
            D::Time32(TimeUnit::Millisecond) => Column::Time(Time32MillisecondBuilder::new()),
            kind @ D::Timestamp(unit, _) => {
                Column::Timestamp(kind.clone(), *unit, Int64Builder::new())
            }
            D::Struct(fields) => {
                let children = fields.iter().map(|field| Column::new(field));
                Column::Struct(fields.clone(), children.collect::<Result<_>>()?, Vec::new())
            }
            D::List(element) => {
                let child = Box::new(Column::new(element)?);
                Column::List(element.clone(), child, vec![0], Vec::new())
            }
            D::Map(entries, _) => Column::Map(Map::new(entries)?),
            other => {
                let name = field.name();
                return Err(Error::invalid(format!(
                    "column `{name}`: type {other} cannot be read from text"
                )));
            }
        })
    }

    /// Returns how many rows it has.
    pub(super) fn len(&self) -> usize {
        match self {
            Column::Boolean(builder) => builder.len(),
            Column::Int(_, builder) | Column::Timestamp(_, _, builder) => builder.len(),
            Column::Float(builder, _) => builder.len(),
            Column::Text(builder) => builder.len(),
            Column::PlainText(builder) => builder.len(),
            Column::Bytes(builder) => builder.len(),
            Column::Decimal(builder, _, _) => builder.len(),
            Column::Date(builder) => builder.len(),
            Column::Time(builder) => builder.len(),
            Column::Map(map) => map.valid.len(),
            Column::Struct(_, _, valid) | Column::List(_, _, _, valid) => valid.len(),
        }
    }

    /// Makes row `row` complete, whatever was pushed for it.
    pub(super) fn complete(&mut self, row: usize) {
        if let Column::Struct(_, children, valid) = self {
            children.iter_mut().for_each(|child| child.complete(row));
            valid.resize(row + 1, false);
        } else if self.len() == row {
            self.push_null();
        }
    }

    /// Adds NULL.
    pub(super) fn push_null(&mut self) {
        match self {
            Column::Boolean(builder) => builder.append_null(),
            Column::Int(_, builder) | Column::Timestamp(_, _, builder) => builder.append_null(),
            Column::Float(builder, _) => builder.append_null(),
            Column::Text(builder) => builder.append_null(),
            Column::PlainText(builder) => builder.append_null(),
            Column::Bytes(builder) => builder.append_null(),
            Column::Decimal(builder, _, _) => builder.append_null(),
            Column::Date(builder) => builder.append_null(),
            Column::Time(builder) => builder.append_null(),
            Column::Map(map) => map.end(false),
            Column::Struct(_, children, valid) => {
                children.iter_mut().for_each(Column::push_null);
                valid.push(false);
            }
            Column::List(_, child, offsets, valid) => {
                // Elements of a list that failed half-way belong to its NULL.
                offsets.push(child.len() as i32);
                valid.push(false);
            }
        }
    }

    /// Adds a value that is not NULL, written as a field of CSV is; after an error the row must be
    /// completed.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(super) fn push_field(&mut self, field: &str, elements: &Elements) -> Result<(), String> {
        let wanted = |what: &str| format!("expected {what}, found {}", shorten(field));
        match self {
            Column::Text(builder) => builder.append_value(field),
            Column::PlainText(builder) => builder.append_value(field),
            Column::Boolean(builder) => match field.trim().to_ascii_lowercase().as_str() {
                "true" => builder.append_value(true),
                "false" => builder.append_value(false),
                _ => return Err(wanted("a BOOLEAN")),
            },
            Column::Int(kind, builder) => {
                let number = in_range(kind, field.trim().parse().ok());
                builder.append_value(number.map_err(|what| wanted(&what))?);
            }
            Column::Float(builder, _) => {
                let number = field.trim().parse().map_err(|_| wanted("a number"))?;
                builder.append_value(number);
            }
            Column::Bytes(builder) => {
                let bytes = text::read_base64(field).ok_or_else(|| wanted("base 64 text"))?;
                builder.append_value(bytes);
            }
            Column::Decimal(builder, precision, scale) => {
                let number = text::read_decimal(field.trim(), *precision, *scale);
                let what = format!("a DECIMAL({precision}, {scale})");
                builder.append_value(number.ok_or_else(|| wanted(&what))?);
            }
            Column::Date(builder) => {
                let date = chrono::NaiveDate::parse_from_str(field.trim(), "%Y-%m-%d");
                let date = date.map_err(|_| wanted("a DATE such as 2020-04-15"))?;
                builder.append_value(Date32Type::from_naive_date(date));
            }
            Column::Timestamp(kind, unit, builder) => {
                let time = read_time(kind, *unit, field.trim());
                builder.append_value(time.map_err(wanted)?);
            }
            Column::Time(builder) => {
                let time = text::read_time(field.trim());
                builder.append_value(time.ok_or_else(|| wanted("a TIME such as 08:05:00"))?);
            }
            Column::List(element, child, offsets, valid) => {
                let parts = field.split(elements.delimiter.as_ref()).filter(|_| !field.is_empty());
                parts.into_iter().try_for_each(|part| child.push_part(element, part, elements))?;
                offsets.push(child.len() as i32);
                valid.push(true);
            }
            Column::Struct(fields, children, valid) => {
                let parts: Vec<&str> = field.split(elements.delimiter.as_ref()).collect();
                if parts.len() != fields.len() {
                    return Err(wanted(&format!("{} fields of a row", fields.len())));
                }
                for ((field, child), part) in fields.iter().zip(children).zip(parts) {
                    child.push_part(field, part, elements)?;
                }
                valid.push(true);
            }
            Column::Map(_) => return Err(wanted("no field of this type")),
        }
        Ok(())
    }

    /// Adds an element of a field of CSV; a part of another type than text that is empty is NULL.
    fn push_part(&mut self, field: &Field, part: &str, elements: &Elements) -> Result<(), String> {
        let is_empty = part.trim().is_empty() && !is_text(field.data_type());
        if elements.null.as_deref() != Some(part) && !is_empty {
            return self.push_field(part, elements);
        }
        not_null::check(field, "an element")?;
        self.push_null();
        Ok(())
    }

    /// Adds a value of JSON that is not NULL; after an error the row must be completed.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub(super) fn push(
        &mut self,
        value: &LazyValue<'_>,
        dialect: &JsonDialect,
    ) -> Result<(), String> {
        match self {
            Column::Boolean(builder) => {
                builder.append_value(value.as_bool().ok_or_else(|| expected("a BOOLEAN", value))?);
            }
            Column::Int(kind, builder) => builder.append_value(whole(kind, value)?),
            Column::Float(builder, _) => {
                let number = match value.as_f64() {
                    Some(number) => Some(number),
                    None => value.as_str().and_then(|text| text.parse().ok()),
                };
                builder.append_value(number.ok_or_else(|| expected("a number", value))?);
            }
            Column::Text(builder) => push_text(value, |text| builder.append_value(text)),
            Column::PlainText(builder) => push_text(value, |text| builder.append_value(text)),
            Column::Bytes(builder) => {
                let bytes = value.as_str().and_then(text::read_base64);
                builder.append_value(bytes.ok_or_else(|| expected("base 64 text", value))?);
            }
            Column::Decimal(builder, precision, scale) => {
                let raw = value.as_raw_str().trim_matches('"');
                let number = text::read_decimal(raw, *precision, *scale);
                let wanted = || expected(&format!("a DECIMAL({precision}, {scale})"), value);
                builder.append_value(number.ok_or_else(wanted)?);
            }
            Column::Date(builder) => {
                let date = value
                    .as_str()
                    .and_then(|text| chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok());
                let date = date.ok_or_else(|| expected("a DATE such as 2020-04-15", value))?;
                builder.append_value(Date32Type::from_naive_date(date));
            }
            Column::Timestamp(kind, unit, builder) => {
                builder.append_value(time(value, (kind, *unit), dialect.times)?);
            }
            Column::Time(builder) => {
                let time = value.as_str().and_then(text::read_time);
                let wanted = || expected("a TIME such as 08:05:00", value);
                builder.append_value(time.ok_or_else(wanted)?);
            }
            Column::Map(map) => map.push(value, dialect)?,
            Column::Struct(fields, children, valid) => {
                push_struct((fields, children, valid), value, dialect)?;
            }
            Column::List(element, child, offsets, valid) => {
                let items = value.clone().into_array_iter();
                for item in items.ok_or_else(|| expected("an array", value))? {
                    let item = item.map_err(|error| error.to_string())?;
                    let what = "an element of the array";
                    child.push_nested((element, what), &item, dialect)?;
                }
                offsets.push(child.len() as i32);
                valid.push(true);
            }
        }
        Ok(())
    }

    /// Adds a value of JSON within another one; NULL where there is none, or where what is wrong
    /// with it is to be ignored.
    fn push_nested(
        &mut self,
        (field, what): (&Field, &str),
        value: &LazyValue<'_>,
        dialect: &JsonDialect,
    ) -> Result<(), String> {
        let at = self.len();
        let pushed = match value.is_null() {
            true => not_null::check(field, what),
            false => self.push(value, dialect),
        };
        // A NULL, and what failed half-way, is completed as NULL.
        self.complete(at);
        match pushed {
            Err(_) if dialect.is_lenient && field.is_nullable() => Ok(()),
            pushed => pushed,
        }
    }

    /// Returns the values, and begins anew.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Boolean(builder) => Arc::new(builder.finish()),
            Column::Int(DataType::Int64, builder) => Arc::new(builder.finish()),
            Column::Int(kind, builder) => cast_checked(Arc::new(builder.finish()), kind),
            Column::Float(builder, false) => Arc::new(builder.finish()),
            Column::Float(builder, true) => {
                cast_checked(Arc::new(builder.finish()), &DataType::Float32)
            }
            Column::Text(builder) => Arc::new(builder.finish()),
            Column::PlainText(builder) => Arc::new(builder.finish()),
            Column::Bytes(builder) => Arc::new(builder.finish()),
            Column::Decimal(builder, _, _) => Arc::new(builder.finish()),
            Column::Date(builder) => Arc::new(builder.finish()),
            Column::Time(builder) => Arc::new(builder.finish()),
            Column::Map(map) => map.finish(),
            Column::Timestamp(kind, _, builder) => cast_checked(Arc::new(builder.finish()), kind),
            Column::Struct(fields, children, valid) => {
                let children = children.iter_mut().map(Column::finish).collect();
                let nulls = NullBuffer::from(std::mem::take(valid));
                Arc::new(StructArray::new(not_null::loose(fields), children, Some(nulls)))
            }
            Column::List(element, child, offsets, valid) => {
                let offsets = std::mem::replace(offsets, vec![0]);
                let nulls = NullBuffer::from(std::mem::take(valid));
                let offsets = OffsetBuffer::new(offsets.into());
                let element = not_null::loose_field(element);
                Arc::new(ListArray::new(element, offsets, child.finish(), Some(nulls)))
            }
        }
    }
}

impl Map {
    fn new(entries: &FieldRef) -> Result<Map> {
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(Error::internal("the entries of a map are no rows"));
        };
        let [keys, values] = fields.as_ref() else {
            return Err(Error::internal("the entries of a map are no pairs"));
        };
        Ok(Map {
            entries: entries.clone(),
            value: values.clone(),
            keys: Box::new(Column::new(keys)?),
            values: Box::new(Column::new(values)?),
            offsets: vec![0],
            valid: Vec::new(),
        })
    }

    /// Adds the entries of an object of JSON.
    fn push(&mut self, value: &LazyValue<'_>, dialect: &JsonDialect) -> Result<(), String> {
        let entries = value.clone().into_object_iter();
        for entry in entries.ok_or_else(|| expected("an object", value))? {
            let (key, value) = entry.map_err(|error| error.to_string())?;
            let pushed = self.keys.push_field(&key, &ELEMENTS);
            pushed.map_err(|error| format!("key `{key}`: {error}"))?;
            let pushed = self.values.push_nested((&self.value, "it"), &value, dialect);
            pushed.map_err(|error| format!("value of `{key}`: {error}"))?;
        }
        self.end(true);
        Ok(())
    }

    /// Ends a row. Entries of a map that failed half-way belong to its NULL.
    fn end(&mut self, is_valid: bool) {
        self.offsets.push(self.keys.len() as i32);
        self.valid.push(is_valid);
    }

    fn finish(&mut self) -> ArrayRef {
        let offsets = OffsetBuffer::new(std::mem::replace(&mut self.offsets, vec![0]).into());
        let nulls = NullBuffer::from(std::mem::take(&mut self.valid));
        let DataType::Map(entries, _) =
            not_null::loose_type(&DataType::Map(self.entries.clone(), false))
        else {
            unreachable!("the type of a map is one of a map")
        };
        let DataType::Struct(fields) = entries.data_type() else {
            unreachable!("checked when the column was made")
        };
        let columns = vec![self.keys.finish(), self.values.finish()];
        let pairs = StructArray::new(fields.clone(), columns, None);
        Arc::new(MapArray::new(entries, offsets, pairs, Some(nulls), false))
    }
}

/// Casts values whose range was checked when they were pushed.
fn cast_checked(array: ArrayRef, kind: &DataType) -> ArrayRef {
    arrow::compute::cast(&array, kind).expect("checked: the values fit the type")
}

/// Reads a value of the timestamp type `kind`; the error says what such values look like.
pub(super) fn read_time(kind: &DataType, unit: TimeUnit, text: &str) -> Result<i64, &'static str> {
    match kind {
        DataType::Timestamp(_, Some(_)) => {
            text::read_instant(text, unit).ok_or("a TIMESTAMP_LTZ such as 2020-04-15 08:05:00.000Z")
        }
        _ => text::read_timestamp(text, unit).ok_or("a TIMESTAMP such as 2020-04-15 08:05:00.000"),
    }
}

fn expected(what: &str, value: &LazyValue<'_>) -> String {
    format!("expected {what}, found {}", shorten(value.as_raw_str()))
}

fn shorten(raw: &str) -> String {
    let shown: String = raw.chars().take(40).collect();
    let dots = if shown.len() < raw.len() { "…" } else { "" };
    shown + dots
}

fn whole(kind: &DataType, value: &LazyValue<'_>) -> Result<i64, String> {
    let number = match value.as_i64() {
        Some(number) => Some(number),
        None => value.as_str().and_then(|text| text.parse().ok()),
    };
    in_range(kind, number).map_err(|what| expected(&what, value))
}

/// Returns the number if it fits the type, or else what would.
pub(super) fn in_range(kind: &DataType, number: Option<i64>) -> Result<i64, String> {
    let (name, bits) = match kind {
        DataType::Int8 => ("a TINYINT", 8),
        DataType::Int16 => ("a SMALLINT", 16),
        DataType::Int32 => ("an INT", 32),
        _ => ("a BIGINT", 64),
    };
    let fits =
        |number: &i64| bits == 64 || (-(1i64 << (bits - 1))..1i64 << (bits - 1)).contains(number);
    number.filter(fits).ok_or_else(|| name.to_owned())
}

/// Text as it is, without a copy where it has no escapes; other values as JSON writes them.
fn push_text(value: &LazyValue<'_>, mut push: impl FnMut(&str)) {
    let raw = value.as_raw_str();
    match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if memchr::memchr(b'\\', plain.as_bytes()).is_none() => push(plain),
        Some(_) => push(value.as_str().unwrap_or_default()),
        None => push(raw),
    }
}

/// Reads a time in the form that a table asks for.
fn time(
    value: &LazyValue<'_>,
    (kind, unit): (&DataType, TimeUnit),
    times: Standard,
) -> Result<i64, String> {
    let text = value.as_str().unwrap_or_default();
    let time = read_time(kind, unit, text).map_err(|what| expected(what, value))?;
    match (is_time_in(times, text), times) {
        (true, _) => Ok(time),
        (false, Standard::Iso) => Err(expected("a time as ISO 8601 has it", value)),
        (false, _) => Err(expected("a time as SQL writes it", value)),
    }
}

/// Is a time written in the form that a table asks for?
pub(super) fn is_time_in(times: Standard, text: &str) -> bool {
    let wrong = match times {
        Standard::Any => None,
        Standard::Sql => Some(&b'T'),
        Standard::Iso => Some(&b' '),
    };
    wrong.is_none() || text.as_bytes().get(10) != wrong
}

fn push_struct(
    (fields, children, valid): (&Fields, &mut [Column], &mut Vec<bool>),
    value: &LazyValue<'_>,
    dialect: &JsonDialect,
) -> Result<(), String> {
    let row = valid.len();
    let entries = value.clone().into_object_iter();
    let entries = entries.ok_or_else(|| expected("an object", value))?;
    let mut next = 0;
    for entry in entries {
        let (key, value) = entry.map_err(|error| error.to_string())?;
        let count = fields.len();
        let found = (0..count)
            .map(|step| (next + step) % count)
            .find(|index| fields[*index].name().as_str() == key.as_ref());
        let Some(index) = found else { continue };
        next = index + 1;
        if children[index].len() > row {
            continue;
        }
        let pushed = match value.is_null() {
            true => Ok(()),
            false => children[index].push(&value, dialect),
        };
        let field = &fields[index];
        match pushed {
            Err(error) if !dialect.is_lenient => return Err(format!("field `{key}`: {error}")),
            _ if children[index].len() > row => {}
            // It is there, and NULL.
            _ => not_null::check(field, &format!("field `{key}`"))?,
        }
        children[index].complete(row);
    }
    for (field, child) in fields.iter().zip(children.iter_mut()) {
        if child.len() == row {
            let name = format!("field `{}`", field.name());
            match dialect.needs_fields {
                true => return Err(format!("{name} is missing")),
                false => not_null::check(field, &name)?,
            }
        }
        child.complete(row);
    }
    valid.push(true);
    Ok(())
}
