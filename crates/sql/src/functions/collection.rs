//! Functions over arrays and maps.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, MapArray, MapBuilder, MapFieldNames, StringViewBuilder, StructArray,
    UInt32Array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::compute::{cast, concat, take};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::arrow::row::{RowConverter, SortField};
use datafusion::error::Result;
use regex::Regex;
use thalweg_types::Error;

use super::regexp::{Expressions, check_pattern};
use super::{Function, Kind, text_at};
use crate::text::wrap;
use crate::types;

pub(super) fn all() -> Vec<Function> {
    vec![
        Function::new("ELEMENT(array)", &[Kind::Array])
            .named("element", |kinds, _| match &kinds[0] {
                DataType::List(field) => field.data_type().clone(),
                _ => DataType::Null,
            })
            .body(element),
        Function::new("MAP_UNION(map[, map, …])", &[Kind::Map])
            .repeated()
            .named("map_union", |kinds, _| match sides(&kinds[0]) {
                Some((key, value)) => types::map(key, value, true),
                None => DataType::Null,
            })
            .body(map_union),
        Function::new(
            "STR_TO_MAP(text[, pair delimiter, value delimiter])",
            &[Kind::Text, Kind::Text, Kind::Text],
        )
        .optional(2)
        .checked(|constants| [1, 2].into_iter().try_for_each(|at| check_pattern(constants, at)))
        .named("str_to_map", |_, _| text_map())
        .body(str_to_map),
    ]
}

/// The only element of each array; NULL if there is none.
fn element(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let Some(lists) = columns[0].as_list_opt::<i32>() else { return Ok(columns[0].clone()) };
    let mut places = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let length = if lists.is_valid(row) { lists.value_length(row) } else { 0 };
        if length > 1 {
            let error = format!("ELEMENT takes an array of one element, and this one has {length}");
            return Err(wrap(Error::data(error)));
        }
        let start = u32::try_from(lists.value_offsets()[row]).ok();
        places.push(start.filter(|_| length == 1));
    }
    Ok(take(lists.values(), &UInt32Array::from(places), None)?)
}

/// Returns the types of a map's keys and values; there is one type of texts.
fn sides(kind: &DataType) -> Option<(DataType, DataType)> {
    let DataType::Map(entries, _) = kind else { return None };
    let DataType::Struct(sides) = entries.data_type() else { return None };
    let [key, value] = &sides[..] else { return None };
    let kind = |side: &FieldRef| match side.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        other => other.clone(),
    };
    Some((kind(key), kind(value)))
}

/// The entries of all maps; of two with one key, the later one stays.
fn map_union(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let kinds = sides(columns[0].data_type());
    if columns.iter().any(|column| sides(column.data_type()) != kinds) {
        let error = Error::invalid("MAP_UNION takes maps of one type");
        return Err(wrap(error.remedy("CAST them to one")));
    }
    let Some((key, value)) = kinds else { return Ok(columns[0].clone()) };
    let DataType::Map(entries, _) = types::map(key.clone(), value.clone(), true) else {
        return Err(wrap(Error::internal("a map that is none")));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(wrap(Error::internal("a map without entries")));
    };
    let maps: Vec<&MapArray> = columns.iter().map(|column| column.as_map()).collect();
    let all = |side: fn(&MapArray) -> &ArrayRef, kind: &DataType| -> Result<ArrayRef> {
        let sides = maps.iter().map(|map| Ok(cast(side(map), kind)?));
        let sides = sides.collect::<Result<Vec<_>>>()?;
        Ok(concat(&sides.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)
    };
    let (keys, values) = (all(MapArray::keys, &key)?, all(MapArray::values, &value)?);
    let (places, lengths) = united(&maps, &keys)?;
    let sides = [keys, values].map(|side| take(&side, &places, None));
    let sides = sides.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
    let pairs = StructArray::try_new(fields.clone(), sides, None)?;
    let nulls = maps.iter().fold(None, |nulls, map| NullBuffer::union(nulls.as_ref(), map.nulls()));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(MapArray::try_new(entries, offsets, pairs, nulls, false)?))
}

/// Returns which entries stay, of all maps after each other, and how many there are in each row.
fn united(maps: &[&MapArray], keys: &ArrayRef) -> Result<(UInt32Array, Vec<usize>)> {
    let converter = RowConverter::new(vec![SortField::new(keys.data_type().clone())])?;
    let keys = converter.convert_columns(std::slice::from_ref(keys))?;
    let rows = maps.first().map_or(0, |map| map.len());
    let (mut places, mut lengths) = (Vec::new(), Vec::with_capacity(rows));
    for row in 0..rows {
        let (mut base, start) = (0, places.len());
        for map in maps {
            let (from, to) = (map.value_offsets()[row], map.value_offsets()[row + 1]);
            for at in base + from as usize..base + to as usize {
                let mut known = places[start..].iter_mut();
                match known.find(|known| keys.row(**known as usize) == keys.row(at)) {
                    Some(known) => *known = at as u32,
                    None => places.push(at as u32),
                }
            }
            base += map.keys().len();
        }
        lengths.push(places.len() - start);
    }
    Ok((UInt32Array::from(places), lengths))
}

/// Returns `MAP<STRING, STRING>` as `types` lays maps out.
fn text_map() -> DataType {
    let key = Field::new("key", DataType::Utf8View, false);
    let value = Field::new("value", DataType::Utf8View, true);
    let entries = DataType::Struct(Fields::from(vec![key, value]));
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

/// The pairs of a text, by regular expressions; a key that comes again counts last, as does an
/// absent value as NULL.
fn str_to_map(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = columns[0].as_string_view();
    let known =
        |text: &str| Regex::new(text).map_err(|error| wrap(Error::internal(error.to_string())));
    let (comma, equals) = (known(",")?, known("=")?);
    let mut given = columns[1..].iter().map(Expressions::new);
    let (mut pairs, mut values) = (given.next(), given.next());
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let (keys, held) = (StringViewBuilder::new(), StringViewBuilder::new());
    let mut maps = MapBuilder::new(Some(names), keys, held);
    for row in 0..texts.len() {
        let pairs = pairs.as_mut().map_or(Ok(Some(&comma)), |pairs| pairs.at(row))?;
        let values = values.as_mut().map_or(Ok(Some(&equals)), |values| values.at(row))?;
        let Some(((text, pairs), values)) = text_at(texts, row).zip(pairs).zip(values) else {
            maps.append(false)?;
            continue;
        };
        for (key, value) in entries(text, pairs, values) {
            maps.keys().append_value(key);
            maps.values().append_option(value);
        }
        maps.append(true)?;
    }
    Ok(Arc::new(maps.finish()))
}

/// Returns the pairs of a text, each key once.
fn entries<'a>(text: &'a str, pairs: &Regex, values: &Regex) -> Vec<(&'a str, Option<&'a str>)> {
    let mut entries: Vec<(&str, Option<&str>)> = Vec::new();
    for pair in pairs.split(text) {
        let mut sides = values.splitn(pair, 2);
        let (key, value) = (sides.next().unwrap_or(""), sides.next());
        match entries.iter_mut().find(|(known, _)| *known == key) {
            Some(entry) => entry.1 = value,
            None => entries.push((key, value)),
        }
    }
    entries
}
