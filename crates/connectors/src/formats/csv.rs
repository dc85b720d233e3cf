//! Comma-separated values (RFC 4180), decoded straight into columns, and written.
//!
//! | Option | Meaning |
//! |---|---|
//! | `csv.field-delimiter` | one ASCII character, `,` unless said; `\t` and `\u0001` are understood |
//! | `csv.quote-character` | one ASCII character, `"` unless said; doubled, it stands for itself |
//! | `csv.disable-quote-character` | `true`: there are no quotes, and no line feeds within fields |
//! | `csv.escape-character` | one ASCII character that takes the meaning from the one behind it |
//! | `csv.null-literal` | a field without quotes that means NULL |
//! | `csv.array-element-delimiter` | stands between the elements of arrays and rows, `;` unless said |
//! | `csv.ignore-parse-errors` | `true`: a field that cannot be read is NULL, as is one that is missing |
//! | `csv.write-bigdecimal-in-scientific-notation` | `true`: `1E+2` rather than `100` |
//! | `csv.allow-comments` | `true`: records that begin with `#` are skipped |
//! | `csv.header` | `true`: the first record of each file is skipped |
//!
//! An empty field without quotes is NULL in a column that is not text. A record that does not fit
//! is taken out again, so its neighbours never notice.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use thalweg_plan::connector::Options;
use thalweg_types::{Change, Error, Result};

use super::column::{self, Column, ELEMENTS, Elements};
use super::{Decoded, Decoder, Malformed, text};

/// Options of the format.
pub const OPTIONS: [&str; 10] = [
    "csv.field-delimiter",
    "csv.quote-character",
    "csv.disable-quote-character",
    "csv.escape-character",
    "csv.array-element-delimiter",
    "csv.ignore-parse-errors",
    "csv.write-bigdecimal-in-scientific-notation",
    "csv.null-literal",
    "csv.allow-comments",
    "csv.header",
];

/// How fields are told apart; ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Stands between fields.
    pub delimiter: u8,
    /// Stands around fields that hold something special, if anything does.
    pub quote: Option<u8>,
    /// Takes the meaning from what is behind it.
    pub escape: Option<u8>,
    /// The elements of nested values; a field without quotes is NULL by the same text.
    pub elements: Elements,
    /// Are decimals written with an exponent, where it is shorter?
    pub is_scientific: bool,
}

impl Default for Dialect {
    fn default() -> Dialect {
        let (quote, elements) = (Some(b'"'), ELEMENTS);
        Dialect { delimiter: b',', quote, escape: None, elements, is_scientific: false }
    }
}

impl Dialect {
    /// Returns the dialect of a table.
    ///
    /// # Errors
    /// `Invalid` if an option is not one ASCII character.
    pub fn of(options: &Options) -> Result<Dialect> {
        let delimiter = character(options, "csv.field-delimiter")?.unwrap_or(b',');
        let quote = character(options, "csv.quote-character")?;
        let is_unquoted = options.flag("csv.disable-quote-character")?.unwrap_or(false);
        if is_unquoted && quote.is_some() {
            return Err(Error::invalid(
                "options 'csv.quote-character' and 'csv.disable-quote-character' exclude each other",
            ));
        }
        let between = options.get("csv.array-element-delimiter").map(unescaped);
        let elements = Elements {
            delimiter: between.map_or(ELEMENTS.delimiter, Cow::from),
            null: options.get("csv.null-literal").map(str::to_owned),
        };
        if elements.delimiter.is_empty() {
            return Err(Error::invalid("option 'csv.array-element-delimiter' is empty"));
        }
        let is_scientific = options.flag("csv.write-bigdecimal-in-scientific-notation")?;
        let quote = if is_unquoted { None } else { quote.or(Some(b'"')) };
        let escape = character(options, "csv.escape-character")?;
        Ok(Dialect {
            delimiter,
            quote,
            // A quote before a quote is how they are escaped in any case.
            escape: escape.filter(|escape| Some(*escape) != quote),
            elements,
            is_scientific: is_scientific.unwrap_or(false),
        })
    }

    /// May a line feed stand within a record?
    pub fn is_multi_line(&self) -> bool {
        self.quote.is_some() || self.escape.is_some()
    }

    /// Writes a row: quoted where it must be; NULL is its literal, or nothing, and '' is `""`.
    pub fn write(&self, rows: &RecordBatch, row: usize, out: &mut String) {
        let mut field = String::new();
        for (index, column) in rows.columns().iter().enumerate() {
            if index > 0 {
                out.push(char::from(self.delimiter));
            }
            if column.is_null(row) {
                out.push_str(self.null());
                continue;
            }
            field.clear();
            self.write_value(column, row, &mut field);
            self.write_field(&field, out);
        }
    }

    fn null(&self) -> &str {
        self.elements.null.as_deref().unwrap_or_default()
    }

