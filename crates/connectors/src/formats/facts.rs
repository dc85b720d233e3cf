//! What a line of a changelog says of a change beside its rows: when it was made, and where.
//!
//! Invariant: what a line does not say is NULL in its rows; a value of another kind makes it a bad record.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, TimeUnit};
use sonic_rs::{JsonValueTrait, LazyValue, get};
use thalweg_plan::connector::{Options, TableSpec};
use thalweg_types::{Error, Result};

use super::envelope;
use super::json::reason;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    /// Time since 1970, and of how many milliseconds its unit is.
    Instant(i64),
}

/// A fact of a format: the key of its metadata, where it stands in a line, and what it is.
type Known = (&'static str, &'static [&'static str], Kind);

const DEBEZIUM: [Known; 5] = [
    ("value.ingestion-timestamp", &["ts_ms"], Kind::Instant(1)),
    ("value.source.timestamp", &["source", "ts_ms"], Kind::Instant(1)),
    ("value.source.database", &["source", "db"], Kind::Text),
    ("value.source.schema", &["source", "schema"], Kind::Text),
    ("value.source.table", &["source", "table"], Kind::Text),
];

const CANAL: [Known; 4] = [
    ("value.ingestion-timestamp", &["ts"], Kind::Instant(1)),
    ("value.event-timestamp", &["es"], Kind::Instant(1)),
    ("value.database", &["database"], Kind::Text),
    ("value.table", &["table"], Kind::Text),
];

const MAXWELL: [Known; 3] = [
    ("value.ingestion-timestamp", &["ts"], Kind::Instant(1000)),
    ("value.database", &["database"], Kind::Text),
    ("value.table", &["table"], Kind::Text),
];

/// Returns what lines of a table's format say.
fn known(options: &Options) -> &'static [Known] {
    match options.get("format") {
        Some("debezium-json") => &DEBEZIUM,
        Some("canal-json") => &CANAL,
        Some("maxwell-json") => &MAXWELL,
        _ => &[],
    }
}

/// Returns the metadata that a table's format has.
pub fn metadata(options: &Options) -> Vec<Field> {
    let fields = known(options).iter().map(|(key, _, kind)| Field::new(*key, kind.column(), true));
    fields.collect()
}

impl Kind {
    fn column(self) -> DataType {
        match self {
            Kind::Text => DataType::Utf8View,
            Kind::Instant(_) => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        }
    }
}

/// The values of a fact, row by row.
#[derive(Debug)]
enum Values {
    Texts(Vec<Option<String>>),
    Instants { unit: i64, times: Vec<Option<i64>> },
}

/// Reads a fact.
#[derive(Debug)]
pub(super) struct Fact {
    key: &'static str,
    path: Vec<&'static str>,
    values: Values,
}

impl Fact {
    /// Returns what reads the metadata `key` of a table.
    ///
    /// # Errors
    /// `Invalid` if an option is wrong, `Internal` if the format has no such metadata.
    pub(super) fn new(table: &TableSpec, key: &str) -> Result<Fact> {
        let found = known(&table.options).iter().find(|(known, ..)| *known == key);
        let (key, path, kind) =
            found.ok_or_else(|| Error::internal(format!("no metadata `{key}`")))?;
        let wrapped = envelope::has_schema(&table.options)?.then_some("payload");
        let values = match kind {
            Kind::Text => Values::Texts(Vec::new()),
            Kind::Instant(unit) => Values::Instants { unit: *unit, times: Vec::new() },
        };
        Ok(Fact { key, path: wrapped.into_iter().chain(path.iter().copied()).collect(), values })
    }

    /// Takes what a line says, for so many rows.
    pub(super) fn add(&mut self, line: &[u8], rows: usize) -> Result<(), String> {
        let value = match get(line, &self.path) {
            Ok(value) if !value.is_null() => Some(value),
            // Of what is no object nothing is said.
            Err(error) if !(error.is_not_found() || error.is_unmatched_type()) => {
                return Err(reason(&error));
            }
            Ok(_) | Err(_) => None,
        };
        let key = self.key;
        let odd = |value: &LazyValue<'_>| format!("metadata `{key}`: found {}", value.as_raw_str());
        match &mut self.values {
            Values::Texts(texts) => {
                let text =
                    value.map(|value| value.as_str().map(str::to_owned).ok_or_else(|| odd(&value)));
                texts.extend(std::iter::repeat_n(text.transpose()?, rows));
            }
            Values::Instants { unit, times } => {
                let time = value.map(|value| {
                    let time = value.as_i64().and_then(|time| time.checked_mul(*unit));
                    time.ok_or_else(|| odd(&value))
                });
                times.extend(std::iter::repeat_n(time.transpose()?, rows));
            }
        }
        Ok(())
    }

    /// Lets there be so many rows, those without a value being left out in the end.
    pub(super) fn fill(&mut self, rows: usize) {
        match &mut self.values {
            Values::Texts(texts) => texts.resize(rows, None),
            Values::Instants { times, .. } => times.resize(rows, None),
        }
    }

    /// Returns the column, and begins an empty one.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match &mut self.values {
            Values::Texts(texts) => Arc::new(StringViewArray::from_iter(std::mem::take(texts))),
            Values::Instants { times, .. } => {
                let times = TimestampMillisecondArray::from(std::mem::take(times));
                Arc::new(times.with_timezone("UTC"))
            }
        }
    }
}
