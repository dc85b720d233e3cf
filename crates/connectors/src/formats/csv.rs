//! Comma-separated values (RFC 4180), decoded straight into columns, and written.
//!
//! | Option | Meaning |
//! |---|---|
//! | `csv.field-delimiter` | one ASCII character, `,` unless said |
//! | `csv.quote-character` | one ASCII character, `"` unless said; doubled, it stands for itself |
//! | `csv.null-literal` | a field without quotes that means NULL |
//! | `csv.allow-comments` | `true`: records that begin with `#` are skipped |
//! | `csv.header` | `true`: the first record of each file is skipped |
//!
//! An empty field without quotes is NULL in a column that is not text. A record that does not fit
//! is taken out again, so its neighbours never notice.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use thalweg_plan::connector::Options;
use thalweg_types::{Error, Result};

use super::column::{self, Column};
use super::{Decoded, Decoder, Malformed, text};

/// Options of the format.
pub const OPTIONS: [&str; 5] = [
    "csv.field-delimiter",
    "csv.quote-character",
    "csv.null-literal",
    "csv.allow-comments",
    "csv.header",
];

/// How fields are told apart; ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Stands between fields.
    pub delimiter: u8,
    /// Stands around fields that hold something special.
    pub quote: u8,
    /// A field without quotes that means NULL.
    pub null: Option<String>,
}

impl Default for Dialect {
    fn default() -> Dialect {
        Dialect { delimiter: b',', quote: b'"', null: None }
    }
}

impl Dialect {
    /// Returns the dialect of a table.
    ///
    /// # Errors
    /// `Invalid` if an option is not one ASCII character.
    pub fn of(options: &Options) -> Result<Dialect> {
        let usual = Dialect::default();
        Ok(Dialect {
            delimiter: character(options, "csv.field-delimiter", usual.delimiter)?,
            quote: character(options, "csv.quote-character", usual.quote)?,
            null: options.get("csv.null-literal").map(str::to_owned),
        })
    }

    /// Writes a row: quoted where it must be; NULL is its literal, or nothing, and '' is `""`.
    pub fn write(&self, rows: &RecordBatch, row: usize, out: &mut String) {
        let mut field = String::new();
        for (index, column) in rows.columns().iter().enumerate() {
            if index > 0 {
                out.push(char::from(self.delimiter));
            }
            if column.is_null(row) {
                out.push_str(self.null.as_deref().unwrap_or_default());
                continue;
            }
            field.clear();
            text::write_value(column, row, &mut field);
            self.write_field(&field, out);
        }
    }

    /// Writes one field that is not NULL.
    pub fn write_field(&self, field: &str, out: &mut String) {
        let (delimiter, quote) = (char::from(self.delimiter), char::from(self.quote));
        let special = |c: char| c == delimiter || c == quote || matches!(c, '\n' | '\r');
        let is_null = self.null.as_deref() == Some(field);
        if is_null || field.is_empty() || field.contains(special) {
            out.push(quote);
            field.chars().for_each(|c| {
                out.extend((c == quote).then_some(quote));
                out.push(c);
            });
            out.push(quote);
        } else {
            out.push_str(field);
        }
    }
}

/// A field, and whether it had quotes.
pub(super) type Written = (String, bool);

/// Cuts whole records into fields, whatever they hold.
///
/// # Errors
/// What is wrong with a record, beside those that are right.
pub(super) fn cut(dialect: &Dialect, block: &[u8]) -> Vec<Result<Vec<Written>, String>> {
    let decoder = CsvDecoder { dialect: dialect.clone(), ..CsvDecoder::plain() };
    let (mut records, mut from) = (Vec::new(), 0);
    while from < block.len() {
        let end = decoder.end_of_first(&block[from..]).map_or(block.len(), |end| from + end);
        let record = trimmed(&block[from..end]);
        if !record.is_empty() {
            records.push(decoder.fields(record));
        }
        from = end;
    }
    records
}

