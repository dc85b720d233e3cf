//! What users' functions keep, for people: entries of their states as JSON.
//!
//! Invariant: what is shown is what is stored, in whatever version; nothing is migrated.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use rmp_serde::Deserializer;
use serde::de::{Deserialize, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thalweg_plan::layout::{KeptState, Layout};
use thalweg_plan::process::StateKind;
use thalweg_state::StateReader;
use thalweg_types::{Error, Result};

use super::{Named, batch};

/// Returns the entries of the keys that `matching` keeps: the key, the state, what tells its entries apart,
/// and the value.
///
/// # Errors
/// `State` if an entry cannot be read.
pub(super) fn rows(
    layout: &Layout,
    from: &StateReader,
    matching: impl Fn(&RecordBatch) -> Result<RecordBatch>,
) -> Result<RecordBatch> {
    let mut shown = Vec::new();
    for state in &layout.states {
        for rows in from.table(&state.kind.table(&state.name))? {
            let rows = matching(&rows)?;
            shown.push(entries(layout, state, &rows)?);
        }
    }
    let Some(first) = shown.first() else { return Ok(super::empty()) };
    Ok(concat_batches(&first.schema(), &shown)?)
}

/// Returns the entries of one state.
fn entries(layout: &Layout, state: &KeptState, rows: &RecordBatch) -> Result<RecordBatch> {
    let keys = layout.key.iter().zip(rows.columns());
    let mut columns: Vec<Named> =
        keys.map(|(key, column)| (key.name.clone(), column.clone())).collect();
    let bytes = |from_values: usize| -> Result<&BinaryArray> {
        let column = rows.columns().get(layout.values_at + from_values);
        column.and_then(|column| column.as_binary_opt()).ok_or_else(|| damaged(state))
    };
    // Between them stands the version of the value.
    let (entries, values) = (bytes(0)?, bytes(2)?);
    let text = |texts: Vec<Option<String>>| -> ArrayRef { Arc::new(StringArray::from(texts)) };
    columns.push(("state".to_owned(), text(vec![Some(state.name.clone()); rows.num_rows()])));
    let entry = |bytes: Option<&[u8]>| match (state.kind, bytes) {
        (StateKind::List, Some(place)) => {
            let place = place.try_into().map_err(|_| damaged(state))?;
            Ok(Some(u64::from_be_bytes(place).to_string()))
        }
        (StateKind::Map | StateKind::Broadcast, Some(key)) => json(state, key).map(Some),
        (StateKind::Value | StateKind::Reducing, _) | (_, None) => Ok(None),
    };
    let entries = entries.iter().map(entry).collect::<Result<_>>()?;
    columns.push(("entry".to_owned(), text(entries)));
    let value = |bytes: Option<&[u8]>| bytes.map(|bytes| json(state, bytes)).transpose();
    let values = values.iter().map(value).collect::<Result<_>>()?;
    columns.push(("value".to_owned(), text(values)));
    batch(columns, rows.num_rows())
}

fn damaged(state: &KeptState) -> Error {
    Error::state(format!("state `{}` is damaged", state.name))
}

/// Returns a value of a state as JSON.
fn json(state: &KeptState, bytes: &[u8]) -> Result<String> {
    let value = Plain::deserialize(&mut Deserializer::new(bytes));
    let Plain(value) = value.map_err(|error| damaged(state).caused_by(error))?;
    Ok(value.to_string())
}

/// A value of any type.
struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Plain, D::Error> {
        from.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> std::result::Result<Plain, E> {
        Ok(Plain(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> std::result::Result<Plain, E> {
        Ok(Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> std::result::Result<Plain, E> {
        Ok(Plain(value.into()))
    }

    /// What JSON has no number for is a text.
    fn visit_f64<E>(self, value: f64) -> std::result::Result<Plain, E> {
        Ok(Plain(Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number)))
    }

    fn visit_str<E>(self, value: &str) -> std::result::Result<Plain, E> {
        Ok(Plain(value.into()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> std::result::Result<Plain, E> {
        Ok(Plain(value.into()))
    }

    fn visit_unit<E>(self) -> std::result::Result<Plain, E> {
        Ok(Plain(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> std::result::Result<Plain, A::Error> {
        let mut values = Vec::new();
        while let Some(Plain(value)) = from.next_element()? {
            values.push(value);
        }
        Ok(Plain(values.into()))
    }

    /// A key that is no text is the text of its JSON.
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> std::result::Result<Plain, A::Error> {
        let mut values = Map::new();
        while let Some((Plain(key), Plain(value))) = from.next_entry()? {
            let key = match key {
                Value::String(key) => key,
                key => key.to_string(),
            };
            values.insert(key, value);
        }
        Ok(Plain(values.into()))
    }
}
