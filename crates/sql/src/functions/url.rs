//! Functions over addresses: `PARSE_URL`, `URL_ENCODE`, `URL_DECODE`.
//!
//! An address is cut up by its delimiters (RFC 3986 3); whether its host exists or its port is a
//! number is not looked at.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray, StringViewBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::error::Result;
use thalweg_types::Error;

use super::encoding::{push_hex, written};
use super::{Function, Kind, constant_text, text_at};

/// Names of the parts of an address.
const PARTS: [&str; 8] =
    ["HOST", "PATH", "QUERY", "REF", "PROTOCOL", "AUTHORITY", "FILE", "USERINFO"];

pub(super) fn all() -> Vec<Function> {
    vec![
        Function::new("PARSE_URL(url, part[, key])", &[Kind::Text, Kind::Text, Kind::Text])
            .optional(1)
            .checked(|constants| match constant_text(constants, 1) {
                Some(part) if !PARTS.contains(&part) => {
                    let error = Error::invalid(format!("an address has no part '{part}'"));
                    Err(error.remedy(format!("use one of {}", PARTS.join(", "))))
                }
                _ => Ok(()),
            })
            .named("parse_url", |_, _| DataType::Utf8View)
            .body(parse_url),
        Function::new("URL_ENCODE(text)", &[Kind::Text])
            .named("url_encode", |_, _| DataType::Utf8View)
            .body(|columns| written(&columns[0], encode)),
        Function::new("URL_DECODE(text)", &[Kind::Text])
            .named("url_decode", |_, _| DataType::Utf8View)
            .body(url_decode),
    ]
}

/// Writes a text as `application/x-www-form-urlencoded`.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b' ' => out.push('+'),
            b'.' | b'-' | b'*' | b'_' => out.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
            byte => {
                out.push('%');
                push_hex(byte, true, out);
            }
        }
    }
}

/// Reads what [`encode`] writes; `None` for a `%` without two digits.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high * 16 + low).ok()?
            }
            byte => byte,
        });
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn url_decode(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = columns[0].as_string_view();
    let mut out = StringViewBuilder::with_capacity(texts.len());
    texts.iter().for_each(|text| out.append_option(text.and_then(decode)));
    Ok(Arc::new(out.finish()))
}

/// An address in its parts.
struct Address<'a> {
    protocol: &'a str,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
    reference: Option<&'a str>,
    /// Path and query.
    file: &'a str,
}

impl<'a> Address<'a> {
    /// Cuts an address up; `None` without a protocol.
    fn new(url: &'a str) -> Option<Address<'a>> {
        let (protocol, rest) = url.trim().split_once(':')?;
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
        if !protocol.starts_with(|first: char| first.is_ascii_alphabetic())
            || !protocol.chars().all(is_name)
        {
            return None;
        }
        let (rest, reference) = split(rest, '#');
        let (authority, file) = match rest.strip_prefix("//") {
            None => (None, rest),
            Some(rest) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                (Some(&rest[..end]), &rest[end..])
            }
        };
        let (path, query) = split(file, '?');
        Some(Address { protocol, authority, path, query, reference, file })
    }

    fn host(&self) -> Option<&'a str> {
        let authority = self.authority?;
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        Some(match host.find(']') {
            Some(end) if host.starts_with('[') => &host[..=end],
            _ => host.split(':').next().unwrap_or(host),
        })
    }

    fn part(&self, name: &str) -> Option<&'a str> {
        match name {
            "HOST" => self.host(),
            "PATH" => Some(self.path),
            "QUERY" => self.query,
            "REF" => self.reference,
            "PROTOCOL" => Some(self.protocol),
            "AUTHORITY" => self.authority,
            "FILE" => Some(self.file),
            "USERINFO" => Some(self.authority?.rsplit_once('@')?.0),
            _ => None,
        }
    }

    /// Returns the value of a key in the query.
    fn value(&self, key: &str) -> Option<&'a str> {
        let mut pairs = self.query?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

/// Splits a text at a delimiter, if it is there.
fn split(text: &str, delimiter: char) -> (&str, Option<&str>) {
    match text.split_once(delimiter) {
        None => (text, None),
        Some((before, behind)) => (before, Some(behind)),
    }
}

/// A part of an address, or the value of a key in its query; NULL if it is not there.
fn parse_url(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let (urls, parts) = (columns[0].as_string_view(), columns[1].as_string_view());
    let keys = columns.get(2).map(|keys| keys.as_string_view());
    let found = (0..urls.len()).map(|row| {
        let (url, part) = (text_at(urls, row)?, text_at(parts, row)?);
        let address = Address::new(url)?;
        match keys {
            None => address.part(part),
            Some(keys) => address.value(text_at(keys, row)?).filter(|_| part == "QUERY"),
        }
    });
    Ok(Arc::new(found.collect::<StringViewArray>()))
}
