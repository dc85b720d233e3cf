//! What a table says about its JSON: the options `json.…`, `debezium-json.…` and the like.
//!
//! | Option | Meaning |
//! |---|---|
//! | `ignore-parse-errors` | `true`: a field that cannot be read is NULL; a record is bad only if it is no object |
//! | `fail-on-missing-field` | `true`: a record without a field of the table is bad |
//! | `timestamp-format.standard` | `SQL` or `ISO-8601`: the one form that is read and written |
//! | `encode.decimal-as-plain-number` | `false`: `1E+2` rather than `100` |
//! | `encode.ignore-null-fields` | `true`: a field that is NULL is left out |
//! | `map-null-key.mode`, `map-null-key.literal` | obeyed by having no effect: keys of maps are never NULL |
//! | `decode.json-parser.enabled` | no meaning here: there is one parser |

use thalweg_plan::connector::Options;
use thalweg_types::{Error, Result};

/// Options of format `json`.
pub(super) const JSON: [&str; 8] = [
    "json.ignore-parse-errors",
    "json.fail-on-missing-field",
    "json.timestamp-format.standard",
    "json.encode.decimal-as-plain-number",
    "json.encode.ignore-null-fields",
    "json.map-null-key.mode",
    "json.map-null-key.literal",
    "json.decode.json-parser.enabled",
];

/// How times are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standard {
    /// Either form is read, and SQL's is written.
    #[default]
    Any,
    /// `2020-04-15 08:05:00.123`, with `Z` behind a time of a zone.
    Sql,
    /// `2020-04-15T08:05:00.123`, with `Z` behind a time of a zone.
    Iso,
}

/// How JSON is read and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JsonDialect {
    /// Is a field that cannot be read NULL?
    pub is_lenient: bool,
    /// Is a record bad that lacks a field?
    pub needs_fields: bool,
    /// How times are written.
    pub times: Standard,
    /// Are decimals written with an exponent, where it is shorter?
    pub is_scientific: bool,
    /// Are fields left out that are NULL?
    pub leaves_out_null: bool,
}

impl JsonDialect {
    /// Returns the dialect of a table, whose options begin with the name of its `format`.
    ///
    /// # Errors
    /// `Invalid`, naming the option.
    pub fn of(options: &Options, format: &str) -> Result<JsonDialect> {
        let key = |name: &str| format!("{format}.{name}");
        let flag = |name: &str| options.flag(&key(name));
        flag("decode.json-parser.enabled")?;
        let modes = ["FAIL", "DROP", "LITERAL"];
        one_of(options, &key("map-null-key.mode"), &modes)?;
        let standards = ["SQL", "ISO-8601"];
        let times = match one_of(options, &key("timestamp-format.standard"), &standards)? {
            None => Standard::Any,
            Some(0) => Standard::Sql,
            Some(_) => Standard::Iso,
        };
        let dialect = JsonDialect {
            is_lenient: flag("ignore-parse-errors")?.unwrap_or(false),
            needs_fields: flag("fail-on-missing-field")?.unwrap_or(false),
            times,
            is_scientific: !flag("encode.decimal-as-plain-number")?.unwrap_or(true),
            leaves_out_null: flag("encode.ignore-null-fields")?.unwrap_or(false),
        };
        if dialect.is_lenient && dialect.needs_fields {
            let (one, other) = (key("fail-on-missing-field"), key("ignore-parse-errors"));
            return Err(Error::invalid(format!(
                "options '{one}' and '{other}' exclude each other"
            )));
        }
        Ok(dialect)
    }
}

/// Returns which of some values an option has, whatever the case of its letters.
fn one_of(options: &Options, key: &str, values: &[&str]) -> Result<Option<usize>> {
    let Some(text) = options.get(key) else { return Ok(None) };
    let found = values.iter().position(|value| value.eq_ignore_ascii_case(text));
    let wrong = || Error::invalid(format!("option '{key}' cannot be '{text}'"));
    found.map(Some).ok_or_else(|| wrong().remedy(format!("known: {}", values.join(", "))))
}
