//! Newline-delimited JSON, decoded straight into columns.
//!
//! Only the columns that are asked for are decoded; the SIMD parser skips the rest. A record that
//! does not fit is taken out again, so its neighbours never notice. A row may also be made of
//! several objects (`envelope.rs`): the first one that has a field counts.

mod layout;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use sonic_rs::{JsonValueTrait, to_object_iter};
use thalweg_types::{Change, Result};

use super::column::{self, Column};
use super::json_dialect::JsonDialect;
use super::lines::lines;
use super::{Decoded, Decoder, Malformed};
use layout::{Found, Layout};

/// Decodes JSON objects, one a line.
#[derive(Debug)]
pub struct JsonDecoder {
    dialect: JsonDialect,
    schema: SchemaRef,
    columns: Vec<Column>,
    /// Row in which each column was set last, and by which of its objects.
    set: Vec<(usize, usize)>,
    layouts: Layouts,
}

/// The layouts of objects that were decoded last.
#[derive(Debug, Default)]
struct Layouts {
    known: Vec<Layout>,
    /// Which one came last.
    last: usize,
    /// How many were noted in this block.
    noted: usize,
    /// The values of a row, on their way into columns.
    found: Vec<Found>,
}

/// So many layouts are known at a time.
const LAYOUTS_MAX: usize = 4;

/// So many are noted in a block: where none comes again, noting them is work in vain.
const NOTED_MAX: usize = 8;

/// No row.
const NEVER: (usize, usize) = (usize::MAX, 0);

impl JsonDecoder {
    /// Returns a decoder of `columns` of rows of `schema`.
    ///
    /// # Errors
    /// `Invalid` if a type has no form in JSON.
    pub fn new(dialect: JsonDialect, schema: &SchemaRef, columns: &[usize]) -> Result<JsonDecoder> {
        let schema = Arc::new(schema.project(columns)?);
        let made = schema.fields().iter().map(|field| Column::new(field));
        let columns = made.collect::<Result<Vec<_>>>()?;
        Ok(JsonDecoder {
            dialect,
            set: vec![NEVER; columns.len()],
            schema,
            columns,
            layouts: Layouts::default(),
        })
    }

    /// Begins a block: its first row is 0.
    pub(super) fn begin(&mut self) {
        self.set.fill(NEVER);
        self.layouts.noted = 0;
    }

    /// Decodes some objects as row `row`; on an error the row is left incomplete.
    pub(super) fn row(&mut self, objects: &[&[u8]], row: usize) -> Result<(), String> {
        for (part, object) in objects.iter().enumerate() {
            self.fields(object, (row, part))?;
        }
        for index in 0..self.columns.len() {
            if self.set[index].0 != row {
                if self.dialect.needs_fields {
                    let name = self.schema.field(index).name();
                    return Err(format!("column `{name}`: the record has no such field"));
                }
                self.set_null(index, (row, 0))?;
            }
        }
        Ok(())
    }

    /// Decodes an object as the columns of row `row` that it has; the others become NULL where
    /// `schema` lets them, whatever the table declares.
    pub(super) fn some(
        &mut self,
        object: &[u8],
        row: usize,
        schema: &SchemaRef,
    ) -> Result<(), String> {
        self.fields(object, (row, 0))?;
        let mut fields = schema.fields().iter().zip(&self.set);
        let missing = fields.find(|(field, set)| set.0 != row && !field.is_nullable());
        if let Some((field, _)) = missing {
            return Err(format!("column `{}`: NULL in a NOT NULL column", field.name()));
        }
        self.complete(row);
        Ok(())
    }

    /// Makes row `row` complete, whatever was decoded of it.
    pub(super) fn complete(&mut self, row: usize) {
        self.columns.iter_mut().for_each(|column| column.complete(row));
    }

    /// Returns the rows of the block that are to be kept, as rows of `schema`.
    pub(super) fn finish(&mut self, schema: &SchemaRef, keep: Vec<bool>) -> Result<RecordBatch> {
        column::finish(schema, &mut self.columns, keep)
    }

