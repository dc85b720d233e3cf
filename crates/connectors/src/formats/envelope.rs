//! What other systems wrap changes of rows in: Debezium, Canal, Maxwell; and records with a key, as
//! a compacted topic of Kafka has them.
//!
//! | Format | A line | What it says |
//! |---|---|---|
//! | `debezium-json` | `{"before":…,"after":…,"op":"c"}` | `c` and `r` insert, `u` updates, `d` deletes |
//! | `canal-json` | `{"data":[…],"old":[…],"type":"INSERT"}` | `old` has what an update changed |
//! | `maxwell-json` | `{"data":…,"old":…,"type":"insert"}` | the same for one row |
//! | `upsert-json` | `{"key":…,"value":…}` | the row of the key is now this; `null`: there is none |

use regex::Regex;
use thalweg_plan::connector::{Options, TableSpec};
use thalweg_plan::sink::Accepts;
use thalweg_plan::source::Changes;
use thalweg_types::{Error, Result};

/// The format of records with a key.
pub(super) const UPSERT: &str = "upsert-json";

/// Which columns a value of `upsert-json` is written with.
pub(super) const FIELDS_INCLUDE: &str = "upsert-json.value.fields-include";
const SCHEMA_INCLUDE: &str = "debezium-json.schema-include";
const DATABASE_INCLUDE: &str = "canal-json.database.include";
const TABLE_INCLUDE: &str = "canal-json.table.include";

/// Options of `debezium-json`.
pub(super) const DEBEZIUM_OPTIONS: [&str; 9] = [
    SCHEMA_INCLUDE,
    "debezium-json.ignore-parse-errors",
    "debezium-json.fail-on-missing-field",
    "debezium-json.timestamp-format.standard",
    "debezium-json.encode.decimal-as-plain-number",
    "debezium-json.encode.ignore-null-fields",
    "debezium-json.map-null-key.mode",
    "debezium-json.map-null-key.literal",
    "debezium-json.decode.json-parser.enabled",
];
/// Options of `canal-json`.
pub(super) const CANAL_OPTIONS: [&str; 8] = [
    DATABASE_INCLUDE,
    TABLE_INCLUDE,
    "canal-json.ignore-parse-errors",
    "canal-json.timestamp-format.standard",
    "canal-json.encode.decimal-as-plain-number",
    "canal-json.encode.ignore-null-fields",
    "canal-json.map-null-key.mode",
    "canal-json.map-null-key.literal",
];
/// Options of `maxwell-json`.
pub(super) const MAXWELL_OPTIONS: [&str; 6] = [
    "maxwell-json.ignore-parse-errors",
    "maxwell-json.timestamp-format.standard",
    "maxwell-json.encode.decimal-as-plain-number",
    "maxwell-json.encode.ignore-null-fields",
    "maxwell-json.map-null-key.mode",
    "maxwell-json.map-null-key.literal",
];
/// Options of `upsert-json`.
pub(super) const UPSERT_OPTIONS: [&str; 8] = [
    FIELDS_INCLUDE,
    "upsert-json.ignore-parse-errors",
    "upsert-json.fail-on-missing-field",
    "upsert-json.timestamp-format.standard",
    "upsert-json.encode.decimal-as-plain-number",
    "upsert-json.encode.ignore-null-fields",
    "upsert-json.map-null-key.mode",
    "upsert-json.map-null-key.literal",
];

/// What a change of a row is wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// Debezium's, without the schema of Kafka Connect.
    Debezium,
    /// Alibaba's Canal's.
    Canal,
    /// Zendesk's Maxwell's.
    Maxwell,
}

impl Envelope {
    /// Returns the envelope of a format.
    pub(super) fn of(format: &str) -> Option<Envelope> {
        match format {
            "debezium-json" => Some(Envelope::Debezium),
            "canal-json" => Some(Envelope::Canal),
            "maxwell-json" => Some(Envelope::Maxwell),
            _ => None,
        }
    }