/// Returns a record without the line feed behind it.
fn trimmed(record: &[u8]) -> &[u8] {
    let record = record.strip_suffix(b"\n").unwrap_or(record);
    record.strip_suffix(b"\r").unwrap_or(record)
}

/// Decodes records of CSV.
#[derive(Debug)]
pub struct CsvDecoder {
    dialect: Dialect,
    has_comments: bool,
    has_header: bool,
    schema: SchemaRef,
    /// For each field of a record, the column it goes to.
    places: Vec<Option<usize>>,
    columns: Vec<Column>,
}

impl CsvDecoder {
    /// Returns a decoder of no columns, in the usual dialect: it knows where records end.
    pub(crate) fn plain() -> CsvDecoder {
        CsvDecoder {
            dialect: Dialect::default(),
            has_comments: false,
            has_header: false,
            schema: Arc::new(Schema::empty()),
            places: Vec::new(),
            columns: Vec::new(),
        }
    }

    /// Returns a decoder of `columns` of rows of `schema`.
    ///
    /// # Errors
    /// `Invalid` if an option is wrong, or a type has no form in CSV.
    pub fn new(options: &Options, schema: &SchemaRef, columns: &[usize]) -> Result<CsvDecoder> {
        if let Some(field) = schema.fields().iter().find(|field| field.data_type().is_nested()) {
            let name = field.name();
            return Err(Error::invalid(format!("column `{name}`: no nested type in format 'csv'")));
        }
        let mut places = vec![None; schema.fields().len()];
        columns.iter().enumerate().for_each(|(place, column)| places[*column] = Some(place));
        let schema = Arc::new(schema.project(columns)?);
        let made = schema.fields().iter().map(|field| Column::new(field));
        Ok(CsvDecoder {
            dialect: Dialect::of(options)?,
            has_comments: options.flag("csv.allow-comments")?.unwrap_or(false),
            has_header: options.flag("csv.header")?.unwrap_or(false),
            places,
            columns: made.collect::<Result<_>>()?,
            schema,
        })
    }

    /// Returns where the record that begins `block` ends, behind its line feed.
    fn end_of_first(&self, block: &[u8]) -> Option<usize> {
        let mut is_quoted = false;
        for at in memchr::memchr2_iter(self.dialect.quote, b'\n', block) {
            if block[at] == self.dialect.quote {
                // A doubled quote opens and closes at once.
                is_quoted = !is_quoted;
            } else if !is_quoted {
                return Some(at + 1);
            }
        }
        None
    }

    /// Returns the fields of a record.
    fn fields(&self, record: &[u8]) -> Result<Vec<Written>, String> {
        let text = std::str::from_utf8(record).map_err(|error| format!("not UTF-8: {error}"))?;
        let (mut rest, mut fields) = (Some(text), Vec::new());
        while let Some(text) = rest {
            let (field, is_quoted, after) = self.field(text)?;
            fields.push((field.into_owned(), is_quoted));
            rest = after;
        }
        Ok(fields)
    }

    /// Decodes one record as row `row`; on an error the row is left incomplete.
    fn record(&mut self, record: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(record).map_err(|error| format!("not UTF-8: {error}"))?;
        let (mut rest, mut found) = (Some(text), 0);
        while let Some(text) = rest {
            let (field, is_quoted, after) = self.field(text)?;
            if let Some(Some(place)) = self.places.get(found) {
                self.push(*place, &field, is_quoted)?;
            }
            found += 1;
            rest = after;
        }
        match found == self.places.len() {
            true => Ok(()),
            false => Err(format!("expected {} fields, found {found}", self.places.len())),
        }
    }

