//! Functions that write a value in another alphabet: digits, Base64, character sets.

use std::fmt::Write;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, StringViewArray, StringViewBuilder,
};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use thalweg_types::Error;

use super::{Constant, Function, Kind, constant_text, text_at};
use crate::text::wrap;

pub(super) fn all() -> Vec<Function> {
    vec![
        Function::new("BIN(number)", &[Kind::Whole])
            .named("bin", |_, _| DataType::Utf8View)
            .body(bin),
        Function::new("HEX(number or text)", &[Kind::WholeOrText])
            .named("hex", |_, _| DataType::Utf8View)
            .body(hex),
        Function::new("UNHEX(text)", &[Kind::Text])
            .named("unhex", |_, _| DataType::Binary)
            .body(unhex),
        Function::new("TO_BASE64(text)", &[Kind::Text])
            .named("to_base64", |_, _| DataType::Utf8View)
            .body(|columns| written(&columns[0], |text, out| STANDARD.encode_string(text, out))),
        Function::new("FROM_BASE64(text)", &[Kind::Text])
            .named("from_base64", |_, _| DataType::Utf8View)
            .body(from_base64),
        Function::new("ENCODE(text, charset)", &[Kind::Text, Kind::Text])
            .checked(check)
            .named("encode", |_, _| DataType::Binary)
            .body(encode),
        Function::new("DECODE(bytes, charset)", &[Kind::Bytes, Kind::Text])
            .checked(check)
            .named("decode", |_, _| DataType::Utf8View)
            .body(decode),
    ]
}

/// Writes something for each text that is not NULL.
pub(super) fn written(
    texts: &ArrayRef,
    mut write: impl FnMut(&str, &mut String),
) -> Result<ArrayRef> {
    let texts = texts.as_string_view();
    let mut out = StringViewBuilder::with_capacity(texts.len());
    let mut buffer = String::new();
    for text in texts {
        buffer.clear();
        match text {
            None => out.append_null(),
            Some(text) => {
                write(text, &mut buffer);
                out.append_value(&buffer);
            }
        }
    }
    Ok(Arc::new(out.finish()))
}

/// Writes a byte as two digits.
pub(super) fn push_hex(byte: u8, is_upper: bool, out: &mut String) {
    // A String never refuses what is written to it.
    let _ = if is_upper { write!(out, "{byte:02X}") } else { write!(out, "{byte:02x}") };
}

fn bin(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let numbers = columns[0].as_primitive::<Int64Type>();
    let texts = numbers.iter().map(|number| number.map(|number| format!("{number:b}")));
    Ok(Arc::new(texts.collect::<StringViewArray>()))
}

fn hex(columns: &[ArrayRef]) -> Result<ArrayRef> {
    if *columns[0].data_type() == DataType::Utf8View {
        return written(&columns[0], |text, out| {
            text.bytes().for_each(|byte| push_hex(byte, true, out));
        });
    }
    let numbers = columns[0].as_primitive::<Int64Type>();
    let texts = numbers.iter().map(|number| number.map(|number| format!("{number:X}")));
    Ok(Arc::new(texts.collect::<StringViewArray>()))
}

/// The bytes that digits stand for; NULL where there are others. The first of an odd number of
/// digits is left out, and a zero byte stands in its place.
fn unhex(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let mut out = BinaryBuilder::new();
    for text in columns[0].as_string_view() {
        let bytes = text.and_then(|text| {
            let digits = text.chars().map(|letter| letter.to_digit(16)).collect::<Option<Vec<_>>>();
            let digits = digits?;
            let odd = digits.len() % 2;
            let pairs = digits[odd..].chunks_exact(2);
            let bytes = pairs.map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok());
            std::iter::repeat_n(Some(0), odd).chain(bytes).collect::<Option<Vec<u8>>>()
        });
        out.append_option(bytes);
    }
    Ok(Arc::new(out.finish()))
}

fn from_base64(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = columns[0].as_string_view();
    let mut out = StringViewBuilder::with_capacity(texts.len());
    for text in texts {
        let Some(text) = text else {
            out.append_null();
            continue;
        };
        let bytes = STANDARD
            .decode(text)
            .map_err(|error| wrap(Error::data(format!("this is not Base64: {error}"))))?;
        out.append_value(String::from_utf8_lossy(&bytes));
    }
    Ok(Arc::new(out.finish()))
}