    /// Returns what stands before a row that is written, and behind it.
    pub(super) fn around(self, is_delete: bool) -> (&'static str, &'static str) {
        match (self, is_delete) {
            (Envelope::Debezium, false) => (r#"{"before":null,"after":"#, r#","op":"c"}"#),
            (Envelope::Debezium, true) => (r#"{"before":"#, r#","after":null,"op":"d"}"#),
            (Envelope::Canal, false) => (r#"{"data":["#, r#"],"type":"INSERT"}"#),
            (Envelope::Canal, true) => (r#"{"data":["#, r#"],"type":"DELETE"}"#),
            (Envelope::Maxwell, false) => (r#"{"data":"#, r#","type":"insert"}"#),
            (Envelope::Maxwell, true) => (r#"{"data":"#, r#","type":"delete"}"#),
        }
    }
}

/// Returns what the rows of a table say, by its format.
pub fn changes(options: &Options) -> Changes {
    match options.get("format") {
        Some(UPSERT) => Changes::Upsert,
        Some(format) if Envelope::of(format).is_some() => Changes::Changelog,
        _ => Changes::Append,
    }
}

/// Returns which results a table can carry, by its format.
///
/// # Errors
/// `Invalid` if the format needs a key and the table has none.
pub fn accepts(table: &TableSpec) -> Result<Accepts> {
    Ok(match changes(&table.options) {
        Changes::Append => Accepts::Append,
        Changes::Changelog => Accepts::Changelog,
        Changes::Upsert => Accepts::Upsert(key(table)?),
    })
}

/// Returns the columns of a table's primary key, in the order of the table.
///
/// # Errors
/// `Invalid` if there are none, or rows of a key could move between partitions.
pub(super) fn key(table: &TableSpec) -> Result<Vec<usize>> {
    let is_key = |column: &str| table.primary_key.iter().any(|key| key == column);
    if table.primary_key.is_empty() {
        let message = format!("format '{UPSERT}' needs a table with a PRIMARY KEY");
        return Err(Error::invalid(message).remedy("declare PRIMARY KEY (…) NOT ENFORCED"));
    }
    if let Some(column) = table.partitions.iter().find(|column| !is_key(column)) {
        let message = format!(
            "format '{UPSERT}' cannot be partitioned by column `{column}`, which is not part of \
             the PRIMARY KEY"
        );
        return Err(Error::invalid(message).remedy("partition by columns of the key"));
    }
    let fields = table.schema.fields().iter().enumerate();
    Ok(fields.filter(|(_, field)| is_key(field.name())).map(|(column, _)| column).collect())
}

/// Is Debezium's payload wrapped together with its schema?
///
/// # Errors
/// `Invalid` if the option is neither true nor false.
pub(super) fn has_schema(options: &Options) -> Result<bool> {
    Ok(options.flag(SCHEMA_INCLUDE)?.unwrap_or(false))
}

/// Is a value of `upsert-json` written with the columns of the key, too?
///
/// # Errors
/// `Invalid` if the option is something else.
pub(super) fn value_has_key(options: &Options) -> Result<bool> {
    match options.get(FIELDS_INCLUDE) {
        None | Some("ALL") => Ok(true),
        Some("EXCEPT_KEY") => Ok(false),
        Some(other) => {
            Err(Error::invalid(format!("option '{FIELDS_INCLUDE}' cannot be '{other}'"))
                .remedy("known: ALL, EXCEPT_KEY"))
        }
    }
}

/// Checks the options of envelopes and of records with a key.
///
/// # Errors
/// `Invalid`, naming the option.
pub(super) fn check(options: &Options) -> Result<()> {
    has_schema(options)?;
    value_has_key(options)?;
    Included::of(options).map(|_| ())
}

/// Which databases and tables of Canal's are read.
#[derive(Clone, Debug)]
pub(super) struct Included {
    pub(super) database: Option<Regex>,
    pub(super) table: Option<Regex>,
}

impl Included {
    /// Returns what a table asks for.
    ///
    /// # Errors
    /// `Invalid` if a pattern is none.
    pub(super) fn of(options: &Options) -> Result<Included> {
        let pattern = |key: &str| {
            let Some(text) = options.get(key) else { return Ok(None) };
            // As in Java, a pattern is about the whole name.
            Regex::new(&format!("^(?:{text})$")).map(Some).map_err(|error| {
                let message = format!("option '{key}' is no regular expression: '{text}'");
                Error::invalid(message).caused_by(error)
            })
        };
        Ok(Included { database: pattern(DATABASE_INCLUDE)?, table: pattern(TABLE_INCLUDE)? })
    }
}
