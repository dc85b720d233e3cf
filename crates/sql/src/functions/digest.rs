//! Digests of texts, in hexadecimal digits.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use thalweg_types::Error;

use super::encoding::{push_hex, written};
use super::{Function, Kind, text_at};
use crate::text::wrap;

pub(super) fn all() -> Vec<Function> {
    vec![
        digest("MD5(text)", "md5", of_each::<Md5>),
        digest("SHA1(text)", "sha1", of_each::<Sha1>),
        digest("SHA224(text)", "sha224", of_each::<Sha224>),
        digest("SHA256(text)", "sha256", of_each::<Sha256>),
        digest("SHA384(text)", "sha384", of_each::<Sha384>),
        digest("SHA512(text)", "sha512", of_each::<Sha512>),
        Function::new("SHA2(text, bits)", &[Kind::Text, Kind::Whole])
            .named("sha2", |_, _| DataType::Utf8View)
            .body(sha2),
    ]
}

fn digest(
    usage: &'static str,
    name: &'static str,
    body: fn(&[ArrayRef]) -> Result<ArrayRef>,
) -> Function {
    Function::new(usage, &[Kind::Text]).named(name, |_, _| DataType::Utf8View).body(body)
}

fn push<D: Digest>(text: &str, out: &mut String) {
    D::digest(text).iter().for_each(|byte| push_hex(*byte, false, out));
}

fn of_each<D: Digest>(columns: &[ArrayRef]) -> Result<ArrayRef> {
    written(&columns[0], push::<D>)
}

/// The digest of so many bits.
fn sha2(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = columns[0].as_string_view();
    let bits = columns[1].as_primitive::<Int64Type>();
    let digests = (0..texts.len()).map(|row| {
        let bits = bits.is_valid(row).then(|| bits.value(row));
        let Some((text, bits)) = text_at(texts, row).zip(bits) else { return Ok(None) };
        let push = match bits {
            224 => push::<Sha224>,
            256 => push::<Sha256>,
            384 => push::<Sha384>,
            512 => push::<Sha512>,
            other => {
                let error = Error::data(format!("SHA2 makes no digest of {other} bits"));
                return Err(wrap(error.remedy("write 224, 256, 384 or 512")));
            }
        };
        let mut out = String::new();
        push(text, &mut out);
        Ok(Some(out))
    });
    Ok(Arc::new(digests.collect::<Result<StringViewArray>>()?))
}
