//! SQL for others to read: names, texts and types as a script has them.
//!
//! What must always hold: what is written here is read back as the same name, text or type.

use std::borrow::Cow;

use datafusion::arrow::datatypes::DataType;
use datafusion::sql::sqlparser::keywords::{
    ALL_KEYWORDS, ALL_KEYWORDS_INDEX, RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_IDENTIFIER,
    RESERVED_FOR_TABLE_ALIAS,
};

use crate::types;

/// Words that Flink's dialect keeps for itself and people use as names, beyond those that the
/// parser needs.
const RESERVED: [&str; 69] = [
    "ALL",
    "AND",
    "ANY",
    "ARRAY",
    "AS",
    "BETWEEN",
    "BIGINT",
    "BINARY",
    "BOOLEAN",
    "BOTH",
    "BY",
    "CASE",
    "CAST",
    "CHAR",
    "COLUMN",
    "CONDITION",
    "CONSTRAINT",
    "COUNT",
    "CREATE",
    "CURRENT",
    "DATE",
    "DAY",
    "DECIMAL",
    "DEFAULT",
    "DELETE",
    "DISTINCT",
    "DOUBLE",
    "DROP",
    "ELSE",
    "END",
    "EXISTS",
    "EXTRACT",
    "FALSE",
    "FLOAT",
    "HOUR",
    "IN",
    "INSERT",
    "INT",
    "INTERVAL",
    "IS",
    "LANGUAGE",
    "LIKE",
    "MINUTE",
    "MODULE",
    "MONTH",
    "NOT",
    "NULL",
    "OR",
    "POSITION",
    "PRIMARY",
    "RANGE",
    "RANK",
    "ROW",
    "ROWS",
    "SECOND",
    "TABLE",
    "TIME",
    "TIMESTAMP",
    "TO",
    "TRUE",
    "UNIQUE",
    "UNNEST",
    "UPDATE",
    "USER",
    "VALUE",
    "VALUES",
    "WATERMARK",
    "WHEN",
    "YEAR",
];

/// Returns a name as it stands in SQL: in back-ticks where it needs them.
pub fn name(text: &str) -> Cow<'_, str> {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let is_plain = begins && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_plain && !is_reserved(text) {
        true => Cow::from(text),
        false => Cow::from(format!("`{}`", text.replace('`', "``"))),
    }
}

fn is_reserved(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    if RESERVED.contains(&upper.as_str()) {
        return true;
    }
    let known = ALL_KEYWORDS.binary_search(&upper.as_str()).ok();
    known.and_then(|index| ALL_KEYWORDS_INDEX.get(index)).is_some_and(|keyword| {
        RESERVED_FOR_COLUMN_ALIAS.contains(keyword)
            || RESERVED_FOR_TABLE_ALIAS.contains(keyword)
            || RESERVED_FOR_IDENTIFIER.contains(keyword)
    })
}

/// Returns a text in quotes.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns the name of a type in Flink's dialect.
pub fn type_name(kind: &DataType) -> String {
    types::name(kind)
}

#[cfg(test)]
mod tests;