    /// Writes a value that is not NULL, as it is without quotes.
    fn write_value(&self, array: &ArrayRef, row: usize, out: &mut String) {
        match array.data_type() {
            DataType::List(_) => {
                let items = array.as_list::<i32>().value(row);
                self.write_parts((0..items.len()).map(|item| (&items, item)), out);
            }
            DataType::Struct(_) => {
                let columns = array.as_struct().columns();
                self.write_parts(columns.iter().map(|column| (column, row)), out);
            }
            DataType::Decimal128(..) if self.is_scientific => {
                let mut number = String::new();
                text::write_value(array, row, &mut number);
                out.push_str(&text::scientific(&number));
            }
            _ => text::write_value(array, row, out),
        }
    }

    fn write_parts<'a>(
        &self,
        parts: impl Iterator<Item = (&'a ArrayRef, usize)>,
        out: &mut String,
    ) {
        for (index, (array, row)) in parts.enumerate() {
            if index > 0 {
                out.push_str(&self.elements.delimiter);
            }
            match array.is_null(row) {
                true => out.push_str(self.null()),
                false => self.write_value(array, row, out),
            }
        }
    }

    /// Writes one field that is not NULL: in quotes where it must be, or escaped if there are none.
    pub fn write_field(&self, field: &str, out: &mut String) {
        let (quote, escape) = (self.quote.map(char::from), self.escape.map(char::from));
        let delimiter = char::from(self.delimiter);
        let is_special = |c: char| {
            c == delimiter || Some(c) == quote || Some(c) == escape || matches!(c, '\n' | '\r')
        };
        let is_null = self.elements.null.as_deref() == Some(field);
        // What is special is ASCII, so no byte within another character is.
        let has_special = || field.bytes().any(|byte| is_special(char::from(byte)));
        if !(is_null || field.is_empty() || has_special()) {
            out.push_str(field);
            return;
        }
        let (around, before) = (quote, escape.or(quote));
        out.extend(around);
        for c in field.chars() {
            let is_escaped = match around {
                Some(quote) => c == quote || Some(c) == escape,
                None => is_special(c),
            };
            match (around, c) {
                (None, '\n') if escape.is_some() => out.extend(before.into_iter().chain(['n'])),
                (None, '\r') if escape.is_some() => out.extend(before.into_iter().chain(['r'])),
                _ => out.extend(before.filter(|_| is_escaped).into_iter().chain([c])),
            }
        }
        out.extend(around);
    }
}

impl Dialect {
    /// Returns the first field of a dialect with escapes, whether it had quotes, and what is behind
    /// its delimiter.
    fn escaped_field<'t>(&self, text: &'t str, escape: char) -> Result<Cut<'t>, String> {
        let (quote, delimiter) = (self.quote.map(char::from), char::from(self.delimiter));
        let is_quoted = text.chars().next().is_some_and(|c| Some(c) == quote);
        let (mut field, mut is_open) = (String::new(), is_quoted);
        let mut chars = text.char_indices().skip(usize::from(is_quoted)).peekable();
        while let Some((at, c)) = chars.next() {
            let is_end = c == delimiter && !is_open;
            if is_end {
                return Ok((Cow::from(field), is_quoted, Some(&text[at + 1..])));
            } else if c == escape && (is_open || !is_quoted) {
                let (_, c) =
                    chars.next().ok_or_else(|| "nothing is behind an escape".to_owned())?;
                field.push(match c {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    c => c,
                });
            } else if is_open && Some(c) == quote {
                match chars.next_if(|(_, c)| Some(*c) == quote) {
                    Some((_, c)) => field.push(c),
                    None => is_open = false,
                }
            } else if is_quoted && !is_open {
                return Err("text stands behind a closing quote".to_owned());
            } else {
                field.push(c);
            }
        }
        match is_open {
            true => Err("a quote is not closed".to_owned()),
            false => Ok((Cow::from(field), is_quoted, None)),
        }
    }
}

