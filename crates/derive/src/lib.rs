//! `#[derive(Record)]`: structs whose fields are the columns of a row.
//!
//! What must always hold: what is made names only `thalweg::derived`, and values move through columns
//! of their own types, never one by one through something dynamic. It does *not* know which types
//! can be values: the compiler says so at the field.
//!
//! ```text
//! struct Score { team: String, points: i64 }
//!     becomes  a reader { team: reader of String, points: reader of i64 }
//!     and      a writer { team: writer of String, points: writer of i64 }
//! ```
#![forbid(unsafe_code)]

mod field;

mod expand;

use proc_macro::TokenStream;
use syn::{DeriveInput, Error, parse_macro_input};

/// Makes a struct a row: each field is a column, in order.
///
/// `#[record(rename = "…")]` at a field gives its column another name.
#[proc_macro_derive(Record, attributes(record))]
pub fn record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::record(&input).unwrap_or_else(Error::into_compile_error).into()
}
