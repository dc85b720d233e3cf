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
use super::lines::lines;
use super::{Decoded, Decoder, Malformed};

/// Decodes JSON objects, one a line.
#[derive(Debug)]
pub struct JsonDecoder {
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
    pub fn new(schema: &SchemaRef, columns: &[usize]) -> Result<JsonDecoder> {
        let schema = Arc::new(schema.project(columns)?);
        let made = schema.fields().iter().map(|field| Column::new(field));
        let columns = made.collect::<Result<Vec<_>>>()?;
        Ok(JsonDecoder { set: vec![usize::MAX; columns.len()], schema, columns })
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
                continue;
            }
            self.columns[index].push(&value).map_err(|error| format!("column `{key}`: {error}"))?;
            self.set[index] = row;
        }
        for (index, column) in self.columns.iter_mut().enumerate() {
            if self.set[index] != row {
                let field = self.schema.field(index);
                if !field.is_nullable() {
                    return Err(format!("column `{}`: NULL in a NOT NULL column", field.name()));
                }
                column.push_null();
                self.set[index] = row;
            }
        }
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
