//! Folders that are named after the values of columns, as Hive has them: `dt=2024-01-01/hr=10/…`.
//!
//! Invariants: a value that is written as the name of a folder is read back as the same value; a
//! NULL and the empty text have the one default name. What a folder's name says stands in no file.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use thalweg_plan::connector::TableSpec;
use thalweg_types::{Change, Error, Result};

use crate::formats::{self, text};

/// The option that names the folder of NULL.
pub(super) const DEFAULT_NAME: &str = "partition.default-name";

/// The columns that a table is partitioned by.
#[derive(Clone, Debug)]
pub(super) struct Partitions {
    /// The columns, outermost first.
    schema: SchemaRef,
    /// Where they are in the table.
    keys: Vec<usize>,
    /// Name of the folder of NULL.
    default_name: String,
}

impl Default for Partitions {
    fn default() -> Partitions {
        let schema = Arc::new(Schema::empty());
        Partitions { schema, keys: Vec::new(), default_name: String::new() }
    }
}

impl Partitions {
    /// Returns the partitions of a table; none has no columns.
    ///
    /// # Errors
    /// `Invalid` if a column cannot name a folder.
    pub(super) fn of(table: &TableSpec) -> Result<Partitions> {
        let keys = table.partitions.iter().map(|name| Ok(table.schema.index_of(name)?));
        let keys = keys.collect::<Result<Vec<usize>>>()?;
        let schema: SchemaRef = table.schema.project(&keys)?.into();
        if let Some(field) = schema.fields().iter().find(|field| field.data_type().is_nested()) {
            let name = field.name();
            return Err(Error::invalid(format!("column `{name}`: no nested type names a folder")));
        }
        let default_name = table.options.get(DEFAULT_NAME).unwrap_or("__DEFAULT_PARTITION__");
        if default_name.is_empty() {
            return Err(Error::invalid(format!("option '{DEFAULT_NAME}' is empty")));
        }
        Ok(Partitions { schema, keys, default_name: default_name.to_owned() })
    }

    /// Returns where the columns are in the table, outermost first.
    pub(super) fn keys(&self) -> &[usize] {
        &self.keys
    }

    /// Returns the column of a level of folders, counted from 0.
    pub(super) fn at(&self, level: usize) -> Option<&Field> {
        self.schema.fields().get(level).map(AsRef::as_ref)
    }

    /// Returns the columns of the table that stand in its files.
    pub(super) fn in_files(&self, table: &Schema) -> Vec<usize> {
        (0..table.fields().len()).filter(|column| !self.keys.contains(column)).collect()
    }

    /// Returns what the folders of a path say, as one row of the partition columns.
    ///
    /// # Errors
    /// `Data` if a folder is missing or its name is no value of the column.
    pub(super) fn values(&self, path: &str) -> Result<RecordBatch> {
        let columns = self.schema.fields().iter().map(|field| self.value(field, path));
        let columns = columns.collect::<Result<_>>()?;
        // A table without partitions has one row of no columns.
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }

    fn value(&self, field: &Field, path: &str) -> Result<ArrayRef> {
        let key = field.name();
        // The table's own path may have folders of such names too: the last one counts.
        let found = path.rsplit('/').find_map(|folder| value_in(folder, key));
        let found = found.ok_or_else(|| {
            Error::data(format!("`{path}` is in no folder `{}`", name_of(key, "…")))
        })?;
        let value = unescape(found);
        let value = (value != self.default_name).then_some(value.as_str());
        formats::value(field, value).map_err(|error| {
            Error::data(format!("folder `{key}={found}` of `{path}`, column `{key}`: {error}"))
        })
    }

    /// Tells rows of the table apart by the folders that they go to, each behind a `/`.
    ///
    /// Shapes: in `n` rows of the table; out at most `n` changes of its columns that stand in
    /// files, `n` rows in all, order kept within each.
    ///
    /// # Errors
    /// Whatever Arrow refuses.
    pub(super) fn apart(&self, change: &Change) -> Result<Vec<(String, Change)>> {
        if self.keys.is_empty() {
            return Ok(vec![(String::new(), change.clone())]);
        }
        let keys = change.rows.project(&self.keys)?;
        let in_files = self.in_files(&change.schema());
        let rows = change.rows.project(&in_files)?;
        let change = Change { rows, weights: change.weights.clone() };
        let mut groups = self.groups(&keys)?;
        if groups.len() == 1 {
            return Ok(groups.pop().map(|(folder, _)| (folder, change)).into_iter().collect());
        }
        let apart = groups
            .into_iter()
            .map(|(folder, rows)| Ok((folder, change.take(&UInt32Array::from(rows))?)));
        apart.collect()
    }

    /// Returns the rows of each folder, in the order in which they come.
    fn groups(&self, keys: &RecordBatch) -> Result<Vec<(String, Vec<u32>)>> {
        let kinds = keys.columns().iter().map(|column| SortField::new(column.data_type().clone()));
        let rows = RowConverter::new(kinds.collect())?.convert_columns(keys.columns())?;
        // Values that differ may have one folder: NULL and the empty text.
        let (mut by_key, mut by_folder) = (HashMap::new(), HashMap::new());
        let mut groups: Vec<(String, Vec<u32>)> = Vec::new();
        for (row, key) in rows.iter().enumerate() {
            let group = *by_key.entry(key).or_insert_with(|| {
                let folder = self.folder(keys, row);
                *by_folder.entry(folder).or_insert_with_key(|folder| {
                    groups.push((folder.clone(), Vec::new()));
                    groups.len() - 1
                })
            });
            groups[group].1.push(row as u32);
        }
        Ok(groups)
    }

    /// Returns the folder of a row of the partition columns.
    fn folder(&self, keys: &RecordBatch, row: usize) -> String {
        let (mut folder, mut value) = (String::new(), String::new());
        for (field, column) in self.schema.fields().iter().zip(keys.columns()) {
            value.clear();
            if column.is_valid(row) {
                text::write_value(column, row, &mut value);
            }
            let value = if value.is_empty() { &self.default_name } else { &value };
            folder.push_str(&name_of(field.name(), value));
            folder.push('/');
        }
        folder
    }
}

/// Returns the value of a column that the name of a folder says, escaped as it is.
pub(super) fn value_in<'f>(folder: &'f str, key: &str) -> Option<&'f str> {
    let (name, value) = folder.split_once('=')?;
    (name == key || unescape(name) == key).then_some(value)
}

/// Returns the name of a folder.
pub(super) fn name_of(key: &str, value: &str) -> String {
    let mut name = String::new();
    escape(key, &mut name);
    name.push('=');
    escape(value, &mut name);
    name
}

/// Writes what may not stand in the name of a folder as `%` and two digits, as Hive does.
fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        let is_special = matches!(c, '\0'..='\x1f' | '\x7f' | '"' | '#' | '%' | '\'' | '*' | '/')
            || matches!(c, ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^');
        match is_special {
            // Writing to a string cannot fail.
            true => write!(out, "%{:02X}", u32::from(c)).unwrap_or_default(),
            false => out.push(c),
        }
    }
}

/// Undoes [`escape`]; a `%` without two digits behind it stands for itself.
fn unescape(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 3).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[at + 3..];
            }
            None => {
                out.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