    /// Decodes the fields of an object that no earlier one of its row had.
    fn fields(&mut self, object: &[u8], place: (usize, usize)) -> Result<(), String> {
        if !object.ends_with(b"}") {
            return Err("not a JSON object: it does not end with `}`".to_owned());
        }
        // Objects of one stream have their fields in one order: look behind the last one first.
        let mut expected = 0;
        for entry in to_object_iter(object) {
            let (key, value) = entry.map_err(|error| reason(&error))?;
            let fields = self.schema.fields();
            let count = fields.len();
            let found = (0..count)
                .map(|step| (expected + step) % count)
                .find(|index| fields[*index].name().as_str() == key.as_ref());
            let Some(index) = found else { continue };
            expected = index + 1;
            match self.set[index] {
                set if set == place => {
                    return Err(format!("column `{key}`: the field stands there twice"));
                }
                (row, _) if row == place.0 => continue,
                _ => {}
            }
            if value.is_null() {
                self.set_null(index, place)?;
                continue;
            }
            match self.columns[index].push(&value, &self.dialect) {
                Ok(()) => self.set[index] = place,
                Err(_) if self.dialect.is_lenient => self.set_null(index, place)?,
                Err(error) => return Err(format!("column `{key}`: {error}")),
            }
        }
        Ok(())
    }

    /// Decodes an object as row `row` if it is laid out as one of the last ones.
    fn repeated(&mut self, object: &str, row: usize) -> bool {
        let Layouts { known, last, found, .. } = &mut self.layouts;
        for step in 0..known.len() {
            let index = (*last + step) % known.len();
            let (layout, times) = (&known[index], self.dialect.times);
            if layout.find(object, &self.columns, times, found).is_some() {
                layout.push(object, found, &mut self.columns, row);
                *last = index;
                return true;
            }
        }
        false
    }

    /// Notes the layout of an object that was decoded.
    fn note(&mut self, object: &str) {
        let Layouts { known, last, noted, .. } = &mut self.layouts;
        if *noted == NOTED_MAX {
            return;
        }
        *noted += 1;
        let fields = self.schema.fields();
        let find = |key: &str| {
            let index = fields.iter().position(|field| field.name() == key)?;
            Some((index, fields[index].is_nullable()))
        };
        let Some(layout) = Layout::of(object, &self.columns, find) else { return };
        match known.len() {
            LAYOUTS_MAX => {
                *last = (*last + 1) % LAYOUTS_MAX;
                known[*last] = layout;
            }
            _ => {
                *last = known.len();
                known.push(layout);
            }
        }
    }

    /// Makes a value NULL, also one that could be read half-way.
    fn set_null(&mut self, index: usize, place: (usize, usize)) -> Result<(), String> {
        let field = self.schema.field(index);
        if !field.is_nullable() {
            return Err(format!("column `{}`: NULL in a NOT NULL column", field.name()));
        }
        self.columns[index].complete(place.0);
        self.set[index] = place;
        Ok(())
    }
}

/// Returns the first line of a parser's message; the rest is a drawing.
pub(super) fn reason(error: &sonic_rs::Error) -> String {
    let text = error.to_string();
    format!("not a JSON object: {}", text.lines().next().unwrap_or_default())
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, block: &Buffer) -> Result<Decoded> {
        let (mut keep, mut bad) = (Vec::new(), Vec::new());
        self.begin();
        // Lines of a block that is text are text.
        let text = simdutf8::basic::from_utf8(block).ok();
        for (from, to) in lines(block) {
            let line = block[from..to].trim_ascii();
            if line.is_empty() {
                continue;
            }
            let (row, object) = (keep.len(), text.map(|text| text[from..to].trim_ascii()));
            if object.is_some_and(|object| self.repeated(object, row)) {
                keep.push(true);
                continue;
            }
            let outcome = self.row(&[line], row);
            keep.push(outcome.is_ok());
            match (outcome, object) {
                (Ok(()), Some(object)) => self.note(object),
                (Ok(()), None) => {}
                (Err(error), _) => {
                    self.complete(row);
                    bad.push(Malformed { offset: from, record: line.to_vec(), error });
                }
            }
        }
        let schema = self.schema.clone();
        let rows = Change::append(self.finish(&schema, keep)?);
        Ok(Decoded { rows, bad })
    }
}

#[cfg(test)]
mod tests;