    /// Returns the first field, whether it had quotes, and what is behind its delimiter.
    fn field<'t>(&self, text: &'t str) -> Result<(Cow<'t, str>, bool, Option<&'t str>), String> {
        let Dialect { quote: quote_byte, delimiter: delimiter_byte, .. } = self.dialect;
        let (quote, delimiter) = (char::from(quote_byte), char::from(delimiter_byte));
        let Some(mut rest) = text.strip_prefix(quote) else {
            return Ok(match memchr::memchr(delimiter_byte, text.as_bytes()) {
                Some(end) => (Cow::from(&text[..end]), false, Some(&text[end + 1..])),
                None => (Cow::from(text), false, None),
            });
        };
        let mut field = Cow::from("");
        loop {
            let end = memchr::memchr(quote_byte, rest.as_bytes());
            let end = end.ok_or_else(|| "a quote is not closed".to_owned())?;
            match field.is_empty() {
                true => field = Cow::from(&rest[..end]),
                false => field.to_mut().push_str(&rest[..end]),
            }
            rest = &rest[end + 1..];
            match rest.strip_prefix(quote) {
                // A doubled quote stands for itself.
                Some(after) => {
                    field.to_mut().push(quote);
                    rest = after;
                }
                None if rest.is_empty() => return Ok((field, true, None)),
                None => match rest.strip_prefix(delimiter) {
                    Some(after) => return Ok((field, true, Some(after))),
                    None => return Err("text stands behind a closing quote".to_owned()),
                },
            }
        }
    }

    fn push(&mut self, place: usize, field: &str, is_quoted: bool) -> Result<(), String> {
        let declared = self.schema.field(place);
        let is_text = matches!(declared.data_type(), DataType::Utf8 | DataType::Utf8View);
        let is_null = !is_quoted
            && (self.dialect.null.as_deref() == Some(field)
                || (field.trim().is_empty() && !is_text));
        if is_null && !declared.is_nullable() {
            return Err(format!("column `{}`: NULL in a NOT NULL column", declared.name()));
        }
        if is_null {
            self.columns[place].push_null();
            return Ok(());
        }
        let pushed = self.columns[place].push_field(field);
        pushed.map_err(|error| format!("column `{}`: {error}", declared.name()))
    }
}

impl Decoder for CsvDecoder {
    fn decode(&mut self, block: &Buffer) -> Result<Decoded> {
        let (mut keep, mut bad, mut from) = (Vec::new(), Vec::new(), 0);
        while from < block.len() {
            let end = self.end_of_first(&block[from..]).map_or(block.len(), |end| from + end);
            let record = trimmed(&block[from..end]);
            let is_comment = self.has_comments && record.first() == Some(&b'#');
            if !record.is_empty() && !is_comment {
                let (row, outcome) = (keep.len(), self.record(record));
                keep.push(outcome.is_ok());
                if let Err(error) = outcome {
                    self.columns.iter_mut().for_each(|column| column.complete(row));
                    bad.push(Malformed { offset: from, record: record.to_vec(), error });
                }
            }
            from = end;
        }
        Ok(Decoded { rows: column::finish(&self.schema, &mut self.columns, keep)?, bad })
    }

    fn end_of_last(&self, block: &[u8]) -> Option<usize> {
        let mut end = 0;
        while let Some(next) = self.end_of_first(&block[end..]) {
            end += next;
        }
        (end > 0).then_some(end)
    }

    fn header(&self, block: &[u8]) -> usize {
        match self.has_header {
            true => self.end_of_first(block).unwrap_or(block.len()),
            false => 0,
        }
    }
}

fn character(options: &Options, key: &str, default: u8) -> Result<u8> {
    match options.get(key).map(|text| if text == "\\t" { "\t" } else { text }) {
        None => Ok(default),
        Some(text) => match text.as_bytes() {
            [one] if one.is_ascii() && *one != b'\n' => Ok(*one),
            _ => {
                Err(Error::invalid(format!("option '{key}' is not one ASCII character: '{text}'")))
            }
        },
    }
}

#[cfg(test)]
mod tests;
