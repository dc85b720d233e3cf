//! Newline-delimited JSON, decoded straight into columns.
//!
//! Only the columns that are asked for are decoded; the SIMD parser skips the rest. A record that
//! does not fit is taken out again, so its neighbours never notice.

use std::sync::Arc;

use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use sonic_rs::{JsonValueTrait, to_object_iter};
use thalweg_types::Result;

use super::column::{self, Column};
use super::json_dialect::JsonDialect;
use super::lines::lines;
use super::{Decoded, Decoder, Malformed};

/// Decodes JSON objects, one a line.
#[derive(Debug)]
pub struct JsonDecoder {
    dialect: JsonDialect,
    schema: SchemaRef,
    columns: Vec<Column>,
    /// Row in which each column was set last.
    set: Vec<usize>,
}

impl JsonDecoder {
    /// Returns a decoder of `columns` of rows of `schema`.
    ///
    /// # Errors
    /// `Invalid` if a type has no form in JSON.
    pub fn new(dialect: JsonDialect, schema: &SchemaRef, columns: &[usize]) -> Result<JsonDecoder> {
        let schema = Arc::new(schema.project(columns)?);
        let made = schema.fields().iter().map(|field| Column::new(field));
        let columns = made.collect::<Result<Vec<_>>>()?;
        Ok(JsonDecoder { dialect, set: vec![usize::MAX; columns.len()], schema, columns })
    }

    /// Decodes one object as row `row`; on an error the row is left incomplete.
    fn object(&mut self, line: &[u8], row: usize) -> Result<(), String> {
        // Objects of one stream have their fields in one order: look behind the last one first.
        let mut expected = 0;
        for entry in to_object_iter(line) {
            let (key, value) = entry.map_err(|error| reason(&error))?;
            let fields = self.schema.fields();
            let count = fields.len();
            let found = (0..count)
                .map(|step| (expected + step) % count)
                .find(|index| fields[*index].name().as_str() == key.as_ref());
            let Some(index) = found else { continue };
            expected = index + 1;
            if self.set[index] == row {
                return Err(format!("column `{key}`: the field stands there twice"));
            }
            if value.is_null() {
                self.set_null(index, row)?;
                continue;
            }
            match self.columns[index].push(&value, &self.dialect) {
                Ok(()) => self.set[index] = row,
                Err(_) if self.dialect.is_lenient => self.set_null(index, row)?,
                Err(error) => return Err(format!("column `{key}`: {error}")),
            }
        }
        for index in 0..self.columns.len() {
            if self.set[index] != row {
                if self.dialect.needs_fields {
                    let name = self.schema.field(index).name();
                    return Err(format!("column `{name}`: the record has no such field"));
                }
                self.set_null(index, row)?;
            }
        }
        Ok(())
    }

    /// Makes a value NULL, also one that could be read half-way.
    fn set_null(&mut self, index: usize, row: usize) -> Result<(), String> {
        let field = self.schema.field(index);
        if !field.is_nullable() {
            return Err(format!("column `{}`: NULL in a NOT NULL column", field.name()));
        }
        self.columns[index].complete(row);
        self.set[index] = row;
        Ok(())
    }
}

/// Returns the first line of a parser's message; the rest is a drawing.
fn reason(error: &sonic_rs::Error) -> String {
    let text = error.to_string();
    format!("not a JSON object: {}", text.lines().next().unwrap_or_default())
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, block: &Buffer) -> Result<Decoded> {
        let (mut keep, mut bad) = (Vec::new(), Vec::new());
        self.set.fill(usize::MAX);
        for (from, to) in lines(block) {
            let line = block[from..to].trim_ascii();
            if line.is_empty() {
                continue;
            }
            let row = keep.len();
            let outcome = match line.ends_with(b"}") {
                true => self.object(line, row),
                false => Err("not a JSON object: it does not end with `}`".to_owned()),
            };
            keep.push(outcome.is_ok());
            if let Err(error) = outcome {
                self.columns.iter_mut().for_each(|column| column.complete(row));
                bad.push(Malformed { offset: from, record: line.to_vec(), error });
            }
        }
        let rows = column::finish(&self.schema, &mut self.columns, keep)?;
        Ok(Decoded { rows, bad })
    }
}

#[cfg(test)]
mod tests;