/// A field, whether it had quotes, and what is behind its delimiter.
type Cut<'t> = (Cow<'t, str>, bool, Option<&'t str>);

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
    /// Is a field NULL that is missing or cannot be read?
    is_lenient: bool,
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
            is_lenient: false,
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
        schema.fields().iter().try_for_each(|field| check_type(field))?;
        let mut places = vec![None; schema.fields().len()];
        columns.iter().enumerate().for_each(|(place, column)| places[*column] = Some(place));
        let schema = Arc::new(schema.project(columns)?);
        let made = schema.fields().iter().map(|field| Column::new(field));
        Ok(CsvDecoder {
            dialect: Dialect::of(options)?,
            has_comments: options.flag("csv.allow-comments")?.unwrap_or(false),
            has_header: options.flag("csv.header")?.unwrap_or(false),
            is_lenient: options.flag("csv.ignore-parse-errors")?.unwrap_or(false),
            places,
            columns: made.collect::<Result<_>>()?,
            schema,
        })
    }

    /// Returns where the record that begins `block` ends, behind its line feed.
    fn end_of_first(&self, block: &[u8]) -> Option<usize> {
        let Dialect { quote, escape, .. } = self.dialect;
        let quote = quote.unwrap_or(b'\n');
        let (mut is_quoted, mut from) = (false, 0);
        let next = |from: usize| {
            let rest = block.get(from..)?;
            let found = match escape {
                Some(escape) => memchr::memchr3(quote, b'\n', escape, rest),
                None => memchr::memchr2(quote, b'\n', rest),
            };
            found.map(|at| from + at)
        };
        while let Some(at) = next(from) {
            match block[at] {
                b'\n' if !is_quoted => return Some(at + 1),
                byte if Some(byte) == escape && byte != quote => from = at + 2,
                // A doubled quote opens and closes at once.
                byte => {
                    is_quoted ^= byte == quote;
                    from = at + 1;
                }
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
    fn record(&mut self, record: &[u8], row: usize) -> Result<(), String> {
        let text = std::str::from_utf8(record).map_err(|error| format!("not UTF-8: {error}"))?;
        let (mut rest, mut found) = (Some(text), 0);
        while let Some(text) = rest {
            let (field, is_quoted, after) = self.field(text)?;
            if let Some(Some(place)) = self.places.get(found).copied() {
                let pushed = self.push(place, &field, is_quoted);
                pushed.or_else(|error| if self.is_lenient { Ok(()) } else { Err(error) })?;
            }
            found += 1;
            rest = after;
        }
        let is_short = self.is_lenient && found < self.places.len();
        if found != self.places.len() && !is_short {
            return Err(format!("expected {} fields, found {found}", self.places.len()));
        }
        match self.is_lenient {
            true => self.fill(row),
            false => Ok(()),
        }
    }

    /// Makes NULL what was missing or could not be read in a row.
    fn fill(&mut self, row: usize) -> Result<(), String> {
        for (field, column) in self.schema.fields().iter().zip(&mut self.columns) {
            if column.len() == row && !field.is_nullable() {
                return Err(format!("column `{}`: NULL in a NOT NULL column", field.name()));
            }
            column.complete(row);
        }
        Ok(())
    }

    /// Returns the first field, whether it had quotes, and what is behind its delimiter.
    fn field<'t>(&self, text: &'t str) -> Result<Cut<'t>, String> {
        if let Some(escape) = self.dialect.escape {
            return self.dialect.escaped_field(text, char::from(escape));
        }
        let delimiter_byte = self.dialect.delimiter;
        let (quote_byte, delimiter) =
            (self.dialect.quote.unwrap_or(b'\n'), char::from(delimiter_byte));
        let quote = char::from(quote_byte);
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
        let is_text = column::is_text(declared.data_type());
        let is_null = !is_quoted
            && (self.dialect.elements.null.as_deref() == Some(field)
                || (field.trim().is_empty() && !is_text));
        if is_null && !declared.is_nullable() {
            return Err(format!("column `{}`: NULL in a NOT NULL column", declared.name()));
        }
        if is_null {
            self.columns[place].push_null();
            return Ok(());
        }
        let pushed = self.columns[place].push_field(field, &self.dialect.elements);
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
                let (row, outcome) = (keep.len(), self.record(record, keep.len()));
                keep.push(outcome.is_ok());
                if let Err(error) = outcome {
                    self.columns.iter_mut().for_each(|column| column.complete(row));
                    bad.push(Malformed { offset: from, record: record.to_vec(), error });
                }
            }
            from = end;
        }
        let rows = column::finish(&self.schema, &mut self.columns, keep)?;
        Ok(Decoded { rows: Change::append(rows), bad })
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

/// Refuses a column whose type has no form in CSV: a map, or a nested type within another one.
fn check_type(field: &Field) -> Result<()> {
    let inner: Vec<&DataType> = match field.data_type() {
        DataType::List(element) => vec![element.data_type()],
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        kind => vec![kind],
    };
    match inner.iter().any(|kind| kind.is_nested()) {
        true => {
            let name = field.name();
            Err(Error::invalid(format!("column `{name}`: its type has no form in format 'csv'"))
                .remedy("CSV has arrays and rows of plain values; use 'json' for more"))
        }
        false => Ok(()),
    }
}

/// Returns the one character that an option is.
fn character(options: &Options, key: &str) -> Result<Option<u8>> {
    let Some(text) = options.get(key) else { return Ok(None) };
    match unescaped(text).as_bytes() {
        [one] if one.is_ascii() && *one != b'\n' => Ok(Some(*one)),
        _ => Err(Error::invalid(format!("option '{key}' is not one ASCII character: '{text}'"))),
    }
}

/// Returns a text with the escapes of Java undone: `\t`, `\\`, `\u0001`.
fn unescaped(text: &str) -> String {
    let plain = match text {
        "\\t" => Some('\t'),
        "\\\\" => Some('\\'),
        _ => {
            let digits = text.strip_prefix("\\u").filter(|digits| digits.len() == 4);
            digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32)
        }
    };
    plain.map_or_else(|| text.to_owned(), String::from)
}

#[cfg(test)]
mod tests;
