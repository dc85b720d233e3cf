//! What users' functions keep, for people: entries of their states as JSON.
//!
//! Invariant: what is shown is what is stored, in whatever version; nothing is migrated.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Int64Type};
use rmp_serde::Deserializer;
use serde::de::{Deserialize, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thalweg_api::Timestamp;
use thalweg_plan::layout::{KeptState, KeyColumn, Layout};
use thalweg_plan::process::{EPOCH_END, StateKind};
use thalweg_state::StateReader;
use thalweg_types::{Error, EventTime, Result};

use super::{Named, batch};

/// The table of timers: behind the key their basis and their time.
const TIMERS: &str = "timers";

/// Returns the entries of the keys that `matching` keeps, and of broadcast state all: the key, the state, what
/// tells its entries apart, and the value. Timers follow, as if they were a state.
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
            let rows = if state.kind.is_shared() { rows } else { matching(&rows)? };
            shown.push(entries(layout, state, &rows)?);
        }
    }
    for rows in from.table(TIMERS)? {
        shown.push(timers(layout, &matching(&rows)?)?);
    }
    let Some(first) = shown.first() else { return Ok(super::empty()) };
    Ok(concat_batches(&first.schema(), &shown)?)
}

/// Returns the columns of the key.
fn key_columns(layout: &Layout, rows: &RecordBatch) -> Vec<Named> {
    let keys = layout.key.iter().zip(rows.columns());
    keys.map(|(key, column)| (key.name.clone(), column.clone())).collect()
}

/// Returns the columns of a key for what is of none.
fn no_key(layout: &Layout, rows: usize) -> Result<Vec<Named>> {
    let column = |key: &KeyColumn| {
        let kind: DataType = key
            .kind
            .parse()
            .map_err(|error| Error::state(format!("`{}` is no type: {error}", key.kind)))?;
        Ok((key.name.clone(), new_null_array(&kind, rows)))
    };
    layout.key.iter().map(column).collect()
}

fn text(texts: Vec<Option<String>>) -> ArrayRef {
    Arc::new(StringArray::from(texts))
}

/// Returns timers as entries: of event time or of the clock, and their times.
fn timers(layout: &Layout, rows: &RecordBatch) -> Result<RecordBatch> {
    let mut columns = key_columns(layout, rows);
    let damaged = || Error::state("the timers are damaged");
    let column = |at: usize| rows.columns().get(layout.values_at + at).ok_or_else(damaged);
    let is_event = column(0)?.as_boolean_opt().ok_or_else(damaged)?;
    let times = column(1)?.as_primitive_opt::<Int64Type>().ok_or_else(damaged)?;
    let basis = |is_event: Option<bool>| {
        is_event.map(|is_event| if is_event { "event time" } else { "clock" }.to_owned())
    };
    let time = |nanos: Option<i64>| {
        nanos.map(|nanos| match EventTime(nanos) {
            EPOCH_END => Value::from("end of the epoch").to_string(),
            EventTime(nanos) => {
                Value::from(Timestamp(nanos.div_euclid(1_000_000)).to_string()).to_string()
            }
        })
    };
    columns.push(("state".to_owned(), text(vec![Some("timer".to_owned()); rows.num_rows()])));
    columns.push(("entry".to_owned(), text(is_event.iter().map(basis).collect())));
    columns.push(("value".to_owned(), text(times.iter().map(time).collect())));
    batch(columns, rows.num_rows())
}

/// Returns the entries of one state.
fn entries(layout: &Layout, state: &KeptState, rows: &RecordBatch) -> Result<RecordBatch> {
    let (mut columns, first) = match state.kind.is_shared() {
        true => (no_key(layout, rows.num_rows())?, 0),
        false => (key_columns(layout, rows), layout.values_at),
    };
    let bytes = |from_first: usize| -> Result<&BinaryArray> {
        let column = rows.columns().get(first + from_first);
        column.and_then(|column| column.as_binary_opt()).ok_or_else(|| damaged(state))
    };
    // Between them stands the version of the value.
    let (entries, values) = (bytes(0)?, bytes(2)?);
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
