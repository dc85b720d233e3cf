//! Connectors by name: how `WITH ('connector' = '…')` becomes a source or a sink.
//!
//! Invariant: a registry is filled once, where the program is wired together, and not changed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Field, Schema, SchemaRef};
use thalweg_types::{Error, Result};

use crate::sink::Sink;
use crate::source::{Changes, Source};

/// The options of a table, as written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options(pub BTreeMap<String, String>);

impl Options {
    /// Returns the value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// Returns the value of `key`.
    ///
    /// # Errors
    /// `Invalid` if it is missing.
    pub fn required(&self, key: &str) -> Result<&str> {
        self.get(key).ok_or_else(|| Error::invalid(format!("option '{key}' is missing")))
    }

    /// Returns the value of `key` as a whole number.
    ///
    /// # Errors
    /// `Invalid` if it is not one.
    pub fn number(&self, key: &str) -> Result<Option<u64>> {
        self.parsed(key, "a whole number", |text| text.parse().ok())
    }

    /// Returns the value of `key` as `true` or `false`.
    ///
    /// # Errors
    /// `Invalid` if it is neither.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.parsed(key, "true or false", |text| text.to_ascii_lowercase().parse().ok())
    }

    /// Returns the value of `key` as a time span such as `5s`, `500 ms` or `1 min`.
    ///
    /// # Errors
    /// `Invalid` if it is not one.
    pub fn duration(&self, key: &str) -> Result<Option<Duration>> {
        self.parsed(key, "a time span such as '5s'", parse_duration)
    }

    /// Returns the value of `key` as a size in bytes such as `128MB`.
    ///
    /// # Errors
    /// `Invalid` if it is not one.
    pub fn bytes(&self, key: &str) -> Result<Option<u64>> {
        self.parsed(key, "a size such as '128MB'", parse_bytes)
    }

    fn parsed<T>(&self, key: &str, kind: &str, f: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
        let Some(text) = self.get(key) else { return Ok(None) };
        let value = f(text.trim());
        value
            .map(Some)
            .ok_or_else(|| Error::invalid(format!("option '{key}' is not {kind}: '{text}'")))
    }

    /// Refuses options that are not in `known`, naming the nearest one.
    ///
    /// # Errors
    /// `Invalid` with the unknown name.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        for key in self.0.keys() {
            if !known.contains(&key.as_str()) {
                let error = Error::invalid(format!("unknown option '{key}'"));
                return Err(match nearest(key, known) {
                    Some(near) => error.remedy(format!("did you mean '{near}'?")),
                    None => error.remedy(format!("known options: {}", known.join(", "))),
                });
            }
        }
        Ok(())
    }
}

/// Splits `5 min` into its number and its unit, in lower case.
fn number_and_unit(text: &str) -> Option<(u64, String)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..end].parse().ok()?;
    Some((number, text[end..].trim().to_ascii_lowercase()))
}

/// Reads a time span the way Flink writes them.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let nanos: u64 = match unit.as_str() {
        "ns" | "nano" | "nanosecond" | "nanoseconds" => 1,
        "us" | "µs" | "micro" | "microsecond" | "microseconds" => 1_000,
        "" | "ms" | "milli" | "millisecond" | "milliseconds" => 1_000_000,
        "s" | "sec" | "second" | "seconds" => 1_000_000_000,
        "m" | "min" | "minute" | "minutes" => 60_000_000_000,
        "h" | "hour" | "hours" => 3_600_000_000_000,
        "d" | "day" | "days" => 86_400_000_000_000,
        _ => return None,
    };
    number.checked_mul(nanos).map(Duration::from_nanos)
}

/// Reads a size the way Flink writes them: units are powers of 1,024.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let shift = match unit.as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kib" | "kibibytes" => 10,
        "m" | "mb" | "mib" | "mebibytes" => 20,
        "g" | "gb" | "gib" | "gibibytes" => 30,
        "t" | "tb" | "tib" | "tebibytes" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

/// Returns the candidate nearest to `name` if it is near enough to be meant.
pub fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let bound = (name.chars().count() / 3).max(2);
    candidates
        .iter()
        .map(|candidate| (distance(name, candidate), *candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, in characters.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, r) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

/// The key of metadata that tables never declare, and plans ask of sources of changelogs: is the row the
/// old half of an update that keeps its primary key? BOOLEAN, and of an insertion or a deletion false.
pub const OLD_HALF: &str = "row.is-old-half";

/// A column that says where a row comes from.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// What it holds, one of [`Connector::metadata`].
    pub key: String,
    /// Its name, and the type that the connector gives it.
    pub field: Field,
}