/// A character set of Java's standard ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
    /// Big-endian, with a mark that says so.
    Utf16,
    Utf16Big,
    Utf16Little,
}

impl Charset {
    fn of(name: &str) -> thalweg_types::Result<Charset> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Charset::Utf8,
            "US-ASCII" | "ASCII" => Charset::Ascii,
            "ISO-8859-1" | "LATIN1" => Charset::Latin1,
            "UTF-16" => Charset::Utf16,
            "UTF-16BE" => Charset::Utf16Big,
            "UTF-16LE" => Charset::Utf16Little,
            _ => {
                let error = Error::invalid(format!("there is no character set '{name}'"));
                return Err(
                    error.remedy("use UTF-8, US-ASCII, ISO-8859-1, UTF-16, UTF-16BE or UTF-16LE")
                );
            }
        })
    }

    fn encode(self, text: &str) -> Vec<u8> {
        let narrow = |limit: u32| {
            let byte = move |letter: char| match u32::from(letter) {
                code if code < limit => u8::try_from(code).unwrap_or(b'?'),
                _ => b'?',
            };
            text.chars().map(byte).collect()
        };
        let wide = |bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes);
        match self {
            Charset::Utf8 => text.as_bytes().to_vec(),
            Charset::Ascii => narrow(128),
            Charset::Latin1 => narrow(256),
            Charset::Utf16 => [0xFE, 0xFF].into_iter().chain(wide(u16::to_be_bytes)).collect(),
            Charset::Utf16Big => wide(u16::to_be_bytes).collect(),
            Charset::Utf16Little => wide(u16::to_le_bytes).collect(),
        }
    }

    fn decode(self, bytes: &[u8]) -> String {
        let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
            let pairs = bytes.chunks(2).map(|pair| match pair {
                [first, second] => unit([*first, *second]),
                _ => 0xFFFD,
            });
            char::decode_utf16(pairs).map(|letter| letter.unwrap_or('\u{FFFD}')).collect()
        };
        match (self, bytes) {
            (Charset::Utf8, _) => String::from_utf8_lossy(bytes).into_owned(),
            (Charset::Ascii, _) => {
                let letter =
                    |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '\u{FFFD}' };
                bytes.iter().map(letter).collect()
            }
            (Charset::Latin1, _) => bytes.iter().map(|byte| char::from(*byte)).collect(),
            (Charset::Utf16, [0xFF, 0xFE, rest @ ..]) => wide(rest, u16::from_le_bytes),
            (Charset::Utf16, [0xFE, 0xFF, rest @ ..]) => wide(rest, u16::from_be_bytes),
            (Charset::Utf16 | Charset::Utf16Big, _) => wide(bytes, u16::from_be_bytes),
            (Charset::Utf16Little, _) => wide(bytes, u16::from_le_bytes),
        }
    }
}

fn check(constants: &[Constant]) -> thalweg_types::Result<()> {
    constant_text(constants, 1).map_or(Ok(()), |name| Charset::of(name).map(|_| ()))
}

fn encode(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, names) = (columns[0].as_string_view(), columns[1].as_string_view());
    let mut out = BinaryBuilder::new();
    for row in 0..texts.len() {
        match text_at(texts, row).zip(text_at(names, row)) {
            None => out.append_null(),
            Some((text, name)) => out.append_value(Charset::of(name).map_err(wrap)?.encode(text)),
        }
    }
    Ok(Arc::new(out.finish()))
}

fn decode(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (bytes, names) = (columns[0].as_binary::<i32>(), columns[1].as_string_view());
    let mut out = StringViewBuilder::with_capacity(bytes.len());
    for row in 0..bytes.len() {
        match text_at(names, row).filter(|_| bytes.is_valid(row)) {
            None => out.append_null(),
            Some(name) => {
                out.append_value(Charset::of(name).map_err(wrap)?.decode(bytes.value(row)));
            }
        }
    }
    Ok(Arc::new(out.finish()))
}
