//! The fields of a struct, and what is said of them.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::quote_spanned;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Ident, LitStr, Result, Type};

/// A field that is a column.
pub(crate) struct Field<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) kind: &'a Type,
    /// The name of its column.
    pub(crate) column: String,
}

impl Field<'_> {
    /// Returns its type as a value. What the compiler says against that is said at the field.
    pub(crate) fn value(&self) -> TokenStream {
        let kind = self.kind;
        quote_spanned!(kind.span()=> <#kind as made::Value>)
    }
}

/// Returns the fields of a struct that can be a row.
pub(crate) fn fields(input: &DeriveInput) -> Result<Vec<Field<'_>>> {
    if let Some(parameter) = input.generics.params.first() {
        return Err(Error::new(parameter.span(), "a record has no parameters"));
    }
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.ident.span(), "a record is a struct"));
    };
    let Fields::Named(named) = &data.fields else {
        return Err(Error::new(input.ident.span(), "the fields of a record have names"));
    };
    if named.named.is_empty() {
        return Err(Error::new(input.ident.span(), "a record has a field at least"));
    }
    let mut columns = BTreeSet::new();
    let mut fields = Vec::new();
    for field in &named.named {
        let ident = field.ident.as_ref().ok_or_else(|| Error::new(field.span(), "no name"))?;
        let column = renamed(field)?.unwrap_or_else(|| ident.unraw().to_string());
        if !columns.insert(column.clone()) {
            let message = format!("there is a column `{column}` already");
            return Err(Error::new(ident.span(), message));
        }
        fields.push(Field { ident, kind: &field.ty, column });
    }
    Ok(fields)
}

/// Returns what `#[record(rename = "…")]` says.
fn renamed(field: &syn::Field) -> Result<Option<String>> {
    let mut name = None;
    for attribute in field.attrs.iter().filter(|attribute| attribute.path().is_ident("record")) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename") {
                return Err(meta.error("only `rename = \"…\"` can be said of a field"));
            }
            name = Some(meta.value()?.parse::<LitStr>()?.value());
            Ok(())
        })?;
    }
    Ok(name)
}