/// A table as its `CREATE TABLE` describes it to a connector.
#[derive(Clone, Debug)]
pub struct TableSpec {
    /// Name of the table.
    pub name: String,
    /// The physical columns, without computed ones and metadata.
    pub schema: SchemaRef,
    /// Columns that are read beside the physical ones, and never written.
    pub metadata: Vec<Metadata>,
    /// Columns of the primary key, none if there is no key.
    pub primary_key: Vec<String>,
    /// Physical columns by whose values the table is cut into partitions, the outermost first.
    pub partitions: Vec<String>,
    /// The connector's own options; those of the engine are taken out.
    pub options: Options,
}

impl TableSpec {
    /// Returns a table of physical columns, without a key or partitions.
    pub fn new(name: &str, schema: SchemaRef, options: Options) -> TableSpec {
        let (metadata, primary_key, partitions) = (Vec::new(), Vec::new(), Vec::new());
        TableSpec { name: name.to_owned(), schema, metadata, primary_key, partitions, options }
    }

    /// Returns the columns that can be read: the physical ones, then the metadata.
    pub fn readable(&self) -> SchemaRef {
        if self.metadata.is_empty() {
            return self.schema.clone();
        }
        let metadata = self.metadata.iter().map(|column| Arc::new(column.field.clone()));
        let fields = self.schema.fields().iter().cloned().chain(metadata);
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

/// Makes sources and sinks of one kind.
pub trait Connector: Send + Sync + Debug {
    /// Returns the name by which tables ask for it.
    fn name(&self) -> &'static str;

    /// Returns the metadata that the sources of a table with these options hand over, by their keys.
    fn metadata(&self, _options: &Options) -> Vec<Field> {
        Vec::new()
    }

    /// Do its sinks keep the partitions of a table apart?
    fn has_partitions(&self) -> bool {
        false
    }

    /// Do its sources claim watermarks themselves, for `SOURCE_WATERMARK()`?
    fn has_watermarks(&self) -> bool {
        false
    }

    /// Returns what the rows of a table say that is read. Sources of a [`Changes::Changelog`] with a
    /// primary key hand over [`OLD_HALF`] where it is asked for.
    fn changes(&self, table: &TableSpec) -> Changes {
        let _ = table;
        Changes::Append
    }

    /// Returns the keys of options whose names do not depend on the table, for whoever writes one.
    fn options(&self) -> Vec<&'static str>;

    /// Checks schema and options when a table is created; touches nothing outside.
    ///
    /// # Errors
    /// `Invalid`, naming the option or column.
    fn validate(&self, table: &TableSpec) -> Result<()>;

    /// Makes a source that hands over `columns` of [`TableSpec::readable`], in that order.
    ///
    /// # Errors
    /// `Invalid` if this connector cannot be read.
    fn source(&self, table: &TableSpec, columns: &[usize]) -> Result<Arc<dyn Source>>;

    /// Makes a sink for rows of the table's schema.
    ///
    /// # Errors
    /// `Invalid` if this connector cannot be written.
    fn sink(&self, table: &TableSpec) -> Result<Arc<dyn Sink>>;
}

/// The connectors of a program, by name.
#[derive(Clone, Debug)]
pub struct Registry(Vec<Arc<dyn Connector>>);

impl Registry {
    /// Returns a registry of `connectors`.
    pub fn new(connectors: Vec<Arc<dyn Connector>>) -> Registry {
        Registry(connectors)
    }

    /// Returns all connectors.
    pub fn all(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.0.iter()
    }

    /// Returns the connector called `name`.
    ///
    /// # Errors
    /// `Invalid`, naming the nearest one.
    pub fn get(&self, name: &str) -> Result<&Arc<dyn Connector>> {
        if let Some(found) = self.0.iter().find(|connector| connector.name() == name) {
            return Ok(found);
        }
        let names: Vec<&str> = self.0.iter().map(|connector| connector.name()).collect();
        let error = Error::invalid(format!("unknown connector '{name}'"));
        Err(match nearest(name, &names) {
            Some(near) => error.remedy(format!("did you mean '{near}'?")),
            None => error.remedy(format!("known connectors: {}", names.join(", "))),
        })
    }
}

#[cfg(test)]
mod tests;
